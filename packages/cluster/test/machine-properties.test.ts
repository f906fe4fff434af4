import type { Role, Transition } from "@revoada/fabric";
import fc from "fast-check";
import { expect, test } from "vitest";
import { nodeId, storeId } from "./doubles/keys.ts";
import { admit, generation, MachineKit, tokenRecord } from "./doubles/machine-kit.ts";
import { testAttestor } from "./doubles/test-attestor.ts";

const names = ["a", "b", "c", "d", "e"] as const;
const someName = fc.constantFrom(...names);
const replica = fc.constantFrom("voter" as const, "learner" as const, "none" as const);
const role = fc.constantFrom<Role>("master", "worker", "arbiter", "observer");

const transition: fc.Arbitrary<Transition> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc
      .record({ name: someName, token: fc.nat({ max: 4 }), life: fc.nat({ max: 3 }), disk: fc.nat({ max: 1 }) })
      .map(({ name, token, life, disk }) =>
        admit(name, { tokenId: tokenRecord(token).tokenId, generation: life, storeId: storeId(`${name}${disk}`) }),
      ),
  },
  {
    weight: 4,
    arbitrary: fc
      .tuple(
        fc.constantFrom("promote" as const, "reassign" as const),
        someName,
        role,
        fc.option(replica, { nil: undefined }),
      )
      .map(([verb, name, to, seat]): Transition => ({
        verb,
        node: nodeId(name),
        role: to,
        ...(seat === undefined ? {} : { replica: seat }),
      })),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(someName, replica)
      .map(([name, seat]): Transition => ({ verb: "seat", node: nodeId(name), replica: seat })),
  },
  {
    weight: 3,
    arbitrary: fc
      .tuple(
        fc.constantFrom("demote", "settle", "depart", "evict", "forget", "cordon", "quarantine", "restore", "remove"),
        someName,
      )
      .map(([verb, name]): Transition => ({ verb, node: nodeId(name) })),
  },
);

/** Seats for three or one: what changes voters and is legal now and then. */
const reseating: fc.Arbitrary<readonly Transition[]> = fc
  .uniqueArray(fc.constantFrom("b", "c", "d", "e"), { minLength: 2, maxLength: 2 })
  .map((pair) =>
    pair.map((name): Transition => ({ verb: "promote", node: nodeId(name), role: "master", replica: "voter" })),
  );

type Step = (kit: MachineKit) => void;

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc
      .record({
        transitions: fc.oneof(fc.array(transition, { minLength: 1, maxLength: 4 }), reseating),
        signer: fc.oneof({ weight: 4, arbitrary: fc.constant("a") }, { weight: 1, arbitrary: someName }),
        behind: fc.oneof({ weight: 6, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.constant(1) }),
        laterMs: fc.integer({ min: -50, max: 200 }),
      })
      .map(({ transitions, signer, behind, laterMs }): Step => (kit) => {
        const base = generation(Math.max(kit.state.formation.generation - behind, 0));
        kit.shift(transitions, { baseGeneration: base, timeMs: kit.state.timeMs + laterMs }, testAttestor(signer));
      }),
  },
  {
    weight: 2,
    arbitrary: fc.nat({ max: 4 }).map(
      (number): Step =>
        (kit) =>
          void kit.createToken(tokenRecord(number, { usesLeft: 2 })),
    ),
  },
  {
    weight: 1,
    arbitrary: fc.nat({ max: 4 }).map(
      (number): Step =>
        (kit) =>
          void kit.revokeToken(tokenRecord(number).tokenId),
    ),
  },
  {
    weight: 3,
    arbitrary: fc.uniqueArray(someName, { minLength: 1, maxLength: 3 }).map(
      (signers): Step =>
        (kit) =>
          void kit.seal(signers),
    ),
  },
  {
    weight: 2,
    arbitrary: fc.constant<Step>((kit) => {
      const { voters } = kit.state.sealing;
      kit.seal(names.filter((name) => voters.includes(nodeId(name))));
    }),
  },
  {
    weight: 1,
    arbitrary: fc.nat({ max: 255 }).map(
      (byte): Step =>
        (kit) =>
          void kit.send("catalog", Uint8Array.of(byte)),
    ),
  },
  {
    weight: 1,
    arbitrary: fc.uint8Array({ maxLength: 20 }).map(
      (bytes): Step =>
        (kit) =>
          void kit.send("formation", bytes),
    ),
  },
);

/** A founded machine with tokens, and b and c let in, so that random commands get somewhere. */
function fertile(): MachineKit {
  const kit = MachineKit.founded();
  for (let number = 0; number < 3; number += 1) kit.createToken(tokenRecord(number, { usesLeft: 3 }));
  kit.admitAll(["b", "c"]);
  return kit;
}

test("after any commands the cached state is the stored one, the voters are odd, and the chain verifies", () => {
  const seen = new Set<string>();
  fc.assert(
    fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
      const kit = fertile();
      for (const run of steps) {
        const before = kit.state;
        run(kit);
        const again = kit.reopened();
        expect(again.state).toEqual(kit.state);
        expect(again.machine.position()).toEqual(kit.machine.position());
        expect(again.counter.total).toBe(kit.counter.total);
        const { formation, head, sealed, sealing } = kit.state;
        expect([...formation.nodes.values()].filter((record) => record.replica === "voter").length % 2).toBe(1);
        expect(head.height).toBe(formation.generation);
        expect(sealed.height).toBeLessThanOrEqual(head.height);
        if (before.sealing !== sealing) seen.add(sealing.pending === undefined ? "voters sealed" : "voters moved");
        if (before.head !== head && before.head.height !== head.height) seen.add("shifted");
        if (before.sealed !== sealed) seen.add("sealed");
      }
      const verdict = kit.founder.verifyChain(kit.exported(), kit.genesis.clusterId);
      expect(verdict).toMatchObject({ ok: true, head: kit.state.head, sealed: kit.state.sealed });
    }),
    { numRuns: 150, seed: 20 },
  );
  // What never happened was never tested.
  expect([...seen].toSorted()).toEqual(["sealed", "shifted", "voters moved", "voters sealed"]);
});

test("bytes of any kind never throw: they are refused, and change nothing but the place in the log", () => {
  const kit = fertile();
  const before = kit.state;
  fc.assert(
    fc.property(
      fc.constantFrom("genesis" as const, "formation" as const, "seal" as const, "token" as const),
      fc.uint8Array({ maxLength: 200 }),
      (kind, bytes) => {
        expect(kit.send(kind, bytes)).toMatchObject({ ok: false });
        expect(kit.state).toBe(before);
      },
    ),
    { numRuns: 500, seed: 21 },
  );
});
