import type { NodeId, ReplicaId, ConsensusRole } from "@revoada/fabric";
import type { LoadOptions } from "../load.ts";

/** How a group is run. */
export interface GroupTiming {
  readonly electionTimeoutMs: number;
  /** The package's default unless told. */
  readonly snapshotIntervalEntries?: number;
  readonly leaseReads?: boolean;
}

/** What a replica's process can be told. */
export type Order =
  | { readonly type: "open"; readonly path: string; readonly seed: Uint8Array; readonly listen: readonly string[] }
  | {
      readonly type: "start";
      readonly founding: boolean;
      readonly peers: readonly (readonly [NodeId, readonly string[]])[];
      readonly timing: GroupTiming;
    }
  | { readonly type: "grow"; readonly replicas: readonly ReplicaId[] }
  | { readonly type: "status" }
  | { readonly type: "load"; readonly options: LoadOptions; readonly reads: boolean }
  | { readonly type: "fill"; readonly entries: number; readonly payloadBytes: number; readonly callers: number }
  | { readonly type: "reached"; readonly index: number }
  /** Collects garbage until no more comes of it, and tells what is left. */
  | { readonly type: "collect" }
  | { readonly type: "transfer"; readonly to: NodeId }
  | { readonly type: "begin-writes"; readonly payloadBytes: number; readonly everyMs: number }
  | { readonly type: "next-write"; readonly sinceMs: number }
  | { readonly type: "end-writes" };

export interface ReplicaStatus {
  readonly role: ConsensusRole;
  readonly term: number;
  readonly leader?: NodeId;
  readonly firstIndex: number;
  readonly lastIndex: number;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly voters: number;
}

/** What a replica's process holds after collections, in bytes. */
export interface Held {
  readonly heapBytes: number;
  /** Outside the heap: buffers, and what native code holds for objects. */
  readonly externalBytes: number;
}
