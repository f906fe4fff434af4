import { controllersDuty } from "@revoada/cluster";
import {
  noLeases,
  type ArchivedSegment,
  type ArchiveOrder,
  type ArchiveSink,
  type Duty,
  type DutyChain,
  type DutyContext,
} from "@revoada/fabric";
import { expect, test } from "vitest";
import { Duties } from "../src/duties/duties.ts";
import { dutyRank, dutyStanding } from "../src/duties/placement.ts";
import { DutyWorld } from "./doubles/duty-world.ts";
import { nodeId } from "./doubles/keys.ts";

const names = ["a", "b", "c"];
const write = { compare: [], then: [{ type: "delete", key: new TextEncoder().encode("k") }], else: [] } as const;

/** Masters that all have the one singleton `work`, in the order in which they would take it. */
function masters(): { readonly world: DutyWorld; readonly order: readonly string[] } {
  const world = new DutyWorld(...names);
  const order = names.toSorted(
    (x, y) => dutyRank(world.formation(), "work", nodeId(x)) - dutyRank(world.formation(), "work", nodeId(y)),
  );
  for (const name of names) world.start(name, [world.duty()(name)]);
  return { world, order };
}

test("a singleton runs on one master, and the others do not even ask for it", async () => {
  const { world, order } = masters();
  await world.pass(60_000);
  expect(world.running).toEqual([order[0]]);
  expect(world.leases.log).toEqual(["grant work"]);
});

test("a node that has left ends its duties and gives them back, though gossip hears nothing of it any more", async () => {
  const { world, order } = masters();
  await world.pass(5_000);
  const holder = world.nodes.get(order[0]!)!;
  holder.hasLeft = true;
  await world.clock.run(holder.duties.stop());
  expect(world.runs[0]!.ended).toBe(true);
  await world.pass(1_000);
  expect(world.running).toEqual([order[1]]);
});

test("when the holder dies the next in order takes over once the lease has ended, under a higher token", async () => {
  const { world, order } = masters();
  await world.pass(5_000);
  const [first] = world.runs;
  world.nodes.get(order[0]!)!.host.stop();
  await world.pass(7_000);
  expect(world.runs).toHaveLength(1);
  await world.pass(6_000);
  expect(world.runs.map(({ node }) => node)).toEqual([order[0], order[1]]);
  expect(world.runs[1]!.context.token!.index).toBeGreaterThan(first!.context.token!.index);
});

test("a holder that is cut off stops before anybody else may begin, and its writes are refused", async () => {
  const { world, order } = masters();
  await world.pass(5_000);
  const [first] = world.runs;
  world.nodes.get(order[0]!)!.isCutOff = true;
  let lostMs = Number.POSITIVE_INFINITY;
  first!.context.signal.addEventListener("abort", () => {
    lostMs = world.clock.monotonicMs();
  });
  await world.clock.runUntil(() => world.runs.length === 2, { withinMs: 30_000 });
  expect(lostMs).toBeLessThan(world.clock.monotonicMs() - 1_000);
  expect(first!.context.isHeld()).toBe(false);
  await expect(first!.context.catalog.txn(write)).rejects.toMatchObject({ code: "DUTY_LOST" });
  expect(world.running).toEqual([order[1]]);
});

test("a holder whose process stood still writes nothing afterwards, whatever it believes", async () => {
  const { world, order } = masters();
  await world.pass(5_000);
  const { context } = world.runs[0]!;
  const { host } = world.nodes.get(order[0]!)!;
  host.stall(20_000);
  await world.clock.runUntil(() => world.runs.length === 2, { withinMs: 30_000 });
  // It has not noticed yet: no timer of its has run. The clock says so all the same.
  expect(context.signal.aborted).toBe(false);
  expect(context.isHeld()).toBe(false);
  expect(context.signal.aborted).toBe(true);
  await expect(context.catalog.txn(write)).rejects.toMatchObject({ code: "DUTY_LOST" });
  await world.pass(30_000);
  expect(world.running).toEqual([order[1]]);
  expect(world.written).toEqual([]);
});

test("short losses of contact and clocks that are set cost a holder nothing", async () => {
  const { world, order } = masters();
  await world.pass(5_000);
  const node = world.nodes.get(order[0]!)!;
  const { context } = world.runs[0]!;
  node.isCutOff = true;
  await world.pass(4_000);
  node.isCutOff = false;
  await world.pass(5_000);
  node.host.jumpWall(3_600_000);
  // The machine may have been asleep: nothing is sworn until a renewal has shown that the lease stands.
  expect(context.isHeld()).toBe(false);
  await world.pass(100);
  expect(context.isHeld()).toBe(true);
  node.host.jumpWall(-7_200_000);
  expect(context.isHeld()).toBe(true);
  await world.pass(30_000);
  expect(world.runs).toHaveLength(1);
});

test("a master that stops ends its duty first and then gives the lease back, so that nobody waits for its end", async () => {
  const { world, order } = masters();
  await world.pass(5_000);
  const events: string[] = [];
  world.onEnd = () => void events.push(`ends while ${world.leases.held.size} lease is held`);
  const stopped = world.nodes.get(order[0]!)!.duties.stop();
  await world.clock.run(stopped, { withinMs: 5_000 });
  expect(events).toEqual(["ends while 1 lease is held"]);
  await world.pass(1_000);
  expect(world.running).toEqual([order[1]]);
});

test("a master that is no master any more gives up, a cordoned one keeps what it has and takes nothing new", async () => {
  const { world, order } = masters();
  await world.pass(5_000);
  const [first, second, third] = order as [string, string, string];
  world.setRecord(first, { flags: ["cordoned"] });
  world.setRecord(second, { flags: ["cordoned"] });
  await world.pass(30_000);
  expect(world.running).toEqual([first]);
  world.setRecord(first, { state: "demoting" });
  await world.pass(2_000);
  expect(world.running).toEqual([third]);
  world.setRecord(third, { flags: ["quarantined"] });
  await world.pass(30_000);
  expect(world.running).toEqual([]);
  world.setRecord(second, { flags: [] });
  await world.pass(6_000);
  expect(world.running).toEqual([second]);
});

test("a restarted holder takes its own lease back at once", async () => {
  const { world, order } = masters();
  await world.pass(5_000);
  const [first] = order as [string];
  world.nodes.get(first)!.host.stop();
  await world.pass(500);
  world.start(first, [world.duty()(first)]);
  await world.pass(1_000);
  expect(world.runs.map(({ node }) => node)).toEqual([first, first]);
});

test("a singleton that fails gives the lease to others, is left alone longer each time, and says why", async () => {
  const { world, order } = masters();
  let attempts = 0;
  world.onStart = (node) => {
    if (node !== order[0]) return;
    attempts += 1;
    throw new Error("no room");
  };
  await world.pass(3_000);
  expect(world.running).toEqual([order[1]]);
  const report = (): unknown => world.nodes.get(order[0]!)!.duties.report()[0];
  expect(attempts).toBe(1);
  expect(report()).toMatchObject({ state: "waiting", nodes: [nodeId(order[1]!)] });
});

test("a duty of every master that fails is tried again, less and less often", async () => {
  const world = new DutyWorld("a");
  const startedMs: number[] = [];
  world.onStart = () => {
    startedMs.push(world.clock.monotonicMs());
    throw new Error("no room");
  };
  const node = world.start("a", [world.duty("everywhere", "everywhere-on-masters")("a")]);
  await world.pass(1);
  expect(node.duties.report()).toEqual([
    { duty: "everywhere", kind: "everywhere-on-masters", state: "failed", nodes: [], error: "no room" },
  ]);
  await world.pass(300_000);
  const gapsMs = startedMs.slice(1).map((atMs, place) => Math.round(atMs - startedMs[place]!));
  expect(gapsMs).toEqual([1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000]);
});

test("a duty that never starts and never ends does not hold its node up", async () => {
  const world = new DutyWorld("a");
  world.onStart = () => new Promise<never>(() => undefined);
  const node = world.start("a", [world.duty()("a")]);
  await world.pass(100);
  expect(node.duties.report()).toMatchObject([{ state: "starting" }]);
  await world.clock.run(node.duties.stop(), { withinMs: 15_000 });
  expect(world.leases.held.size).toBe(0);
});

test("duties of every master run on all of them, say so in gossip, and need no lease", async () => {
  const world = new DutyWorld(...names);
  world.setRecord("c", { role: "worker" });
  for (const name of names) world.start(name, [world.duty("everywhere", "everywhere-on-masters")(name)]);
  await world.pass(1_000);
  expect(world.running.toSorted()).toEqual(["a", "b"]);
  expect(world.leases.grants).toBe(0);
  const [report] = world.nodes.get("c")!.duties.report();
  expect(report).toMatchObject({ state: "idle", nodes: [nodeId("a"), nodeId("b")].toSorted() });
});

test("duties of one name, of a malformed one, and singletons without leases are refused", () => {
  const world = new DutyWorld("a");
  const duty = (name: string): Duty => ({ ...world.duty()("a"), name });
  expect(() => world.start("a", [duty("x"), duty("x")])).toThrow(
    expect.objectContaining({ code: "FABRIC_INVALID_VALUE" }),
  );
  expect(() => world.start("a", [duty("X")])).toThrow(expect.objectContaining({ code: "FABRIC_INVALID_VALUE" }));
  const options = { duties: [duty("x")], catalog: { leases: noLeases } } as unknown as ConstructorParameters<
    typeof Duties
  >[0];
  expect(() => new Duties(options)).toThrow(expect.objectContaining({ code: "CATALOG_LEASES_UNSUPPORTED" }));
});

test("every node orders the masters alike, each duty orders them anew, and nobody else is asked", () => {
  const world = new DutyWorld(...Array.from({ length: 9 }, (_, place) => `n${place}`));
  const ranks = (duty: string): readonly number[] =>
    [...world.records.keys()].map((id) => dutyRank(world.formation(), duty, id));
  expect(ranks("work").toSorted((x, y) => x - y)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
  const firsts = Array.from({ length: 200 }, (_, place) => ranks(`duty-${place}`).indexOf(0));
  for (let node = 0; node < 9; node += 1) expect(firsts.filter((first) => first === node).length).toBeGreaterThan(8);
  const record = world.records.get(nodeId("n0"))!;
  expect(dutyStanding(undefined)).toBe("none");
  expect(dutyStanding({ ...record, role: "arbiter" })).toBe("none");
  expect(dutyStanding({ ...record, replica: "none" })).toBe("none");
});

/** The controllers of one master, whose catalog is written to as the test says. */
function controlled(limits: Parameters<typeof controllersDuty>[0]): DutyWorld {
  const world = new DutyWorld("a");
  world.start("a", [controllersDuty(limits)]);
  return world;
}

test("controllers keep so many revisions, and all that is young enough", async () => {
  const world = controlled({ keepRevisions: 100, keepMs: 60_000 });
  world.revision = 1_000;
  await world.pass(58_000);
  expect(world.compacted).toEqual([]);
  world.revision = 1_050;
  await world.pass(20_000);
  // A minute ago the newest was 1,000, but 950 leaves a hundred.
  expect(world.compacted).toEqual([950]);
  world.revision = 5_000;
  await world.pass(30_000);
  expect(world.compacted.at(-1)).toBeLessThanOrEqual(1_050);
  await world.pass(90_000);
  expect(world.compacted.at(-1)).toBe(4_900);
  const { length } = world.compacted;
  await world.pass(600_000);
  expect(world.compacted).toHaveLength(length);
});

test("controllers refuse limits that keep nothing", () => {
  for (const limits of [{ keepRevisions: 0 }, { keepMs: 0.5 }])
    expect(() => controllersDuty(limits)).toThrow(expect.objectContaining({ code: "FABRIC_INVALID_VALUE" }));
});

test("controllers compact under their fence, and go on after a compaction that failed", async () => {
  const world = new DutyWorld("a");
  const failures: unknown[] = [];
  const fences: unknown[] = [];
  const duty = controllersDuty({ keepRevisions: 1, keepMs: 1_000 });
  const spied: Duty = {
    ...duty,
    start: (context: DutyContext) =>
      duty.start({
        ...context,
        catalog: {
          ...context.catalog,
          compact: async (revision, options) => {
            fences.push(context.token);
            if (failures.length === 0) {
              failures.push(revision);
              throw new Error("the disk is full");
            }
            return context.catalog.compact(revision, options);
          },
        },
      }),
  };
  world.start("a", [spied]);
  world.revision = 10;
  await world.pass(10_000);
  expect(failures).toHaveLength(1);
  expect(world.compacted).toEqual([9]);
  expect(fences).toEqual([
    { term: 1, index: 1 },
    { term: 1, index: 1 },
  ]);
});

/** The controllers of one master over a chain that archives as the test says. */
function archiving(archive: DutyChain["archive"]): DutyWorld {
  const sink: ArchiveSink = {
    place: "a shelf",
    put: () => Promise.reject(new Error("only the chain puts anything away")),
    get: () => Promise.reject(new Error("only the chain reads anything back")),
  };
  const world = new DutyWorld("a");
  const duty = controllersDuty({}, { sink, keepBlocks: 20 });
  world.start("a", [{ ...duty, start: (context) => duty.start({ ...context, chain: { archive } }) }]);
  return world;
}

function segment(first: number, last: number): ArchivedSegment {
  return { first, last, name: `${first}-${last}`, bytes: 1, dropped: true };
}

test("controllers put one full segment of the chain after another away, and look again when there is none", async () => {
  const asked: ArchiveOrder[] = [];
  const full = [segment(1, 512), segment(513, 1024)];
  const world = archiving((order) => {
    asked.push(order);
    return Promise.resolve(full.shift());
  });
  await world.pass(60_000);
  expect(full).toEqual([]);
  expect(asked.length).toBeGreaterThan(5);
  for (const order of asked) {
    expect(order).toMatchObject({ keepBlocks: 20, sink: { place: "a shelf" } });
    expect(order.partial).toBeUndefined();
  }
});

test("controllers leave the chain alone for a minute after an archive failed, and then go on", async () => {
  const at: number[] = [];
  const world = archiving(() => {
    at.push(world.clock.monotonicMs());
    return at.length === 1 ? Promise.reject(new Error("the shelf is full")) : Promise.resolve(undefined);
  });
  await world.pass(75_000);
  expect(at.length).toBeGreaterThan(1);
  expect((at[1] as number) - (at[0] as number)).toBe(60_000);
  expect((at[2] as number) - (at[1] as number)).toBe(5_000);
});

test("controllers that lose their lease end what they put away, and begin nothing more", async () => {
  const signals: AbortSignal[] = [];
  const world = archiving((_order, { signal }) => {
    signals.push(signal);
    return new Promise((_resolve, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason as Error));
    });
  });
  await world.pass(10_000);
  expect(signals.map(({ aborted }) => aborted)).toEqual([false]);
  await world.clock.run(world.nodes.get("a")!.duties.stop());
  expect(signals[0]!.aborted).toBe(true);
  await world.pass(120_000);
  expect(signals).toHaveLength(1);
});
