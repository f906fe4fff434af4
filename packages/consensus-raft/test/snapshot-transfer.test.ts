import { walLogStore } from "@revoada/consensus-raft";
import type { Configuration } from "@revoada/fabric";
import { memoryDisk, seededRandom, type MemoryDisk } from "@revoada/fabric/memory";
import { expect, test } from "vitest";
import { nodeId, World } from "./support/replicas.ts";
import { join, runAhead, WatchedMachine } from "./support/snapshots.ts";

/** An empty disk that calls `onChunk` before a chunk of a transfer is written: the first one has the number 0. */
function diskThat(onChunk: (chunk: number) => void): MemoryDisk {
  let writes = -1;
  return memoryDisk({
    name: "watched",
    random: seededRandom("watched"),
    onOperation({ kind, path }) {
      // The first write is the header's.
      if (kind === "write" && path.endsWith("incoming.tmp")) onChunk(writes++);
    },
  });
}

/** Cuts node 3 off from everybody else, once, when the chunk of this number is about to be written. */
function cutAt(world: World, chunk: number): { readonly disk: MemoryDisk; readonly isCut: () => boolean } {
  let cut = false;
  const disk = diskThat((number) => {
    if (number !== chunk || cut) return;
    cut = true;
    world.network.partition([nodeId(3)], [nodeId(1), nodeId(2)]);
  });
  return { disk, isCut: () => cut };
}

test("a transfer that was cut off goes on where it ended, over another connection and after timeouts", async () => {
  const world = new World();
  const { leader, machine, counts } = await runAhead(world);
  const { disk, isCut } = cutAt(world, 8);
  const [three] = await join(world, [3], () => ({ disk }));
  await world.until(isCut);
  await world.clock.advanceAsync(30_000);
  expect(three!.machine.commands).toEqual([]);
  world.network.heal();
  await world.until(() => three!.machine.commands.length === 150);
  expect(counts.snapshots("resumed")).toBe(1);
  expect(counts.snapshots("sent")).toBe(1);
  expect(machine.snapshots).toBe(1);
  // Every byte was taken once.
  expect(three!.counts.bytes("in")).toBe(machine.snapshotBytes);
  expect(leader.consensus.status().role).toBe("leader");
  await world.stop();
});

test("where the sender has let go of the snapshot meanwhile, another one begins anew", async () => {
  const world = new World();
  const { leader, machine, counts } = await runAhead(world, { limits: { snapshotKeepMs: 5000 } });
  const { disk, isCut } = cutAt(world, 8);
  const [three] = await join(world, [3], () => ({ disk, limits: { snapshotKeepMs: 1_000_000 } }));
  await world.until(isCut);
  await world.clock.advanceAsync(60_000);
  await world.run(leader.consensus.propose("later"));
  world.network.heal();
  await world.until(() => three!.machine.commands.length === 151);
  expect([counts.snapshots("resumed"), machine.snapshots]).toEqual([0, 2]);
  expect(three!.machine.commands).toEqual(machine.commands);
  expect(three!.counts.bytes("in")).toBeGreaterThan(machine.snapshotBytes);
  await world.stop();
});

test("what nobody goes on with is removed after a while", async () => {
  const world = new World();
  await runAhead(world);
  const { disk, isCut } = cutAt(world, 8);
  await join(world, [3], () => ({ disk, limits: { snapshotKeepMs: 5000 } }));
  await world.until(isCut);
  await world.clock.advanceAsync(4000);
  expect(await disk.list("snapshots")).toEqual(["incoming.tmp"]);
  await world.clock.advanceAsync(8000);
  expect(await disk.list("snapshots")).toEqual([]);
  await world.stop();
});

test("a restart of the receiver drops what was not whole, and the transfer begins anew", async () => {
  const world = new World();
  const { machine } = await runAhead(world);
  const { disk, isCut } = cutAt(world, 8);
  await join(world, [3], () => ({ disk }));
  await world.until(isCut);
  world.network.down(nodeId(3));
  world.member(3).host.stop();
  disk.crash("nothing-lost");
  world.members.delete(3);
  world.network.heal();
  expect(await disk.list("snapshots")).toEqual(["incoming.tmp"]);
  const back = await world.start(3, { disk, machine: new WatchedMachine(true) });
  expect(await disk.list("snapshots")).toEqual([]);
  await world.until(() => back.machine.commands.length === 150);
  expect(back.machine.commands).toEqual(machine.commands);
  await world.stop();
});

test("several followers share one snapshot, and no more of them are served at once than is allowed", async () => {
  const world = new World();
  const { machine, counts } = await runAhead(world, { limits: { maxSnapshotTransfers: 2 } });
  const joined = await join(world, [3, 4, 5, 6]);
  await world.until(() => joined.every((each) => each.machine.commands.length === 150));
  expect([machine.snapshots, counts.transfers("out"), counts.snapshots("sent")]).toEqual([1, 2, 4]);
  expect(counts.snapshots("failed")).toBe(0);
  await world.stop();
});

test("commands are applied while a snapshot of a moment before is streamed, and the log leads on from it", async () => {
  const world = new World();
  const { leader, machine, counts } = await runAhead(world);
  const proposed: Promise<unknown>[] = [];
  const disk = diskThat(() => {
    // More than the log would keep behind it otherwise.
    for (let at = 0; at < 4; at += 1) proposed.push(leader.consensus.propose(`meanwhile-${proposed.length}`));
  });
  const [three] = await join(world, [3], () => ({ disk }));
  await world.until(() => three!.machine.restored > 0);
  await world.run(Promise.all(proposed));
  await world.until(() => three!.machine.commands.length === machine.commands.length);
  expect(proposed.length).toBeGreaterThan(60);
  expect(three!.machine.commands).toEqual(machine.commands);
  expect([counts.snapshots("sent"), three!.machine.restored]).toEqual([1, 1]);
  await world.stop();
});

test("a follower that takes long to install is neither taken for dead nor sent the snapshot again, and deposes nobody", async () => {
  const world = new World();
  const { leader, machine, counts } = await runAhead(world);
  const slow = new WatchedMachine(true);
  slow.beforeRestore = () => new Promise((resolve) => void world.member(3).host.schedule(25_000, () => resolve()));
  const { term } = leader.consensus.status();
  const [three] = await join(world, [3], () => ({ machine: slow }));
  await world.clock.advanceAsync(20_000);
  expect(slow.commands).toEqual([]);
  const progress = leader.consensus.status().progress.get(nodeId(3));
  expect(progress?.silentMs).toBeLessThan(150);
  await world.until(() => slow.commands.length === 150, 60_000);
  expect(three!.counts.bytes("in")).toBe(machine.snapshotBytes);
  expect([leader.consensus.status().term, leader.consensus.status().role]).toEqual([term, "leader"]);
  expect(machine.snapshots).toBe(1);
  expect(counts.snapshots("failed")).toBe(0);
  await world.stop();
});

test("a full disk refuses the transfer, leaves nothing behind and is not asked all the time; room ends it", async () => {
  const world = new World();
  const { machine, counts } = await runAhead(world);
  let full = true;
  const disk: MemoryDisk = diskThat((chunk) => {
    if (chunk % 20 === 8 && full) disk.setCapacity(1);
  });
  const [three] = await join(world, [3], () => ({ disk }));
  await world.clock.advanceAsync(20_000);
  expect(await disk.list("snapshots")).toEqual([]);
  expect([three!.machine.commands, three!.machine.restored, three!.member.consensus.status().storage]).toEqual([
    [],
    0,
    "ok",
  ]);
  const failures = counts.snapshots("failed");
  expect(failures).toBeGreaterThan(3);
  expect(failures).toBeLessThan(12);
  full = false;
  disk.setCapacity(2 ** 40);
  await world.until(() => three!.machine.commands.length === 150);
  expect(three!.machine.commands).toEqual(machine.commands);
  await world.stop();
});

test("a leader that is cut off ends its transfer, the receiver drops it, and the next leader sends its own", async () => {
  const world = new World();
  const { leader, counts } = await runAhead(world, {}, 3);
  let cut = false;
  const disk = diskThat((chunk) => {
    if (chunk !== 8 || cut) return;
    cut = true;
    world.network.partition([leader.id], [nodeId(2), nodeId(3), nodeId(4)]);
  });
  const [four] = await join(world, [4], () => ({ disk }));
  await world.until(() => cut);
  const next = await world.newLeader(leader);
  await world.until(() => four!.machine.commands.length === 150);
  expect(next.n).not.toBe(1);
  expect(four!.machine.commands).toEqual(next.machine.commands);
  expect(four!.machine.restored).toBe(1);
  await world.until(() => leader.consensus.status().role === "follower");
  expect([counts.snapshots("sent"), counts.of("revoada_raft_snapshot_transfers", { direction: "out" })]).toEqual([
    0, 0,
  ]);
  expect(await disk.list("snapshots")).not.toContain("incoming.tmp");
  await world.stop();
});

test("a machine that refuses a snapshot keeps what it had, and is asked again ever more seldom", async () => {
  const world = new World();
  const { machine, counts } = await runAhead(world);
  const choosy = new WatchedMachine(true);
  let refusals = 0;
  choosy.beforeRestore = async () => {
    refusals += 1;
    if (refusals < 5) throw new Error("no room");
  };
  const [three] = await join(world, [3], () => ({ machine: choosy }));
  await world.until(() => refusals === 4);
  expect(three!.member.consensus.status().role).not.toBe("stopped");
  expect([choosy.commands, choosy.position().index]).toEqual([[], 0]);
  await world.until(() => choosy.commands.length === 150);
  expect(choosy.commands).toEqual(machine.commands);
  expect(counts.snapshots("failed")).toBe(4);
  await world.stop();
});

test("a snapshot that stands exactly where the log begins names the voters who founded the group", async () => {
  const world = new World();
  const disks = [1, 2, 3].map((n) => memoryDisk({ name: `disk-${n}` }));
  const stores = disks.map((disk, at) => () => walLogStore({ disk, random: seededRandom(`store-${at}`) }));
  const voters = [];
  for (const [at, store] of stores.entries()) {
    const log = store();
    voters.push({ id: nodeId(at + 1), storeId: (await log.open()).storeId });
    await log.close();
  }
  const bootstrap: Configuration = { voters, learners: [], generation: 1 as Configuration["generation"] };
  const limits = { trailingEntries: 0, snapshotKeepMs: 1000 };
  const start = (n: number) =>
    world.start(n, { bootstrap, snapshotIntervalEntries: 10, limits, disk: disks[n - 1]!, logStore: stores[n - 1]! });
  await start(1);
  await start(2);
  await world.until(() => world.leader() !== undefined);
  const leader = world.leader()!;
  // With the entry that opens the term, they are ten.
  for (let at = 0; at < 9; at += 1) await world.run(leader.consensus.propose(`command-${at}`));
  // Long enough that the snapshot which was saved is not at hand any more.
  await world.clock.advanceAsync(10_000);
  expect(leader.consensus.status().appliedIndex).toBe(10);
  const third = await start(3);
  await world.until(() => third.machine.commands.length === 9);
  expect(third.machine.restored).toBe(1);
  expect(third.machine.position().configuration?.voters).toEqual(voters);
  world.kill(leader.n);
  const next = await world.newLeader(leader);
  expect(await world.run(next.consensus.propose("after"))).toMatchObject({ result: "10:after" });
  await world.stop();
});
