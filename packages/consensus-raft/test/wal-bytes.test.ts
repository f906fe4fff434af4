import { describe, expect, test } from "vitest";
import type { Disk, DiskFile } from "@revoada/fabric";
import { entryBytes } from "../src/wal/batch-encoder.ts";
import { recover } from "../src/wal/recovery.ts";
import { linkSegments, surveySegments } from "../src/wal/survey.ts";
import {
  at,
  base,
  batch,
  entries,
  groupId,
  hardState,
  inspectWal,
  memoryDisk,
  openable,
  seededRandom,
  sharedOver,
  type MemoryDisk,
  type WalLogStore,
} from "./wal-support.ts";

const sectorBytes = 512;

/** Files as plain bytes: opening a log ten thousand times must not copy it ten thousand times. */
type Files = Map<string, Uint8Array>;

function diskOf(files: Files): Disk {
  const refuse = (): Promise<never> => Promise.reject(new Error("recovery changes nothing"));
  const open = async (path: string): Promise<DiskFile> => {
    const bytes = files.get(path) as Uint8Array;
    return {
      size: async () => bytes.length,
      read: async (offset, length) => bytes.subarray(offset, offset + length),
      write: refuse,
      datasync: refuse,
      truncate: refuse,
      allocate: refuse,
      close: async () => {},
    };
  };
  return {
    open,
    size: async (path) => files.get(path)?.length,
    list: async () => [...files.keys()].map((path) => path.slice("wal/".length)).toSorted(),
    rename: refuse,
    remove: refuse,
    makeDirectory: refuse,
    syncDirectory: refuse,
    freeBytes: async () => 0,
  };
}

async function filesOf(disk: MemoryDisk): Promise<Files> {
  const files: Files = new Map();
  for (const name of await disk.list("wal")) {
    // A segment that was made ahead bears no name of one yet.
    if (!name.endsWith(".wal")) continue;
    const file = await disk.open(`wal/${name}`);
    files.set(`wal/${name}`, await file.read(0, await file.size()));
  }
  return files;
}

/** Where an entry stands, and what it is. */
interface Place {
  readonly group: string;
  readonly index: number;
  readonly term: number;
  readonly end: number;
}

/** A fingerprint of a sequence of entries: their texts would take longer than recovering them. */
function mix(print: number, index: number, term: number): number {
  return (Math.imul(print, 31) + Math.imul(index, 7919) + term) | 0;
}

/** What is known of a log from when it was whole. */
interface Known {
  readonly files: Files;
  /** By group: everything that was acknowledged, as text. */
  readonly final: ReadonlyMap<string, string>;
  /** By segment and offset: every entry that was ever written. */
  readonly places: ReadonlyMap<string, ReadonlyMap<number, Place>>;
  /** Votes and terms that were written, by group. */
  readonly votes: ReadonlySet<string>;
}

type Verdict = "ok" | "corrupt" | "refused";

/** What a log amounts to, by group, with the entries that it would serve. */
async function recoveredFrom(files: Files) {
  const survey = await surveySegments(diskOf(files), "wal");
  const found = linkSegments(survey);
  return found.chain.length === 0 ? undefined : await recover(diskOf(files), "wal", found);
}

/**
 * Holds what a damaged log amounts to against what was written: a group that is not said to be damaged has all that it ever
 * acknowledged; one that is serves nothing but what was written where it is read, untouched by the damage.
 */
async function judge(
  known: Known,
  files: Files,
  damage?: { readonly path: string; readonly offset: number },
): Promise<Verdict> {
  const recovery = await recoveredFrom(files);
  if (recovery === undefined) return "refused";
  const { image } = recovery;
  let verdict: Verdict = recovery.integrity;
  const seen = new Set<string>();
  for (const group of image.groups.values()) {
    const name = Buffer.from(group.id).toString();
    seen.add(name);
    let print = 0;
    for (const extent of group.extents) {
      const places = known.places.get(extent.segment.name);
      for (let index = extent.first; index < extent.end; index++) {
        const offset = extent.offsetOf(index);
        const place = places?.get(offset);
        const term = group.terms.get(at(index));
        if (place === undefined || place.group !== name || place.index !== index || place.term !== term)
          throw new Error(`${extent.segment.name} at ${offset}: entry ${index} of ${name} was never here`);
        if (
          damage !== undefined &&
          damage.path.endsWith(extent.segment.name) &&
          damage.offset >= offset &&
          damage.offset < place.end
        )
          throw new Error(`entry ${index} of ${name} is served damaged`);
        print = mix(print, index, place.term);
      }
    }
    const { term, vote } = group.hardState;
    if (!known.votes.has(`${name}/${term}/${vote}`)) throw new Error(`${name} voted ${vote} in ${term}, it never did`);
    if (group.suspect) {
      verdict = "corrupt";
      continue;
    }
    const text = JSON.stringify([group.base.index, group.base.term, group.hardState, group.lastIndex, print]);
    if (text !== known.final.get(name)) throw new Error(`${name} has lost something and does not say so`);
  }
  for (const name of known.final.keys()) {
    if (!seen.has(name) && !image.strangersSuspect) throw new Error(`group ${name} is gone without a trace`);
  }
  return verdict;
}

async function know(disk: MemoryDisk, votes: ReadonlySet<string>): Promise<Known> {
  const files = await filesOf(disk);
  const places = new Map<string, Map<number, Place>>();
  const names = new Map<number, string>();
  let name = "";
  await inspectWal(diskOf(files), {
    onRecord(record, segment) {
      if (record.type === "group") {
        if (record.definition !== undefined) names.set(record.number, Buffer.from(record.definition.id).toString());
        name = names.get(record.number) ?? "";
      }
      if (record.type !== "entry") return;
      const here = places.get(segment) ?? new Map<number, Place>();
      const end = record.offset + entryBytes(record.payload.length);
      places.set(segment, here.set(record.offset, { group: name, index: record.index, term: record.term, end }));
    },
  });
  return { files, final: await finalOf(files), places, votes };
}

/** 1,000 batches: entries of many sizes, cuts, votes and compactions, in four segments or so. */
async function thousandBatches(
  stores: readonly { name: string; log: WalLogStore }[],
  votes: Set<string>,
  compactAt: number,
): Promise<void> {
  const random = seededRandom("a thousand batches");
  const state = stores.map(() => ({ last: 0, term: 1, base: 0 }));
  for (const { name } of stores) votes.add(`${name}/0/undefined`);
  for (let number = 0; number < 1000; number++) {
    const which = number % stores.length;
    const { name, log } = stores[which] as { name: string; log: WalLogStore };
    const one = state[which] as (typeof state)[number];
    const cuts = random.chance(0.05) && one.last > one.base + 2;
    const from = cuts ? one.last : one.last + 1;
    if (cuts) one.term++;
    const voted = random.chance(0.1) || number >= 990;
    if (voted) votes.add(`${name}/${one.term}/voter ${number}`);
    const small = random.chance(0.1) ? new Uint8Array(random.below(700)) : random.bytes(random.below(40));
    // One of the last covers several sectors.
    const payload = number === 997 ? random.bytes(2000) : small;
    const list = entries(from, from + (random.chance(0.2) ? 1 : 0), one.term, payload);
    const vote = voted ? { hardState: hardState(one.term, one.base, `voter ${number}`) } : {};
    await log.append(batch(list, { truncateFrom: from, ...vote }));
    one.last = list.at(-1)?.index ?? one.last;
    if (number >= compactAt && number < compactAt + stores.length) {
      one.base = Math.max(one.base, one.last - 3);
      await log.compact(base(one.base, log.term(at(one.base)) ?? 0));
    }
  }
}

const sizes = { segmentBytes: 24 << 10, allocateBytes: 8 << 10 };

async function oneGroup(compactAt: number): Promise<Known> {
  const disk = memoryDisk();
  const log = openable(disk, sizes);
  await log.open();
  const votes = new Set<string>();
  await thousandBatches([{ name: "", log }], votes, compactAt);
  await log.close();
  return await know(disk, votes);
}

async function manyGroups(compactAt: number): Promise<Known> {
  const disk = memoryDisk();
  const wal = sharedOver(disk, sizes);
  const stores = [];
  for (let n = 0; n < 7; n++) {
    const log = wal.store(groupId(n));
    await log.open();
    stores.push({ name: `group ${n}`, log });
  }
  const votes = new Set<string>();
  await thousandBatches(stores, votes, compactAt);
  await wal.close();
  return await know(disk, votes);
}

interface Batch {
  readonly path: string;
  readonly offset: number;
  readonly end: number;
}

/** The batches of the last segment. */
function lastBatches({ files }: Known): readonly Batch[] {
  const path = [...files.keys()].toSorted().at(-1) as string;
  const bytes = Buffer.from((files.get(path) as Uint8Array).buffer);
  const found: Batch[] = [];
  for (let offset = 512; bytes.readUInt32LE(offset) === 0x42564f52;) {
    const end = offset + bytes.readUInt32LE(offset + 8);
    found.push({ path, offset, end });
    offset = end;
  }
  return found;
}

/** The same files with other bytes in one of them. */
function changed(files: Files, path: string, change: (bytes: Uint8Array) => Uint8Array): Files {
  return new Map(files).set(path, change((files.get(path) as Uint8Array).slice()));
}

function usedBytes(bytes: Uint8Array): number {
  let end = bytes.length;
  while (bytes[end - 1] === 0) end--;
  return end;
}

describe.each([
  ["of one group", oneGroup],
  ["of many groups", manyGroups],
] as const)("a log of 1,000 batches %s", (_, make) => {
  const made = make(650);

  test("cut at every byte of its last two batches, the rest zeros or gone, is never served wrong", async () => {
    const known = await made;
    const [before, last] = lastBatches(known).slice(-2) as [Batch, Batch];
    const counts = { ok: 0, corrupt: 0, refused: 0 };
    const without = async (from: number): Promise<Map<string, string>> =>
      finalOf(changed(known.files, last.path, (bytes) => bytes.fill(0, from, last.end)));
    const [withoutBoth, withoutLast] = [await without(before.offset), await without(last.offset)];
    for (let cut = before.offset; cut <= last.end; cut++) {
      // Only what looks like a write that never ended may be taken for one.
      const final = cut === last.end ? known.final : cut >= last.offset ? withoutLast : withoutBoth;
      const zeroed = changed(known.files, last.path, (bytes) => bytes.fill(0, cut, last.end));
      counts[await judge({ ...known, final }, zeroed)]++;
      if (cut % 5 !== 0) continue;
      const short = changed(known.files, last.path, (bytes) => bytes.slice(0, cut));
      counts[await judge({ ...known, final }, short)]++;
    }
    expect(counts.ok).toBeGreaterThan(0);
    expect(counts.corrupt).toBeGreaterThan(0);
    expect(counts.refused).toBe(0);
  });

  test("with any of 10,000 bits flipped, a third of them in its tail, is repaired, refused or said to be corrupt", async () => {
    // Most of it is compacted away: what is left is read ten thousand times.
    const known = await make(960);
    const random = seededRandom("flips");
    const paths = [...known.files.keys()].toSorted();
    const tail = lastBatches(known).slice(-3);
    const [from, to] = [tail[0]?.offset ?? 0, tail.at(-1)?.end ?? 0];
    const counts = { ok: 0, corrupt: 0, refused: 0 };
    for (let number = 0; number < 10_000; number++) {
      const inTail = number % 3 === 0;
      const path = inTail ? (paths.at(-1) as string) : random.pick(paths);
      const bytes = known.files.get(path) as Uint8Array;
      const offset = inTail
        ? from + random.below(to - from)
        : random.below(Math.min(bytes.length, usedBytes(bytes) + sectorBytes));
      const mask = 1 << random.below(8);
      bytes[offset] = (bytes[offset] ?? 0) ^ mask;
      const verdict = await judge(known, known.files, { path, offset });
      bytes[offset] = (bytes[offset] ?? 0) ^ mask;
      counts[verdict]++;
      if (inTail) expect(verdict).toBe("corrupt");
    }
    expect(await judge(known, known.files)).toBe("ok");
    expect(counts.corrupt).toBeGreaterThan(3000);
  }, 120_000);

  test("with any subset of the sectors of its last write on the disk is as before the write, or as after it", async () => {
    const known = await made;
    const last = lastBatches(known).at(-3) as Batch;
    const bytes = (known.files.get(last.path) as Uint8Array).slice().fill(0, last.end);
    const after = await finalOf(new Map(known.files).set(last.path, bytes));
    const blank = bytes.slice().fill(0, last.offset, last.end);
    const before = await finalOf(new Map(known.files).set(last.path, blank));
    const first = Math.floor(last.offset / sectorBytes);
    const count = Math.floor((last.end - 1) / sectorBytes) - first + 1;
    expect(count).toBeGreaterThan(4);
    for (let subset = 0; subset < 2 ** count; subset++) {
      const mixed = blank.slice();
      for (let sector = 0; sector < count; sector++) {
        if ((subset & (1 << sector)) === 0) continue;
        const start = (first + sector) * sectorBytes;
        mixed.set(bytes.subarray(start, start + sectorBytes), start);
      }
      const final = subset === 2 ** count - 1 ? after : before;
      expect(await judge({ ...known, final }, new Map(known.files).set(last.path, mixed))).toBe("ok");
    }
  });

  test("with garbage behind it is never served wrong", async () => {
    const known = await made;
    const random = seededRandom("garbage");
    const last = lastBatches(known).at(-1) as Batch;
    const counts = { ok: 0, corrupt: 0, refused: 0 };
    for (let number = 0; number < 300; number++) {
      const start = last.end + (number % 2 === 0 ? random.below(64) : random.below(4096));
      const noise = random.chance(0.5)
        ? random.bytes(1 + random.below(300))
        : (known.files.get(last.path) as Uint8Array).slice(last.offset, last.end);
      const files = changed(known.files, last.path, (bytes) => {
        const longer = new Uint8Array(Math.max(bytes.length, start + noise.length));
        longer.set(bytes);
        longer.set(noise, start);
        return longer;
      });
      counts[await judge(known, files)]++;
    }
    expect(counts.refused).toBe(0);
    expect(counts.ok + counts.corrupt).toBe(300);
  });

  test("with segments that are missing, doubled or in each other's place is never served wrong", async () => {
    const known = await made;
    const paths = [...known.files.keys()].toSorted();
    expect(paths.length).toBeGreaterThan(2);
    const next = `wal/${"f".padStart(16, "0")}.wal`;
    for (const one of paths) {
      const without = new Map(known.files);
      without.delete(one);
      await judge(known, without);
      await judge(known, new Map(known.files).set(next, known.files.get(one) as Uint8Array));
      for (const other of paths) {
        if (one === other) continue;
        const copied = new Map(known.files).set(other, known.files.get(one) as Uint8Array);
        expect(await judge(known, copied)).not.toBe(paths.indexOf(other) === paths.length - 1 ? "ok" : "refused");
        // Whole batches of one segment in the place of those of another.
        const spliced = changed(known.files, other, (bytes) => {
          bytes.set((known.files.get(one) as Uint8Array).subarray(sectorBytes, bytes.length), sectorBytes);
          return bytes;
        });
        await judge(known, spliced);
      }
    }
    const newest = new Map(known.files);
    newest.delete(paths.at(-1) as string);
    expect(await judge(known, newest)).toBe("corrupt");
  });
});

/** What a log amounts to, as {@link Known} has it. */
async function finalOf(files: Files): Promise<Map<string, string>> {
  const final = new Map<string, string>();
  const recovery = await recoveredFrom(files);
  expect(recovery?.integrity).toBe("ok");
  for (const group of recovery?.image.groups.values() ?? []) {
    const id = Buffer.from(group.id).toString();
    let print = 0;
    for (let index = group.base.index + 1; index <= group.lastIndex; index++)
      print = mix(print, index, group.terms.get(at(index)) ?? 0);
    final.set(id, JSON.stringify([group.base.index, group.base.term, group.hardState, group.lastIndex, print]));
  }
  return final;
}
