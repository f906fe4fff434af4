import { expect, test } from "vitest";
import { Hosts, namesOf, type Site } from "./support/hosts.ts";
import { nodeId, T, World } from "./support/replicas.ts";

const minuteMs = 60_000;

/** Spreads leadership: every host leads some. */
async function spread(hosts: Hosts, names: readonly string[]): Promise<void> {
  for (const [at, name] of names.entries()) {
    const to = hosts.site(1 + (at % 3));
    const leader = hosts.leaderOf(name) as Site;
    if (to !== leader) await hosts.run(hosts.seat(leader.n, name).consensus.transferLeadership(to.id));
  }
  await hosts.until(() => names.every((name, at) => hosts.leaderOf(name)?.n === 1 + (at % 3)));
}

async function formSpread(names: readonly string[]): Promise<Hosts> {
  const hosts = new Hosts();
  await hosts.form(names);
  await spread(hosts, names);
  return hosts;
}

/** Long enough for everything to come to rest, and a while beyond, in which no core is asked for anything. */
async function expectRest(hosts: Hosts, names: readonly string[]): Promise<void> {
  await hosts.clock.advanceAsync(10 * T);
  const before = hosts.ticksOf(names);
  await hosts.clock.advanceAsync(10 * T);
  expect(hosts.ticksOf(names)).toBe(before);
}

function termsOf(hosts: Hosts, names: readonly string[]): readonly number[] {
  return names.map((name) =>
    Math.max(...[...hosts.sites.values()].map((site) => site.seats.get(name)?.consensus.status().term ?? 0)),
  );
}

/** Every replica that runs has applied the same commands. */
function agree(hosts: Hosts, name: string, commands: readonly string[]): boolean {
  return [...hosts.sites.values()].every((site) => {
    const machine = site.seats.get(name)?.machine;
    return machine !== undefined && JSON.stringify(machine.commands) === JSON.stringify(commands);
  });
}

test("a hundred idle groups, led by three hosts, send at most twice the frames of a single one, and no core ticks", async () => {
  const world = new World();
  await world.form([1, 2, 3]);
  await world.clock.advanceAsync(10 * T);
  const before = world.network.statistics().delivered;
  await world.clock.advanceAsync(minuteMs);
  const ofOne = world.network.statistics().delivered - before;
  await world.stop();

  const names = namesOf(100);
  const hosts = await formSpread(names);
  await expectRest(hosts, names);
  const terms = termsOf(hosts, names);
  const ticks = hosts.ticksOf(names);
  const delivered = hosts.network.statistics().delivered;
  await hosts.clock.advanceAsync(minuteMs);
  const ofHundred = hosts.network.statistics().delivered - delivered;
  expect(ofHundred).toBeLessThanOrEqual(2 * ofOne);
  expect(hosts.ticksOf(names)).toBe(ticks);
  expect(termsOf(hosts, names)).toEqual(terms);
  for (const name of names) expect(hosts.seat(2, name).consensus.status().quorum).toBe(true);
  await hosts.stop();
}, 60_000);

test("a proposal wakes a group that rests, wherever it is made, and the group rests again", async () => {
  const names = namesOf(6);
  const hosts = await formSpread(names);
  await expectRest(hosts, names);
  for (const [at, name] of names.entries()) {
    const committed = await hosts.run(hosts.seat(1 + (at % 2), name).consensus.propose("awake"));
    expect(committed.result).toBe("2:awake");
  }
  await hosts.until(() => names.every((name) => agree(hosts, name, ["first", "awake"])), 2 * T);
  await expectRest(hosts, names);
  await hosts.stop();
});

test("a read is linearizable on a group that rests", async () => {
  const names = namesOf(3);
  const hosts = await formSpread(names);
  await hosts.run(hosts.seat(1, "group-0").consensus.propose("written"));
  await expectRest(hosts, names);
  for (const n of [1, 2, 3]) {
    await hosts.run(hosts.seat(n, "group-0").consensus.readBarrier());
    expect(hosts.seat(n, "group-0").machine.commands).toEqual(["first", "written"]);
  }
  await expectRest(hosts, names);
  await hosts.stop();
});

test("the host of resting leaders is killed: every group elects another within bounds, and none goes on electing", async () => {
  const names = namesOf(60);
  const hosts = await formSpread(names);
  await expectRest(hosts, names);
  const terms = termsOf(hosts, names);
  hosts.kill(2);
  const led = names.filter((_, at) => at % 3 === 1);
  const tookMs = await hosts.until(() => led.every((name) => hosts.leaderOf(name) !== undefined), 20 * T);
  expect(tookMs).toBeGreaterThanOrEqual(T - T / 5 - 1);
  await hosts.clock.advanceAsync(10 * T);
  const afterwards = termsOf(hosts, names);
  await hosts.clock.advanceAsync(20 * T);
  expect(termsOf(hosts, names)).toEqual(afterwards);
  // Whom the dead one followed saw no election at all.
  names.forEach((name, at) => {
    if (!led.includes(name)) expect(afterwards[at]).toBe(terms[at]);
  });
  await hosts.run(Promise.all(names.map((name) => hosts.seat(1, name).consensus.propose("on"))));
  // The dead one is not waited for: those that are left come to rest without it.
  await expectRest(hosts, names);
  await hosts.stop();
});

test("a host that was away while its groups rested and were written to catches up after its restart", async () => {
  const names = namesOf(9);
  const hosts = await formSpread(names);
  await expectRest(hosts, names);
  const dead = hosts.kill(3);
  await hosts.newLeaders(names);
  await hosts.run(Promise.all(names.map((name) => hosts.seat(1, name).consensus.propose("missed"))));
  await expectRest(hosts, names);
  await hosts.restart(dead);
  await hosts.until(() => names.every((name) => agree(hosts, name, ["first", "missed"])));
  await expectRest(hosts, names);
  await hosts.stop();
});

test("a host restarts so quickly that nobody misses it: nothing that it said before holds, and its groups find together", async () => {
  const names = namesOf(9);
  const hosts = await formSpread(names);
  await expectRest(hosts, names);
  for (const n of [1, 2, 3]) {
    await hosts.restart(hosts.kill(n));
    await hosts.newLeaders(names);
    const proposals = names.map((name) => hosts.seat(n, name).consensus.propose(`after ${n}`));
    await hosts.run(Promise.all(proposals));
  }
  await hosts.until(() => names.every((name) => agree(hosts, name, ["first", "after 1", "after 2", "after 3"])));
  await expectRest(hosts, names);
  await hosts.stop();
});

for (const [from, to] of [
  [1, 2],
  [2, 1],
] as const) {
  test(`with nothing passing from host ${from} to host ${to}, resting groups go on, and rest once all passes again`, async () => {
    const names = namesOf(9);
    const hosts = await formSpread(names);
    await expectRest(hosts, names);
    hosts.network.cut(nodeId(from), nodeId(to));
    await hosts.clock.advanceAsync(20 * T);
    await hosts.newLeaders(names);
    await hosts.run(Promise.all(names.map((name) => hosts.seat(3, name).consensus.propose("meanwhile"))));
    hosts.network.heal();
    await hosts.until(() => names.every((name) => agree(hosts, name, ["first", "meanwhile"])));
    await hosts.clock.advanceAsync(10_000);
    const terms = termsOf(hosts, names);
    await expectRest(hosts, names);
    expect(termsOf(hosts, names)).toEqual(terms);
    await hosts.stop();
  });
}

test("a leader that rests and is cut off steps down, and its followers elect another", async () => {
  const names = namesOf(3);
  const hosts = await formSpread(names);
  await expectRest(hosts, names);
  hosts.network.partition([nodeId(1)], [nodeId(2), nodeId(3)]);
  await hosts.until(() => hosts.seat(1, "group-0").consensus.status().role !== "leader", 3 * T);
  await hosts.until(() => (hosts.leaderOf("group-0")?.n ?? 1) !== 1, 10 * T);
  expect(hosts.seat(1, "group-0").consensus.status().quorum).toBe(false);
  hosts.network.heal();
  await hosts.run(hosts.seat(1, "group-0").consensus.propose("healed"));
  await hosts.stop();
});

test("a host that was forgotten by one that it remembers is believed again", async () => {
  const names = ["one", "three"];
  const hosts = new Hosts();
  await hosts.form(names);
  await hosts.run(hosts.seat(1, "three").consensus.transferLeadership(nodeId(3)));
  await hosts.clock.advanceAsync(minuteMs);
  await expectRest(hosts, names);
  hosts.network.partition([nodeId(1)], [nodeId(3)]);
  // With nothing left to claim towards it, host 1 forgets host 3, which goes on claiming.
  await hosts.run(hosts.seat(1, "one").consensus.transferLeadership(nodeId(2)));
  await hosts.clock.advanceAsync(30 * T);
  hosts.network.heal();
  await hosts.clock.advanceAsync(10 * T);
  await hosts.run(hosts.seat(2, "one").consensus.transferLeadership(nodeId(1)));
  await expectRest(hosts, names);
  await hosts.stop();
});

test("every second frame between hosts is lost: resting groups keep their leaders", async () => {
  const names = namesOf(9);
  const hosts = await formSpread(names);
  await expectRest(hosts, names);
  const terms = termsOf(hosts, names);
  let sent = 0;
  hosts.network.shape(() => {
    sent += 1;
    return sent % 2 === 0 ? { drop: true } : {};
  });
  await hosts.clock.advanceAsync(minuteMs / 2);
  expect(termsOf(hosts, names)).toEqual(terms);
  hosts.network.shape(undefined);
  await expectRest(hosts, names);
  await hosts.stop();
});

test("a group that is gone from one host goes on awake on the others, beside groups that rest", async () => {
  const names = namesOf(4);
  const hosts = await formSpread(names);
  await expectRest(hosts, names);
  await hosts.run(hosts.seat(3, "group-0").consensus.shutdown());
  const others = names.slice(1);
  await expectRest(hosts, others);
  const before = hosts.ticksOf(["group-0"]);
  await hosts.run(hosts.seat(2, "group-0").consensus.propose("two of three"));
  await hosts.clock.advanceAsync(10 * T);
  expect(hosts.ticksOf(["group-0"])).toBeGreaterThan(before);
  await hosts.seatOf(3, "group-0");
  await hosts.until(() => agree(hosts, "group-0", ["first", "two of three"]));
  await expectRest(hosts, names);
  await hosts.stop();
});

test("a stalled host finds its groups as they are, or gives them up, and all rest again", async () => {
  const names = namesOf(9);
  const hosts = await formSpread(names);
  for (const stallMs of [0.7 * T, 5 * T]) {
    await expectRest(hosts, names);
    hosts.site(1).loop.stall(stallMs);
    await hosts.clock.advanceAsync(10 * T);
    await hosts.newLeaders(names);
    await hosts.run(Promise.all(names.map((name) => hosts.seat(2, name).consensus.propose("x"))));
  }
  await hosts.until(() => names.every((name) => agree(hosts, name, ["first", "x", "x"])));
  await expectRest(hosts, names);
  await hosts.stop();
});
