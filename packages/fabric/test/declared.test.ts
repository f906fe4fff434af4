import {
  applyFormationCommand,
  applyTransition,
  genesisFormation,
  maxDeclarationBytes,
  maxSwitchMs,
  type ClusterId,
  type Formation,
  type FormationCommand,
  type Hash,
  type NodeId,
  type StoreId,
  type Term,
  type Transition,
} from "@revoada/fabric";
import { describe, expect, test } from "vitest";

const founder = "f".repeat(64) as NodeId;
const stranger = "e".repeat(64) as NodeId;
const [first, second, third] = [Uint8Array.of(1), Uint8Array.of(2), Uint8Array.of(3)] as const;

const facts = { id: founder, storeId: "5".repeat(32) as StoreId, zone: "z", version: "1", createdMs: 0 };

function founded(): Formation {
  return genesisFormation({ ...facts, declaration: first });
}

function declare(declaration: Uint8Array, more: Partial<Extract<Transition, { verb: "declare" }>> = {}): Transition {
  return { verb: "declare", node: founder, declaration, withinMs: 60_000, ...more };
}

const confirm: Transition = { verb: "confirm", node: founder };
const revert: Transition = { verb: "revert", node: founder };

function after(formation: Formation, ...transitions: readonly Transition[]): Formation {
  return transitions.reduce((current, transition) => applyTransition(current, transition, 5), formation);
}

const illegal = expect.objectContaining({ code: "TOPOLOGY_ILLEGAL_TRANSITION" });

describe("what a formation is held to", () => {
  test("is the declaration of genesis at first, and nothing where genesis has none", () => {
    expect(founded().declared).toEqual({ declaration: first });
    expect(genesisFormation(facts).declared).toBeUndefined();
  });

  test("changes with a switch, one generation higher, and no node's record with it", () => {
    const before = founded();
    const declared = after(before, declare(second));
    expect(declared).toEqual({
      ...before,
      generation: 1,
      declared: { declaration: second, pending: { previous: first, withinMs: 60_000 } },
    });
    expect(after(declared, confirm).declared).toEqual({ declaration: second });
    expect(after(declared, revert).declared).toEqual({ declaration: first });
    expect(after(declared, confirm, declare(third), revert).declared).toEqual({ declaration: second });
  });

  test("stays where it is declared already", () => {
    const before = founded();
    expect(after(before, declare(first))).toBe(before);
  });

  test("is kept by every other transition", () => {
    const declared = after(founded(), declare(second));
    const admission = { storeId: "6".repeat(32) as StoreId, generation: 1, incarnation: 0, zone: "", version: "" };
    const admitted = after(declared, { verb: "admit", node: stranger, admission }, { verb: "remove", node: stranger });
    expect(admitted.declared).toBe(declared.declared);
  });

  test("is switched once at a time", () => {
    const declared = after(founded(), declare(second));
    expect(() => after(declared, declare(third))).toThrow(illegal);
    expect(() => after(declared, declare(second))).toThrow(illegal);
    for (const end of [confirm, revert]) {
      expect(() => after(founded(), end)).toThrow(illegal);
      expect(() => after(declared, end, end)).toThrow(illegal);
    }
  });

  test("is not switched beyond its bounds, by a stranger, or where there was nothing to switch from", () => {
    const wrong: readonly Transition[] = [
      declare(new Uint8Array(0)),
      declare(new Uint8Array(maxDeclarationBytes + 1)),
      declare("declaration" as unknown as Uint8Array),
      declare(second, { withinMs: 0 }),
      declare(second, { withinMs: 1.5 }),
      declare(second, { withinMs: maxSwitchMs + 1 }),
      declare(second, { node: stranger }),
    ];
    for (const transition of wrong) expect(() => after(founded(), transition)).toThrow(illegal);
    const { declared: _declared, ...bare } = founded();
    expect(() => after(bare, declare(second))).toThrow(illegal);
    expect(after(founded(), declare(new Uint8Array(maxDeclarationBytes), { withinMs: maxSwitchMs })).generation).toBe(
      1,
    );
  });

  test("goes through commands like any shift", () => {
    const command: FormationCommand = {
      version: 1,
      clusterId: "c".repeat(64) as ClusterId,
      baseGeneration: founded().generation,
      transitions: [declare(first), declare(second), confirm],
      reason: "a test says so",
      decisionHash: "0".repeat(64) as Hash,
      timeMs: 1,
      proposer: founder,
      term: 1 as Term,
    };
    expect(applyFormationCommand(founded(), command).map(({ ordinal }) => ordinal)).toEqual([1, 2]);
  });
});
