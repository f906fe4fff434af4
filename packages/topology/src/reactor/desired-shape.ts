import {
  replicasOf,
  type Assignment,
  type Candidate,
  type Formation,
  type NodeId,
  type NodeRecord,
  type Role,
  type TopologyStrategy,
} from "@revoada/fabric";
import type { PolicyContext } from "../policies/policy.ts";
import { ranked } from "./ranking.ts";
import { candidateOf, candidatesOf, isSettled, unlimited } from "./situation.ts";

/** True where any node is a master, or more than the founder vote: the first shape stands, or stood. */
export function isFormed(formation: Formation): boolean {
  const isMaster = [...formation.nodes.values()].some((record) => record.role === "master");
  return isMaster || replicasOf(formation, "voter").length > 1;
}

/** The shape as it should be now. */
export interface DesiredShape {
  /** Who can hold a role, ranked; `caughtUp` where a vote could be given at once. */
  readonly candidates: readonly Candidate[];
  readonly assignment: Assignment;
}

/**
 * The shape as it should be now, from those who can hold a role. What flaps does not make it swing: nobody becomes a master who is not
 * settled, and nobody stops being one for nodes that are gone only just now.
 */
export function desiredShape(context: PolicyContext): DesiredShape {
  const { draft, observation, topology, limits } = context;
  const settled = (id: NodeId): boolean => isSettled(id, observation, limits);
  const candidates = ranked(context, candidatesOf(draft.formation, observation, limits)).map((candidate) =>
    candidate.replica === "voter" || settled(candidate.id) ? candidate : { ...candidate, caughtUp: false },
  );
  const eligible = unlimited(candidates);
  const steady = eligible.filter((candidate) => holdsDuty(candidate) || settled(candidate.id));
  const least = reactTo(context, candidates, steady);
  const most = topology.assign([...eligible, ...recentlyLost(context, candidates)]);
  const assignment = new Map<NodeId, Role>();
  for (const { id, role } of eligible) {
    const wanted = steadyRole(id, role, least, most);
    if (wanted !== undefined) assignment.set(id, wanted);
  }
  return { candidates, assignment: withLimited(topology, candidates, assignment) };
}

function holdsDuty({ role, replica }: Candidate): boolean {
  return replica === "voter" || role === "master" || role === "arbiter" || role === "bootstrap";
}

function reactTo(
  { draft, topology }: PolicyContext,
  candidates: readonly Candidate[],
  steady: readonly Candidate[],
): Assignment {
  const known = new Set(candidates.map(({ id }) => id));
  const current = new Map<NodeId, Role>();
  const lost = new Set<NodeId>();
  for (const [id, record] of draft.formation.nodes) {
    if (record.state === "active" && record.role !== undefined) current.set(id, record.role);
    if (!known.has(id)) lost.add(id);
  }
  return topology.reactToLoss(current, lost, steady);
}

/** Those who failed, or whose role was taken, less than a damping interval ago: the shape may not have seen the last of them. */
function recentlyLost(
  { draft, observation, limits }: PolicyContext,
  candidates: readonly Candidate[],
): readonly Candidate[] {
  const known = new Set(candidates.map(({ id }) => id));
  return [...draft.formation.nodes]
    .filter(
      ([id, record]) =>
        !known.has(id) &&
        record.limitedTo === undefined &&
        record.succeeds === undefined &&
        record.state !== "departing" &&
        (record.state !== "failed" || observation.nowMs - record.lastShiftMs < limits.dampingMs),
    )
    .map(([id, record]) => {
      const { role: _former, ...ghost } = candidateOf(id, record, false);
      return { ...ghost, replica: "none" };
    });
}

/** A master's role only for those whom the shape of the settled wants, and no longer only where no shape wants it. */
function steadyRole(id: NodeId, role: Role | undefined, least: Assignment, most: Assignment): Role | undefined {
  const [few, many] = [least.get(id), most.get(id)];
  if (few === "master") return few;
  if (role === "master" && many === "master") return many;
  if (many === "master") return few ?? (role === "bootstrap" ? undefined : role);
  return few ?? many;
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

/** The record of a candidate, which is always in the formation. */
export function recordOf({ draft }: PolicyContext, id: NodeId): NodeRecord {
  return draft.record(id) as NodeRecord;
}
