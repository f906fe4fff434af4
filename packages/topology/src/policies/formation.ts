import { quorumSizeOf, replicasOf, shortId, type Candidate, type NodeId, type Transition } from "@revoada/fabric";
import { desiredShape, isFormed, recordOf, withLimited } from "../reactor/desired-shape.ts";
import { giveRole } from "../reactor/draft.ts";
import { ranked } from "../reactor/ranking.ts";
import {
  canGiveUpSeat,
  lostVoters,
  mayVoteBeside,
  planVoters,
  seatedVoters,
  seatPlan,
  seatTransition,
  takesSeat,
  type SeatPlan,
} from "../reactor/seats.ts";
import { shrink } from "../reactor/shrink.ts";
import { candidatesOf, unlimited } from "../reactor/situation.ts";
import type { Policy, PolicyContext } from "./policy.ts";

/** Most nodes that one command forms or assigns a role to. */
const maxNodesPerCommand = 128;

/**
 * The topology's shape: the first one once enough nodes are there, as many voters as the quorum has, masters in the seats before
 * arbiters, a role for everybody whom the shape gives one, and a way back for those whom it has one too many of.
 */
export const formationPolicy: Policy = {
  name: "formation",
  decide(context: PolicyContext): void {
    const { draft } = context;
    // Whoever steps back settles, and whoever left is forgotten, only once the log has let them go.
    if (!draft.mayMoveReplicas) return;
    const stands = isFormed(draft.formation);
    if (stands) reseat(context);
    else formFirstShape(context);
    if (!draft.mayMoveReplicas) return;
    if (stands) fillRoles(context);
    finishLeavers(context);
  },
};

/** Forms the first shape once enough nodes are there: catches the voters up, then moves everybody in one command. */
function formFirstShape(context: PolicyContext): void {
  const { draft, observation, topology, limits } = context;
  // Whoever is flagged takes no part in the shape, not even the founder: it would have to be given another role.
  const unflagged = candidatesOf(draft.formation, observation, limits).filter(
    ({ id }) => recordOf(context, id).flags.length === 0,
  );
  const candidates = ranked(context, unflagged);
  const eligible = unlimited(candidates);
  if (eligible.length < topology.minNodes) return;
  const assignment = withLimited(topology, candidates, topology.assign(eligible));
  const quorumSize = quorumSizeOf(observation.strategy);
  const voters = planVoters({ candidates, assignment, quorumSize, topology, barred: new Set() });
  // A topology that lets too few of them vote beside each other wants other nodes first.
  if (voters.length < quorumSize) return;
  const lagging = voters.filter(({ caughtUp }) => !caughtUp);
  const inputs = { eligible: eligible.length, minNodes: topology.minNodes, voters: voters.length };
  if (lagging.length > 0) {
    const transitions = lagging
      .filter(({ replica }) => replica === "none")
      .map(({ id }): Transition => ({ verb: "seat", node: id, replica: "learner" }));
    const reason = `${lagging.length} nodes catch up for the first shape`;
    if (transitions.length > 0) draft.decide({ kind: "catch-up", transitions, reason, inputs });
    return;
  }
  const votes = new Set(voters.map(({ id }) => id));
  const transitions: Transition[] = [];
  for (const { id } of candidates.toSorted((a, b) => Number(votes.has(b.id)) - Number(votes.has(a.id)))) {
    const role = votes.has(id) && assignment.get(id) !== "master" ? "arbiter" : assignment.get(id);
    const replica = votes.has(id) ? "voter" : undefined;
    if (role !== undefined) transitions.push(giveRole(id, recordOf(context, id), role, replica));
  }
  draft.decide({
    kind: "form",
    transitions: [...transitions.slice(0, maxNodesPerCommand), ...givenBack(context, votes)],
    reason: `${topology.name} is formed of ${candidates.length} nodes`,
    inputs,
  });
}

/** Seats of those who do not vote in the shape, as of a founder that leaves before it stands. */
function givenBack({ draft }: PolicyContext, votes: ReadonlySet<NodeId>): readonly Transition[] {
  return replicasOf(draft.formation, "voter")
    .filter((id) => !votes.has(id))
    .map((node): Transition => ({ verb: "seat", node, replica: "none" }));
}

/** Adds voters up to the quorum, or takes some away beyond it, two at a time; or gives an arbiter's seat to a master that is caught up. */
function reseat(context: PolicyContext): void {
  shrink(context, seatPlan(context));
  if (!context.draft.mayMoveReplicas || lostVoters(context).length > 0) return;
  const { draft } = context;
  const plan = seatPlan(context);
  const voters = replicasOf(draft.formation, "voter");
  const ready = planVoters(plan).filter(({ replica, caughtUp }) => replica !== "voter" && caughtUp);
  if (voters.length < plan.quorumSize) {
    const added = 2 * Math.floor(Math.min(ready.length, plan.quorumSize - voters.length) / 2);
    if (added > 0) addSeats(context, ready.slice(0, added), plan);
    return;
  }
  relieveArbiter(context, ready, plan);
}

function addSeats({ draft, ...rest }: PolicyContext, newcomers: readonly Candidate[], plan: SeatPlan): void {
  const context = { draft, ...rest };
  draft.decide({
    kind: "grow",
    transitions: newcomers.map((candidate) => seatTransition(context, candidate, seatRole(plan, candidate))),
    reason: `${newcomers.length} voters are added`,
    inputs: { added: newcomers.length, quorumSize: plan.quorumSize },
  });
}

function seatRole({ assignment }: SeatPlan, { id }: Candidate): "master" | "arbiter" {
  return assignment.get(id) === "master" ? "master" : "arbiter";
}

/** An arbiter that votes while a master that is caught up does not. */
function relieveArbiter(context: PolicyContext, ready: readonly Candidate[], plan: SeatPlan): void {
  const { draft, observation, topology } = context;
  const masters = ready.filter(({ id }) => plan.assignment.get(id) === "master");
  const arbiters = plan.candidates.filter(
    ({ id, role, replica }) => role === "arbiter" && replica === "voter" && id !== observation.leader,
  );
  const seats = replicasOf(draft.formation, "voter").length;
  for (const { id: from } of arbiters) {
    const to = masters.find((each) => mayVoteBeside(topology, each, seatedVoters(draft.formation, from), seats));
    if (to === undefined) continue;
    const transitions: readonly Transition[] = [
      seatTransition(context, to, "master"),
      { verb: "seat", node: from, replica: "none" },
    ];
    if (draft.decide({ ...takesSeat(context, from, to.id, transitions), voluntary: true })) return;
  }
}

/** Gives and takes the roles that need no seat to move: workers to work, surplus holders to step back. */
function fillRoles(context: PolicyContext): void {
  const { candidates, assignment } = desiredShape(context);
  for (const candidate of candidates) {
    const { id } = candidate;
    const record = recordOf(context, id);
    const desired = assignment.get(id);
    const idleArbiter = record.role === "arbiter" && record.replica !== "voter";
    if (record.state === "active" && record.role === desired && !idleArbiter) continue;
    if (record.flags.length > 0) continue;
    if (record.state === "standby" && record.replica === "voter")
      returnToSeat(context, id, desired === "master" ? "master" : "arbiter");
    else if (desired === "master") promoteBeyondQuorum(context, candidate);
    else if (desired !== undefined && !idleArbiter && (record.state === "standby" || record.role === "bootstrap")) {
      context.draft.decide({
        kind: "assign",
        transitions: [giveRole(id, record, desired)],
        reason: `${shortId(id)} becomes ${desired}`,
        inputs: { node: id, role: desired },
      });
    } else if (record.state === "active" && (desired === undefined || record.role === "master" || idleArbiter)) {
      stepBack(context, id, candidates);
    }
  }
}

/** A voter that came back before its seat was given away takes up its duty again. */
function returnToSeat(context: PolicyContext, id: NodeId, role: "master" | "arbiter"): void {
  context.draft.decide({
    kind: "assign",
    transitions: [giveRole(id, recordOf(context, id), role)],
    reason: `${shortId(id)} is back in its seat as ${role}`,
    inputs: { node: id, role },
  });
}

/** Masters beyond the voters replicate without a vote; a master that should vote gets its role together with its seat. */
function promoteBeyondQuorum({ draft, observation }: PolicyContext, { id, caughtUp }: Candidate): void {
  const record = draft.record(id);
  if (replicasOf(draft.formation, "voter").length < quorumSizeOf(observation.strategy)) return;
  if (record?.replica !== "learner" || !caughtUp || (record.state === "active" && record.role === "arbiter")) return;
  draft.decide({
    kind: "assign",
    transitions: [giveRole(id, record, "master")],
    reason: `${shortId(id)} becomes master`,
    inputs: { node: id, role: "master" },
  });
}

/** One step towards standby for a holder that the shape no longer wants, unless its vote is needed. A leader hands over first. */
function stepBack(context: PolicyContext, id: NodeId, candidates: readonly Candidate[]): void {
  const { draft } = context;
  const record = recordOf(context, id);
  // One at a time: a node on its way back to standby is missing from the count that the shape is made for.
  if ([...draft.formation.nodes.values()].some((other) => other.state === "demoting")) return;
  if (record.replica === "voter" && (record.role === "arbiter" || !canGiveUpSeat(id, candidates))) return;
  draft.decide({
    kind: "step-back",
    transitions: [{ verb: "demote", node: id }],
    reason: `${shortId(id)} is one ${record.role ?? "holder"} too many`,
    inputs: { node: id, role: record.role ?? "" },
    voluntary: true,
  });
}

/** Finishes what was begun: demoted nodes settle, and departed ones are forgotten. */
function finishLeavers({ draft }: PolicyContext): void {
  for (const [id, { state, replica }] of draft.formation.nodes) {
    if (state === "demoting" && replica !== "voter") {
      draft.decide({
        kind: "settle",
        transitions: [{ verb: "settle", node: id }],
        reason: `${shortId(id)} no longer votes`,
        inputs: { node: id },
      });
    }
    if (state === "departing" && replica === "none") {
      draft.decide({
        kind: "forget",
        transitions: [{ verb: "forget", node: id }],
        reason: `${shortId(id)} has left`,
        inputs: { node: id, state },
      });
    }
  }
}
