import { expect, test } from "vitest";
import { idHash, ObserverPlan } from "../src/core/observers.ts";
import { identityOf } from "./identities.ts";
import { range, World } from "./world.ts";

async function settled(
  count: number,
  seed: number,
  keys?: (number: number) => Readonly<Record<string, string>>,
): Promise<World> {
  const world = new World(seed);
  for (const number of range(count)) await world.start(number, keys === undefined ? {} : { keys: keys(number) });
  const all = range(count);
  await world.clock.runUntil(() => world.allSee(all, all, "alive"), { withinMs: 20_000 });
  await world.clock.advanceAsync(3_000);
  world.sightings.length = 0;
  return world;
}

const deaths = (world: World) => world.sightings.filter(({ status }) => status === "dead");
const accusations = (world: World) => world.sightings.filter(({ status }) => status === "dead" || status === "suspect");

test.each([2, 3, 5, 9, 15])(
  "among %i nodes, a killed one is known dead by closed evidence within 700 ms",
  async (count) => {
    await using world = await settled(count, count);
    const rest = range(count - 1);
    world.kill(count - 1);
    const tookMs = await world.clock.runUntil(() => world.allSee(rest, [count - 1], "dead/closed"), {
      withinMs: 5_000,
    });
    expect(tookMs).toBeLessThanOrEqual(700);
    expect(accusations(world).every(({ member }) => member === count - 1)).toBe(true);
  },
);

test.each([1, 2, 3])(
  "a pause shorter than the suspicion is no death, while three frames in ten are lost (seed %i)",
  async (seed) => {
    await using world = await settled(5, seed);
    world.lose(0.3);
    for (let pause = 0; pause < 5; pause++) {
      world.pause(4, 1_500);
      await world.clock.advanceAsync(6_000);
    }
    expect(deaths(world)).toEqual([]);
    world.lose(0);
    await world.clock.advanceAsync(3_000);
    expect(world.allSee(range(5), range(5), "alive")).toBe(true);
  },
);

test("a pause longer than the suspicion is a silent death, and the paused node comes back by itself", async () => {
  await using world = await settled(5, 11);
  const rest = range(4);
  world.pause(4, 6_000);
  const tookMs = await world.clock.runUntil(() => world.allSee(rest, [4], "dead/silent"), { withinMs: 6_000 });
  expect(tookMs).toBeGreaterThan(2_000);
  expect(tookMs).toBeLessThanOrEqual(3_200);
  await world.clock.runUntil(() => world.allSee(range(5), range(5), "alive"), { withinMs: 10_000 });
  expect(world.node(0).membership.view().members.get(world.node(4).id)?.incarnation).toBeGreaterThan(0);
});

test.each([1_000, 3_000, 10_000, 30_000])("an observer that stalls for %i ms accuses nobody", async (durationMs) => {
  await using world = await settled(5, durationMs);
  world.pause(2, durationMs);
  await world.clock.advanceAsync(durationMs + 20_000);
  expect(accusations(world).filter(({ observer }) => observer === 2)).toEqual([]);
  expect(accusations(world).every(({ member }) => member === 2)).toBe(true);
  if (durationMs < 2_000) expect(deaths(world)).toEqual([]);
  expect(world.allSee(range(5), range(5), "alive")).toBe(true);
});

test("after a stall a host says so: frozen, then healthy again", async () => {
  await using world = await settled(3, 12);
  const { membership } = world.node(1);
  world.pause(1, 3_000);
  await world.clock.advanceAsync(3_050);
  expect(membership.health().frozen).toBe(true);
  expect(membership.health().score).toBeGreaterThan(0);
  expect(membership.health().lastStallMs).toBeGreaterThan(2_500);
  await world.clock.advanceAsync(10_000);
  expect(membership.health()).toMatchObject({ score: 0, frozen: false });
});

test("a partition 2|3 is seen as silence on both sides and heals by itself", async () => {
  await using world = await settled(5, 13);
  const left = [0, 1];
  const right = [2, 3, 4];
  world.split(left, right);
  await world.clock.runUntil(
    () => world.allSee(left, right, "dead/silent") && world.allSee(right, left, "dead/silent"),
    { withinMs: 10_000 },
  );
  expect(world.allSee(left, left, "alive") && world.allSee(right, right, "alive")).toBe(true);
  await world.clock.advanceAsync(20_000);
  world.sightings.length = 0;
  world.heal();
  await world.clock.runUntil(() => world.allSee(range(5), range(5), "alive"), { withinMs: 20_000 });
  await world.clock.advanceAsync(10_000);
  expect(world.allSee(range(5), range(5), "alive")).toBe(true);
  // What each side had said of the other is old news by now: it makes nobody doubt those whom it hears.
  const sameSide = ({ observer, member }: { observer: number; member: number }) =>
    left.includes(observer) === left.includes(member);
  expect(accusations(world).filter(sameSide)).toEqual([]);
});

test("a partition heals by itself where no node has a seed on the other side", async () => {
  await using world = new World(28);
  const seeds = new Map([
    [0, [1]],
    [1, [0]],
    [2, [3]],
    [3, [2]],
    [4, [0, 2]],
  ]);
  for (const [number, known] of seeds) await world.start(number, { seeds: known });
  await world.clock.runUntil(() => world.allSee(range(5), range(5), "alive"), { withinMs: 20_000 });
  world.kill(4);
  world.split([0, 1], [2, 3]);
  await world.clock.runUntil(() => world.nodesSee([0, 1], 2, "dead") && world.nodesSee([2, 3], 0, "dead"), {
    withinMs: 20_000,
  });
  // Long enough for every connection to be given up.
  await world.clock.advanceAsync(15_000);
  world.heal();
  await world.clock.runUntil(() => world.allSee(range(4), range(4), "alive"), { withinMs: 20_000 });
});

test("a node that closes its door to another is not dead for that", async () => {
  await using world = await settled(5, 29);
  const { id } = world.node(0);
  world.node(4).transport.setAdmission((peer) => peer !== id);
  await world.clock.advanceAsync(10_000);
  expect(deaths(world)).toEqual([]);
});

test("one node that cannot hear two others does not make them dead, and bystanders never flap", async () => {
  await using world = await settled(5, 14);
  world.deafen(0, [3, 4]);
  await world.clock.advanceAsync(60_000);
  expect(deaths(world)).toEqual([]);
  expect(accusations(world).filter(({ observer }) => observer !== 0)).toEqual([]);
});

test("a node that one other hears only is alive for everybody, without flapping at bystanders", async () => {
  await using world = await settled(12, 15);
  const hearer = 6;
  for (const observer of range(11)) if (observer !== hearer) world.deafen(observer, [11]);
  await world.clock.advanceAsync(60_000);
  expect(deaths(world)).toEqual([]);
  const plan = new ObserverPlan(
    range(12).map((number) => ({ id: identityOf(number).id, zone: "", hash: idHash(identityOf(number).id) })),
  );
  const bystanders = range(11).filter((number) => !plan.observes(identityOf(number).id, identityOf(11).id));
  expect(bystanders).toHaveLength(3);
  // Signs of life go to observers, so it is one of them that hears and can vouch.
  expect(bystanders).not.toContain(hearer);
  expect(accusations(world).filter(({ observer }) => bystanders.includes(observer))).toEqual([]);
  expect(accusations(world).length).toBeGreaterThan(0);
  expect(world.sees(hearer, 11)).toBe("alive");
  expect(world.node(11).membership.view().members.get(world.node(11).id)?.incarnation).toBeLessThan(20);
});

test("a node that one other heard only, and that then falls silent, is found dead", async () => {
  await using world = await settled(5, 16);
  for (const observer of [1, 2, 3]) world.deafen(observer, [4]);
  await world.clock.advanceAsync(15_000);
  expect(deaths(world)).toEqual([]);
  world.split([4], [0, 1, 2, 3]);
  await world.clock.runUntil(() => world.allSee([0, 1, 2, 3], [4], "dead/silent"), { withinMs: 15_000 });
});

test("losing three frames in ten for ten minutes kills nobody", { timeout: 60_000 }, async () => {
  await using world = await settled(4, 17);
  world.lose(0.3);
  await world.clock.advanceAsync(600_000);
  expect(deaths(world)).toEqual([]);
});

test("wall clocks that jump by an hour change nothing", async () => {
  await using world = await settled(5, 18);
  world.node(1).host.jumpWall(3_600_000);
  world.node(2).host.jumpWall(-3_600_000);
  await world.clock.advanceAsync(10_000);
  world.node(1).host.jumpWall(-7_200_000);
  world.node(1).membership.set("zone", "told-an-hour-ago");
  await world.clock.advanceAsync(10_000);
  expect(world.sightings).toEqual([]);
  expect(world.node(0).membership.view().members.get(world.node(1).id)?.keys.get("zone")).toBe("told-an-hour-ago");
});

test("leaving is told to everybody at once and is no failure, whatever the connections do then", async () => {
  await using world = await settled(5, 19);
  const { membership } = world.node(4);
  await world.clock.run(membership.leave({ timeoutMs: 1_000 }));
  expect(world.allSee(range(4), [4], "left")).toBe(true);
  world.kill(4);
  await world.clock.advanceAsync(10_000);
  expect(world.allSee(range(4), [4], "left")).toBe(true);
  expect(accusations(world)).toEqual([]);
});

test("leaving while nobody can be reached takes no longer than asked", async () => {
  await using world = await settled(3, 20);
  world.split([2], [0, 1]);
  const leaving = world.node(2).membership.leave({ timeoutMs: 500 });
  const startMs = world.clock.monotonicMs();
  await world.clock.run(leaving);
  expect(world.clock.monotonicMs() - startMs).toBeLessThanOrEqual(500);
});

test("a node that comes back after a crash with a newer generation is alive, at a new address too", async () => {
  await using world = await settled(5, 21);
  world.kill(4);
  await world.clock.runUntil(() => world.allSee(range(4), [4], "dead/closed"), { withinMs: 5_000 });
  await world.restart(4);
  await world.clock.runUntil(() => world.allSee(range(5), range(5), "alive"), { withinMs: 10_000 });
  await world.clock.advanceAsync(5_000);
  expect(world.allSee(range(5), range(5), "alive")).toBe(true);
});

test("a node that left comes back with a newer generation", async () => {
  await using world = await settled(3, 22);
  await world.clock.run(world.node(2).membership.leave({ timeoutMs: 500 }));
  world.kill(2);
  await world.clock.advanceAsync(1_000);
  await world.restart(2);
  await world.clock.runUntil(() => world.allSee(range(3), range(3), "alive"), { withinMs: 10_000 });
});

test("a forgotten node does not come back from those who still remember it, and does when it lives", async () => {
  await using world = await settled(5, 23);
  const { id } = world.node(4);
  world.kill(4);
  await world.clock.runUntil(() => world.allSee(range(4), [4], "dead/closed"), { withinMs: 5_000 });
  for (const number of [0, 1]) world.node(number).membership.forget(id);
  await world.clock.advanceAsync(10_000);
  expect([world.sees(0, 4), world.sees(1, 4), world.sees(2, 4)]).toEqual(["unknown", "unknown", "dead/closed"]);
  await world.start(5, { seeds: [1] });
  await world.clock.advanceAsync(5_000);
  expect(["unknown", "dead/closed", "dead/silent"]).toContain(world.sees(5, 4));
  await world.restart(4);
  await world.clock.runUntil(() => world.allSee(range(4), [4], "alive"), { withinMs: 10_000 });
});

test("a long-paused node that was forgotten meanwhile comes back by itself", async () => {
  await using world = await settled(5, 24);
  const { id } = world.node(4);
  world.pause(4, 10_000);
  await world.clock.runUntil(() => world.allSee(range(4), [4], "dead/silent"), { withinMs: 6_000 });
  for (const number of range(4)) world.node(number).membership.forget(id);
  await world.clock.runUntil(() => world.allSee(range(4), [4], "alive"), { withinMs: 30_000 });
});

test("two that fall silent at once are both found dead, although each had vouched for the other", async () => {
  await using world = await settled(5, 25);
  for (const observer of [0, 1]) world.deafen(observer, [3, 4]);
  await world.clock.advanceAsync(10_000);
  world.split([3], [0, 1, 2, 4]);
  world.split([4], [0, 1, 2]);
  await world.clock.runUntil(() => world.allSee([0, 1, 2], [3, 4], "dead/silent"), { withinMs: 30_000 });
});

test("a rolling restart of every node leaves everybody alive", async () => {
  await using world = await settled(5, 26);
  for (const number of range(5)) {
    world.kill(number);
    await world.clock.advanceAsync(1_500);
    await world.restart(number, [(number + 1) % 5]);
    await world.clock.runUntil(() => world.allSee(range(5), range(5), "alive"), { withinMs: 20_000 });
  }
});

test("the dead are known dead to those who join later", async () => {
  await using world = await settled(5, 30);
  world.kill(4);
  await world.clock.runUntil(() => world.allSee(range(4), [4], "dead/closed"), { withinMs: 5_000 });
  await world.start(5, { seeds: [2] });
  await world.clock.runUntil(() => world.sees(5, 4) === "dead/closed", { withinMs: 2_000 });
});

test("the same seed gives the same history", async () => {
  const history = async (): Promise<string> => {
    await using world = await settled(5, 27);
    world.lose(0.2);
    world.pause(1, 4_000);
    world.kill(3);
    await world.clock.advanceAsync(10_000);
    return JSON.stringify(world.sightings);
  };
  const first = await history();
  expect(first.length).toBeGreaterThan(100);
  expect(await history()).toBe(first);
});
