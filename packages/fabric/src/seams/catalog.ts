import type { Revision } from "../ids.ts";
import type { Fence, LeaseId, Leases } from "./lease.ts";

/** One key's value at a revision. */
export interface CatalogEntry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly createRevision: Revision;
  readonly modRevision: Revision;
  /** 1 at creation, +1 per change, starting again after a deletion. */
  readonly version: number;
  /** The lease that this value was put with; absent where it was put without one. */
  readonly lease?: LeaseId;
}

/** A condition on one key. A missing key has createRevision, modRevision and version 0. */
export type Compare =
  | {
      readonly key: Uint8Array;
      readonly target: "createRevision" | "modRevision" | "version";
      readonly is: "=" | "!=" | "<" | ">";
      readonly value: number;
    }
  | { readonly key: Uint8Array; readonly target: "value"; readonly is: "=" | "!="; readonly value: Uint8Array };

export type CatalogOperation =
  | {
      readonly type: "put";
      readonly key: Uint8Array;
      readonly value: Uint8Array;
      /** Attaches the key to this lease, and to no other; a put without one detaches it. */
      readonly lease?: LeaseId;
    }
  | { readonly type: "delete"; readonly key: Uint8Array; /** Exclusive end of a range. */ readonly end?: Uint8Array }
  | { readonly type: "get"; readonly key: Uint8Array; readonly end?: Uint8Array; readonly limit?: number };

export interface CatalogTransaction {
  readonly compare: readonly Compare[];
  readonly then: readonly CatalogOperation[];
  readonly else: readonly CatalogOperation[];
  /** Judged before the conditions. Where it does not hold, neither branch runs and the transaction rejects with `CATALOG_FENCED`. */
  readonly fence?: Fence;
}

export type OperationResult =
  | { readonly type: "put"; readonly previous?: CatalogEntry }
  | { readonly type: "delete"; readonly deleted: number }
  | { readonly type: "get"; readonly entries: readonly CatalogEntry[]; readonly more: boolean };

export interface TransactionResult {
  /** Whether `then` ran. */
  readonly succeeded: boolean;
  /** The catalog's revision after the transaction; unchanged where nothing was written. */
  readonly revision: Revision;
  readonly results: readonly OperationResult[];
}

/** `linearizable`: sees all that was acknowledged before the call; `stale`: answers locally at once and says how old it may be. */
export type Consistency = "linearizable" | "stale";

export interface ReadOptions {
  readonly consistency?: Consistency;
  readonly signal?: AbortSignal;
}

export interface RangeRequest {
  readonly start: Uint8Array;
  /** Exclusive; absent: only `start` itself. */
  readonly end?: Uint8Array;
  /** Absent: the newest. Below the compaction floor: `CATALOG_COMPACTED`; above the newest: `CATALOG_FUTURE_REVISION`. */
  readonly revision?: Revision;
  readonly limit?: number;
  readonly keysOnly?: boolean;
}

export interface RangeResult {
  /** The revision that was read at. */
  readonly revision: Revision;
  readonly entries: readonly CatalogEntry[];
  readonly more: boolean;
  /** How many keys are in the range, whatever the limit. */
  readonly count: number;
  /** Milliseconds since the answering replica last knew itself current; 0 for linearizable reads. */
  readonly ageMs: number;
}

/** `deleted` carries the last value as `previous`. */
export type CatalogEvent =
  | { readonly type: "put"; readonly entry: CatalogEntry; readonly previous?: CatalogEntry }
  | {
      readonly type: "delete";
      readonly key: Uint8Array;
      readonly modRevision: Revision;
      readonly previous?: CatalogEntry;
    };

/** What a watcher gets: all events of one revision together, or a reset that carries the whole state of its range. */
export type WatchBatch =
  | { readonly type: "events"; readonly revision: Revision; readonly events: readonly CatalogEvent[] }
  | {
      readonly type: "reset";
      readonly revision: Revision;
      /** Why history could not be told: it was compacted, the consumer was too slow, or the state was replaced. */
      readonly reason: "compacted" | "overflow" | "restored";
      readonly entries: readonly CatalogEntry[];
    }
  /** Nothing happened in the range up to `revision`; sent at most every few seconds. */
  | { readonly type: "progress"; readonly revision: Revision };

/**
 * The replicated resource catalog: every revision of every key until compacted.
 *
 * Writes reject as `Consensus.propose` does, and with `CATALOG_READ_ONLY` while the cluster forms, `CATALOG_TOO_LARGE` beyond
 * 1 MiB a value, 4 MiB and 1,024 operations a transaction, `CATALOG_INVALID_TRANSACTION` for duplicate writes of one key,
 * `CATALOG_LEASE_NOT_FOUND` and `CATALOG_LEASE_LIMIT` for puts with a lease, `CATALOG_FENCED` under a fence that does not hold.
 */
export interface Catalog {
  readonly leases: Leases;
  revision(): Revision;
  compactedRevision(): Revision;
  get(key: Uint8Array, options?: ReadOptions): Promise<CatalogEntry | undefined>;
  range(request: RangeRequest, options?: ReadOptions): Promise<RangeResult>;
  txn(
    transaction: CatalogTransaction,
    options?: { readonly signal?: AbortSignal; readonly timeoutMs?: number },
  ): Promise<TransactionResult>;
  /**
   * Yields every change of the range from `fromRevision` on (the next one, where absent), revisions strictly rising, none lost and
   * none twice. Memory is bounded: a slow consumer gets a reset.
   */
  watch(request: {
    readonly start: Uint8Array;
    readonly end?: Uint8Array;
    readonly fromRevision?: Revision;
    readonly signal: AbortSignal;
  }): AsyncIterable<WatchBatch>;
  /** Drops history below `revision`; the newest value of each key stays. */
  compact(revision: Revision, options?: { readonly signal?: AbortSignal; readonly fence?: Fence }): Promise<void>;
  /** Counts of live keys, of watchers, and of revisions kept. */
  counts(): { readonly keys: number; readonly watchers: number; readonly history: number };
  /** All entries at one revision, as a self-contained checked stream. */
  snapshot(options?: { readonly signal?: AbortSignal }): AsyncIterable<Uint8Array>;
  /** Replaces the whole catalog by a snapshot, atomically and at a new revision; nothing changes where a byte is wrong. */
  restore(chunks: AsyncIterable<Uint8Array>, options?: { readonly signal?: AbortSignal }): Promise<Revision>;
}
