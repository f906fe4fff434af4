import type { LogEntry, LogIndex } from "@revoada/fabric";

/** The latest entries of the log, bounded in bytes. An entry that is not durable yet is always in here. */
export class EntryCache {
  readonly #maxBytes: number;
  #entries: (LogEntry | undefined)[] = [];
  #head = 0;
  #first = 0;
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
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
    this.#bytes += cost(entry);
  }

  truncate(from: number): void {
    while (this.size > 0 && this.#first + this.size - 1 >= from) {
      this.#bytes -= cost(this.#entries.pop() as LogEntry);
    }
    if (this.size === 0) this.clear();
  }

  clear(): void {
    this.#entries = [];
    this.#head = 0;
    this.#bytes = 0;
  }

  /** Lets go of the oldest entries below `stableBelow` until the bound is kept. */
  evict(stableBelow: number): void {
    while (this.#bytes > this.#maxBytes && this.size > 0 && this.#first < stableBelow) this.#dropFirst();
  }

  /** Forgets everything up to `index`. */
  dropThrough(index: number): void {
    while (this.size > 0 && this.#first <= index) this.#dropFirst();
  }

  #dropFirst(): void {
    this.#bytes -= cost(this.#entries[this.#head] as LogEntry);
    this.#entries[this.#head++] = undefined;
    this.#first++;
    if (this.#head > 1024 && this.#head > this.#entries.length / 2) {
      this.#entries = this.#entries.slice(this.#head);
      this.#head = 0;
    }
  }
}

/** The payload and what an entry takes beside it. */
function cost(entry: LogEntry): number {
  return entry.payload.length + 96;
}
