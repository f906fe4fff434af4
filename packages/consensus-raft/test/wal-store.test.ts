import { describe, expect, test } from "vitest";
import type { Configuration } from "@revoada/fabric";
import {
  at,
  base,
  batch,
  codeOf,
  contentsOf,
  entries,
  entry,
  hardState,
  memoryDisk,
  openable,
  readAll,
  seededRandom,
} from "./wal-support.ts";

const member = (letter: string) =>
  ({ id: letter.repeat(64), storeId: letter.repeat(32) }) as Configuration["voters"][number];

describe("appending", () => {
  test("a new log is empty, has a random store id, and keeps it", async () => {
    const disk = memoryDisk();
    const log = openable(disk);
    const first = await log.open();
    expect(first).toMatchObject({
      base: { index: 0, term: 0 },
      lastIndex: 0,
      hardState: { term: 0, commitIndex: 0 },
      integrity: "ok",
    });
    expect(first.storeId).toMatch(/^[0-9a-f]{32}$/);
    await log.close();
    disk.crash();
    const again = openable(disk, { random: seededRandom("another") });
    expect((await again.open()).storeId).toBe(first.storeId);
    await again.close();
    expect((await openable(memoryDisk(), { random: seededRandom("another") }).open()).storeId).not.toBe(first.storeId);
  });

  test("what append resolved for survives a crash that loses everything unsynced", async () => {
    const disk = memoryDisk();
    const log = openable(disk);
    await log.open();
    await log.append(batch(entries(1, 3, 1), { hardState: hardState(1, 2, "someone") }));
    disk.crash();
    expect(await contentsOf(disk)).toMatchObject({
      hardState: { term: 1, commitIndex: 2, vote: "someone" },
      integrity: "ok",
      entries: { length: 3 },
    });
  });

  test("what is appended during a flush shares the next one", async () => {
    const disk = memoryDisk();
    const log = openable(disk, { segmentBytes: 1 << 20, allocateBytes: 1 << 20 });
    await log.open();
    const before = disk.statistics();
    const order: number[] = [];
    const appends: Promise<unknown>[] = [];
    for (let index = 1; index <= 50; index++)
      appends.push(log.append(batch([entry(index, 1)])).then(() => order.push(index)));
    await Promise.all(appends);
    const after = disk.statistics();
    expect(after.datasyncs - before.datasyncs).toBe(1);
    expect(after.writes - before.writes).toBe(1);
    expect(order).toEqual(Array.from({ length: 50 }, (_, place) => place + 1));
    await log.close();
  });

  test("one flush is in flight: the second group is written only after the first is durable", async () => {
    const kinds: string[] = [];
    const disk = memoryDisk({ onOperation: (operation) => void kinds.push(operation.kind) });
    const log = openable(disk, { segmentBytes: 1 << 20, allocateBytes: 1 << 20 });
    await log.open();
    kinds.length = 0;
    const first = log.append(batch([entry(1, 1)]));
    await Promise.resolve();
    await Promise.resolve();
    const second = Promise.all([log.append(batch([entry(2, 1)])), log.append(batch([entry(3, 1)]))]);
    await Promise.all([first, second]);
    expect(kinds).toEqual(["write", "datasync", "write", "datasync"]);
    await log.close();
  });

  test("an entry can be read and its term asked for as soon as it is appended", async () => {
    const log = openable(memoryDisk());
    await log.open();
    const appended = log.append(batch([entry(1, 4)]));
    expect(log.term(at(1))).toBe(4);
    expect(await log.read(at(1), at(2), 1)).toHaveLength(1);
    await appended;
    await log.close();
  });

  test("what is not durable yet can be read however little is kept in memory", async () => {
    const log = openable(memoryDisk(), { cacheBytes: 0, flushBytes: 1 });
    await log.open();
    const first = log.append(batch(entries(1, 5, 1)));
    const second = log.append(batch(entries(6, 9, 1)));
    const third = log.append(batch(entries(4, 8, 2), { truncateFrom: 4 }));
    await first;
    expect((await readAll(log, 1, 8)).map((one) => one.term)).toEqual([1, 1, 1, 2, 2, 2, 2, 2]);
    await second;
    expect((await readAll(log, 1, 8)).map((one) => one.term)).toEqual([1, 1, 1, 2, 2, 2, 2, 2]);
    await third;
    expect((await readAll(log, 1, 8)).map((one) => one.term)).toEqual([1, 1, 1, 2, 2, 2, 2, 2]);
    await log.close();
  });

  test("entries larger than a segment, and payloads with sectors of zeros, come back as they were", async () => {
    const disk = memoryDisk();
    const log = openable(disk);
    await log.open();
    const blank = new Uint8Array(40_000);
    const halfBlank = new Uint8Array(3000).fill(7, 0, 700).fill(9, 2990);
    await log.append(
      batch([entry(1, 1, blank), entry(2, 1, halfBlank), entry(3, 1, new Uint8Array(0)), entry(4, 1, "x")]),
    );
    await log.close();
    disk.crash();
    const again = openable(disk);
    const { lastIndex } = await again.open();
    const list = await readAll(again, 1, lastIndex, 1);
    expect(list.map((one) => Buffer.from(one.payload))).toEqual(
      [blank, halfBlank, new Uint8Array(0), Buffer.from("x")].map((bytes) => Buffer.from(bytes)),
    );
    await again.close();
  });

  test("a batch that leaves a gap, takes a term back or cuts the base is refused and changes nothing", async () => {
    const log = openable(memoryDisk());
    await log.open();
    await log.append(batch(entries(1, 5, 3)));
    await log.compact(base(2, 3));
    expect(await codeOf(log.append(batch([entry(7, 3)])))).toBe("LOG_INVALID_BATCH");
    expect(await codeOf(log.append(batch([entry(5, 3)])))).toBe("LOG_INVALID_BATCH");
    expect(await codeOf(log.append(batch([entry(6, 2)])))).toBe("LOG_INVALID_BATCH");
    expect(await codeOf(log.append(batch([entry(6, 3), entry(8, 3)])))).toBe("LOG_INVALID_BATCH");
    expect(await codeOf(log.append(batch([entry(2, 4)], { truncateFrom: 2 })))).toBe("LOG_INVALID_BATCH");
    expect(await codeOf(log.append(batch([], { hardState: hardState(1, 1, "v".repeat(300)) })))).toBe(
      "LOG_INVALID_BATCH",
    );
    expect(log.term(at(6))).toBeUndefined();
    await log.append(batch([entry(6, 3)]));
    expect(await readAll(log, 3, 6)).toHaveLength(4);
    await log.close();
  });

  test("before open and after close every call is refused with LOG_CLOSED", async () => {
    const log = openable(memoryDisk());
    expect(await codeOf(log.append(batch([entry(1, 1)])))).toBe("LOG_CLOSED");
    expect(await codeOf(log.read(at(1), at(2), 1))).toBe("LOG_CLOSED");
    await log.open();
    expect(await codeOf(log.open())).toBe("LOG_CLOSED");
    const appended = log.append(batch([entry(1, 1)]));
    await log.close();
    await appended;
    expect(await codeOf(log.append(batch([entry(2, 1)])))).toBe("LOG_CLOSED");
    expect(await codeOf(log.compact(base(1, 1)))).toBe("LOG_CLOSED");
  });
});

describe("cutting and compacting", () => {
  test("a cut across segments takes the entries of all of them, and what follows is read in its new version", async () => {
    const disk = memoryDisk();
    const log = openable(disk, { cacheBytes: 0 });
    await log.open();
    for (let index = 1; index <= 60; index++) await log.append(batch([entry(index, 1, "a".repeat(400))]));
    await log.append(batch(entries(8, 30, 2, "b".repeat(300)), { truncateFrom: 8 }));
    expect(log.term(at(7))).toBe(1);
    expect(log.term(at(8))).toBe(2);
    expect(log.term(at(31))).toBeUndefined();
    const live = (await readAll(log, 1, 30)).map((one) => `${one.index}${String.fromCharCode(one.payload[0] ?? 0)}`);
    await log.close();
    disk.crash();
    const { entries: stored } = await contentsOf(disk);
    expect(live).toEqual(Array.from({ length: 30 }, (_, place) => `${place + 1}${place < 7 ? "a" : "b"}`));
    expect(stored.map((text) => Number.parseInt(text, 10))).toEqual(
      Array.from({ length: 30 }, (_, place) => place + 1),
    );
  });

  test("compaction keeps base and configuration, drops whole segments, and refuses reads below", async () => {
    const disk = memoryDisk();
    const log = openable(disk);
    await log.open();
    for (let index = 1; index <= 100; index++) await log.append(batch([entry(index, 1, "a".repeat(400))]));
    const before = (await disk.list("wal")).filter((name) => name.endsWith(".wal")).length;
    const configuration: Configuration = {
      voters: [member("a"), member("b")],
      outgoing: [member("c")],
      learners: [member("d")],
      generation: 7 as Configuration["generation"],
    };
    await log.compact({ ...base(90, 1), configuration });
    const after = (await disk.list("wal")).filter((name) => name.endsWith(".wal")).length;
    expect(before).toBeGreaterThan(5);
    expect(after).toBeLessThan(4);
    expect(log.term(at(90))).toBe(1);
    expect(log.term(at(89))).toBeUndefined();
    expect(await codeOf(log.read(at(90), at(95), 1))).toBe("LOG_COMPACTED");
    expect(await readAll(log, 91, 100)).toHaveLength(10);
    await log.close();
    disk.crash();
    expect(await contentsOf(disk)).toMatchObject({
      base: { index: 90, term: 1, configuration },
      entries: { length: 10 },
      integrity: "ok",
    });
  });

  test("compacting to what the log does not hold is refused; to less than the base it is done already", async () => {
    const log = openable(memoryDisk());
    await log.open();
    await log.append(batch(entries(1, 5, 2)));
    expect(await codeOf(log.compact(base(6, 2)))).toBe("LOG_INVALID_BATCH");
    expect(await codeOf(log.compact(base(4, 1)))).toBe("LOG_INVALID_BATCH");
    await log.compact(base(4, 2));
    await log.compact(base(3, 2));
    expect(log.term(at(4))).toBe(2);
    await log.close();
  });

  test("a reset replaces everything in one step, whatever was there", async () => {
    const disk = memoryDisk();
    const log = openable(disk);
    await log.open();
    for (let index = 1; index <= 60; index++) await log.append(batch([entry(index, 1, "a".repeat(400))]));
    await log.reset(base(1000, 9), hardState(9, 1000));
    expect(log.term(at(60))).toBeUndefined();
    expect(await log.read(at(1001), at(1002), 1)).toEqual([]);
    await log.append(batch([entry(1001, 9)]));
    await log.close();
    disk.crash();
    expect((await disk.list("wal")).filter((name) => name.endsWith(".wal"))).toHaveLength(1);
    expect(await contentsOf(disk)).toMatchObject({
      base: { index: 1000, term: 9 },
      hardState: { term: 9, commitIndex: 1000 },
      entries: { length: 1 },
    });
  });

  test("reads honour their byte limit, give at least one entry, and end at the log's end", async () => {
    for (const cacheBytes of [0, 1 << 20]) {
      const log = openable(memoryDisk(), { cacheBytes });
      await log.open();
      await log.append(batch(entries(1, 20, 1, "x".repeat(100))));
      expect(await log.read(at(1), at(21), 350)).toHaveLength(3);
      expect(await log.read(at(5), at(21), 1)).toHaveLength(1);
      expect(await log.read(at(19), at(99), 1_000_000)).toHaveLength(2);
      expect(await log.read(at(21), at(99), 1)).toEqual([]);
      expect(await log.read(at(4), at(4), 100)).toEqual([]);
      await log.close();
    }
  });

  test("reading, cutting and compacting at once never yields an entry of another place", async () => {
    const log = openable(memoryDisk(), { cacheBytes: 2000 });
    await log.open();
    const random = seededRandom(5);
    let last = 0;
    let term = 1;
    const work: Promise<unknown>[] = [];
    for (let round = 0; round < 300; round++) {
      const cut = random.chance(0.1) && last > 10 ? last - random.below(5) : last + 1;
      if (cut <= last) term++;
      const count = 1 + random.below(5);
      work.push(
        log.append(batch(entries(cut, cut + count - 1, term, "p".repeat(random.below(300))), { truncateFrom: cut })),
      );
      last = cut + count - 1;
      const from = Math.max(1, last - random.below(60));
      work.push(
        log
          .read(at(from), at(last + 1), 5000)
          .then((list) => expect(list.map((one) => one.index)).toEqual(list.map((_, place) => from + place))),
      );
      if (round % 20 === 0) await Promise.all(work.splice(0));
    }
    await Promise.all(work);
    await log.close();
  });
});

describe("a disk that fails", () => {
  test("a failed sync is final: LOG_FAILED for everything queued and for all that follows, and no second sync", async () => {
    const disk = memoryDisk();
    const log = openable(disk);
    await log.open();
    await log.append(batch([entry(1, 1)]));
    disk.failSyncs(1);
    const { datasyncs } = disk.statistics();
    const doomed = [log.append(batch([entry(2, 1)])), log.append(batch([entry(3, 1)]))];
    expect(await Promise.all(doomed.map(codeOf))).toEqual(["LOG_FAILED", "LOG_FAILED"]);
    expect(await codeOf(log.append(batch([entry(4, 1)])))).toBe("LOG_FAILED");
    expect(await codeOf(log.compact(base(1, 1)))).toBe("LOG_FAILED");
    expect(disk.statistics().datasyncs).toBe(datasyncs);
    await log.close();
  });

  test("after a failed sync a new open makes durable what it reads, though the page cache says it is", async () => {
    const disk = memoryDisk();
    const log = openable(disk);
    await log.open();
    await log.append(batch([entry(1, 1)]));
    disk.failSyncs(1);
    expect(await codeOf(log.append(batch([entry(2, 1)])))).toBe("LOG_FAILED");
    await log.close();
    const seen = await contentsOf(disk);
    disk.crash();
    expect(await contentsOf(disk)).toEqual(seen);
  });

  test("a full disk refuses entries with LOG_FULL, still takes a vote, and heals without a reopen", async () => {
    const disk = memoryDisk();
    const log = openable(disk, { segmentBytes: 64 << 10, allocateBytes: 16 << 10 });
    await log.open();
    await log.append(batch([entry(1, 1, "x".repeat(1000))]));
    disk.setCapacity(0);
    let index = 1;
    let code = "resolved";
    while (code === "resolved") {
      index++;
      code = await codeOf(log.append(batch([entry(index, 1, "x".repeat(1000))])));
    }
    expect(code).toBe("LOG_FULL");
    expect(index).toBeGreaterThan(4);
    expect(log.term(at(index))).toBeUndefined();
    await log.append(batch([], { hardState: hardState(5, 1, "me") }));
    await log.compact(base(1, 1));
    disk.setCapacity(1 << 30);
    await log.append(batch([entry(index, 5)]));
    await log.close();
    disk.crash();
    expect(await contentsOf(disk)).toMatchObject({
      hardState: { term: 5, vote: "me" },
      base: { index: 1 },
      entries: { length: index - 1 },
      integrity: "ok",
    });
  });

  test("what was queued behind a refused batch falls with it", async () => {
    const disk = memoryDisk();
    const log = openable(disk, { flushBytes: 1 });
    await log.open();
    await log.append(batch([entry(1, 1)]));
    disk.setCapacity(0);
    const refused = [
      log.append(batch([entry(2, 1, "x".repeat(9000))])),
      log.append(batch([entry(3, 1)])),
      log.append(batch([entry(1, 2)], { truncateFrom: 1 })),
    ];
    expect(await Promise.all(refused.map(codeOf))).toEqual(["LOG_FULL", "LOG_FULL", "LOG_FULL"]);
    expect(log.term(at(1))).toBe(1);
    expect(await readAll(log, 1, 1)).toHaveLength(1);
    await log.append(batch([entry(2, 1)]));
    await log.close();
  });

  test("a full disk at the very beginning is LOG_FULL and leaves nothing that a later open would trip over", async () => {
    const disk = memoryDisk({ capacityBytes: 1000 });
    expect(await codeOf(openable(disk).open())).toBe("LOG_FULL");
    disk.setCapacity(1 << 20);
    expect(await contentsOf(disk)).toMatchObject({ entries: [], integrity: "ok" });
  });

  test("a write that fails half way leaves a log that opens as before", async () => {
    const disk = memoryDisk();
    const log = openable(disk);
    await log.open();
    await log.append(batch(entries(1, 3, 1)));
    const before = await contentsOf(disk.image("nothing-lost"));
    disk.failWrites(1);
    expect(await codeOf(log.append(batch(entries(4, 9, 1, "x".repeat(500)))))).toBe("LOG_FAILED");
    await log.close();
    expect(await contentsOf(disk.image("nothing-lost"))).toEqual(before);
  });
});

describe("whose log it is", () => {
  test("a log of another group is LOG_OTHER_CLUSTER, one that is bound to none is taken", async () => {
    const disk = memoryDisk();
    const unbound = openable(disk);
    await unbound.open();
    await unbound.close();
    const groupId = new Uint8Array(32).fill(1);
    const bound = openable(disk, { groupId });
    await bound.open();
    await bound.append(batch(entries(1, 40, 1, "x".repeat(400))));
    await bound.append(batch(entries(41, 80, 1, "x".repeat(400))));
    await bound.close();
    expect(await codeOf(openable(disk, { groupId: new Uint8Array(32).fill(2) }).open())).toBe("LOG_OTHER_CLUSTER");
    expect(await contentsOf(disk, { groupId })).toMatchObject({ entries: { length: 80 } });
  });

  test("options out of range are refused with FABRIC_INVALID_VALUE", () => {
    for (const options of [
      { segmentBytes: 100 },
      { allocateBytes: 1 << 20 },
      { groupId: new Uint8Array(33) },
      { directory: "" },
      { cacheBytes: -1 },
    ]) {
      expect(() => openable(memoryDisk(), options)).toThrow(expect.objectContaining({ code: "FABRIC_INVALID_VALUE" }));
    }
  });
});
