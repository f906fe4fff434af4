import { type Disk, isFabricError } from "@revoada/fabric";
import {
  type CrashOutcome,
  memoryDisk,
  memoryDisks,
  type MemoryDisk,
  sectorBytes,
  seededRandom,
  virtualClock,
} from "@revoada/fabric/memory";
import fc from "fast-check";
import { describe, expect, test } from "vitest";

const bytes = (...values: readonly number[]): Uint8Array => Uint8Array.from(values);

async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    return isFabricError(error) ? error.code : String(error);
  }
  return "resolved";
}

/** A file whose name is durable. */
async function create(disk: Disk, path: string, content: Uint8Array = new Uint8Array()): Promise<void> {
  const file = await disk.open(path, { create: true });
  await file.write(0, [content]);
  await file.datasync();
  await file.close();
  await disk.syncDirectory(path.includes("/") ? path.slice(0, path.lastIndexOf("/")) : "");
}

async function contentOf(disk: Disk, path: string): Promise<readonly number[] | undefined> {
  const size = await disk.size(path);
  if (size === undefined) return undefined;
  return [...(await (await disk.open(path)).read(0, size))];
}

describe("files", () => {
  test("are read where they were written, and gaps are zeros", async () => {
    const disk = memoryDisk();
    const file = await disk.open("f", { create: true });
    await file.write(2, [bytes(1, 2), bytes(), bytes(3)]);
    expect(await file.size()).toBe(5);
    expect([...(await file.read(0, 100))]).toEqual([0, 0, 1, 2, 3]);
    expect([...(await file.read(4, 1))]).toEqual([3]);
    expect([...(await file.read(5, 10))]).toEqual([]);
  });

  test("are as any reader of a plain array would expect, whatever is written, truncated, allocated and synced", async () => {
    const operation = fc.oneof(
      fc.record({
        kind: fc.constant("write" as const),
        offset: fc.nat(10_000),
        length: fc.nat(9000),
        fill: fc.integer({ min: 1, max: 255 }),
      }),
      fc.record({ kind: fc.constantFrom("truncate" as const, "allocate" as const), size: fc.nat(12_000) }),
      fc.record({ kind: fc.constant("sync" as const) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { maxLength: 25 }), async (operations) => {
        const disk = memoryDisk();
        await create(disk, "f");
        const file = await disk.open("f");
        let model = new Uint8Array();
        let synced = model;
        const resize = (size: number): void => {
          const next = new Uint8Array(size);
          next.set(model.subarray(0, size));
          model = next;
        };
        for (const each of operations) {
          if (each.kind === "write") {
            if (each.length > 0) resize(Math.max(model.length, each.offset + each.length));
            model.fill(each.fill, each.offset, each.offset + each.length);
            await file.write(each.offset, [new Uint8Array(each.length).fill(each.fill)]);
          } else if (each.kind === "truncate") {
            resize(each.size);
            await file.truncate(each.size);
          } else if (each.kind === "allocate") {
            resize(Math.max(model.length, each.size));
            await file.allocate(each.size);
          } else {
            await file.datasync();
            synced = model.slice();
          }
          expect(Buffer.compare(await file.read(0, 30_000), model)).toBe(0);
        }
        disk.crash();
        expect(Buffer.compare(await (await disk.open("f")).read(0, 30_000), synced)).toBe(0);
      }),
      { numRuns: 100 },
    );
  });

  test("are told by their errors: missing, closed, beyond a crash, no file at all", async () => {
    const disk = memoryDisk({ name: "sda" });
    expect(await codeOf(disk.open("missing"))).toBe("DISK_NOT_FOUND");
    expect(await codeOf(disk.open("no/such/directory", { create: true }))).toBe("DISK_NOT_FOUND");
    const file = await disk.open("f", { create: true });
    await file.close();
    await file.close();
    expect(await codeOf(file.read(0, 1))).toBe("DISK_IO");
    const other = await disk.open("f");
    disk.crash();
    expect(await codeOf(other.write(0, [bytes(1)]))).toBe("DISK_IO");
    for (const path of ["/f", "../f", "a//b", "a/../b", "./f", "a\\b", "a\0b", ""]) {
      expect(await codeOf(disk.open(path, { create: true })), path).toBe("FABRIC_INVALID_VALUE");
    }
    for (const wrong of [-1, 0.5, Number.NaN]) expect(await codeOf(other.read(wrong, 1))).toBe("FABRIC_INVALID_VALUE");
  });

  test("of one disk are not those of another, and a name gives one disk", async () => {
    const disks = memoryDisks();
    await create(disks("a"), "f", bytes(1));
    expect(await disks("b").size("f")).toBeUndefined();
    expect(await contentOf(disks("a"), "f")).toEqual([1]);
  });
});

describe("names", () => {
  test("are listed in order, files of the directory itself only", async () => {
    const disk = memoryDisk();
    await disk.makeDirectory("a/b");
    for (const path of ["z", "a/2", "a/1", "a/b/3"]) await disk.open(path, { create: true });
    expect(await disk.list("")).toEqual(["z"]);
    expect(await disk.list("a")).toEqual(["1", "2"]);
    expect(await disk.list("missing")).toEqual([]);
  });

  test("survive a crash from the sync of their directory on, with what is synced of their contents", async () => {
    const disk = memoryDisk();
    const file = await disk.open("f", { create: true });
    await file.write(0, [bytes(1)]);
    await file.datasync();
    disk.crash();
    expect(await disk.size("f")).toBeUndefined();
    await create(disk, "f", bytes(2));
    disk.crash();
    expect(await contentOf(disk, "f")).toEqual([2]);
  });

  test("of directories are names too: what is in one that was not synced is lost with it", async () => {
    const disk = memoryDisk();
    await disk.makeDirectory("d");
    await create(disk, "d/f", bytes(1));
    disk.crash();
    expect(await disk.list("d")).toEqual([]);
    await disk.makeDirectory("d");
    await disk.syncDirectory("");
    await create(disk, "d/f", bytes(1));
    disk.crash();
    expect(await disk.list("d")).toEqual(["f"]);
  });

  test("are replaced by a rename at once, and durably with the sync of the directory", async () => {
    const disk = memoryDisk();
    await create(disk, "current", bytes(1));
    await create(disk, "next", bytes(2));
    await disk.rename("next", "current");
    expect(await disk.list("")).toEqual(["current"]);
    disk.crash();
    expect([await contentOf(disk, "current"), await contentOf(disk, "next")]).toEqual([[1], [2]]);
    await disk.rename("next", "current");
    await disk.syncDirectory("");
    disk.crash();
    expect([await contentOf(disk, "current"), await contentOf(disk, "next")]).toEqual([[2], undefined]);
    expect(await codeOf(disk.rename("missing", "x"))).toBe("DISK_NOT_FOUND");
  });

  test("that were removed come back in a crash unless their directory was synced; removing twice is no error", async () => {
    const disk = memoryDisk();
    await create(disk, "f", bytes(1));
    await disk.remove("f");
    await disk.remove("f");
    disk.crash();
    expect(await contentOf(disk, "f")).toEqual([1]);
    await disk.remove("f");
    await disk.syncDirectory("");
    disk.crash();
    expect(await disk.size("f")).toBeUndefined();
  });

  test("that moved between directories are never lost by syncing the one that they came to", async () => {
    const disk = memoryDisk();
    await disk.makeDirectory("a");
    await disk.makeDirectory("b");
    await disk.syncDirectory("");
    const file = await disk.open("a/f", { create: true });
    await file.write(0, [bytes(1)]);
    await file.datasync();
    await disk.rename("a/f", "b/f");
    await disk.syncDirectory("b");
    await disk.syncDirectory("a");
    disk.crash();
    expect([await disk.list("a"), await disk.list("b")]).toEqual([[], ["f"]]);
  });

  test("of a random crash are those of some moment between the last sync and the crash", async () => {
    const seen = new Set<string>();
    for (let seed = 0; seed < 60; seed += 1) {
      const disk = memoryDisk({ random: seededRandom(seed) });
      for (const name of ["1", "2", "3"]) await disk.open(name, { create: true });
      disk.crash("random");
      seen.add((await disk.list("")).join(""));
    }
    expect([...seen].toSorted()).toEqual(["", "1", "12", "123"]);
  });
});

describe("a crash", () => {
  test("loses what was not synced, and only that", async () => {
    const disk = memoryDisk();
    await create(disk, "f", bytes(1, 1));
    const file = await disk.open("f");
    await file.write(0, [bytes(2)]);
    await file.datasync();
    await file.write(1, [bytes(3, 3)]);
    disk.crash();
    expect(await contentOf(disk, "f")).toEqual([2, 1]);
  });

  test("of the process only leaves the page cache, which the next power cut still takes", async () => {
    const disk = memoryDisk();
    await create(disk, "f", bytes(1));
    await (await disk.open("f")).write(0, [bytes(2)]);
    disk.crash("nothing-lost");
    expect(await contentOf(disk, "f")).toEqual([2]);
    disk.crash();
    expect(await contentOf(disk, "f")).toEqual([1]);
  });

  test("at random keeps each unsynced sector whole or not at all, and every mixture of two comes up", async () => {
    const mixtures = new Set<string>();
    for (let seed = 0; seed < 100; seed += 1) {
      const disk = memoryDisk({ random: seededRandom(seed) });
      await create(disk, "f", new Uint8Array(2 * sectorBytes).fill(1));
      await (await disk.open("f")).write(0, [new Uint8Array(2 * sectorBytes).fill(2)]);
      disk.crash("random");
      const content = (await contentOf(disk, "f")) ?? [];
      const sectors = [content.slice(0, sectorBytes), content.slice(sectorBytes)].map((sector) =>
        [...new Set(sector)].join(),
      );
      mixtures.add(sectors.join("+"));
    }
    expect([...mixtures].toSorted()).toEqual(["1+1", "1+2", "2+1", "2+2"]);
  });

  test("at random may keep a new size without its bytes, which then are zeros", async () => {
    const found = new Set<string>();
    for (let seed = 0; seed < 100; seed += 1) {
      const disk = memoryDisk({ random: seededRandom(seed) });
      await create(disk, "f");
      await (await disk.open("f")).write(0, [bytes(7, 7, 7)]);
      disk.crash("random");
      found.add(((await contentOf(disk, "f")) ?? []).join());
    }
    expect([...found].toSorted()).toEqual(["", "0,0,0", "7,7,7"]);
  });

  test("takes the same from the same seed", async () => {
    const run = async (): Promise<readonly number[] | undefined> => {
      const disk = memoryDisk({ random: seededRandom("same") });
      await create(disk, "f", new Uint8Array(20_000));
      await (await disk.open("f")).write(0, [new Uint8Array(20_000).fill(9)]);
      disk.crash("random");
      return contentOf(disk, "f");
    };
    expect(await run()).toEqual(await run());
  });

  test("leaves an image to look at while the disk itself goes on", async () => {
    const disk = memoryDisk();
    await create(disk, "f", bytes(1));
    const file = await disk.open("f");
    await file.write(0, [bytes(2)]);
    const image = disk.image();
    await file.write(0, [bytes(3)]);
    expect(await contentOf(image, "f")).toEqual([1]);
    expect(await contentOf(disk.image("nothing-lost"), "f")).toEqual([3]);
    expect(await contentOf(disk, "f")).toEqual([3]);
  });

  test.each(["unsynced-lost", "random"] as const)(
    "(%s) never takes what a sync has covered, however syncs overlap",
    async (outcome: CrashOutcome) => {
      for (let seed = 0; seed < 30; seed += 1) {
        const clock = virtualClock();
        const random = seededRandom(seed);
        const slowly = (): Promise<void> => new Promise((resolve) => void clock.schedule(random.below(5), resolve));
        const disk = memoryDisk({ random, onOperation: ({ kind }) => (kind === "datasync" ? slowly() : undefined) });
        await clock.run(create(disk, "f", bytes(0)));
        const file = await disk.open("f");
        let durable = 0;
        const syncs: Promise<void>[] = [];
        for (let value = 1; value <= 20; value += 1) {
          await file.write(0, [bytes(value)]);
          syncs.push(file.datasync().then(() => void (durable = Math.max(durable, value))));
          if (random.chance(0.5)) await clock.advanceAsync(1);
        }
        const [content = -1] = (await contentOf(disk.image(outcome), "f")) ?? [];
        expect(content).toBeGreaterThanOrEqual(durable);
        await clock.run(Promise.all(syncs));
        expect(await contentOf(disk.image(outcome), "f")).toEqual([20]);
      }
    },
  );
});

describe("faults", () => {
  test("a write that comes after a sync has begun is not covered by it", async () => {
    const clock = virtualClock();
    const wait = (): Promise<void> => new Promise((resolve) => void clock.schedule(10, resolve));
    const disk = memoryDisk({ onOperation: ({ kind }) => (kind === "datasync" ? wait() : undefined) });
    await clock.run(create(disk, "f", bytes(1)));
    const file = await disk.open("f");
    await file.write(0, [bytes(2)]);
    const sync = file.datasync();
    await file.write(0, [bytes(3)]);
    await clock.run(sync);
    expect(await contentOf(disk, "f")).toEqual([3]);
    disk.crash();
    expect(await contentOf(disk, "f")).toEqual([2]);
  });

  test("what a failed sync should have covered stays readable, and no later sync makes it durable", async () => {
    const disk = memoryDisk();
    await create(disk, "f", new Uint8Array(sectorBytes * 2));
    const file = await disk.open("f");
    await file.write(0, [bytes(1)]);
    disk.failSyncs();
    expect(await codeOf(file.datasync())).toBe("DISK_IO");
    await file.write(sectorBytes, [bytes(2)]);
    await file.datasync();
    expect([...(await file.read(0, 1)), ...(await file.read(sectorBytes, 1))]).toEqual([1, 2]);
    disk.crash();
    const again = await disk.open("f");
    expect([...(await again.read(0, 1)), ...(await again.read(sectorBytes, 1))]).toEqual([0, 2]);
  });

  test("what a failed sync left behind takes nothing of what a later one made durable", async () => {
    for (let seed = 0; seed < 20; seed += 1) {
      const disk = memoryDisk({ random: seededRandom(seed) });
      await create(disk, "log", new Uint8Array(512).fill(1));
      const file = await disk.open("log");
      await file.write(512, [new Uint8Array(512).fill(2)]);
      disk.failSyncs(1);
      expect(await codeOf(file.datasync())).toBe("DISK_IO");
      await file.write(512, [new Uint8Array(1024).fill(3)]);
      await file.datasync();
      disk.crash("random");
      expect(await contentOf(disk, "log")).toEqual([...new Uint8Array(512).fill(1), ...new Uint8Array(1024).fill(3)]);
    }
  });

  test("a full disk shows first by a short write, takes what is allocated already, and serves again with room", async () => {
    const disk = memoryDisk({ capacityBytes: 10 });
    const file = await disk.open("f", { create: true });
    expect(await codeOf(file.write(0, [new Uint8Array(8).fill(1), new Uint8Array(8).fill(2)]))).toBe("DISK_FULL");
    expect(await file.size()).toBe(10);
    expect(await disk.freeBytes()).toBe(0);
    await file.write(0, [new Uint8Array(10).fill(3)]);
    expect(await codeOf(file.allocate(11))).toBe("DISK_FULL");
    disk.setCapacity(20);
    await file.write(10, [new Uint8Array(10).fill(4)]);
    expect(await disk.freeBytes()).toBe(0);
    await file.truncate(5);
    expect(await disk.freeBytes()).toBe(15);
  });

  test("a read-only disk reads, and writes nothing", async () => {
    const disk = memoryDisk();
    await create(disk, "f", bytes(1));
    disk.setReadOnly(true);
    const file = await disk.open("f");
    expect([...(await file.read(0, 1))]).toEqual([1]);
    const refused = [
      file.write(0, [bytes(2)]),
      file.truncate(0),
      file.allocate(9),
      disk.open("g", { create: true }),
      disk.rename("f", "g"),
      disk.remove("f"),
      disk.makeDirectory("d"),
    ];
    for (const operation of refused) expect(await codeOf(operation)).toBe("DISK_READ_ONLY");
  });

  test("a failed write has written a part", async () => {
    const disk = memoryDisk();
    const file = await disk.open("f", { create: true });
    disk.failWrites();
    expect(await codeOf(file.write(0, [new Uint8Array(10).fill(1)]))).toBe("DISK_IO");
    expect(await file.size()).toBe(5);
    await file.write(0, [new Uint8Array(10).fill(1)]);
    expect(await file.size()).toBe(10);
  });

  test("flipped bits are there for every reader, before a crash and after it", async () => {
    const disk = memoryDisk();
    await create(disk, "f", bytes(0, 0));
    disk.corrupt("f", 1, 0b101);
    expect(await contentOf(disk, "f")).toEqual([0, 5]);
    disk.crash();
    expect(await contentOf(disk, "f")).toEqual([0, 5]);
  });

  test("a hook sees every operation, may fail it, and may cut the power just before it", async () => {
    const seen: string[] = [];
    let plan: "pass" | "fail" | "crash" = "pass";
    const disk: MemoryDisk = memoryDisk({
      onOperation({ kind, path, bytes: length }) {
        seen.push(`${kind} ${path}${length === undefined ? "" : ` ${length}`}`);
        if (plan === "fail") throw new Error("on purpose");
        if (plan === "crash") disk.crash();
      },
    });
    await create(disk, "f", bytes(1));
    expect(seen).toEqual(["open f", "write f 1", "datasync f", "syncDirectory "]);
    const file = await disk.open("f");
    plan = "fail";
    expect(await codeOf(file.write(0, [bytes(2)]))).toBe("Error: on purpose");
    plan = "crash";
    expect(await codeOf(file.write(0, [bytes(2)]))).toBe("DISK_IO");
    plan = "pass";
    expect(await contentOf(disk, "f")).toEqual([1]);
    expect(disk.statistics()).toMatchObject({ writes: 1, writtenBytes: 1, datasyncs: 1, directorySyncs: 1 });
  });
});
