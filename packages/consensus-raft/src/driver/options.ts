import {
  silentLogger,
  silentMetrics,
  InvalidValueError,
  type Clock,
  type Configuration,
  type Disk,
  type Logger,
  type LogStore,
  type Metrics,
  type NodeId,
  type Random,
  type ReplicaId,
  type Transport,
} from "@revoada/fabric";
import type { SessionLimits } from "../sessions/core/limits.ts";
import { defaultCoreLimits, type CoreLimits } from "../core/types.ts";
import { walLogStore } from "../wal/index.ts";
import type { HostLink } from "./host-link.ts";
import { maxChunkBytes } from "./snapshot-files.ts";
import { maxGroupBytes } from "../wire/cbor.ts";

/**
 * How commands and results become bytes. Decoding gets bytes of other replicas and checks them.
 *
 * What `encodeCommand` returns belongs to the log from then on and must not change any more: it is being written and sent while
 * `propose` waits. A command that `decodeCommand` throws at is refused with `RAFT_BAD_COMMAND` before it is appended, where it
 * was forwarded; one that stands in the log already stops the replica.
 */
export interface RaftCodec<Command, Result> {
  encodeCommand(command: Command): Uint8Array;
  decodeCommand(bytes: Uint8Array): Command;
  encodeResult(result: Result): Uint8Array;
  decodeResult(bytes: Uint8Array): Result;
}

/** Bounds of a replica beyond those of its core. */
export interface RaftLimits extends CoreLimits {
  /** Proposals that wait for a leader or for their turn. */
  readonly maxWaitingProposals: number;
  readonly maxWaitingBytes: number;
  /** Proposals whose callers wait, appended and forwarded ones included. */
  readonly maxPendingProposals: number;
  /** Payload of one forwarded request, and how many of them may be out at once. */
  readonly maxForwardBytes: number;
  readonly maxForwardsInFlight: number;
  /** How long a proposal may take unless its caller says otherwise. */
  readonly proposalTimeoutMs: number;
  /** Applied entries that stay in the log after a compaction, for followers that are a little behind. */
  readonly trailingEntries: number;
  readonly snapshotChunkBytes: number;
  readonly maxSnapshotBytes: number;
  readonly snapshotRequestTimeoutMs: number;
  /** Chunks of one snapshot that may be under way to one follower. */
  readonly snapshotWindow: number;
  /** Snapshots that may be sent at once, all of the same file. */
  readonly maxSnapshotTransfers: number;
  /** How long a transfer that was cut off can be taken up where it ended: sender and receiver keep what they have for so long. */
  readonly snapshotKeepMs: number;
  /** The longest that a machine's view is held, until a snapshot of it is in a file: views of stores keep old pages from being used anew. */
  readonly snapshotViewMs: number;
  /** Entries that a compaction leaves in the log, beyond `trailingEntries`, for the sake of a snapshot that is being sent. */
  readonly maxHeldEntries: number;
  /** How long a shutdown waits for writes and for the machine. */
  readonly shutdownMs: number;
}

/** What a replica is made of. */
export interface RaftOptions<Command, Result> {
  /** This node; the same that the transport has proven. */
  readonly id: NodeId;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly random: Random;
  /** Holds the log, unless `logStore` does, and snapshots. */
  readonly disk: Disk;
  readonly codec: RaftCodec<Command, Result>;
  /** T: elections begin after [T, 2T) of silence, heartbeats are sent every T/5. 150 unless told. */
  readonly electionTimeoutMs?: number;
  /** Where on `disk` snapshot files lie, and nothing else does: one directory per group. `snapshots` unless told. */
  readonly snapshotDirectory?: string;
  /**
   * Reads without a round of their own, for as long as a quorum is known to vote for nobody else. False unless told. Every replica
   * of a group must be given the same: a voter that was restarted then votes for nobody for T. Rests on monotonic clocks that run
   * at nearly the same speed everywhere.
   */
  readonly leaseReads?: boolean;
  /** How much shorter than T a lease is, for clocks that differ in speed. T/10 unless told: one may run a tenth faster than another. */
  readonly leaseMarginMs?: number;
  /** Applied entries between two compactions. 10,000 unless told. */
  readonly snapshotIntervalEntries?: number;
  /**
   * The first configuration of a new group; used only where the store is empty. All who bootstrap one group give the same. Those who
   * join later give none.
   */
  readonly bootstrap?: Configuration | ((self: ReplicaId) => Configuration);
  /** Another log store than the WAL on `disk`; called again to open it anew after a failure. */
  readonly logStore?: () => LogStore;
  /** Binds frames and files to one cluster or group: those of others are dropped. At most 32 bytes. */
  readonly groupId?: Uint8Array;
  /**
   * False where this replica's own callers want `RAFT_NOT_LEADER`, with who does lead, instead of being forwarded there. What other
   * replicas forward is taken all the same. True unless told.
   */
  readonly forward?: boolean;
  /**
   * False for a node that is never to vote or lead, whatever it sends: what candidates and leaders send is dropped then, and so is what
   * comes from a later term than is known here. Everybody may unless told. It must be false for no node that ever votes.
   */
  readonly mayLead?: (peer: NodeId) => boolean;
  /** False for a command that this node may not hand to the leader: it is refused with `RAFT_BAD_COMMAND`. Everybody may propose all unless told. */
  readonly mayPropose?: (peer: NodeId, command: Command) => boolean;
  /** Whom to ask where no leader has been heard, for nodes that do not replicate. */
  readonly hintLeader?: () => NodeId | undefined;
  /**
   * Client sessions, whose commands take effect exactly once; `{}` for those with default limits. It changes what stands in the log:
   * every replica of a group has it from the group's beginning, or none ever does.
   */
  readonly sessions?: Partial<SessionLimits>;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
  readonly limits?: Partial<RaftLimits>;
}

/** Options with every default filled in. */
export interface ResolvedOptions<Command, Result> extends RaftOptions<Command, Result> {
  readonly electionTimeoutMs: number;
  readonly snapshotDirectory: string;
  readonly leaseReads: boolean;
  readonly leaseMarginMs: number;
  readonly snapshotIntervalEntries: number;
  readonly logStore: () => LogStore;
  readonly groupId: Uint8Array;
  readonly forward: boolean;
  /** The host that runs this replica beside others; absent where it is alone on its transport. */
  readonly host?: HostLink;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly limits: RaftLimits;
}

const maxFramedBytes = 15 * 1024 * 1024;

/** A longer wait counts as this one: timers of hosts do not go further than some weeks. */
const longestWaitMs = 24 * 60 * 60 * 1000;

/** How long a caller wants to wait, where it says so. Throws `FABRIC_INVALID_VALUE`. */
export function checkTimeout(timeoutMs: number | undefined): number | undefined {
  if (timeoutMs === undefined) return undefined;
  if (typeof timeoutMs !== "number" || !(timeoutMs > 0) || timeoutMs === Infinity)
    throw new InvalidValueError("timeoutMs", timeoutMs, "a finite number of milliseconds above 0");
  return Math.min(timeoutMs, longestWaitMs);
}

function checkPositive(path: string, value: number): void {
  if (!Number.isFinite(value) || value <= 0) throw new InvalidValueError(path, value, "a number above 0");
}

function limitsFor(electionTimeoutMs: number, snapshotIntervalEntries: number, given: Partial<RaftLimits>): RaftLimits {
  const limits: RaftLimits = {
    ...defaultCoreLimits,
    storageStallMs: Math.max(2000, 4 * electionTimeoutMs),
    snapshotStallMs: Math.max(10_000, 10 * electionTimeoutMs),
    maxWaitingProposals: 100_000,
    maxWaitingBytes: 64 * 1024 * 1024,
    maxPendingProposals: 500_000,
    maxForwardBytes: 1024 * 1024,
    maxForwardsInFlight: 64,
    proposalTimeoutMs: Math.max(10_000, 10 * electionTimeoutMs),
    trailingEntries: snapshotIntervalEntries,
    snapshotChunkBytes: 256 * 1024,
    maxSnapshotBytes: 64 * 1024 * 1024 * 1024,
    snapshotRequestTimeoutMs: Math.max(5000, 5 * electionTimeoutMs),
    snapshotWindow: 4,
    maxSnapshotTransfers: 2,
    snapshotKeepMs: Math.max(60_000, 60 * electionTimeoutMs),
    snapshotViewMs: 10 * 60_000,
    maxHeldEntries: 1_000_000,
    shutdownMs: 5000,
    ...given,
  };
  for (const [name, value] of Object.entries(limits)) {
    if (name !== "trailingEntries") checkPositive(`limits.${name}`, value as number);
  }
  for (const name of ["maxCommandBytes", "maxForwardBytes"] as const) {
    const bytes = limits[name];
    // A transport carries at most 16 MiB at once, and there is more in a frame than one command.
    if (bytes > maxFramedBytes) throw new InvalidValueError(`limits.${name}`, bytes, `at most ${maxFramedBytes} bytes`);
  }
  const { snapshotChunkBytes } = limits;
  if (snapshotChunkBytes > maxChunkBytes)
    throw new InvalidValueError("limits.snapshotChunkBytes", snapshotChunkBytes, `at most ${maxChunkBytes} bytes`);
  return limits;
}

/** Fills in defaults and refuses what cannot work. Throws `FABRIC_INVALID_VALUE`. */
export function resolveOptions<Command, Result>(
  options: RaftOptions<Command, Result>,
): ResolvedOptions<Command, Result> {
  const electionTimeoutMs = options.electionTimeoutMs ?? 150;
  const snapshotIntervalEntries = options.snapshotIntervalEntries ?? 10_000;
  checkPositive("electionTimeoutMs", electionTimeoutMs);
  checkPositive("snapshotIntervalEntries", snapshotIntervalEntries);
  const leaseMarginMs = options.leaseMarginMs ?? electionTimeoutMs / 10;
  if (!(leaseMarginMs > 0 && leaseMarginMs < electionTimeoutMs))
    throw new InvalidValueError("leaseMarginMs", leaseMarginMs, `above 0 and below ${electionTimeoutMs}`);
  const groupId = options.groupId ?? new Uint8Array(0);
  if (groupId.length > maxGroupBytes) throw new InvalidValueError("groupId", groupId, `at most ${maxGroupBytes} bytes`);
  const { disk, random, clock } = options;
  const logger = options.logger ?? silentLogger;
  const metrics = options.metrics ?? silentMetrics;
  return {
    ...options,
    electionTimeoutMs,
    snapshotDirectory: options.snapshotDirectory ?? "snapshots",
    leaseReads: options.leaseReads ?? false,
    leaseMarginMs,
    snapshotIntervalEntries,
    groupId,
    forward: options.forward ?? true,
    logger,
    metrics,
    logStore: options.logStore ?? ((): LogStore => walLogStore({ disk, random, clock, groupId, logger, metrics })),
    limits: limitsFor(electionTimeoutMs, snapshotIntervalEntries, options.limits ?? {}),
  };
}
