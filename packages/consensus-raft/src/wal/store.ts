import type { HardState, LogBase, LogBatch, LogEntry, LogIndex, LogStore, RecoveredLog, Term } from "@revoada/fabric";
import { LogClosedError } from "./errors.ts";
import type { GroupLog } from "./group-log.ts";
import type { WalFault } from "./recovery.ts";

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

/** Where a store gets its log from, and gives it back to. */
export interface LogSource {
  acquire(): Promise<GroupLog>;
  release(log: GroupLog): Promise<void>;
}

/** A log store over a log that is made when it is opened. */
export class WalStore implements WalLogStore {
  readonly #source: LogSource;
  #state: "new" | "opening" | "open" | "closed" = "new";
  #log: GroupLog | undefined;
  #faults: readonly WalFault[] = [];

  constructor(source: LogSource) {
    this.#source = source;
  }

  get faults(): readonly WalFault[] {
    return this.#faults;
  }

  async open(): Promise<RecoveredLog> {
    if (this.#state !== "new") throw new LogClosedError(this.#state === "closed" ? "closed" : "open already");
    this.#state = "opening";
    try {
      const log = await this.#source.acquire();
      // A close that came meanwhile has had nothing to close.
      if (this.#state !== "opening") {
        await this.#source.release(log);
        throw new LogClosedError("closed");
      }
      this.#log = log;
      this.#faults = log.engine.faults;
      this.#state = "open";
      return log.recovered();
    } catch (error) {
      if (this.#state === "opening") this.#state = "new";
      throw error;
    }
  }

  append(batch: LogBatch): Promise<void> {
    const log = this.#log;
    return log === undefined ? this.#refusal() : log.append(batch);
  }

  read(from: LogIndex, to: LogIndex, maxBytes: number): Promise<readonly LogEntry[]> {
    const log = this.#log;
    return log === undefined ? this.#refusal() : log.read(from, to, maxBytes);
  }

  term(index: LogIndex): Term | undefined {
    return this.#log?.term(index);
  }

  compact(base: LogBase): Promise<void> {
    const log = this.#log;
    return log === undefined ? this.#refusal() : log.compact(base);
  }

  reset(base: LogBase, hardState: HardState): Promise<void> {
    const log = this.#log;
    return log === undefined ? this.#refusal() : log.reset(base, hardState);
  }

  markRefilled(): Promise<void> {
    const log = this.#log;
    return log === undefined ? this.#refusal() : log.markRefilled();
  }

  async close(): Promise<void> {
    if (this.#state === "closed") return;
    this.#state = "closed";
    const log = this.#log;
    if (log !== undefined) await this.#source.release(log);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #refusal(): Promise<never> {
    return Promise.reject(new LogClosedError(this.#state === "closed" ? "closed" : "not open"));
  }
}
