import type { Address, MemberStatus, NodeId } from "@revoada/fabric";
import type { GossipRecord } from "./items.ts";
import type { RefusalReason } from "./refusal.ts";
import type { Standing } from "./subject.ts";

/** What the driver is to do or to tell, in order. */
export type Effect =
  | { readonly type: "send"; readonly peer: NodeId; readonly frame: Uint8Array }
  /** A member is new or differs from before; `status` is present where that is what changed. */
  | {
      readonly type: "member";
      readonly id: NodeId;
      readonly status?: { readonly from: MemberStatus | undefined; readonly to: MemberStatus };
    }
  | { readonly type: "forgotten"; readonly id: NodeId }
  | { readonly type: "addresses"; readonly id: NodeId; readonly addresses: readonly Address[] }
  /** Knock at a door: others, or silence, say that nobody is there any more. */
  | { readonly type: "probe"; readonly id: NodeId }
  | {
      readonly type: "refused";
      readonly reason: RefusalReason;
      readonly peer: NodeId | undefined;
      readonly detail: string;
    }
  /** The local node was accused and answered with a new incarnation. */
  | { readonly type: "refuted"; readonly by: NodeId; readonly incarnation: number }
  /** A record under the own key that is not of this process was met. */
  | { readonly type: "own-conflict"; readonly generation: number; readonly resolved: boolean };

/** What is known of one node, for views. */
export interface MemberFacts {
  readonly record: GossipRecord;
  /** All that it says of itself, its further pages included. */
  readonly keys: ReadonlyMap<string, string>;
  readonly standing: Standing;
}
