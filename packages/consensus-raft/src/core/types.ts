import type {
  Configuration,
  Generation,
  HardState,
  LogBase,
  LogEntry,
  LogIndex,
  NodeId,
  ReplicaId,
  StoreId,
  Term,
} from "@revoada/fabric";
import type { Presence } from "./rest.ts";

/** What a core may hold and send at once. Every field is a bound; none is a target. */
export interface CoreLimits {
  /** Largest payload of one command. */
  readonly maxCommandBytes: number;
  /** Appended by this leader and not yet committed; more is refused as backpressure. */
  readonly maxUncommittedBytes: number;
  /** Payload of one append message; a single larger entry travels alone. */
  readonly maxMessageBytes: number;
  /** Sent to one follower and not yet acknowledged. */
  readonly maxInFlightBytes: number;
  readonly maxInFlightMessages: number;
  /**
   * Entries that are durable and applied stay in memory up to this, to serve followers without reading the disk. Those that wait
   * for a slow machine stay up to `maxBacklogBytes`, and are read from the disk beyond.
   */
  readonly cacheBytes: number;
  /** Handed to the machine in one step. */
  readonly maxApplyBytes: number;
  readonly maxApplyEntries: number;
  /** Reads that wait for a round. */
  readonly maxPendingReads: number;
  /** Handed to the disk and not durable yet. More is refused as backpressure on a leader, and left to be sent again elsewhere. */
  readonly maxBacklogBytes: number;
  /** Writes that are not durable yet; one that does not lead takes no message beyond them. */
  readonly maxBacklogWrites: number;
  /** A write that takes longer makes a leader step down: its disk hangs. */
  readonly storageStallMs: number;
  /** Without progress for so long, a snapshot transfer is given up and the follower probed again. */
  readonly snapshotStallMs: number;
}

/** What the log held when it was opened. */
export interface CoreLogState {
  readonly hardState: HardState;
  readonly base: LogBase;
  readonly lastIndex: number;
  readonly integrity: "ok" | "corrupt";
  /** Every configuration entry after the base, in order. */
  readonly configurations: readonly IndexedConfiguration[];
  /** The term of a stored entry or of the base. Only asked about entries that are durable. */
  readonly term: (index: number) => number | undefined;
}

export interface IndexedConfiguration {
  readonly index: number;
  readonly configuration: Configuration;
}

export interface CoreOptions {
  readonly id: NodeId;
  readonly storeId: StoreId;
  readonly electionTimeoutMs: number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly log: CoreLogState;
  /** What the machine holds already. */
  readonly appliedIndex: number;
  /** Applied entries between two snapshots. */
  readonly snapshotIntervalEntries: number;
  readonly limits?: Partial<CoreLimits>;
  /** Where this replica shares its host with others: what hosts know of each other, so that groups can rest. */
  readonly presence?: Presence;
  /**
   * Reads by lease. Every replica of a group must be given it or none: a voter that was restarted keeps the promise of its
   * earlier life, to vote for nobody within T of having heard a leader, only where it knows that somebody counts on it.
   */
  readonly leaseReads?: {
    /** A lease lasts T less this: clocks may differ in speed by so much of T. */
    readonly marginMs: number;
  };
}

/** What every message carries. `term` is the sender's, except in a pre-vote, where it is the one that it would campaign in. */
export interface MessageHeader {
  readonly from: NodeId;
  readonly fromStore: StoreId;
  readonly to: NodeId;
  readonly toStore: StoreId;
  readonly term: number;
}

export type MessageBody =
  | {
      readonly type: "vote-request";
      readonly pre: boolean;
      /** The old leader asked for this election, so its lease does not stand against it. */
      readonly transfer: boolean;
      readonly lastIndex: number;
      readonly lastTerm: number;
    }
  | { readonly type: "vote-response"; readonly pre: boolean; readonly granted: boolean }
  | {
      readonly type: "append";
      readonly prevIndex: number;
      readonly prevTerm: number;
      readonly commit: number;
      readonly entries: readonly LogEntry[];
    }
  | {
      readonly type: "append-response";
      readonly success: boolean;
      /** Where it succeeded, the last index that is durable and equal to the leader's; else the index that did not match. */
      readonly index: number;
      /** On a refusal: the largest (index, term) at which the logs may agree. */
      readonly hintIndex: number;
      readonly hintTerm: number;
      readonly repair: RepairState;
    }
  | {
      readonly type: "heartbeat";
      readonly round: number;
      readonly commit: number;
      /** To a follower with a corrupt log: from this commit index on it may vote again. 0 where that is not known yet. */
      readonly repairIndex: number;
    }
  | { readonly type: "heartbeat-response"; readonly round: number; readonly repair: RepairState }
  | { readonly type: "timeout-now" };

/** What a follower says of its log: sound; corrupt; or refilled by order of the leader that it answers. */
export type RepairState = "sound" | "corrupt" | "refilled";

export type Message = MessageHeader & MessageBody;

export type Event =
  /** The log is open: what is known to be committed may be applied. */
  | { readonly type: "start" }
  | { readonly type: "tick" }
  /** The process did not run for a while: timers start again, and what rests on recent contact is void. */
  | { readonly type: "stalled" }
  /** The wall clock jumped against the monotonic one, which may have stood still: leases are void. */
  | { readonly type: "clock-jumped" }
  /** Gives the leader up before its silence has lasted an election timeout: its connections were closed, say. */
  | { readonly type: "forget-leader" }
  | { readonly type: "message"; readonly message: Message }
  | { readonly type: "campaign" }
  /** The host of `leader` speaks for it from now on: no election timer runs while it stands by `term`. */
  | { readonly type: "rest"; readonly leader: NodeId; readonly term: number }
  /** Nobody speaks for anybody any more: heartbeats and timers go on. */
  | { readonly type: "rouse" }
  | { readonly type: "propose"; readonly id: number; readonly payloads: readonly Uint8Array[] }
  /** Tells followers of a commit that no append has told them of. */
  | { readonly type: "announce" }
  | { readonly type: "read"; readonly id: number }
  | {
      readonly type: "change";
      readonly id: number;
      readonly voters: readonly ReplicaId[];
      readonly learners: readonly ReplicaId[];
      readonly generation: Generation;
    }
  | { readonly type: "transfer"; readonly id: number; readonly to: NodeId }
  | { readonly type: "persisted"; readonly seq: number }
  | { readonly type: "applied"; readonly index: number }
  | {
      readonly type: "log-read";
      readonly to: NodeId;
      readonly term: number;
      readonly from: number;
      /** Empty where they could not be read. */
      readonly entries: readonly LogEntry[];
    }
  | { readonly type: "snapshot-progress"; readonly to: NodeId }
  | { readonly type: "snapshot-sent"; readonly to: NodeId; readonly index: number; readonly success: boolean }
  | {
      readonly type: "snapshot-received";
      readonly from: NodeId;
      readonly fromStore: StoreId;
      readonly term: number;
      readonly base: LogBase;
    }
  | { readonly type: "snapshot-installed"; readonly base: LogBase; readonly success: boolean }
  | { readonly type: "snapshot-saved"; readonly base?: LogBase }
  | { readonly type: "storage-failed" };

/** Why a request was refused. All but `lost-leadership` are definite: nothing was appended. */
export type RejectReason =
  | "not-leader"
  | "transferring"
  | "backpressure"
  | "too-large"
  | "change-in-progress"
  | "not-a-voter"
  | "lost-leadership";

export type Effect =
  /** Makes one batch durable, in order of `seq`; then lets `release` go and answers `persisted`. May be empty of records. */
  | {
      readonly type: "persist";
      readonly seq: number;
      readonly hardState?: HardState;
      readonly truncateFrom?: LogIndex;
      readonly entries: readonly LogEntry[];
      readonly release: readonly Message[];
    }
  | { readonly type: "send"; readonly message: Message }
  /** Hands committed, durable entries to the machine; without `entries` the driver reads them. One at a time. */
  | { readonly type: "apply"; readonly from: number; readonly to: number; readonly entries?: readonly LogEntry[] }
  | {
      readonly type: "read-log";
      readonly to: NodeId;
      readonly term: number;
      readonly from: number;
      readonly upTo: number;
      readonly maxBytes: number;
    }
  /** `count` payloads of proposal `id` stand in the log from `firstIndex` on. */
  | {
      readonly type: "proposed";
      readonly id: number;
      readonly firstIndex: number;
      readonly term: number;
      readonly count: number;
    }
  /** Payloads from `from` on, or the whole request, were refused. */
  | { readonly type: "reject"; readonly id: number; readonly from: number; readonly reason: RejectReason }
  | { readonly type: "committed"; readonly index: number }
  | { readonly type: "read-ready"; readonly ids: readonly number[]; readonly index: number }
  | { readonly type: "change-done"; readonly id: number }
  | { readonly type: "transfer-done"; readonly id: number; readonly success: boolean }
  | { readonly type: "snapshot-save"; readonly index: number }
  | { readonly type: "snapshot-send"; readonly to: ReplicaId; readonly term: number }
  | { readonly type: "snapshot-cancel"; readonly to: NodeId }
  | { readonly type: "snapshot-install"; readonly base: LogBase }
  | { readonly type: "role-changed" }
  /** Nothing happens here: this leader would leave out its heartbeats to these, if hosts spoke for it in this term. */
  | { readonly type: "rest-asked"; readonly term: number; readonly peers: readonly ReplicaId[] };

export type CoreRole = "leader" | "candidate" | "pre-candidate" | "follower";

/** Bounds that suit commands of some kilobytes on a local network. */
export const defaultCoreLimits: CoreLimits = {
  maxCommandBytes: 4 * 1024 * 1024,
  maxUncommittedBytes: 64 * 1024 * 1024,
  maxMessageBytes: 1024 * 1024,
  maxInFlightBytes: 8 * 1024 * 1024,
  maxInFlightMessages: 256,
  cacheBytes: 16 * 1024 * 1024,
  maxApplyBytes: 8 * 1024 * 1024,
  maxApplyEntries: 4096,
  maxPendingReads: 100_000,
  maxBacklogBytes: 64 * 1024 * 1024,
  maxBacklogWrites: 16_384,
  storageStallMs: 5_000,
  snapshotStallMs: 10_000,
};

/** What an entry costs beyond its payload, in memory and on the wire. */
export const entryOverheadBytes = 32;

/** Plain number to branded: the core counts in plain numbers, checked where they enter. */
export function asTerm(term: number): Term {
  return term as Term;
}

export function asIndex(index: number): LogIndex {
  return index as LogIndex;
}
