import type { SignedItem } from "./items.ts";
import { limits } from "./limits.ts";
import { ItemBasket } from "./reconcile.ts";
import { tagHighOf } from "./tags.ts";

interface Entry {
  readonly item: SignedItem;
  readonly bucket: number;
  /** A page counts only once its head is there, so heads go first. */
  readonly afterHeads: boolean;
  roundsLeft: number;
}

/**
 * For how many rounds something is news: push and pull together reach everybody in about log₃ of them; whatever is missed then is
 * found by the digests.
 */
export function newsRounds(population: number): number {
  return Math.ceil(Math.log2(population + 1) / 2) + 3;
}

/** What hearing an item again counts for, in rounds that it has ridden along. */
const heardAgainRounds = 0.5;

/**
 * What was learnt lately and rides along with every round until it must be everywhere. The newest goes first.
 *
 * Whatever others tell once more is known around here already: it is dropped the sooner the more of them do (Demers et al., rumour
 * mongering with feedback and a counter). So news costs little once it is everywhere, however many rounds it might take to get there.
 */
export class News {
  readonly #items = new Map<string, Entry>();
  /** The same by the first 32 bits of the signature: a clash only ends one of two a little sooner. */
  readonly #bySignature = new Map<number, Entry>();

  /** `key` names what the item is about: a newer one replaces an older one. */
  add(key: string, entry: Pick<Entry, "item" | "bucket" | "afterHeads">, population: number): void {
    this.#drop(key);
    const added = { ...entry, roundsLeft: newsRounds(population) };
    this.#items.set(key, added);
    this.#bySignature.set(tagHighOf(entry.item), added);
    const oldest = this.#items.keys().next();
    if (this.#items.size > limits.itemsPerFrameMax && oldest.done !== true) this.#drop(oldest.value);
  }

  #drop(key: string): void {
    const entry = this.#items.get(key);
    if (entry === undefined) return;
    this.#items.delete(key);
    this.#bySignature.delete(tagHighOf(entry.item));
  }

  /** Somebody else has told it too. */
  heardAgain(item: SignedItem): void {
    const entry = this.#bySignature.get(tagHighOf(item));
    if (entry !== undefined) entry.roundsLeft -= heardAgainRounds;
  }

  /** Drops all news about a subject. */
  remove(id: string): void {
    for (const key of this.#items.keys()) if (key.startsWith(id)) this.#drop(key);
  }

  /** What fits into a frame; only of the buckets that differ, where the other side has told its own. */
  collect(differs: (bucket: number) => boolean = () => true): readonly SignedItem[] {
    if (this.#items.size === 0) return [];
    const basket = new ItemBasket(limits.newsBudgetBytes);
    const wanted: Entry[] = [];
    for (const entry of this.#items.values()) if (differs(entry.bucket)) wanted.push(entry);
    wanted.reverse();
    for (const late of [false, true])
      for (const { item, afterHeads } of wanted) if (afterHeads === late && !basket.add(item)) return basket.items;
    return basket.items;
  }

  /** One more round has carried it. */
  age(): void {
    for (const [key, entry] of this.#items) {
      entry.roundsLeft -= 1;
      if (entry.roundsLeft <= 0) this.#drop(key);
    }
  }
}
