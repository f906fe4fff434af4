import {
  applyFormationCommand,
  genesisFormation,
  isFabricError,
  replicasOf,
  type Formation,
  type NodeId,
  type Role,
  type Transition,
} from "@revoada/fabric";
import fc from "fast-check";
import { expect, test } from "vitest";
import { admit, commandOn, storeOf } from "./support/formations.ts";

const ids = ["a", "b", "c", "d", "e", "f"].map((letter) => letter.repeat(64) as NodeId);
const operator = "1".repeat(64) as NodeId;
const [founder] = ids as [NodeId];
const someone = fc.constantFrom(...ids);
const replica = fc.constantFrom("voter" as const, "learner" as const, "none" as const);
const role = fc.constantFrom<Role>("master", "worker", "arbiter", "observer");

const transition: fc.Arbitrary<Transition> = fc.oneof(
  fc.tuple(someone, fc.nat({ max: 3 })).map(([node, life]) => admit(node, { generation: life })),
  fc
    .tuple(
      fc.constantFrom("promote" as const, "reassign" as const),
      someone,
      role,
      fc.option(replica, { nil: undefined }),
    )
    .map(([verb, node, to, seat]): Transition => ({
      verb,
      node,
      role: to,
      ...(seat === undefined ? {} : { replica: seat }),
    })),
  fc.tuple(someone, replica).map(([node, seat]): Transition => ({ verb: "seat", node, replica: seat })),
  fc
    .tuple(
      fc.constantFrom("demote", "settle", "depart", "evict", "forget", "cordon", "quarantine", "restore", "remove"),
      someone,
    )
    .map(([verb, node]): Transition => ({ verb, node })),
  fc
    .tuple(fc.constantFrom("enrol" as const, "revoke" as const), fc.constantFrom(operator, "2".repeat(64) as NodeId))
    .map(([verb, node]): Transition => ({ verb, node })),
);

/** What a replacement looks like, so that votes do move: one comes for one that goes. */
const swap: fc.Arbitrary<readonly Transition[]> = fc
  .tuple(someone, someone, fc.boolean())
  .map(([to, from, dies]) => [
    ...(dies ? [{ verb: "evict", node: from } as const] : []),
    { verb: "promote", node: to, role: "master", replica: "voter" },
    { verb: "seat", node: from, replica: "none" },
  ]);

const commands = fc.array(
  fc.record({
    transitions: fc.oneof(fc.array(transition, { minLength: 1, maxLength: 4 }), swap),
    approved: fc.nat({ max: 5 }).map((number) => number === 0),
  }),
  { minLength: 1, maxLength: 40 },
);

/** Three masters that vote; the others stand by. */
function three(): Formation {
  const alone = genesisFormation({
    id: founder,
    storeId: storeOf(founder),
    zone: "",
    version: "1",
    createdMs: 0,
    operators: [operator],
  });
  const forming = ids
    .slice(1, 3)
    .map((node): Transition => ({ verb: "promote", node, role: "master", replica: "voter" }));
  return applied(
    alone,
    [...ids.slice(1).map((node) => admit(node)), { verb: "reassign", node: founder, role: "master" }, ...forming],
    true,
  );
}

/** The formation after a command; itself where it is refused. */
function applied(formation: Formation, transitions: readonly Transition[], approved: boolean): Formation {
  const approval = { operator: [...(formation.operators?.keys() ?? [])][0] as NodeId, signature: new Uint8Array(64) };
  try {
    const command = commandOn(formation, founder, transitions, approved ? approval : undefined);
    const steps = applyFormationCommand(formation, command);
    return steps.at(-1)?.formation ?? formation;
  } catch (error) {
    if (!isFabricError(error)) throw error;
    return formation;
  }
}

test("without an operator votes pass one for one from nodes that do not serve, and nothing that is for ever happens", () => {
  let moved = 0;
  fc.assert(
    fc.property(commands, (story) => {
      let formation = three();
      for (const { transitions, approved } of story) {
        const next = applied(formation, transitions, approved);
        if (!approved) {
          const [before, after] = [replicasOf(formation, "voter"), replicasOf(next, "voter")];
          const gained = after.filter((id) => !before.includes(id));
          const lost = before.filter((id) => !after.includes(id));
          expect(gained.length).toBeLessThanOrEqual(lost.length);
          for (const id of lost) {
            const record = next.nodes.get(id);
            const serves = record?.state === "active" || record?.state === "standby";
            expect(serves && !record.flags.includes("quarantined")).toBe(false);
          }
          expect(next.operators).toEqual(formation.operators);
          expect(next.tombstones).toEqual(formation.tombstones);
          for (const [id, record] of next.nodes) {
            if (record.role !== "master" || record.replica === "voter") continue;
            // A master without a vote was one before, or lost its vote just now.
            expect(formation.nodes.get(id)?.role).toBe("master");
          }
          moved += gained.length;
        }
        expect(next.operators?.size).toBeGreaterThan(0);
        formation = next;
      }
    }),
    { numRuns: 300 },
  );
  expect(moved).toBeGreaterThan(0);
});
