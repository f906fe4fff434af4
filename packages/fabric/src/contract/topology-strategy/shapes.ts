import type { Assignment, Candidate, Role } from "../../formation.ts";
import type { NodeId } from "../../ids.ts";
import type { TopologyStrategy } from "../../seams/topology-strategy.ts";
import { check, ContractViolation, equal } from "../case.ts";

type Body = (strategy: TopologyStrategy) => void;

/** How many nodes beyond the smallest shape are tried. */
const largest = 12;

const roles: ReadonlySet<Role> = new Set(["master", "worker", "observer", "arbiter"]);

/** Nodes without roles, in three zones. */
function nodes(count: number): readonly Candidate[] {
  return Array.from({ length: count }, (_, index) => ({
    id: ((index * 7919 + 17) % 65_521).toString(16).padStart(64, "0") as NodeId,
    zone: `zone-${index % 3}`,
    replica: "none",
    caughtUp: false,
  }));
}

/** The same nodes, in the roles that an assignment gives them. */
function placed(candidates: readonly Candidate[], assignment: Assignment): readonly Candidate[] {
  return candidates.map((candidate) => {
    const { role: _former, ...rest } = candidate;
    const role = assignment.get(candidate.id);
    return { ...rest, ...(role === undefined ? {} : { role }), replica: role === "master" ? "voter" : "none" };
  });
}

/** Sizes from the smallest shape on. */
function sizes(strategy: TopologyStrategy): readonly number[] {
  return Array.from({ length: largest }, (_, more) => strategy.minNodes + more);
}

function holders(assignment: Assignment, role: Role): readonly NodeId[] {
  return [...assignment].flatMap(([id, held]) => (held === role ? [id] : []));
}

function sorted(assignment: Assignment): readonly (readonly [NodeId, Role])[] {
  return [...assignment].toSorted(([left], [right]) => (left < right ? -1 : 1));
}

function expectShape(strategy: TopologyStrategy, assignment: Assignment, what: string): void {
  const [violation] = strategy.validate(assignment);
  check(violation === undefined, `${what}: ${violation?.code ?? ""} ${violation?.message ?? ""}`);
}

/** Every way of losing one node, and some of losing several. */
function losses(candidates: readonly Candidate[]): readonly ReadonlySet<NodeId>[] {
  const single = candidates.map(({ id }) => new Set([id]));
  const halves = [0, 1].map(
    (parity) => new Set(candidates.flatMap(({ id }, index) => (index % 2 === parity ? [id] : []))),
  );
  return [...single, ...halves];
}

function survivorsOf(candidates: readonly Candidate[], lost: ReadonlySet<NodeId>): readonly Candidate[] {
  return candidates.filter(({ id }) => !lost.has(id));
}

/** Runs `visit` over shapes of every size and every loss from them. */
function eachLoss(
  strategy: TopologyStrategy,
  visit: (situation: {
    current: Assignment;
    lost: ReadonlySet<NodeId>;
    survivors: readonly Candidate[];
    next: Assignment;
  }) => void,
): void {
  for (const size of sizes(strategy)) {
    const fresh = nodes(size);
    const current = strategy.assign(fresh);
    const shaped = placed(fresh, current);
    for (const lost of losses(shaped)) {
      const survivors = survivorsOf(shaped, lost);
      visit({ current, lost, survivors, next: strategy.reactToLoss(current, lost, survivors) });
    }
  }
}

/** Shapes and what becomes of them. */
export const shapeCases: Readonly<Record<string, Body>> = {
  "it has a name and needs at least one node": (strategy) => {
    check(strategy.name.length > 0, "the name is empty");
    check(Number.isSafeInteger(strategy.minNodes) && strategy.minNodes >= 1, `minNodes is ${strategy.minNodes}`);
  },

  "it wants at least one master and no more than there are nodes": (strategy) => {
    for (const size of sizes(strategy)) {
      const target = strategy.targetMasters(size);
      check(Number.isSafeInteger(target) && target >= 1 && target <= size, `${target} masters of ${size} nodes`);
    }
  },

  "from minNodes on its assignment is its shape": (strategy) => {
    for (const size of sizes(strategy)) expectShape(strategy, strategy.assign(nodes(size)), `${size} nodes`);
  },

  "it gives the number of masters that it says": (strategy) => {
    for (const size of sizes(strategy)) {
      const masters = holders(strategy.assign(nodes(size)), "master").length;
      equal(masters, strategy.targetMasters(size), `masters of ${size} nodes`);
    }
  },

  "it gives roles to eligible nodes only, and only roles that a shape has": (strategy) => {
    for (const size of sizes(strategy)) {
      const eligible = nodes(size);
      const known = new Set(eligible.map(({ id }) => id));
      for (const [id, role] of strategy.assign(eligible)) {
        check(known.has(id), `${id} is not eligible`);
        check(roles.has(role), `the role ${role} is no part of a shape`);
      }
    }
  },

  "the same nodes in another order get the same roles": (strategy) => {
    for (const size of sizes(strategy)) {
      const eligible = nodes(size);
      const expected = sorted(strategy.assign(eligible));
      equal(sorted(strategy.assign(eligible)), expected, "asked again");
      equal(sorted(strategy.assign(eligible.toReversed())), expected, "asked in reverse");
      const turned = [...eligible.slice(size >> 1), ...eligible.slice(0, size >> 1)];
      equal(sorted(strategy.assign(turned)), expected, "asked from the middle");
    }
  },

  "it leaves what it is given as it is": (strategy) => {
    const eligible = nodes(strategy.minNodes + 2);
    const before = JSON.stringify(eligible);
    const current = strategy.assign(eligible);
    const pairs = JSON.stringify([...current]);
    const lost = new Set(eligible.slice(0, 1).map(({ id }) => id));
    strategy.reactToLoss(current, lost, survivorsOf(placed(eligible, current), lost));
    strategy.validate(current);
    equal(JSON.stringify(eligible), before, "the candidates");
    equal(JSON.stringify([...current]), pairs, "the assignment");
    equal(lost.size, 1, "the lost");
  },

  "a shape that stands is kept": (strategy) => {
    for (const size of sizes(strategy)) {
      const eligible = nodes(size);
      const current = strategy.assign(eligible);
      equal(sorted(strategy.assign(placed(eligible, current))), sorted(current), `${size} nodes`);
    }
  },

  "a newcomer takes no role away from a master that may stay": (strategy) => {
    for (const size of sizes(strategy)) {
      const all = nodes(size + 1);
      const current = strategy.assign(all.slice(1));
      const newcomer = all.slice(0, 1);
      const next = strategy.assign([...newcomer, ...placed(all.slice(1), current)]);
      const kept = holders(current, "master").filter((id) => next.get(id) === "master").length;
      const possible = Math.min(strategy.targetMasters(size), strategy.targetMasters(size + 1));
      equal(kept, possible, `masters that stay when node ${size + 1} comes`);
    }
  },

  "no lost node is ever given a role, nor one that is not among the survivors": (strategy) => {
    eachLoss(strategy, ({ lost, survivors, next }) => {
      const known = new Set(survivors.map(({ id }) => id));
      for (const id of next.keys()) {
        if (lost.has(id)) throw new ContractViolation(`${id} is lost and was given a role`);
        check(known.has(id), `${id} is no survivor and was given a role`);
      }
    });
  },

  "after a loss that leaves enough nodes the shape stands again": (strategy) => {
    eachLoss(strategy, ({ survivors, next, lost }) => {
      if (survivors.length < strategy.minNodes) return;
      expectShape(strategy, next, `${survivors.length} survivors of ${lost.size} losses`);
    });
  },

  "masters that survive stay masters, as many as the smaller shape has": (strategy) => {
    eachLoss(strategy, ({ current, lost, survivors, next }) => {
      if (survivors.length < strategy.minNodes) return;
      const surviving = holders(current, "master").filter((id) => !lost.has(id));
      const kept = surviving.filter((id) => next.get(id) === "master").length;
      const possible = Math.min(surviving.length, strategy.targetMasters(survivors.length));
      equal(kept, possible, `masters kept among ${survivors.length} survivors`);
    });
  },

  "reacting is deterministic and does not depend on the order of the survivors": (strategy) => {
    eachLoss(strategy, ({ current, lost, survivors, next }) => {
      equal(sorted(strategy.reactToLoss(current, lost, survivors.toReversed())), sorted(next), "asked in reverse");
    });
  },

  "losing nobody changes nothing": (strategy) => {
    for (const size of sizes(strategy)) {
      const eligible = nodes(size);
      const current = strategy.assign(eligible);
      const next = strategy.reactToLoss(current, new Set(), placed(eligible, current));
      equal(sorted(next), sorted(current), `${size} nodes`);
    }
  },

  "losing everybody leaves nobody": (strategy) => {
    const eligible = nodes(strategy.minNodes + 1);
    const current = strategy.assign(eligible);
    equal(strategy.reactToLoss(current, new Set(eligible.map(({ id }) => id)), []).size, 0, "how many roles are left");
  },

  "what is not the shape is said, with code and message": (strategy) => {
    const whole = strategy.assign(nodes(strategy.minNodes));
    const masters = new Set(holders(whole, "master"));
    const wrong: readonly (readonly [string, Assignment])[] = [
      ["nobody", new Map()],
      ["no master", new Map([...whole].filter(([id]) => !masters.has(id)))],
      [
        "a bootstrap node",
        new Map<NodeId, Role>([...whole].map(([id, role]) => [id, masters.has(id) ? "bootstrap" : role])),
      ],
    ];
    for (const [what, assignment] of wrong) {
      const violations = strategy.validate(assignment);
      check(violations.length > 0, `${what} is taken for the shape`);
      for (const { code, message } of violations) {
        check(/^[A-Z][A-Z0-9]*(_[A-Z0-9]+)+$/.test(code), `the code is ${code}`);
        check(message.length > 0, `${code} has no message`);
      }
    }
  },
};
