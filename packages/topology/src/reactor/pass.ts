import type { Assignment, Candidate, NodeId, NodeRecord, TopologyStrategy } from "@revoada/fabric";
import type { Draft } from "./draft.ts";
import { candidatesOf, unlimited, type Observation, type ReactorLimits } from "./situation.ts";

/** What one pass of the reactor works with. */
export interface Pass {
  readonly draft: Draft;
  readonly observation: Observation;
  readonly topology: TopologyStrategy;
  readonly limits: ReactorLimits;
}

/** The shape as it should be now, from those who can hold a role. */
export function desiredShape({ draft, observation, topology, limits }: Pass): {
  readonly candidates: readonly Candidate[];
  readonly assignment: Assignment;
} {
  const candidates = candidatesOf(draft.formation, observation, limits);
  const current = new Map<NodeId, NonNullable<NodeRecord["role"]>>();
  const lost = new Set<NodeId>();
  for (const [id, record] of draft.formation.nodes) {
    if (record.state === "active" && record.role !== undefined) current.set(id, record.role);
    if (!candidates.some((candidate) => candidate.id === id)) lost.add(id);
  }
  const assignment = topology.reactToLoss(current, lost, unlimited(candidates));
  return { candidates, assignment: withLimited(topology, candidates, assignment) };
}

/** The roles of a topology, and beside them those that are limited to one: observers, and workers where this topology has any. */
export function withLimited(
  topology: TopologyStrategy,
  candidates: readonly Candidate[],
  assignment: Assignment,
): Assignment {
  const limited = candidates.filter(({ limitedTo }) => limitedTo !== undefined);
  if (limited.length === 0) return assignment;
  const roles = new Map(assignment);
  const hasWork = givesWork(topology);
  for (const { id, limitedTo } of limited)
    if (limitedTo === "observer" || (limitedTo === "worker" && hasWork)) roles.set(id, limitedTo);
  return roles;
}

/** What a topology makes of many nodes of which nothing is known. */
function givesWork(topology: TopologyStrategy): boolean {
  const crowd = Array.from({ length: 2 * topology.minNodes + 8 }, (_item, place): Candidate => {
    const id = place.toString(16).padStart(64, "0") as NodeId;
    return { id, zone: "", replica: "none", caughtUp: false };
  });
  return [...topology.assign(crowd).values()].includes("worker");
}
