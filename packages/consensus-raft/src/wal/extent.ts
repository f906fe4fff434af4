import type { Segment } from "./segment.ts";

/**
 * Where entries of one group stand in one segment: a contiguous stretch of its log.
 *
 * An extent that holds anything pins its segment.
 */
export class Extent {
  readonly segment: Segment;
  /** The index of the first entry, where `count` is not 0. */
  first: number;
  count = 0;
  /** Bytes of every entry that was pushed, heads included. */
  #bytes = 0;
  #pushed = 0;
  #offsets: Uint32Array<ArrayBuffer> = new Uint32Array(4);
  #start = 0;

  constructor(segment: Segment, first: number) {
    this.segment = segment;
    this.first = first;
    segment.pins++;
  }

  /** The index behind the last entry. */
  get end(): number {
    return this.first + this.count;
  }

  /** About what the entries that are left take. */
  get liveBytes(): number {
    return this.#pushed === 0 ? 0 : (this.#bytes * this.count) / this.#pushed;
  }

  push(offset: number, bytes: number): void {
    const at = this.#start + this.count;
    if (at === this.#offsets.length) {
      const grown = new Uint32Array(this.#offsets.length * 2);
      grown.set(this.#offsets);
      this.#offsets = grown;
    }
    this.#offsets[at] = offset;
    this.count++;
    this.#pushed++;
    this.#bytes += bytes;
  }

  /** Where the record of an entry that is held begins in the segment. */
  offsetOf(index: number): number {
    return this.#offsets[this.#start + index - this.first] as number;
  }

  /** Forgets `from` and everything behind it. */
  truncate(from: number): void {
    this.count = Math.min(this.count, Math.max(0, from - this.first));
  }

  /** Forgets everything below `index`. */
  dropBelow(index: number): void {
    const dropped = Math.min(this.count, Math.max(0, index - this.first));
    this.#start += dropped;
    this.first += dropped;
    this.count -= dropped;
  }

  /** Says that nothing of the segment is needed here any more. */
  release(): void {
    this.segment.pins--;
  }
}
