import type { Assignment, Candidate, NodeId, NodeRecord, TopologyStrategy } from "@revoada/fabric";
import type { Draft } from "./draft.ts";
import { candidatesOf, type Observation, type ReactorLimits } from "./situation.ts";

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
  return { candidates, assignment: topology.reactToLoss(current, lost, candidates) };
}
