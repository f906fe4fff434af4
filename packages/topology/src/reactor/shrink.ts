import type { NodeId, Transition } from "@revoada/fabric";
import type { PolicyContext } from "../policies/policy.ts";
import { recordOf } from "./desired-shape.ts";
import { byPreference, chooseVoters, lostVoters, seatedVoters, type SeatPlan } from "./seats.ts";
import { isServing } from "./situation.ts";

/**
 * Takes two votes away, in one step, where more vote than the strategy asks for: those of nodes that are lost first, then of those that the
 * plan would not choose, and never the leader's. Who lives goes on replicating, and steps back from its role afterwards where the shape does not
 * want it there.
 */
export function shrink(context: PolicyContext, plan: SeatPlan): void {
  const { draft, observation } = context;
  const voters = seatedVoters(draft.formation);
  if (voters.length < plan.quorumSize + 2) return;
  const lost = new Set<NodeId>(lostVoters(context));
  const kept = new Set<NodeId>(chooseVoters(plan).map(({ id }) => id));
  const rank = (id: NodeId): number => (lost.has(id) ? 0 : kept.has(id) ? 2 : 1);
  const surplus = voters
    .filter(({ id }) => id !== observation.leader)
    .toSorted((a, b) => rank(a.id) - rank(b.id) || byPreference(b, a))
    .slice(0, 2);
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
