import type { Configuration, LogBase, LogEntry, ReplicaId } from "@revoada/fabric";
import { InvariantError } from "@revoada/fabric";
import { decodeConfiguration } from "./configuration-codec.ts";
import { campaign } from "./election.ts";
import { configurationFollowed } from "./membership.ts";
import { commitTo, maybeApply } from "./replication.ts";
import type { CoreState } from "./state.ts";
import type { Message, RepairState } from "./types.ts";

/** What the leader of the current term has proven about this log. */
export interface Following {
  /** Equal to the leader's log up to here. */
  matchedIndex: number;
  /** The term in which a corrupt log was refilled; its leader hears of it until the term ends. */
  repairedTerm: number;
}

/** What this replica's answers say of its log. */
export function repairState(core: CoreState, following: Following): RepairState {
  if (core.storage === "corrupt") return "corrupt";
  return following.repairedTerm === core.term ? "refilled" : "sound";
}

function leaderOf(message: Message): ReplicaId {
  return { id: message.from, storeId: message.fromStore };
}

/** Configurations among entries; undefined where one of them cannot be read. */
function configurationsIn(entries: readonly LogEntry[]): readonly [number, Configuration][] | undefined {
  const found: [number, Configuration][] = [];
  for (const entry of entries) {
    if (entry.kind !== "configuration") continue;
    try {
      found.push([entry.index, decodeConfiguration(entry.payload)]);
    } catch {
      return undefined;
    }
  }
  return found;
}

/** AppendEntries, at the receiver (§5.3). */
export function handleAppend(
  core: CoreState,
  following: Following,
  message: Message & { readonly type: "append" },
): void {
  if (core.installing !== undefined) return;
  const repair = repairState(core, following);
  const accept = (index: number): void => {
    following.matchedIndex = Math.max(following.matchedIndex, index);
    const body = { type: "append-response", success: true, index, hintIndex: 0, hintTerm: 0, repair } as const;
    core.sendAfterLog(leaderOf(message), body);
  };
  const { prevIndex, prevTerm, entries } = message;
  // What is committed here equals the leader's log, compacted or not: it goes on behind that.
  if (prevIndex < core.commitIndex) return accept(core.commitIndex);
  if (!core.log.matches(prevIndex, prevTerm)) return refuse(core, message, repair);
  const configurations = configurationsIn(entries);
  // Nothing that a correct leader sends: not accepting it is all that can be done.
  if (configurations === undefined) return;
  const fresh = entries.findIndex((entry) => !core.log.matches(entry.index, entry.term));
  // A disk that does not keep up is given no more to hold: what is not taken is not acknowledged, and sent again.
  if (fresh >= 0 && core.log.writingBytes >= core.limits.maxBacklogBytes) return;
  if (fresh >= 0) appendFrom(core, entries, fresh, configurations);
  const last = prevIndex + entries.length;
  commitTo(core, Math.min(message.commit, last));
  maybeApply(core);
  accept(last);
}

function appendFrom(
  core: CoreState,
  entries: readonly LogEntry[],
  fresh: number,
  configurations: readonly [number, Configuration][],
): void {
  const first = (entries[fresh] as LogEntry).index;
  if (first <= core.commitIndex)
    throw new InvariantError(`entry ${first} conflicts although ${core.commitIndex} is committed`);
  let changed = false;
  if (first <= core.log.lastIndex) {
    core.truncate(first);
    changed = core.configurations.truncate(first);
  }
  for (let at = fresh; at < entries.length; at += 1) core.append(entries[at] as LogEntry);
  for (const [index, configuration] of configurations) {
    if (index < first) continue;
    core.configurations.push(index, configuration);
    changed = true;
  }
  if (changed) configurationFollowed(core);
}

function refuse(core: CoreState, message: Message & { readonly type: "append" }, repair: RepairState): void {
  let hintIndex = Math.min(message.prevIndex, core.log.lastIndex);
  while (hintIndex > core.commitIndex) {
    const term = core.log.term(hintIndex);
    if (term === undefined || term <= message.prevTerm) break;
    hintIndex -= 1;
  }
  const hintTerm = core.log.term(hintIndex) ?? 0;
  const body = {
    type: "append-response",
    success: false,
    index: message.prevIndex,
    hintIndex,
    hintTerm,
    repair,
  } as const;
  core.sendAfterTerm(leaderOf(message), body);
}

/** A heartbeat needs no disk, so its answer does not wait for one (etcd#7617). */
export function handleHeartbeat(
  core: CoreState,
  following: Following,
  message: Message & { readonly type: "heartbeat" },
): void {
  // The leader speaks of what was acknowledged. A corrupt log may have lost that, and hold in its place what had been overwritten.
  const known = core.storage === "corrupt" ? following.matchedIndex : core.log.lastIndex;
  if (core.installing === undefined) commitTo(core, Math.min(message.commit, known));
  const { repairIndex } = message;
  const refilled = Math.min(following.matchedIndex, core.log.durableIndex);
  if (core.storage === "corrupt" && repairIndex > 0 && refilled >= repairIndex) {
    core.storage = "ok";
    following.repairedTerm = core.term;
    // A vote of this term may be among what was lost; standing by its leader contradicts none.
    core.setTerm(core.term, message.from);
    core.effect({ type: "role-changed" });
  }
  const body = { type: "heartbeat-response", round: message.round, repair: repairState(core, following) } as const;
  core.sendAfterTerm(leaderOf(message), body);
}

/** The leader hands over: campaign at once, and say that its lease does not matter. */
export function handleTimeoutNow(core: CoreState): void {
  if (core.role === "follower" && core.isVoter) campaign(core, true);
}

/** A whole snapshot has arrived and been verified. It is installed only where it brings something. */
export function handleSnapshotReceived(core: CoreState, following: Following, leader: ReplicaId, base: LogBase): void {
  if (core.installing !== undefined) return;
  const repair = repairState(core, following);
  const accept = (index: number): void => {
    core.sendAfterLog(leader, { type: "append-response", success: true, index, hintIndex: 0, hintTerm: 0, repair });
  };
  if (base.index <= core.commitIndex) return accept(core.commitIndex);
  if (core.log.matches(base.index, base.term)) {
    commitTo(core, base.index);
    return accept(base.index);
  }
  core.installing = base;
  core.effect({ type: "snapshot-install", base });
}

/** The machine was restored and the log begins behind the snapshot, or neither. */
export function handleSnapshotInstalled(core: CoreState, following: Following, base: LogBase, success: boolean): void {
  core.installing = undefined;
  if (success) {
    core.log.reset(base.index, base.term);
    core.configurations.reset(base.index, base.configuration);
    core.commitIndex = Math.max(core.commitIndex, base.index);
    core.appliedIndex = base.index;
    core.applying = false;
    core.snapshotDueIndex = base.index + core.snapshotIntervalEntries;
    following.matchedIndex = base.index;
    core.effect({ type: "committed", index: core.commitIndex });
    configurationFollowed(core);
  }
  maybeApply(core);
}
