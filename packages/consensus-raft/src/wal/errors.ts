import { FabricError } from "@revoada/fabric";

/** The log took a write or sync error and takes no more writes until it is opened anew. A failed sync is never retried. */
export class LogFailedError extends FabricError {
  constructor(what: string, cause: unknown) {
    const detail = cause instanceof Error ? cause.message : String(cause);
    super("LOG_FAILED", `the log takes no more writes: ${what} failed: ${detail}`, { cause });
  }
}

/** There is no room for the batch. Nothing of it was written and the log is as before. */
export class LogFullError extends FabricError {
  constructor(neededBytes: number, cause: unknown) {
    super("LOG_FULL", `no room for ${neededBytes} bytes of log`, { retryable: true, cause });
  }
}

/** Stored bytes failed their check and are not served. */
export class LogCorruptError extends FabricError {
  /** The file that holds the bytes. */
  readonly segment: string;
  readonly offset: number;

  constructor(segment: string, offset: number, reason: string) {
    super("LOG_CORRUPT", `${segment} at ${offset}: ${reason}`);
    this.segment = segment;
    this.offset = offset;
  }
}

/** The log was written by a later release. */
export class LogNewerFormatError extends FabricError {
  constructor(segment: string, version: number, known: number) {
    super("LOG_NEWER_FORMAT", `${segment} has format ${version}, this release knows formats up to ${known}`);
  }
}

/** The log belongs to another cluster or group. */
export class LogOtherClusterError extends FabricError {
  constructor(segment: string, found: string, expected: string) {
    super("LOG_OTHER_CLUSTER", `${segment} belongs to ${found}, not to ${expected}`);
  }
}

/** The log is not open: not yet, or not any more. */
export class LogClosedError extends FabricError {
  constructor(state: string) {
    super("LOG_CLOSED", `the log is ${state}`);
  }
}

/** A batch does not fit the log: it leaves a gap, takes a term back, or cuts below the base. Nothing was written. */
export class LogInvalidBatchError extends FabricError {
  constructor(reason: string) {
    super("LOG_INVALID_BATCH", reason);
  }
}

/** The entries asked for were compacted away; a snapshot holds what they did. */
export class LogCompactedError extends FabricError {
  constructor(index: number, baseIndex: number) {
    super("LOG_COMPACTED", `entry ${index} was compacted, the log begins after ${baseIndex}`);
  }
}

/** The group was dropped from the log for good: what it voted is forgotten, so its id may not come back. */
export class LogForgottenError extends FabricError {
  constructor(groupId: Uint8Array) {
    super("LOG_FORGOTTEN", `group ${Buffer.from(groupId).toString("hex")} was dropped from this log`);
  }
}

/** The log holds as many groups as it may. Nothing was written. */
export class LogTooManyGroupsError extends FabricError {
  constructor(limit: number) {
    super("LOG_TOO_MANY_GROUPS", `the log holds ${limit} groups, as many as it may`);
  }
}
