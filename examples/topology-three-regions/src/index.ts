/**
 * Regions with weights: each holds its share of the masters, and none ever holds a quorum, whichever of the others is lost.
 *
 * A node's zone says where it stands: `eu.a` is zone `a` of region `eu`.
 *
 * @packageDocumentation
 */
import {
  InvalidValueError,
  type Assignment,
  type Candidate,
  type NodeId,
  type Role,
  type TopologyPackageOptions,
  type TopologyStrategy,
  type TopologyViolation,
} from "@revoada/fabric";
import { assignRegions } from "./assign.ts";
import { mastersOf, mostInOneRegion, parseShares, regionOf } from "./regions.ts";

/**
 * `@example/three-regions?eu=2&us=2&ap=1`: masters by region. Throws `FABRIC_INVALID_VALUE` where a region would hold a quorum.
 *
 * Makes `minNodes` the number of masters unless told; one master in each of three regions is the smallest.
 */
export function topology(options: TopologyPackageOptions): TopologyStrategy {
  const shares = parseShares(options.parameters);
  const masters = mastersOf(shares);
  const minNodes = options.minNodes ?? masters;
  if (!Number.isSafeInteger(minNodes) || minNodes < masters || minNodes > 1024)
    throw new InvalidValueError("minNodes", minNodes, `a whole number from ${masters} to 1024`);
  const assign = (eligible: readonly Candidate[]): Assignment => assignRegions(shares, eligible);
  return Object.freeze({
    name: options.name,
    minNodes,
    targetMasters: (eligible: number) => Math.min(eligible, masters),
    assign,
    reactToLoss: (current: Assignment, lost: ReadonlySet<NodeId>, survivors: readonly Candidate[]) =>
      assign(survivors.filter(({ id }) => !lost.has(id)).map((candidate) => holding(candidate, current))),
    mayVote: ({ zone }: Candidate, voters: readonly Candidate[], seats: number) =>
      voters.filter((voter) => regionOf(voter.zone) === regionOf(zone)).length < mostInOneRegion(seats),
    validate: (assignment: Assignment) => violationsOf(options.name, masters, assignment),
  });
}

function holding(candidate: Candidate, current: Assignment): Candidate {
  const role = current.get(candidate.id) ?? candidate.role;
  return role === undefined ? candidate : { ...candidate, role };
}

/** An assignment does not tell zones: what can be judged of it is how many hold which role. */
function violationsOf(name: string, masters: number, assignment: Assignment): readonly TopologyViolation[] {
  const count = (role: Role): number => [...assignment.values()].filter((held) => held === role).length;
  const violations: TopologyViolation[] = [];
  if (assignment.size < masters)
    violations.push({
      code: "TOPOLOGY_TOO_FEW_NODES",
      message: `${name} has ${assignment.size} nodes, expected at least ${masters}`,
    });
  else if (count("master") !== masters)
    violations.push({
      code: "TOPOLOGY_WRONG_MASTERS",
      message: `${name} has ${count("master")} masters, expected ${masters}`,
    });
  if (count("bootstrap") > 0)
    violations.push({
      code: "TOPOLOGY_WRONG_ROLE",
      message: `${name} has a node as bootstrap, which it does not know`,
    });
  return violations;
}
