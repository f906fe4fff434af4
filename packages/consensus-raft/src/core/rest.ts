import type { NodeId, ReplicaId } from "@revoada/fabric";
import type { Progress } from "./progress.ts";
import { beginRound, broadcastHeartbeat } from "./reads.ts";
import { restartElectionTimer } from "./roles.ts";
import type { CoreState } from "./state.ts";

/*
 * A group in which nothing happens rests: its leader sends no heartbeats and its followers run no election timers, because their
 * hosts tell each other for all such groups at once that they are alive and still stand by who leads. See docs/groups.md.
 *
 * Resting decides nothing. Terms, votes, commits and configurations move by messages of the group alone; what hosts say is taken
 * for the time at which a leader or a follower was last heard, as a heartbeat or its answer would be, and for no more.
 */

/** What is known of other replicas from their hosts. Asked whenever it matters, so that nothing must be done as time passes. */
export interface Presence {
  /**
   * When the host of `peer` last stood by this group as both sides know it: for a leader, to lead it in this term; for a follower,
   * to follow this leader in this term. -Infinity where it does not.
   */
  heardMs(peer: NodeId): number;
  /** True where the host of `peer` has agreed to take its word for heartbeats to that replica, and is being heard. */
  covers(peer: NodeId): boolean;
  /** True where the host of `peer` has been silent for so long that waiting for its replica is of no use. */
  isGone(peer: NodeId): boolean;
}

/** In whose reign a group rests. Whatever changes that ends the rest. */
export interface Rest {
  readonly leader: NodeId;
  readonly term: number;
}

/** The round that must be answered before a leader rests: whoever answered it holds the whole log and knows the commit. */
export interface RestRound {
  readonly term: number;
  readonly lastIndex: number;
  readonly round: number;
}

/** For so many election timeouts a follower is waited for whose host is silent; then the others rest without it. */
const goneTimeouts = 2;

function isGone(core: CoreState, peer: Progress): boolean {
  const silentMs = core.nowMs - peer.lastHeardMs;
  if (peer.state === "snapshot" || silentMs <= goneTimeouts * core.electionTimeoutMs) return false;
  return core.presence?.isGone(peer.id) === true;
}

/** True where everybody who can be reached has everything and knows it, and nobody waits for anything. */
function isIdle(core: CoreState): boolean {
  const { log, reads, configurations, restRound } = core;
  const { lastIndex } = log;
  if (core.commitIndex !== lastIndex || log.durableIndex !== lastIndex || log.hasWrites || core.storage !== "ok")
    return false;
  if (core.change !== undefined || core.transfer !== undefined) return false;
  if (reads.queued.length > 0 || reads.inRound.length > 0) return false;
  if (configurations.currentIndex > core.commitIndex || configurations.current?.outgoing !== undefined) return false;
  if (!core.isVoter || core.commitIndex < core.termStartIndex) return false;
  const asked = restRound?.term === core.term && restRound.lastIndex === lastIndex ? restRound.round : 0;
  for (const peer of core.progress.values()) {
    if (peer.departingUntilMs !== Infinity) return false;
    if (isGone(core, peer)) continue;
    if (peer.corrupt || peer.state !== "replicate" || peer.matchIndex !== lastIndex || peer.round < asked) return false;
  }
  return true;
}

/** True while a rest that was begun goes on. */
export function rests(core: CoreState): boolean {
  const { rest } = core;
  if (rest === undefined || rest.term !== core.term || rest.leader !== core.leader) return false;
  return core.isLeader ? isIdle(core) : core.role === "follower";
}

/**
 * A leader's heartbeats are due. True where that was dealt with: by resting, or by the round that must be answered first.
 *
 * That an append told a follower of a commit does not mean that it arrived. An answer to a round that began after everything had
 * committed does: with it a follower has said that it holds the log to its end, and follows.
 */
export function restInstead(core: CoreState): boolean {
  const { presence, leader } = core;
  if (presence === undefined || leader === undefined || !isIdle(core)) return false;
  const { restRound, term } = core;
  const { lastIndex } = core.log;
  if (restRound?.term !== term || restRound.lastIndex !== lastIndex) {
    core.restRound = { term, lastIndex, round: beginRound(core) };
    broadcastHeartbeat(core, true);
    return true;
  }
  const uncovered: ReplicaId[] = [];
  let mayRest = true;
  for (const peer of core.progress.values()) {
    if (presence.covers(peer.id)) continue;
    uncovered.push({ id: peer.id, storeId: peer.storeId });
    if (!isGone(core, peer)) mayRest = false;
  }
  if (uncovered.length > 0) core.effect({ type: "rest-asked", term, peers: uncovered });
  if (mayRest) core.rest = { leader, term };
  return mayRest;
}

/** A follower's host has agreed with the leader's that this group is covered. */
export function restBehind(core: CoreState, leader: NodeId, term: number): void {
  if (core.presence === undefined || core.role !== "follower" || core.leader !== leader || core.term !== term) return;
  core.rest = { leader, term };
}

/** Takes over what hosts have heard: before anything else is decided that rests on it. */
export function refreshPresence(core: CoreState): void {
  const { presence, leader, nowMs } = core;
  if (presence === undefined || leader === undefined) return;
  if (!core.isLeader) {
    core.leaderHeardMs = Math.max(core.leaderHeardMs, Math.min(nowMs, presence.heardMs(leader)));
    return;
  }
  for (const peer of core.progress.values())
    peer.lastHeardMs = Math.max(peer.lastHeardMs, Math.min(nowMs, presence.heardMs(peer.id)));
}

/** Heartbeats and election timers go on from here, as if the last beat of the host had been a heartbeat. */
export function rouse(core: CoreState): void {
  if (core.rest === undefined) return;
  refreshPresence(core);
  core.rest = undefined;
  if (core.isLeader) {
    core.heartbeatDueMs = core.nowMs;
    return;
  }
  const dueMs = core.leaderHeardMs + core.electionTimeoutMs * (1 + core.random());
  core.electionDeadlineMs = Math.max(core.electionDeadlineMs, dueMs);
}

/** Ends a rest that what happened in this step has ended. Whoever changed term or leader has started the election timer anew. */
export function endRest(core: CoreState): void {
  if (core.rest === undefined || rests(core)) return;
  core.rest = undefined;
  if (core.isLeader) core.heartbeatDueMs = core.nowMs + core.heartbeatMs;
}

/** The election timer ran out. True where the leader was heard all the same, through its host. */
export function wasHeard(core: CoreState): boolean {
  const { presence, leader } = core;
  if (presence === undefined || leader === undefined || core.role !== "follower") return false;
  refreshPresence(core);
  if (core.nowMs - presence.heardMs(leader) >= core.electionTimeoutMs) return false;
  restartElectionTimer(core);
  return true;
}
