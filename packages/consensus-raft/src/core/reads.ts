import { quorumValue } from "./configuration.ts";
import { holdsLease } from "./lease.ts";
import type { Progress } from "./progress.ts";
import type { CoreState } from "./state.ts";

/** Begins a round that the next heartbeat bears. */
export function beginRound(core: CoreState): number {
  core.round += 1;
  core.lease?.begin(core.round, core.nowMs);
  return core.round;
}

/** Sends every follower a heartbeat, of a round that has just begun or of the latest one. */
export function broadcastHeartbeat(core: CoreState, fresh = false): void {
  // A lease counts from the send of what was answered, so no two sends may look alike.
  if (!fresh && core.lease !== undefined) beginRound(core);
  core.heartbeatDueMs = core.nowMs + core.heartbeatMs;
  for (const peer of core.progress.values()) {
    // A follower is told of no more than it is known to have: its own log beyond may be another.
    const commit = Math.min(peer.matchIndex, core.commitIndex);
    peer.toldCommit = Math.max(peer.toldCommit, commit);
    core.send(peer, { type: "heartbeat", round: core.round, commit, repairIndex: peer.repairIndex });
  }
}

export function handleRead(core: CoreState, id: number): void {
  if (!core.isLeader) return core.reject(id, "not-leader");
  if (holdsLease(core)) return core.effect({ type: "read-ready", ids: [id], index: core.commitIndex });
  const waiting = core.reads.queued.length + core.reads.inRound.length;
  if (waiting >= core.limits.maxPendingReads) return core.reject(id, "backpressure");
  core.reads.queued.push(id);
  startRound(core);
}

/**
 * Starts one round for every read that waits (§8 of the extended paper; dissertation §6.4).
 *
 * Not before an entry of the own term has committed: the commit index may lag until then (etcd#7331). Rounds are counted up for
 * as long as the process lives and answers bear the term, so that no late answer is taken for another's (etcd#20418).
 */
export function startRound(core: CoreState): void {
  const { reads } = core;
  if (reads.inRound.length > 0 || reads.queued.length === 0 || core.commitIndex < core.termStartIndex) return;
  reads.inRound = reads.queued;
  reads.queued = [];
  reads.index = core.commitIndex;
  reads.round = beginRound(core);
  broadcastHeartbeat(core, true);
  finishRound(core);
}

/** Answers the reads of the current round once a quorum has confirmed that this is still the leader. */
export function finishRound(core: CoreState): void {
  const { reads, configuration } = core;
  if (reads.inRound.length === 0 || configuration === undefined) return;
  const confirmed = quorumValue(configuration, (voter) => {
    if (voter.id === core.self.id) return voter.storeId === core.self.storeId ? reads.round : 0;
    const peer = core.progress.get(voter.id);
    return peer === undefined || peer.storeId !== voter.storeId || peer.corrupt ? 0 : peer.round;
  });
  if (confirmed < reads.round) return;
  core.effect({ type: "read-ready", ids: reads.inRound, index: reads.index });
  reads.inRound = [];
  startRound(core);
}

/**
 * Begins the repair of a voter that lost part of its log, and with it perhaps a vote. Once every other voter has confirmed this
 * term in a round that began afterwards, no candidate with that lost vote can have been in a later one; what has committed by
 * then is what the voter must hold before it counts again.
 */
export function advanceRepairs(core: CoreState): void {
  const configuration = core.configuration;
  if (configuration === undefined || core.commitIndex < core.termStartIndex) return;
  for (const peer of core.progress.values()) {
    if (!peer.corrupt || peer.repairIndex > 0) continue;
    if (peer.repairRound === 0) {
      peer.repairRound = beginRound(core);
      broadcastHeartbeat(core, true);
    }
    if (othersConfirmed(core, peer)) peer.repairIndex = core.commitIndex;
  }
}

function othersConfirmed(core: CoreState, repaired: Progress): boolean {
  const configuration = core.configuration;
  for (const voter of [...(configuration?.voters ?? []), ...(configuration?.outgoing ?? [])]) {
    if (voter.id === core.self.id || voter.id === repaired.id) continue;
    const peer = core.progress.get(voter.id);
    if (peer === undefined || peer.storeId !== voter.storeId || peer.round < repaired.repairRound) return false;
  }
  return true;
}
