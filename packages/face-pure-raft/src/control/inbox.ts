import { Credit } from "./credit.ts";

/**
 * Items that came for one consumer. Bounded by the credit that its sender was given; `push` tells whether the sender kept to it.
 */
export class Inbox<T> {
  readonly #items: T[] = [];
  readonly #arrived = new Credit(0);
  readonly #window: number;
  #failure: { readonly error: unknown } | undefined;
  #complete = false;

  constructor(window: number) {
    this.#window = window;
  }

  /** False where the sender has sent more than it may. */
  push(item: T): boolean {
    if (this.#complete || this.#failure !== undefined) return true;
    if (this.#items.length >= this.#window) return false;
    this.#items.push(item);
    this.#arrived.grant(1, Number.MAX_SAFE_INTEGER);
    return true;
  }

  /** No more come. */
  end(): void {
    this.#complete = true;
    this.#arrived.grant(1, Number.MAX_SAFE_INTEGER);
  }

  /** No more come, for this reason. What came before is still given, unless the consumer itself wants no more. */
  fail(error: unknown, options: { readonly drop: boolean }): void {
    this.#failure ??= { error };
    if (options.drop) this.#items.length = 0;
    this.#arrived.grant(1, Number.MAX_SAFE_INTEGER);
  }

  /** Yields what comes; calls `onTaken` for each, so that the sender is given credit for another. */
  async *take(onTaken: () => void): AsyncGenerator<T, void, undefined> {
    for (;;) {
      // One arrival for each item and one more for the end; what was dropped leaves arrivals without items.
      await this.#arrived.take();
      if (this.#items.length > 0) {
        const item = this.#items.shift() as T;
        onTaken();
        yield item;
      } else if (this.#failure !== undefined) {
        throw this.#failure.error;
      } else if (this.#complete) {
        return;
      }
    }
  }
}
