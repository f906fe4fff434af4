import { readFileSync } from "node:fs";
import { crc32 } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Configuration, LogEntry } from "@revoada/fabric";
import {
  base,
  batch,
  codeOf,
  contentsOf,
  entry,
  formatWalReport,
  hardState,
  inspectWal,
  memoryDisk,
  openable,
  seededRandom,
  sharedWal,
  verifyWal,
  type MemoryDisk,
} from "./wal-support.ts";
import { crcOf, crcOfRange } from "../src/wal/crc.ts";

const goldenFile = (name: string): URL => new URL(`testdata/${name}.hex`, import.meta.url);
const id = (letter: string) =>
  ({ id: letter.repeat(64), storeId: letter.repeat(32) }) as Configuration["voters"][number];
const groupId = new Uint8Array(32).fill(0xc1);

/** One of each record of a log of one group, in the order in which the golden files have them. */
async function writeGolden(disk: MemoryDisk): Promise<void> {
  const log = openable(disk, { random: seededRandom(1), groupId, segmentBytes: 16384 });
  await log.open();
  await log.append(
    batch([entry(1, 1, "first"), { ...entry(2, 1, ""), kind: "noop" }], { hardState: hardState(1, 0, "node-a") }),
  );
  await log.append(batch([{ ...entry(3, 2, "config"), kind: "configuration" }]));
  await log.append(batch([entry(3, 3, new Uint8Array(1100)), entry(4, 3, "x".repeat(5000))], { truncateFrom: 3 }));
  const configuration: Configuration = {
    voters: [id("a"), id("b")],
    outgoing: [id("c")],
    learners: [id("d")],
    generation: 9 as Configuration["generation"],
  };
  await log.compact({ ...base(2, 1), configuration });
  await log.close();
}

async function onlySegment(disk: MemoryDisk): Promise<{ path: string; bytes: Buffer }> {
  const names = (await disk.list("wal")).filter((name) => name.endsWith(".wal"));
  expect(names).toEqual(["0000000000000001.wal"]);
  const path = `wal/${names[0]}`;
  const file = await disk.open(path);
  return { path, bytes: Buffer.from(await file.read(0, await file.size())) };
}

/** One of each record that only a log of many groups has. */
async function writeGoldenShared(disk: MemoryDisk): Promise<void> {
  const wal = sharedWal({
    disk,
    random: seededRandom(2),
    clusterId: groupId,
    segmentBytes: 16384,
    allocateBytes: 4096,
  });
  const [one, two, gone] = [
    wal.store(Buffer.from("one")),
    wal.store(Buffer.from("two")),
    wal.store(Buffer.from("gone")),
  ];
  for (const store of [one, two, gone]) await store.open();
  await Promise.all([
    one.append(batch([entry(1, 1, "first of one")], { hardState: hardState(1, 0, "node-a") })),
    two.append(batch([entry(1, 4, "first of two"), entry(2, 5, new Uint8Array(1100))])),
    gone.append(batch([entry(1, 1, "of a group that goes")])),
  ]);
  await gone.close();
  await wal.forget(Buffer.from("gone"));
  await two.compact(base(1, 4));
  await one.append(batch([entry(1, 2, "anew")], { truncateFrom: 1 }));
  await two.append(batch([entry(3, 5, "x".repeat(14_000))]));
  await one.append(batch([entry(2, 2, "in the second segment")]));
  await wal.close();
}

function goldenBytes(name = "wal-v1"): Buffer {
  return Buffer.from(readFileSync(goldenFile(name), "utf8").replaceAll(/\s/g, ""), "hex");
}

async function diskOf(bytes: Uint8Array): Promise<MemoryDisk> {
  const disk = memoryDisk();
  await disk.makeDirectory("wal");
  const file = await disk.open("wal/0000000000000001.wal", { create: true });
  await file.write(0, [bytes]);
  return disk;
}

/** Gives a changed header the check that belongs to it. */
function reseal(bytes: Buffer): Buffer {
  bytes.writeUInt32LE(crc32(bytes.subarray(20, bytes.readUInt32LE(12)), crc32(bytes.subarray(0, 16))), 16);
  return bytes;
}

describe("format 2", () => {
  test("of a log of one group is what the golden file has, byte for byte", async () => {
    const disk = memoryDisk();
    await writeGolden(disk);
    const { bytes } = await onlySegment(disk);
    const golden = goldenBytes("wal-v2");
    expect(bytes.subarray(0, golden.length).equals(golden)).toBe(true);
    expect(bytes.subarray(golden.length).every((byte) => byte === 0)).toBe(true);
  });

  test("of a log of many groups is what the golden file has, byte for byte, in both segments", async () => {
    const disk = memoryDisk();
    await writeGoldenShared(disk);
    for (const number of [1, 2]) {
      const file = await disk.open(`wal/000000000000000${number}.wal`);
      const bytes = Buffer.from(await file.read(0, await file.size()));
      const golden = goldenBytes(`wal-v2-shared-${number}`);
      expect(bytes.subarray(0, golden.length).equals(golden)).toBe(true);
      expect(bytes.subarray(golden.length).every((byte) => byte === 0)).toBe(true);
    }
  });

  test("of many groups is read, with every kind of record", async () => {
    const disk = memoryDisk();
    await disk.makeDirectory("wal");
    for (const number of [1, 2]) {
      const file = await disk.open(`wal/000000000000000${number}.wal`, { create: true });
      await file.write(0, [goldenBytes(`wal-v2-shared-${number}`)]);
    }
    const kinds = new Set<string>();
    const report = await inspectWal(disk, { onRecord: (record) => void kinds.add(record.type) });
    expect(report).toMatchObject({ verdict: "ok", shared: true, faults: [] });
    expect(report.groups.map((group) => [Buffer.from(group.groupId).toString(), group.state, group.lastIndex])).toEqual(
      [
        ["one", "ok", 2],
        ["two", "ok", 3],
        ["gone", "forgotten", 0],
      ],
    );
    expect([...kinds].toSorted()).toEqual(["base", "entry", "forget", "group", "hard-state", "truncate"]);
  });

  test("rests on CRC-32 (ISO-HDLC), native and in steps", () => {
    const check = Buffer.from("123456789");
    expect(crcOf(check, 0)).toBe(0xcbf43926);
    expect(crcOfRange(check, 0, check.length, 0)).toBe(0xcbf43926);
    const long = seededRandom("crc").bytes(1000);
    expect(crcOf(long, 7)).toBe(crcOfRange(long, 0, long.length, 7));
    expect(crcOfRange(long, 100, 1000, crcOfRange(long, 0, 100, 7))).toBe(crc32(long, 7));
  });
});

describe("format 1", () => {
  test("that an earlier release began is written on as such, and goes on in format 2", async () => {
    const disk = await diskOf(goldenBytes());
    const log = openable(disk, { groupId, segmentBytes: 16384 });
    await log.open();
    await log.append(batch([entry(5, 3, "y".repeat(3000))]));
    await log.append(batch([entry(6, 3, "z".repeat(9000))]));
    await log.close();
    const versions = await Promise.all(
      ["0000000000000001.wal", "0000000000000002.wal"].map(async (name) => {
        const file = await disk.open(`wal/${name}`);
        return Buffer.from(await file.read(0, 12)).readUInt32LE(8);
      }),
    );
    expect(versions).toEqual([1, 2]);
    expect(await contentsOf(disk, { groupId })).toMatchObject({ integrity: "ok", entries: { length: 4 } });
  });

  test("of the golden file is read, with every kind of record", async () => {
    const disk = await diskOf(goldenBytes());
    const found = await contentsOf(disk, { groupId });
    expect(found).toMatchObject({
      integrity: "ok",
      base: { index: 2, term: 1, configuration: { generation: 9, outgoing: [id("c")] } },
    });
    expect(found.hardState).toEqual(hardState(1, 0, "node-a"));
    expect(found.entries).toEqual([`3/3/command/${"00".repeat(1100)}`, `4/3/command/${"78".repeat(5000)}`]);
    const log = openable(disk);
    expect((await log.open()).storeId).toBe(goldenBytes().subarray(20, 36).toString("hex"));
    await log.close();
  });

  test("never stores a sector of zeros in a batch, whatever the payloads", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(3000), fc.nat(3000), fc.nat(3000)), { minLength: 1, maxLength: 6 }),
        async (shapes) => {
          const disk = memoryDisk();
          const log = openable(disk, { segmentBytes: 1 << 20, allocateBytes: 4096 });
          await log.open();
          const list: LogEntry[] = shapes.map(([before, zeros, after], place) =>
            entry(
              place + 1,
              1,
              Buffer.concat([new Uint8Array(before).fill(3), new Uint8Array(zeros), new Uint8Array(after).fill(4)]),
            ),
          );
          await log.append(batch(list));
          await log.close();
          const { bytes } = await onlySegment(disk);
          let end = bytes.length;
          while (bytes[end - 1] === 0) end--;
          for (let from = 0; from + 512 <= end; from += 512) {
            expect(bytes.subarray(from, from + 512).every((byte) => byte === 0)).toBe(false);
          }
        },
      ),
      { numRuns: 60, seed: 7 },
    );
  });

  test("is refused with LOG_NEWER_FORMAT where the version is later, with LOG_CORRUPT where it only looks so", async () => {
    const damaged = goldenBytes();
    damaged[8] = 3;
    expect(await codeOf(openable(await diskOf(damaged)).open())).toBe("LOG_CORRUPT");
    const newer = reseal(Buffer.from(damaged));
    const disk = await diskOf(newer);
    expect(await codeOf(openable(disk).open())).toBe("LOG_NEWER_FORMAT");
    expect(await inspectWal(disk)).toMatchObject({ verdict: "newer" });
    expect((await onlySegment(disk)).bytes.equals(newer)).toBe(true);
  });

  test("does not take a segment under another's name", async () => {
    const disk = await diskOf(goldenBytes());
    await disk.rename("wal/0000000000000001.wal", "wal/0000000000000002.wal");
    expect(await codeOf(openable(disk).open())).toBe("LOG_CORRUPT");
  });

  test("does not take bytes of the same segment at another place", async () => {
    const bytes = goldenBytes();
    const second = bytes.readUInt32LE(512 + 8) + 512;
    const length = bytes.readUInt32LE(second + 8);
    const moved = Buffer.concat([bytes.subarray(0, 512), bytes.subarray(second, second + length), Buffer.alloc(8192)]);
    expect((await inspectWal(await diskOf(moved))).verdict).toBe("corrupt");
  });

  test("random bytes in place of a log, or behind it, are never taken for one", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 3000 }), fc.boolean(), async (noise, behind) => {
        const disk = await diskOf(behind ? Buffer.concat([goldenBytes(), noise]) : noise);
        const { verdict, lastIndex } = await inspectWal(disk);
        if (behind) expect(lastIndex).toBe(4);
        else expect(verdict).toBe("corrupt");
        expect(["resolved", "LOG_CORRUPT"]).toContain(await codeOf(openable(disk).open()));
      }),
      { numRuns: 100, seed: 8 },
    );
  });
});

describe("inspecting", () => {
  test("describes segments and records, and changes nothing", async () => {
    const disk = await diskOf(goldenBytes());
    const before = await onlySegment(disk);
    const kinds: string[] = [];
    const report = await inspectWal(disk, { onRecord: (record) => kinds.push(record.type) });
    expect(report).toMatchObject({ verdict: "ok", lastIndex: 4, faults: [], groupId });
    expect(report.segments).toMatchObject([
      {
        state: "live",
        batches: 5,
        end: "clean",
        firstEntry: 1,
        lastEntry: 4,
        records: { entry: 5, "hard-state": 2, truncate: 1, base: 2 },
      },
    ]);
    expect(kinds.slice(0, 5)).toEqual(["base", "hard-state", "entry", "entry", "hard-state"]);
    expect((await onlySegment(disk)).bytes.equals(before.bytes)).toBe(true);
  });

  test("tells torn, corrupt, suspect and absent apart, and prints each", async () => {
    expect(await verifyWal(memoryDisk())).toMatchObject({ ok: true, report: { verdict: "absent" } });
    const golden = goldenBytes();
    const torn = Buffer.from(golden);
    torn.fill(0, 512 * 12, 512 * 13);
    const tornReport = await verifyWal(await diskOf(torn.subarray(0, golden.readUInt32LE(512 + 8) + 512)));
    expect(tornReport.ok).toBe(true);
    const flipped = Buffer.from(golden);
    flipped[golden.length - 40] = (flipped[golden.length - 40] ?? 0) ^ 4;
    const disk = await diskOf(flipped);
    const corrupt = await verifyWal(disk);
    expect(corrupt).toMatchObject({ ok: false, report: { verdict: "corrupt", faults: [{ kind: "corrupt" }] } });
    expect(formatWalReport(corrupt.report)).toContain("CORRUPT");
    const log = openable(disk);
    await log.open();
    await log.append(batch([], { hardState: hardState(8, 1) }));
    await log.close();
    expect(await verifyWal(disk)).toMatchObject({ ok: false, report: { verdict: "suspect", faults: [] } });
  });

  test("prints a report that a person can read", async () => {
    const text = formatWalReport(await inspectWal(await diskOf(goldenBytes())));
    expect(text).toBe(
      [
        "log        wal",
        "verdict    ok",
        `store      ${goldenBytes().subarray(20, 36).toString("hex")}`,
        `group      ${"c1".repeat(32)}`,
        "term       1",
        "vote       node-a",
        "committed  0",
        "base       2 of term 1",
        "last       4 (2 entries held)",
        "",
        "SEGMENT               STATE  USED  SIZE  BATCHES  ENTRIES  END",
        `0000000000000001.wal  live   ${goldenBytes().length}  ${goldenBytes().length}  5        1..4     clean`,
        "",
      ].join("\n"),
    );
  });
});
