import type { LogEntry } from "@revoada/fabric";
import { InvariantError } from "@revoada/fabric";
import { entryOverheadBytes, type CoreLogState } from "./types.ts";

/** A write that is under way: once it is durable, so are all entries up to `upTo`. */
interface PendingWrite {
  readonly seq: number;
  readonly sinceMs: number;
  readonly bytes: number;
  upTo: number;
}

export function entryBytes(entry: LogEntry): number {
  return entry.payload.length + entryOverheadBytes;
}

/**
 * The log as the core sees it: terms of everything, the entries themselves from `firstCached` on.
 *
 * Everything that is not durable or not applied is in memory. What is older may have left it and is read from the store.
 */
export class CoreLog {
  readonly #storedTerm: (index: number) => number | undefined;
  /** Those before `#head` have left it, and their places are empty: what was large is not held until the places go. */
  #entries: (LogEntry | undefined)[] = [];
  #head = 0;
  #firstCached: number;
  #cachedBytes = 0;
  #writes: PendingWrite[] = [];
  /** What unfinished writes hold in memory. */
  writingBytes = 0;
  baseIndex: number;
  baseTerm: number;
  lastIndex: number;
  durableIndex: number;

  constructor(state: CoreLogState) {
    this.#storedTerm = state.term;
    this.baseIndex = state.base.index;
    this.baseTerm = state.base.term;
    this.lastIndex = state.lastIndex;
    this.durableIndex = state.lastIndex;
    this.#firstCached = state.lastIndex + 1;
  }

  get firstCached(): number {
    return this.#firstCached;
  }

  get lastTerm(): number {
    return this.term(this.lastIndex) ?? 0;
  }

  /** The term at `index`; undefined where it was compacted or does not exist yet. */
  term(index: number): number | undefined {
    if (index > this.lastIndex || index < this.baseIndex) return undefined;
    if (index === this.baseIndex) return this.baseTerm;
    if (index >= this.#firstCached) return (this.#entries[this.#head + index - this.#firstCached] as LogEntry).term;
    return this.#storedTerm(index);
  }

  /** True where `index` with `term` is in this log. */
  matches(index: number, term: number): boolean {
    return this.term(index) === term;
  }

  /** §5.4.1: later term, or the same term and at least as long. */
  isUpToDate(lastIndex: number, lastTerm: number): boolean {
    return lastTerm > this.lastTerm || (lastTerm === this.lastTerm && lastIndex >= this.lastIndex);
  }

  append(entry: LogEntry): void {
    if (entry.index !== this.lastIndex + 1)
      throw new InvariantError(`entry ${entry.index} appended after ${this.lastIndex}`);
    this.#entries.push(entry);
    this.#cachedBytes += entryBytes(entry);
    this.lastIndex = entry.index;
  }

  /**
   * Drops entries from `index` on. A write that is under way then no longer proves anything about them, even if the very same
   * (index, term) is appended again before it completes: on the disk, the truncation follows it.
   */
  truncate(index: number): void {
    if (index <= this.baseIndex)
      throw new InvariantError(`truncation at ${index} reaches below the base ${this.baseIndex}`);
    if (index < this.#firstCached) {
      this.#clearCache(index);
    } else {
      const kept = this.#head + index - this.#firstCached;
      for (let at = kept; at < this.#entries.length; at += 1)
        this.#cachedBytes -= entryBytes(this.#entries[at] as LogEntry);
      this.#entries.length = kept;
    }
    this.lastIndex = index - 1;
    this.durableIndex = Math.min(this.durableIndex, index - 1);
    for (const write of this.#writes) write.upTo = Math.min(write.upTo, index - 1);
  }

  /** Cached entries from `from` to `to`, both included, within the bounds but at least one. */
  slice(from: number, to: number, maxBytes: number, maxEntries: number): readonly LogEntry[] {
    const start = this.#head + from - this.#firstCached;
    const limit = Math.min(start + to - from + 1, start + maxEntries, this.#entries.length);
    let bytes = 0;
    let end = start;
    while (end < limit) {
      bytes += entryBytes(this.#entries[end] as LogEntry);
      if (bytes > maxBytes && end > start) break;
      end += 1;
    }
    return this.#entries.slice(start, end) as LogEntry[];
  }

  /** Bytes of the cached entries from `from` to `to`, both included. */
  bytesBetween(from: number, to: number): number {
    let bytes = 0;
    for (let index = Math.max(from, this.#firstCached); index <= to; index += 1) {
      bytes += entryBytes(this.#entries[this.#head + index - this.#firstCached] as LogEntry);
    }
    return bytes;
  }

  startWrite(seq: number, nowMs: number, bytes: number): void {
    this.#writes.push({ seq, sinceMs: nowMs, bytes, upTo: this.lastIndex });
    this.writingBytes += bytes;
  }

  /** Takes a completion, and with it those of all earlier writes. */
  finishWrite(seq: number): void {
    let done = 0;
    for (const write of this.#writes) {
      if (write.seq > seq) break;
      done += 1;
      this.writingBytes -= write.bytes;
      this.durableIndex = Math.max(this.durableIndex, write.upTo);
    }
    if (done > 0) this.#writes.splice(0, done);
  }

  /** When the oldest unfinished write began; undefined where none is under way. */
  get oldestWriteMs(): number | undefined {
    return this.#writes[0]?.sinceMs;
  }

  get hasWrites(): boolean {
    return this.#writes.length > 0;
  }

  get unfinishedWrites(): number {
    return this.#writes.length;
  }

  /** Lets durable entries up to `index` go from memory, oldest first, down to `maxBytes`. */
  trimCache(index: number, maxBytes: number): void {
    const limit = Math.min(index, this.durableIndex);
    while (this.#cachedBytes > maxBytes && this.#firstCached <= limit) this.#dropFirst();
    this.#repack();
  }

  compact(index: number, term: number): void {
    if (index <= this.baseIndex) return;
    while (this.#firstCached <= index && this.#head < this.#entries.length) this.#dropFirst();
    this.#repack();
    this.baseIndex = index;
    this.baseTerm = term;
  }

  /** Everything is replaced by a base: a snapshot was installed and the store reset. */
  reset(index: number, term: number): void {
    this.#clearCache(index + 1);
    this.#writes = [];
    this.writingBytes = 0;
    this.baseIndex = index;
    this.baseTerm = term;
    this.lastIndex = index;
    this.durableIndex = index;
  }

  #clearCache(firstCached: number): void {
    this.#entries = [];
    this.#head = 0;
    this.#cachedBytes = 0;
    this.#firstCached = firstCached;
  }

  #dropFirst(): void {
    this.#cachedBytes -= entryBytes(this.#entries[this.#head] as LogEntry);
    this.#entries[this.#head] = undefined;
    this.#head += 1;
    this.#firstCached += 1;
  }

  #repack(): void {
    if (this.#head < 1024 || this.#head * 2 < this.#entries.length) return;
    this.#entries = this.#entries.slice(this.#head);
    this.#head = 0;
  }
}
