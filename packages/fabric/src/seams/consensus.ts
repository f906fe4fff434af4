import type { Generation, LogIndex, NodeId, StoreId, Term } from "../ids.ts";

/** A member of the replicated log: the node and the store that it votes from. */
export interface ReplicaId {
  readonly id: NodeId;
  readonly storeId: StoreId;
}

/** Who replicates and who votes. `outgoing` is present while a joint change is under way. */
export interface Configuration {
  readonly voters: readonly ReplicaId[];
  readonly outgoing?: readonly ReplicaId[];
  readonly learners: readonly ReplicaId[];
  /** The caller's generation that this configuration equals; opaque to consensus. */
  readonly generation: Generation;
}

/** One committed entry, as the machine gets it. Machines store `index`, `term` and `configuration` with their data, atomically. */
export type AppliedEntry<Command> =
  | { readonly kind: "command"; readonly index: LogIndex; readonly term: Term; readonly command: Command }
  | { readonly kind: "noop"; readonly index: LogIndex; readonly term: Term }
  | {
      readonly kind: "configuration";
      readonly index: LogIndex;
      readonly term: Term;
      readonly configuration: Configuration;
    };

/** Where a machine stands. Index 0 is a machine that has applied nothing. */
export interface MachinePosition {
  readonly index: LogIndex;
  readonly term: Term;
  /** The last configuration applied; undefined where there was none. */
  readonly configuration?: Configuration;
}

/**
 * A consistent picture of a machine at `position`. `chunks` may be read once; `dispose` frees what it holds.
 *
 * It is read while the machine goes on. Taking it should cost next to nothing, and a chunk no more than a few milliseconds: nobody
 * else gets a turn meanwhile. The reader sees to turns between chunks.
 */
export interface MachineSnapshot {
  readonly position: MachinePosition;
  chunks(): AsyncIterable<Uint8Array>;
  dispose(): void;
}

/**
 * The deterministic machine that consensus drives.
 *
 * `apply` gets entries in log order, each once per life of the state, from `position().index + 1`. One call is one atomic step:
 * after a crash either all of its entries are applied or none. A throw stops the replica.
 */
export interface StateMachine<Command, Result> {
  /** True where state survives a restart; a snapshot file is then not needed to compact the log. */
  readonly durable: boolean;
  /** True for an {@link AnnexStateMachine}; false unless told. */
  readonly keepsAnnex?: boolean;
  position(): MachinePosition;
  /** The index below which the log is no longer needed by this machine after a crash; `durable` machines only, else 0. */
  flushedIndex(): LogIndex;
  /** Makes all that was applied before the call survive a crash. `apply` may be called meanwhile. */
  flush(): Promise<void>;
  /** One result per entry, in order; those of no-ops and configurations are ignored. */
  apply(
    entries: readonly AppliedEntry<Command>[],
  ): readonly (Result | undefined)[] | Promise<readonly (Result | undefined)[]>;
  snapshot(): Promise<MachineSnapshot>;
  /**
   * Replaces everything, atomically: after a crash in the middle, or a rejection, the old state is there. Bytes are those of
   * `snapshot`, in chunks cut elsewhere.
   */
  restore(position: MachinePosition, chunks: AsyncIterable<Uint8Array>): Promise<void>;
}

/** One record of an annex: at most 64 bytes of key. Without `value` the record goes. */
export interface AnnexRecord {
  readonly key: Uint8Array;
  readonly value: Uint8Array | undefined;
}

/**
 * A machine that also keeps records of consensus, in the same atomic step as its own data.
 *
 * A durable machine must offer this for client sessions: what has been applied and what is remembered of it must not be split by a
 * crash. The records are part of the machine's state: a snapshot holds them and `restore` replaces them. Their keys are apart from
 * the machine's own.
 */
export interface AnnexStateMachine<Command, Result> extends StateMachine<Command, Result> {
  readonly keepsAnnex: true;
  /** Every record, in any order, as they stand at `position()`. */
  annex(): Iterable<AnnexRecord & { readonly value: Uint8Array }>;
  /**
   * `apply`, with records: `annexOf` is called once, within the step, with the results; the records that it returns are stored in that
   * step. A throw of it is a throw of the step.
   */
  applyWithAnnex(
    entries: readonly AppliedEntry<Command>[],
    annexOf: (results: readonly (Result | undefined)[]) => readonly AnnexRecord[],
  ): readonly (Result | undefined)[] | Promise<readonly (Result | undefined)[]>;
}

/** What a committed proposal brings back. */
export interface Committed<Result> {
  readonly index: LogIndex;
  readonly term: Term;
  readonly result: Result;
}

export type ConsensusRole = "leader" | "candidate" | "pre-candidate" | "follower" | "learner" | "outsider" | "stopped";

/** What the leader knows of one other replica. */
export interface ReplicaProgress {
  readonly matchIndex: LogIndex;
  readonly state: "probe" | "replicate" | "snapshot";
  /** Monotonic milliseconds since the last message of it. */
  readonly silentMs: number;
}

export interface ConsensusStatus {
  readonly id: NodeId;
  readonly storeId: StoreId;
  readonly role: ConsensusRole;
  readonly term: Term;
  readonly leader?: NodeId;
  readonly firstIndex: LogIndex;
  readonly lastIndex: LogIndex;
  readonly durableIndex: LogIndex;
  readonly commitIndex: LogIndex;
  readonly appliedIndex: LogIndex;
  readonly configuration: Configuration;
  /** The index of the entry that brought `configuration`; committed where ≤ `commitIndex`. */
  readonly configurationIndex: LogIndex;
  /** On the leader: a majority answered within an election timeout. Elsewhere: a leader was heard within one. */
  readonly quorum: boolean;
  /** Monotonic milliseconds that `quorum` has had its value. */
  readonly quorumSinceMs: number;
  /** On the leader only. */
  readonly progress: ReadonlyMap<NodeId, ReplicaProgress>;
  /** `ok`; `corrupt`: the log failed its check, no votes until refilled; `failed`: the disk does not take writes. */
  readonly storage: "ok" | "corrupt" | "failed";
}

/**
 * A replicated log that drives a {@link StateMachine}.
 *
 * `propose` resolves only when the command is committed and applied. Definite refusals (the command was never appended and
 * never will be): `RAFT_NOT_LEADER`, `RAFT_NO_QUORUM`, `RAFT_BACKPRESSURE`, `RAFT_TOO_LARGE`, `RAFT_STOPPED`. Anything else is
 * `RAFT_OUTCOME_UNKNOWN`: it may have happened, may still happen, and must not be repeated blindly.
 */
export interface Consensus<Command, Result> extends AsyncDisposable {
  /** Recovers the log and takes part. The machine belongs to consensus from here on. */
  start(machine: StateMachine<Command, Result>): Promise<void>;
  propose(
    command: Command,
    options?: { readonly signal?: AbortSignal; readonly timeoutMs?: number },
  ): Promise<Committed<Result>>;
  /** Resolves once the local machine holds all that was committed when this was called (read index). */
  readBarrier(options?: { readonly signal?: AbortSignal; readonly timeoutMs?: number }): Promise<LogIndex>;
  status(): ConsensusStatus;
  /** Calls `listener` after role, term, leader, configuration or storage changed, until the returned function is called. */
  onChange(listener: (status: ConsensusStatus) => void): () => void;
  /**
   * Leader only. One joint change from the configuration in force to this one; resolves when the new one stands alone and is
   * committed. A configuration that is already in force with the same generation resolves at once.
   */
  changeVoters(
    change: {
      readonly voters: readonly ReplicaId[];
      readonly learners: readonly ReplicaId[];
      readonly generation: Generation;
    },
    options?: { readonly signal?: AbortSignal },
  ): Promise<void>;
  /** Leader only. Hands over to a caught-up voter; rejects with `RAFT_TRANSFER_FAILED` and goes on leading where that fails. */
  transferLeadership(
    to: NodeId,
    options?: { readonly signal?: AbortSignal; readonly timeoutMs?: number },
  ): Promise<void>;
  shutdown(): Promise<void>;
}
