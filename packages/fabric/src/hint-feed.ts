import type { AddressHint } from "./seams/discovery.ts";

const limitUnlessTold = 1024;

/**
 * The streams of a `Discovery`: hands each hint to every consumer, keeps what was found for those who come later, and of everything at
 * most `limit` hints.
 *
 * Two hints are about the same where they name the same node or, without one, the same addresses; the later replaces the earlier.
 */
export class HintFeed {
  readonly #limit: number;
  readonly #found = new Map<string, AddressHint>();
  readonly #readers = new Set<HintReader>();
  #isOver = false;

  constructor(options: { readonly limit?: number } = {}) {
    this.#limit = options.limit ?? limitUnlessTold;
  }

  /** Gives a hint to everybody who reads. Where there are too many, the one that was not seen for the longest time goes. */
  offer(hint: AddressHint): void {
    if (this.#isOver || hint.addresses.length === 0) return;
    keep(this.#found, hint, this.#limit);
    for (const reader of this.#readers) reader.take(hint, this.#limit);
  }

  /** A stream as `Discovery.hints` describes it. */
  hints(options: { readonly signal: AbortSignal }): AsyncIterable<AddressHint> {
    const reader = new HintReader([...this.#found.values()], options.signal, (ended) => this.#readers.delete(ended));
    if (this.#isOver) reader.end();
    else if (!options.signal.aborted) this.#readers.add(reader);
    return reader;
  }

  /** Ends every stream. */
  end(): void {
    this.#isOver = true;
    for (const reader of [...this.#readers]) reader.end();
  }
}

/** What is the same for two hints about the same. */
function subjectOf({ id, addresses }: AddressHint): string {
  return id ?? addresses.toSorted().join(" ");
}

/** Maps keep their order: what is put in anew stands last. */
function keep(hints: Map<string, AddressHint>, hint: AddressHint, limit: number): void {
  const subject = subjectOf(hint);
  hints.delete(subject);
  hints.set(subject, hint);
  if (hints.size <= limit) return;
  const [oldest] = hints.keys();
  if (oldest !== undefined) hints.delete(oldest);
}

class HintReader implements AsyncIterable<AddressHint>, AsyncIterator<AddressHint> {
  readonly #waiting = new Map<string, AddressHint>();
  readonly #signal: AbortSignal;
  readonly #onEnd: (reader: HintReader) => void;
  readonly #abort = (): void => {
    this.#waiting.clear();
    this.end();
  };
  #wake: (() => void) | undefined;
  #isOver = false;

  constructor(found: readonly AddressHint[], signal: AbortSignal, onEnd: (reader: HintReader) => void) {
    this.#signal = signal;
    this.#onEnd = onEnd;
    for (const hint of found) this.#waiting.set(subjectOf(hint), hint);
    if (signal.aborted) this.#abort();
    else signal.addEventListener("abort", this.#abort, { once: true });
  }

  [Symbol.asyncIterator](): AsyncIterator<AddressHint> {
    return this;
  }

  async next(): Promise<IteratorResult<AddressHint>> {
    for (;;) {
      const [first] = this.#waiting;
      if (first !== undefined) {
        this.#waiting.delete(first[0]);
        return { done: false, value: first[1] };
      }
      if (this.#isOver) return { done: true, value: undefined };
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  async return(): Promise<IteratorResult<AddressHint>> {
    this.#abort();
    return { done: true, value: undefined };
  }

  take(hint: AddressHint, limit: number): void {
    keep(this.#waiting, hint, limit);
    this.#rouse();
  }

  /** What waits is still read; nothing is added. */
  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#signal.removeEventListener("abort", this.#abort);
    this.#onEnd(this);
    this.#rouse();
  }

  #rouse(): void {
    this.#wake?.();
    this.#wake = undefined;
  }
}
