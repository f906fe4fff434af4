import {
  isFabricError,
  type HardState,
  type LogBase,
  type LogBatch,
  type LogEntry,
  type LogIndex,
  type RecoveredLog,
  type Term,
} from "@revoada/fabric";
import { stepBytes, type WalStep } from "./batch-encoder.ts";
import { checkBase, checkEntries, checkHardState } from "./check-batch.ts";
import { EntryCache } from "./entry-cache.ts";
import { LogClosedError, LogCompactedError, LogInvalidBatchError } from "./errors.ts";
import type { LogImage } from "./log-image.ts";
import { readFromDisk } from "./log-reader.ts";
import type { TermRuns } from "./terms.ts";
import type { GroupView, WalEngine } from "./wal-engine.ts";

/** One step is one atomic batch, and a batch lies in one segment. */
const maxStepBytes = 1 << 30;
const moveBytes = 1 << 20;
const maxReadAttempts = 3;

/**
 * The log of one group over an open engine.
 *
 * Holds what will be durable once everything that is queued has been written; the image holds what is.
 */
export class GroupLog implements GroupView {
  readonly image: LogImage;
  readonly cache: EntryCache;
  queuedFrom: number = Infinity;
  stamp = 0;
  readonly #engine: WalEngine;
  #terms: TermRuns;
  #base: LogBase;
  #closed = false;
  #last: Promise<void> = Promise.resolve();

  constructor(engine: WalEngine, image: LogImage) {
    this.#engine = engine;
    this.image = image;
    this.cache = new EntryCache(engine.budget);
    this.#terms = image.terms.clone();
    this.#base = image.base;
    engine.watch(this.cache, this);
  }

  get engine(): WalEngine {
    return this.#engine;
  }

  recovered(): RecoveredLog {
    const { base, hardState, lastIndex, suspect } = this.image;
    const integrity = suspect ? "corrupt" : "ok";
    const configurations = [...this.image.configurations] as LogIndex[];
    return { storeId: this.#engine.storeId, hardState, base, lastIndex, integrity, configurations };
  }

  append(batch: LogBatch): Promise<void> {
    return this.#guarded(() => {
      const { hardState, entries } = batch;
      const cut = batch.truncateFrom;
      const truncateFrom = cut !== undefined && cut <= this.#terms.last ? cut : undefined;
      if (cut !== undefined && cut <= this.#base.index) {
        throw new LogInvalidBatchError(`a cut at ${cut} reaches into the base at ${this.#base.index}`);
      }
      const last = truncateFrom === undefined ? this.#terms.last : truncateFrom - 1;
      checkEntries(entries, last, this.#termAt(last) ?? 0);
      if (hardState !== undefined) checkHardState(hardState);
      const step: WalStep = {
        entries,
        ...(truncateFrom === undefined ? {} : { truncateFrom }),
        ...(hardState === undefined ? {} : { hardState }),
      };
      const bytes = stepBytes(step);
      if (bytes > maxStepBytes)
        throw new LogInvalidBatchError(`a batch of ${bytes} bytes is larger than ${maxStepBytes}`);
      if (truncateFrom !== undefined) {
        this.#terms.truncate(truncateFrom);
        this.cache.truncate(truncateFrom);
      }
      for (const entry of entries) {
        this.#terms.push(entry.term);
        this.cache.push(entry);
      }
      if (entries.length > 0) this.#engine.budget.touch(this.cache);
      return this.#enqueue(step, bytes, last + 1);
    });
  }

  async read(from: LogIndex, to: LogIndex, maxBytes: number): Promise<readonly LogEntry[]> {
    this.#throwIfClosed();
    if (from <= this.#base.index && from < to) throw new LogCompactedError(from, this.#base.index);
    const end = Math.min(to, this.#terms.last + 1);
    if (from >= end) return [];
    const { cache } = this;
    const cacheFirst = cache.size === 0 ? Infinity : cache.first;
    if (from >= cacheFirst) return this.#readCache([], from, end, maxBytes);
    const entries = await this.#readDisk(from, Math.min(end, cacheFirst), maxBytes);
    if (entries.length === 0) throw new LogCompactedError(from, this.#base.index);
    // What is in memory may have changed meanwhile; it follows only where it still does.
    const next = from + entries.length;
    if (next < cacheFirst || cache.size === 0 || next < cache.first) return entries;
    return this.#readCache(entries, next, Math.min(end, this.#terms.last + 1), maxBytes);
  }

  async #readDisk(from: number, to: number, maxBytes: number): Promise<LogEntry[]> {
    const { disk } = this.#engine.options;
    for (let attempt = 1; ; attempt++) {
      try {
        const entries = await readFromDisk(disk, this.image, from, to, maxBytes);
        await this.#engine.restSegments();
        return entries;
      } catch (error) {
        // A segment may go while it is about to be read: its entries have moved to another, or were compacted.
        if (attempt === maxReadAttempts || !isFabricError(error, "DISK_NOT_FOUND")) throw error;
      }
    }
  }

  term(index: LogIndex): Term | undefined {
    return this.#closed ? undefined : this.#termAt(index);
  }

  async compact(base: LogBase): Promise<void> {
    await this.#guarded(() => {
      if (base.index < this.#base.index) return Promise.resolve();
      checkBase(base);
      const term = this.#termAt(base.index);
      if (term !== base.term) {
        throw new LogInvalidBatchError(
          `cannot compact to entry ${base.index} of term ${base.term}: the log has ${term ?? "no such entry"} there`,
        );
      }
      const step: WalStep = { entries: [], base };
      this.#base = base;
      this.#terms.dropThrough(base.index, base.term);
      return this.#enqueue(step, stepBytes(step), Infinity);
    });
    this.cache.dropThrough(Math.min(base.index, this.#engine.stableBelow(this) - 1));
    await this.#engine.removeSegments();
  }

  async reset(base: LogBase, hardState: HardState): Promise<void> {
    await this.#guarded(() => {
      checkBase(base);
      checkHardState(hardState);
      const step: WalStep = { reset: base, entries: [], hardState };
      this.#base = base;
      this.#terms.clear(base.index, base.term);
      this.cache.clear();
      return this.#enqueue(step, stepBytes(step), 0);
    });
    await this.#engine.removeSegments();
  }

  async markRefilled(): Promise<void> {
    await this.#guarded(() => {
      const step: WalStep = { entries: [], suspect: false };
      return this.#enqueue(step, stepBytes(step), Infinity);
    });
    await this.#engine.settleDamage();
  }

  /** Drops the group for good. */
  async forget(): Promise<void> {
    await this.#guarded(() => {
      const step: WalStep = { entries: [], forget: true };
      return this.#enqueue(step, stepBytes(step), 0);
    });
    this.detach();
    await this.#engine.removeSegments();
  }

  /**
   * Writes entries of the oldest segment once more, so that it can go. Entries that were cut, compacted or replaced meanwhile stay
   * where they are. Resolves once they are durable in their new place.
   */
  async moveOut(from: number, to: number): Promise<void> {
    for (let next = from; next < to;) {
      const first = Math.max(next, this.#base.index + 1);
      if (first >= to || this.#closed) return;
      const read = await readFromDisk(this.#engine.options.disk, this.image, first, to, moveBytes);
      const entries = read.filter(({ index, term }) => index > this.#base.index && this.#termAt(index) === term);
      if (entries.length === 0) return;
      const step: WalStep = { entries, moved: true };
      await this.#guarded(() => this.#enqueue(step, stepBytes(step), Infinity));
      next = first + read.length;
    }
  }

  adopt(): void {
    this.#terms = this.image.terms.clone();
    this.#base = this.image.base;
    this.cache.clear();
  }

  /** Ends the use of the log; what is queued is still written. */
  detach(): void {
    this.#closed = true;
    this.cache.clear();
    this.#engine.unwatch(this.cache);
  }

  /** Resolves once nothing of this log is queued or in flight. */
  async drained(): Promise<void> {
    await this.#last.catch(() => {});
  }

  #enqueue(step: WalStep, bytes: number, from: number): Promise<void> {
    // Steps of one log are written in order: once the last is settled, all are.
    return (this.#last = this.#engine.enqueue(this, step, bytes, from));
  }

  #throwIfClosed(): void {
    if (this.#closed) throw new LogClosedError("closed");
  }

  #guarded(body: () => Promise<void>): Promise<void> {
    try {
      this.#throwIfClosed();
      this.#engine.throwIfUnusable();
      return body();
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #termAt(index: number): Term | undefined {
    return index === this.#base.index ? this.#base.term : this.#terms.get(index as LogIndex);
  }

  #readCache(entries: LogEntry[], from: number, end: number, maxBytes: number): LogEntry[] {
    let room = maxBytes;
    for (const entry of entries) room -= entry.payload.length;
    for (let index = from; index < end; index++) {
      const entry = this.cache.get(index as LogIndex);
      if (entry === undefined || (entries.length > 0 && entry.payload.length > room)) break;
      entries.push(entry);
      room -= entry.payload.length;
    }
    return entries;
  }
}
