import { ClusterDeclaration } from "@revoada/cluster";
import { prescribedHomelab, type ChainHead, type Hash, type Transition } from "@revoada/fabric";
import { quorum } from "@revoada/topology";
import { encode } from "cborg";
import { describe, expect, test } from "vitest";
import { encodeDropOrder, encodeKeepOrder, maxOrders } from "../src/machine/orders.ts";
import { rawFace } from "./doubles/cluster-kit.ts";
import { nodeId, storeId } from "./doubles/keys.ts";
import { admit, MachineKit, testGenesis, tokenRecord, type Outcome } from "./doubles/machine-kit.ts";
import { testAttestor } from "./doubles/test-attestor.ts";
import { TestStore } from "./doubles/test-store.ts";

const forming: readonly Transition[] = [
  { verb: "reassign", node: nodeId("a"), role: "master" },
  { verb: "promote", node: nodeId("b"), role: "master", replica: "voter" },
  { verb: "promote", node: nodeId("c"), role: "master", replica: "voter" },
];
const demotion: readonly Transition[] = [{ verb: "demote", node: nodeId("c") }];
const reason = "a test says so";

/** Founded with the operator key x; b, c and d are let in and sealed. */
function founded(): MachineKit {
  const founder = testAttestor("a");
  const kit = new MachineKit(new TestStore(), testGenesis(founder, 7, [nodeId("x")]));
  kit.send("genesis", kit.genesis.bytes);
  const { tokenId } = tokenRecord(1);
  kit.createToken(tokenRecord(1, { usesLeft: 9 }));
  kit.shift(["b", "c", "d"].map((name) => admit(name, { tokenId })));
  kit.seal(["a"]);
  return kit;
}

function approve(
  kit: MachineKit,
  by: string,
  transitions: readonly Transition[],
  more: { readonly head?: ChainHead; readonly reason?: string; readonly signedBy?: string } = {},
): Outcome {
  const { clusterId } = kit.genesis;
  const signed = testAttestor(more.signedBy ?? by).signApproval({
    clusterId,
    head: kit.state.head,
    transitions,
    reason,
    ...more,
  });
  return kit.shift(transitions, { approval: { ...signed, operator: nodeId(by) } });
}

function cosign(kit: MachineKit, by: string, head = kit.state.head, { clusterId } = kit.genesis): Outcome {
  const operator = testAttestor(by);
  return kit.send("cosignature", operator.encodeCosignature(operator.cosign(clusterId, head)));
}

/** Three masters that vote, approved of by x and sealed. */
function three(): MachineKit {
  const kit = founded();
  expect(approve(kit, "x", forming)).toMatchObject({ ok: true });
  expect(kit.seal(["a"])).toMatchObject({ ok: true });
  return kit;
}

/** Sends what must be refused, and proves that nothing replicated has changed by it. */
async function refused(kit: MachineKit, code: string, send: () => Outcome): Promise<void> {
  const [before, hash] = [kit.state, (await kit.machine.stateHash()).hash];
  expect(send()).toMatchObject({ ok: false, code });
  expect(kit.state).toBe(before);
  expect((await kit.machine.stateHash()).hash).toBe(hash);
}

describe("in a cluster that was founded with an operator key", () => {
  test("an approved shift is applied, and vouches for all that is below it", () => {
    const kit = founded();
    expect(kit.state.operatorSigned.height).toBe(0);
    expect(approve(kit, "x", forming)).toMatchObject({ ok: true });
    expect(kit.state.operatorSigned).toEqual(kit.state.head);
  });

  test("a shift that no failure forces changes nothing without an operator in force, for this head and this shift", async () => {
    const kit = three();
    await refused(kit, "TOPOLOGY_UNAPPROVED_SHIFT", () => kit.shift(demotion));
    for (const stranger of ["y", "a", "b"])
      await refused(kit, "TOPOLOGY_NOT_AN_OPERATOR", () => approve(kit, stranger, demotion));
    await refused(kit, "CHAIN_OTHER_APPROVAL", () => approve(kit, "x", demotion, { signedBy: "b" }));
    await refused(kit, "CHAIN_OTHER_APPROVAL", () => approve(kit, "x", demotion, { reason: "another" }));
    const { head } = kit.state;
    await refused(kit, "CHAIN_OTHER_APPROVAL", () =>
      approve(kit, "x", demotion, { head: { ...head, height: head.height - 1 } }),
    );
    kit.shift([{ verb: "cordon", node: nodeId("d") }]);
    await refused(kit, "CHAIN_OTHER_APPROVAL", () => approve(kit, "x", demotion, { head }));
    expect(approve(kit, "x", demotion)).toMatchObject({ ok: true });
  });

  test("what a failure forces goes on, awaits the operator, and is vouched for by a signature over a later seal", async () => {
    const kit = three();
    const signed = kit.state.operatorSigned;
    kit.shift([{ verb: "evict", node: nodeId("c") }]);
    const swapped = kit.shift([
      { verb: "promote", node: nodeId("d"), role: "master", replica: "voter" },
      { verb: "seat", node: nodeId("c"), replica: "none" },
    ]);
    expect(swapped).toMatchObject({ ok: true });
    expect(kit.state.operatorSigned).toBe(signed);
    await refused(kit, "CHAIN_OTHER_HEAD", () => cosign(kit, "x"));
    kit.seal(["a", "b"]);
    expect(kit.state.sealing).toEqual({ voters: ["a", "b", "d"].map(nodeId).toSorted() });
    await refused(kit, "TOPOLOGY_NOT_AN_OPERATOR", () => cosign(kit, "b"));
    await refused(kit, "CHAIN_INVALID", () => cosign(kit, "x", kit.state.head, testGenesis(kit.founder, 8)));
    await refused(kit, "CHAIN_OTHER_HEAD", () =>
      cosign(kit, "x", { ...kit.state.head, height: kit.state.head.height - 1 }),
    );
    expect(cosign(kit, "x")).toMatchObject({ ok: true, height: kit.state.head.height });
    expect(kit.state.operatorSigned).toEqual(kit.state.sealed);
    await refused(kit, "CHAIN_ALREADY_SIGNED", () => cosign(kit, "x"));
    expect([...kit.store.range("chain/cosignatures")]).toHaveLength(1);
  });

  test("a key counts from where it was enrolled, until it is revoked", async () => {
    const kit = three();
    kit.shift([{ verb: "cordon", node: nodeId("d") }]);
    kit.seal(["a", "b"]);
    const early = kit.state.head;
    expect(approve(kit, "x", [{ verb: "enrol", node: nodeId("y") }])).toMatchObject({ ok: true });
    kit.shift([{ verb: "evict", node: nodeId("d") }]);
    kit.seal(["a", "b"]);
    await refused(kit, "TOPOLOGY_NOT_AN_OPERATOR", () => cosign(kit, "y", early));
    expect(cosign(kit, "y")).toMatchObject({ ok: true });
    expect(approve(kit, "y", [{ verb: "revoke", node: nodeId("x") }])).toMatchObject({ ok: true });
    kit.shift([{ verb: "evict", node: nodeId("c") }]);
    kit.seal(["a", "b"]);
    await refused(kit, "TOPOLOGY_NOT_AN_OPERATOR", () => cosign(kit, "x"));
    await refused(kit, "TOPOLOGY_NOT_AN_OPERATOR", () => approve(kit, "x", [{ verb: "demote", node: nodeId("b") }]));
    await refused(kit, "TOPOLOGY_ILLEGAL_TRANSITION", () => approve(kit, "y", [{ verb: "revoke", node: nodeId("y") }]));
    await refused(kit, "TOPOLOGY_ILLEGAL_TRANSITION", () => approve(kit, "y", [{ verb: "enrol", node: nodeId("x") }]));
    await refused(kit, "TOPOLOGY_UNAPPROVED_SHIFT", () => kit.shift([{ verb: "enrol", node: nodeId("z") }]));
  });

  test("keys and what they signed are there after a start, and in a snapshot", async () => {
    const kit = three();
    approve(kit, "x", [{ verb: "enrol", node: nodeId("y") }]);
    kit.shift([{ verb: "evict", node: nodeId("c") }]);
    kit.seal(["a", "b"]);
    cosign(kit, "y");
    expect(kit.reopened().state).toEqual(kit.state);
    const snapshot = await kit.machine.snapshot();
    const restored = new MachineKit(new TestStore(), kit.genesis);
    await restored.machine.restore(snapshot.position, snapshot.chunks());
    snapshot.dispose();
    expect(restored.state).toEqual(kit.state);
    expect((await restored.machine.stateHash()).hash).toBe((await kit.machine.stateHash()).hash);
  });
});

test("without operator keys in genesis nobody approves, signs heads or is enrolled, and nothing waits", async () => {
  const kit = MachineKit.founded();
  kit.formThree();
  kit.seal(["a"]);
  await refused(kit, "TOPOLOGY_NOT_AN_OPERATOR", () => approve(kit, "x", demotion));
  await refused(kit, "TOPOLOGY_NOT_AN_OPERATOR", () => cosign(kit, "x"));
  await refused(kit, "TOPOLOGY_ILLEGAL_TRANSITION", () => kit.shift([{ verb: "enrol", node: nodeId("x") }]));
  expect(kit.shift(demotion)).toMatchObject({ ok: true });
});

describe("an operator's order that waits", () => {
  const order = (
    kit: MachineKit,
    transitions: readonly Transition[],
    more: { readonly term?: number; readonly timeMs?: number } = {},
  ): Outcome =>
    kit.send(
      "order",
      encodeKeepOrder(kit.founder, {
        clusterId: kit.genesis.clusterId,
        transitions,
        reason,
        term: kit.term,
        timeMs: 5,
        ...more,
      }),
    );
  const drop = (kit: MachineKit, id: string, why = "a test says so"): Outcome =>
    kit.send("order", encodeDropOrder({ id: id as Hash, why, term: kit.term, timeMs: 6 }));

  test("is there once, again after a restart, and goes with the approval of it", () => {
    const kit = three();
    expect(order(kit, demotion)).toMatchObject({ ok: true });
    const { orders } = kit.state;
    expect(orders.waiting).toHaveLength(1);
    expect(order(kit, demotion)).toMatchObject({ ok: true });
    expect(kit.state.orders).toBe(orders);
    expect(kit.reopened().state.orders).toEqual(orders);
    expect(kit.state.operatorSigned).toEqual(kit.state.head);
    expect(approve(kit, "x", demotion)).toMatchObject({ ok: true });
    expect(kit.state.orders).toEqual({ waiting: [], dropped: [] });
    expect(kit.reopened().state.orders).toEqual(kit.state.orders);
  });

  test("is dropped with a reason, of which the last sixteen are kept, and those who are not there are passed over", () => {
    const kit = three();
    for (let count = 0; count < 20; count += 1) {
      expect(order(kit, demotion)).toMatchObject({ ok: true });
      expect(drop(kit, kit.state.orders.waiting[0]?.id ?? "", `reason ${count}`)).toMatchObject({ ok: true });
    }
    expect(kit.state.orders.waiting).toEqual([]);
    expect(kit.state.orders.dropped.map(({ why }) => why)).toEqual(
      Array.from({ length: 16 }, (_, count) => `reason ${count + 4}`),
    );
    const { orders } = kit.state;
    expect(drop(kit, "0".repeat(64))).toMatchObject({ ok: true });
    expect(kit.state.orders).toBe(orders);
  });

  test("is refused of another term or cluster, where it is not possible, beyond the bounds, and where nobody signs", async () => {
    const kit = three();
    await refused(kit, "CLUSTER_STALE_TERM", () => order(kit, demotion, { term: kit.term + 1 }));
    await refused(kit, "CLUSTER_TIME_REFUSED", () => order(kit, demotion, { timeMs: Number.MAX_SAFE_INTEGER }));
    await refused(kit, "TOPOLOGY_ILLEGAL_TRANSITION", () => order(kit, [{ verb: "restore", node: nodeId("q") }]));
    await refused(kit, "FABRIC_INVALID_VALUE", () => kit.send("order", Uint8Array.of(0xa0)));
    await refused(kit, "CHAIN_INVALID", () =>
      kit.send("order", encode({ version: 1, type: "keep", term: kit.term, timeMs: 1, statement: Uint8Array.of(1) })),
    );
    const other = { ...kit.genesis, clusterId: "0".repeat(64) as typeof kit.genesis.clusterId };
    await refused(kit, "CLUSTER_OTHER_COMMAND", () =>
      kit.send(
        "order",
        encodeKeepOrder(kit.founder, {
          clusterId: other.clusterId,
          transitions: demotion,
          reason,
          term: kit.term,
          timeMs: 1,
        }),
      ),
    );
    for (let count = 0; count < maxOrders; count += 1)
      expect(order(kit, [{ verb: "enrol", node: nodeId(`operator ${count}`) }])).toMatchObject({ ok: true });
    await refused(kit, "CLUSTER_AWAITS_OPERATOR", () => order(kit, demotion));
    const without = MachineKit.founded();
    await refused(without, "CLUSTER_NO_OPERATORS", () => order(without, demotion));
  });
});

describe("a switch that an operator approved of", () => {
  const declarationOf = (quorumSize: number): Uint8Array => {
    const { attestation, consensus, ...strategy } = prescribedHomelab();
    const { electionTimeoutMs, snapshotIntervalEntries } = consensus;
    return ClusterDeclaration.create(
      {
        ...strategy,
        name: `homelab-${quorumSize}node`,
        consensus: { protocol: "raft", quorumSize, electionTimeoutMs, snapshotIntervalEntries },
        attestation: { ...attestation, requireOperatorSignature: true },
      },
      rawFace,
      quorum({ masters: quorumSize, workers: true }),
    ).encode();
  };

  test("lets seats be dealt towards what was declared, and in no other direction", async () => {
    const founder = testAttestor("a");
    const genesis = founder.createGenesis({
      nonce: new Uint8Array(32),
      createdMs: 1,
      declaration: declarationOf(3),
      storeId: storeId("a"),
      zone: "zone",
      version: "1",
      operators: [nodeId("x")],
    });
    const kit = new MachineKit(new TestStore(), genesis);
    kit.send("genesis", genesis.bytes);
    const { tokenId } = tokenRecord(1);
    kit.createToken(tokenRecord(1, { usesLeft: 9, expiresMs: 1_000_000_000 }));
    kit.shift(["b", "c", "d", "e", "f", "g"].map((name) => admit(name, { tokenId })));
    kit.seal(["a"]);
    expect(approve(kit, "x", forming)).toMatchObject({ ok: true });
    kit.seal(["a"]);
    const toFive = { verb: "declare", node: nodeId("a"), declaration: declarationOf(5), withinMs: 1000 } as const;
    await refused(kit, "TOPOLOGY_UNAPPROVED_SHIFT", () => kit.shift([toFive]));
    expect(approve(kit, "x", [toFive])).toMatchObject({ ok: true });
    const masters = (...names: readonly string[]): readonly Transition[] =>
      names.map((name) => ({ verb: "promote", node: nodeId(name), role: "master", replica: "voter" }));
    const fewer = ["b", "c"].map((name) => ({ verb: "seat", node: nodeId(name), replica: "learner" }) as const);
    await refused(kit, "TOPOLOGY_UNAPPROVED_SHIFT", () => kit.shift(fewer));
    await refused(kit, "TOPOLOGY_UNAPPROVED_SHIFT", () => kit.shift(masters("d", "e", "f", "g")));
    expect(kit.shift(masters("d", "e"))).toMatchObject({ ok: true });
    expect(kit.state.operatorSigned.height).toBeLessThan(kit.state.head.height);
  });
});
