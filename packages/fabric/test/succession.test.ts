import {
  applyFormationCommand,
  genesisFormation,
  isRecovery,
  mayVote,
  replicasOf,
  type Formation,
  type FormationCommand,
  type NodeId,
  type Transition,
} from "@revoada/fabric";
import { describe, expect, test } from "vitest";
import { admit, apply, commandOn, storeOf } from "./support/formations.ts";

const [founder, b, c, next, later] = ["a", "b", "c", "d", "e"].map((letter) => letter.repeat(64)) as [
  NodeId,
  NodeId,
  NodeId,
  NodeId,
  NodeId,
];
const illegal = expect.objectContaining({ code: "TOPOLOGY_ILLEGAL_TRANSITION" });
const signature = new Uint8Array(64);

/** Three masters that vote. */
function three(): Formation {
  const genesis = genesisFormation({ id: founder, storeId: storeOf(founder), zone: "", version: "1", createdMs: 0 });
  return apply(
    genesis,
    admit(b),
    admit(c),
    { verb: "reassign", node: founder, role: "master" },
    { verb: "promote", node: b, role: "master", replica: "voter" },
    { verb: "promote", node: c, role: "master", replica: "voter" },
  );
}

function command(formation: Formation, proposer: NodeId, ...transitions: readonly Transition[]): FormationCommand {
  return commandOn(formation, proposer, transitions);
}

const succeed: Transition = { verb: "succeed", node: next, predecessor: b, signature };

describe("the next key of a node", () => {
  test("enters over the same disk, without a vote, and holds nothing of its own", () => {
    const named = apply(three(), succeed);
    const record = named.nodes.get(next);
    expect(record).toMatchObject({ state: "standby", replica: "learner", storeId: storeOf(b), succeeds: b });
    expect(record?.role).toBeUndefined();
    expect(replicasOf(named, "voter")).toEqual([founder, b, c]);
    expect(() => apply(named, { verb: "promote", node: next, role: "master" })).toThrow(illegal);
    expect(() => apply(named, { verb: "promote", node: next, role: "worker", replica: "voter" })).toThrow(illegal);
    expect(apply(named, succeed)).toBe(named);
  });

  test("takes place, role and vote in one step, and the key before it is gone for ever", () => {
    const before = apply(three(), { verb: "cordon", node: b }, succeed);
    const after = apply(before, { verb: "inherit", node: next });
    expect(after.generation).toBe(before.generation + 1);
    const expected = { state: "active", role: "master", replica: "voter", storeId: storeOf(b), flags: ["cordoned"] };
    expect(after.nodes.get(next)).toMatchObject(expected);
    expect(after.nodes.get(next)?.succeeds).toBeUndefined();
    expect(after.nodes.has(b)).toBe(false);
    expect(after.tombstones).toEqual(new Set([b]));
    expect(replicasOf(after, "voter")).toEqual([founder, c, next].toSorted());
    expect(() => apply(after, admit(b))).toThrow(illegal);
    expect(() => apply(after, { verb: "inherit", node: next })).toThrow(illegal);
  });

  test("lives where the key before it was taken for dead meanwhile, and keeps the seat of a voter", () => {
    const after = apply(three(), succeed, { verb: "evict", node: b }, { verb: "inherit", node: next });
    expect(after.nodes.get(next)).toMatchObject({ state: "standby", replica: "voter" });
    const lostSeat: readonly Transition[] = [succeed, { verb: "seat", node: b, replica: "none" }];
    const without = apply(three(), ...lostSeat, { verb: "inherit", node: next });
    expect(without.nodes.get(next)?.replica).toBe("learner");
  });

  test("leaves with the node whose place it waits for, for ever where that one is removed", () => {
    const removed = apply(three(), succeed, { verb: "seat", node: b, replica: "none" }, { verb: "remove", node: b });
    expect(removed.nodes.has(next)).toBe(false);
    expect(removed.tombstones).toEqual(new Set([b, next]));
    const worker = apply(three(), admit(later), { ...succeed, predecessor: later });
    const gone = apply(worker, { verb: "depart", node: later }, { verb: "forget", node: later });
    expect([gone.nodes.has(next), gone.tombstones.size]).toEqual([false, 0]);
  });

  test.each<[string, readonly Transition[], Transition]>([
    ["nobody has the place", [], { ...succeed, predecessor: later }],
    ["it is another member", [admit(next)], succeed],
    ["it was removed", [admit(next), { verb: "remove", node: next }], succeed],
    ["the place has a successor already", [succeed], { ...succeed, node: later }],
    ["its own place is not its own yet", [succeed], { ...succeed, node: later, predecessor: next }],
    ["the node is on its way out", [{ verb: "depart", node: b }], succeed],
    ["the node is taken for dead", [{ verb: "evict", node: b }], succeed],
    ["the node is quarantined", [{ verb: "quarantine", node: b }], succeed],
    ["nobody named it", [admit(next)], { verb: "inherit", node: next }],
    ["it is not there", [], { verb: "inherit", node: next }],
    ["it is taken for dead", [succeed, { verb: "evict", node: next }], { verb: "inherit", node: next }],
  ])("is refused where %s", (_why, before, transition) => {
    const formation = apply(three(), ...before);
    expect(() => apply(formation, transition)).toThrow(illegal);
  });
});

describe("a limited node", () => {
  test.each(["worker", "observer"] as const)("is %s and nothing else, and never votes", (role) => {
    const admitted = apply(three(), admit(later, { limitedTo: role }));
    expect(admitted.nodes.get(later)?.limitedTo).toBe(role);
    const other = role === "worker" ? "observer" : "worker";
    for (const wrong of ["master", "arbiter", other] as const)
      expect(() => apply(admitted, { verb: "promote", node: later, role: wrong })).toThrow(illegal);
    const active = apply(admitted, { verb: "promote", node: later, role, replica: "learner" });
    expect(() => apply(active, { verb: "seat", node: later, replica: "voter" })).toThrow(illegal);
    expect(() => apply(active, { verb: "reassign", node: later, role: "master" })).toThrow(illegal);
    const record = active.nodes.get(later);
    expect(record !== undefined && mayVote(record)).toBe(false);
  });

  test("stays so through death and return, and hands its limit on with its place", () => {
    const gone = apply(three(), admit(later, { limitedTo: "worker" }), { verb: "evict", node: later });
    const facts = { storeId: storeOf(later), generation: 2, incarnation: 0, zone: "", version: "1" };
    const back = apply(gone, { verb: "admit", node: later, admission: facts });
    expect(back.nodes.get(later)?.limitedTo).toBe("worker");
    const passed = apply(back, { ...succeed, predecessor: later }, { verb: "inherit", node: next });
    expect(passed.nodes.get(next)).toMatchObject({ limitedTo: "worker", replica: "none" });
  });
});

describe("a recovery", () => {
  test("leaves one master that votes, and everybody else gone for ever", () => {
    const before = apply(three(), admit(later), { verb: "seat", node: later, replica: "learner" });
    for (const survivor of [b, later]) {
      const after = apply(before, { verb: "recover", node: survivor });
      expect([...after.nodes.keys()]).toEqual([survivor]);
      expect(after.nodes.get(survivor)).toMatchObject({ state: "active", role: "master", replica: "voter" });
      expect(after.tombstones.size).toBe(3);
      expect(after.generation).toBe(before.generation + 1);
      expect(apply(after, { verb: "recover", node: survivor })).toBe(after);
    }
  });

  test("is refused to whoever holds no copy of the log", () => {
    expect(() => apply(three(), admit(later), { verb: "recover", node: later })).toThrow(illegal);
    expect(() => apply(three(), { verb: "recover", node: later })).toThrow(illegal);
  });

  test("is proposed by the survivor itself, alone in its command", () => {
    const refused = expect.objectContaining({ code: "TOPOLOGY_COMMAND_REFUSED" });
    const formation = three();
    const recover: Transition = { verb: "recover", node: b };
    expect(isRecovery(command(formation, b, recover))).toBe(true);
    expect(applyFormationCommand(formation, command(formation, b, recover))).toHaveLength(1);
    expect(() => applyFormationCommand(formation, command(formation, c, recover))).toThrow(refused);
    const more: Transition = { verb: "cordon", node: b };
    expect(() => applyFormationCommand(formation, command(formation, b, more, recover))).toThrow(refused);
    expect(() => applyFormationCommand(formation, command(formation, b, recover, more))).toThrow(refused);
  });
});
