import type { ClusterId, Generation, Hash, LogIndex, NodeId, StoreId, Term } from "./ids.ts";

/**
 * What a node is for. `master` holds control duties, `worker` runs workloads, `observer` replicates and serves reads,
 * `arbiter` votes and holds no duty, `bootstrap` is the first node until the first shape stands.
 */
export type Role = "master" | "worker" | "observer" | "arbiter" | "bootstrap";

/** How a node takes part in replication. */
export type ReplicaKind = "voter" | "learner" | "none";

/** Where a node stands in its life. `joining` appears in views only and is never committed. */
export type NodeState = "joining" | "standby" | "active" | "demoting" | "departing" | "failed";

/** What an operator has said about a node, beside its state. */
export type NodeFlag = "cordoned" | "quarantined";

/** The most that a node may become, where the token that let it in says so. Such a node never votes and never holds control duties. */
export type LimitedRole = "worker" | "observer";

/** One node's committed record. */
export interface NodeRecord {
  readonly state: Exclude<NodeState, "joining">;
  /** Present exactly while `state` is `active` or `demoting`. */
  readonly role?: Role;
  readonly replica: ReplicaKind;
  readonly storeId: StoreId;
  /** Counts the node's starts; see the gossip layer. */
  readonly generation: number;
  /** Raised by a live node that learns of its own eviction. */
  readonly incarnation: number;
  readonly zone: string;
  readonly version: string;
  readonly flags: readonly NodeFlag[];
  /** The leader's committed time of this node's last transition, in milliseconds since the epoch. */
  readonly lastShiftMs: number;
  /** The only role that it may be given; absent: any. */
  readonly limitedTo?: LimitedRole;
  /** Whose place it waits for, over the same disk: the node's former key. It holds no role and no vote until it inherits them. */
  readonly succeeds?: NodeId;
}

/** The declaration that a formation is held to, and where it goes back to while a switch to it is under way. */
export interface Declared {
  /** Canonical bytes of the declaration in force. Opaque here: the cluster's composer writes and reads them. */
  readonly declaration: Uint8Array;
  /** Present from a `declare` until its `confirm` or `revert`. */
  readonly pending?: {
    /** The declaration that was in force before, and is again after a `revert`. */
    readonly previous: Uint8Array;
    /** How long the leader gives the new shape to stand, in milliseconds on its own monotonic clock. */
    readonly withinMs: number;
  };
}

/** The committed map of who is what. Its generation rises by one with each transition. */
export interface Formation {
  readonly generation: Generation;
  readonly nodes: ReadonlyMap<NodeId, NodeRecord>;
  /** Node ids that an operator removed; they can never be admitted again. */
  readonly tombstones: ReadonlySet<NodeId>;
  /** Absent only in formations that were not made from a genesis with a declaration. */
  readonly declared?: Declared;
  /**
   * Operator keys in force, and the generation since when: at least one where the cluster was founded with any, absent where it was not.
   */
  readonly operators?: ReadonlyMap<NodeId, Generation>;
}

/** The verbs of the transition table, and `seat`, which moves a node's replica without touching its role. */
export type TransitionVerb =
  | "admit"
  | "promote"
  | "reassign"
  | "demote"
  | "settle"
  | "depart"
  | "evict"
  | "forget"
  | "remove"
  | "seat"
  | "cordon"
  | "quarantine"
  | "restore"
  | "succeed"
  | "inherit"
  | "recover"
  | "declare"
  | "confirm"
  | "revert"
  | "enrol"
  | "revoke";

/** What an `admit` transition brings into the formation. */
export interface Admission {
  readonly storeId: StoreId;
  readonly generation: number;
  readonly incarnation: number;
  readonly zone: string;
  readonly version: string;
  /** The join token that let the node in, 32 hex characters; absent for a return after a failure and for genesis. */
  readonly tokenId?: string;
  /** The only role that the node may be given, as its token says; absent: any. What a node was limited to once it stays. */
  readonly limitedTo?: LimitedRole;
}

/** One guarded step of one node. Each committed transition raises the formation's generation by one and makes one block. */
export type Transition =
  | { readonly verb: "admit"; readonly node: NodeId; readonly admission: Admission }
  | { readonly verb: "promote"; readonly node: NodeId; readonly role: Role; readonly replica?: ReplicaKind }
  | { readonly verb: "reassign"; readonly node: NodeId; readonly role: Role; readonly replica?: ReplicaKind }
  | { readonly verb: "seat"; readonly node: NodeId; readonly replica: ReplicaKind }
  | {
      readonly verb: "demote" | "settle" | "depart" | "evict" | "forget" | "cordon" | "quarantine" | "restore";
      readonly node: NodeId;
    }
  /** An operator's last word on a node: it leaves a tombstone. */
  | { readonly verb: "remove"; readonly node: NodeId }
  /** A node's next key enters over the same disk, without a vote. `signature`: 64 bytes of the key that it is to follow. */
  | { readonly verb: "succeed"; readonly node: NodeId; readonly predecessor: NodeId; readonly signature: Uint8Array }
  /** The next key takes the place, the role and the vote of the one before it, which leaves a tombstone. */
  | { readonly verb: "inherit"; readonly node: NodeId }
  /** The majority is lost for good: the proposer goes on alone, and everybody else leaves a tombstone. */
  | { readonly verb: "recover"; readonly node: NodeId }
  /**
   * An operator's word, given at `node`: another declaration is in force from here on, 1 to {@link maxDeclarationBytes} canonical bytes. It is
   * to stand within `withinMs`, 1 to {@link maxSwitchMs}; until it does, or is taken back, no other is declared.
   */
  | {
      readonly verb: "declare";
      readonly node: NodeId;
      readonly declaration: Uint8Array;
      readonly withinMs: number;
    }
  /** The leader `node` found that the declared shape stands (`confirm`), or that it did not in time: the one before it is in force again (`revert`). */
  | { readonly verb: "confirm" | "revert"; readonly node: NodeId }
  /** `node` is an operator's key, not a node's: it is in force from here on (`enrol`), or never again (`revoke`). */
  | { readonly verb: "enrol" | "revoke"; readonly node: NodeId };

/** An operator key and its signature, 64 bytes of ed25519. */
export interface OperatorSignature {
  readonly operator: NodeId;
  readonly signature: Uint8Array;
}

/** Largest declaration, in bytes. */
export const maxDeclarationBytes: number = 64 * 1024;
/** The longest that a declared shape may be given to stand: a day. */
export const maxSwitchMs: number = 24 * 60 * 60 * 1000;

/** The only way the formation changes: a batch of transitions that the leader signed, refused whole if the base moved on. */
export interface FormationCommand {
  readonly version: 1;
  readonly clusterId: ClusterId;
  readonly baseGeneration: Generation;
  readonly transitions: readonly Transition[];
  /** One line for people, at most 512 UTF-8 bytes. */
  readonly reason: string;
  /** Hash of the canonical encoding of the decisions that led here. */
  readonly decisionHash: Hash;
  /** The leader's clock, milliseconds since the epoch; apply uses the larger of this and the previous one. */
  readonly timeMs: number;
  readonly proposer: NodeId;
  readonly term: Term;
  /** An operator's word that these transitions, for this reason, may follow upon the head that the command's first block follows. */
  readonly approval?: OperatorSignature;
}

/** What the topology sees of one node that may hold a role. */
export interface Candidate {
  readonly id: NodeId;
  readonly zone: string;
  /** The role that it holds now, if any. */
  readonly role?: Role;
  readonly replica: ReplicaKind;
  /** True for a replica within the trailing-log bound that has been alive for long enough to be given a vote. */
  readonly caughtUp: boolean;
  /**
   * Its place among those who could take a new duty, 0 for the first: by zones, then by how steady it has been, then by contact.
   * Absent where nobody has ranked them.
   */
  readonly preference?: number;
  /** The only role that it may be given. Topologies are asked about candidates without a limit only. */
  readonly limitedTo?: LimitedRole;
}

/** Node → role, for the nodes that a topology gives one; the rest stand by. */
export type Assignment = ReadonlyMap<NodeId, Role>;

/** One decision of the reactor: what to commit next, and why. */
export interface ShiftDecision {
  /** `form`, `admit`, `close-loss`, `replace`, `evict`, `reseat`, `settle`, `forget`, … */
  readonly kind: string;
  readonly transitions: readonly Transition[];
  readonly reason: string;
  /** The facts that the decision rests on, as plain data, so that it can be explained afterwards. */
  readonly inputs: Readonly<Record<string, string | number | boolean>>;
}

/** How far each replica has come, as the leader knows it. */
export interface ReplicationView {
  readonly commitIndex: LogIndex;
  /** Absent for nodes that the leader does not replicate to. */
  readonly matchIndex: ReadonlyMap<NodeId, LogIndex>;
  /** The voters and learners of the configuration in force, and the formation generation that it carries. */
  readonly voters: ReadonlySet<NodeId>;
  readonly learners: ReadonlySet<NodeId>;
  readonly configurationGeneration: Generation;
  /** True while a joint change is under way. */
  readonly joint: boolean;
  /** Milliseconds since the leader last heard of each replica; absent where that is not measured. */
  readonly silentMs?: ReadonlyMap<NodeId, number>;
  /** Milliseconds that each replica has been behind the trailing bound without a break; those within it are left out. */
  readonly behindMs?: ReadonlyMap<NodeId, number>;
  /** Milliseconds that the leader has had a quorum without a break; absent where that is not measured. */
  readonly quorumMs?: number;
}
