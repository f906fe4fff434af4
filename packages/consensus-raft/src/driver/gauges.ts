import { silentMetrics, type Metrics, type NodeId } from "@revoada/fabric";
import type { RaftCore } from "../core/raft-core.ts";

/** What gauges show beside the core. */
export interface GaugeSources {
  readonly metrics: Metrics;
  readonly leaseReads: boolean;
  monotonicMs(): number;
  pendingProposals(): number;
  waitingProposals(): number;
}

/**
 * Tells metrics what changed, as it changes: a follower of a healthy leader has no ticks of its own, and a backlog comes and goes
 * between two of a leader's.
 */
export class ReplicaGauges {
  readonly #sources: GaugeSources;
  readonly #told = new Map<string, number>();
  readonly #measures: boolean;
  #leader: NodeId | undefined;
  #stoodInTerm = 0;

  constructor(sources: GaugeSources) {
    this.#sources = sources;
    this.#measures = sources.metrics !== silentMetrics;
  }

  /** Looks at everything; cheap where nothing has changed, and free where nobody measures. */
  note(core: RaftCore): void {
    if (!this.#measures) return;
    this.#set("revoada_raft_term", core.term);
    this.#set("revoada_raft_leader", core.isLeader ? 1 : 0);
    this.#set("revoada_raft_commit_index", core.commitIndex);
    this.#set("revoada_raft_applied_index", core.appliedIndex);
    this.#set("revoada_raft_apply_lag_entries", core.commitIndex - core.appliedIndex);
    this.#set("revoada_raft_commit_lag_entries", core.lastIndex - core.commitIndex);
    this.#set("revoada_raft_durable_lag_entries", core.lastIndex - core.durableIndex);
    this.#set("revoada_raft_in_flight_bytes", core.inFlightBytes);
    this.#set("revoada_raft_uncommitted_bytes", core.uncommittedBytes);
    this.#set("revoada_raft_log_corrupt", core.storage === "corrupt" ? 1 : 0);
    this.#set("revoada_raft_log_failed", core.storage === "failed" ? 1 : 0);
    this.#set("revoada_raft_proposals_pending", this.#sources.pendingProposals());
    this.#set("revoada_raft_proposals_waiting", this.#sources.waitingProposals());
    if (this.#sources.leaseReads) this.#set("revoada_raft_lease", core.holdsLease(this.#sources.monotonicMs()) ? 1 : 0);
    this.#noteElections(core);
  }

  #noteElections(core: RaftCore): void {
    const { metrics } = this.#sources;
    const stands = core.role === "candidate" || core.role === "leader";
    if (stands && core.term > this.#stoodInTerm) {
      this.#stoodInTerm = core.term;
      metrics.count("revoada_raft_elections_total");
    }
    const { leader } = core;
    if (leader === undefined || leader === this.#leader) return;
    this.#leader = leader;
    metrics.count("revoada_raft_leader_changes_total");
  }

  #set(name: string, value: number): void {
    if (this.#told.get(name) === value) return;
    this.#told.set(name, value);
    this.#sources.metrics.gauge(name, value);
  }
}
