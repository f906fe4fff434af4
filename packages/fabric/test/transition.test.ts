import {
  applyFormationCommand,
  applyTransition,
  type ClusterId,
  type Formation,
  type FormationCommand,
  type Generation,
  genesisFormation,
  type Hash,
  isFabricError,
  maxTransitionsPerCommand,
  type NodeId,
  type NodeRecord,
  type ReplicaKind,
  replicasOf,
  type Role,
  type StoreId,
  type Term,
  type Transition,
} from "@revoada/fabric";
import fc from "fast-check";
import { describe, expect, test } from "vitest";

const node = "a".repeat(64) as NodeId;
const founder = "f".repeat(64) as NodeId;
const store = "5".repeat(32) as StoreId;
const shiftMs = 5000;

const admission = { storeId: store, generation: 7, incarnation: 3, zone: "z", version: "1.0.0" };

function record(part: Partial<NodeRecord> & Pick<NodeRecord, "state">): NodeRecord {
  return { replica: "none", flags: [], lastShiftMs: 1, ...admission, ...part };
}

/** A formation with the founder as its voter, and the node where it has a record. */
function formationWith(current?: NodeRecord): Formation {
  const genesis = genesisFormation({ id: founder, storeId: store, zone: "z", version: "1.0.0", createdMs: 0 });
  const nodes = new Map(genesis.nodes);
  if (current !== undefined) nodes.set(node, current);
  return { ...genesis, generation: 10 as Generation, nodes };
}

/** The states of the table's rows; the demoting, departing and failed ones in both ways of voting. */
const rows = {
  unknown: undefined,
  standby: record({ state: "standby" }),
  "active(worker)": record({ state: "active", role: "worker" }),
  "active(observer)": record({ state: "active", role: "observer" }),
  "active(bootstrap)": record({ state: "active", role: "bootstrap" }),
  "active(master)": record({ state: "active", role: "master", replica: "voter" }),
  "active(arbiter)": record({ state: "active", role: "arbiter", replica: "voter" }),
  demoting: record({ state: "demoting", role: "master" }),
  "demoting, voting": record({ state: "demoting", role: "master", replica: "voter" }),
  departing: record({ state: "departing" }),
  "departing, voting": record({ state: "departing", replica: "voter" }),
  failed: record({ state: "failed" }),
  "failed, voting": record({ state: "failed", replica: "voter" }),
} as const;

const columns = {
  admit: { verb: "admit", node, admission: { ...admission, generation: 8 } },
  "promote(worker)": { verb: "promote", node, role: "worker" },
  "promote(master)": { verb: "promote", node, role: "master" },
  "reassign(worker)": { verb: "reassign", node, role: "worker" },
  "reassign(master)": { verb: "reassign", node, role: "master" },
  demote: { verb: "demote", node },
  settle: { verb: "settle", node },
  depart: { verb: "depart", node },
  evict: { verb: "evict", node },
  forget: { verb: "forget", node },
  remove: { verb: "remove", node },
  cordon: { verb: "cordon", node },
  quarantine: { verb: "quarantine", node },
  restore: { verb: "restore", node },
} as const satisfies Readonly<Record<string, Transition>>;

type Column = keyof typeof columns;

/** What a cell says: the next state, `–` for no change, `removed`, `flag`; what is not listed is illegal. */
const table: Readonly<Record<keyof typeof rows, Partial<Record<Column, string>>>> = {
  unknown: { admit: "standby" },
  standby: {
    admit: "–",
    "promote(worker)": "active(worker)",
    "promote(master)": "active(master)",
    depart: "departing",
    evict: "failed",
    remove: "removed",
    cordon: "flag",
    quarantine: "flag",
    restore: "–",
  },
  "active(worker)": {
    admit: "–",
    "promote(worker)": "–",
    "reassign(worker)": "–",
    "reassign(master)": "active(master)",
    demote: "demoting(worker)",
    depart: "departing",
    evict: "failed",
    remove: "removed",
    cordon: "flag",
    quarantine: "flag",
    restore: "–",
  },
  "active(observer)": {
    admit: "–",
    "reassign(worker)": "active(worker)",
    "reassign(master)": "active(master)",
    demote: "demoting(observer)",
    depart: "departing",
    evict: "failed",
    remove: "removed",
    cordon: "flag",
    quarantine: "flag",
    restore: "–",
  },
  "active(bootstrap)": {
    admit: "–",
    "reassign(worker)": "active(worker)",
    "reassign(master)": "active(master)",
    demote: "demoting(bootstrap)",
    depart: "departing",
    evict: "failed",
    remove: "removed",
    cordon: "flag",
    quarantine: "flag",
    restore: "–",
  },
  "active(master)": {
    admit: "–",
    "promote(master)": "–",
    "reassign(master)": "–",
    demote: "demoting(master)",
    depart: "departing",
    evict: "failed",
    cordon: "flag",
    quarantine: "flag",
    restore: "–",
  },
  "active(arbiter)": {
    admit: "–",
    demote: "demoting(arbiter)",
    depart: "departing",
    evict: "failed",
    cordon: "flag",
    quarantine: "flag",
    restore: "–",
  },
  demoting: { demote: "–", settle: "standby", depart: "departing", evict: "failed", remove: "removed" },
  "demoting, voting": { demote: "–", depart: "departing", evict: "failed" },
  departing: { depart: "–", evict: "failed", forget: "removed", remove: "removed" },
  "departing, voting": { depart: "–", evict: "failed" },
  failed: {
    admit: "standby",
    evict: "–",
    forget: "removed",
    remove: "removed",
    cordon: "flag",
    quarantine: "flag",
    restore: "–",
  },
  "failed, voting": { admit: "standby", evict: "–", cordon: "flag", quarantine: "flag", restore: "–" },
};

function stateName({ state, role }: NodeRecord): string {
  return role === undefined ? state : `${state}(${role})`;
}

function expectIllegal(formation: Formation, transition: Transition): void {
  try {
    applyTransition(formation, transition, shiftMs);
  } catch (error) {
    expect(isFabricError(error, "TOPOLOGY_ILLEGAL_TRANSITION"), String(error)).toBe(true);
    return;
  }
  expect.unreachable(`${transition.verb} was taken`);
}

describe("the transition table", () => {
  const cells = Object.keys(rows).flatMap((row) => Object.keys(columns).map((column) => [row, column] as const));

  test.each(cells)("%s: %s", (rowName, columnName) => {
    const row = rowName as keyof typeof rows;
    const column = columnName as Column;
    const current = rows[row];
    const before = formationWith(current);
    const expected = table[row][column];
    if (expected === undefined) return expectIllegal(before, columns[column]);
    const after = applyTransition(before, columns[column], shiftMs);
    if (expected === "–") {
      expect(after).toBe(before);
      return;
    }
    expect(after.generation).toBe(before.generation + 1);
    expect(before.nodes.get(node), "the formation that it came from").toBe(current);
    const next = after.nodes.get(node);
    if (expected === "removed") {
      expect(next).toBeUndefined();
      expect(after.tombstones.has(node)).toBe(column === "remove");
      return;
    }
    expect(next?.lastShiftMs).toBe(shiftMs);
    if (expected === "flag") {
      expect(next).toEqual({
        ...current,
        lastShiftMs: shiftMs,
        flags: [column === "cordon" ? "cordoned" : "quarantined"],
      });
    } else {
      expect(next === undefined ? "removed" : stateName(next)).toBe(expected);
      expect(next?.replica).toBe(current?.replica ?? "none");
    }
  });

  test("names every row and every verb but seat", () => {
    expect(Object.keys(table)).toEqual(Object.keys(rows));
    expect(new Set(Object.values(columns).map(({ verb }) => verb)).size).toBe(12);
  });

  test("roles stand exactly in active and demoting records", () => {
    for (const current of Object.values(rows)) {
      for (const transition of Object.values(columns)) {
        try {
          const next = applyTransition(formationWith(current), transition, shiftMs).nodes.get(node);
          if (next !== undefined)
            expect(next.role !== undefined).toBe(next.state === "active" || next.state === "demoting");
        } catch (error) {
          expect(isFabricError(error, "TOPOLOGY_ILLEGAL_TRANSITION")).toBe(true);
        }
      }
    }
  });
});

describe("admit", () => {
  test("takes over what the admission says, and not the token", () => {
    const transition: Transition = { verb: "admit", node, admission: { ...admission, tokenId: "9".repeat(32) } };
    const { nodes } = applyTransition(formationWith(), transition, shiftMs);
    expect(nodes.get(node)).toEqual({
      ...admission,
      state: "standby",
      replica: "none",
      flags: [],
      lastShiftMs: shiftMs,
    });
  });

  test.each([
    [{ generation: 6, incarnation: 9 }, false],
    [{ generation: 7, incarnation: 2 }, false],
    [{ generation: 7, incarnation: 3 }, false],
    [{ generation: 7, incarnation: 4 }, true],
    [{ generation: 8, incarnation: 0 }, true],
  ])("of a node that failed at (7, 3) as %o is taken: %s", (facts, taken) => {
    const before = formationWith(record({ state: "failed", flags: ["cordoned"] }));
    const transition: Transition = { verb: "admit", node, admission: { ...admission, ...facts } };
    if (!taken) return expectIllegal(before, transition);
    expect(applyTransition(before, transition, shiftMs).nodes.get(node)).toMatchObject({
      ...facts,
      state: "standby",
      flags: ["cordoned"],
    });
  });

  test("never takes back a node that was removed, however new it is", () => {
    const removed = applyTransition(formationWith(rows.failed), { verb: "remove", node }, shiftMs);
    expectIllegal(removed, { verb: "admit", node, admission: { ...admission, generation: 10_000 } });
    expect(applyTransition(removed, { verb: "remove", node }, shiftMs)).toBe(removed);
  });

  test("takes back a node that was forgotten only", () => {
    const forgotten = applyTransition(formationWith(rows.failed), { verb: "forget", node }, shiftMs);
    const again = applyTransition(forgotten, { verb: "admit", node, admission }, shiftMs);
    expect(again.nodes.get(node)?.state).toBe("standby");
  });

  test("keeps the tombstones of others", () => {
    const removed = applyTransition(formationWith(rows.failed), { verb: "remove", node }, shiftMs);
    const other = "b".repeat(64) as NodeId;
    const next = applyTransition(removed, { verb: "admit", node: other, admission }, shiftMs);
    expect(
      applyTransition(applyTransition(next, { verb: "evict", node: other }, 1), { verb: "forget", node: other }, 1)
        .tombstones,
    ).toEqual(new Set([node]));
  });
});

describe("flags", () => {
  test("add up, are sorted, and go together", () => {
    let formation = formationWith(rows.standby);
    for (const verb of ["quarantine", "cordon", "cordon"] as const)
      formation = applyTransition(formation, { verb, node }, shiftMs);
    expect(formation.nodes.get(node)?.flags).toEqual(["cordoned", "quarantined"]);
    expect(formation.generation).toBe(12);
    expect(applyTransition(formation, { verb: "restore", node }, shiftMs).nodes.get(node)?.flags).toEqual([]);
  });

  test("keep a node from being promoted, reassigned and seated as a voter", () => {
    const flags = ["cordoned"] as const;
    expectIllegal(formationWith(record({ state: "standby", flags })), { verb: "promote", node, role: "worker" });
    const worker = formationWith(record({ state: "active", role: "worker", flags }));
    expectIllegal(worker, { verb: "reassign", node, role: "master" });
    expectIllegal(worker, { verb: "seat", node, replica: "voter" });
  });
});

describe("seat", () => {
  const cells: readonly (readonly [keyof typeof rows, ReplicaKind, boolean])[] = [
    ["unknown", "learner", false],
    ["standby", "learner", true],
    ["standby", "voter", false],
    ["active(worker)", "learner", true],
    ["active(worker)", "voter", true],
    ["active(master)", "none", true],
    ["active(master)", "learner", true],
    ["demoting", "learner", true],
    ["demoting", "voter", false],
    ["demoting, voting", "none", true],
    ["departing", "learner", false],
    ["departing", "voter", false],
    ["departing, voting", "none", true],
    ["failed", "learner", false],
    ["failed, voting", "none", true],
    ["failed, voting", "learner", false],
  ];

  test.each(cells)("of %s as %s is taken: %s", (row, replica, taken) => {
    const before = formationWith(rows[row]);
    const transition: Transition = { verb: "seat", node, replica };
    if (!taken) return expectIllegal(before, transition);
    const after = applyTransition(before, transition, shiftMs);
    expect(after.nodes.get(node)).toEqual({ ...rows[row], replica, lastShiftMs: shiftMs });
  });

  test("that holds already changes nothing", () => {
    const before = formationWith(rows["active(master)"]);
    expect(applyTransition(before, { verb: "seat", node, replica: "voter" }, shiftMs)).toBe(before);
  });

  test("never takes the seat of the only voter", () => {
    expectIllegal(formationWith(), { verb: "seat", node: founder, replica: "none" });
    expectIllegal(formationWith(), { verb: "seat", node: founder, replica: "learner" });
  });

  test("comes with a promotion where it says so", () => {
    const before = formationWith(record({ state: "standby", replica: "learner" }));
    const after = applyTransition(before, { verb: "promote", node, role: "master", replica: "voter" }, shiftMs);
    expect(after.nodes.get(node)).toMatchObject({ state: "active", role: "master", replica: "voter" });
    expect(replicasOf(after, "voter")).toEqual([node, founder]);
  });
});

describe("a formation command", () => {
  const command = (transitions: readonly Transition[], baseGeneration = 10): FormationCommand => ({
    version: 1,
    clusterId: "c".repeat(64) as ClusterId,
    baseGeneration: baseGeneration as Generation,
    transitions,
    reason: "a test",
    decisionHash: "d".repeat(64) as Hash,
    timeMs: shiftMs,
    proposer: founder,
    term: 1 as Term,
  });
  const ids = ["1", "2", "3"].map((digit) => digit.repeat(64) as NodeId);
  const admitAll = ids.map((id): Transition => ({ verb: "admit", node: id, admission }));

  const expectRefused = (formation: Formation, refused: FormationCommand, code: string): void => {
    try {
      applyFormationCommand(formation, refused);
    } catch (error) {
      expect(isFabricError(error, code), String(error)).toBe(true);
      return;
    }
    expect.unreachable("the command was taken");
  };

  test("applies its transitions in order, one generation and one step each", () => {
    const promote: Transition = { verb: "promote", node: ids[0]!, role: "worker" };
    const steps = applyFormationCommand(formationWith(), command([...admitAll, promote]));
    expect(steps.map(({ ordinal }) => ordinal)).toEqual([0, 1, 2, 3]);
    expect(steps.map(({ formation }) => formation.generation)).toEqual([11, 12, 13, 14]);
    expect(steps.at(-1)?.formation.nodes.get(ids[0]!)?.role).toBe("worker");
  });

  test("has no step for what changes nothing, and keeps the ordinals of the others", () => {
    const steps = applyFormationCommand(formationWith(), command([admitAll[0]!, admitAll[0]!, admitAll[1]!]));
    expect(steps.map(({ ordinal }) => ordinal)).toEqual([0, 2]);
    expect(steps.map(({ formation }) => formation.generation)).toEqual([11, 12]);
  });

  test("that was made for another generation is refused", () => {
    for (const base of [9, 11]) expectRefused(formationWith(), command(admitAll, base), "TOPOLOGY_COMMAND_REFUSED");
  });

  test("with one illegal transition is refused whole, whichever it is", () => {
    const before = formationWith();
    const settle: Transition = { verb: "settle", node: ids[1]! };
    expectRefused(before, command([...admitAll, settle]), "TOPOLOGY_ILLEGAL_TRANSITION");
    expectRefused(before, command([settle, ...admitAll]), "TOPOLOGY_ILLEGAL_TRANSITION");
    expect(before).toEqual(formationWith());
  });

  test("of none or too many transitions is refused", () => {
    expectRefused(formationWith(), command([]), "TOPOLOGY_COMMAND_REFUSED");
    const many = Array.from({ length: maxTransitionsPerCommand + 1 }, (): Transition => ({
      verb: "cordon",
      node: founder,
    }));
    expectRefused(formationWith(), command(many), "TOPOLOGY_COMMAND_REFUSED");
    expect(applyFormationCommand(formationWith(), command(many.slice(1))).length).toBe(1);
  });

  test("with a verb that nobody knows is refused", () => {
    const strange = { verb: "crown", node: founder } as unknown as Transition;
    expectRefused(formationWith(), command([strange]), "TOPOLOGY_COMMAND_REFUSED");
  });

  test("leaves an odd number of voters behind, or nothing happens", () => {
    const promote = (id: NodeId): Transition => ({ verb: "promote", node: id, role: "master", replica: "voter" });
    expectRefused(formationWith(), command([...admitAll, promote(ids[0]!)]), "TOPOLOGY_COMMAND_REFUSED");
    const steps = applyFormationCommand(formationWith(), command([...admitAll, promote(ids[0]!), promote(ids[1]!)]));
    expect(replicasOf(steps.at(-1)!.formation, "voter").length).toBe(3);
  });

  test("may swap a voter for another: between its transitions the number does not count", () => {
    const first = applyFormationCommand(formationWith(), command(admitAll)).at(-1)!.formation;
    const swap: readonly Transition[] = [
      { verb: "promote", node: ids[0]!, role: "master", replica: "voter" },
      { verb: "seat", node: founder, replica: "none" },
    ];
    const last = applyFormationCommand(first, command(swap, first.generation)).at(-1)!.formation;
    expect(replicasOf(last, "voter")).toEqual([ids[0]]);
  });
});

describe("any sequence of transitions", () => {
  const idOf = (digit: number): NodeId => String(digit).repeat(64) as NodeId;
  const role = fc.constantFrom<Role>("master", "worker", "observer", "arbiter");
  const replica = fc.option(fc.constantFrom<ReplicaKind>("voter", "learner", "none"), { nil: undefined });
  const transition: fc.Arbitrary<Transition> = fc.oneof(
    fc
      .record({ verb: fc.constant("admit" as const), node: fc.nat(4).map(idOf), generation: fc.nat(5) })
      .map(({ generation, ...rest }): Transition => ({ ...rest, admission: { ...admission, generation } })),
    fc
      .record({
        verb: fc.constantFrom("promote" as const, "reassign" as const),
        node: fc.nat(4).map(idOf),
        role,
        replica,
      })
      .map(({ replica: kind, ...rest }): Transition => (kind === undefined ? rest : { ...rest, replica: kind })),
    fc.record({
      verb: fc.constant("seat" as const),
      node: fc.nat(4).map(idOf),
      replica: fc.constantFrom<ReplicaKind>("voter", "learner", "none"),
    }),
    fc.record({
      verb: fc.constantFrom(
        ...(["demote", "settle", "depart", "evict", "forget", "remove", "cordon", "quarantine", "restore"] as const),
      ),
      node: fc.nat(4).map(idOf),
    }),
  );

  test("keeps records well-formed, counts each change, and never removes a voter", () => {
    fc.assert(
      fc.property(fc.array(transition, { maxLength: 60 }), (transitions) => {
        let formation = formationWith();
        for (const each of transitions) {
          let next: Formation;
          try {
            next = applyTransition(formation, each, shiftMs);
          } catch (error) {
            expect(isFabricError(error, "TOPOLOGY_ILLEGAL_TRANSITION")).toBe(true);
            continue;
          }
          if (next !== formation) expect(next.generation).toBe(formation.generation + 1);
          for (const id of replicasOf(formation, "voter")) expect(next.nodes.has(id)).toBe(true);
          for (const id of formation.tombstones) expect(next.tombstones.has(id) && !next.nodes.has(id)).toBe(true);
          for (const current of next.nodes.values()) {
            expect(current.role !== undefined).toBe(current.state === "active" || current.state === "demoting");
          }
          formation = next;
        }
      }),
      { numRuns: 300 },
    );
  });
});
