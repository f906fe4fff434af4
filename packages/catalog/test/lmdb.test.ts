import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { localCatalog } from "@revoada/catalog";
import { lmdbStore } from "@revoada/catalog/lmdb";
import type { MachineStore } from "@revoada/fabric";
import { open } from "lmdb";
import { afterAll, describe, expect, test } from "vitest";
import { all, put, show, text } from "./support.ts";

const root = mkdtempSync(join(tmpdir(), "revoada-lmdb-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
let directories = 0;
const fresh = (): string => join(root, String(directories++));

const set = (store: MachineStore, key: string, value: string): void =>
  store.transact((transaction) => transaction.put("t", text(key), text(value)));
const valueOf = (store: MachineStore, key: string): string | undefined => {
  const found = store.get("t", text(key));
  return found === undefined ? undefined : show(found);
};

describe("an LMDB store", () => {
  test("gives back after a reopening what was closed in order, flushed or not", async () => {
    const directory = fresh();
    const first = await lmdbStore({ directory });
    set(first, "a", "1");
    await first.flush();
    set(first, "b", "2");
    await first.close();
    await using second = await lmdbStore({ directory });
    expect([valueOf(second, "a"), valueOf(second, "b"), second.trees()]).toEqual(["1", "2", ["t"]]);
  });

  test("keeps others out, in this process too, until it is closed", async () => {
    const directory = fresh();
    const first = await lmdbStore({ directory });
    await expect(lmdbStore({ directory })).rejects.toMatchObject({ code: "DISK_LOCKED" });
    await first.close();
    await (await lmdbStore({ directory })).close();
  });

  test("costs no disk until it is flushed, and a flush shared by all who wait", async () => {
    const directory = fresh();
    await using store = await lmdbStore({ directory });
    const before = readFileSync(join(directory, "data.mdb"));
    for (let index = 0; index < 100; index++) set(store, `k${index}`, "v");
    expect(readFileSync(join(directory, "data.mdb")).equals(before)).toBe(true);
    const flushes = [store.flush(), store.flush(), store.flush()];
    expect(flushes[1]).toBe(flushes[2]);
    await Promise.all(flushes);
    expect(readFileSync(join(directory, "data.mdb")).equals(before)).toBe(false);
  });

  test("what a flush promises is what had been committed when it was asked for", async () => {
    const directory = fresh();
    const store = await lmdbStore({ directory });
    set(store, "a", "1");
    const first = store.flush();
    set(store, "b", "2");
    const second = store.flush();
    set(store, "c", "3");
    await first;
    expect(stored(directory)).toContain("a=1");
    await second;
    expect(stored(directory)).toContain("b=2");
    await store.close();
    expect(stored(directory)).toEqual(["a=1", "b=2", "c=3"]);
  });

  test("flushes by itself once much is waiting, and refuses transactions where far too much is", async () => {
    const directory = fresh();
    const small = await lmdbStore({ directory, flushBytes: 1_000, waitingBytes: 100_000 });
    set(small, "a", "x".repeat(2_000));
    await small.flush();
    const block = "x".repeat(30_000);
    let refused: unknown;
    for (let index = 0; index < 10 && refused === undefined; index++) {
      try {
        set(small, `k${index}`, block);
      } catch (error) {
        refused = error;
      }
    }
    expect(refused).toMatchObject({ code: "CATALOG_STORE_BACKPRESSURE", retryable: true });
    await small.flush();
    set(small, "again", "1");
    expect(valueOf(small, "k0")).toBe(block);
    await small.close();
  });

  test("grows beyond the address space that it began with", async () => {
    const directory = fresh();
    await using store = await lmdbStore({ directory, mapSizeBytes: 1_048_576 });
    for (let round = 0; round < 8; round++) {
      store.transact((transaction) => {
        for (let index = 0; index < 500; index++)
          transaction.put("t", text(`${round}/${index}`), new Uint8Array(1_000).fill(round));
      });
      await store.flush();
    }
    expect([...store.range("t")]).toHaveLength(4_000);
    expect(statSync(join(directory, "data.mdb")).size).toBeGreaterThan(4_000_000);
  });

  test("clears large trees, on disk too, and takes new ones under the same name", async () => {
    const directory = fresh();
    await using store = await lmdbStore({ directory });
    store.transact((transaction) => {
      for (let index = 0; index < 5_000; index++) transaction.put("t", text(`k${index}`), text("v"));
      transaction.put("u", text("k"), text("v"));
    });
    await store.flush();
    store.transact((transaction) => {
      transaction.clear("t");
      transaction.put("t", text("k7"), text("new"));
    });
    await store.flush();
    expect(stored(directory)).toEqual(["k7=new", "u:k=v"]);
  });

  test("that was replaced as a whole has the new contents after a restart, and nothing of the old ones on the disk", async () => {
    const directory = fresh();
    const first = await lmdbStore({ directory });
    first.transact((transaction) => {
      for (let index = 0; index < 10_000; index++) transaction.put("t", text(`old${index}`), text("v"));
    });
    await first.flush();
    set(first, "waiting", "for a flush");
    const view = first.view();
    await replaceBy(first, 9_000);
    expect([first.trees(), valueOf(first, "old1"), valueOf(first, "new1")]).toEqual([["t", "u"], undefined, "w"]);
    expect([...view.range("t")]).toHaveLength(10_001);
    view.dispose();
    set(first, "after", "1");
    await first.close();
    expect(stored(directory).filter((row) => row.startsWith("old")).length).toBeLessThanOrEqual(10_000);
    // A second life goes on with removing what the first one left.
    await using second = await lmdbStore({ directory });
    expect([...second.range("t")]).toHaveLength(9_001);
    expect([valueOf(second, "after"), valueOf(second, "waiting"), valueOf(second, "old1")]).toEqual([
      "1",
      undefined,
      undefined,
    ]);
    await emptied(second, directory, 0);
    await replaceBy(second, 10);
    expect([...second.range("t")]).toHaveLength(10);
  });

  test("whose replacement was not put in force has its old contents, and what was staged is removed", async () => {
    const directory = fresh();
    const first = await lmdbStore({ directory });
    set(first, "old", "1");
    await first.flush();
    const replacement = await first.replace();
    for (let index = 0; index < 10_000; index++) replacement.put("t", text(`new${index}`), new Uint8Array(1_000));
    await replacement.drained();
    await expect(first.replace()).rejects.toMatchObject({ code: "FABRIC_INVARIANT" });
    expect(spaces(directory)).toEqual([0, 1]);
    // Not abandoned, as after a kill.
    await first.close();
    await using second = await lmdbStore({ directory });
    expect([second.trees(), valueOf(second, "old")]).toEqual([["t"], "1"]);
    await emptied(second, directory, 1);
    const other = await second.replace();
    other.put("t", text("new"), text("1"));
    await other.abandon();
    await expect(other.commit()).rejects.toMatchObject({ code: "CATALOG_STORE_CLOSED" });
    expect(() => other.put("t", text("new"), text("2"))).toThrow(
      expect.objectContaining({ code: "CATALOG_STORE_CLOSED" }),
    );
    expect(valueOf(second, "old")).toBe("1");
  });

  test("of a newer format is refused by name", async () => {
    const directory = fresh();
    await (await lmdbStore({ directory })).close();
    await raw(directory, (database, header) => {
      header[4 + 9] = 3;
      return database.put(Buffer.of(0, 1), reseal(Buffer.of(0, 1), header));
    });
    await expect(lmdbStore({ directory })).rejects.toMatchObject({ code: "CATALOG_NEWER_FORMAT", found: 3, known: 2 });
    // The lock was given back.
    await expect(lmdbStore({ directory })).rejects.toMatchObject({ code: "CATALOG_NEWER_FORMAT" });
  });

  test("that is something else is refused: another database, a text, a header that fails its check", async () => {
    const other = fresh();
    mkdirSync(other);
    const database = open({ path: join(other, "data.mdb"), noSubdir: true });
    await database.put("somebody", "else's");
    await database.close();
    await expect(lmdbStore({ directory: other })).rejects.toMatchObject({ code: "CATALOG_STORE_CORRUPT" });

    const noise = fresh();
    mkdirSync(noise);
    writeFileSync(join(noise, "data.mdb"), "this is no database".repeat(1_000));
    await expect(lmdbStore({ directory: noise })).rejects.toMatchObject({ code: "CATALOG_STORE_CORRUPT" });

    const bad = fresh();
    await (await lmdbStore({ directory: bad })).close();
    await raw(bad, (inner, header) => {
      header[6]! ^= 1;
      return inner.put(Buffer.of(0, 1), header);
    });
    await expect(lmdbStore({ directory: bad })).rejects.toMatchObject({ code: "CATALOG_STORE_CORRUPT" });
  });

  test("that is cut off anywhere is refused, and no walk ends early without a word", async () => {
    const whole = fresh();
    const store = await lmdbStore({ directory: whole });
    store.transact((transaction) => {
      for (let index = 0; index < 2_000; index++) transaction.put("t", text(`k${index}`), new Uint8Array(200));
    });
    await store.close();
    const bytes = readFileSync(join(whole, "data.mdb"));
    for (const length of [1, 100, 4_096, 5_000, 8_192, 12_288, 100_000, bytes.length - 40_000]) {
      const directory = fresh();
      mkdirSync(directory);
      writeFileSync(join(directory, "data.mdb"), bytes.subarray(0, length));
      await expect(lmdbStore({ directory })).rejects.toMatchObject({ code: "CATALOG_STORE_CORRUPT" });
    }
  });

  test("whose meta pages are nonsense is refused before anything is mapped", async () => {
    const whole = fresh();
    await (await lmdbStore({ directory: whole })).close();
    const bytes = readFileSync(join(whole, "data.mdb"));
    const changes: readonly ((meta: Buffer) => void)[] = [
      (meta) => meta.writeUInt32LE(0x12345678, 24),
      (meta) => meta.writeUInt32LE(1, 28),
      (meta) => meta.writeUInt32LE(4_095, 48),
      (meta) => meta.writeUInt32LE(8_192, 48),
      (meta) => meta.writeBigUInt64LE(1n << 50n, 144),
      (meta) => meta.writeBigUInt64LE(1n << 20n, 136),
      (meta) => meta.writeUInt16LE(0, 18),
    ];
    for (const change of changes) {
      for (const page of [0, 4_096]) {
        const directory = fresh();
        mkdirSync(directory);
        const bad = Buffer.from(bytes);
        change(bad.subarray(page));
        writeFileSync(join(directory, "data.mdb"), bad);
        await expect(lmdbStore({ directory })).rejects.toMatchObject({ code: "CATALOG_STORE_CORRUPT" });
      }
    }
  });

  test("on a disk that takes no more says so, takes nothing more, and has on disk what it had promised", async () => {
    const directory = fresh();
    const script = join(import.meta.dirname, "lmdb-full-disk.ts");
    const command = `trap '' XFSZ; ulimit -f 2000; exec "$@"`;
    const child = spawn(
      "sh",
      ["-c", command, "sh", process.execPath, "--conditions=@revoada/source", "--no-warnings", script, directory],
      { stdio: ["ignore", "pipe", "ignore"] },
    );
    const exited = once(child, "exit");
    const lines: string[] = [];
    for await (const line of createInterface({ input: child.stdout })) lines.push(line);
    expect(await exited).toEqual([0, null]);
    const flushed = lines.filter((line) => line.startsWith("flushed")).length;
    expect(flushed).toBeGreaterThan(0);
    expect(lines.slice(flushed)).toEqual([
      expect.stringMatching(/^failed CATALOG_STORE_FAILED false /),
      `readable ${(flushed + 1) * 100}`,
      "transact CATALOG_STORE_FAILED",
      "again CATALOG_STORE_FAILED",
      "closed CATALOG_STORE_FAILED",
    ]);
    await using store = await lmdbStore({ directory });
    expect([...store.range("rows")]).toHaveLength(flushed * 100);
  });

  test("on a full disk refuses to flush before anything is begun, and flushes everything once there is room", async () => {
    const directory = fresh();
    let free = 0;
    const store = await lmdbStore({ directory, flushBytes: 1, freeBytes: async () => free });
    set(store, "a", "1");
    await expect(store.flush()).rejects.toMatchObject({ code: "CATALOG_STORE_FAILED", retryable: true });
    // It goes on taking what is committed, and gives it back.
    set(store, "b", "2");
    expect([valueOf(store, "a"), valueOf(store, "b")]).toEqual(["1", "2"]);
    await expect(store.flush()).rejects.toMatchObject({ retryable: true });
    free = 2 ** 30;
    await store.flush();
    set(store, "c", "3");
    await store.close();
    await using again = await lmdbStore({ directory });
    expect(["a", "b", "c"].map((key) => valueOf(again, key))).toEqual(["1", "2", "3"]);
  });

  test("never believes a record whose bytes have changed", async () => {
    const directory = fresh();
    const store = await lmdbStore({ directory });
    set(store, "a", "precious");
    await store.close();
    const key = Buffer.concat([Buffer.of(1), Buffer.from("ta")]);
    await raw(directory, (database) => {
      const record = Buffer.from(database.get(key) as Uint8Array);
      record[7]! ^= 4;
      return database.put(key, record);
    });
    await using damaged = await lmdbStore({ directory });
    expect(() => damaged.get("t", text("a"))).toThrow(expect.objectContaining({ code: "CATALOG_STORE_CORRUPT" }));
    expect(() => [...damaged.range("t")]).toThrow(expect.objectContaining({ code: "CATALOG_STORE_CORRUPT" }));
  });

  test("refuses nonsense as what it is", async () => {
    await expect(lmdbStore({ directory: fresh(), flushBytes: 0 })).rejects.toMatchObject({
      code: "FABRIC_INVALID_VALUE",
    });
    await expect(lmdbStore({ directory: fresh(), mapSizeBytes: Number.NaN })).rejects.toMatchObject({
      code: "FABRIC_INVALID_VALUE",
    });
  });

  test("carries a catalog over a restart", async () => {
    const directory = fresh();
    const first = await lmdbStore({ directory });
    const before = localCatalog({ store: first });
    await before.txn({ compare: [], then: [put("a", "1"), put("b", "1")], else: [] });
    await before.txn({ compare: [], then: [put("a", "2")], else: [] });
    before.close();
    await first.close();
    await using second = await lmdbStore({ directory });
    using after = localCatalog({ store: second });
    expect([after.revision(), after.counts().keys]).toEqual([2, 2]);
    expect([await all(after, 1), await all(after)]).toEqual([
      [
        ["a", "1"],
        ["b", "1"],
      ],
      [
        ["a", "2"],
        ["b", "1"],
      ],
    ]);
  });

  test("killed at any moment has every flushed transaction, none in part, and opens again", async () => {
    const directory = fresh();
    let floor = 0;
    for (const killAfter of [1, 5, 20, 60]) {
      const told = await writeUntilKilled(directory, killAfter);
      expect(told).toBeGreaterThanOrEqual(floor);
      await using store = await lmdbStore({ directory });
      const counter = Number(show(store.get("left", text("counter"))!));
      expect(counter).toBeGreaterThanOrEqual(told);
      // Every transaction writes the counter in two trees and a row per number in a third one.
      expect(show(store.get("right", text("counter"))!)).toBe(String(counter));
      const rows = [...store.range("rows")].map(({ key, value }) => [Buffer.from(key).readUInt32BE(), value.length]);
      expect(rows).toEqual(Array.from({ length: counter }, (_, index) => [index + 1, ((index + 1) * 37) % 3_000]));
      floor = counter;
    }
    expect(floor).toBeGreaterThan(60);
  }, 60_000);
});

/** Puts `count` rows in the place of everything. */
async function replaceBy(store: MachineStore, count: number): Promise<void> {
  const replacement = await store.replace();
  for (let index = 0; index < count; index++) {
    replacement.put("t", text(`new${index}`), text("w"));
    await replacement.drained();
  }
  replacement.put("u", text("k"), text("v"));
  await replacement.commit();
}

/** Flushes take their turn with the removal of what is of no use: after enough of them it is gone. */
async function emptied(store: MachineStore, directory: string, space: number): Promise<void> {
  for (let round = 0; spaces(directory).includes(space); round++) {
    if (round > 200) throw new Error(`space ${space} is not removed`);
    store.transact((transaction) => transaction.put("round", text("k"), text(String(round))));
    await store.flush();
  }
}

/** The spaces that hold keys on the disk. */
function spaces(directory: string): number[] {
  const found = new Set<number>();
  for (const key of keysOnDisk(directory)) {
    if (key[0] !== 0) found.add(0);
    else if (key[1] === 2) found.add(Buffer.from(key).readUInt32BE(2));
  }
  return [...found].toSorted((left, right) => left - right);
}

function keysOnDisk(directory: string): readonly Uint8Array[] {
  const copy = `${directory}-copy-${directories++}.mdb`;
  copyFileSync(join(directory, "data.mdb"), copy);
  const database = open<Uint8Array, Uint8Array>({
    path: copy,
    noSubdir: true,
    keyEncoding: "binary",
    encoding: "binary",
    readOnly: true,
  });
  try {
    return [...database.getKeys({ start: Buffer.of(0) })];
  } finally {
    void database.close();
  }
}

/** What is on the disk, read by a copy of the file. */
function stored(directory: string): string[] {
  const copy = `${directory}-copy-${directories++}.mdb`;
  copyFileSync(join(directory, "data.mdb"), copy);
  const database = open<Uint8Array, Uint8Array>({
    path: copy,
    noSubdir: true,
    keyEncoding: "binary",
    encoding: "binary",
    readOnly: true,
  });
  try {
    return [...database.getRange({ start: Buffer.of(1) })].map(({ key, value }) => {
      const length = key[0]!;
      const tree = show(key.subarray(1, 1 + length));
      return `${tree === "t" ? "" : `${tree}:`}${show(key.subarray(1 + length))}=${show(value.subarray(4))}`;
    });
  } finally {
    void database.close();
  }
}

async function raw(
  directory: string,
  change: (database: ReturnType<typeof open<Uint8Array, Uint8Array>>, header: Buffer) => Promise<unknown>,
): Promise<void> {
  const database = open<Uint8Array, Uint8Array>({
    path: join(directory, "data.mdb"),
    noSubdir: true,
    keyEncoding: "binary",
    encoding: "binary",
    overlappingSync: false,
  });
  await change(database, Buffer.from(database.get(Buffer.of(0, 1)) as Uint8Array));
  await database.close();
}

function reseal(key: Buffer, record: Buffer): Buffer {
  record.writeUInt32BE(crc(Buffer.concat([key, record.subarray(4)])));
  return record;
}

/** CRC-32 as ISO 3309 has it, bit by bit, so that the store's own is held against another one. */
function crc(bytes: Buffer): number {
  let value = 0xffffffff;
  for (const byte of bytes) {
    value ^= byte;
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  }
  return (value ^ 0xffffffff) >>> 0;
}

/** Runs a writer, kills it without warning after so many flushes, and says how far it had told to be safe. */
async function writeUntilKilled(directory: string, flushes: number): Promise<number> {
  const script = join(import.meta.dirname, "lmdb-writer.ts");
  const child = spawn(process.execPath, ["--conditions=@revoada/source", "--no-warnings", script, directory], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = once(child, "exit");
  let told = 0;
  let lines = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    told = Number(line);
    if (++lines === flushes) child.kill("SIGKILL");
  }
  const [, signal] = (await exited) as [number | null, string | null];
  expect(signal).toBe("SIGKILL");
  return told;
}
