import {
  applyFormationCommand,
  genesisFormation,
  maxOperators,
  needsApproval,
  type Formation,
  type FormationCommand,
  type FormationStep,
  type NodeId,
  type Transition,
} from "@revoada/fabric";
import { describe, expect, test } from "vitest";
import { admit, apply, commandOn, storeOf } from "./support/formations.ts";

const [founder, b, c, d, operator, second] = ["a", "b", "c", "d", "1", "2"].map((letter) => letter.repeat(64)) as [
  NodeId,
  NodeId,
  NodeId,
  NodeId,
  NodeId,
  NodeId,
];
const illegal = expect.objectContaining({ code: "TOPOLOGY_ILLEGAL_TRANSITION" });
const unapproved = expect.objectContaining({ code: "TOPOLOGY_UNAPPROVED_SHIFT" });
const notAnOperator = expect.objectContaining({ code: "TOPOLOGY_NOT_AN_OPERATOR" });
const signature = new Uint8Array(64);

function alone(operators: readonly NodeId[] = [operator]): Formation {
  return genesisFormation({ id: founder, storeId: storeOf(founder), zone: "", version: "1", createdMs: 0, operators });
}

const forming: readonly Transition[] = [
  { verb: "reassign", node: founder, role: "master" },
  { verb: "promote", node: b, role: "master", replica: "voter" },
  { verb: "promote", node: c, role: "master", replica: "voter" },
];

/** Three masters that vote, and d that replicates. */
function three(operators: readonly NodeId[] = [operator]): Formation {
  return apply(alone(operators), admit(b), admit(c), admit(d), ...forming, {
    verb: "seat",
    node: d,
    replica: "learner",
  });
}

function command(formation: Formation, transitions: readonly Transition[], approvedBy?: NodeId): FormationCommand {
  const approval = approvedBy === undefined ? undefined : { operator: approvedBy, signature };
  return commandOn(formation, founder, transitions, approval);
}

function run(formation: Formation, transitions: readonly Transition[], approvedBy?: NodeId): readonly FormationStep[] {
  return applyFormationCommand(formation, command(formation, transitions, approvedBy));
}

const swap: readonly Transition[] = [
  { verb: "promote", node: d, role: "master", replica: "voter" },
  { verb: "seat", node: c, replica: "none" },
];

describe("a shift that no failure forces", () => {
  const voluntary: readonly (readonly [string, Formation, readonly Transition[]])[] = [
    ["the first shape", apply(alone(), admit(b), admit(c)), forming],
    ["a seat that moves from a healthy voter", three(), swap],
    ["a demotion", three(), [{ verb: "demote", node: c }]],
    ["a removal", apply(three(), { verb: "evict", node: d }), [{ verb: "remove", node: d }]],
    ["the end of a quarantine", apply(three(), { verb: "quarantine", node: c }), [{ verb: "restore", node: c }]],
    ["a next key", three(), [{ verb: "succeed", node: "e".repeat(64) as NodeId, predecessor: c, signature }]],
    ["a master without a vote", three(), [{ verb: "promote", node: d, role: "master" }]],
    [
      "a master with a vote in passing",
      three(),
      [
        { verb: "promote", node: d, role: "master", replica: "voter" },
        { verb: "seat", node: d, replica: "none" },
      ],
    ],
    ["another operator key", three(), [{ verb: "enrol", node: second }]],
    ["two seats given up", three(), [b, c].map((node) => ({ verb: "seat", node, replica: "learner" }) as const)],
    [
      "more seats than were lost",
      apply(three(), admit(operator.replaceAll("1", "e") as NodeId), admit(operator.replaceAll("1", "f") as NodeId)),
      [
        { verb: "evict", node: c },
        { verb: "seat", node: c, replica: "none" },
        ...(["d", "e", "f"].map((letter) => ({
          verb: "promote",
          node: letter.repeat(64) as NodeId,
          role: "master",
          replica: "voter",
        })) as Transition[]),
      ],
    ],
    [
      "a seat taken by way of an eviction that is taken back at once",
      three(),
      [{ verb: "evict", node: c }, ...swap, { ...admit(c), admission: newer(c) } as Transition],
    ],
  ];

  test.each(voluntary)("needs an operator's approval: %s", (_name, formation, transitions) => {
    expect(() => run(formation, transitions)).toThrow(unapproved);
    expect(run(formation, transitions, operator).length).toBeGreaterThan(0);
    const { operators: _none, ...without } = formation;
    if (transitions[0]?.verb !== "enrol") expect(run(without, transitions).length).toBeGreaterThan(0);
  });

  test("is not approved by a key that is not in force, nor by any where the cluster has none", () => {
    expect(() => run(three(), swap, second)).toThrow(notAnOperator);
    expect(() => run(three([]), swap, operator)).toThrow(notAnOperator);
    expect(() => run(three(), [{ verb: "evict", node: c }], second)).toThrow(notAnOperator);
  });
});

describe("while a switch to another declaration is under way, which an operator approved of,", () => {
  const [before, next] = [Uint8Array.of(1), Uint8Array.of(2)];
  const switching: readonly Transition[] = [{ verb: "declare", node: founder, declaration: next, withinMs: 60_000 }];
  const declared = { ...three(), declared: { declaration: before } };
  const under = (...more: readonly Transition[]): Formation => apply(apply(declared, ...switching), ...more);

  test("roles and seats are dealt anew without another approval, until the switch is over", () => {
    expect(() => run(declared, switching)).toThrow(unapproved);
    const steps: readonly (readonly Transition[])[] = [
      swap,
      [{ verb: "demote", node: c }],
      [{ verb: "promote", node: d, role: "master" }],
      [b, c].map((node) => ({ verb: "seat", node, replica: "learner" }) as const),
    ];
    for (const transitions of steps) {
      expect(run(under(), transitions).length).toBeGreaterThan(0);
      for (const verb of ["confirm", "revert"] as const)
        expect(() => run(under({ verb, node: founder }), transitions)).toThrow(unapproved);
    }
  });

  test.each<readonly [string, readonly Transition[], Formation]>([
    ["a removal", [{ verb: "remove", node: d }], under({ verb: "evict", node: d })],
    ["the end of a quarantine", [{ verb: "restore", node: c }], under({ verb: "quarantine", node: c })],
    ["a next key", [{ verb: "succeed", node: "e".repeat(64) as NodeId, predecessor: c, signature }], under()],
    ["another operator key", [{ verb: "enrol", node: second }], under()],
    ["a removal beside a step", [...swap, { verb: "remove", node: c }], under({ verb: "evict", node: c })],
  ])("everything else needs one as ever: %s", (_name, transitions, formation) => {
    expect(() => run(formation, transitions)).toThrow(unapproved);
    expect(run(formation, transitions, operator).length).toBeGreaterThan(0);
  });
});

function newer(node: NodeId): unknown {
  return { storeId: node.slice(0, 32), generation: 2, incarnation: 0, zone: "", version: "1" };
}

describe("a shift that a failure forces, and what moves no seat,", () => {
  const free: readonly (readonly [string, Formation, readonly Transition[]])[] = [
    ["a newcomer", alone(), [admit(b)]],
    ["a copy of the log", apply(alone(), admit(b)), [{ verb: "seat", node: b, replica: "learner" }]],
    [
      "work",
      apply(three(), { verb: "seat", node: d, replica: "none" }),
      [{ verb: "promote", node: d, role: "worker" }],
    ],
    ["an eviction", three(), [{ verb: "evict", node: c }]],
    ["the seat of a dead voter", apply(three(), { verb: "evict", node: c }), swap],
    ["an eviction and its seat at once", three(), [{ verb: "evict", node: c }, ...swap]],
    ["the seat of a voter that leaves", apply(three(), { verb: "depart", node: c }), swap],
    ["the seat of a quarantined voter", apply(three(), { verb: "quarantine", node: c }), swap],
    ["the seat of a voter whose demotion was approved of", apply(three(), { verb: "demote", node: c }), swap],
    [
      "a voter that is back in its seat",
      apply(three(), { verb: "evict", node: c }, { ...admit(c), admission: newer(c) } as Transition),
      [{ verb: "promote", node: c, role: "master" }],
    ],
    ["the first shape of a node that is alone", alone(), [{ verb: "reassign", node: founder, role: "master" }]],
    ["a recovery", three(), [{ verb: "recover", node: founder }]],
  ];

  test.each(free)("needs none: %s", (_name, formation, transitions) => {
    const steps = run(formation, transitions);
    expect(steps.length).toBeGreaterThan(0);
    expect(needsApproval(formation, steps)).toBe(false);
    expect(steps.at(-1)?.formation.operators).toBe(formation.operators);
  });

  test("takes an approved next key's inheritance as what was approved of", () => {
    const key = "e".repeat(64) as NodeId;
    const named = apply(three(), { verb: "succeed", node: key, predecessor: c, signature });
    expect(run(named, [{ verb: "inherit", node: key }])).toHaveLength(1);
  });
});

describe("operator keys", () => {
  test("are enrolled and revoked for ever, by one generation each", () => {
    const two = apply(three(), { verb: "enrol", node: second });
    expect(two.operators).toEqual(
      new Map([
        [operator, 0],
        [second, three().generation + 1],
      ]),
    );
    expect(apply(two, { verb: "enrol", node: second })).toBe(two);
    const one = apply(two, { verb: "revoke", node: operator });
    expect([...(one.operators?.keys() ?? [])]).toEqual([second]);
    expect(one.generation).toBe(two.generation + 1);
    expect(apply(one, { verb: "revoke", node: operator })).toBe(one);
    expect(() => apply(one, { verb: "enrol", node: operator })).toThrow(illegal);
    expect(() => run(one, swap, operator)).toThrow(notAnOperator);
  });

  test("are exchanged in one command, which the old one may approve of", () => {
    const steps = run(
      three(),
      [
        { verb: "enrol", node: second },
        { verb: "revoke", node: operator },
      ],
      operator,
    );
    expect([...(steps.at(-1)?.formation.operators?.keys() ?? [])]).toEqual([second]);
  });

  test("are never all revoked, never more than can be listed, and no nodes' keys", () => {
    expect(() => apply(three(), { verb: "revoke", node: operator })).toThrow(illegal);
    expect(() => apply(three(), { verb: "revoke", node: second })).toThrow(illegal);
    expect(() => apply(three(), { verb: "enrol", node: d })).toThrow(illegal);
    expect(() => apply(three(), admit(operator))).toThrow(illegal);
    expect(() => apply(three([]), { verb: "enrol", node: second })).toThrow(illegal);
    const many = Array.from({ length: maxOperators }, (_item, place) => place.toString(16).padStart(64, "0") as NodeId);
    expect(() => apply(three(many), { verb: "enrol", node: second })).toThrow(illegal);
    const removed = apply(
      three(),
      { verb: "evict", node: d },
      { verb: "seat", node: d, replica: "none" },
      { verb: "remove", node: d },
    );
    expect(() => apply(removed, { verb: "enrol", node: d })).toThrow(illegal);
  });
});
