import type { Candidate, NodeId, Transition } from "@revoada/fabric";
import type { PolicyContext } from "../policies/policy.ts";
import { recordOf } from "./desired-shape.ts";
import { byPreference, chooseVoters, lostVoters, mayRemain, seatedVoters, type SeatPlan } from "./seats.ts";
import { isServing } from "./situation.ts";

/**
 * Takes two votes away, in one step, where more vote than the strategy asks for: those of nodes that are lost first, then of those that the
 * plan would not choose, and never the leader's, as far as the topology lets those who are left vote beside each other. Who lives goes on replicating, and steps back from its role afterwards where the shape does not
 * want it there.
 */
export function shrink(context: PolicyContext, plan: SeatPlan): void {
  const { draft, observation } = context;
  const voters = seatedVoters(draft.formation);
  if (voters.length < plan.quorumSize + 2) return;
  const lost = new Set<NodeId>(lostVoters(context));
  const kept = new Set<NodeId>(chooseVoters(plan).map(({ id }) => id));
  const rank = (id: NodeId): number => (lost.has(id) ? 0 : kept.has(id) ? 2 : 1);
  const order = voters
    .filter(({ id }) => id !== observation.leader)
    .toSorted((a, b) => rank(a.id) - rank(b.id) || byPreference(b, a));
  const surplus = pairsOf(order).find((pair) =>
    mayRemain(
      plan.topology,
      voters.filter((voter) => !pair.includes(voter)),
    ),
  );
  if (surplus === undefined) return;
  const transitions = surplus.map(({ id }): Transition => {
    const stays = isServing(recordOf(context, id)) && !lost.has(id);
    return { verb: "seat", node: id, replica: stays ? "learner" : "none" };
  });
  draft.decide({
    kind: "shrink",
    transitions,
    reason: `${voters.length - 2} voters are left`,
    inputs: { voters: voters.length, quorumSize: plan.quorumSize, lost: lost.size },
    voluntary: true,
  });
}

/** All pairs, those of the first ones first. */
function pairsOf(order: readonly Candidate[]): readonly (readonly [Candidate, Candidate])[] {
  return order.flatMap((second, place) => order.slice(0, place).map((first) => [first, second] as const));
}
