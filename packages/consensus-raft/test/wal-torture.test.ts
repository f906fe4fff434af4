import { isFabricError } from "@revoada/fabric";
import { describe, expect, test } from "vitest";
import {
  at,
  base,
  batch,
  codeOf,
  contentsOf,
  describeEntry,
  entries,
  entry,
  hardState,
  inspectWal,
  memoryDisk,
  openable,
  seededRandom,
  verifyWal,
  type Contents,
  type MemoryDisk,
} from "./wal-support.ts";

const sectorBytes = 512;
const frameBytes = 32;

interface Written {
  readonly disk: MemoryDisk;
  /** What the log held after each acknowledged batch. */
  readonly history: readonly Contents[];
  /** Where each batch stands in its file, in order. */
  readonly places: readonly { readonly path: string; readonly offset: number; readonly end: number }[];
}

/** Writes batches of many shapes, one flush each, and takes down where each landed. */
async function write(batches: number, payloadBytes = 700): Promise<Written> {
  const history: Contents[] = [];
  const places: { path: string; offset: number; end: number }[] = [];
  const disk = memoryDisk();
  const log = openable(disk);
  await log.open();
  const random = seededRandom("torture");
  let last = 0;
  let term = 1;
  for (let number = 0; number < batches; number++) {
    const cut = number % 17 === 16 ? last - 1 : last + 1;
    if (cut <= last) term++;
    const list = entries(
      cut,
      cut + random.below(3),
      term,
      number % 5 === 0 ? new Uint8Array(random.below(2 * payloadBytes)) : random.bytes(random.below(payloadBytes)),
    );
    await log.append(
      batch(list, {
        truncateFrom: cut,
        ...(number % 4 === 0 ? { hardState: hardState(term, cut - 1, `voter ${number}`) } : {}),
      }),
    );
    last = (list.at(-1) ?? entry(last, term)).index;
    if (number === Math.floor(batches / 2)) await log.compact(base(last - 3, log.term(at(last - 3)) ?? 0));
    const { integrity, ...contents } = await contentsOf(disk.image("unsynced-lost"));
    expect(integrity).toBe("ok");
    history.push(contents);
    places.push(await lastPlace(disk));
  }
  await log.close();
  return { disk, history, places };
}

async function lastPlace(disk: MemoryDisk): Promise<{ path: string; offset: number; end: number }> {
  const names = (await disk.list("wal")).filter((name) => name.endsWith(".wal"));
  const path = `wal/${names.at(-1)}`;
  const file = await disk.open(path);
  const bytes = Buffer.from(await file.read(0, await file.size()));
  let end = bytes.length;
  while (bytes[end - 1] === 0) end--;
  // The commit frame closes the batch and repeats its length.
  return { path, offset: end - bytes.readUInt32LE(end - 32 + 8), end };
}

async function zeroFrom(disk: MemoryDisk, path: string, from: number, end: number): Promise<void> {
  const file = await disk.open(path);
  await file.write(from, [new Uint8Array(end - from)]);
  await file.datasync();
}

function isPrefixOfSome(found: Contents, history: readonly Contents[]): boolean {
  return history.some(
    (one) => one.base.index === found.base.index && found.entries.every((text, place) => one.entries[place] === text),
  );
}

describe("a log that is damaged", () => {
  test("cut at every byte of its last two batches is as before one of them, or says that it is corrupt", async () => {
    const { disk, history, places } = await write(14, 450);
    const [before, last] = places.slice(-2) as [Written["places"][number], Written["places"][number]];
    expect(before.path).toBe(last.path);
    const states = history.map((one) => JSON.stringify(one));
    const counts = { ok: 0, corrupt: 0 };
    for (let cut = before.offset; cut <= last.end; cut++) {
      const image = disk.image("nothing-lost");
      await zeroFrom(image, last.path, cut, last.end);
      const { integrity, ...contents } = await contentsOf(image);
      const blankSector =
        cut % sectorBytes === 0 || Math.floor(cut / sectorBytes) < Math.floor((last.end - 1) / sectorBytes);
      const beginIsWhole = cut >= before.end + frameBytes || cut === before.end;
      counts[integrity as keyof typeof counts]++;
      if (integrity === "ok") {
        const survivors = cut >= last.end ? 1 : cut >= before.end ? 2 : 3;
        expect(JSON.stringify(contents)).toBe(states.at(-survivors));
      } else {
        expect(isPrefixOfSome(contents, history)).toBe(true);
      }
      // A whole sector of a batch that is missing says "never written"; a part of one cannot.
      if (cut >= before.end && beginIsWhole && blankSector && cut < last.end) expect(integrity).toBe("ok");
    }
    expect(counts.ok).toBeGreaterThan(0);
    expect(counts.corrupt).toBeGreaterThan(0);
  });

  test("with the file cut short instead behaves the same", async () => {
    const { disk, history, places } = await write(30);
    const last = places.at(-1) as Written["places"][number];
    for (let cut = last.offset; cut < last.end; cut += 7) {
      const image = disk.image("nothing-lost");
      const file = await image.open(last.path);
      await file.truncate(cut);
      const { integrity, ...contents } = await contentsOf(image);
      if (integrity === "ok") expect(contents).toEqual(history.at(-2));
      else expect(isPrefixOfSome(contents, history)).toBe(true);
    }
  });

  test("in any single bit never serves it, and is ok only with every acknowledged record", async () => {
    const { disk, history, places } = await write(40);
    const random = seededRandom("flips");
    const names = (await disk.list("wal")).filter((name) => name.endsWith(".wal"));
    const final = JSON.stringify(history.at(-1));
    const last = places.at(-1) as Written["places"][number];
    const flips: { path: string; offset: number; mask: number }[] = [];
    for (let number = 0; number < 900; number++) {
      const path = `wal/${random.pick(names)}`;
      flips.push({ path, offset: random.below((await disk.size(path)) ?? 1), mask: 1 << random.below(8) });
    }
    // The tail is where a flip is most easily taken for a torn write.
    for (let offset = last.offset; offset < last.end; offset += 3)
      flips.push({ path: last.path, offset, mask: 1 << random.below(8) });
    const counts = { ok: 0, corrupt: 0, refused: 0 };
    for (const { path, offset, mask } of flips) {
      const image = disk.image("nothing-lost");
      image.corrupt(path, offset, mask);
      const found = await contentsOf(image).catch((error: unknown) => error);
      if (isFabricError(found)) {
        expect(found.code).toBe("LOG_CORRUPT");
        counts.refused++;
        continue;
      }
      const { integrity, ...contents } = found as Contents & { integrity: string };
      if (integrity === "ok") expect(JSON.stringify(contents)).toBe(final);
      else expect(isPrefixOfSome(contents, history)).toBe(true);
      counts[integrity as "ok" | "corrupt"]++;
      if (path === last.path && offset >= last.offset && offset < last.end) expect(integrity).toBe("corrupt");
    }
    expect(counts.ok).toBeGreaterThan(50);
    expect(counts.corrupt).toBeGreaterThan(300);
  });

  test("after it was opened refuses to read the damaged entry, and only that", async () => {
    const disk = memoryDisk();
    const log = openable(disk, { segmentBytes: 1 << 20, allocateBytes: 1 << 20, cacheBytes: 0 });
    await log.open();
    for (let index = 1; index <= 5; index++) await log.append(batch([entry(index, 1, "x".repeat(300))]));
    const third = Buffer.from("x".repeat(300));
    const name = `wal/${(await disk.list("wal")).find((one) => one.endsWith(".wal"))}`;
    const bytes = Buffer.from(await (await disk.open(name)).read(0, 8192));
    let place = -1;
    for (let count = 0; count < 3; count++) place = bytes.indexOf(third, place + 1 + (count === 0 ? 0 : 300));
    disk.corrupt(name, place + 100);
    expect(await log.read(at(1), at(3), 10_000)).toHaveLength(2);
    expect(await codeOf(log.read(at(3), at(4), 10_000))).toBe("LOG_CORRUPT");
    expect(await log.read(at(4), at(6), 10_000)).toHaveLength(2);
    await log.close();
  });
});

describe("torn is told from corrupt", () => {
  const large = new Uint8Array(2000).fill(5);

  async function threeBatches(): Promise<Written> {
    const disk = memoryDisk();
    const log = openable(disk, { segmentBytes: 1 << 16, allocateBytes: 1 << 16 });
    await log.open();
    const history: Contents[] = [];
    const places: { path: string; offset: number; end: number }[] = [];
    for (let index = 1; index <= 3; index++) {
      await log.append(batch([entry(index, 1, large)]));
      const { integrity: _, ...contents } = await contentsOf(disk.image("unsynced-lost"));
      history.push(contents);
      places.push(await lastPlace(disk));
    }
    await log.close();
    return { disk, history, places };
  }

  test("a sector of zeros in the last batch is torn and the batch is gone; in an earlier one it is corrupt", async () => {
    const { disk, history, places } = await threeBatches();
    for (const [number, { path, offset, end }] of places.entries()) {
      for (let from = offset - (offset % sectorBytes); from < end; from += sectorBytes) {
        const image = disk.image("nothing-lost");
        // A sector at the border still holds the end of the batch before, as it would after a torn write.
        const [start, stop] = [Math.max(from, offset), Math.min(from + sectorBytes, end)];
        await zeroFrom(image, path, start, stop);
        const { integrity, ...contents } = await contentsOf(image);
        const isLast = number === 2;
        expect(`${number} ${from}: ${integrity}`).toBe(`${number} ${from}: ${isLast ? "ok" : "corrupt"}`);
        expect(contents.entries).toEqual(number === 0 ? [] : (history[number - 1]?.entries ?? []));
      }
    }
  });

  test("every flipped bit of a small last batch is corrupt: frames, heads, bodies and padding", async () => {
    const disk = memoryDisk();
    const log = openable(disk);
    await log.open();
    await log.append(
      batch([entry(1, 1, "five!"), entry(2, 1, "and nineteen bytes.")], { hardState: hardState(2, 1, "me") }),
    );
    await log.close();
    const { path, offset, end } = await lastPlace(disk);
    for (let place = offset; place < end; place++) {
      const image = disk.image("nothing-lost");
      image.corrupt(path, place, 1 << (place % 8));
      expect(await contentsOf(image)).toMatchObject({ integrity: "corrupt", entries: [] });
    }
  });

  test("a bit behind the log is corrupt in the sector that the log ends in, and harmless further on", async () => {
    const disk = memoryDisk();
    const log = openable(disk);
    await log.open();
    await log.append(batch([entry(1, 1, "x")]));
    await log.close();
    const { path, end } = await lastPlace(disk);
    expect(sectorBytes - (end % sectorBytes)).toBeGreaterThan(64);
    for (const [place, integrity] of [
      [end, "corrupt"],
      [end + 50, "corrupt"],
      [end + sectorBytes + 3, "ok"],
      [4000, "ok"],
    ] as const) {
      const image = disk.image("nothing-lost");
      image.corrupt(path, place);
      expect(await contentsOf(image)).toMatchObject({ integrity, entries: { length: 1 } });
    }
  });

  test("a record of another life of the same place does not pass, though its own check does", async () => {
    const bytesOf = async (
      text: string,
    ): Promise<{ disk: MemoryDisk; path: string; offset: number; bytes: Uint8Array }> => {
      const disk = memoryDisk();
      const log = openable(disk);
      await log.open();
      await log.append(batch([entry(1, 1, text), entry(2, 1, "the same")]));
      await log.close();
      const { path, offset, end } = await lastPlace(disk);
      return { disk, path, offset, bytes: await (await disk.open(path)).read(offset, end - offset) };
    };
    const one = await bytesOf("one life");
    const other = await bytesOf("another.");
    const file = await one.disk.open(one.path);
    await file.write(one.offset + 32, [other.bytes.subarray(32, 32 + 40)]);
    await file.datasync();
    expect(await contentsOf(one.disk)).toMatchObject({ integrity: "corrupt", entries: [] });
  });
});

describe("a corrupt log", () => {
  async function corrupted(): Promise<{ disk: MemoryDisk }> {
    const { disk, places } = await write(60);
    const middle = places[50] as Written["places"][number];
    disk.corrupt(middle.path, middle.offset + 40);
    return { disk };
  }

  test("changes nothing on the disk until it is written to", async () => {
    const { disk } = await corrupted();
    const before = await disk.list("wal");
    expect((await contentsOf(disk)).integrity).toBe("corrupt");
    expect(await disk.list("wal")).toEqual(before.filter((name) => name.endsWith(".wal")));
    expect((await contentsOf(disk)).integrity).toBe("corrupt");
  });

  test("takes nothing for committed that later records had overwritten, and whose overwriting is lost", async () => {
    const disk = memoryDisk();
    const log = openable(disk);
    await log.open();
    await log.append(batch(entries(1, 3, 1), { hardState: hardState(1, 1) }));
    const [segment] = (await disk.list("wal")).filter((name) => name.endsWith(".wal"));
    const path = `wal/${segment}`;
    const report = await inspectWal(disk);
    const offset = report.segments[0]!.usedBytes;
    await log.append(batch(entries(2, 3, 2), { truncateFrom: 2, hardState: hardState(2, 1, "voter") }));
    // What a later segment says of the vote is believed; what it says of commits was said of other entries.
    for (let index = 4; index <= 40; index += 1)
      await log.append(batch([entry(index, 2, "x".repeat(400))], { hardState: hardState(2, index - 1, "voter") }));
    await log.close();
    disk.corrupt(path, offset + 70);
    expect(await contentsOf(disk)).toMatchObject({
      integrity: "corrupt",
      hardState: { term: 2, vote: "voter", commitIndex: 1 },
      entries: entries(1, 3, 1).map(describeEntry),
    });
  });

  test("keeps the latest vote and term that can be believed, though its entries end earlier", async () => {
    const disk = memoryDisk();
    const log = openable(disk);
    await log.open();
    const places: Written["places"][number][] = [];
    for (let index = 1; index <= 60; index++) {
      await log.append(
        batch([entry(index, index, "x".repeat(400))], { hardState: hardState(index, index - 1, `voter ${index}`) }),
      );
      places.push(await lastPlace(disk));
    }
    await log.close();
    const { path, offset } = places[20] as Written["places"][number];
    disk.corrupt(path, offset + 40);
    const found = await contentsOf(disk);
    expect(found).toMatchObject({
      integrity: "corrupt",
      entries: { length: 20 },
      hardState: { term: 60, vote: "voter 60", commitIndex: 19 },
    });
  });

  test("stays corrupt while it is refilled, across crashes, until it is said to be whole", async () => {
    const { disk } = await corrupted();
    const log = openable(disk);
    const { lastIndex, integrity } = await log.open();
    expect(integrity).toBe("corrupt");
    expect(log.faults.map((fault) => fault.kind)).toContain("corrupt");
    await log.append(batch(entries(lastIndex + 1, lastIndex + 3, 90), { hardState: hardState(90, lastIndex) }));
    disk.crash();
    const second = openable(disk);
    expect(await second.open()).toMatchObject({ integrity: "corrupt", lastIndex: lastIndex + 3 });
    await second.append(batch(entries(lastIndex + 4, lastIndex + 9, 90)));
    await second.markRefilled();
    disk.crash();
    expect((await contentsOf(disk)).integrity).toBe("ok");
    expect(await disk.list("wal")).toEqual((await disk.list("wal")).filter((name) => name.endsWith(".wal")));
    expect((await verifyWal(disk)).ok).toBe(true);
  });

  test("that is reset is whole only once that is said", async () => {
    const { disk } = await corrupted();
    const log = openable(disk);
    await log.open();
    await log.reset(base(500, 50), hardState(50, 500));
    await log.append(batch(entries(501, 505, 50)));
    await log.close();
    expect(await contentsOf(disk)).toMatchObject({
      integrity: "corrupt",
      base: { index: 500 },
      entries: { length: 5 },
    });
    const again = openable(disk);
    await again.open();
    await again.markRefilled();
    await again.close();
    expect(await contentsOf(disk)).toMatchObject({ integrity: "ok", base: { index: 500 }, entries: { length: 5 } });
  });

  test("whose middle segment is gone serves what precedes its base, never what stands behind the hole", async () => {
    const disk = memoryDisk();
    const log = openable(disk);
    await log.open();
    for (let index = 1; index <= 80; index++)
      await log.append(batch([entry(index, 1, "x".repeat(400))], { hardState: hardState(3, index - 1, "me") }));
    await log.close();
    const names = (await disk.list("wal")).filter((name) => name.endsWith(".wal"));
    await disk.remove(`wal/${names[2]}`);
    const found = await contentsOf(disk);
    expect(found).toMatchObject({
      integrity: "corrupt",
      base: { index: 0 },
      entries: [],
      hardState: { term: 3, vote: "me" },
    });
  });

  test("whose only damage is in a segment that is not needed any more is ok", async () => {
    const disk = memoryDisk();
    const log = openable(disk);
    await log.open();
    for (let index = 1; index <= 40; index++) await log.append(batch([entry(index, 1, "x".repeat(400))]));
    const copy = disk.image("unsynced-lost");
    const oldest = `${(await disk.list("wal")).find((name) => name.endsWith(".wal"))}`;
    const file = await copy.open(`wal/${oldest}`);
    const bytes = await file.read(0, 8192);
    await log.compact(base(39, 1));
    await log.append(batch([entry(41, 1)]));
    await log.close();
    const before = await contentsOf(disk);
    // The removal of the oldest segment was lost, and what came back is damaged.
    const revived = await disk.open(`wal/${oldest}`, { create: true });
    await revived.write(0, [bytes]);
    disk.corrupt(`wal/${oldest}`, 700);
    expect(await contentsOf(disk)).toEqual(before);
    expect(before.integrity).toBe("ok");
  });
});
