import type { PendingApprovals } from "@revoada/cluster";
import { prescribedHomelab, replicasOf, type ApprovalStatement, type NodeId, type Transition } from "@revoada/fabric";
import { quorum } from "@revoada/topology";
import { encode } from "cborg";
import { describe, expect, test } from "vitest";
import { ClusterKit, type TestNode } from "./doubles/cluster-kit.ts";
import { nodeId } from "./doubles/keys.ts";
import { testAttestor } from "./doubles/test-attestor.ts";

const timeoutMs = 10_000;
const code = (name: string): unknown => expect.objectContaining({ code: name });

/** A founder and these nodes, let in: no shape yet, because nobody has approved of one. */
async function waiting(...names: readonly string[]): Promise<{ readonly kit: ClusterKit; readonly nodes: TestNode[] }> {
  const kit = await ClusterKit.founded(["x"]);
  const nodes = [kit.founder];
  for (const name of names) nodes.push(await kit.joined(name));
  await kit.clock.advanceAsync(15_000);
  return { kit, nodes };
}

function pending(kit: ClusterKit, node: TestNode = kit.founder): Promise<PendingApprovals> {
  return kit.run(node.cluster.pending({ timeoutMs }));
}

function approve(
  kit: ClusterKit,
  statement: ApprovalStatement,
  by = "x",
  node: TestNode = kit.founder,
): Promise<number> {
  const approval = testAttestor(by).signApproval(statement);
  return kit.run(node.cluster.approve(statement, approval, { timeoutMs }));
}

/** The statement of the one shift that waits. */
async function only(kit: ClusterKit): Promise<ApprovalStatement> {
  const report = await pending(kit);
  expect(report.waiting).toHaveLength(1);
  return (report.waiting[0] as PendingApprovals["waiting"][number]).statement;
}

/** Formed with x's approval: three voters, the others at work. */
async function formed(...names: readonly string[]): ReturnType<typeof waiting> {
  const made = await waiting(...names);
  await approve(made.kit, await only(made.kit));
  await made.kit.clock.runUntil(
    () =>
      replicasOf(made.kit.founder.cluster.formation(), "voter").length === 3 &&
      [...made.kit.founder.cluster.formation().nodes.values()].every(({ state }) => state === "active") &&
      made.kit.log.configuration.outgoing === undefined,
    { withinMs: 30_000 },
  );
  return made;
}

function recordOf(kit: ClusterKit, id: NodeId) {
  return kit.founder.cluster.formation().nodes.get(id);
}

async function statementOf(
  kit: ClusterKit,
  transitions: readonly Transition[],
  reason = "an operator says so",
): Promise<ApprovalStatement> {
  const { head } = await pending(kit);
  return { clusterId: kit.genesis.clusterId, head, transitions, reason };
}

describe("where operators sign", () => {
  test("newcomers are let in and catch up, and the first shape waits for an approval, by any member's hand", async () => {
    const { kit, nodes } = await waiting("b", "c");
    expect(replicasOf(kit.founder.cluster.formation(), "voter")).toEqual([nodeId("a")]);
    expect(replicasOf(kit.founder.cluster.formation(), "learner")).toEqual([nodeId("b"), nodeId("c")].toSorted());
    const report = await pending(kit, nodes[1]);
    expect(report.waiting).toMatchObject([{ kind: "form", statement: { head: report.head } }]);
    expect(report.signed.height).toBe(0);
    const [shape] = report.waiting as [PendingApprovals["waiting"][number]];
    await approve(kit, shape.statement, "x", nodes[2]);
    await kit.clock.runUntil(() => replicasOf(kit.founder.cluster.formation(), "voter").length === 3, {
      withinMs: 30_000,
    });
    const { operatorSigned, head } = kit.founder.cluster.chainHeads() ?? {};
    expect(operatorSigned?.height).toBeGreaterThan(shape.statement.head.height);
    expect(operatorSigned?.height).toBeLessThanOrEqual(head?.height ?? 0);
    // It was decided by the reactor, and an operator's signature does not make it an order.
    expect(kit.founder.cluster.shiftsAbove(0).some(({ transition }) => transition.verb === "promote")).toBe(true);
  });

  test("a signature by another key, or for something else, is refused and changes nothing", async () => {
    const { kit } = await waiting("b", "c");
    const statement = await only(kit);
    const before = await kit.run(kit.founder.cluster.stateHash());
    const bad = (attempt: ApprovalStatement, by?: string): Promise<number> => approve(kit, attempt, by);
    await expect(bad(statement, "y")).rejects.toThrow(code("TOPOLOGY_NOT_AN_OPERATOR"));
    await expect(bad(statement, "a")).rejects.toThrow(code("TOPOLOGY_NOT_AN_OPERATOR"));
    const forged = { operator: nodeId("x"), signature: testAttestor("b").signApproval(statement).signature };
    const { cluster } = kit.founder;
    await expect(kit.run(cluster.approve(statement, forged, { timeoutMs }))).rejects.toThrow(
      code("CHAIN_OTHER_APPROVAL"),
    );
    const elsewhere = { ...statement, clusterId: "0".repeat(64) as ApprovalStatement["clusterId"] };
    await expect(bad(elsewhere)).rejects.toThrow(code("CHAIN_OTHER_APPROVAL"));
    const earlier = {
      ...statement,
      head: { ...statement.head, hash: "1".repeat(64) as ApprovalStatement["head"]["hash"] },
    };
    await expect(bad(earlier)).rejects.toThrow(code("CHAIN_OTHER_APPROVAL"));
    expect(await kit.run(cluster.stateHash())).toEqual(before);
    await kit.joined("d");
    await expect(bad(statement)).rejects.toThrow(code("CHAIN_OTHER_APPROVAL"));
  });

  test("a dead voter is replaced without anybody, and that awaits an operator's signature over the seal", async () => {
    const { kit, nodes } = await formed("b", "c", "d");
    const dead = nodes.find(({ name }) => name !== "a" && recordOf(kit, nodeId(name))?.replica === "voter") as TestNode;
    const signed = kit.founder.cluster.chainHeads()?.operatorSigned;
    await kit.run(dead.cluster.shutdown());
    kit.gossip.say(nodeId(dead.name), { status: "dead", evidence: "closed" });
    await kit.clock.runUntil(
      () =>
        replicasOf(kit.founder.cluster.formation(), "voter").length === 3 &&
        recordOf(kit, nodeId(dead.name))?.replica === "none",
      { withinMs: 60_000 },
    );
    expect(kit.founder.cluster.chainHeads()?.operatorSigned).toEqual(signed);
    const { head, waiting: shifts } = await pending(kit);
    expect(shifts).toEqual([]);
    const operator = testAttestor("x");
    const bytes = operator.encodeCosignature(operator.cosign(kit.genesis.clusterId, head));
    const stranger = testAttestor("b");
    const theirs = stranger.encodeCosignature(stranger.cosign(kit.genesis.clusterId, head));
    await expect(kit.run(kit.founder.cluster.cosign(theirs, { timeoutMs }))).rejects.toThrow(
      code("TOPOLOGY_NOT_AN_OPERATOR"),
    );
    await kit.run(kit.founder.cluster.cosign(bytes, { timeoutMs }));
    expect(kit.founder.cluster.chainHeads()?.operatorSigned).toEqual(head);
  });

  test("an order waits until an operator signs for it, and is forgotten where it is not possible any more", async () => {
    const { kit } = await formed("b", "c", "d");
    const [worker] = [...kit.founder.cluster.formation().nodes].find(([, { role }]) => role === "worker") ?? [];
    const node = worker as NodeId;
    const order = { verb: "cordon", node, dryRun: false } as const;
    for (let times = 0; times < 2; times += 1)
      await expect(kit.run(kit.founder.cluster.shift(order, { timeoutMs }))).rejects.toThrow(
        code("CLUSTER_AWAITS_OPERATOR"),
      );
    expect(recordOf(kit, node)?.flags).toEqual([]);
    const statement = await only(kit);
    expect(statement.transitions).toEqual([{ verb: "cordon", node }]);
    await approve(kit, statement);
    expect(recordOf(kit, node)?.flags).toEqual(["cordoned"]);
    expect((await pending(kit)).waiting).toEqual([]);
    await expect(kit.run(kit.founder.cluster.remove(node, { timeoutMs }))).rejects.toThrow(
      code("CLUSTER_AWAITS_OPERATOR"),
    );
    await approve(kit, await only(kit));
    expect(kit.founder.cluster.formation().tombstones.has(node)).toBe(true);
  });

  test("of two orders that both take a vote the second is refused once the only standby has the first one's seat", async () => {
    const { kit } = await formed("b", "c", "d");
    const [first, second] = replicasOf(kit.founder.cluster.formation(), "voter").filter((id) => id !== nodeId("a"));
    for (const node of [first, second] as NodeId[])
      await expect(
        kit.run(kit.founder.cluster.shift({ verb: "quarantine", node, dryRun: false }, { timeoutMs })),
      ).rejects.toThrow(code("CLUSTER_AWAITS_OPERATOR"));
    const waits = async (node: unknown): Promise<ApprovalStatement> =>
      (await pending(kit)).waiting.find(({ statement }) => statement.transitions[0]?.node === node)
        ?.statement as ApprovalStatement;
    await approve(kit, await waits(first));
    await kit.clock.runUntil(() => recordOf(kit, first as NodeId)?.replica === "none", { withinMs: 30_000 });
    await kit.clock.advanceAsync(5000);
    await expect(approve(kit, await waits(second))).rejects.toThrow(code("CLUSTER_SHIFT_REFUSED"));
    expect(recordOf(kit, second as NodeId)?.flags).toEqual([]);
  });

  test("an order outlives the leader that took it, and is approved of under the next one", async () => {
    const { kit, nodes } = await formed("b", "c", "d");
    const [node] = [...kit.founder.cluster.formation().nodes].find(([, { role }]) => role === "worker") ?? [];
    await expect(
      kit.run(kit.founder.cluster.shift({ verb: "cordon", node: node as NodeId, dryRun: false }, { timeoutMs })),
    ).rejects.toThrow(code("CLUSTER_AWAITS_OPERATOR"));
    const [first] = (await pending(kit)).waiting;
    const heir = nodes.find(({ name }) => name !== "a" && recordOf(kit, nodeId(name))?.replica === "voter") as TestNode;
    kit.log.elect(nodeId(heir.name));
    await kit.run(kit.founder.cluster.shutdown());
    await kit.clock.advanceAsync(2_000);
    const report = await pending(kit, heir);
    expect(report.waiting).toEqual([{ ...first, statement: { ...first?.statement, head: report.head } }]);
    await approve(kit, (report.waiting[0] as PendingApprovals["waiting"][number]).statement, "x", heir);
    expect(heir.cluster.formation().nodes.get(node as NodeId)?.flags).toEqual(["cordoned"]);
    expect(await pending(kit, heir)).toMatchObject({ waiting: [], dropped: [] });
  });

  test("an order that cannot be done any more, or that nobody signed in a week, is dropped, and it is said why", async () => {
    const { kit, nodes } = await formed("b", "c", "d");
    const [node] = [...kit.founder.cluster.formation().nodes].find(([, { role }]) => role === "worker") ?? [];
    const worker = node as NodeId;
    const awaits = code("CLUSTER_AWAITS_OPERATOR");
    const order = (verb: "cordon" | "quarantine"): Promise<unknown> =>
      kit.run(kit.founder.cluster.shift({ verb, node: worker, dryRun: false }, { timeoutMs }));
    await expect(order("cordon")).rejects.toThrow(awaits);
    await expect(order("quarantine")).rejects.toThrow(awaits);
    await approve(kit, await statementOf(kit, [{ verb: "quarantine", node: worker }]));
    await expect(order("quarantine")).resolves.toMatchObject({ transitions: [] });
    const waits = async (): Promise<readonly string[]> =>
      (await pending(kit)).waiting.map(({ statement }) => statement.reason.split(" ")[2] ?? "");
    expect(await waits()).toEqual(["cordon"]);
    await approve(kit, await statementOf(kit, [{ verb: "remove", node: worker }]));
    await kit.clock.advanceAsync(5_000);
    const { waiting: left, dropped } = await pending(kit);
    expect(left).toEqual([]);
    expect(dropped).toMatchObject([{ statement: { transitions: [{ verb: "cordon", node: worker }] } }]);
    expect(dropped[0]?.why).toMatch(/cordon/);
    const [other] = [...kit.founder.cluster.formation().nodes].find(([id]) => id !== nodeId("a")) ?? [];
    const late = { verb: "cordon", node: other as NodeId, dryRun: false } as const;
    await expect(kit.run(kit.founder.cluster.shift(late, { timeoutMs }))).rejects.toThrow(awaits);
    kit.founder.host.jumpWall(7 * 86_400_000 + 1);
    await kit.clock.advanceAsync(15_000);
    // Its clock alone says that it was a week.
    expect((await pending(kit)).waiting).toHaveLength(1);
    for (const { host, name } of nodes) if (name !== "a") host.jumpWall(7 * 86_400_000 + 1);
    await kit.clock.advanceAsync(15_000);
    expect((await pending(kit)).dropped.at(-1)?.why).toBe("no operator approved of it within seven days");
  });

  test("one approval covers a switch with all of its steps, and nothing after it", async () => {
    const { kit } = await formed("b", "c", "d", "e");
    const { attestation, ...strategy } = prescribedHomelab();
    const { electionTimeoutMs, snapshotIntervalEntries } = strategy.consensus;
    const wanted = {
      topology: quorum({ masters: 5, workers: true }),
      strategy: {
        ...strategy,
        name: "homelab-5node",
        consensus: { protocol: "raft", quorumSize: 5, electionTimeoutMs, snapshotIntervalEntries },
        attestation: { ...attestation, requireOperatorSignature: true },
      },
    } as const;
    await expect(kit.run(kit.founder.cluster.switchTo(wanted, { timeoutMs }))).rejects.toThrow(
      code("CLUSTER_AWAITS_OPERATOR"),
    );
    const statement = await only(kit);
    expect(statement.transitions).toMatchObject([{ verb: "declare" }]);
    await approve(kit, statement);
    await kit.clock.runUntil(() => kit.founder.cluster.formation().declared?.pending === undefined, {
      withinMs: 60_000,
    });
    expect(replicasOf(kit.founder.cluster.formation(), "voter")).toHaveLength(5);
    expect(kit.founder.cluster.declaration.topology.name).toBe(wanted.topology.name);
    const { signed, head } = await pending(kit);
    expect(signed.height).toBeLessThan(head.height);
    await kit.clock.advanceAsync(10_000);
    expect((await pending(kit)).waiting).toEqual([]);
    await expect(
      kit.run(kit.founder.cluster.shift({ verb: "cordon", node: nodeId("b"), dryRun: false }, { timeoutMs })),
    ).rejects.toThrow(code("CLUSTER_AWAITS_OPERATOR"));
  });

  test("operator keys are enrolled, exchanged and revoked by those in force, and wait where nobody signed", async () => {
    const { kit } = await formed("b", "c");
    const { cluster } = kit.founder;
    await expect(kit.run(cluster.orderKey("enrol", nodeId("y"), { timeoutMs }))).rejects.toThrow(
      code("CLUSTER_AWAITS_OPERATOR"),
    );
    await approve(kit, await only(kit));
    expect([...(cluster.formation().operators?.keys() ?? [])].toSorted()).toEqual(
      [nodeId("x"), nodeId("y")].toSorted(),
    );
    await approve(kit, await statementOf(kit, [{ verb: "revoke", node: nodeId("x") }]), "y");
    await expect(
      statementOf(kit, [{ verb: "enrol", node: nodeId("z") }]).then((made) => approve(kit, made, "x")),
    ).rejects.toThrow(code("TOPOLOGY_NOT_AN_OPERATOR"));
    await expect(kit.run(cluster.orderKey("revoke", nodeId("y"), { timeoutMs }))).rejects.toThrow(
      code("TOPOLOGY_ILLEGAL_TRANSITION"),
    );
    await expect(
      statementOf(kit, [{ verb: "revoke", node: nodeId("y") }]).then((made) => approve(kit, made, "y")),
    ).rejects.toThrow(code("TOPOLOGY_ILLEGAL_TRANSITION"));
  });

  test("requests that are none are refused", async () => {
    const { kit } = await waiting("b");
    const stranger = await kit.joined("c");
    await kit.run(stranger.cluster.shutdown());
    const transport = kit.network.transport(nodeId("c"));
    await kit.run(transport.start());
    const protocol = { name: "/revoada/approval/1", channel: "gossip" } as const;
    const requests = [
      { version: 2, type: "pending" },
      { version: 1, type: "sign" },
      { version: 1, type: "pending", more: 1 },
      { version: 1, type: "keys", verb: "enrol", key: "short" },
      {
        version: 1,
        type: "approve",
        statement: "text",
        approval: { operator: nodeId("x"), signature: new Uint8Array(64) },
      },
      {
        version: 1,
        type: "approve",
        statement: new Uint8Array(3),
        approval: { operator: nodeId("x"), signature: new Uint8Array(64) },
      },
    ];
    const before = await kit.run(kit.founder.cluster.stateHash());
    for (const request of requests)
      await expect(
        kit.run(transport.request(nodeId("a"), protocol, encode(request), { timeoutMs: 1000 })),
      ).rejects.toThrow();
    expect(await kit.run(kit.founder.cluster.stateHash())).toEqual(before);
    await kit.run(transport.shutdown());
  });
});

test("a cluster without operator keys has nothing pending", async () => {
  const kit = await ClusterKit.founded();
  await expect(pending(kit)).rejects.toThrow(code("CLUSTER_NO_OPERATORS"));
});

test("genesis names operator keys where the strategy asks for their signatures, and only there", async () => {
  const kit = new ClusterKit(["x"]);
  const other = new ClusterKit();
  Object.assign(kit, { genesis: other.genesis });
  await expect(kit.run(kit.founder.cluster.start())).rejects.toThrow(code("CLUSTER_OPERATOR_KEYS"));
});
