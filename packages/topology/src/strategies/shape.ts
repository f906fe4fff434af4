import type { Assignment, Candidate, NodeId, Role, TopologyStrategy, TopologyViolation } from "@revoada/fabric";

/** What tells one built-in topology from another. */
export interface Shape {
  readonly name: string;
  readonly minNodes: number;
  /** How many masters stand among this many eligible nodes; never more than there are. */
  readonly targetMasters: (eligible: number) => number;
  /** What those who are not masters do; absent: they stand by. */
  readonly rest?: Role;
}

/**
 * A topology from its shape: masters are kept, and new ones are taken from warm standbys first, then workers, then standbys,
 * from the zone with the fewest masters among equals, then as they are ranked, and by id at last.
 */
export function shapedTopology(shape: Shape): TopologyStrategy {
  const assign = (eligible: readonly Candidate[]): Assignment => assignShape(shape, eligible);
  return Object.freeze({
    name: shape.name,
    minNodes: shape.minNodes,
    targetMasters: (eligible: number) => Math.min(eligible, shape.targetMasters(eligible)),
    assign,
    reactToLoss(current: Assignment, lost: ReadonlySet<NodeId>, survivors: readonly Candidate[]): Assignment {
      return assign(
        survivors.filter((candidate) => !lost.has(candidate.id)).map((candidate) => holding(candidate, current)),
      );
    },
    validate: (assignment: Assignment) => validateShape(shape, assignment),
  });
}

function holding(candidate: Candidate, current: Assignment): Candidate {
  const role = current.get(candidate.id) ?? candidate.role;
  return role === undefined ? candidate : { ...candidate, role };
}

function assignShape(shape: Shape, eligible: readonly Candidate[]): Assignment {
  const candidates = [...new Map(eligible.map((candidate) => [candidate.id, candidate])).values()];
  const target = Math.min(candidates.length, shape.targetMasters(candidates.length));
  const masters = chooseMasters(candidates, target);
  const assignment = new Map<NodeId, Role>();
  for (const candidate of candidates.toSorted(byId)) {
    if (masters.has(candidate.id)) assignment.set(candidate.id, "master");
    else if (candidate.role === "arbiter" || candidate.role === "observer")
      assignment.set(candidate.id, candidate.role);
    else if (shape.rest !== undefined) assignment.set(candidate.id, shape.rest);
  }
  return assignment;
}

/** Which nodes are masters: those that are, voters first, then the best of the others. */
function chooseMasters(candidates: readonly Candidate[], target: number): ReadonlySet<NodeId> {
  const holders = candidates.filter((candidate) => candidate.role === "master").toSorted(byVoteThenId);
  const chosen = new Set(holders.slice(0, target).map((candidate) => candidate.id));
  const zones = new Map<string, number>();
  for (const holder of holders) if (chosen.has(holder.id)) countZone(zones, holder.zone);
  // An arbiter cannot be given another role: it is demoted first, once its vote has moved.
  const pool = candidates.filter(({ id, role }) => !chosen.has(id) && role !== "master" && role !== "arbiter");
  while (chosen.size < target && pool.length > 0) {
    const held = ({ zone }: Candidate): number => zones.get(zone) ?? 0;
    pool.sort((a, b) => rank(a) - rank(b) || held(a) - held(b) || byPreference(a, b));
    const next = pool.shift() as Candidate;
    chosen.add(next.id);
    countZone(zones, next.zone);
  }
  return chosen;
}

/** The founder, then warm standbys, workers, standbys, and observers last. */
function rank(candidate: Candidate): number {
  if (candidate.role === "bootstrap") return 0;
  if (candidate.replica !== "none" && candidate.caughtUp) return 1;
  if (candidate.role === "worker") return 2;
  return candidate.role === "observer" ? 4 : 3;
}

function countZone(zones: Map<string, number>, zone: string): void {
  zones.set(zone, (zones.get(zone) ?? 0) + 1);
}

/** As whoever asks ranks them; by id where nobody did. */
function byPreference(a: Candidate, b: Candidate): number {
  return (a.preference ?? 0) - (b.preference ?? 0) || byId(a, b);
}

function byId(a: Candidate, b: Candidate): number {
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0;
}

function byVoteThenId(a: Candidate, b: Candidate): number {
  return Number(b.replica === "voter") - Number(a.replica === "voter") || byId(a, b);
}

function validateShape(shape: Shape, assignment: Assignment): readonly TopologyViolation[] {
  const violations: TopologyViolation[] = [];
  const counts = new Map<Role, number>();
  for (const role of assignment.values()) counts.set(role, (counts.get(role) ?? 0) + 1);
  const masters = counts.get("master") ?? 0;
  const total = assignment.size;
  // Where the others stand by they are not part of the assignment, so only the number of masters can be judged.
  const expected =
    shape.rest === undefined ? shape.targetMasters(Math.max(total, shape.minNodes)) : shape.targetMasters(total);
  if (total < shape.minNodes && shape.rest !== undefined) {
    violations.push({
      code: "TOPOLOGY_TOO_FEW_NODES",
      message: `${shape.name} has ${total} nodes, expected at least ${shape.minNodes}`,
    });
  } else if (masters !== expected) {
    violations.push({
      code: "TOPOLOGY_WRONG_MASTERS",
      message: `${shape.name} has ${masters} masters, expected ${expected}`,
    });
  }
  const allowed: readonly Role[] = ["master", "arbiter", "observer", ...(shape.rest === undefined ? [] : [shape.rest])];
  for (const [role, count] of counts) {
    if (allowed.includes(role)) continue;
    violations.push({
      code: "TOPOLOGY_WRONG_ROLE",
      message: `${shape.name} has ${count} nodes as ${role}, which it does not know`,
    });
  }
  return violations;
}
