/**
 * What has broken others, one test for each; those that have a place of their own by subject stand in `liveness.test.ts`,
 * `convergence.test.ts`, `core.test.ts` and `pages.test.ts`.
 */
import { expect, test } from "vitest";
import { encodeFrame } from "../src/core/frames.ts";
import { coreOf, now, signedRecord, tell, wallMs } from "./cores.ts";
import { clusterId, identityOf } from "./identities.ts";
import { range, World } from "./world.ts";

const generation = Math.floor(wallMs / 1_000);
const id = (number: number) => identityOf(number).id;

async function settled(count: number, seed: number): Promise<World> {
  const world = new World(seed);
  await world.startAll(count, { seeds: [0, 1] });
  const all = range(count);
  await world.clock.runUntil(() => world.allSee(all, all, "alive"), { withinMs: 20_000 });
  await world.clock.advanceAsync(3_000);
  world.sightings.length = 0;
  return world;
}

const accusations = (world: World) => world.sightings.filter(({ status }) => status === "dead" || status === "suspect");

test("restart with the same id and a newer generation: alive, with nothing of the life before", async () => {
  await using world = await settled(5, 101);
  world.node(4).membership.set("only", "before");
  await world.clock.advanceAsync(500);
  world.kill(4);
  await world.clock.runUntil(() => world.allSee(range(4), [4], "dead/closed"), { withinMs: 5_000 });
  await world.restart(4);
  await world.clock.runUntil(() => world.allSee(range(5), range(5), "alive"), { withinMs: 10_000 });
  const seen = world.node(1).membership.view().members.get(id(4));
  expect(seen?.keys.has("only")).toBe(false);
  expect(seen?.generation).toBeGreaterThan(Math.floor(world.clock.wallMs() / 1_000) - 60);
});

test("restart so fast that nobody has noticed the death: the newer generation replaces the older, and nobody is dead", async () => {
  await using world = await settled(5, 102);
  const before = world.node(0).membership.view().members.get(id(4))?.generation ?? 0;
  world.kill(4);
  await world.restart(4);
  await world.clock.runUntil(
    () =>
      range(4).every((number) => (world.node(number).membership.view().members.get(id(4))?.generation ?? 0) > before),
    { withinMs: 5_000 },
  );
  await world.clock.advanceAsync(10_000);
  expect(world.allSee(range(5), range(5), "alive")).toBe(true);
});

test("an address that another id has taken over leads to that id only, and the one before stays what it was", () => {
  const core = coreOf(0);
  tell(core, 1, [signedRecord(2, { addresses: ["10.0.0.9:7000"] }), signedRecord(3)]);
  core.takeEffects();
  const taken = signedRecord(3, { version: 2, addresses: ["10.0.0.9:7000"] });
  core.received(id(1), encodeFrame(clusterId, { type: "news", items: [taken] }), now(10));
  const hints = core.takeEffects().filter((effect) => effect.type === "addresses");
  expect(hints).toEqual([{ type: "addresses", id: id(3), addresses: ["10.0.0.9:7000"] }]);
  expect(core.member(id(2))?.record.addresses).toEqual(["10.0.0.9:7000"]);
  expect(core.member(id(2))?.standing.status).toBe("alive");
});

test("a restart at a new address is found there, by the newer record", () => {
  const core = coreOf(0);
  tell(core, 1, [signedRecord(2, { addresses: ["10.0.0.2:7000"], incarnation: 9, version: 900 })]);
  const moved = signedRecord(2, { generation: generation + 1, addresses: ["10.9.9.9:7000"] });
  core.received(id(1), encodeFrame(clusterId, { type: "news", items: [moved] }), now(10));
  expect(core.takeEffects()).toContainEqual({ type: "addresses", id: id(2), addresses: ["10.9.9.9:7000"] });
  expect(core.member(id(2))?.record.addresses).toEqual(["10.9.9.9:7000"]);
});

test("mass restart with high dead incarnations: newer generations win, however low their incarnations", async () => {
  await using world = await settled(5, 103);
  for (let raise = 0; raise < 20; raise++)
    for (const number of range(5)) world.node(number).membership.raiseIncarnation();
  await world.clock.advanceAsync(1_000);
  expect(world.node(0).membership.view().members.get(id(4))?.incarnation).toBe(20);
  for (const number of [2, 3, 4]) world.kill(number);
  await world.clock.runUntil(() => [2, 3, 4].every((member) => world.nodesSee([0, 1], member, "dead")), {
    withinMs: 20_000,
  });
  for (const number of [2, 3, 4]) await world.restart(number);
  await world.clock.runUntil(() => world.allSee(range(5), range(5), "alive"), { withinMs: 30_000 });
  expect(world.node(0).membership.view().members.get(id(4))?.incarnation).toBeLessThan(20);
});

test("partition healed after suspicion, before any death: nobody dies, everybody is alive again", async () => {
  await using world = await settled(5, 104);
  world.split([0, 1], [2, 3, 4]);
  await world.clock.runUntil(() => world.nodesSee([0, 1], 3, "suspect"), { withinMs: 3_000 });
  world.heal();
  await world.clock.runUntil(() => world.allSee(range(5), range(5), "alive"), { withinMs: 10_000 });
  await world.clock.advanceAsync(10_000);
  expect(world.sightings.filter(({ status }) => status === "dead")).toEqual([]);
});

test("partition healed after GC: both sides had forgotten each other, and are whole again", async () => {
  await using world = await settled(5, 105);
  const [left, right] = [
    [0, 1],
    [2, 3, 4],
  ] as const;
  world.split(left, right);
  await world.clock.runUntil(() => right.every((member) => world.nodesSee(left, member, "dead")), { withinMs: 20_000 });
  await world.clock.runUntil(() => left.every((member) => world.nodesSee(right, member, "dead")), { withinMs: 20_000 });
  for (const one of left) for (const other of right) world.node(one).membership.forget(id(other));
  for (const one of right) for (const other of left) world.node(one).membership.forget(id(other));
  expect(world.sees(0, 3)).toBe("unknown");
  world.heal();
  await world.clock.runUntil(() => world.allSee(range(5), range(5), "alive"), { withinMs: 60_000 });
});

test("permanently degraded observer: it accuses nobody falsely, nobody takes it for dead, and a true death is still found", async () => {
  await using world = await settled(5, 106);
  for (let second = 0; second < 40; second++) {
    world.pause(2, 800);
    await world.clock.advanceAsync(1_500);
  }
  expect(accusations(world).filter(({ observer, member }) => observer === 2 && member !== 2)).toEqual([]);
  expect(world.sightings.filter(({ status }) => status === "dead")).toEqual([]);
  expect(world.node(2).membership.health().score).toBeGreaterThan(0);
  world.kill(4);
  await world.clock.runUntil(() => world.allSee([0, 1, 3], [4], "dead/closed"), { withinMs: 5_000 });
});

test("delayed relayed heartbeats do not keep the dead alive: a beat counts for the peer that the transport has proven", () => {
  const core = coreOf(0);
  tell(core, 1, [signedRecord(1), signedRecord(2), signedRecord(3)]);
  core.round(now(0));
  const beat = (sequence: number) => encodeFrame(clusterId, { type: "beat", generation, incarnation: 0, sequence });
  let sequence = 0;
  for (let nowMs = 100; nowMs <= 1_000; nowMs += 100) {
    for (const peer of [1, 2, 3]) core.received(id(peer), beat(++sequence), now(nowMs));
    core.tick(now(nowMs));
    core.round(now(nowMs));
  }
  const last = sequence;
  // Node 3 is gone. Node 1 relays its beats, and beats of before come in late and twice.
  for (let nowMs = 1_100; nowMs <= 8_000; nowMs += 100) {
    for (const peer of [1, 2]) core.received(id(peer), beat(++sequence), now(nowMs));
    core.received(id(1), beat(last + 1_000 + nowMs), now(nowMs));
    core.received(id(3), beat(last), now(nowMs));
    core.received(id(3), beat(1), now(nowMs));
    core.tick(now(nowMs));
    core.round(now(nowMs));
  }
  expect(core.member(id(3))?.standing.status).not.toBe("alive");
  expect(core.phi(id(3), 8_000)).toBeGreaterThan(8);
});

test("beats that were on their way when their sender died do not revive it", async () => {
  await using world = await settled(5, 107);
  world.kill(4);
  await world.clock.runUntil(() => world.allSee(range(4), [4], "dead/closed"), { withinMs: 5_000 });
  const core = coreOf(0);
  tell(core, 1, [signedRecord(1), signedRecord(2), signedRecord(4)]);
  core.round(now(0));
  core.closed(id(4), { generation, incarnation: 0 }, now(100));
  tell(core, 1, [], 100);
  for (let late = 1; late <= 5; late++)
    core.received(
      id(4),
      encodeFrame(clusterId, { type: "beat", generation, incarnation: 0, sequence: late }),
      now(200),
    );
  const before = core.member(id(4))?.standing.status;
  core.round(now(300));
  expect(core.member(id(4))?.standing.status).toBe(before);
});

test("GC'd nodes never reappear: not from those who forget later, not from a peer that was away, not to one that joins", async () => {
  await using world = await settled(6, 108);
  world.split([5], range(5));
  await world.clock.runUntil(() => world.nodesSee(range(5), 5, "dead"), { withinMs: 20_000 });
  world.kill(4);
  await world.clock.runUntil(() => world.nodesSee([0, 1, 2, 3], 4, "dead"), { withinMs: 10_000 });
  world.sightings.length = 0;
  // Each forgets at another time; node 5, cut off, still holds everything.
  for (const number of range(4)) {
    world.node(number).membership.forget(id(4));
    await world.clock.advanceAsync(3_000);
  }
  world.heal();
  await world.clock.runUntil(() => world.nodesSee([0, 1, 2, 3], 5, "alive"), { withinMs: 60_000 });
  await world.start(6, { seeds: [5, 0] });
  await world.clock.advanceAsync(15_000);
  const reappeared = world.sightings.filter(
    ({ member, status }) => member === 4 && (status === "alive" || status === "suspect"),
  );
  expect(reappeared.filter(({ observer }) => observer < 4)).toEqual([]);
  for (const observer of range(4)) expect(world.sees(observer, 4)).toBe("unknown");
  expect(["unknown", "dead/closed", "dead/silent"]).toContain(world.sees(6, 4));
});

test("a node that was offline while another changed its key learns of the leaving and of the new one when it is back", async () => {
  await using world = await settled(4, 109);
  world.split([3], [0, 1, 2]);
  await world.clock.runUntil(() => world.nodesSee([0, 1, 2], 3, "dead"), { withinMs: 20_000 });
  await world.clock.run(world.node(2).membership.leave({ timeoutMs: 500 }));
  world.kill(2);
  await world.start(7, { seeds: [0] });
  await world.clock.runUntil(() => world.nodesSee([0, 1], 7, "alive"), { withinMs: 5_000 });
  world.heal();
  await world.clock.runUntil(() => world.sees(3, 2) === "left" && world.sees(3, 7) === "alive", { withinMs: 60_000 });
  await world.clock.runUntil(() => world.allSee([0, 1, 7], [3], "alive"), { withinMs: 60_000 });
});

test("leave is not crash: nobody is told of a death, and the one that left stays left when its host goes away", async () => {
  await using world = await settled(5, 110);
  await world.clock.run(world.node(4).membership.leave({ timeoutMs: 1_000 }));
  world.kill(4);
  await world.clock.advanceAsync(30_000);
  expect(accusations(world)).toEqual([]);
  expect(world.allSee(range(4), [4], "left")).toBe(true);
});

test("leave then rejoin under the same generation is refused, under a newer one it is alive", () => {
  const core = coreOf(0);
  tell(core, 1, [signedRecord(2, { version: 2, status: "left" })]);
  expect(tell(core, 1, [signedRecord(2, { version: 3 })])).toEqual(["resurrection"]);
  tell(core, 1, [signedRecord(2, { generation: generation + 1 })]);
  expect(core.member(id(2))?.standing.status).toBe("alive");
});
