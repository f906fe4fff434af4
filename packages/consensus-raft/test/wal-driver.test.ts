import { describe, expect, test } from "vitest";
import type { Metrics } from "@revoada/fabric";
import { memoryDisk, seededRandom, type MemoryDisk } from "@revoada/fabric/memory";
import { planWalRepair, repairWal } from "@revoada/consensus-raft";
import { World, type Member } from "./support/replicas.ts";

/** Keeps the last value of each gauge. */
function gauges(): { readonly metrics: Metrics; readonly value: (name: string) => number | undefined } {
  const values = new Map<string, number>();
  return {
    metrics: { count() {}, observe() {}, gauge: (name, value) => void values.set(name, value) },
    value: (name) => values.get(name),
  };
}

async function outcomeOf(promise: Promise<unknown>): Promise<string> {
  return await promise.then(
    () => "committed",
    (error: { readonly code: string }) => error.code,
  );
}

/** Where the batches of a log stand, those of the oldest segment first. */
async function batchesOf(disk: MemoryDisk): Promise<{ path: string; offset: number; end: number }[]> {
  const batches: { path: string; offset: number; end: number }[] = [];
  for (const name of await disk.list("wal")) {
    if (!name.endsWith(".wal")) continue;
    const file = await disk.open(`wal/${name}`);
    const bytes = Buffer.from(await file.read(0, await file.size()));
    for (let offset = 512; bytes.readUInt32LE(offset) === 0x42564f52;) {
      const end = offset + bytes.readUInt32LE(offset + 8);
      batches.push({ path: `wal/${name}`, offset, end });
      offset = end;
    }
  }
  return batches;
}

/** Ways in which a log of some dozen batches is damaged while its node is down. */
const damages: Readonly<Record<string, (disk: MemoryDisk) => Promise<void>>> = {
  "a bit of its first entries": async (disk) => {
    const batch = (await batchesOf(disk))[4];
    if (batch !== undefined) disk.corrupt(batch.path, batch.offset + 70);
  },
  "a bit of its last batch": async (disk) => {
    const batch = (await batchesOf(disk)).at(-1);
    if (batch !== undefined) disk.corrupt(batch.path, batch.end - 3);
  },
  "a batch in the middle, wiped": async (disk) => {
    const batches = await batchesOf(disk);
    const batch = batches[batches.length >> 1];
    if (batch === undefined) return;
    const file = await disk.open(batch.path);
    await file.write(batch.offset, [new Uint8Array(batch.end - batch.offset)]);
    await file.datasync();
  },
  "several places at once": async (disk) => {
    const batches = await batchesOf(disk);
    for (let at = 6; at < batches.length; at += 7) {
      const { path, offset } = batches[at] as (typeof batches)[number];
      disk.corrupt(path, offset + 40, 0x81);
    }
  },
};

describe("a voter that restarts with a damaged log", () => {
  for (const [name, damage] of Object.entries(damages)) {
    test(`neither votes nor acknowledges until it is refilled, and votes then: ${name}`, async () => {
      const world = new World();
      const one = await world.form([1, 2, 3]);
      for (let at = 0; at < 30; at += 1) await world.run(one.consensus.propose(`before ${at}`));
      await world.until(() => world.member(3).machine.commands.length === 30);
      const { disk } = world.kill(3);
      await damage(disk);
      // With the second voter down a quorum would need the damaged one.
      const second = world.kill(2);
      const { metrics, value } = gauges();
      const damaged = await world.start(3, { disk, metrics });
      expect(damaged.consensus.status().storage).toBe("corrupt");
      expect(await world.run(outcomeOf(one.consensus.propose("nobody backs it", { timeoutMs: 1000 })))).not.toBe(
        "committed",
      );
      expect(damaged.consensus.status()).toMatchObject({ storage: "corrupt" });
      expect(value("revoada_raft_log_corrupt")).toBe(1);
      expect(damaged.consensus.status().role).not.toBe("leader");
      // Once all others have answered in a term, nothing that it may have forgotten can matter.
      await world.start(2, { disk: second.disk });
      await world.until(() => damaged.consensus.status().storage === "ok", 60_000);
      await world.until(() => value("revoada_raft_log_corrupt") === 0);
      const leader = world.leader() as Member;
      await world.run(leader.consensus.propose("after"));
      await world.until(() => damaged.machine.commands.at(-1) === "after");
      expect(damaged.machine.commands).toEqual(leader.machine.commands);
      expect(damaged.machine.commands.slice(0, 30)).toEqual(Array.from({ length: 30 }, (_, at) => `before ${at}`));
      // It votes and acknowledges: without it there is no quorum now.
      world.kill(leader.n === 1 ? 2 : 1);
      await world.until(() => world.leader() !== undefined);
      await world.run((world.leader() as Member).consensus.propose("with its vote"));
      // And it is remembered as whole.
      world.kill(3);
      const again = await world.start(3, { disk });
      expect(again.consensus.status().storage).toBe("ok");
      await world.stop();
    });
  }
});

describe("the only voter", () => {
  test("refuses to start with a damaged log, names the command that repairs it, and starts once it has been used", async () => {
    const world = new World();
    const one = await world.form([1]);
    for (let at = 0; at < 10; at += 1) await world.run(one.consensus.propose(`command ${at}`));
    const { disk } = world.kill(1);
    const batches = await batchesOf(disk);
    const last = batches.at(-1) as (typeof batches)[number];
    disk.corrupt(last.path, last.offset + 75);
    const refusal = await world.start(1, { disk }).catch((error: unknown) => error);
    expect(refusal).toMatchObject({ code: "RAFT_LOG_CORRUPT" });
    expect((refusal as Error).message).toContain("wal repair");
    world.network.down(one.id);
    const plan = await planWalRepair(disk);
    expect(plan).toMatchObject({ action: "accept-loss", configuration: { voters: [{ id: one.id }] } });
    const repaired = await repairWal(disk, { random: seededRandom("repair"), aside: "wal.aside" });
    expect(repaired.groups).toHaveLength(1);
    expect(await disk.list("wal.aside")).toEqual(expect.arrayContaining([expect.stringMatching(/\.wal$/)]));
    const back = await world.start(1, { disk });
    await world.until(() => back.consensus.status().role === "leader");
    await world.run(back.consensus.propose("on it goes"));
    expect(back.machine.commands.slice(0, 9)).toEqual(Array.from({ length: 9 }, (_, at) => `command ${at}`));
    await world.stop();
  });
});

describe("a disk without room", () => {
  test("makes the leader step down; the others go on, and it heals without a restart once there is room", async () => {
    const world = new World();
    const disk = memoryDisk({ name: "small", random: seededRandom("small") });
    const one = await world.form([1, 2, 3], (n) => (n === 1 ? { disk } : {}));
    const payload = "x".repeat(200_000);
    await world.run(one.consensus.propose("before"));
    disk.setCapacity(0);
    let acknowledged = 1;
    for (let at = 0; at < 60 && world.leader() === one; at += 1) {
      const outcome = await world.run(outcomeOf(one.consensus.propose(payload, { timeoutMs: 3000 })), 60_000);
      if (outcome === "committed") acknowledged += 1;
    }
    const next = await world.newLeader(one);
    const term = next.consensus.status().term;
    for (let at = 0; at < 5; at += 1) await world.run(next.consensus.propose(`without it ${at}`));
    await world.clock.advanceAsync(5000);
    // Full, not broken: it neither leads nor disturbs, and it still hears.
    expect(world.leader()).toBe(next);
    expect(next.consensus.status().term).toBe(term);
    disk.setCapacity(2 ** 40);
    await world.until(() => one.machine.commands.at(-1) === "without it 4", 60_000);
    expect(one.machine.commands).toEqual(next.machine.commands);
    expect(one.machine.commands.length).toBeGreaterThanOrEqual(acknowledged + 5);
    expect(one.consensus.status().storage).toBe("ok");
    await world.stop();
  });

  test("that is read-only makes the leader step down, and it heals without a restart once it can be written again", async () => {
    const world = new World();
    const disk = memoryDisk({ name: "frozen", random: seededRandom("frozen") });
    const one = await world.form([1, 2, 3], (n) => (n === 1 ? { disk } : {}));
    await world.run(one.consensus.propose("before"));
    disk.setReadOnly(true);
    void one.consensus.propose("lost or not").catch(() => undefined);
    const next = await world.newLeader(one);
    await world.run(next.consensus.propose("without it"));
    expect(one.consensus.status().storage).toBe("failed");
    disk.setReadOnly(false);
    await world.until(() => one.consensus.status().storage === "ok", 120_000);
    await world.until(() => one.machine.commands.at(-1) === "without it");
    expect(one.machine.commands).toEqual(next.machine.commands);
    await world.stop();
  });

  test("hung for longer than the watchdog allows costs the leader its place, and nothing that was acknowledged", async () => {
    const world = new World();
    const hung: { release?: () => void; now: boolean } = { now: false };
    const disk = memoryDisk({
      random: seededRandom("hung"),
      onOperation: ({ kind }) =>
        hung.now && kind === "datasync" ? new Promise<void>((resolve) => (hung.release = resolve)) : undefined,
    });
    const one = await world.form([1, 2, 3], (n) => (n === 1 ? { disk } : {}));
    for (let at = 0; at < 5; at += 1) await world.run(one.consensus.propose(`acknowledged ${at}`));
    hung.now = true;
    const during = outcomeOf(one.consensus.propose("while it hangs"));
    const next = await world.newLeader(one);
    await world.run(next.consensus.propose("meanwhile"));
    hung.now = false;
    hung.release?.();
    expect(["committed", "RAFT_OUTCOME_UNKNOWN"]).toContain(await world.run(during));
    await world.until(() => one.machine.commands.at(-1) === "meanwhile");
    expect(one.machine.commands.slice(0, 5)).toEqual(Array.from({ length: 5 }, (_, at) => `acknowledged ${at}`));
    expect(one.machine.commands).toEqual(next.machine.commands);
    await world.stop();
  });
});
