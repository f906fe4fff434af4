import type { SignedItem } from "./items.ts";
import { limits } from "./limits.ts";
import { ItemBasket } from "./reconcile.ts";

/** What was learnt lately and rides along with every round until it must be everywhere. The newest goes first. */
export class News {
  readonly #items = new Map<string, { readonly item: SignedItem; roundsLeft: number }>();

  /** `key` names what the item is about: a newer one replaces an older one. */
  add(key: string, item: SignedItem, population: number): void {
    this.#items.delete(key);
    this.#items.set(key, { item, roundsLeft: Math.ceil(Math.log2(population + 1)) + 2 });
    const oldest = this.#items.keys().next();
    if (this.#items.size > limits.itemsPerFrameMax && oldest.done !== true) this.#items.delete(oldest.value);
  }

  remove(key: string): void {
    this.#items.delete(key);
  }

  collect(): readonly SignedItem[] {
    const basket = new ItemBasket(limits.newsBudgetBytes);
    for (const { item } of [...this.#items.values()].toReversed()) if (!basket.add(item)) break;
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
