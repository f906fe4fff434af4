import { replicasOf, shortId, type Candidate, type NodeId, type Transition } from "@revoada/fabric";
import { isFormed, recordOf } from "../reactor/desired-shape.ts";
import { departLeft, evictLost, readmit } from "../reactor/losses.ts";
import {
  byPreference,
  chooseVoters,
  exchange,
  lostVoters,
  mayRemain,
  mayVoteBeside,
  seatedVoters,
  seatPlan,
  seatTransition,
  takesSeat,
  type SeatPlan,
} from "../reactor/seats.ts";
import { isCaughtUp, isServing, unlimited } from "../reactor/situation.ts";
import { giveUpSuccessions, passPlacesOn } from "../reactor/succession.ts";
import type { Policy, PolicyContext } from "./policy.ts";

/**
 * A dead holder of a duty is relieved, and a healthy node takes over: the dead are evicted and those who live again taken back; a seat
 * that its holder cannot or may not keep goes to a replacement that is caught up, in one step; a voter that does not keep up is given
 * up; and who steps back is not waited for for ever.
 */
export const replacementPolicy: Policy = {
  name: "replacement",
  decide(context: PolicyContext): void {
    evictLost(context);
    departLeft(context);
    readmit(context);
    giveUpSuccessions(context);
    passPlacesOn(context);
    if (!context.draft.mayMoveReplicas) return;
    const plan = seatPlan(context);
    if (isFormed(context.draft.formation) && replaceLost(context, plan)) return;
    if (!forceOut(context, plan)) replaceSlow(context, plan);
  },
};

/** Fewer survive no loss: nobody is forced out of three. */
const leastVoters = 3;

/** Gives one lost seat to whom the plan wants in it. */
function replaceLost(context: PolicyContext, plan: SeatPlan): boolean {
  const { draft, topology } = context;
  const from = lostVoters(context).find((id) => !isServing(recordOf(context, id)));
  if (from === undefined) return false;
  const beside = seatedVoters(draft.formation, from);
  const seats = beside.length + 1;
  const to = newcomers(plan).find((candidate) => mayVoteBeside(topology, candidate, beside, seats));
  return to !== undefined && draft.decide(takesSeat(context, from, to.id, swap(context, plan, from, to)));
}

/** Those whom the plan gives a seat that they could take at once. A seat that moves leaves as many: the plan need not be odd. */
function newcomers(plan: SeatPlan): readonly Candidate[] {
  return chooseVoters(plan).filter(({ replica, caughtUp }) => replica !== "voter" && caughtUp);
}

function swap(context: PolicyContext, { assignment }: SeatPlan, from: NodeId, to: Candidate): readonly Transition[] {
  const role = assignment.get(to.id) === "master" ? "master" : "arbiter";
  return [seatTransition(context, to, role), { verb: "seat", node: from, replica: "none" }];
}

/**
 * A node that steps back and whose vote nobody has taken in time is forced out, once there was a quorum to do it with for as long: anybody who
 * is caught up takes its seat, however short its standing; where nobody is, the quorum becomes smaller by two; and where that would leave
 * too few, its role is over and its vote stays until somebody comes. A leader comes to this only where it could hand over to nobody.
 */
function forceOut(context: PolicyContext, plan: SeatPlan): boolean {
  const { draft, observation, limits, topology } = context;
  const isOverdue = (id: NodeId): boolean => {
    const record = recordOf(context, id);
    const sinceMs = Math.min(
      observation.nowMs - record.lastShiftMs,
      observation.replication.quorumMs ?? Number.MAX_SAFE_INTEGER,
    );
    return record.state === "demoting" && sinceMs >= limits.demotingMs;
  };
  const from = lostVoters(context).find(isOverdue);
  if (from === undefined) return false;
  const facts = { node: from, waitedMs: observation.nowMs - recordOf(context, from).lastShiftMs };
  const beside = seatedVoters(draft.formation, from);
  const anybody = unlimited(plan.candidates)
    .filter(({ id, replica }) => replica === "learner" && !plan.barred.has(id) && isCaughtUp(id, observation, limits))
    .toSorted(byPreference)
    .find((candidate) => mayVoteBeside(topology, candidate, beside, beside.length + 1));
  if (anybody !== undefined) {
    const reason = `${shortId(from)} is forced out, and ${shortId(anybody.id)} takes its seat`;
    const transitions = swap(context, plan, from, anybody);
    return draft.decide({ kind: "force-out", transitions, reason, inputs: { ...facts, to: anybody.id } });
  }
  const voters = replicasOf(draft.formation, "voter");
  const companion = companionOf(context, plan, from);
  const least = Math.max(limits.minQuorum, leastVoters);
  if (companion !== undefined && voters.length - 2 >= least) return shrink(context, from, companion, facts);
  return draft.decide({
    kind: "force-out",
    transitions: [{ verb: "evict", node: from }],
    reason: `${shortId(from)} is relieved of its role; nobody can take its vote`,
    inputs: { ...facts, voters: voters.length, minQuorum: limits.minQuorum },
  });
}

function shrink(
  context: PolicyContext,
  from: NodeId,
  companion: NodeId,
  facts: Readonly<Record<string, string | number>>,
): boolean {
  const { draft, limits } = context;
  const voters = replicasOf(draft.formation, "voter").length - 2;
  const left = isServing(recordOf(context, companion)) ? "learner" : "none";
  return draft.decide({
    kind: "force-out",
    transitions: [
      { verb: "seat", node: from, replica: "none" },
      { verb: "seat", node: companion, replica: left },
    ],
    reason: `${shortId(from)} is forced out; ${voters} voters are left`,
    inputs: { ...facts, companion, voters, minQuorum: limits.minQuorum },
  });
}

/**
 * Who gives up a vote together with one that is forced out, so that an odd number is left: one that is lost, else the least preferred.
 * Nobody whose vote the topology needs beside those that are left.
 */
function companionOf(context: PolicyContext, { candidates, assignment }: SeatPlan, from: NodeId): NodeId | undefined {
  const { draft, topology, observation } = context;
  const isMaster = ({ id }: Candidate): number => Number(assignment.get(id) === "master");
  const living = candidates
    .filter(({ id, replica }) => replica === "voter" && id !== observation.leader)
    .toSorted((a, b) => isMaster(a) - isMaster(b) || byPreference(b, a));
  return [...lostVoters(context), ...living.map(({ id }) => id)].find((id) => {
    if (id === from) return false;
    const left = seatedVoters(draft.formation, from).filter((voter) => voter.id !== id);
    return mayRemain(topology, left);
  });
}

/** A voter that has been behind for too long is given up where somebody who is caught up can take its seat. */
function replaceSlow(context: PolicyContext, plan: SeatPlan): void {
  const { draft, observation, limits } = context;
  const from = plan.candidates.find(
    ({ id, replica }) =>
      replica === "voter" &&
      id !== observation.leader &&
      recordOf(context, id).state === "active" &&
      (observation.replication.behindMs?.get(id) ?? 0) >= limits.catchUpMs,
  );
  if (from === undefined) return;
  const others = plan.candidates.filter(({ id }) => id !== from.id);
  for (const to of newcomers({ ...plan, candidates: others })) {
    const transitions = exchange(context, plan, from.id, to, "none");
    if (transitions === undefined) continue;
    const { inputs } = takesSeat(context, from.id, to.id, transitions);
    draft.decide({
      kind: "give-up",
      transitions,
      reason: `${shortId(to.id)} takes the seat of ${shortId(from.id)}, which does not keep up`,
      inputs: { ...inputs, givenUp: from.id, atMs: observation.nowMs },
    });
    return;
  }
}
