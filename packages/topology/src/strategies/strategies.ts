import { FabricError, InvalidValueError, type TopologyStrategy } from "@revoada/fabric";
import { shapedTopology } from "./shape.ts";

/** Options of the topologies whose smallest shape is a choice. */
export interface MinNodesOptions {
  /** How many eligible nodes the first shape needs. A declaration wants at least as many as it has voters. */
  readonly minNodes?: number;
}

/** A topology that nobody has registered; the message names those that are known. */
export class UnknownTopologyError extends FabricError {
  constructor(name: string, known: readonly string[]) {
    super("TOPOLOGY_UNKNOWN", `unknown topology ${JSON.stringify(name)} (known: ${known.join(", ")})`);
  }
}

function requireNodes(path: string, value: number, least: number): number {
  if (Number.isSafeInteger(value) && value >= least && value <= 1024) return value;
  throw new InvalidValueError(path, value, `a whole number from ${least} to 1024`);
}

/** One master; every other node stands by. The loss of the master is the loss of the quorum and never a promotion. */
export function solo(): TopologyStrategy {
  return shapedTopology({ name: "solo", minNodes: 1, targetMasters: () => 1 });
}

/** Two masters; the third voter is an arbiter, every further node stands by. */
export function pair(options: MinNodesOptions = {}): TopologyStrategy {
  const minNodes = requireNodes("pair.minNodes", options.minNodes ?? 2, 2);
  return shapedTopology({ name: "pair", minNodes, targetMasters: () => 2 });
}

/** A fixed number of masters. With `workers` every other node works, without it stands by. */
export function quorum(options: { readonly masters: number; readonly workers?: boolean }): TopologyStrategy {
  const masters = requireNodes("quorum.masters", options.masters, 1);
  const name = options.workers === true ? `cluster_${masters}m_nw` : `quorum_${masters}m`;
  return shapedTopology({
    name,
    minNodes: masters,
    targetMasters: () => masters,
    ...(options.workers === true ? { rest: "worker" } : {}),
  });
}

/** Three masters; every further node stands by. */
export function quorum3m(): TopologyStrategy {
  return quorum({ masters: 3 });
}

/** Three masters and any number of workers. */
export function cluster3mnw(): TopologyStrategy {
  return quorum({ masters: 3, workers: true });
}

/** Every node is a master. */
export function meshAllPeers(options: MinNodesOptions = {}): TopologyStrategy {
  const minNodes = requireNodes("meshAllPeers.minNodes", options.minNodes ?? 2, 1);
  return shapedTopology({ name: "mesh_all_peers", minNodes, targetMasters: (eligible) => eligible, rest: "worker" });
}

/** How many masters a phalanx of `nodes` has: two of five, rounded up, in whole numbers. */
export function phalanxMasters(nodes: number): number {
  return Math.ceil((2 * nodes) / 5);
}

/** Two masters for every five nodes; the rest work. */
export function phalanx(options: MinNodesOptions = {}): TopologyStrategy {
  const minNodes = requireNodes("phalanx.minNodes", options.minNodes ?? 3, 1);
  return shapedTopology({ name: "phalanx", minNodes, targetMasters: phalanxMasters, rest: "worker" });
}

/** The names that {@link topologyByName} knows. */
export const topologyNames: readonly string[] = [
  "solo",
  "pair",
  "quorum_3m",
  "cluster_3m_nw",
  "mesh_all_peers",
  "phalanx",
];

/**
 * A built-in topology by its name, or `quorum_<n>m` and `cluster_<n>m_nw` for other numbers of masters.
 *
 * `minNodes` is used where the topology leaves it open. Throws `TOPOLOGY_UNKNOWN`, naming those that are known.
 */
export function topologyByName(name: string, options: MinNodesOptions = {}): TopologyStrategy {
  switch (name) {
    case "solo":
      return solo();
    case "pair":
      return pair(options);
    case "mesh_all_peers":
      return meshAllPeers(options);
    case "phalanx":
      return phalanx(options);
    default:
      return mastersByName(name);
  }
}

function mastersByName(name: string): TopologyStrategy {
  const match = /^(?:quorum_(\d{1,2})m|cluster_(\d{1,2})m_nw)$/.exec(name);
  const masters = Number(match?.[1] ?? match?.[2] ?? 0);
  if (match === null || masters < 1) throw new UnknownTopologyError(name, topologyNames);
  return quorum({ masters, workers: match[2] !== undefined });
}
