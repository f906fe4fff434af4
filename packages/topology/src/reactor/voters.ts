import {
  quorumSizeOf,
  shortId,
  type Assignment,
  type Candidate,
  type Formation,
  type NodeId,
  type NodeRecord,
  type TopologyStrategy,
  type Transition,
} from "@revoada/fabric";
import { giveRole } from "./draft.ts";
import { desiredShape, type Pass } from "./pass.ts";
import { candidatesOf, isReachable, isServing, unlimited, type Observation, type ReactorLimits } from "./situation.ts";

/** What decides who votes. */
export interface SeatPlan {
  readonly candidates: readonly Candidate[];
  readonly assignment: Assignment;
  readonly quorumSize: number;
  readonly topology: TopologyStrategy;
}

/**
 * Who should vote: masters first, then arbiters, then whoever is closest to it, each of whom the topology lets vote beside those
 * before it; as many as the quorum asks for, or as there are nodes for.
 */
function chooseVoters({ candidates, assignment, quorumSize, topology }: SeatPlan): readonly NodeId[] {
  const order = unlimited(candidates).toSorted(
    (a, b) => seatRank(a, assignment) - seatRank(b, assignment) || (a.id < b.id ? -1 : 1),
  );
  const chosen: Candidate[] = [];
  for (const candidate of order) {
    if (chosen.length >= quorumSize) break;
    if (candidate.replica === "voter" || mayVote(topology, candidate, chosen, quorumSize)) chosen.push(candidate);
  }
  return chosen.map(({ id }) => id);
}

/** As {@link chooseVoters}, and never an even number. */
export function planVoters(plan: SeatPlan): readonly NodeId[] {
  const chosen = chooseVoters(plan);
  return chosen.length % 2 === 0 ? chosen.slice(0, Math.max(chosen.length - 1, 0)) : chosen;
}

function mayVote(
  topology: TopologyStrategy,
  candidate: Candidate,
  voters: readonly Candidate[],
  seats: number,
): boolean {
  return topology.mayVote?.(candidate, voters, seats) ?? true;
}

/** Those who hold seats, whatever became of them, but for `without`. */
function seatedVoters({ nodes }: Formation, without?: NodeId): readonly Candidate[] {
  return [...nodes]
    .filter(([id, record]) => record.replica === "voter" && id !== without)
    .map(([id, { zone, role }]) => ({
      id,
      zone,
      ...(role === undefined ? {} : { role }),
      replica: "voter",
      caughtUp: true,
    }));
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
    (candidate) =>
      candidate.id !== id && candidate.limitedTo === undefined && candidate.replica === "learner" && candidate.caughtUp,
  );
}

/** Moves one seat, or adds two: the dead one's to a caught-up replacement, an arbiter's to a master, new ones up to the quorum. */
export function reseatVoters(pass: Pass): void {
  const { draft, observation, topology } = pass;
  const { candidates, assignment } = desiredShape(pass);
  const quorumSize = quorumSizeOf(observation.strategy);
  // A failed voter never comes before the plan: it is not among the candidates.
  const lost = lostVoters(pass);
  const plan = { candidates, assignment, quorumSize, topology };
  // A seat that is moved leaves as many as there were: the plan need not be odd for that.
  const planned = new Set(lost.length > 0 ? chooseVoters(plan) : planVoters(plan));
  const voters = seatedVoters(draft.formation);
  const ready = candidates.filter(({ id, replica, caughtUp }) => replica !== "voter" && planned.has(id) && caughtUp);
  const replaceable =
    lost.find((id) => !isServing(draft.record(id) as NodeRecord)) ??
    arbiterToRelieve(pass, candidates, assignment, ready);
  const seats = Math.max(quorumSize, voters.length);
  const newcomer =
    replaceable === undefined
      ? undefined
      : ready.find((each) => mayVote(topology, each, seatedVoters(draft.formation, replaceable), seats));
  if (replaceable !== undefined && newcomer !== undefined) {
    swapSeat(pass, replaceable, newcomer, assignment);
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
  const { draft, observation, limits, topology } = pass;
  const { candidates, assignment } = desiredShape(pass);
  const quorumSize = quorumSizeOf(observation.strategy);
  const planned = chooseVoters({ candidates, assignment, quorumSize, topology });
  const wanted = new Set<NodeId>();
  for (const { id, role, limitedTo } of candidates) {
    const observes = role === "observer" && limitedTo === "observer";
    if (assignment.get(id) === "master" || planned.includes(id) || observes) wanted.add(id);
  }
  for (const [id, record] of draft.formation.nodes) {
    if (record.state === "active" && record.role === "master" && isReachable(id, observation, limits)) wanted.add(id);
    const { succeeds } = record;
    // It is the same disk under its next key: it replicates as long as the key before it has a copy to pass on.
    if (succeeds !== undefined && draft.record(succeeds)?.replica !== "none" && isServing(record)) wanted.add(id);
  }
  const spare = unlimited(candidates)
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
