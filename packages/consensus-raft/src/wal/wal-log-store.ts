import {
  isFabricError,
  silentLogger,
  silentMetrics,
  type Clock,
  type Disk,
  type HardState,
  type LogBase,
  type LogBatch,
  type LogEntry,
  type Logger,
  type LogIndex,
  type LogStore,
  type Metrics,
  type Random,
  type RecoveredLog,
  type Term,
} from "@revoada/fabric";
import { stepBytes, type WalStep } from "./batch-encoder.ts";
import { checkBase, checkEntries, checkHardState, checkOptions } from "./check-batch.ts";
import { EntryCache } from "./entry-cache.ts";
import { LogClosedError, LogCompactedError, LogFailedError, LogInvalidBatchError } from "./errors.ts";
import type { LogImage } from "./log-image.ts";
import { readFromDisk } from "./log-reader.ts";
import { openWal, quarantine, removeQuarantined } from "./open-wal.ts";
import type { WalFault } from "./recovery.ts";
import type { Segment } from "./segment.ts";
import type { SegmentWriter } from "./segment-writer.ts";
import { TermRuns } from "./terms.ts";

/** What the log needs and how it is sized. */
export interface WalOptions {
  readonly disk: Disk;
  /** Where on the disk; made if it is missing. `wal` by default. */
  readonly directory?: string;
  readonly random: Random;
  /** At most 32 bytes that name the cluster or group. A log that bears other ones is refused. */
  readonly groupId?: Uint8Array;
  /** When a new segment is begun; 64 MiB by default. */
  readonly segmentBytes?: number;
  /** By how much a segment is filled with zeros ahead of need; 4 MiB by default, at most a segment. */
  readonly allocateBytes?: number;
  /** Of recent entries kept in memory; 16 MiB by default. */
  readonly cacheBytes?: number;
  /** At most so much goes into one flush, unless a single batch is larger; 8 MiB by default. */
  readonly flushBytes?: number;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
  /** Lets the log measure its syncs. */
  readonly clock?: Clock;
}

/** The log store with what only this one knows. */
export interface WalLogStore extends LogStore {
  /** What `open` found that was not as it had been written. */
  readonly faults: readonly WalFault[];
  /**
   * Says that a corrupt log holds again all that it had acknowledged: entries up to a commit index that a quorum knows, from a
   * leader of a later term. Until then `open` reports `corrupt`, also after restarts. Durable once resolved; damaged files
   * that were set aside are removed.
   */
  markRefilled(): Promise<void>;
}

interface Pending {
  readonly step: WalStep;
  readonly bytes: number;
  /** The lowest index that the step changes. */
  readonly from: number;
  resolve(): void;
  reject(error: unknown): void;
}

const maxOpenSegments = 8;
/** One step is one atomic batch, and a batch lies in one segment. */
const maxStepBytes = 1 << 30;

/**
 * A write-ahead log on a {@link Disk}.
 *
 * One flush is in flight at a time; whatever is appended meanwhile is the next one, a single write and a single sync. Appended
 * entries can be read at once and are durable when `append` resolves. Payloads are kept by reference: they must not be changed.
 *
 * `open` rejects with `LOG_NEWER_FORMAT`, `LOG_OTHER_CLUSTER`, `LOG_FULL`, or with `LOG_CORRUPT` where no file can be believed; a
 * log that is damaged in part opens as `corrupt`. `append` rejects with `LOG_FULL` while the disk is full, and may be called
 * again; with `LOG_INVALID_BATCH` where a batch does not follow; with `LOG_FAILED` for good after a failed write or sync.
 * `read` rejects with `LOG_COMPACTED` below the first entry and with `LOG_CORRUPT` where bytes fail their check.
 */
export function walLogStore(options: WalOptions): WalLogStore {
  return new Wal(checkOptions(options));
}

class Wal implements WalLogStore {
  readonly #options: Required<Omit<WalOptions, "clock">> & Pick<WalOptions, "clock">;
  readonly #disk: Disk;
  readonly #metrics: Metrics;
  readonly #logger: Logger;
  readonly #cache: EntryCache;
  #state: "new" | "opening" | "open" | "closed" = "new";
  #faults: readonly WalFault[] = [];
  /** What is durable. */
  #image: LogImage | undefined;
  #writer: SegmentWriter | undefined;
  /** What will be durable once everything that is queued has been written. */
  #terms: TermRuns = new TermRuns(0, 0);
  #base: LogBase = { index: 0 as LogIndex, term: 0 as Term };
  #queue: Pending[] = [];
  #flushing: Promise<void> | undefined;
  #removing: Promise<void> = Promise.resolve();
  #failure: LogFailedError | undefined;
  /** Files to be set aside once the log goes on elsewhere. */
  #damaged: readonly string[] = [];

  constructor(options: WalOptions) {
    this.#options = {
      directory: "wal",
      groupId: new Uint8Array(0),
      segmentBytes: 64 << 20,
      allocateBytes: Math.min(options.segmentBytes ?? 64 << 20, 4 << 20),
      cacheBytes: 16 << 20,
      flushBytes: 8 << 20,
      logger: silentLogger,
      metrics: silentMetrics,
      ...options,
    };
    this.#disk = options.disk;
    this.#metrics = this.#options.metrics;
    this.#logger = this.#options.logger;
    this.#cache = new EntryCache(this.#options.cacheBytes);
  }

  get faults(): readonly WalFault[] {
    return this.#faults;
  }

  async open(): Promise<RecoveredLog> {
    if (this.#state !== "new") throw new LogClosedError(this.#state === "closed" ? "closed" : "open already");
    this.#state = "opening";
    try {
      const onFailure = (what: string, cause: unknown): void => this.#fail(what, cause);
      const opened = await openWal({ ...this.#options, onFailure });
      // A close that came meanwhile has had nothing to close.
      if (this.#state !== "opening") {
        await opened.writer.close();
        for (const segment of opened.image.segments) await segment.retire();
        throw new LogClosedError("closed");
      }
      this.#image = opened.image;
      this.#writer = opened.writer;
      this.#faults = opened.faults;
      this.#damaged = opened.damaged;
      this.#adopt(opened.image);
      this.#state = "open";
      this.#metrics.gauge("revoada_raft_wal_suspect_count", opened.image.suspect ? 1 : 0);
      this.#gauges();
      const { base, hardState, lastIndex, suspect } = opened.image;
      return { storeId: opened.storeId, hardState, base, lastIndex, integrity: suspect ? "corrupt" : "ok" };
    } catch (error) {
      if (this.#state === "opening") this.#state = "new";
      throw error;
    }
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
        this.#cache.truncate(truncateFrom);
      }
      for (const entry of entries) {
        this.#terms.push(entry.term);
        this.#cache.push(entry);
      }
      return this.#enqueue(step, bytes, last + 1);
    });
  }

  async read(from: LogIndex, to: LogIndex, maxBytes: number): Promise<readonly LogEntry[]> {
    const image = this.#opened();
    if (from <= this.#base.index && from < to) throw new LogCompactedError(from, this.#base.index);
    const end = Math.min(to, this.#terms.last + 1);
    if (from >= end) return [];
    const cacheFirst = this.#cache.size === 0 ? Infinity : this.#cache.first;
    if (from >= cacheFirst) return this.#readCache([], from, end, maxBytes);
    const entries = await readFromDisk(this.#disk, image, from, Math.min(end, cacheFirst), maxBytes);
    await this.#restSegments();
    if (entries.length === 0) throw new LogCompactedError(from, this.#base.index);
    // What is in memory may have changed meanwhile; it follows only where it still does.
    const next = from + entries.length;
    if (next < cacheFirst || this.#cache.size === 0 || next < this.#cache.first) return entries;
    return this.#readCache(entries, next, Math.min(end, this.#terms.last + 1), maxBytes);
  }

  term(index: LogIndex): Term | undefined {
    return this.#state === "open" ? this.#termAt(index) : undefined;
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
    this.#cache.dropThrough(Math.min(base.index, this.#stableBelow() - 1));
    await this.#removeSegments();
  }

  async reset(base: LogBase, hardState: HardState): Promise<void> {
    await this.#guarded(() => {
      checkBase(base);
      checkHardState(hardState);
      const step: WalStep = { reset: base, entries: [], hardState };
      this.#base = base;
      this.#terms.clear(base.index, base.term);
      this.#cache.clear();
      return this.#enqueue(step, stepBytes(step), 0);
    });
    await this.#removeSegments();
  }

  async markRefilled(): Promise<void> {
    await this.#guarded(() => {
      const step: WalStep = { entries: [], suspect: false };
      return this.#enqueue(step, stepBytes(step), Infinity);
    });
    await removeQuarantined(this.#disk, this.#options.directory);
    this.#metrics.gauge("revoada_raft_wal_suspect_count", 0);
  }

  async close(): Promise<void> {
    if (this.#state === "closed") return;
    this.#state = "closed";
    await this.#flushing;
    await this.#removing;
    await this.#writer?.close();
    for (const segment of this.#image?.segments ?? []) await segment.retire();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #opened(): LogImage {
    if (this.#image === undefined || this.#state !== "open")
      throw new LogClosedError(this.#state === "closed" ? "closed" : "not open");
    return this.#image;
  }

  #throwIfFailed(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  #guarded(body: () => Promise<void>): Promise<void> {
    try {
      this.#opened();
      this.#throwIfFailed();
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
      const entry = this.#cache.get(index as LogIndex);
      if (entry === undefined || (entries.length > 0 && entry.payload.length > room)) break;
      entries.push(entry);
      room -= entry.payload.length;
    }
    return entries;
  }

  #enqueue(step: WalStep, bytes: number, from: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ step, bytes, from, resolve, reject });
      this.#flushing ??= this.#flush();
    });
  }

  async #flush(): Promise<void> {
    // What is appended in this turn belongs to the first flush.
    await Promise.resolve();
    const image = this.#image as LogImage;
    const writer = this.#writer as SegmentWriter;
    while (this.#queue.length > 0) {
      const group = this.#takeGroup();
      try {
        this.#throwIfFailed();
        const startMs = this.#options.clock?.monotonicMs();
        const segment = image.segments.at(-1);
        await writer.write(
          group.map((pending) => pending.step),
          image,
        );
        this.#measure(group, startMs);
        if (image.segments.at(-1) !== segment) await this.#rolled();
      } catch (error) {
        this.#refuse(group, error);
        continue;
      }
      this.#cache.evict(this.#stableBelow());
      for (const pending of group) pending.resolve();
    }
    this.#flushing = undefined;
  }

  /** Everything that waits, as far as one flush may take. */
  #takeGroup(): Pending[] {
    let bytes = 0;
    let count = 0;
    for (const pending of this.#queue) {
      bytes += pending.bytes;
      if (count > 0 && bytes > this.#options.flushBytes) break;
      count++;
    }
    if (count < this.#queue.length) return this.#queue.splice(0, count);
    const group = this.#queue;
    this.#queue = [];
    return group;
  }

  #refuse(group: readonly Pending[], error: unknown): void {
    const refused = [...group, ...this.#queue];
    this.#queue = [];
    if (this.#failure === undefined && isFabricError(error, "LOG_FULL")) {
      // Nothing was written: the log is what is durable, and what was appended on top of the refused falls with it.
      this.#metrics.count("revoada_raft_wal_full_total");
      this.#adopt(this.#image as LogImage);
    } else {
      this.#fail("a write", error);
    }
    for (const pending of refused) pending.reject(this.#failure ?? error);
  }

  #adopt(image: LogImage): void {
    this.#terms = image.terms.clone();
    this.#base = image.base;
    this.#cache.clear();
  }

  #fail(what: string, cause: unknown): void {
    if (this.#failure !== undefined) return;
    this.#failure = new LogFailedError(what, cause);
    this.#logger.error("the log has failed and must be opened anew", { cause: this.#failure.message });
    this.#metrics.count("revoada_raft_wal_failed_total");
  }

  /** The index below which memory and disk say the same, whatever is still queued. */
  #stableBelow(): number {
    let below = (this.#image as LogImage).lastIndex + 1;
    for (const pending of this.#queue) below = Math.min(below, pending.from);
    return below;
  }

  async #rolled(): Promise<void> {
    if (this.#damaged.length > 0) {
      await quarantine(this.#disk, this.#options.directory, this.#damaged);
      this.#damaged = [];
    }
    await this.#restSegments();
    this.#gauges();
  }

  /** Keeps few files open: reading an old segment opens it again. */
  async #restSegments(): Promise<void> {
    const segments = this.#image?.segments ?? [];
    let excess = segments.reduce((count, segment) => count + (segment.isOpen ? 1 : 0), 0) - maxOpenSegments;
    for (let at = 0; at < segments.length - 1 && excess > 0; at++) {
      const segment = segments[at] as Segment;
      if (!segment.isOpen) continue;
      await segment.rest();
      excess--;
    }
  }

  #removeSegments(): Promise<void> {
    this.#removing = this.#removing.then(() => this.#dropDead());
    return this.#removing;
  }

  /** Removes what the base has made superfluous, the oldest first. What cannot be removed now is removed by a later `open`. */
  async #dropDead(): Promise<void> {
    const image = this.#image as LogImage;
    const dead = image.segments.splice(0, image.droppableSegments());
    if (dead.length === 0) return;
    try {
      for (const segment of dead) {
        await segment.retire();
        await this.#disk.remove(segment.path);
      }
      await this.#disk.syncDirectory(this.#options.directory);
    } catch (error) {
      this.#logger.warn("a segment that is no longer needed could not be removed", { error });
    }
    this.#gauges();
  }

  #measure(group: readonly Pending[], startMs: number | undefined): void {
    const clock = this.#options.clock;
    if (clock !== undefined && startMs !== undefined) {
      this.#metrics.observe("revoada_raft_wal_flush_ms", clock.monotonicMs() - startMs);
    }
    let bytes = 0;
    for (const pending of group) bytes += pending.bytes;
    this.#metrics.observe("revoada_raft_wal_flush_bytes", bytes);
    this.#metrics.observe("revoada_raft_wal_flush_batches_count", group.length);
    this.#metrics.gauge("revoada_raft_wal_room_bytes", this.#writer?.roomBytes ?? 0);
  }

  #gauges(): void {
    this.#metrics.gauge("revoada_raft_wal_segments_count", this.#image?.segments.length ?? 0);
  }
}
