import type { Candidate, NodeId, Role } from "@revoada/fabric";
import { topologyStrategyContract } from "@revoada/fabric/contract/topology-strategy";
import {
  cluster3mnw,
  meshAllPeers,
  pair,
  phalanx,
  phalanxMasters,
  quorum,
  quorum3m,
  solo,
  topologyByName,
  topologyNames,
} from "@revoada/topology";
import { describe, expect, test } from "vitest";
import { modelNode as nodeId } from "@revoada/topology/testing";

function candidate(n: number, more: Partial<Candidate> = {}): Candidate {
  return { id: nodeId(n), zone: "z", replica: "none", caughtUp: false, ...more };
}

function candidates(count: number): readonly Candidate[] {
  return Array.from({ length: count }, (_, n) => candidate(n + 1));
}

function countOf(assignment: ReadonlyMap<NodeId, Role>, role: Role): number {
  return [...assignment.values()].filter((held) => held === role).length;
}

test.each([
  ["solo", solo(), 5, 1, 0],
  ["pair", pair(), 5, 2, 0],
  ["quorum_3m", quorum3m(), 5, 3, 0],
  ["cluster_3m_nw", cluster3mnw(), 7, 3, 4],
  ["mesh_all_peers", meshAllPeers(), 6, 6, 0],
  ["phalanx", phalanx(), 5, 2, 3],
  ["quorum_5m", quorum({ masters: 5 }), 7, 5, 0],
] as const)("%s gives its nodes the roles of its shape", (name, topology, nodes, masters, workers) => {
  const assignment = topology.assign(candidates(nodes));
  expect(topology.name).toBe(name);
  expect(countOf(assignment, "master")).toBe(masters);
  expect(countOf(assignment, "worker")).toBe(workers);
  expect(topology.validate(assignment)).toEqual([]);
});

test("a phalanx has two masters of five, rounded up", () => {
  expect([1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map(phalanxMasters)).toEqual([1, 1, 2, 2, 2, 3, 3, 4, 4, 4]);
});

describe("a promotion", () => {
  test("prefers a warm standby to a worker, and a worker to a standby", () => {
    const lost = new Set([nodeId(1)]);
    const current = new Map<NodeId, Role>([1, 2, 3].map((n) => [nodeId(n), "master"]));
    const choose = (others: readonly Candidate[]): readonly NodeId[] => {
      const survivors = [
        candidate(2, { role: "master", replica: "voter" }),
        candidate(3, { role: "master", replica: "voter" }),
        ...others,
      ];
      const next = quorum3m().reactToLoss(current, lost, survivors);
      return [...next].filter(([id, role]) => role === "master" && !current.has(id)).map(([id]) => id);
    };
    const standby = candidate(4);
    const worker = candidate(5, { role: "worker" });
    const warm = candidate(6, { role: "worker", replica: "learner", caughtUp: true });
    const cold = candidate(7, { role: "worker", replica: "learner", caughtUp: false });
    expect(choose([standby, worker, warm])).toEqual([nodeId(6)]);
    expect(choose([standby, worker])).toEqual([nodeId(5)]);
    expect(choose([standby, cold])).toEqual([nodeId(7)]);
    expect(choose([standby])).toEqual([nodeId(4)]);
  });

  test("goes to the zone with the fewest masters", () => {
    const nodes = [
      candidate(1, { role: "master", zone: "a" }),
      candidate(2, { role: "master", zone: "b" }),
      candidate(3, { zone: "a" }),
      candidate(4, { zone: "b" }),
      candidate(5, { zone: "c" }),
    ];
    expect(quorum3m().assign(nodes).get(nodeId(5))).toBe("master");
  });

  test("does not depend on the order in which nodes are named", () => {
    const nodes = candidates(7);
    expect([...cluster3mnw().assign(nodes)]).toEqual([...cluster3mnw().assign(nodes.toReversed())]);
  });

  test("never goes to a lost node", () => {
    const nodes = candidates(4).map((node) => ({ ...node, role: "master" as const }));
    const lost = new Set([nodeId(1), nodeId(2)]);
    const next = meshAllPeers().reactToLoss(new Map(nodes.map(({ id }) => [id, "master"])), lost, nodes);
    expect([...next.keys()]).toEqual([nodeId(3), nodeId(4)]);
  });
});

test("a wrong shape is named by code and numbers", () => {
  const wrong = new Map<NodeId, Role>([
    [nodeId(1), "master"],
    [nodeId(2), "worker"],
    [nodeId(3), "worker"],
  ]);
  expect(cluster3mnw().validate(wrong)).toEqual([
    { code: "TOPOLOGY_WRONG_MASTERS", message: "cluster_3m_nw has 1 masters, expected 3" },
  ]);
  expect(cluster3mnw().validate(new Map([[nodeId(1), "master"]]))[0]?.code).toBe("TOPOLOGY_TOO_FEW_NODES");
  expect(quorum3m().validate(new Map([...wrong, [nodeId(4), "master"], [nodeId(5), "master"]]))[0]?.code).toBe(
    "TOPOLOGY_WRONG_ROLE",
  );
});

test("topologies are found by their names, and an unknown one names those that are known", () => {
  for (const name of topologyNames) expect(topologyByName(name).name).toBe(name);
  expect(topologyByName("quorum_7m").minNodes).toBe(7);
  expect(topologyByName("phalanx", { minNodes: 5 }).minNodes).toBe(5);
  expect(() => topologyByName("triangle")).toThrow(
    'unknown topology "triangle" (known: solo, pair, quorum_3m, cluster_3m_nw, mesh_all_peers, phalanx)',
  );
});

test.each([0, -1, 1.5, 5000])("minNodes of %d is refused", (minNodes) => {
  expect(() => pair({ minNodes })).toThrow(expect.objectContaining({ code: "FABRIC_INVALID_VALUE" }));
});

describe("the contract of every topology", () => {
  for (const make of [
    solo,
    () => pair({ minNodes: 3 }),
    quorum3m,
    cluster3mnw,
    () => meshAllPeers({ minNodes: 3 }),
    phalanx,
  ]) {
    for (const { name, run } of topologyStrategyContract(make)) test(`${make().name}: ${name}`, run);
  }
});
