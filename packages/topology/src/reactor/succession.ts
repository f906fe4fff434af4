import { shortId, type NodeId, type NodeRecord } from "@revoada/fabric";
import type { PolicyContext } from "../policies/policy.ts";
import { isAlive, isCaughtUp } from "./situation.ts";

/**
 * Lets the next key of a node take the place of the one before it, as soon as it lives and, where a copy of the log comes with the
 * place, is known to have caught up. One at a time, as for every seat that moves.
 */
export function passPlacesOn(context: PolicyContext): void {
  const { draft } = context;
  const ready = [...draft.formation.nodes]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .find(([id, record]) => mayInherit(id, record, context));
  const [id, record] = ready ?? [];
  if (id === undefined || record?.succeeds === undefined) return;
  draft.decide({
    kind: "inherit",
    transitions: [{ verb: "inherit", node: id }],
    reason: `${shortId(id)} takes the place of ${shortId(record.succeeds)}, whose next key it is`,
    inputs: { node: id, predecessor: record.succeeds, replica: record.replica },
  });
}

function mayInherit(id: NodeId, record: NodeRecord, { draft, observation, limits }: PolicyContext): boolean {
  const { succeeds, state, replica } = record;
  if (succeeds === undefined || state !== "standby" || !isAlive(id, observation)) return false;
  if (draft.record(succeeds)?.replica === "none") return true;
  return replica === "learner" && isCaughtUp(id, observation, limits);
}

/** Gives up on next keys that nobody has used for as long as a failed node is waited for. They leave no tombstone: nobody is accused. */
export function giveUpSuccessions({ draft, observation, limits }: PolicyContext): void {
  for (const [id, record] of draft.formation.nodes) {
    const isStale = observation.nowMs - record.lastShiftMs >= limits.forgetAfterMs;
    if (record.succeeds === undefined || !isStale || isAlive(id, observation)) continue;
    if (record.state === "departing") continue;
    // Whoever departs is forgotten as soon as it replicates no more.
    const verb = record.state === "failed" ? "forget" : "depart";
    draft.decide({
      kind: "give-up",
      transitions: [{ verb, node: id }],
      reason: `${shortId(id)} never took the place of ${shortId(record.succeeds)}`,
      inputs: { node: id, predecessor: record.succeeds },
    });
  }
}
