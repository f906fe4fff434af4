import type { LogIndex, StoreId, Term } from "../ids.ts";
import type { Configuration } from "./consensus.ts";

/** One entry of the replicated log as it is stored. */
export interface LogEntry {
  readonly index: LogIndex;
  readonly term: Term;
  readonly kind: "command" | "noop" | "configuration";
  readonly payload: Uint8Array;
}

/** What must survive together: a vote never stands without its term (one record). */
export interface HardState {
  readonly term: Term;
  readonly vote?: string;
  readonly commitIndex: LogIndex;
}

/** What precedes the first entry after a compaction or an installed snapshot. */
export interface LogBase {
  readonly index: LogIndex;
  readonly term: Term;
  readonly configuration?: Configuration;
}

export interface RecoveredLog {
  readonly storeId: StoreId;
  readonly hardState: HardState;
  readonly base: LogBase;
  readonly lastIndex: LogIndex;
  /** `ok`, or why the tail cannot be trusted: such a replica neither votes nor acknowledges until refilled. */
  readonly integrity: "ok" | "corrupt";
  /** Which of the entries held are configurations, ascending, where the store knows: nobody has to read the whole log to find them. */
  readonly configurations?: readonly LogIndex[];
}

/** One atomic step of persistence. Where `truncateFrom` is given, entries at and after it go first. */
export interface LogBatch {
  readonly hardState?: HardState;
  readonly truncateFrom?: LogIndex;
  readonly entries: readonly LogEntry[];
}

/**
 * Durable storage of a replicated log.
 *
 * A batch is all or nothing across a crash. Once `append` has resolved, the batch survives any crash. A failed sync is fatal:
 * `append` rejects with `LOG_FAILED` and so does every later one, until the store is opened anew.
 */
export interface LogStore extends AsyncDisposable {
  open(): Promise<RecoveredLog>;
  /** Appends in call order; overlapping calls share one flush. */
  append(batch: LogBatch): Promise<void>;
  /** Entries from `from` up to (not including) `to`, at most `maxBytes` of payload but at least one. */
  read(from: LogIndex, to: LogIndex, maxBytes: number): Promise<readonly LogEntry[]>;
  /** The term of an entry that is held or of the base; undefined elsewhere. */
  term(index: LogIndex): Term | undefined;
  /** Forgets entries up to and including `base.index`. */
  compact(base: LogBase): Promise<void>;
  /** Replaces the whole log by a base: a snapshot was installed. */
  reset(base: LogBase, hardState: HardState): Promise<void>;
  close(): Promise<void>;
}
