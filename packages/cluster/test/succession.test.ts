import { replicasOf, type NodeId, type Protocol } from "@revoada/fabric";
import { encode } from "cborg";
import { describe, expect, test } from "vitest";
import { formed, TestNode, type ClusterKit } from "./doubles/cluster-kit.ts";
import { nodeId } from "./doubles/keys.ts";

const succeed: Protocol = { name: "/revoada/succeed/1", channel: "gossip" };

function voters({ founder }: ClusterKit): readonly NodeId[] {
  return replicasOf(founder.cluster.formation(), "voter");
}

function named(kit: ClusterKit, nodes: readonly TestNode[], votes: boolean): TestNode {
  const found = nodes.find((node) => node !== kit.founder && voters(kit).includes(nodeId(node.name)) === votes);
  if (found === undefined) throw new Error("nobody fits");
  return found;
}

/** The same node under its next key: the one before it is gone, and the disk is the same. */
async function startedAs(next: string, before: TestNode): Promise<TestNode> {
  const { kit } = before;
  if (before.cluster.isRunning()) await kit.run(before.cluster.shutdown());
  const node = new TestNode(kit, next, before.disk);
  node.store = before.store;
  node.joined = before.joined;
  node.starts = before.starts;
  await kit.run(node.cluster.start());
  return node;
}

function sorted(replicas: readonly { readonly id: NodeId }[]): readonly NodeId[] {
  return replicas.map(({ id }) => id).toSorted();
}

async function taken(kit: ClusterKit, next: string, by: TestNode = kit.founder): Promise<void> {
  await kit.clock.runUntil(
    () => {
      const formation = by.cluster.formation();
      const record = formation.nodes.get(nodeId(next));
      const { voters: inLog, outgoing } = kit.log.configuration;
      const follows = outgoing === undefined && replicasOf(formation, "voter").join() === sorted(inLog).join();
      return record !== undefined && record.succeeds === undefined && follows;
    },
    { withinMs: 20_000 },
  );
}

describe("a node that rotates its key", () => {
  test("has the next one committed and sealed, and takes its seat in one joint change with never two seats", async () => {
    const { kit, nodes } = await formed("b", "c", "d");
    const before = named(kit, nodes, true);
    const changes = kit.log.changes.length;
    await kit.run(before.cluster.nameSuccessor(nodeId("next"), { timeoutMs: 10_000 }));
    expect(before.cluster.formation().nodes.get(nodeId("next"))).toMatchObject({
      succeeds: nodeId(before.name),
      replica: "learner",
    });
    const { head, sealed } = kit.founder.cluster.chainHeads() ?? {};
    expect(sealed).toEqual(head);
    await startedAs("next", before);
    await taken(kit, "next");
    expect(voters(kit)).toContain(nodeId("next"));
    expect(sorted(kit.log.configuration.voters)).toEqual(voters(kit));
    const seats = kit.log.changes.slice(changes).map(({ voters: all }) => all.map(({ id }) => id));
    expect(seats.every((ids) => ids.length === 3)).toBe(true);
    expect(seats.some((ids) => ids.includes(nodeId("next")) && ids.includes(nodeId(before.name)))).toBe(false);
    expect(seats.filter((ids) => ids.includes(nodeId("next")))).toHaveLength(1);
    expect(kit.founder.cluster.formation().tombstones).toEqual(new Set([nodeId(before.name)]));
  });

  test("is nobody any more under the old key, not with a good token either", async () => {
    const { kit, nodes } = await formed("b", "c", "d");
    const before = named(kit, nodes, true);
    await kit.run(before.cluster.nameSuccessor(nodeId("next"), { timeoutMs: 10_000 }));
    await startedAs("next", before);
    await taken(kit, "next");
    for (const node of nodes.filter((each) => each !== before))
      expect(node.cluster.running().directory.isKnown(nodeId(before.name))).toBe(false);
    await expect(kit.run(new TestNode(kit, before.name).ask(await kit.token()))).rejects.toThrow(
      expect.objectContaining({ code: "JOIN_REFUSED", retryable: false }),
    );
  });

  test("may ask again after a crash, and nothing is committed twice", async () => {
    const { kit, nodes } = await formed("b", "c", "d");
    const before = named(kit, nodes, true);
    await kit.run(before.cluster.nameSuccessor(nodeId("next"), { timeoutMs: 10_000 }));
    const { generation } = kit.founder.cluster.formation();
    await kit.run(before.cluster.shutdown());
    await kit.run(before.cluster.start());
    await kit.run(before.cluster.nameSuccessor(nodeId("next"), { timeoutMs: 10_000 }));
    expect(kit.founder.cluster.formation().generation).toBe(generation);
    await expect(kit.run(before.cluster.nameSuccessor(nodeId("another"), { timeoutMs: 10_000 }))).rejects.toThrow(
      expect.objectContaining({ code: "TOPOLOGY_ILLEGAL_TRANSITION" }),
    );
  });

  test("is let into its place by the next leader, where the one that committed its key is gone", async () => {
    const { kit, nodes } = await formed("b", "c", "d");
    const before = named(kit, nodes, true);
    await kit.run(before.cluster.nameSuccessor(nodeId("next"), { timeoutMs: 10_000 }));
    await kit.run(before.cluster.shutdown());
    const heir = nodes.find(
      (node) => node !== before && node !== kit.founder && voters(kit).includes(nodeId(node.name)),
    );
    kit.log.elect(nodeId(heir?.name ?? ""));
    await startedAs("next", before);
    await taken(kit, "next", heir);
    expect(replicasOf(heir?.cluster.formation() ?? kit.founder.cluster.formation(), "voter")).toHaveLength(3);
  });

  test("that leads hands over when it stops, and comes back to a seat", async () => {
    const { kit, nodes } = await formed("b", "c", "d");
    const heir = named(kit, nodes, true);
    await kit.run(kit.founder.cluster.nameSuccessor(nodeId("next"), { timeoutMs: 10_000 }));
    kit.log.elect(nodeId(heir.name));
    kit.founder.starts = 2;
    await startedAs("next", kit.founder);
    await taken(kit, "next", heir);
    expect(heir.cluster.formation().nodes.get(nodeId("next"))).toMatchObject({ role: "master", replica: "voter" });
  });

  test("keeps its work where it holds no copy of the log", async () => {
    const { kit, nodes } = await formed("b", "c", "d", "e", "f", "g");
    const { formation } = kit.founder.cluster.running().machine.formation.state ?? {};
    const before = nodes.find((node) => formation?.nodes.get(nodeId(node.name))?.replica === "none") as TestNode;
    await kit.run(before.cluster.nameSuccessor(nodeId("next"), { timeoutMs: 10_000 }));
    await startedAs("next", before);
    await taken(kit, "next");
    expect(kit.founder.cluster.formation().nodes.get(nodeId("next"))).toMatchObject({
      state: "active",
      role: "worker",
    });
  });

  test("is refused where the others could not agree while it starts anew", async () => {
    const { kit, nodes } = await formed("b", "c");
    const [one, two] = nodes.filter((node) => node !== kit.founder) as [TestNode, TestNode];
    kit.gossip.say(nodeId(two.name), { status: "dead", evidence: "silent" });
    const before = kit.founder.cluster.formation().nodes.get(nodeId("next"));
    await expect(kit.run(one.cluster.nameSuccessor(nodeId("next"), { timeoutMs: 10_000 }))).rejects.toThrow(
      expect.objectContaining({ code: "CLUSTER_ROTATE_REFUSED" }),
    );
    expect(kit.founder.cluster.formation().nodes.get(nodeId("next"))).toBe(before);
  });

  test("waits until it is taken back where it was taken for dead", async () => {
    const { kit, nodes } = await formed("b", "c", "d");
    const before = named(kit, nodes, false);
    const { loop } = kit.founder.cluster.running();
    await kit.run(loop.commit([{ verb: "evict", node: nodeId(before.name) }], "it was silent"));
    const member = kit.gossip.members.get(nodeId(before.name));
    const asked = before.cluster.nameSuccessor(nodeId("next"), { timeoutMs: 10_000 });
    kit.gossip.say(nodeId(before.name), { generation: (member?.generation ?? 0) + 1 });
    await kit.run(asked);
    expect(kit.founder.cluster.formation().nodes.get(nodeId("next"))?.succeeds).toBe(nodeId(before.name));
  });

  test("that is removed meanwhile takes its next key with it", async () => {
    const { kit, nodes } = await formed("b", "c", "d");
    const before = named(kit, nodes, true);
    await kit.run(before.cluster.nameSuccessor(nodeId("next"), { timeoutMs: 10_000 }));
    await kit.run(kit.founder.cluster.remove(nodeId(before.name), { timeoutMs: 30_000 }));
    const { tombstones, nodes: left } = kit.founder.cluster.formation();
    expect(tombstones).toEqual(new Set([nodeId(before.name), nodeId("next")]));
    expect(left.has(nodeId("next"))).toBe(false);
  });
});

describe("nobody names the next key of another", () => {
  test("with a signature of its own, or of the right key over another connection", async () => {
    const { kit, nodes } = await formed("b", "c", "d");
    const [victim, thief] = nodes.filter((node) => node !== kit.founder) as [TestNode, TestNode];
    const { clusterId } = kit.genesis;
    const before = await kit.run(kit.founder.cluster.stateHash());
    const { transport } = thief.cluster.running();
    const overheard = victim.attestor.signSuccession(clusterId, nodeId("next"));
    for (const signature of [overheard, new Uint8Array(64), new Uint8Array(3)]) {
      const request = encode({ version: 1, successor: nodeId("next"), signature });
      await expect(kit.run(transport.request(nodeId("a"), succeed, request))).rejects.toThrow(
        expect.objectContaining({ code: "CHAIN_INVALID" }),
      );
    }
    const other = thief.attestor.signSuccession(clusterId, nodeId(victim.name));
    const claim = encode({ version: 1, successor: nodeId(victim.name), signature: other });
    await expect(kit.run(transport.request(nodeId("a"), succeed, claim))).rejects.toThrow(
      expect.objectContaining({ code: "TOPOLOGY_ILLEGAL_TRANSITION" }),
    );
    expect((await kit.run(kit.founder.cluster.stateHash())).hash).toBe(before.hash);
  });
});
