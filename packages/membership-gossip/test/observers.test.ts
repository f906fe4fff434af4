import { expect, test } from "vitest";
import { idHash, ObserverPlan } from "../src/core/observers.ts";
import { identityOf } from "./identities.ts";

function plan(
  count: number,
  zones = 1,
): { readonly plan: ObserverPlan; readonly ids: ReturnType<typeof identityOf>["id"][] } {
  const ids = Array.from({ length: count }, (_, number) => identityOf(number).id);
  return {
    ids,
    plan: new ObserverPlan(ids.map((id, index) => ({ id, zone: `z${index % zones}`, hash: idHash(id) }))),
  };
}

test("up to nine nodes, everybody observes everybody", () => {
  const { plan: nine, ids } = plan(9);
  for (const subject of ids)
    expect([...nine.observersOf(subject)].sort()).toEqual(ids.filter((id) => id !== subject).sort());
});

test("beyond nine, each node has eight observers, and both sides agree on who they are", () => {
  const { plan: many, ids } = plan(60);
  for (const subject of ids) {
    const observers = many.observersOf(subject);
    expect(observers).toHaveLength(8);
    expect(new Set(observers)).toEqual(new Set(ids.filter((id) => many.observes(id, subject))));
  }
});

test("the duty is spread evenly", () => {
  const { plan: many, ids } = plan(100);
  const duties = ids.map((observer) => ids.filter((subject) => many.observes(observer, subject)).length);
  expect(Math.max(...duties)).toBeLessThanOrEqual(20);
  expect(Math.min(...duties)).toBeGreaterThanOrEqual(1);
});

test("observers are spread over the zones", () => {
  const { plan: zoned, ids } = plan(60, 4);
  for (const subject of ids) {
    const zones = zoned.observersOf(subject).map((id) => ids.indexOf(id) % 4);
    expect(zones.toSorted((left, right) => left - right)).toEqual([0, 0, 1, 1, 2, 2, 3, 3]);
  }
});

test("a node that goes changes the observers of those only whom it observed", () => {
  const { plan: before, ids } = plan(60);
  const gone = ids[17]!;
  const after = new ObserverPlan(ids.filter((id) => id !== gone).map((id) => ({ id, zone: "z0", hash: idHash(id) })));
  for (const subject of ids) {
    if (subject === gone) continue;
    const kept = before.observersOf(subject).filter((id) => id !== gone);
    expect(after.observersOf(subject)).toEqual(expect.arrayContaining([...kept]));
  }
});
