import {
  isFabricError,
  silentMetrics,
  type Clock,
  type LogBatch,
  type LogEntry,
  type LogStore,
  type Metrics,
} from "@revoada/fabric";
import type { Effect } from "../core/types.ts";
import { RaftStoppedError } from "../errors.ts";

export type Persist = Extract<Effect, { readonly type: "persist" }>;

/** What the queue tells its owner. */
export interface WriteOutcome {
  /** All of these are durable, in this order. */
  durable(writes: readonly Persist[]): void;
  failed(error: unknown): void;
}

interface Task {
  readonly work: () => Promise<void>;
  readonly dropped: (reason: Error) => void;
}

/** A full disk is asked again after this long; what waits is not lost meanwhile. */
const retryFullMs = 250;

/** Merges steps of persistence into one batch that leaves the log as they would one after another. */
export function mergeWrites(writes: readonly Persist[]): LogBatch {
  const [only] = writes;
  let entries: LogEntry[] = [];
  let hardState: LogBatch["hardState"];
  let truncateFrom: LogBatch["truncateFrom"];
  for (const write of writes) {
    hardState = write.hardState ?? hardState;
    const from = write.truncateFrom;
    if (from !== undefined) {
      const first = entries[0];
      // A truncation within what this batch brings is dealt with here; one below must reach the store.
      if (first === undefined || from < first.index)
        truncateFrom = truncateFrom === undefined || from < truncateFrom ? from : truncateFrom;
      entries = entries.filter((entry) => entry.index < from);
    }
    if (writes.length > 1) for (const entry of write.entries) entries.push(entry);
  }
  return {
    ...(hardState === undefined ? {} : { hardState }),
    ...(truncateFrom === undefined ? {} : { truncateFrom }),
    entries: writes.length === 1 && only !== undefined ? only.entries : entries,
  };
}

function payloadBytes(batch: LogBatch): number {
  let bytes = 0;
  for (const { payload } of batch.entries) bytes += payload.length;
  return bytes;
}

function isEmpty(batch: LogBatch): boolean {
  return batch.hardState === undefined && batch.truncateFrom === undefined && batch.entries.length === 0;
}

/**
 * Group commit: one flush is in flight, and all that arrives meanwhile is the next one. Nothing lingers.
 *
 * Tasks (compaction, reset) take their turn in the same order.
 */
export class WriteQueue {
  readonly #store: LogStore;
  readonly #clock: Clock;
  readonly #metrics: Metrics;
  readonly #outcome: WriteOutcome;
  #waiting: (Persist | Task)[] = [];
  #busy = false;
  #dead = false;
  #idle: (() => void)[] = [];

  constructor(store: LogStore, clock: Clock, metrics: Metrics, outcome: WriteOutcome) {
    this.#store = store;
    this.#clock = clock;
    this.#metrics = metrics;
    this.#outcome = outcome;
  }

  write(persist: Persist): void {
    if (this.#dead) return;
    this.#waiting.push(persist);
    this.#run();
  }

  /** Runs `work` after all writes so far and before all later ones, or calls `dropped` where the queue ends before. */
  task(work: () => Promise<void>, dropped: Task["dropped"] = () => {}): void {
    if (this.#dead) return dropped(new RaftStoppedError(undefined));
    this.#waiting.push({ work, dropped });
    this.#run();
  }

  /** Nothing is written from now on but what is in flight. */
  stop(): void {
    this.#dead = true;
    const dropped = this.#waiting;
    this.#waiting = [];
    for (const each of dropped) if ("work" in each) each.dropped(new RaftStoppedError(undefined));
  }

  /** Resolves once nothing is in flight or waiting. */
  idle(): Promise<void> {
    if (!this.#busy) return Promise.resolve();
    return new Promise((resolve) => {
      this.#idle.push(resolve);
    });
  }

  #run(): void {
    if (this.#busy) return;
    this.#busy = true;
    void this.#drain();
  }

  async #drain(): Promise<void> {
    try {
      for (;;) {
        const next = this.#waiting[0];
        if (next === undefined) return;
        if ("work" in next) {
          this.#waiting.shift();
          await next.work();
        } else {
          const end = this.#waiting.findIndex((each) => "work" in each);
          await this.#flush(this.#waiting.splice(0, end < 0 ? this.#waiting.length : end) as Persist[]);
        }
      }
    } catch (error) {
      const reported = this.#dead;
      this.stop();
      if (!reported) this.#outcome.failed(error);
    } finally {
      // In the same turn in which nothing was left to do: what comes next must find nobody at work.
      this.#busy = false;
      const idle = this.#idle;
      this.#idle = [];
      for (const resolve of idle) resolve();
    }
  }

  async #flush(writes: readonly Persist[]): Promise<void> {
    const batch = mergeWrites(writes);
    if (!isEmpty(batch)) {
      const startedMs = this.#clock.monotonicMs();
      await this.#append(batch);
      this.#metrics.observe("revoada_raft_persist_ms", this.#clock.monotonicMs() - startedMs);
      this.#metrics.observe("revoada_raft_persist_entries", batch.entries.length);
      if (this.#metrics !== silentMetrics) this.#metrics.observe("revoada_raft_persist_bytes", payloadBytes(batch));
    }
    if (!this.#dead) this.#outcome.durable(writes);
  }

  async #append(batch: LogBatch): Promise<void> {
    for (;;) {
      try {
        return await this.#store.append(batch);
      } catch (error) {
        if (!isFabricError(error, "LOG_FULL") || this.#dead) throw error;
        this.#metrics.count("revoada_raft_disk_full_total");
        await new Promise<void>((resolve) => {
          this.#clock.schedule(retryFullMs, resolve);
        });
      }
    }
  }
}
