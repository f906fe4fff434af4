import type { ConsensusRole, ConsensusStatus, NodeId, ReplicaId } from "@revoada/fabric";
import type { History } from "./register-machine.ts";

/** Where nodes listen. */
export type Peers = readonly (readonly [NodeId, readonly string[]])[];

/** What a replica is made with. */
export interface ReplicaSettings {
  readonly electionTimeoutMs: number;
  readonly snapshotIntervalEntries: number;
  readonly segmentBytes: number;
  readonly allocateBytes: number;
  /** Of one write. */
  readonly payloadBytes: number;
  /** Whether the machine remembers every write, so that the whole history can be judged. */
  readonly keepsHistory: boolean;
}

/** Where a replica keeps its data and its log lines, and what its key is made from. */
export interface Place {
  readonly directory: string;
  readonly logFile: string;
  readonly seed: Uint8Array;
}

/** What a parent orders of the process of a replica, and what is answered. */
export interface Orders {
  readonly open: { readonly with: { readonly place: Place }; readonly answer: { readonly peers: Peers } };
  readonly peers: { readonly with: { readonly peers: Peers }; readonly answer: undefined };
  readonly start: {
    readonly with: { readonly founding: boolean; readonly peers: Peers; readonly settings: ReplicaSettings };
    readonly answer: ReplicaId;
  };
  readonly grow: { readonly with: { readonly replicas: readonly ReplicaId[] }; readonly answer: undefined };
  readonly write: {
    readonly with: { readonly id: number; readonly key: number };
    readonly answer: { readonly ordinal: number };
  };
  readonly read: {
    readonly with: { readonly key: number };
    readonly answer: { readonly value: number; readonly ordinal: number };
  };
  readonly dump: { readonly with: object; readonly answer: Dump };
  readonly load: { readonly with: { readonly perSecond: number }; readonly answer: undefined };
  readonly sample: { readonly with: object; readonly answer: Sample };
  readonly stop: { readonly with: object; readonly answer: undefined };
}

export type OrderName = keyof Orders;

export type Order = { [Name in OrderName]: { readonly type: Name } & Orders[Name]["with"] }[OrderName];

/** All of a machine. */
export interface Dump extends History {
  readonly appliedIndex: number;
}

/** What a process holds after its garbage was collected, and what it has done. */
export interface Sample {
  readonly heapBytes: number;
  readonly residentBytes: number;
  readonly handles: number;
  readonly descriptors: number;
  readonly cpuSeconds: number;
  readonly commitIndex: number;
  readonly acknowledged: number;
  readonly failed: number;
}

/** What a replica says of itself, unasked, whenever it has changed. */
export interface Standing {
  readonly role: ConsensusRole;
  readonly term: number;
  readonly quorum: boolean;
  readonly storage: ConsensusStatus["storage"];
  readonly voters: number;
  readonly joint: boolean;
  readonly firstIndex: number;
  readonly lastIndex: number;
  readonly durableIndex: number;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  /** Counters of the replica since its process began, by name. */
  readonly counters: Readonly<Record<string, number>>;
}

/** What a process of a replica says to its parent. */
export type Message =
  | { readonly type: "standing"; readonly standing: Standing }
  | { readonly type: "answer"; readonly id: number; readonly result: unknown }
  | { readonly type: "refusal"; readonly id: number; readonly code: string; readonly message: string };
