import type { ClusterId, DeathEvidence, MemberStatus, NodeId } from "@revoada/fabric";

/** What a member's process can be told. */
export type GossipOrder =
  | { readonly type: "open"; readonly seed: Uint8Array; readonly listen: readonly string[] }
  | {
      readonly type: "start";
      readonly clusterId: ClusterId;
      readonly generation: number;
      readonly peers: readonly (readonly [NodeId, readonly string[]])[];
    }
  /** Answered with the moment at which the member was, or came to be, seen so. */
  | {
      readonly type: "seen";
      readonly member: NodeId;
      readonly status: MemberStatus;
      readonly generation?: number;
    }
  | { readonly type: "set"; readonly key: string; readonly value: string }
  | { readonly type: "heard"; readonly member: NodeId; readonly key: string; readonly value: string }
  | { readonly type: "sent" };

export interface Opened {
  readonly id: NodeId;
  readonly addresses: readonly string[];
}

/** When something was seen, on the host's monotonic clock. */
export interface Seen {
  readonly atMs: number;
  readonly evidence?: DeathEvidence;
}
