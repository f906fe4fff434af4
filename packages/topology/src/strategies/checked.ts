import {
  FabricError,
  type Assignment,
  type Candidate,
  type NodeId,
  type Role,
  type TopologyStrategy,
} from "@revoada/fabric";

/** A topology gave an answer that no topology may give; whoever asked it does nothing. */
export class BrokenTopologyError extends FabricError {
  constructor(topology: string, what: string) {
    super("TOPOLOGY_BROKEN", `topology ${topology} ${what}`);
  }
}

const roles: ReadonlySet<unknown> = new Set<Role>(["master", "worker", "observer", "arbiter"]);

/**
 * The same topology, whose answers are looked at before they are believed: a topology may be anybody's. Each call throws
 * `TOPOLOGY_BROKEN` where a role goes to a node that is not eligible, or is none.
 */
export function checkedTopology(topology: TopologyStrategy): TopologyStrategy {
  const checked = (assignment: Assignment, eligible: readonly Candidate[]): Assignment => {
    if (!(assignment instanceof Map))
      throw new BrokenTopologyError(topology.name, "gave something else than a map of roles");
    const ids = new Set(eligible.map(({ id }) => id));
    for (const [id, role] of assignment) {
      if (!ids.has(id))
        throw new BrokenTopologyError(topology.name, `gave a role to ${String(id)}, which is not eligible`);
      if (!roles.has(role)) throw new BrokenTopologyError(topology.name, `gave ${String(id)} the role ${String(role)}`);
    }
    return assignment;
  };
  return {
    name: topology.name,
    minNodes: topology.minNodes,
    targetMasters: (eligible) => topology.targetMasters(eligible),
    assign: (eligible) => checked(topology.assign(eligible), eligible),
    reactToLoss: (current: Assignment, lost: ReadonlySet<NodeId>, survivors: readonly Candidate[]) =>
      checked(topology.reactToLoss(current, lost, survivors), survivors),
    ...(topology.mayVote === undefined
      ? {}
      : {
          mayVote: (candidate: Candidate, voters: readonly Candidate[], seats: number) =>
            topology.mayVote?.(candidate, voters, seats) === true,
        }),
    validate: (assignment) => topology.validate(assignment),
  };
}
