import type { ChainHead, Transition } from "@revoada/fabric";
import { describe, expect, test } from "vitest";
import { nodeId } from "./doubles/keys.ts";
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
