import type { SignedItem } from "./items.ts";
import { limits } from "./limits.ts";
import { ItemBasket } from "./reconcile.ts";

interface Entry {
  readonly item: SignedItem;
  readonly bucket: number;
  /** A page counts only once its head is there, so heads go first. */
  readonly afterHeads: boolean;
  roundsLeft: number;
}

/** What was learnt lately and rides along with every round until it must be everywhere. The newest goes first. */
export class News {
  readonly #items = new Map<string, Entry>();

  /** `key` names what the item is about: a newer one replaces an older one. */
  add(key: string, entry: Pick<Entry, "item" | "bucket" | "afterHeads">, population: number): void {
    this.#items.delete(key);
    // Push and pull together reach everybody in about log₃ of them; whatever is missed then is found by the digests.
    this.#items.set(key, { ...entry, roundsLeft: Math.ceil(Math.log2(population + 1) / 2) + 3 });
    const oldest = this.#items.keys().next();
    if (this.#items.size > limits.itemsPerFrameMax && oldest.done !== true) this.#items.delete(oldest.value);
  }

  /** Drops all news about a subject. */
  remove(id: string): void {
    for (const key of this.#items.keys()) if (key.startsWith(id)) this.#items.delete(key);
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
      if (entry.roundsLeft <= 0) this.#items.delete(key);
    }
  }
}
