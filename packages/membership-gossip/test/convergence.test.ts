import { expect, test } from "vitest";
import { identityOf } from "./identities.ts";
import { range, World } from "./world.ts";

test.each([5, 9, 10, 20, 50])(
  "%i nodes that start from one seed all come to know each other, without one false suspicion",
  async (count) => {
    await using world = new World(count);
    await world.startAll(count);
    const all = range(count);
    await world.clock.runUntil(
      () => all.every((number) => world.node(number).membership.view().members.size === count),
      { withinMs: 10_000 },
    );
    await world.clock.advanceAsync(3_000);
    expect(world.sightings.filter(({ status }) => status !== "alive")).toEqual([]);
  },
);

test("what a node says of itself reaches everybody, the latest value last", async () => {
  await using world = new World(1);
  await world.startAll(5);
  const all = range(5);
  await world.clock.runUntil(() => world.allSee(all, all, "alive"));
  world.node(3).membership.set("zone", "a");
  world.node(3).membership.set("zone", "b");
  const heard = (number: number) =>
    world.node(number).membership.view().members.get(identityOf(3).id)?.keys.get("zone");
  const tookMs = await world.clock.runUntil(() => all.every((number) => heard(number) === "b"), { withinMs: 2_000 });
  expect(tookMs).toBeLessThanOrEqual(300);
});

test("the last word of a node that shuts down right after is heard", async () => {
  await using world = new World(2);
  await world.startAll(3);
  const all = range(3);
  await world.clock.runUntil(() => world.allSee(all, all, "alive"));
  const { membership } = world.node(2);
  membership.set("restarting", "1");
  await membership.shutdown();
  await world.clock.advanceAsync(200);
  for (const number of [0, 1])
    expect(world.node(number).membership.view().members.get(identityOf(2).id)?.keys.get("restarting")).toBe("1");
});

test("start-up islands merge once they can reach each other", async () => {
  await using world = new World(3);
  const left = [0, 1];
  const right = [2, 3, 4];
  world.split(left, right);
  for (const number of [...left, ...right]) await world.start(number, { seeds: [0, 2] });
  await world.clock.runUntil(() => world.allSee(left, left, "alive") && world.allSee(right, right, "alive"), {
    withinMs: 10_000,
  });
  expect(world.sees(0, 3)).toBe("unknown");
  world.heal();
  const all = range(5);
  await world.clock.runUntil(() => world.allSee(all, all, "alive"), { withinMs: 20_000 });
});

test("addresses travel with the records, so that a node is reached by those who were never told of it", async () => {
  await using world = new World(4);
  await world.startAll(3);
  const all = range(3);
  await world.clock.runUntil(() => world.allSee(all, all, "alive"));
  const seen = world.node(1).membership.view().members.get(identityOf(2).id);
  expect(seen?.addresses).toEqual(world.node(2).transport.listening());
});

test("a stream of changes starts with a snapshot, coalesces, and gives a snapshot again to a consumer that fell behind", async () => {
  await using world = new World(5);
  await world.startAll(3);
  const all = range(3);
  await world.clock.runUntil(() => world.allSee(all, all, "alive"));
  const stop = new AbortController();
  const changes = world.node(0).membership.changes({ signal: stop.signal })[Symbol.asyncIterator]();
  expect((await changes.next()).value).toMatchObject({ type: "snapshot" });
  for (const value of ["1", "2", "3"]) {
    world.node(1).membership.set("load", value);
    await world.clock.advanceAsync(300);
  }
  const next = await changes.next();
  expect(next.value).toMatchObject({ type: "changed", member: { id: identityOf(1).id } });
  expect(next.value?.type === "changed" && next.value.member.keys.get("load")).toBe("3");
  const waiting = changes.next();
  stop.abort();
  expect(await waiting).toEqual({ done: true, value: undefined });
});

test("a view is frozen, and the same one until something changes or a cadence has passed", async () => {
  await using world = new World(6);
  await world.startAll(2);
  await world.clock.runUntil(() => world.allSee([0, 1], [0, 1], "alive"));
  const { membership } = world.node(0);
  const view = membership.view();
  expect(membership.view()).toBe(view);
  expect(Object.isFrozen(view)).toBe(true);
  expect(() => (view.members as Map<unknown, unknown>).clear()).toThrow(TypeError);
  membership.set("zone", "z");
  expect(membership.view()).not.toBe(view);
  expect(view.members.get(identityOf(0).id)?.keys.has("zone")).toBe(false);
});
