import type { Configuration, Generation, ReplicaId } from "@revoada/fabric";
import { firstStep, leaveJoint, replicasOf, sameConfiguration } from "./configuration.ts";
import { encodeConfiguration } from "./configuration-codec.ts";
import { Progress } from "./progress.ts";
import { startRound } from "./reads.ts";
import { appendOwn, broadcastAppend, maybeCommit } from "./replication.ts";
import { becomeFollower } from "./roles.ts";
import type { CoreState } from "./state.ts";

/** How many election timeouts a replica that left is still told of it. */
const farewellTimeouts = 10;

/** Brings the leader's bookkeeping in line with the configuration in force. Whoever is new is sent `nextIndex` first. */
export function syncProgress(core: CoreState, nextIndex: number): void {
  const configuration = core.configuration;
  if (!core.isLeader || configuration === undefined) return;
  const replicas = replicasOf(configuration);
  for (const [id, storeId] of replicas) {
    if (id === core.self.id) continue;
    const known = core.progress.get(id);
    if (known?.storeId === storeId) {
      known.departingUntilMs = Infinity;
      continue;
    }
    if (known?.state === "snapshot") core.effect({ type: "snapshot-cancel", to: id });
    core.progress.set(id, new Progress(id, storeId, nextIndex, core.nowMs));
  }
  for (const peer of core.progress.values()) {
    if (replicas.has(peer.id) || peer.departingUntilMs !== Infinity) continue;
    peer.departingUntilMs = core.nowMs + farewellTimeouts * core.electionTimeoutMs;
  }
}

function appendConfiguration(core: CoreState, configuration: Configuration): number {
  const index = appendOwn(core, "configuration", encodeConfiguration(configuration));
  core.configurations.push(index, configuration);
  syncProgress(core, index);
  core.effect({ type: "role-changed" });
  return index;
}

/** Takes a change of configuration from its caller (dissertation §4.3; joint whenever voters change). */
export function handleChange(
  core: CoreState,
  id: number,
  change: {
    readonly voters: readonly ReplicaId[];
    readonly learners: readonly ReplicaId[];
    readonly generation: Generation;
  },
): void {
  const current = core.configuration;
  if (!core.isLeader || current === undefined) return core.reject(id, "not-leader");
  if (core.transfer !== undefined) return core.reject(id, "transferring");
  const target: Configuration = { voters: change.voters, learners: change.learners, generation: change.generation };
  const settled = core.configurations.currentIndex <= core.commitIndex && core.commitIndex >= core.termStartIndex;
  // Before an entry of the own term has committed, a rival configuration may still exist elsewhere (the single-server bug of 2015).
  if (!settled || current.outgoing !== undefined || core.change !== undefined)
    return core.reject(id, "change-in-progress");
  if (sameConfiguration(current, target)) return core.effect({ type: "change-done", id });
  const step = firstStep(current, target);
  core.change = { id, finalIndex: 0 };
  const index = appendConfiguration(core, step);
  if (step.outgoing === undefined) core.change.finalIndex = index;
  broadcastAppend(core);
  maybeCommit(core);
}

/** What a leader does because something has committed. */
export function afterCommit(core: CoreState): void {
  core.commitUnseen = false;
  if (!core.isLeader || core.commitIndex < core.termStartIndex) return;
  const configuration = core.configuration;
  if (configuration !== undefined && core.configurations.currentIndex <= core.commitIndex) {
    if (configuration.outgoing !== undefined) leave(core, configuration);
    else finishChange(core);
  }
  if (core.isLeader) startRound(core);
}

/** A joint configuration has committed: leave it. A new leader that finds one half done does the same. */
function leave(core: CoreState, joint: Configuration): void {
  const index = appendConfiguration(core, leaveJoint(joint));
  if (core.change !== undefined) core.change.finalIndex = index;
  broadcastAppend(core);
  maybeCommit(core);
}

function finishChange(core: CoreState): void {
  if (core.change !== undefined && core.change.finalIndex > 0 && core.change.finalIndex <= core.commitIndex) {
    core.effect({ type: "change-done", id: core.change.id });
    core.change = undefined;
  }
  if (!core.isVoter) stepAside(core);
}

/** A leader that was voted out keeps its seat until the final change has committed (openraft#2091), and no longer. */
function stepAside(core: CoreState): void {
  broadcastCommit(core);
  const best = bestSuccessor(core);
  if (best !== undefined) core.send(best, { type: "timeout-now" });
  becomeFollower(core, core.term, undefined);
}

function broadcastCommit(core: CoreState): void {
  for (const peer of core.progress.values()) {
    const commit = Math.min(peer.matchIndex, core.commitIndex);
    core.send(peer, { type: "heartbeat", round: core.round, commit, repairIndex: 0 });
  }
}

function bestSuccessor(core: CoreState): Progress | undefined {
  let best: Progress | undefined;
  for (const voter of core.configuration?.voters ?? []) {
    const peer = core.progress.get(voter.id);
    if (peer === undefined || peer.storeId !== voter.storeId || peer.corrupt) continue;
    if (best === undefined || peer.matchIndex > best.matchIndex) best = peer;
  }
  return best;
}

/** True once a replica that left has been told so, or was given time enough: it is forgotten then. */
export function hasDeparted(core: CoreState, peer: Progress): boolean {
  if (peer.departingUntilMs === Infinity) return false;
  if (core.nowMs >= peer.departingUntilMs) return true;
  const index = core.configurations.currentIndex;
  return peer.matchIndex >= index && Math.min(peer.toldCommit, peer.matchIndex) >= index && core.commitIndex >= index;
}

/** A follower's configuration changed with its log: it may no longer stand for election. */
export function configurationFollowed(core: CoreState): void {
  core.effect({ type: "role-changed" });
  if (core.role !== "follower" && !core.isLeader && !core.mayStand) becomeFollower(core, core.term, undefined);
}
