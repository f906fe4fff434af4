import {
  isFabricError,
  type Clock,
  type Disk,
  type Logger,
  type Metrics,
  type Random,
  type StoreId,
} from "@revoada/fabric";
import type { WalStep } from "./batch-encoder.ts";
import { CacheBudget } from "./entry-cache.ts";
import { LogClosedError, LogFailedError } from "./errors.ts";
import type { LogImage, WalImage } from "./log-image.ts";
import { openWal, quarantine, removeQuarantined } from "./open-wal.ts";
import type { WalFault } from "./recovery.ts";
import type { Segment } from "./segment.ts";
import type { GroupSteps, SegmentWriter } from "./segment-writer.ts";

/** What a log is made of, with every default filled in. */
export interface EngineOptions {
  readonly disk: Disk;
  readonly directory: string;
  readonly random: Random;
  readonly groupId: Uint8Array;
  readonly shared: boolean;
  readonly segmentBytes: number;
  readonly allocateBytes: number;
  readonly cacheBytes: number;
  readonly flushBytes: number;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly clock?: Clock;
}

/** The log of one group as its user sees it: what it will be once everything that is queued has been written. */
export interface GroupView {
  readonly image: LogImage;
  /** Falls back to what is durable: what was queued has been refused. */
  adopt(): void;
  /** Lets go of cached entries below an index. */
  readonly cache: { readonly size: number };
  /** Lowest index that a queued step changes, as counted at `stamp`. */
  queuedFrom: number;
  stamp: number;
}

interface Pending {
  readonly view: GroupView;
  readonly step: WalStep;
  readonly bytes: number;
  /** The lowest index that the step changes. */
  readonly from: number;
  resolve(): void;
  reject(error: unknown): void;
}

const maxOpenSegments = 8;

/**
 * The files of a log and what is written to them, for one group or for many.
 *
 * One flush is in flight at a time; whatever any group appends meanwhile is the next one, a single write and a single sync.
 */
export class WalEngine {
  readonly options: EngineOptions;
  readonly budget: CacheBudget;
  readonly storeId: StoreId;
  readonly faults: readonly WalFault[];
  /** What is durable. */
  readonly image: WalImage;
  /** Called once the log has begun another segment. */
  onRolled: (() => void) | undefined;
  readonly #writer: SegmentWriter;
  readonly #views: Map<unknown, GroupView> = new Map();
  #queue: Pending[] = [];
  #flushing: Promise<void> | undefined;
  #removing: Promise<void> = Promise.resolve();
  #failure: LogFailedError | undefined;
  #closed = false;
  #stamp = 0;
  /** Files to be set aside once the log goes on elsewhere. */
  #damaged: readonly string[];

  private constructor(options: EngineOptions, opened: Awaited<ReturnType<typeof openWal>>) {
    this.options = options;
    this.budget = new CacheBudget(options.cacheBytes);
    this.storeId = opened.storeId;
    this.faults = opened.faults;
    this.image = opened.image;
    this.#writer = opened.writer;
    this.#damaged = opened.damaged;
    this.measureSuspects();
    this.#gauges();
  }

  static async open(options: EngineOptions): Promise<WalEngine> {
    const holder: { engine?: WalEngine } = {};
    const onFailure = (what: string, cause: unknown): void => holder.engine?.fail(what, cause);
    const engine = new WalEngine(options, await openWal({ ...options, onFailure }));
    holder.engine = engine;
    return engine;
  }

  get failure(): LogFailedError | undefined {
    return this.#failure;
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  /** Registers whose cached entries may be let go of. */
  watch(cache: unknown, view: GroupView): void {
    this.#views.set(cache, view);
  }

  unwatch(cache: unknown): void {
    this.#views.delete(cache);
  }

  enqueue(view: GroupView, step: WalStep, bytes: number, from: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ view, step, bytes, from, resolve, reject });
      this.#flushing ??= this.#flush();
    });
  }

  /** Resolves once nothing is queued or in flight. */
  async idle(): Promise<void> {
    await this.#flushing;
    await this.#removing;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.idle();
    await this.#writer.close();
    for (const segment of this.image.segments) await segment.retire();
  }

  fail(what: string, cause: unknown): void {
    if (this.#failure !== undefined) return;
    this.#failure = new LogFailedError(what, cause);
    this.options.logger.error("the log has failed and must be opened anew", { cause: this.#failure.message });
    this.options.metrics.count("revoada_raft_wal_failed_total");
  }

  throwIfUnusable(): void {
    if (this.#closed) throw new LogClosedError("closed");
    if (this.#failure !== undefined) throw this.#failure;
  }

  async #flush(): Promise<void> {
    // What is appended in this turn belongs to the first flush.
    await Promise.resolve();
    const { image } = this;
    while (this.#queue.length > 0) {
      const group = this.#takeGroup();
      try {
        if (this.#failure !== undefined) throw this.#failure;
        const startMs = this.options.clock?.monotonicMs();
        const segment = image.segments.at(-1);
        await this.#writer.write(image.shared ? byGroup(group) : ofOne(group), image);
        this.#measure(group, startMs);
        if (image.segments.at(-1) !== segment) await this.#rolled();
      } catch (error) {
        this.#refuse(group, error);
        continue;
      }
      this.#evict();
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
      if (count > 0 && bytes > this.options.flushBytes) break;
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
      this.options.metrics.count("revoada_raft_wal_full_total");
      for (const view of new Set(refused.map((pending) => pending.view))) view.adopt();
    } else {
      this.fail("a write", error);
    }
    for (const pending of refused) pending.reject(this.#failure ?? error);
  }

  #evict(): void {
    if (this.budget.bytes <= this.budget.maxBytes) return;
    this.#stamp++;
    for (const { view, from } of this.#queue) {
      view.queuedFrom = view.stamp === this.#stamp ? Math.min(view.queuedFrom, from) : from;
      view.stamp = this.#stamp;
    }
    this.budget.evict((cache) => {
      const view = this.#views.get(cache);
      return view === undefined ? Infinity : this.#stable(view);
    });
  }

  #stable(view: GroupView): number {
    const durable = view.image.lastIndex + 1;
    return view.stamp === this.#stamp ? Math.min(durable, view.queuedFrom) : durable;
  }

  /** The index below which memory and disk say the same of a group, whatever is still queued. */
  stableBelow(view: GroupView): number {
    let below = view.image.lastIndex + 1;
    for (const pending of this.#queue) if (pending.view === view) below = Math.min(below, pending.from);
    return below;
  }

  async #rolled(): Promise<void> {
    if (this.#damaged.length > 0) {
      await quarantine(this.options.disk, this.options.directory, this.#damaged);
      this.#damaged = [];
    }
    await this.restSegments();
    this.#gauges();
    this.onRolled?.();
  }

  /** Keeps few files open: reading an old segment opens it again. */
  async restSegments(): Promise<void> {
    const { segments } = this.image;
    if (segments.length <= maxOpenSegments) return;
    let excess = segments.reduce((count, segment) => count + (segment.isOpen ? 1 : 0), 0) - maxOpenSegments;
    for (let at = 0; at < segments.length - 1 && excess > 0; at++) {
      const segment = segments[at] as Segment;
      if (!segment.isOpen) continue;
      await segment.rest();
      excess--;
    }
  }

  /** Removes segments that nobody needs, the oldest first. What cannot be removed now is removed by a later opening. */
  removeSegments(): Promise<void> {
    this.#removing = this.#removing.then(() => this.#dropDead());
    return this.#removing;
  }

  async #dropDead(): Promise<void> {
    const { image } = this;
    const { disk, directory, logger } = this.options;
    const dead = image.segments.splice(0, image.droppableSegments());
    if (dead.length === 0) return;
    try {
      for (const segment of dead) {
        await segment.retire();
        await disk.remove(segment.path);
      }
      await disk.syncDirectory(directory);
    } catch (error) {
      logger.warn("a segment that is no longer needed could not be removed", { error });
    }
    this.#gauges();
  }

  /** Removes damaged files that were set aside, once nobody has to be refilled. */
  async settleDamage(): Promise<void> {
    this.measureSuspects();
    if (this.image.suspects === 0) await removeQuarantined(this.options.disk, this.options.directory);
  }

  measureSuspects(): void {
    this.options.metrics.gauge("revoada_raft_wal_suspect_count", this.image.suspects);
  }

  #measure(group: readonly Pending[], startMs: number | undefined): void {
    const { clock, metrics } = this.options;
    if (clock !== undefined && startMs !== undefined) {
      metrics.observe("revoada_raft_wal_flush_ms", clock.monotonicMs() - startMs);
    }
    let bytes = 0;
    for (const pending of group) bytes += pending.bytes;
    metrics.observe("revoada_raft_wal_flush_bytes", bytes);
    metrics.observe("revoada_raft_wal_flush_batches_count", group.length);
    metrics.gauge("revoada_raft_wal_room_bytes", this.#writer.roomBytes);
  }

  #gauges(): void {
    this.options.metrics.gauge("revoada_raft_wal_segments_count", this.image.segments.length);
  }
}

function ofOne(group: readonly Pending[]): GroupSteps[] {
  const [first] = group as readonly [Pending];
  return [{ image: first.view.image, steps: group.map((pending) => pending.step) }];
}

/** Steps of one group stay in order; between groups there is none. */
function byGroup(group: readonly Pending[]): GroupSteps[] {
  const parts = new Map<LogImage, WalStep[]>();
  for (const { view, step } of group) {
    const steps = parts.get(view.image);
    if (steps === undefined) parts.set(view.image, [step]);
    else steps.push(step);
  }
  return [...parts].map(([image, steps]) => ({ image, steps }));
}
