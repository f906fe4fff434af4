import type { NodeId } from "@revoada/fabric";
import { quorumValue } from "./configuration.ts";
import { voidLease } from "./lease.ts";
import { hasDeparted, syncProgress } from "./membership.ts";
import type { Progress } from "./progress.ts";
import { advanceRepairs, broadcastHeartbeat, finishRound } from "./reads.ts";
import { appendOwn, broadcastAppend, maybeCommit, sendAppend, sendEntries } from "./replication.ts";
import { restInstead } from "./rest.ts";
import { becomeFollower } from "./roles.ts";
import type { CoreState } from "./state.ts";
import { entryOverheadBytes, type Message, type RejectReason, type RepairState } from "./types.ts";

const empty = new Uint8Array(0);

/** An election was won. The no-op makes the own term commit something, and all that came before with it (§8). */
export function becomeLeader(core: CoreState): void {
  core.role = "leader";
  core.leader = core.self.id;
  core.votes.clear();
  core.progress.clear();
  core.uncommittedBytes = core.log.bytesBetween(core.commitIndex + 1, core.log.lastIndex);
  core.termStartIndex = core.log.lastIndex + 1;
  if (core.lease !== undefined) core.lease.givenAway = false;
  syncProgress(core, core.termStartIndex);
  voidLease(core);
  core.effect({ type: "role-changed" });
  appendOwn(core, "noop", empty);
  core.heartbeatDueMs = core.nowMs + core.heartbeatMs;
  broadcastAppend(core);
}

/** When a quorum was last heard, the own answer being now. */
export function quorumHeardMs(core: CoreState): number {
  const configuration = core.configuration;
  if (configuration === undefined) return -Infinity;
  return quorumValue(configuration, (voter) => {
    if (voter.id === core.self.id) return voter.storeId === core.self.storeId ? core.nowMs : -Infinity;
    const peer = core.progress.get(voter.id);
    // What a corrupt voter holds does not count, so hearing it helps nobody to commit.
    return peer === undefined || peer.storeId !== voter.storeId || peer.corrupt ? -Infinity : peer.lastHeardMs;
  });
}

/** What time brings to a leader. */
export function tickLeader(core: CoreState): void {
  const oldest = core.log.oldestWriteMs;
  const hangs = oldest !== undefined && core.nowMs - oldest >= core.limits.storageStallMs;
  const alone = core.nowMs - quorumHeardMs(core) > core.electionTimeoutMs;
  // Check-quorum: who cannot hear a majority leads nobody, and must let its callers know. A disk that hangs is no better.
  if (hangs || alone) return becomeFollower(core, core.term, undefined);
  if (core.transfer !== undefined && core.nowMs >= core.transfer.deadlineMs) {
    core.effect({ type: "transfer-done", id: core.transfer.id, success: false });
    core.transfer = undefined;
    voidLease(core);
  }
  for (const peer of core.progress.values()) {
    if (core.nowMs >= peer.snapshotDeadlineMs) {
      core.effect({ type: "snapshot-cancel", to: peer.id });
      peer.becomeProbe();
    }
    if (hasDeparted(core, peer)) forgetPeer(core, peer);
  }
  if (core.nowMs >= core.heartbeatDueMs && !restInstead(core)) broadcastHeartbeat(core);
}

function forgetPeer(core: CoreState, peer: Progress): void {
  if (peer.state === "snapshot") core.effect({ type: "snapshot-cancel", to: peer.id });
  core.progress.delete(peer.id);
}

/** The process stood still: silence of others proves nothing about them, and one's own leadership must be confirmed anew. */
export function resumeLeader(core: CoreState): void {
  for (const peer of core.progress.values()) peer.lastHeardMs = core.nowMs;
  voidLease(core);
  broadcastHeartbeat(core);
}

/** The clock that leases are counted on may have stood still. */
export function clockJumped(core: CoreState): void {
  if (!core.isLeader || core.lease === undefined) return;
  voidLease(core);
  broadcastHeartbeat(core);
}

function refusal(core: CoreState): RejectReason | undefined {
  if (!core.isLeader) return "not-leader";
  // Voted out, it only sees its own removal through; who wants to write waits for the successor.
  return core.transfer !== undefined || !core.isVoter ? "transferring" : undefined;
}

/** Takes commands, as many of them as fit. */
export function handlePropose(core: CoreState, id: number, payloads: readonly Uint8Array[]): void {
  const refused = refusal(core);
  if (refused !== undefined) return core.reject(id, refused);
  const firstIndex = core.log.lastIndex + 1;
  let count = 0;
  let backlogBytes = core.log.writingBytes;
  for (const payload of payloads) {
    const bytes = payload.length + entryOverheadBytes;
    if (payload.length > core.limits.maxCommandBytes) break;
    if (core.uncommittedBytes > 0 && core.uncommittedBytes + bytes > core.limits.maxUncommittedBytes) break;
    if (backlogBytes > 0 && backlogBytes + bytes > core.limits.maxBacklogBytes) break;
    backlogBytes += bytes;
    appendOwn(core, "command", payload);
    count += 1;
  }
  if (count > 0) core.effect({ type: "proposed", id, firstIndex, term: core.term, count });
  const next = payloads[count];
  if (next !== undefined)
    core.reject(id, next.length > core.limits.maxCommandBytes ? "too-large" : "backpressure", count);
  if (count > 0) broadcastAppend(core);
}

/** Tells followers of commits that no entry carries to them. */
export function announceCommit(core: CoreState): void {
  for (const peer of core.progress.values()) {
    if (peer.toldCommit < core.commitIndex && peer.state === "replicate") sendAppend(core, peer, true);
  }
}

/** The peer that answers, where it is one of ours and its answer may be believed. */
function answering(core: CoreState, message: Message, repair: RepairState): Progress | undefined {
  const peer = core.progress.get(message.from);
  if (!core.isLeader || peer === undefined || peer.storeId !== message.fromStore) return undefined;
  peer.lastHeardMs = core.nowMs;
  peer.active = true;
  if (repair === "corrupt" && !peer.corrupt) peer.becomeCorrupt();
  // An answer from before its log broke may still be under way: it says that all was well.
  if (peer.corrupt && repair === "sound") return undefined;
  if (peer.corrupt && repair === "refilled" && peer.repairIndex > 0) peer.corrupt = false;
  return peer;
}

export function handleAppendResponse(core: CoreState, message: Message & { readonly type: "append-response" }): void {
  const peer = answering(core, message, message.repair);
  if (peer === undefined) return;
  if (!message.success) {
    const hint = agreementHint(core, message.hintIndex, message.hintTerm);
    if (peer.refused(message.index, hint)) sendEntries(core, peer);
    return;
  }
  if (message.index > core.log.lastIndex) return;
  const fresh = peer.acknowledged(message.index);
  if (peer.state === "probe") peer.becomeReplicate();
  if (peer.state === "snapshot" && core.log.term(peer.matchIndex) !== undefined) {
    core.effect({ type: "snapshot-cancel", to: peer.id });
    peer.becomeReplicate();
  }
  if (fresh) maybeCommit(core);
  sendEntries(core, peer);
  continueTransfer(core, peer);
  if (hasDeparted(core, peer)) forgetPeer(core, peer);
}

/** Skips back over whole terms: the largest index at which this log may agree with one that has `hintTerm` at `hintIndex`. */
function agreementHint(core: CoreState, hintIndex: number, hintTerm: number): number {
  let index = Math.min(hintIndex, core.log.lastIndex);
  while (index > core.log.baseIndex) {
    const term = core.log.term(index);
    if (term === undefined || term <= hintTerm) break;
    index -= 1;
  }
  return index;
}

export function handleHeartbeatResponse(
  core: CoreState,
  message: Message & { readonly type: "heartbeat-response" },
): void {
  const peer = answering(core, message, message.repair);
  if (peer === undefined) return;
  peer.round = Math.max(peer.round, Math.min(message.round, core.round));
  if (core.lease !== undefined) peer.confirmedMs = core.lease.sentMs(peer.round);
  finishRound(core);
  advanceRepairs(core);
  maybeCommit(core);
  peer.probePaused = false;
  const stuck = peer.matchAtHeartbeat === peer.matchIndex;
  peer.matchAtHeartbeat = peer.matchIndex;
  if (peer.state === "probe") {
    sendAppend(core, peer, true);
  } else if (peer.matchIndex < core.log.lastIndex && stuck) {
    recoverLost(core, peer);
  }
  if (hasDeparted(core, peer)) forgetPeer(core, peer);
}

/** Nothing was acknowledged between two heartbeats although something is out: it may have been lost, so ask. */
function recoverLost(core: CoreState, peer: Progress): void {
  if (peer.state !== "replicate") return;
  if (
    peer.nextIndex <= core.log.lastIndex &&
    !peer.isFull(core.limits.maxInFlightMessages, core.limits.maxInFlightBytes)
  ) {
    return sendEntries(core, peer);
  }
  const prevIndex = peer.nextIndex - 1;
  const prevTerm = core.log.term(prevIndex);
  if (prevTerm === undefined) return peer.becomeProbe();
  core.send(peer, { type: "append", prevIndex, prevTerm, commit: core.commitIndex, entries: [] });
}

export function handleTransfer(core: CoreState, id: number, to: NodeId): void {
  if (!core.isLeader) return core.reject(id, "not-leader");
  if (to === core.self.id) return core.effect({ type: "transfer-done", id, success: true });
  if (core.transfer !== undefined) return core.reject(id, "transferring");
  const peer = core.progress.get(to);
  const voter = core.configuration?.voters.some((member) => member.id === to && member.storeId === peer?.storeId);
  if (peer === undefined || voter !== true || peer.corrupt) return core.reject(id, "not-a-voter");
  core.transfer = { id, to, deadlineMs: core.nowMs + core.electionTimeoutMs, told: false };
  peer.probePaused = false;
  sendEntries(core, peer);
  continueTransfer(core, peer);
}

/** Dissertation §3.10: the successor campaigns once it has everything. */
function continueTransfer(core: CoreState, peer: Progress): void {
  const { transfer } = core;
  if (transfer === undefined || transfer.to !== peer.id || transfer.told) return;
  if (peer.matchIndex !== core.log.lastIndex) return;
  transfer.told = true;
  if (core.lease !== undefined) core.lease.givenAway = true;
  core.send(peer, { type: "timeout-now" });
}
