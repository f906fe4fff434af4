import { FabricError } from "@revoada/fabric";

/** The cluster does not take writes now: it is still forming. Retryable. */
export class CatalogReadOnlyError extends FabricError {
  constructor() {
    super("CATALOG_READ_ONLY", "the catalog takes no writes while the cluster forms", { retryable: true });
  }
}

/** A value, a key, a transaction or its results are beyond the limits. */
export class CatalogTooLargeError extends FabricError {
  constructor(message: string) {
    super("CATALOG_TOO_LARGE", message);
  }
}

/** A transaction contradicts itself: one key written twice, an empty key. */
export class CatalogInvalidTransactionError extends FabricError {
  constructor(message: string) {
    super("CATALOG_INVALID_TRANSACTION", message);
  }
}

/** What was asked for lies below the revision up to which history was dropped. */
export class CatalogCompactedError extends FabricError {
  readonly revision: number;
  readonly compactedRevision: number;

  constructor(revision: number, compactedRevision: number) {
    super("CATALOG_COMPACTED", `revision ${revision} was compacted, the oldest kept is ${compactedRevision}`);
    this.revision = revision;
    this.compactedRevision = compactedRevision;
  }
}

/** What was asked for has not happened yet, as far as this replica knows. Retryable: it may be behind. */
export class CatalogFutureRevisionError extends FabricError {
  readonly revision: number;
  readonly newest: number;

  constructor(revision: number, newest: number) {
    super("CATALOG_FUTURE_REVISION", `revision ${revision} is ahead of the newest one, ${newest}`, { retryable: true });
    this.revision = revision;
    this.newest = newest;
  }
}

/** The lease has ended, or there has never been one of this id. */
export class CatalogLeaseNotFoundError extends FabricError {
  constructor(message: string) {
    super("CATALOG_LEASE_NOT_FOUND", message);
  }
}

/** More leases, more keys of one, or another duration than there may be. */
export class CatalogLeaseLimitError extends FabricError {
  constructor(message: string) {
    super("CATALOG_LEASE_LIMIT", message);
  }
}

/** Somebody else holds the duty. Retryable: it becomes free when its lease ends. */
export class CatalogDutyHeldError extends FabricError {
  constructor(message: string) {
    super("CATALOG_DUTY_HELD", message, { retryable: true });
  }
}

/** The duty is not held under the token that the write came with: somebody else may have taken over. Nothing was written. */
export class CatalogFencedError extends FabricError {
  constructor(message: string) {
    super("CATALOG_FENCED", message);
  }
}

/** The lease is over and its end is not committed yet: nobody can say whether it will be. Retryable. */
export class LeaseUndecidedError extends FabricError {
  constructor(id: number) {
    super("RAFT_NO_QUORUM", `whether lease ${id} has ended is not decided yet`, { retryable: true });
  }
}

/** Another node leads than the one that was asked to count time. Retryable. */
export class LeaseNotLeaderError extends FabricError {
  constructor(message = "this node does not lead: it counts no leases") {
    super("RAFT_NOT_LEADER", message, { retryable: true });
  }
}

/** Bytes that are not a command of the catalog, or that are out of place. */
export class CatalogInvalidCommandError extends FabricError {
  constructor(message: string) {
    super("CATALOG_INVALID_COMMAND", message);
  }
}

/** What came back for a command is no result of the catalog: somebody else answered. */
export class CatalogInvalidResultError extends FabricError {
  constructor(message: string) {
    super("CATALOG_INVALID_RESULT", message);
  }
}

/** Another restore has begun since; this one changed nothing. */
export class CatalogRestoreSupersededError extends FabricError {
  constructor() {
    super("CATALOG_RESTORE_SUPERSEDED", "another restore has taken the place of this one");
  }
}

/** A snapshot that is cut off, altered or not one at all; nothing was restored. */
export class CatalogSnapshotInvalidError extends FabricError {
  constructor(reason: string, options: { readonly cause?: unknown } = {}) {
    super("CATALOG_SNAPSHOT_INVALID", `the snapshot is not intact: ${reason}`, options);
  }
}

/** A store or snapshot that a newer release wrote. */
export class CatalogNewerFormatError extends FabricError {
  readonly found: number;
  readonly known: number;

  constructor(what: string, found: number, known: number) {
    super("CATALOG_NEWER_FORMAT", `${what} has format ${found}, this release knows formats up to ${known}`);
    this.found = found;
    this.known = known;
  }
}

/** Stored bytes fail their check, or the files are no store of ours. */
export class CatalogStoreCorruptError extends FabricError {
  constructor(message: string, options: { readonly cause?: unknown } = {}) {
    super("CATALOG_STORE_CORRUPT", message, options);
  }
}

/**
 * The disk does not take what was committed, or does not give it back. Retryable where it is only full: nothing was begun then. Otherwise the
 * store has to be opened again.
 */
export class CatalogStoreFailedError extends FabricError {
  constructor(message: string, options: { readonly cause?: unknown; readonly retryable?: boolean } = {}) {
    super("CATALOG_STORE_FAILED", message, options);
  }
}

/** More is waiting to be flushed than memory is allowed for. Retryable once the disk has caught up. */
export class CatalogStoreBackpressureError extends FabricError {
  constructor(waitingBytes: number, limitBytes: number) {
    super("CATALOG_STORE_BACKPRESSURE", `${waitingBytes} bytes wait to be flushed, more than ${limitBytes}`, {
      retryable: true,
    });
  }
}

/** The store or the view was closed. */
export class CatalogStoreClosedError extends FabricError {
  constructor(what: "store" | "view" | "transaction" | "replacement") {
    super("CATALOG_STORE_CLOSED", `the ${what} is closed`);
  }
}
