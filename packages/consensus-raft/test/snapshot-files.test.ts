import { memoryDisk, seededRandom, type MemoryDisk } from "@revoada/fabric/memory";
import { expect, test } from "vitest";
import { ListMachine, nodeId, World } from "./support/replicas.ts";

const options = { snapshotIntervalEntries: 10, limits: { trailingEntries: 12, snapshotChunkBytes: 64 } } as const;

/** One voter whose machine lives in memory, after `commands` commands and what they made it save; it was killed. */
async function saved(
  world: World,
  commands: number,
  trailingEntries: number = options.limits.trailingEntries,
): Promise<{ readonly disk: MemoryDisk; readonly names: readonly string[] }> {
  const settings = { ...options, limits: { ...options.limits, trailingEntries } };
  const one = await world.form([1], () => ({ ...settings, machine: new ListMachine() }));
  for (let at = 0; at < commands; at += 1) await world.run(one.consensus.propose(`command-${at}`));
  await world.clock.advanceAsync(1000);
  const names = await one.disk.list("snapshots");
  // What was removed a moment ago may be there again.
  const { disk } = world.kill(1);
  return { disk, names };
}

test("the two newest snapshots are kept, and nothing unfinished", async () => {
  const world = new World();
  const { disk, names } = await saved(world, 60);
  expect(names).toHaveLength(2);
  expect(names.every((name) => name.endsWith(".snap"))).toBe(true);
  await world.start(1, { ...options, disk });
  await world.stop();
});

test("a newest snapshot that fails its check gives way to the one before, where the log leads on from it", async () => {
  const world = new World();
  const { disk, names } = await saved(world, 60);
  disk.corrupt(`snapshots/${names.at(-1)!}`, 200);
  const back = await world.start(1, { ...options, disk });
  await world.until(() => back.machine.commands.length === 60);
  expect(back.machine.restored).toBe(1);
  expect(back.machine.commands.at(-1)).toBe("command-59");
  await world.stop();
});

test("where the log does not lead on from an older one, the start is refused with the name of the file", async () => {
  const world = new World();
  const { disk, names } = await saved(world, 60, 0);
  const newest = `snapshots/${names.at(-1)!}`;
  disk.corrupt(newest, 200);
  await expect(world.start(1, { ...options, disk })).rejects.toMatchObject({
    code: "RAFT_SNAPSHOT_DAMAGED",
    message: expect.stringContaining(newest),
  });
  // Nothing was changed by it: with the file as it was, all is well.
  disk.corrupt(newest, 200);
  world.network.down(nodeId(1));
  const back = await world.start(1, { ...options, disk });
  await world.until(() => back.machine.commands.length === 60);
  await world.stop();
});

test("a process that dies at any step of saving a snapshot has everything that it acknowledged", async () => {
  const world = new World();
  const images: { readonly disk: MemoryDisk; readonly acknowledged: number }[] = [];
  let acknowledged = 0;
  let watching = false;
  const disk: MemoryDisk = memoryDisk({
    name: "watched",
    random: seededRandom("saving"),
    onOperation({ kind, path }) {
      const counts = path.startsWith("snapshots") || ["datasync", "syncDirectory", "rename", "remove"].includes(kind);
      if (!watching || !counts) return;
      for (const outcome of ["unsynced-lost", "random"] as const)
        images.push({ disk: disk.image(outcome), acknowledged });
    },
  });
  const one = await world.form([1], () => ({ ...options, disk, machine: new ListMachine() }));
  watching = true;
  for (let at = 0; at < 24; at += 1) {
    await world.run(one.consensus.propose(`command-${at}`));
    acknowledged += 1;
  }
  await world.clock.advanceAsync(1000);
  watching = false;
  await world.stop();
  expect(images.length).toBeGreaterThan(50);
  for (const image of images) await expectWhole(image.disk, new ListMachine(), image.acknowledged);
}, 60_000);

/** One voter that is told to end right before the `last`-th of its disk's steps; what its disk holds then, and how many steps there were. */
async function endedAt(
  last: number,
): Promise<{ readonly disk: MemoryDisk; readonly steps: number; readonly acknowledged: number }> {
  const world = new World();
  let [steps, acknowledged, watching] = [0, 0, false];
  let ended: Promise<void> | undefined;
  const disk: MemoryDisk = memoryDisk({
    name: "watched",
    onOperation() {
      if (!watching) return;
      steps += 1;
      if (steps === last) ended = one.consensus.shutdown();
    },
  });
  const limits = { ...options.limits, trailingEntries: 0 };
  const one = await world.form([1], () => ({ ...options, limits, disk, machine: new ListMachine() }));
  watching = true;
  while (acknowledged < 24) {
    const told = one.consensus.propose(`command-${acknowledged}`).then(
      () => true,
      () => false,
    );
    if (!(await world.run(told))) break;
    acknowledged += 1;
  }
  await world.run(ended ?? one.consensus.shutdown());
  watching = false;
  return { disk, steps, acknowledged };
}

test("a process that ends in order at any step of saving a snapshot finds everything again", async () => {
  const { steps } = await endedAt(Infinity);
  expect(steps).toBeGreaterThan(50);
  for (let last = 1; last <= steps; last += 1) {
    const { disk, acknowledged } = await endedAt(last);
    await expectWhole(disk, new ListMachine(), acknowledged);
  }
}, 60_000);

/** Starts from what a crash left, alone, and looks for the first `acknowledged` commands. */
async function expectWhole(disk: MemoryDisk, machine: ListMachine, acknowledged: number): Promise<void> {
  const world = new World();
  const back = await world.start(1, { ...options, disk, machine });
  await world.until(() => back.consensus.status().role === "leader");
  await world.run(back.consensus.readBarrier());
  const found = back.machine.commands;
  expect(found.length).toBeGreaterThanOrEqual(acknowledged);
  expect(found).toEqual(Array.from({ length: found.length }, (_unused, at) => `command-${at}`));
  await world.stop();
}
