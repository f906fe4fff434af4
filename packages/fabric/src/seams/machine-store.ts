import type { ClusterId, LogIndex, Term } from "../ids.ts";

/** Bounds of a scan over one tree, in byte order. `start` is inclusive, `end` exclusive. */
export interface StoreRange {
  readonly start?: Uint8Array;
  readonly end?: Uint8Array;
  readonly reverse?: boolean;
  readonly limit?: number;
}

/** Reads over named trees of byte keys in lexicographic order. Returned bytes belong to the caller. */
export interface StoreReader {
  get(tree: string, key: Uint8Array): Uint8Array | undefined;
  range(tree: string, range?: StoreRange): Iterable<{ readonly key: Uint8Array; readonly value: Uint8Array }>;
  /** Names of the trees that are not empty, sorted. */
  trees(): readonly string[];
}

/** Reads see the transaction's own writes. Keys: 1–1,024 bytes. */
export interface StoreTransaction extends StoreReader {
  put(tree: string, key: Uint8Array, value: Uint8Array): void;
  /** True where the key was there. */
  delete(tree: string, key: Uint8Array): boolean;
  clear(tree: string): void;
}

/** A picture that later transactions do not change. */
export interface StoreView extends StoreReader {
  dispose(): void;
}

/** What is to take the place of everything in a store. Nobody sees it before `commit`, and a crash before that leaves nothing of it. */
export interface StoreReplacement {
  /** Takes an entry; of two with one key the later one counts. */
  put(tree: string, key: Uint8Array, value: Uint8Array): void;
  /** Resolves once more may be put: what was put is on its way to where it belongs, and little of it is held. */
  drained(): Promise<void>;
  /** Puts it in force, in one step, and durably where the store is. What was there is removed afterwards, little by little. */
  commit(): Promise<void>;
  /** Gives up; nothing has changed. After `commit` it does nothing. */
  abandon(): Promise<void>;
}

/** Where the one machine keeps everything: one ordered store, one writer, atomic transactions. */
export interface MachineStore extends StoreReader, AsyncDisposable {
  /** True where flushed transactions survive the process. */
  readonly durable: boolean;
  /** Runs `body` as one atomic transaction; a throw leaves nothing behind and is passed on. Never nested. */
  transact<T>(body: (transaction: StoreTransaction) => T): T;
  view(): StoreView;
  /**
   * Begins to replace everything, one replacement at a time. What transactions change until it is committed is replaced as well.
   * Views that are open keep their picture.
   */
  replace(): Promise<StoreReplacement>;
  /** Makes every transaction that has returned durable. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

/** What a sub-machine may know of the command that it applies: replicated facts only, so that apply is deterministic. */
export interface ApplyContext {
  readonly clusterId: ClusterId;
  readonly index: LogIndex;
  readonly term: Term;
  /** Committed time: the larger of the command's and the previous one's, milliseconds since the epoch. */
  readonly timeMs: number;
  /** False while the mode is read-only: catalog writes are then refused. */
  readonly writable: boolean;
}

/**
 * A part of the one machine. Its trees are its own; it writes only through the transaction that it is given.
 *
 * `apply` must be deterministic and must not throw for any bytes: a refusal is a result. Snapshots, restoring and hashing are
 * done over `trees` by the machine itself.
 */
export interface SubMachine {
  readonly name: string;
  readonly trees: readonly string[];
  apply(transaction: StoreTransaction, command: Uint8Array, context: ApplyContext): Uint8Array;
  /** Called once after the transaction that held the applied commands has committed: the moment to wake watchers. */
  committed(): void;
  /** Called after the store was replaced by a snapshot, and once before the first apply: drop and rebuild what is cached. */
  restored(store: StoreReader): void;
}
