import type { LogEntry, LogIndex } from "@revoada/fabric";

/** What the caches of one log may hold together. The group that has appended least lately gives first. */
export class CacheBudget {
  readonly maxBytes: number;
  bytes = 0;
  /** Caches that hold anything, by when they were last added to. */
  readonly #caches: Set<EntryCache> = new Set();

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  /** Notes that a cache was added to. */
  touch(cache: EntryCache): void {
    if (this.#caches.size > 1) this.#caches.delete(cache);
    this.#caches.add(cache);
  }

  forget(cache: EntryCache): void {
    this.#caches.delete(cache);
  }

  /** Lets go of the oldest entries that memory and disk agree on, until the bound is kept. */
  evict(stableBelow: (cache: EntryCache) => number): void {
    if (this.bytes <= this.maxBytes) return;
    for (const cache of this.#caches) {
      cache.evict(stableBelow(cache));
      if (cache.size === 0) this.#caches.delete(cache);
      if (this.bytes <= this.maxBytes) return;
    }
  }
}

/** The latest entries of one group's log. An entry that is not durable yet is always in here. */
export class EntryCache {
  readonly #budget: CacheBudget;
  #entries: (LogEntry | undefined)[] = [];
  #head = 0;
  #first = 0;
  #bytes = 0;

  constructor(budget: CacheBudget) {
    this.#budget = budget;
  }

  /** The index of the first entry held; meaningless where nothing is. */
  get first(): number {
    return this.#first;
  }

  get size(): number {
    return this.#entries.length - this.#head;
  }

  get(index: LogIndex): LogEntry | undefined {
    const at = index - this.#first;
    return at < 0 ? undefined : this.#entries[this.#head + at];
  }

  /** Entries follow the one held last, or begin anew. */
  push(entry: LogEntry): void {
    if (this.size === 0) this.#first = entry.index;
    this.#entries.push(entry);
    this.#count(cost(entry));
  }

  truncate(from: number): void {
    while (this.size > 0 && this.#first + this.size - 1 >= from) {
      this.#count(-cost(this.#entries.pop() as LogEntry));
    }
    if (this.size === 0) this.clear();
  }

  clear(): void {
    this.#entries = [];
    this.#head = 0;
    this.#count(-this.#bytes);
    this.#budget.forget(this);
  }

  /** Lets go of the oldest entries below `stableBelow` until the budget is kept. */
  evict(stableBelow: number): void {
    while (this.#budget.bytes > this.#budget.maxBytes && this.size > 0 && this.#first < stableBelow) this.#dropFirst();
  }

  /** Forgets everything up to `index`. */
  dropThrough(index: number): void {
    while (this.size > 0 && this.#first <= index) this.#dropFirst();
  }

  #count(bytes: number): void {
    this.#bytes += bytes;
    this.#budget.bytes += bytes;
  }

  #dropFirst(): void {
    this.#count(-cost(this.#entries[this.#head] as LogEntry));
    this.#entries[this.#head++] = undefined;
    this.#first++;
    if (this.#head > 32 && this.#head > this.#entries.length / 2) {
      this.#entries = this.#entries.slice(this.#head);
      this.#head = 0;
    }
  }
}

/** The payload and what an entry takes beside it. */
function cost(entry: LogEntry): number {
  return entry.payload.length + 96;
}
