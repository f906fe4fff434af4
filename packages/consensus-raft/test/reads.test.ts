/** Reads through the whole replica: by read index, and by lease. */
import { expect, test } from "vitest";
import type { Configuration, NodeId } from "@revoada/fabric";
import { memoryDisk, seededRandom } from "@revoada/fabric/memory";
import { raft } from "@revoada/consensus-raft";
import { ClockWatch } from "../src/driver/clock-watch.ts";
import { T, textCodec, World, type Member, type MemberOptions } from "./support/replicas.ts";

const leased = (): MemberOptions => ({ leaseReads: true });

/** How many virtual milliseconds a read takes: none by lease, a round trip else. */
async function readMs(world: World, member: Member): Promise<number> {
  const startMs = world.clock.monotonicMs();
  await world.run(member.consensus.readBarrier());
  return world.clock.monotonicMs() - startMs;
}

/** Three nodes and a leader that has been confirmed by at least one round of heartbeats. */
async function formLeased(): Promise<{ readonly world: World; readonly one: Member }> {
  const world = new World();
  const one = await world.form([1, 2, 3], leased);
  await world.run(one.consensus.propose("a"));
  await world.clock.advanceAsync(T / 2);
  return { world, one };
}

test("a read that a sole voter is asked before its first entry is durable is answered once that is", async () => {
  const world = new World();
  const disk = memoryDisk({
    name: "slow",
    random: seededRandom("slow"),
    onOperation: ({ kind }) =>
      kind === "datasync" ? new Promise((resolve) => void world.clock.schedule(1.5, resolve)) : undefined,
  });
  const one = await world.start(1, {
    disk,
    bootstrap: (self) => ({ voters: [self], learners: [], generation: 1 as Configuration["generation"] }),
  });
  await world.until(() => one.consensus.status().role === "leader");
  expect(one.consensus.status().commitIndex).toBe(0);
  expect(await readMs(world, one)).toBeLessThan(T / 5);
  await world.stop();
});

test("a read by lease takes no round, on the leader; on a follower only the way there and back", async () => {
  const { world, one } = await formLeased();
  expect(await readMs(world, one)).toBe(0);
  expect(await readMs(world, world.member(2))).toBe(2);
  const plain = new World();
  const leader = await plain.form([1, 2, 3]);
  await plain.clock.advanceAsync(T / 2);
  expect(await readMs(plain, leader)).toBe(2);
  expect(await readMs(plain, plain.member(2))).toBe(4);
  await world.stop();
  await plain.stop();
});

test("a leader that stood still asks a quorum before it answers, and one that was replaced meanwhile answers what its successor has", async () => {
  const { world, one } = await formLeased();
  one.host.stall(10 * T);
  const next = await world.newLeader(one);
  await world.run(next.consensus.propose("b"));
  await world.run(one.consensus.readBarrier({ timeoutMs: 10_000 }));
  expect(one.machine.commands).toEqual(["a", "b"]);
  await world.stop();
});

test("a jump of the wall clock against the monotonic one voids the lease, in either direction, until a round was answered", async () => {
  const { world, one } = await formLeased();
  for (const jumpMs of [T, -T]) {
    one.host.jumpWall(jumpMs);
    expect(await readMs(world, one)).toBe(2);
    expect(await readMs(world, one)).toBe(0);
  }
  await world.stop();
});

test("a leader that is cut off answers nothing by lease once another may lead", async () => {
  const { world, one } = await formLeased();
  world.network.partition([one.id], [world.member(2).id, world.member(3).id]);
  const next = await world.newLeader(one);
  await world.run(next.consensus.propose("b"));
  await expect(world.run(one.consensus.readBarrier())).rejects.toMatchObject({ code: "RAFT_NO_QUORUM" });
  await world.stop();
});

test("voters that were all restarted elect a leader that serves reads by lease again", async () => {
  const { world } = await formLeased();
  const dead = [1, 2, 3].map((n) => world.kill(n));
  for (const { n, disk } of dead) await world.start(n, { disk, ...leased() });
  const leader = await world.newLeader();
  await world.run(leader.consensus.readBarrier({ timeoutMs: 10_000 }));
  await world.clock.advanceAsync(T / 2);
  expect(await readMs(world, leader)).toBe(0);
  expect(leader.machine.commands).toEqual(["a"]);
  await world.stop();
});

test("a margin that leaves nothing of the lease, or none at all, is refused", () => {
  const world = new World();
  const id = "1".repeat(64) as NodeId;
  for (const leaseMarginMs of [0, -1, T, Number.NaN]) {
    const make = (): unknown =>
      raft<string, string>({
        id,
        transport: world.network.transport(id),
        clock: world.clock,
        random: seededRandom(1),
        disk: memoryDisk(),
        codec: textCodec,
        electionTimeoutMs: T,
        leaseMarginMs,
      });
    expect(make).toThrow(expect.objectContaining({ code: "FABRIC_INVALID_VALUE" }));
  }
});

test("clocks that part in small steps are found out, those that drift as clocks do are not", () => {
  const world = new World();
  const { clock } = world;
  const host = clock.host("suspended");
  const watch = new ClockWatch(host, T, 7);
  const stepBy = (ms: number): boolean => {
    clock.advance(10);
    host.jumpWall(ms);
    return watch.jumped();
  };
  expect([stepBy(3), stepBy(3), stepBy(3), stepBy(0)]).toEqual([false, false, true, false]);
  for (let at = 0; at < 1000; at += 1) expect(stepBy(0.01)).toBe(false);
});
