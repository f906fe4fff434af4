import type { LogEntry } from "@revoada/fabric";
import { quorumValue } from "./configuration.ts";
import { entryBytes } from "./log.ts";
import type { Progress } from "./progress.ts";
import type { CoreState } from "./state.ts";
import { asIndex, asTerm } from "./types.ts";

/** Appends one entry of the own term. */
export function appendOwn(core: CoreState, kind: LogEntry["kind"], payload: Uint8Array): number {
  const entry: LogEntry = { index: asIndex(core.log.lastIndex + 1), term: asTerm(core.term), kind, payload };
  core.uncommittedBytes += entryBytes(entry);
  core.append(entry);
  return entry.index;
}

/** Sends every follower what it does not have yet. */
export function broadcastAppend(core: CoreState): void {
  for (const peer of core.progress.values()) sendEntries(core, peer);
}

/** Sends as many messages as the window of one follower allows. */
export function sendEntries(core: CoreState, peer: Progress): void {
  while (sendAppend(core, peer, false));
}

/**
 * Sends the next append message, or starts what must come before it: reading the disk, or a snapshot. True where a message
 * with entries went out and another may follow.
 */
export function sendAppend(core: CoreState, peer: Progress, mayBeEmpty: boolean): boolean {
  const { log, limits } = core;
  if (peer.state === "snapshot" || peer.reading) return false;
  if (peer.state === "probe" && peer.probePaused) return false;
  if (peer.state === "replicate" && peer.isFull(limits.maxInFlightMessages, limits.maxInFlightBytes)) return false;
  if (log.term(peer.nextIndex - 1) === undefined) {
    startSnapshot(core, peer);
    return false;
  }
  if (peer.nextIndex > log.lastIndex) {
    if (mayBeEmpty) sendMessage(core, peer, []);
    return false;
  }
  // One entry is enough to find out where the logs agree.
  const maxBytes = peer.state === "probe" ? 1 : limits.maxMessageBytes;
  if (peer.nextIndex < log.firstCached) {
    peer.reading = true;
    const upTo = Math.min(log.lastIndex, log.firstCached - 1);
    core.effect({ type: "read-log", to: peer.id, term: core.term, from: peer.nextIndex, upTo, maxBytes });
    return false;
  }
  sendMessage(core, peer, log.slice(peer.nextIndex, log.lastIndex, maxBytes, Infinity));
  return peer.state === "replicate";
}

function sendMessage(core: CoreState, peer: Progress, entries: readonly LogEntry[]): void {
  const prevIndex = peer.nextIndex - 1;
  const prevTerm = core.log.term(prevIndex) ?? 0;
  core.send(peer, { type: "append", prevIndex, prevTerm, commit: core.commitIndex, entries });
  peer.toldCommit = core.commitIndex;
  if (peer.state === "probe") peer.probePaused = true;
  const last = entries.at(-1);
  if (peer.state !== "replicate" || last === undefined) return;
  peer.sent(
    last.index,
    entries.reduce((sum, entry) => sum + entryBytes(entry), 0),
  );
}

function startSnapshot(core: CoreState, peer: Progress): void {
  // Streaming to one who does not answer would only hold the snapshot open.
  if (!peer.active) return;
  peer.becomeSnapshot(core.nowMs + core.limits.snapshotStallMs);
  core.effect({ type: "snapshot-send", to: { id: peer.id, storeId: peer.storeId }, term: core.term });
}

/** Takes entries that were read from the disk for a follower that is behind what is in memory. */
export function handleLogRead(core: CoreState, to: Progress, from: number, entries: readonly LogEntry[]): void {
  to.reading = false;
  const usable = to.state !== "snapshot" && to.nextIndex === from && core.log.term(from - 1) !== undefined;
  if (entries.length > 0 && usable) {
    sendMessage(core, to, entries);
  } else if (entries.length === 0 && core.log.term(from - 1) !== undefined) {
    // They should have been readable: asking again at once would spin. The next heartbeat's answer tries anew.
    to.probePaused = to.state === "probe";
    return;
  }
  sendEntries(core, to);
}

/** How far this store has the log: what is durable here, what is acknowledged elsewhere. */
function matchOf(core: CoreState, id: string, storeId: string): number {
  if (id === core.self.id) return storeId === core.self.storeId ? core.log.durableIndex : 0;
  const peer = core.progress.get(id as Progress["id"]);
  return peer === undefined || peer.storeId !== storeId || peer.corrupt ? 0 : peer.matchIndex;
}

/** §5.3, §5.4.2: an entry is committed once a quorum has it, and counted only in the own term. */
export function maybeCommit(core: CoreState): void {
  const configuration = core.configuration;
  if (!core.isLeader || configuration === undefined) return;
  const index = quorumValue(configuration, (voter) => matchOf(core, voter.id, voter.storeId));
  if (index > core.commitIndex && core.log.term(index) === core.term) commitTo(core, index);
}

/** Takes a commit index as decided: by the quorum on a leader, by the leader's word on a follower. */
export function commitTo(core: CoreState, index: number): void {
  if (index <= core.commitIndex) return;
  const before = core.commitIndex;
  core.commitIndex = index;
  core.effect({ type: "committed", index });
  if (core.isLeader) {
    core.uncommittedBytes = Math.max(0, core.uncommittedBytes - core.log.bytesBetween(before + 1, index));
    core.commitUnseen = true;
  }
  maybeApply(core);
}

/** Hands the machine what is both committed and durable here, one batch at a time. */
export function maybeApply(core: CoreState): void {
  const { log, limits } = core;
  if (core.applying || core.installing !== undefined || core.storage === "failed") return;
  const target = Math.min(core.commitIndex, log.durableIndex);
  const from = core.appliedIndex + 1;
  if (from > target) return;
  core.applying = true;
  if (from < log.firstCached) {
    core.effect({ type: "apply", from, to: Math.min(target, log.firstCached - 1) });
    return;
  }
  const entries = log.slice(from, target, limits.maxApplyBytes, limits.maxApplyEntries);
  core.effect({ type: "apply", from, to: from + entries.length - 1, entries });
}

/** The machine holds everything up to `index`. */
export function handleApplied(core: CoreState, index: number): void {
  core.applying = false;
  core.appliedIndex = Math.max(core.appliedIndex, index);
  core.log.trimCache(core.appliedIndex, core.limits.cacheBytes);
  if (core.appliedIndex >= core.snapshotDueIndex && !core.savingSnapshot) {
    core.savingSnapshot = true;
    core.snapshotDueIndex = core.appliedIndex + core.snapshotIntervalEntries;
    core.effect({ type: "snapshot-save", index: core.appliedIndex });
  }
  maybeApply(core);
}

/** A write became durable: the own acknowledgement counts from now on, and what waited for durability may be applied. */
export function handlePersisted(core: CoreState): void {
  maybeCommit(core);
  maybeApply(core);
  // A machine that does not keep up must not fill the memory: it gets from the disk what is let go here.
  core.log.trimCache(core.commitIndex, core.limits.maxBacklogBytes);
}
