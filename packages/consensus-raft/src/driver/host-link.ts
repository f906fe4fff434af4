import type { NodeId, ReplicaId, StoreId } from "@revoada/fabric";
import type { Presence } from "../core/rest.ts";
import type { TickerTarget } from "./ticker.ts";

/** What brings ticks to a replica. */
export interface Ticks {
  /** Sees to it that the next tick comes in time. */
  arm(): void;
  /** Sees to it that those who wait are looked after. */
  armSweep(): void;
  stop(): void;
}

/** What the host asks and tells a replica. */
export interface HostedReplica {
  /** True where this store follows `leader` in `term`, and could go on doing so. */
  follows(leader: NodeId, term: number, ownStore: StoreId): boolean;
  /** True where this replica leads in `term`, and that store of `peer` is among those that it replicates to. */
  leadsTo(peer: NodeId, term: number, peerStore: StoreId): boolean;
  /** Beats of the leader's host stand in for its heartbeats from now on. */
  rest(leader: NodeId, term: number): void;
  /** Beats stand in for nothing any more. */
  rouse(): void;
}

/** What a replica needs of the host that runs it beside others. */
export interface HostLink {
  /** Ticks of the host: one timer for all of its groups, and one that tells whether the process stood still. */
  ticks(target: TickerTarget): Ticks;
  /** What is known of the hosts of this group's other replicas. */
  readonly presence: Presence;
  /** The replica takes part, until the returned function is called. */
  attach(replica: HostedReplica): () => void;
  /** Role, term, leader, configuration or storage changed. */
  changed(): void;
  /** The leader of `term` is idle: its host is to speak for it. */
  offer(term: number, peers: readonly ReplicaId[]): void;
}
