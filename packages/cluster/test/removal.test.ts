import { replicasOf, type NodeId } from "@revoada/fabric";
import { memoryAddress } from "@revoada/fabric/memory";
import { encode } from "cborg";
import { describe, expect, test } from "vitest";
import { formed, type ClusterKit, type TestNode } from "./doubles/cluster-kit.ts";
import { nodeId } from "./doubles/keys.ts";

const operator = { name: "/revoada/operator/1", channel: "gossip" } as const;

function voters({ founder }: ClusterKit): readonly NodeId[] {
  return replicasOf(founder.cluster.formation(), "voter");
}

function tombstones({ founder }: ClusterKit): ReadonlySet<NodeId> {
  return founder.cluster.formation().tombstones;
}

/** The name of a node that is not the founder and votes, or does not. */
function named(kit: ClusterKit, nodes: readonly TestNode[], votes: boolean): TestNode {
  const found = nodes.find((node) => node !== kit.founder && voters(kit).includes(nodeId(node.name)) === votes);
  if (found === undefined) throw new Error("nobody fits");
  return found;
}

describe("an operator who removes a node", () => {
  test("that has no vote leaves a tombstone, sealed", async () => {
    const { kit, nodes } = await formed("b", "c", "d");
    const gone = nodeId(named(kit, nodes, false).name);
    await kit.run(kit.founder.cluster.remove(gone, { timeoutMs: 10_000 }));
    expect(kit.founder.cluster.formation().nodes.has(gone)).toBe(false);
    expect(tombstones(kit)).toEqual(new Set([gone]));
    const { head, sealed } = kit.founder.cluster.chainHeads() ?? {};
    expect(sealed).toEqual(head);
  });

  test("that votes has its seat given to another first, in one joint change", async () => {
    const { kit, nodes } = await formed("b", "c", "d");
    const victim = named(kit, nodes, true);
    const changes = kit.log.changes.length;
    await kit.run(kit.founder.cluster.remove(nodeId(victim.name), { timeoutMs: 30_000 }));
    expect(voters(kit)).toHaveLength(3);
    expect(voters(kit)).not.toContain(nodeId(victim.name));
    expect(kit.log.configuration.voters.map(({ id }) => id).toSorted()).toEqual(voters(kit));
    expect(kit.log.changes.slice(changes).every((change) => change.voters.length === 3)).toBe(true);
    expect(tombstones(kit).has(nodeId(victim.name))).toBe(true);
  });

  test("may ask any node that votes, which asks the leader", async () => {
    const { kit, nodes } = await formed("b", "c", "d");
    const asked = named(kit, nodes, true);
    const gone = nodeId(named(kit, nodes, false).name);
    await kit.run(asked.cluster.remove(gone, { timeoutMs: 10_000 }));
    expect(tombstones(kit).has(gone)).toBe(true);
  });

  test("hears that it is done where it was done before, and of nobody where nobody bears the id", async () => {
    const { kit, nodes } = await formed("b", "c", "d");
    const gone = nodeId(named(kit, nodes, false).name);
    await kit.run(kit.founder.cluster.remove(gone, { timeoutMs: 10_000 }));
    const { generation } = kit.founder.cluster.formation();
    await kit.run(kit.founder.cluster.remove(gone, { timeoutMs: 10_000 }));
    expect(kit.founder.cluster.formation().generation).toBe(generation);
    await expect(kit.run(kit.founder.cluster.remove(nodeId("nobody"), { timeoutMs: 10_000 }))).rejects.toThrow(
      expect.objectContaining({ code: "CLUSTER_UNKNOWN_NODE" }),
    );
  });

  test("is refused where nobody can take the seat, and nothing has changed", async () => {
    const { kit, nodes } = await formed("b", "c");
    const before = kit.founder.cluster.formation();
    const victim = nodeId(named(kit, nodes, true).name);
    await expect(kit.run(kit.founder.cluster.remove(victim, { timeoutMs: 10_000 }))).rejects.toThrow(
      expect.objectContaining({ code: "CLUSTER_REMOVE_REFUSED" }),
    );
    expect(kit.founder.cluster.formation().nodes.get(victim)).toEqual(before.nodes.get(victim));
  });

  test("does not get to remove the very node that was asked", async () => {
    const { kit } = await formed("b", "c", "d");
    await expect(kit.run(kit.founder.cluster.remove(nodeId("a"), { timeoutMs: 10_000 }))).rejects.toThrow(
      expect.objectContaining({ code: "CLUSTER_REMOVE_REFUSED" }),
    );
  });

  test("is told so when time is up, and what was committed stays", async () => {
    const { kit, nodes } = await formed("b", "c", "d");
    const victim = named(kit, nodes, true);
    // Nobody is caught up enough to take the seat.
    for (const node of nodes) if (!voters(kit).includes(nodeId(node.name))) kit.network.down(nodeId(node.name));
    kit.log.onJoint = () => {
      throw new Error("the change does not come about");
    };
    await expect(kit.run(kit.founder.cluster.remove(nodeId(victim.name), { timeoutMs: 3000 }))).rejects.toThrow(
      expect.objectContaining({ code: "CLUSTER_REMOVE_TIMEOUT", retryable: true }),
    );
    expect(tombstones(kit).has(nodeId(victim.name))).toBe(false);
  });
});

describe("a removed node", () => {
  test("is cut off by everybody within a second of the commit, by nodes without a copy of the log too", async () => {
    const { kit, nodes } = await formed("b", "c", "d", "e", "f", "g");
    const { formation } = kit.founder.cluster.running().machine.formation.state ?? {};
    const without = nodes.filter((node) => formation?.nodes.get(nodeId(node.name))?.replica === "none");
    expect(without.length).toBeGreaterThan(1);
    const gone = without[0] as TestNode;
    await kit.run(kit.founder.cluster.remove(nodeId(gone.name), { timeoutMs: 10_000 }));
    await kit.clock.advanceAsync(500);
    for (const node of nodes.filter((each) => each !== gone)) {
      expect(node.cluster.running().directory.isKnown(nodeId(gone.name))).toBe(false);
    }
  });

  test("is let in by no token any more", async () => {
    const { kit, nodes } = await formed("b", "c", "d");
    const gone = named(kit, nodes, false);
    await kit.run(kit.founder.cluster.remove(nodeId(gone.name), { timeoutMs: 10_000 }));
    await kit.run(gone.cluster.shutdown());
    await expect(kit.run(gone.ask(await kit.token()))).rejects.toThrow(
      expect.objectContaining({ code: "JOIN_REFUSED", retryable: false }),
    );
  });
});

test("a node without a vote cannot have another removed", async () => {
  const { kit, nodes } = await formed("b", "c", "d", "e");
  const worker = named(kit, nodes, false);
  const other = nodeId(named(kit, nodes, true).name);
  const request = encode({ version: 1, verb: "remove", node: other });
  const { transport } = worker.cluster.running();
  transport.setAddresses(nodeId("a"), [memoryAddress(nodeId("a"))]);
  await expect(kit.run(transport.request(nodeId("a"), operator, request))).rejects.toThrow(
    expect.objectContaining({ code: "CLUSTER_NOT_A_VOTER" }),
  );
  await expect(
    kit.run(transport.request(nodeId("a"), operator, encode({ version: 2, verb: "remove", node: other }))),
  ).rejects.toThrow(expect.objectContaining({ code: "FABRIC_INVALID_VALUE" }));
});
