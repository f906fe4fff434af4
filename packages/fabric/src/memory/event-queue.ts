/** A callback that waits for its moment. */
export interface QueuedEvent<Owner> {
  readonly owner: Owner;
  readonly kind: "timer" | "input" | "turn";
  /** When it was due, which stays what it was where the owner's stall moves `atMs`. */
  readonly dueMs: number;
  readonly sequence: number;
  readonly callback: () => void;
  atMs: number;
  cancelled: boolean;
}

const rank = { timer: 0, input: 1, turn: 2 } as const;

function precedes<Owner>(left: QueuedEvent<Owner>, right: QueuedEvent<Owner>): boolean {
  if (left.atMs !== right.atMs) return left.atMs < right.atMs;
  if (left.kind !== right.kind) return rank[left.kind] < rank[right.kind];
  if (left.dueMs !== right.dueMs) return left.dueMs < right.dueMs;
  return left.sequence < right.sequence;
}

/** A binary heap of events in the order (moment, kind, due time, call). Cancelled ones are dropped when met. */
export class EventQueue<Owner> {
  #heap: QueuedEvent<Owner>[] = [];
  #sequence = 0;
  #cancelled = 0;

  /** Events that are not cancelled. */
  get size(): number {
    return this.#heap.length - this.#cancelled;
  }

  add(owner: Owner, atMs: number, kind: QueuedEvent<Owner>["kind"], callback: () => void): QueuedEvent<Owner> {
    this.#sequence += 1;
    const event = { owner, kind, dueMs: atMs, sequence: this.#sequence, callback, atMs, cancelled: false };
    this.#push(event);
    return event;
  }

  /** The next event, which stays where it is. */
  peek(): QueuedEvent<Owner> | undefined {
    while (this.#heap[0]?.cancelled === true) this.#pop();
    return this.#heap[0];
  }

  /** Takes the event that {@link peek} gave. */
  take(): void {
    const event = this.#pop();
    // So that cancelling an event that has run changes no count.
    if (event !== undefined) event.cancelled = true;
  }

  /** Moves the first event to a later moment. */
  postpone(event: QueuedEvent<Owner>, atMs: number): void {
    this.#pop();
    event.atMs = atMs;
    this.#push(event);
  }

  cancel(event: QueuedEvent<Owner>): void {
    if (event.cancelled) return;
    event.cancelled = true;
    this.#cancelled += 1;
    if (this.#cancelled > 1024 && this.#cancelled > this.#heap.length / 2) this.#compact();
  }

  cancelWhere(predicate: (event: QueuedEvent<Owner>) => boolean): void {
    for (const event of this.#heap) {
      if (!event.cancelled && predicate(event)) {
        event.cancelled = true;
        this.#cancelled += 1;
      }
    }
    this.#compact();
  }

  #compact(): void {
    const kept = this.#heap.filter((event) => !event.cancelled);
    this.#heap = [];
    this.#cancelled = 0;
    for (const event of kept) this.#push(event);
  }

  #push(event: QueuedEvent<Owner>): void {
    const heap = this.#heap;
    let place = heap.length;
    heap.push(event);
    while (place > 0) {
      const parent = (place - 1) >> 1;
      const above = heap[parent] as QueuedEvent<Owner>;
      if (!precedes(event, above)) break;
      heap[place] = above;
      place = parent;
    }
    heap[place] = event;
  }

  #pop(): QueuedEvent<Owner> | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined) return undefined;
    if (first.cancelled) this.#cancelled -= 1;
    if (heap.length > 0) this.#sift(last);
    return first;
  }

  #sift(event: QueuedEvent<Owner>): void {
    const heap = this.#heap;
    let place = 0;
    for (;;) {
      let child = 2 * place + 1;
      if (child >= heap.length) break;
      const right = heap[child + 1];
      if (right !== undefined && precedes(right, heap[child] as QueuedEvent<Owner>)) child += 1;
      const below = heap[child] as QueuedEvent<Owner>;
      if (!precedes(below, event)) break;
      heap[place] = below;
      place = child;
    }
    heap[place] = event;
  }
}
