import {
  silentLogger,
  silentMetrics,
  type Clock,
  type Disk,
  type Logger,
  type Metrics,
  type Random,
} from "@revoada/fabric";
import { checkOptions } from "./check-batch.ts";
import { GroupLog } from "./group-log.ts";
import { WalStore, type WalLogStore } from "./store.ts";
import { WalEngine, type EngineOptions } from "./wal-engine.ts";

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

/** Options with every default filled in. */
export function engineOptions(
  options: Omit<WalOptions, "groupId">,
  shared: boolean,
  groupId: Uint8Array,
): EngineOptions {
  const { disk, random, clock } = options;
  return {
    disk,
    random,
    groupId,
    shared,
    directory: options.directory ?? "wal",
    segmentBytes: options.segmentBytes ?? 64 << 20,
    allocateBytes: options.allocateBytes ?? Math.min(options.segmentBytes ?? 64 << 20, 4 << 20),
    cacheBytes: options.cacheBytes ?? 16 << 20,
    flushBytes: options.flushBytes ?? 8 << 20,
    logger: options.logger ?? silentLogger,
    metrics: options.metrics ?? silentMetrics,
    ...(clock === undefined ? {} : { clock }),
  };
}

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
  const resolved = engineOptions(checkOptions(options), false, options.groupId ?? new Uint8Array(0));
  return new WalStore({
    async acquire() {
      const engine = await WalEngine.open(resolved);
      return new GroupLog(engine, engine.image.only);
    },
    async release(log) {
      log.detach();
      await log.engine.close();
    },
  });
}
