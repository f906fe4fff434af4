import type { NodeId } from "../ids.ts";
import type { Address } from "./transport.ts";

/**
 * `alive`; `suspect`: silent beyond the phi threshold; `dead`: closed evidence, or a suspect past `suspicionMs`;
 * `left`: it said good-bye.
 */
export type MemberStatus = "alive" | "suspect" | "dead" | "left";

/** What a death rests on. `closed`: connections closed by the peer's kernel and redials refused; `silent`: only silence. */
export type DeathEvidence = "closed" | "silent";

/** One node, as this node sees it now. A hint, never a decision. */
export interface Member {
  readonly id: NodeId;
  readonly status: MemberStatus;
  /** Present where `status` is `dead`. */
  readonly evidence?: DeathEvidence;
  readonly generation: number;
  readonly incarnation: number;
  readonly addresses: readonly Address[];
  /** Small typed facts that the node says of itself (zone, version, storeId, …). */
  readonly keys: ReadonlyMap<string, string>;
  /** Monotonic milliseconds since this status began, on this node's clock. */
  readonly statusSinceMs: number;
}

/** A frozen picture of everybody known, the local node included. */
export interface MembershipView {
  readonly self: NodeId;
  readonly members: ReadonlyMap<NodeId, Member>;
}

export type MembershipChange =
  /** First in every stream, and again when the consumer fell behind: replaces all that was known. */
  | { readonly type: "snapshot"; readonly view: MembershipView }
  | { readonly type: "changed"; readonly member: Member }
  | { readonly type: "forgotten"; readonly id: NodeId };

/** How healthy this node believes itself to be as an observer of others. */
export interface LocalHealth {
  /** 0 healthy … 7 unfit to judge (Lifeguard's local health multiplier). */
  readonly score: number;
  readonly lastStallMs: number;
  /** True while verdicts are withheld after a stall. */
  readonly frozen: boolean;
}

/** Who is there and who is alive, eventually. */
export interface Membership extends AsyncDisposable {
  start(): Promise<void>;
  view(): MembershipView;
  /** Starts with a snapshot; bounded: a slow consumer gets a new snapshot instead of a backlog. */
  changes(options: { readonly signal: AbortSignal }): AsyncIterable<MembershipChange>;
  /** Says something of this node. Key: 1–64 of [a-z0-9.-]; value ≤ 512 bytes; else `MEMBERSHIP_QUOTA`. */
  set(key: string, value: string): void;
  /** Suspicion of a member, in phi; 0 where it is fresh or unknown. */
  phi(id: NodeId): number;
  health(): LocalHealth;
  /** Raises the local node's incarnation, so that what was said of it before no longer holds. */
  raiseIncarnation(): void;
  /** Says good-bye to those who can be reached, waiting at most `timeoutMs`. A member that left is not a failure. */
  leave(options: { readonly timeoutMs: number }): Promise<void>;
  /** Drops a dead or departed member from views and keeps a grave, so that old news cannot revive it. */
  forget(id: NodeId): void;
  shutdown(): Promise<void>;
}
