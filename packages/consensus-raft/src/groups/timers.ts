/** Something that is due at a time. */
export interface Timer {
  readonly atMs: number;
  readonly order: number;
  /** Undefined once it was cancelled or has run. */
  callback: (() => void) | undefined;
}

function isBefore(left: Timer, right: Timer): boolean {
  return left.atMs < right.atMs || (left.atMs === right.atMs && left.order < right.order);
}

/** Fewer cancelled timers than this are not worth a clean-up. */
const keptCancelled = 64;

/** A heap of timers, by due time and then by the order of the calls. Cancelled ones leave when their time comes, or when they are many. */
export class Timers {
  #heap: Timer[] = [];
  #cancelled = 0;
  #order = 0;

  /** When the next one is due; Infinity where there is none. */
  get nextMs(): number {
    for (let first = this.#heap[0]; first !== undefined; first = this.#heap[0]) {
      if (first.callback !== undefined) return first.atMs;
      this.#takeFirst();
      this.#cancelled -= 1;
    }
    return Infinity;
  }

  add(atMs: number, callback: () => void): Timer {
    this.#order += 1;
    const timer: Timer = { atMs, order: this.#order, callback };
    this.#heap.push(timer);
    this.#rise(this.#heap.length - 1);
    return timer;
  }

  cancel(timer: Timer): void {
    if (timer.callback === undefined) return;
    timer.callback = undefined;
    this.#cancelled += 1;
    if (this.#cancelled > keptCancelled && this.#cancelled * 2 > this.#heap.length) this.#cleanUp();
  }

  /** Takes everything that is due by `nowMs`, in order. */
  takeDue(nowMs: number): readonly Timer[] {
    const due: Timer[] = [];
    while (this.nextMs <= nowMs) due.push(this.#takeFirst());
    return due;
  }

  clear(): void {
    this.#heap = [];
    this.#cancelled = 0;
  }

  #cleanUp(): void {
    const kept = this.#heap.filter((timer) => timer.callback !== undefined);
    // A sorted list is a heap.
    this.#heap = kept.toSorted((left, right) => (isBefore(left, right) ? -1 : 1));
    this.#cancelled = 0;
  }

  #takeFirst(): Timer {
    const first = this.#heap[0] as Timer;
    const last = this.#heap.pop() as Timer;
    if (this.#heap.length > 0) {
      this.#heap[0] = last;
      this.#sink(0);
    }
    return first;
  }

  #rise(from: number): void {
    let at = from;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(this.#heap[at] as Timer, this.#heap[parent] as Timer)) return;
      this.#swap(at, parent);
      at = parent;
    }
  }

  #sink(from: number): void {
    let at = from;
    for (;;) {
      let least = at;
      for (const child of [2 * at + 1, 2 * at + 2]) {
        const candidate = this.#heap[child];
        if (candidate !== undefined && isBefore(candidate, this.#heap[least] as Timer)) least = child;
      }
      if (least === at) return;
      this.#swap(at, least);
      at = least;
    }
  }

  #swap(one: number, other: number): void {
    const timer = this.#heap[one] as Timer;
    this.#heap[one] = this.#heap[other] as Timer;
    this.#heap[other] = timer;
  }
}
