import type { NodeId, ShiftDecision } from "@revoada/fabric";

/**
 * Which nodes these decisions gave up because they did not catch up, and when for the last time, by the leader's clock. What has been
 * committed of decisions says so: see {@link Observation.givenUp}.
 */
export function givenUpBy(decisions: Iterable<Pick<ShiftDecision, "inputs">>): ReadonlyMap<NodeId, number> {
  const nodes = new Map<NodeId, number>();
  for (const { inputs } of decisions) {
    const { givenUp, atMs } = inputs;
    if (typeof givenUp !== "string" || typeof atMs !== "number") continue;
    nodes.set(givenUp as NodeId, Math.max(nodes.get(givenUp as NodeId) ?? 0, atMs));
  }
  return nodes;
}
