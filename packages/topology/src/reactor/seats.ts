import {
  quorumSizeOf,
  shortId,
  type Assignment,
  type Candidate,
  type Formation,
  type NodeId,
  type ReplicaKind,
  type Role,
  type TopologyStrategy,
  type Transition,
} from "@revoada/fabric";
import type { PolicyContext, PolicyDecision } from "../policies/policy.ts";
import { desiredShape, recordOf, type DesiredShape } from "./desired-shape.ts";
import { giveRole } from "./draft.ts";
import { isBarred, isReachable, isServing, unlimited } from "./situation.ts";

/** What decides who votes. */
export interface SeatPlan extends DesiredShape {
  readonly quorumSize: number;
  readonly topology: TopologyStrategy;
  /** Candidates that may be given no seat, whatever the shape wants: see {@link isBarred}. */
  readonly barred: ReadonlySet<NodeId>;
}

/** The plan of a context as it is now. */
export function seatPlan(context: PolicyContext): SeatPlan {
  const { observation, topology } = context;
  const shape = desiredShape(context);
  const barred = new Set(shape.candidates.map(({ id }) => id).filter((id) => isBarred(recordOf(context, id))));
  return { ...shape, quorumSize: quorumSizeOf(observation.strategy), topology, barred };
}

/**
 * Who should vote: masters first, then arbiters, then whoever is closest to it, each of whom the topology lets vote beside those
 * before it; as many as the quorum asks for, or as there are nodes for.
 */
export function chooseVoters({ candidates, assignment, quorumSize, topology, barred }: SeatPlan): readonly Candidate[] {
  const order = unlimited(candidates)
    .filter(({ id }) => !barred.has(id))
    .toSorted((a, b) => seatRank(a, assignment) - seatRank(b, assignment) || byPreference(a, b));
  const chosen: Candidate[] = [];
  for (const candidate of order) {
    if (chosen.length >= quorumSize) break;
    if (candidate.replica === "voter" || mayVoteBeside(topology, candidate, chosen, quorumSize)) chosen.push(candidate);
  }
  return chosen;
}

/** As {@link chooseVoters}, and never an even number. */
export function planVoters(plan: SeatPlan): readonly Candidate[] {
  const chosen = chooseVoters(plan);
  return chosen.length % 2 === 0 ? chosen.slice(0, Math.max(chosen.length - 1, 0)) : chosen;
}

export function mayVoteBeside(
  topology: TopologyStrategy,
  candidate: Candidate,
  voters: readonly Candidate[],
  seats: number,
): boolean {
  return topology.mayVote?.(candidate, voters, seats) ?? true;
}

/** True where the topology lets each of these vote beside the others. */
export function mayRemain(topology: TopologyStrategy, left: readonly Candidate[]): boolean {
  return left.every((voter) =>
    mayVoteBeside(
      topology,
      voter,
      left.filter(({ id }) => id !== voter.id),
      left.length,
    ),
  );
}

/** Those who hold seats, whatever became of them, but for `without`. */
export function seatedVoters({ nodes }: Formation, without?: NodeId): readonly Candidate[] {
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

/** The order of {@link Candidate.preference}, then of ids. */
export function byPreference(a: Candidate, b: Candidate): number {
  return (a.preference ?? 0) - (b.preference ?? 0) || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
}

/** Voters that can no longer be relied on, in the order in which their seats are given away. */
export function lostVoters({ draft, observation, limits }: PolicyContext): readonly NodeId[] {
  return [...draft.formation.nodes]
    .filter(
      ([id, record]) => record.replica === "voter" && !(isServing(record) && isReachable(id, observation, limits)),
    )
    .map(([id]) => id)
    .toSorted();
}

/** True where somebody other than this voter is caught up and could take a seat at once. */
export function canGiveUpSeat(id: NodeId, candidates: readonly Candidate[]): boolean {
  return unlimited(candidates).some(
    (candidate) => candidate.id !== id && candidate.replica === "learner" && candidate.caughtUp,
  );
}

/** The transition that seats a newcomer, in the role that its seat comes with. */
export function seatTransition(context: PolicyContext, { id }: Candidate, role: Role): Transition {
  const record = recordOf(context, id);
  const keepsRole = record.role === role || record.role === "master" || record.role === "arbiter";
  if (record.state === "active" && keepsRole) return { verb: "seat", node: id, replica: "voter" };
  return giveRole(id, record, role, "voter");
}

/**
 * A seat changes hands between two nodes that live: the newcomer gets the vote and, where it has none, the role; who had them steps
 * back and goes on replicating. Undefined where the topology would not have it so.
 */
export function exchange(
  context: PolicyContext,
  plan: SeatPlan,
  from: NodeId,
  to: Candidate,
  left: ReplicaKind = "learner",
): readonly Transition[] | undefined {
  const { draft, topology } = context;
  const former = recordOf(context, from);
  const seats = seatedVoters(draft.formation).length;
  if (!mayVoteBeside(topology, to, seatedVoters(draft.formation, from), seats)) return undefined;
  const role = former.role === "master" ? "master" : "arbiter";
  const keepsRole = former.role === "master" && recordOf(context, to.id).role === "master";
  const seat: Transition = { verb: "seat", node: from, replica: left };
  if (keepsRole) return [seatTransition(context, to, role), seat];
  if (role === "master" && !wouldBeMaster(plan, from, to)) return undefined;
  const back: readonly Transition[] = former.state === "active" ? [{ verb: "demote", node: from }] : [];
  return [seatTransition(context, to, role), ...back, seat];
}

/** Asks the topology whether it would have `to` as a master in the place of `from`, who stays among the nodes. */
function wouldBeMaster({ candidates, topology }: SeatPlan, from: NodeId, to: Candidate): boolean {
  const after = unlimited(candidates).map((candidate): Candidate => {
    if (candidate.id === to.id) return { ...candidate, role: "master" };
    if (candidate.id !== from) return candidate;
    const { role: _former, ...rest } = candidate;
    return { ...rest, replica: "none", caughtUp: false };
  });
  return topology.assign(after).get(to.id) === "master";
}

/** The decision by which a newcomer takes a seat, with the facts that every such decision rests on. */
export function takesSeat(
  { draft, observation }: PolicyContext,
  from: NodeId,
  to: NodeId,
  transitions: readonly Transition[],
): PolicyDecision {
  const { matchIndex, commitIndex } = observation.replication;
  const aliveMs = observation.view.members.get(to)?.statusSinceMs ?? 0;
  return {
    kind: "replace",
    transitions,
    reason: `${shortId(to)} takes the seat of ${shortId(from)}`,
    inputs: {
      from,
      to,
      state: draft.record(from)?.state ?? "",
      fromZone: draft.record(from)?.zone ?? "",
      toZone: draft.record(to)?.zone ?? "",
      aliveMs: Math.floor(aliveMs),
      matchIndex: matchIndex.get(to) ?? 0,
      commitIndex,
    },
  };
}
