import type { NodeId } from "@revoada/fabric";
import type { CoreState } from "./state.ts";

/** Starts the election timer anew, uniform in [T, 2T): equal timeouts would split votes for ever (§5.2). */
export function restartElectionTimer(core: CoreState): void {
  core.electionDeadlineMs = core.nowMs + core.electionTimeoutMs * (1 + core.random());
}

/**
 * True while a leader must be presumed: one was heard within the shortest election timeout. That it is not followed any more,
 * because a later term was seen meanwhile, changes nothing: its lease may count on this voter.
 */
export function hasLiveLeader(core: CoreState): boolean {
  return core.isLeader || core.nowMs - core.leaderHeardMs < core.electionTimeoutMs;
}

/**
 * Gives the leader up although it was heard a moment ago, so that others may be voted for. Not where leases are in use: its own
 * would count on this voter for what is left of it.
 */
export function forgetLeader(core: CoreState): void {
  if (core.role !== "follower" || core.leader === undefined || core.lease !== undefined) return;
  core.leader = undefined;
  core.leaderHeardMs = -Infinity;
  core.effect({ type: "role-changed" });
}

/** Follows `leader`, or nobody yet, in `term`. What a leader had promised to callers is lost with the place. */
export function becomeFollower(core: CoreState, term: number, leader: NodeId | undefined): void {
  const changed = core.role !== "follower" || core.term !== term || core.leader !== leader;
  if (term > core.term) core.setTerm(term, undefined);
  if (core.isLeader) stopLeading(core);
  core.role = "follower";
  core.leader = leader;
  core.votes.clear();
  restartElectionTimer(core);
  if (changed) core.effect({ type: "role-changed" });
}

function stopLeading(core: CoreState): void {
  for (const peer of core.progress.values()) {
    if (peer.state === "snapshot") core.effect({ type: "snapshot-cancel", to: peer.id });
  }
  core.progress.clear();
  core.uncommittedBytes = 0;
  core.leaderHeardMs = -Infinity;
  for (const id of [...core.reads.inRound, ...core.reads.queued]) core.reject(id, "not-leader");
  core.reads = { queued: [], inRound: [], index: 0, round: 0 };
  if (core.change !== undefined) core.reject(core.change.id, "lost-leadership");
  core.change = undefined;
  // Whether a transfer went through shows in who leads next; only its caller can wait for that.
  core.transfer = undefined;
}
