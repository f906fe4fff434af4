import type { ConsensusRole, NodeId, ReplicaId } from "@revoada/fabric";
import type { LoadOptions } from "../load.ts";

/** What a process runs: one replica as `raft` makes it, or so many groups on a host of `raftHost`. */
export type FleetKind = { readonly alone: true } | { readonly groups: number };

/** What a process can be told. */
export type Order =
  | { readonly type: "open"; readonly path: string; readonly seed: Uint8Array }
  | {
      readonly type: "start";
      readonly kind: FleetKind;
      readonly founding: boolean;
      readonly peers: readonly (readonly [NodeId, readonly string[]])[];
      readonly electionTimeoutMs: number;
    }
  /**
   * Makes the groups that this process leads what they are meant to be: with all replicas as voters, and led by each node in turn. What
   * does not come off is done when it is asked for again.
   */
  | {
      readonly type: "arrange";
      readonly replicas: readonly (readonly ReplicaId[])[];
      readonly over: readonly NodeId[];
    }
  | { readonly type: "statuses" }
  | { readonly type: "usage" }
  /** Closed loop: callers take the groups that this process leads, in turn. */
  | { readonly type: "load"; readonly options: LoadOptions };

export interface GroupStatus {
  readonly role: ConsensusRole;
  readonly leader?: NodeId;
  readonly voters: number;
  readonly commitIndex: number;
  readonly appliedIndex: number;
}

/** What a process has used since it began. */
export interface Usage {
  readonly cpuSeconds: number;
  readonly sentBytes: number;
  readonly sentFrames: number;
}
