import { shortId, type Candidate, type NodeId, type Transition } from "@revoada/fabric";
import type { PolicyContext } from "../policies/policy.ts";
import { recordOf } from "./desired-shape.ts";
import type { Move } from "./moves.ts";
import { byPreference, chooseVoters, type SeatPlan } from "./seats.ts";
import { isGivenUp, isReachable, isServing, unlimited } from "./situation.ts";

/** Most learners that one command seats or unseats. */
const maxSeatsPerCommand = 128;

/**
 * Gives a learner up that has had its time to catch up, where another is there to be tried; it is passed over for a while. Masters
 * beyond the voters are not given up: their role is theirs.
 */
export function giveUpLearners(context: PolicyContext, { candidates, barred }: SeatPlan): boolean {
  const { draft, observation, limits } = context;
  const { replication, nowMs } = observation;
  const slow = unlimited(candidates).find(({ id, replica, role, caughtUp }) => {
    if (replica !== "learner" || caughtUp || role === "master") return false;
    const seatedMs = nowMs - recordOf(context, id).lastShiftMs;
    return Math.min(seatedMs, replication.behindMs?.get(id) ?? 0) >= limits.catchUpMs;
  });
  const hasNext = unlimited(candidates).some(
    ({ id, replica }) => replica === "none" && !barred.has(id) && !isGivenUp(id, observation, limits),
  );
  if (slow === undefined || !hasNext) return false;
  const { id } = slow;
  return draft.decide({
    kind: "give-up",
    transitions: [{ verb: "seat", node: id, replica: "none" }],
    reason: `${shortId(id)} does not catch up, and another is tried`,
    inputs: {
      givenUp: id,
      atMs: nowMs,
      behindMs: Math.floor(replication.behindMs?.get(id) ?? 0),
      matchIndex: replication.matchIndex.get(id) ?? 0,
      commitIndex: replication.commitIndex,
    },
  });
}

/** Before the first shape: whoever was to be in it and is gone, or goes, replicates no more. */
export function dropLearners({ draft }: PolicyContext): void {
  const transitions = [...draft.formation.nodes]
    .filter(([, record]) => record.replica === "learner" && !isServing(record) && record.state !== "demoting")
    .map(([node]): Transition => ({ verb: "seat", node, replica: "none" }));
  if (transitions.length === 0) return;
  draft.decide({
    kind: "standbys",
    transitions: transitions.slice(0, maxSeatsPerCommand),
    reason: `${transitions.length} nodes replicate no more`,
    inputs: { dropped: transitions.length },
  });
}

/** Keeps the right nodes replicating without a vote: masters beyond the voters, those who will vote, and warm standbys. */
export function keepLearners(context: PolicyContext, plan: SeatPlan, move: Move | undefined): boolean {
  const { draft, observation, limits } = context;
  const wanted = wantedReplicas(context, plan);
  if (move !== undefined) wanted.add(move.to);
  addStandbys(context, plan, wanted);
  const transitions: Transition[] = [];
  for (const [id, record] of [...draft.formation.nodes].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    if (record.replica === "none" && wanted.has(id)) transitions.push({ verb: "seat", node: id, replica: "learner" });
    const gone =
      !isServing(record) || record.state === "standby" || observation.nowMs - record.lastShiftMs >= limits.dampingMs;
    if (record.replica === "learner" && !wanted.has(id) && gone && record.state !== "demoting") {
      transitions.push({ verb: "seat", node: id, replica: "none" });
    }
  }
  if (transitions.length === 0) return false;
  return draft.decide({
    kind: "standbys",
    transitions: transitions.slice(0, maxSeatsPerCommand),
    reason: `${wanted.size} nodes replicate`,
    inputs: { replicating: wanted.size, warmStandbys: limits.warmStandbys },
  });
}

/** Who replicates whether or not a standby is wanted. */
function wantedReplicas(context: PolicyContext, plan: SeatPlan): Set<NodeId> {
  const { draft, observation, limits } = context;
  const { candidates, assignment } = plan;
  const planned = new Set(chooseVoters(plan).map(({ id }) => id));
  const wanted = new Set<NodeId>();
  for (const { id, role, limitedTo, replica } of candidates) {
    const observes = role === "observer" && limitedTo === "observer";
    const isPlanned = planned.has(id) && (replica === "voter" || !isGivenUp(id, observation, limits));
    if (assignment.get(id) === "master" || isPlanned || observes) wanted.add(id);
  }
  for (const [id, record] of draft.formation.nodes) {
    if (record.state === "active" && record.role === "master" && isReachable(id, observation, limits)) wanted.add(id);
    const { succeeds } = record;
    // It is the same disk under its next key: it replicates as long as the key before it has a copy to pass on.
    if (succeeds !== undefined && draft.record(succeeds)?.replica !== "none" && isServing(record)) wanted.add(id);
  }
  return wanted;
}

/** The best of the others stand by; where zones are redundant, one in the zone of each voter comes first. */
function addStandbys({ draft, observation, limits }: PolicyContext, plan: SeatPlan, wanted: Set<NodeId>): void {
  const spare = unlimited(plan.candidates)
    .filter(({ id, replica }) => replica !== "voter" && !wanted.has(id) && !plan.barred.has(id))
    .filter(({ id }) => !isGivenUp(id, observation, limits))
    .toSorted((a, b) => standbyRank(a) - standbyRank(b) || byPreference(a, b));
  const hot = new Set<string>();
  for (const { replica, zone } of draft.formation.nodes.values())
    if (limits.redundancyZones && replica === "voter") hot.add(zone);
  const spread: Candidate[] = [];
  for (const candidate of spare) {
    if (hot.delete(candidate.zone)) wanted.add(candidate.id);
    else spread.push(candidate);
  }
  for (const { id } of spread.slice(0, limits.warmStandbys)) wanted.add(id);
}

function standbyRank(candidate: Candidate): number {
  const seat = candidate.replica === "learner" ? 0 : 1;
  return seat + (candidate.role === "worker" ? 0 : candidate.role === "observer" ? 4 : 2);
}
