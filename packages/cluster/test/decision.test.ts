import { encode } from "cborg";
import type { Hash, Transition } from "@revoada/fabric";
import { describe, expect, test } from "vitest";
import { encodeDecided, encodeDecision, keepDecision, decisionOf } from "../src/machine/decision.ts";
import { trees } from "../src/machine/trees.ts";
import { digest, nodeId } from "./doubles/keys.ts";
import { MachineKit } from "./doubles/machine-kit.ts";
import { testAttestor } from "./doubles/test-attestor.ts";

const cordon: readonly Transition[] = [{ verb: "cordon", node: nodeId("a") }];
const hash = (bytes: Uint8Array): Hash => testAttestor("a").hash(bytes);
const decision = encodeDecision({
  kind: "order",
  transitions: cordon,
  reason: "for a test",
  inputs: { lag: 3, load: 0.5, calm: true, to: nodeId("a") },
});

describe("a decision", () => {
  test("is kept with the command that carries it out, and is found by what the chain holds", () => {
    const kit = MachineKit.founded();
    const baseGeneration = kit.state.formation.generation;
    const command = kit.command(cordon, { decisionHash: hash(decision) });
    expect(kit.send("decided", encodeDecided(command, decision))).toMatchObject({ ok: true });
    const found = decisionOf(kit.store, { baseGeneration, decisionHash: hash(decision) }, hash);
    expect(found).toEqual({
      kind: "order",
      reason: "for a test",
      inputs: { lag: 3, load: "0.5", calm: true, to: nodeId("a") },
    });
    expect(decisionOf(kit.store, { baseGeneration, decisionHash: digest("another") as Hash }, hash)).toBeUndefined();
  });

  test("that the command was not signed for is not kept, and the command holds", () => {
    const kit = MachineKit.founded();
    const command = kit.command(cordon, { decisionHash: digest("another") as Hash });
    expect(kit.send("decided", encodeDecided(command, decision))).toMatchObject({ ok: true });
    expect([...kit.store.range(trees.decisions)]).toEqual([]);
    expect(kit.state.formation.nodes.get(nodeId("a"))?.flags).toEqual(["cordoned"]);
  });

  test("of a command that is refused is not kept", () => {
    const kit = MachineKit.founded();
    const command = kit.command(cordon, { decisionHash: hash(decision), baseGeneration: 9 as never });
    expect(kit.send("decided", encodeDecided(command, decision))).toMatchObject({ ok: false });
    expect([...kit.store.range(trees.decisions)]).toEqual([]);
  });

  test.each([
    ["nothing", new Uint8Array()],
    ["no map", encode(7)],
    ["no command", encode({ decision })],
    ["a decision that is too long", encode({ command: decision, decision: new Uint8Array(16_385) })],
    ["more than it should", encode({ command: decision, decision, more: 1 })],
  ])("that comes as %s is refused and changes nothing", (_, body) => {
    const kit = MachineKit.founded();
    const before = kit.store.contents();
    expect(kit.send("decided", body)).toMatchObject({ ok: false, code: "FABRIC_INVALID_VALUE" });
    expect([...kit.store.range(trees.decisions)]).toEqual([]);
    expect(kit.state.formation.generation).toBe(0);
    expect(Object.keys(kit.store.contents())).toEqual(Object.keys(before));
  });

  test("goes once the formation is 4,096 generations on", () => {
    const kit = MachineKit.founded();
    const keep = (generation: number): void => {
      kit.store.transact((transaction) => keepDecision(transaction, generation, decision));
    };
    for (const generation of [1, 2, 4097]) keep(generation);
    expect([...kit.store.range(trees.decisions)]).toHaveLength(3);
    keep(4098);
    expect([...kit.store.range(trees.decisions)]).toHaveLength(3);
  });
});
