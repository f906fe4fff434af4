import { prescribedHomelab, replicasOf, type NodeId } from "@revoada/fabric";
import { cluster3mnw, meshAllPeers, quorum3m } from "@revoada/topology";
import { describe, expect, test } from "vitest";
import { FormationModel, modelNode as nodeId } from "@revoada/topology/testing";

/** Three masters, and then the limited nodes that are told. */
function world(limits: Readonly<Record<number, "worker" | "observer">>, topology = cluster3mnw()): FormationModel {
  const made = new FormationModel({ topology, strategy: prescribedHomelab() });
  for (const n of [2, 3]) made.admit(n);
  for (const [n, limit] of Object.entries(limits)) made.admit(Number(n), "z9", limit);
  made.settle();
  return made;
}

function roleOf({ formation }: FormationModel, n: number): string | undefined {
  return formation.nodes.get(nodeId(n))?.role;
}

describe("nodes whose token limits them", () => {
  test("do what they were let in for, and neither vote nor stand by to vote", () => {
    const made = world({ 4: "worker", 5: "observer" });
    expect([roleOf(made, 4), roleOf(made, 5)]).toEqual(["worker", "observer"]);
    expect(replicasOf(made.formation, "voter")).toEqual([1, 2, 3].map(nodeId));
    // An observer replicates, and serves reads from what it has; a warm standby that may never vote would be of no use.
    expect(replicasOf(made.formation, "learner")).toEqual([nodeId(5)]);
  });

  test("do not count for the first shape", () => {
    const made = new FormationModel({ topology: cluster3mnw(), strategy: prescribedHomelab() });
    made.admit(2);
    made.admit(3, "z", "worker");
    made.admit(4, "z", "worker");
    made.settle();
    expect(made.rolesOf("bootstrap")).toEqual([nodeId(1)]);
    made.admit(5);
    made.settle();
    expect(made.rolesOf("master")).toEqual([1, 2, 5].map(nodeId));
    expect(made.rolesOf("worker")).toEqual([3, 4].map(nodeId));
  });

  test("take no dead master's seat: it waits for somebody who may", () => {
    const made = world({ 4: "worker", 5: "worker", 6: "observer" });
    made.kill(nodeId(3));
    made.settle();
    expect(replicasOf(made.formation, "voter")).toEqual([1, 2, 3].map(nodeId));
    expect([4, 5, 6].map((n) => roleOf(made, n))).toEqual(["worker", "worker", "observer"]);
    made.admit(7);
    made.settle();
    expect(replicasOf(made.formation, "voter")).toEqual([1, 2, 7].map(nodeId));
  });

  test("stand by where the topology has no work to give", () => {
    for (const topology of [quorum3m(), meshAllPeers({ minNodes: 3 })])
      expect(world({ 4: "worker" }, topology).formation.nodes.get(nodeId(4))).toMatchObject({
        state: "standby",
        replica: "none",
      });
  });
});

describe("a node that goes on under its next key", () => {
  function voterBut(made: FormationModel, id: NodeId): NodeId {
    return made.rolesOf("master").find((other) => other !== id) as NodeId;
  }

  test("waits until the next key lives, and then has the place at once", () => {
    const made = world({});
    made.admit(4);
    made.admit(5);
    made.settle();
    const before = voterBut(made, made.leader);
    made.succeed(before, 9);
    made.settle();
    expect(made.formation.nodes.get(nodeId(9))?.succeeds).toBe(before);
    made.revive(nodeId(9));
    made.settle();
    expect(made.formation.nodes.get(nodeId(9))).toMatchObject({ state: "active", role: "master", replica: "voter" });
    expect(made.formation.tombstones).toEqual(new Set([before]));
    expect(made.decisions.filter(({ kind }) => kind === "inherit")).toHaveLength(1);
  });

  test("loses its seat like everybody who stays away, and gets what is left of its place", () => {
    const made = world({});
    made.admit(4);
    made.settle();
    const before = voterBut(made, made.leader);
    made.succeed(before, 9);
    made.kill(before);
    made.settle();
    expect(replicasOf(made.formation, "voter")).toContain(nodeId(4));
    made.revive(nodeId(9));
    made.settle();
    expect(made.formation.nodes.has(before)).toBe(false);
    expect(made.formation.nodes.get(nodeId(9))?.succeeds).toBeUndefined();
    expect(replicasOf(made.formation, "voter")).toHaveLength(3);
  });

  test("is given up where the next key never comes, after as long as a failed node is waited for", () => {
    const made = world({});
    made.admit(4);
    made.settle();
    const before = voterBut(made, made.leader);
    made.succeed(before, 9);
    made.settle();
    expect(made.formation.nodes.has(nodeId(9))).toBe(true);
    const observation = made.observation();
    made.commit(made.decide({ ...observation, nowMs: observation.nowMs + 73 * 3600 * 1000 }));
    made.settle();
    expect(made.formation.nodes.has(nodeId(9))).toBe(false);
    expect(made.formation.tombstones.size).toBe(0);
    expect(made.formation.nodes.get(before)).toMatchObject({ role: "master", replica: "voter" });
  });
});
