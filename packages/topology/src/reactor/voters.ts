import {
  quorumSizeOf,
  shortId,
  type Assignment,
  type Candidate,
  type Formation,
  type NodeId,
  type NodeRecord,
  type Transition,
} from "@revoada/fabric";
import { giveRole } from "./draft.ts";
import { desiredShape, type Pass } from "./pass.ts";
import { candidatesOf, isReachable, isServing, type Observation, type ReactorLimits } from "./situation.ts";

/**
 * Who should vote: masters first, then arbiters, then whoever is closest to it; as many as the quorum asks for, or the largest
 * odd number that there are nodes for.
 */
export function planVoters(
  candidates: readonly Candidate[],
  assignment: Assignment,
  quorumSize: number,
): readonly NodeId[] {
  const order = candidates.toSorted(
    (a, b) => seatRank(a, assignment) - seatRank(b, assignment) || (a.id < b.id ? -1 : 1),
  );
  const seats = Math.min(quorumSize, order.length);
  return order.slice(0, seats % 2 === 0 ? Math.max(seats - 1, 0) : seats).map((candidate) => candidate.id);
}

function seatRank(candidate: Candidate, assignment: Assignment): number {
  const votes = candidate.replica === "voter" ? 0 : candidate.caughtUp ? 1 : candidate.replica === "learner" ? 2 : 3;
  if (assignment.get(candidate.id) === "master") return votes;
  // An observer votes only where nobody else is left to.
  return 10 + votes + (candidate.role === "observer" ? 10 : 0);
}

/** Voters that can no longer be relied on, in the order in which their seats are given away. */
function lostVoters({ draft, observation, limits }: Pass): readonly NodeId[] {
  return [...draft.formation.nodes]
    .filter(
      ([id, record]) => record.replica === "voter" && !(isServing(record) && isReachable(id, observation, limits)),
    )
    .map(([id]) => id)
    .toSorted();
}

/** True where somebody caught up could take this voter's seat at once. */
export function canGiveUpSeat(
  id: NodeId,
  formation: Formation,
  observation: Observation,
  limits: ReactorLimits,
): boolean {
  return candidatesOf(formation, observation, limits).some(
    (candidate) => candidate.id !== id && candidate.replica === "learner" && candidate.caughtUp,
  );
}

/** Moves one seat, or adds two: the dead one's to a caught-up replacement, an arbiter's to a master, new ones up to the quorum. */
export function reseatVoters(pass: Pass): void {
  const { draft, observation } = pass;
  const { candidates, assignment } = desiredShape(pass);
  const quorumSize = quorumSizeOf(observation.strategy);
  const planned = planVoters(candidates, assignment, quorumSize);
  const voters = [...draft.formation.nodes].filter(([, record]) => record.replica === "voter").map(([id]) => id);
  const newcomers = candidates.filter((candidate) => candidate.replica !== "voter" && planned.includes(candidate.id));
  const ready = newcomers.filter((candidate) => candidate.caughtUp);
  // A failed voter never comes before the plan: it is not among the candidates.
  const lost = lostVoters(pass);
  const replaceable =
    lost.find((id) => !isServing(draft.record(id) as NodeRecord)) ??
    arbiterToRelieve(pass, candidates, assignment, ready);
  if (replaceable !== undefined && ready[0] !== undefined) {
    swapSeat(pass, replaceable, ready[0], assignment);
  } else if (voters.length < quorumSize && lost.length === 0 && ready.length >= 2) {
    addSeats(pass, ready.slice(0, 2 * Math.floor(Math.min(ready.length, quorumSize - voters.length) / 2)), assignment);
  }
}

/** An arbiter that votes while a master that is caught up does not. */
function arbiterToRelieve(
  pass: Pass,
  candidates: readonly Candidate[],
  assignment: Assignment,
  ready: readonly Candidate[],
): NodeId | undefined {
  if (ready[0] === undefined || assignment.get(ready[0].id) !== "master") return undefined;
  const { observation, limits } = pass;
  return candidates.find((candidate) => {
    const record = pass.draft.record(candidate.id) as NodeRecord;
    const rested = observation.nowMs - record.lastShiftMs >= limits.dampingMs;
    return (
      candidate.role === "arbiter" && candidate.replica === "voter" && candidate.id !== observation.leader && rested
    );
  })?.id;
}

function seatTransition(pass: Pass, candidate: Candidate, assignment: Assignment): Transition {
  const record = pass.draft.record(candidate.id) as NodeRecord;
  const role = assignment.get(candidate.id) === "master" ? "master" : "arbiter";
  const keepsRole = record.role === role || record.role === "master" || record.role === "arbiter";
  if (record.state === "active" && keepsRole) return { verb: "seat", node: candidate.id, replica: "voter" };
  return giveRole(candidate.id, record, role, "voter");
}

function swapSeat(pass: Pass, from: NodeId, to: Candidate, assignment: Assignment): void {
  const { draft, observation } = pass;
  draft.decide({
    kind: "replace",
    transitions: [seatTransition(pass, to, assignment), { verb: "seat", node: from, replica: "none" }],
    reason: `${shortId(to.id)} takes the seat of ${shortId(from)}`,
    inputs: {
      from,
      to: to.id,
      state: draft.record(from)?.state ?? "",
      matchIndex: observation.replication.matchIndex.get(to.id) ?? 0,
      commitIndex: observation.replication.commitIndex,
    },
  });
}

function addSeats(pass: Pass, newcomers: readonly Candidate[], assignment: Assignment): void {
  if (newcomers.length === 0) return;
  pass.draft.decide({
    kind: "grow",
    transitions: newcomers.map((candidate) => seatTransition(pass, candidate, assignment)),
    reason: `${newcomers.length} voters are added`,
    inputs: { added: newcomers.length, quorumSize: quorumSizeOf(pass.observation.strategy) },
  });
}

/** Keeps the right nodes replicating without a vote: masters beyond the voters, those who will vote, and warm standbys. */
export function seatLearners(pass: Pass): void {
  const { draft, observation, limits } = pass;
  const { candidates, assignment } = desiredShape(pass);
  const planned = planVoters(candidates, assignment, quorumSizeOf(observation.strategy));
  const wanted = new Set<NodeId>();
  for (const { id } of candidates) if (assignment.get(id) === "master" || planned.includes(id)) wanted.add(id);
  for (const [id, record] of draft.formation.nodes) {
    if (record.state === "active" && record.role === "master" && isReachable(id, observation, limits)) wanted.add(id);
  }
  const spare = candidates
    .filter((candidate) => candidate.replica !== "voter" && !wanted.has(candidate.id))
    .toSorted((a, b) => standbyRank(a) - standbyRank(b) || (a.id < b.id ? -1 : 1));
  for (const { id } of spare.slice(0, limits.warmStandbys)) wanted.add(id);
  const transitions: Transition[] = [];
  for (const [id, record] of [...draft.formation.nodes].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    if (record.replica === "none" && wanted.has(id)) transitions.push({ verb: "seat", node: id, replica: "learner" });
    const gone =
      !isServing(record) || record.state === "standby" || observation.nowMs - record.lastShiftMs >= limits.dampingMs;
    if (record.replica === "learner" && !wanted.has(id) && gone && record.state !== "demoting") {
      transitions.push({ verb: "seat", node: id, replica: "none" });
    }
  }
  if (transitions.length === 0) return;
  draft.decide({
    kind: "standbys",
    transitions,
    reason: `${wanted.size} nodes replicate`,
    inputs: { replicating: wanted.size, warmStandbys: limits.warmStandbys },
  });
}

function standbyRank(candidate: Candidate): number {
  const seat = candidate.replica === "learner" ? 0 : 1;
  return seat + (candidate.role === "worker" ? 0 : candidate.role === "observer" ? 4 : 2);
}
