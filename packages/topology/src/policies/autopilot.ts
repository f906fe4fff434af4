import { mayVote, replicasOf, shortId, type NodeId } from "@revoada/fabric";
import { isFormed } from "../reactor/desired-shape.ts";
import { dropLearners, giveUpLearners, keepLearners } from "../reactor/learners.ts";
import { nextMove } from "../reactor/moves.ts";
import { seatPlan } from "../reactor/seats.ts";
import type { Policy, PolicyContext } from "./policy.ts";

/**
 * Keeps the seats in good hands while nothing is lost: standbys warm, learners that do not catch up given up for the next, votes moved
 * to a newer version once it can be the quorum, one voter to a zone while zones allow, and nobody in the formation who has been dead
 * for too long.
 */
export const autopilotPolicy: Policy = {
  name: "autopilot",
  decide(context: PolicyContext): void {
    const { draft } = context;
    if (!draft.mayMoveReplicas) return;
    if (isFormed(draft.formation)) {
      const plan = seatPlan(context);
      const move = nextMove(context, plan);
      if (!giveUpLearners(context, plan) && !keepLearners(context, plan, move)) move?.make();
    } else {
      dropLearners(context);
    }
    forgetDead(context);
  },
};

/**
 * Forgets failed nodes without a seat after a time: a few at once, and never so many that fewer nodes that could vote are left than
 * the minimum.
 */
function forgetDead({ draft, observation, limits }: PolicyContext): void {
  if (!limits.cleanupDeadNodes) return;
  const records = [...draft.formation.nodes];
  let spare = records.filter(([, record]) => mayVote(record)).length - limits.minQuorum;
  const stale = records
    .filter(
      ([, { state, replica, succeeds, lastShiftMs }]) =>
        state === "failed" &&
        replica === "none" &&
        succeeds === undefined &&
        observation.nowMs - lastShiftMs >= limits.forgetAfterMs,
    )
    .toSorted(([a, left], [b, right]) => left.lastShiftMs - right.lastShiftMs || (a < b ? -1 : 1));
  const forgotten: NodeId[] = [];
  for (const [id, record] of stale) {
    if (forgotten.length >= limits.maxForgotten) return;
    if (mayVote(record) && spare <= 0) continue;
    const taken = draft.decide({
      kind: "forget",
      transitions: [{ verb: "forget", node: id }],
      reason: `${shortId(id)} has been gone for too long`,
      inputs: {
        node: id,
        state: record.state,
        goneMs: observation.nowMs - record.lastShiftMs,
        voters: replicasOf(draft.formation, "voter").length,
        minQuorum: limits.minQuorum,
      },
    });
    if (!taken) return;
    forgotten.push(id);
    if (mayVote(record)) spare -= 1;
  }
}
