import { shiftVerbs, type ShiftOrder, type ShiftOutcome, type ShiftVerb } from "@revoada/cluster";
import { replicasOf, type NodeId, type NodeRecord } from "@revoada/fabric";
import { encode } from "cborg";
import { describe, expect, test } from "vitest";
import { formed, type ClusterKit, type TestNode } from "./doubles/cluster-kit.ts";
import { nodeId } from "./doubles/keys.ts";

function record(kit: ClusterKit, id: NodeId): NodeRecord {
  const found = kit.founder.cluster.formation().nodes.get(id);
  if (found === undefined) throw new Error("it is not in the formation");
  return found;
}

function worker(kit: ClusterKit): NodeId {
  const [id] = [...kit.founder.cluster.formation().nodes].find(([, { role }]) => role === "worker") ?? [];
  if (id === undefined) throw new Error("nobody works");
  return id;
}

/** A voter that is not the founder. */
function voter(kit: ClusterKit): NodeId {
  const found = replicasOf(kit.founder.cluster.formation(), "voter").find((id) => id !== nodeId("a"));
  if (found === undefined) throw new Error("nobody else votes");
  return found;
}

function shift(kit: ClusterKit, verb: ShiftVerb, node: NodeId, more: Partial<ShiftOrder> = {}): Promise<ShiftOutcome> {
  return kit.run(kit.founder.cluster.shift({ verb, node, dryRun: false, ...more }, { timeoutMs: 10_000 }));
}

const refused = expect.objectContaining({ code: "CLUSTER_SHIFT_REFUSED" });

describe("an operator's word", () => {
  test("cordons and restores a node, and says so where that holds already", async () => {
    const { kit } = await formed("b", "c", "d");
    const node = worker(kit);
    const { generation } = kit.founder.cluster.formation();
    expect(await shift(kit, "cordon", node)).toMatchObject({ transitions: [{ verb: "cordon", node }] });
    expect(record(kit, node).flags).toEqual(["cordoned"]);
    expect(await shift(kit, "cordon", node)).toEqual({ transitions: [], generation: generation + 1 });
    await shift(kit, "restore", node);
    expect(record(kit, node).flags).toEqual([]);
  });

  test("that nobody leads to carry out ends in time, and no node that led before is taken for a leader", async () => {
    const { kit, nodes } = await formed("b", "c", "d");
    // Each of them leads for a moment, and says in gossip that it does not any more.
    for (const name of ["b", "c", "a"]) {
      kit.log.elect(nodeId(name));
      await kit.clock.advanceAsync(1000);
    }
    kit.log.elect(undefined);
    await kit.clock.advanceAsync(1000);
    for (const { cluster } of nodes) expect(cluster.running().likelyLeadership()).toBeUndefined();
    await expect(shift(kit, "cordon", worker(kit))).rejects.toThrow(
      expect.objectContaining({ code: "RAFT_NO_QUORUM" }),
    );
  });

  test("drains a worker to standby, where it stays until it is restored", async () => {
    const { kit } = await formed("b", "c", "d");
    const node = worker(kit);
    await shift(kit, "drain", node);
    await kit.clock.runUntil(() => record(kit, node).state === "standby", { withinMs: 30_000 });
    await kit.clock.advanceAsync(20_000);
    expect(record(kit, node).state).toBe("standby");
    await shift(kit, "restore", node);
    await kit.clock.runUntil(() => record(kit, node).role === "worker", { withinMs: 30_000 });
  });

  test.each(["drain", "quarantine", "demote"] as const)(
    "to %s a voter is judged anew where another voter was to go first, and refused where there was one standby",
    async (verb) => {
      const { kit } = await formed("b", "c", "d");
      const [first, second] = replicasOf(kit.founder.cluster.formation(), "voter").filter((id) => id !== nodeId("a"));
      // Both were judged before either was committed.
      kit.log.onPropose = () => {
        kit.log.onPropose = () => undefined;
        const { loop } = kit.founder.cluster.running();
        void loop.commit([{ verb: "quarantine", node: second as NodeId }], "another one first");
      };
      await expect(shift(kit, verb, first as NodeId)).rejects.toThrow(refused);
      expect(record(kit, first as NodeId)).toMatchObject({ state: "active", flags: [] });
    },
  );

  test("quarantines a voter, whose seat goes to another", async () => {
    const { kit } = await formed("b", "c", "d");
    const node = voter(kit);
    await shift(kit, "quarantine", node);
    await kit.clock.runUntil(() => record(kit, node).replica === "none", { withinMs: 30_000 });
    expect(replicasOf(kit.founder.cluster.formation(), "voter")).toHaveLength(3);
  });

  test.each(["drain", "quarantine", "demote"] as const)("to %s its leader moves leadership first", async (verb) => {
    const { kit } = await formed("b", "c", "d", "e");
    const leader = nodeId("a");
    await kit.clock.advanceAsync(6000);
    const seats: boolean[] = [];
    const { elect } = kit.log;
    kit.log.elect = (id) => {
      seats.push(kit.founder.cluster.formation().nodes.get(leader)?.replica === "voter");
      elect.call(kit.log, id);
    };
    await shift(kit, verb, leader);
    await kit.clock.runUntil(() => record(kit, leader).replica !== "voter", { withinMs: 30_000 });
    expect(kit.log.leader).not.toBe(leader);
    // It still had its seat when it handed over, and does not get the lead back.
    expect(seats[0]).toBe(true);
  });

  test("is refused, with nothing changed, where there is nobody else to vote", async () => {
    const { kit } = await formed("b", "c");
    const before = kit.founder.cluster.formation();
    for (const verb of ["quarantine", "drain", "demote"] as const)
      await expect(shift(kit, verb, nodeId("b"))).rejects.toThrow(refused);
    expect(kit.founder.cluster.formation().nodes).toEqual(before.nodes);
  });

  test("is refused where whoever could vote instead is dead", async () => {
    const { kit } = await formed("b", "c", "d");
    kit.gossip.say(worker(kit), { status: "dead" });
    await expect(shift(kit, "quarantine", voter(kit))).rejects.toThrow(refused);
  });

  test("that is only tried commits nothing", async () => {
    const { kit } = await formed("b", "c", "d");
    const node = worker(kit);
    const before = kit.founder.cluster.formation();
    const outcome = await shift(kit, "drain", node, { dryRun: true });
    expect(outcome).toEqual({
      transitions: [
        { verb: "cordon", node },
        { verb: "demote", node },
      ],
      generation: before.generation,
    });
    expect(kit.founder.cluster.formation()).toBe(before);
  });

  test("gives a role that the table allows, and none that it does not list", async () => {
    const { kit } = await formed("b", "c", "d");
    const node = worker(kit);
    await expect(shift(kit, "promote", node, { role: "observer" })).rejects.toThrow(
      expect.objectContaining({ code: "TOPOLOGY_ILLEGAL_TRANSITION" }),
    );
    await shift(kit, "reassign", node, { role: "observer" });
    expect(record(kit, node).role).toBe("observer");
    await expect(shift(kit, "promote", node)).rejects.toThrow(refused);
    await expect(shift(kit, "cordon", nodeId("nobody"))).rejects.toThrow(
      expect.objectContaining({ code: "CLUSTER_UNKNOWN_NODE" }),
    );
  });

  test("reaches the leader from any node that votes", async () => {
    const { kit, nodes } = await formed("b", "c", "d");
    const asked = nodes.find(({ name }) => nodeId(name) === voter(kit)) as TestNode;
    const node = worker(kit);
    const outcome = await kit.run(asked.cluster.shift({ verb: "cordon", node, dryRun: false }, { timeoutMs: 10_000 }));
    expect(outcome).toMatchObject({ transitions: [{ verb: "cordon", node }] });
    expect(record(kit, node).flags).toEqual(["cordoned"]);
  });

  test("is heard in the words that there are, and in no others", async () => {
    const { kit, nodes } = await formed("b", "c", "d");
    const asked = nodes.find(({ name }) => nodeId(name) === voter(kit)) as TestNode;
    const { transport } = asked.cluster.running();
    const operator = { name: "/revoada/operator/1", channel: "gossip" } as const;
    const node = worker(kit);
    const before = kit.founder.cluster.formation();
    const wrong: readonly unknown[] = [
      { version: 1, verb: "evict", node, dryRun: false },
      { version: 1, verb: "promote", node, dryRun: false, role: "bootstrap" },
      { version: 1, verb: "cordon", node, dryRun: 0 },
      { version: 1, verb: "cordon", node, dryRun: false, more: 1 },
      { version: 1, verb: "remove", node, dryRun: false },
      { version: 1, verb: "cordon", node: "a", dryRun: false },
    ];
    for (const order of wrong)
      await expect(kit.run(transport.request(nodeId("a"), operator, encode(order)))).rejects.toThrow(
        expect.objectContaining({ code: "FABRIC_INVALID_VALUE" }),
      );
    expect(kit.founder.cluster.formation()).toBe(before);
    expect(shiftVerbs).toContain("drain");
  });
});
