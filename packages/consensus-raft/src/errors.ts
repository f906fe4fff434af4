import { FabricError, type NodeId, shortId, type StoreId } from "@revoada/fabric";

/** This replica does not lead. Nothing was appended. */
export class RaftNotLeaderError extends FabricError {
  /** Who leads, where that is known. */
  readonly leader: NodeId | undefined;

  constructor(leader: NodeId | undefined) {
    super(
      "RAFT_NOT_LEADER",
      `this replica does not lead, ${leader === undefined ? "nobody is known to" : `${shortId(leader)} does`}`,
      {
        retryable: true,
      },
    );
    this.leader = leader;
  }
}

/** No leader with a quorum was found in time. Nothing was appended. */
export class RaftNoQuorumError extends FabricError {
  constructor(what: string, waitedMs: number | undefined) {
    const within = waitedMs === undefined ? "in time" : `within ${Math.round(waitedMs)} ms`;
    super("RAFT_NO_QUORUM", `no leader took the ${what} ${within}`, { retryable: true });
  }
}

/** More waits than may wait. Nothing was appended. */
export class RaftBackpressureError extends FabricError {
  constructor(what: string) {
    super("RAFT_BACKPRESSURE", `too much waits already: ${what}`, { retryable: true });
  }
}

/** The encoded command is larger than one entry may be. Nothing was appended. */
export class RaftTooLargeError extends FabricError {
  readonly bytes: number;
  /** Undefined where it is another replica's. */
  readonly limit: number | undefined;

  constructor(bytes: number, limit: number | undefined) {
    super(
      "RAFT_TOO_LARGE",
      `a command of ${bytes} bytes, ${limit === undefined ? "more than the leader takes" : `at most ${limit}`}`,
    );
    this.bytes = bytes;
    this.limit = limit;
  }
}

/** The codec could not turn the command into bytes, or the leader's could make nothing of them. Nothing was appended. */
export class RaftBadCommandError extends FabricError {
  constructor(why: string, cause?: unknown) {
    super(
      "RAFT_BAD_COMMAND",
      `the command has no bytes that could be read back: ${why}`,
      cause === undefined ? {} : { cause },
    );
  }
}

/** The replica is not running: not started, shut down, or stopped by what `cause` says. Nothing was appended. */
export class RaftStoppedError extends FabricError {
  constructor(cause?: unknown) {
    const why = cause instanceof Error ? `: ${cause.message}` : "";
    super("RAFT_STOPPED", `the replica is not running${why}`, cause === undefined ? {} : { cause });
  }
}

/** The command was appended, or may have been, and nobody can say here whether it will commit. */
export class RaftOutcomeUnknownError extends FabricError {
  constructor(why: string, cause?: unknown) {
    super(
      "RAFT_OUTCOME_UNKNOWN",
      `whether the command took effect is unknown: ${why}`,
      cause === undefined ? {} : { cause },
    );
  }
}

/** Leadership was not handed over; whoever led goes on. */
export class RaftTransferFailedError extends FabricError {
  constructor(to: NodeId, why: string) {
    super("RAFT_TRANSFER_FAILED", `leadership did not go to ${shortId(to)}: ${why}`, { retryable: true });
  }
}

/** Another change of voters is under way, or the leader has not settled yet. */
export class RaftChangeInProgressError extends FabricError {
  constructor() {
    super("RAFT_CHANGE_IN_PROGRESS", "another change of the configuration is under way", { retryable: true });
  }
}

/** The log of the only voter fails its check: there is nobody to refill it from. */
export class RaftLogCorruptError extends FabricError {
  constructor() {
    super(
      "RAFT_LOG_CORRUPT",
      "the log fails its check and this is the only voter: `revoada wal repair` tells what can be kept",
    );
  }
}

/** The log that was opened anew is of another store than the one that failed: another disk stands in its place, or none. */
export class RaftOtherStoreError extends FabricError {
  constructor(own: StoreId, found: StoreId) {
    super("RAFT_OTHER_STORE", `the log is of store ${found}, and the one that failed was of store ${own}`, {
      retryable: true,
    });
  }
}

/** The machine's state and the log do not meet: entries between them are gone. */
export class RaftMachineBehindError extends FabricError {
  constructor(machineIndex: number, baseIndex: number) {
    super("RAFT_MACHINE_BEHIND", `the machine stands at ${machineIndex} and the log begins after ${baseIndex}`);
  }
}

/** The newest snapshot file fails its check, and the log does not lead on from any other. */
export class RaftSnapshotDamagedError extends FabricError {
  constructor(path: string, fallbackIndex: number, baseIndex: number) {
    super(
      "RAFT_SNAPSHOT_DAMAGED",
      `${path} fails its check, and the log, which begins after ${baseIndex}, does not lead on from ${fallbackIndex}: ` +
        "put a copy of the file back, or let the replica join anew with an empty store",
    );
  }
}

/** The log holds what a later release has written: a replica stops rather than skip it. */
export class RaftNewerCommandError extends FabricError {
  constructor(what: string) {
    super("RAFT_NEWER_COMMAND", `${what} is of a later release`);
  }
}

/** The session is not there any more: closed, or expired by the log. This command was not applied. */
export class RaftSessionExpiredError extends FabricError {
  readonly session: number;

  constructor(session: number) {
    super("RAFT_SESSION_EXPIRED", `session ${session} has expired or was closed`);
    this.session = session;
  }
}

/** A sequence number below what its client has acknowledged, or too far above: this command was not applied now. */
export class RaftSessionSequenceError extends FabricError {
  constructor(session: number, sequence: number, why: string) {
    super("RAFT_SESSION_SEQUENCE", `sequence ${sequence} of session ${session} ${why}`);
  }
}

/** The command was applied, once; its result was too large to be kept for this repeat, or could not be encoded. */
export class RaftResultNotKeptError extends FabricError {
  constructor(session: number, sequence: number) {
    super("RAFT_RESULT_NOT_KEPT", `sequence ${sequence} of session ${session} was applied and its result is not kept`);
  }
}

/** The machine threw: it and its log no longer say the same, so the replica stops. */
export class RaftMachineFailedError extends FabricError {
  constructor(what: string, cause: unknown) {
    super(
      "RAFT_MACHINE_FAILED",
      `the machine failed to ${what}: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    );
  }
}

/** A peer asked for a group that does not take part here: not yet, or not any more. Nothing was done. */
export class RaftUnknownGroupError extends FabricError {
  constructor(groupId: string) {
    super("RAFT_UNKNOWN_GROUP", `group ${groupId} is not here`, { retryable: true });
  }
}

/** The host runs a replica of this group already. */
export class RaftDuplicateGroupError extends FabricError {
  constructor(groupId: string) {
    super("RAFT_DUPLICATE_GROUP", `group ${groupId} is here already: shut it down first`);
  }
}

/** Bytes of a peer or a file are not what they should be. */
export class RaftBadFrameError extends FabricError {
  constructor(what: string) {
    super("RAFT_BAD_FRAME", what);
  }
}

/** A snapshot file or stream fails its check. */
export class RaftBadSnapshotError extends FabricError {
  constructor(what: string) {
    super("RAFT_BAD_SNAPSHOT", what);
  }
}
