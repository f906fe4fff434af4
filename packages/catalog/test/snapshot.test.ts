import { createHash } from "node:crypto";
import { catalogLimits, localCatalog, type CatalogFront } from "@revoada/catalog";
import type { Catalog, CatalogOperation, Revision, WatchBatch } from "@revoada/fabric";
import { virtualClock } from "@revoada/fabric/memory";
import { describe, expect, test } from "vitest";
import { all, everything, put, remove, text } from "./support.ts";

const write = (catalog: CatalogFront, ...then: CatalogOperation[]): Promise<unknown> =>
  catalog.txn({ compare: [], then, else: [] });

async function bytesOf(catalog: Catalog): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of catalog.snapshot()) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function filled(): Promise<CatalogFront> {
  const catalog = localCatalog({ clock: virtualClock() });
  await write(catalog, put("a", "1"), put("b", "1"), put("gone", "1"));
  await write(catalog, put("a", "2"), remove("gone"));
  return catalog;
}

describe("a snapshot", () => {
  test("brings everything back in another catalog, at one new revision", async () => {
    using source = await filled();
    const bytes = await bytesOf(source);
    for (const size of [1, 7, bytes.length]) {
      using target = localCatalog({ clock: virtualClock() });
      await write(target, put("mine", "1"));
      await write(target, put("a", "mine"));
      expect(await target.restore(pieces(bytes, size))).toBe(3);
      expect(await all(target)).toEqual([
        ["a", "2"],
        ["b", "1"],
      ]);
      expect(await target.get(text("a"))).toMatchObject({ createRevision: 3, modRevision: 3, version: 1 });
      expect([target.revision(), target.compactedRevision(), target.counts()]).toEqual([
        3,
        3,
        { keys: 2, watchers: 0, history: 1 },
      ]);
      await expect(all(target, 2)).rejects.toMatchObject({ code: "CATALOG_COMPACTED" });
      await write(target, put("a", "4"), remove("b"));
      expect(await target.get(text("a"))).toMatchObject({ createRevision: 3, modRevision: 4, version: 2 });
      expect(await all(target, 3)).toEqual([
        ["a", "2"],
        ["b", "1"],
      ]);
      await target.compact(4 as Revision);
      expect(await all(target, 4)).toEqual([["a", "4"]]);
      expect(await target.restore(pieces(bytes, size))).toBe(5);
      expect(await all(target)).toEqual([
        ["a", "2"],
        ["b", "1"],
      ]);
    }
  });

  test("of an empty catalog empties the other one", async () => {
    using source = localCatalog({ clock: virtualClock() });
    using target = await filled();
    await target.restore(pieces(await bytesOf(source), 64));
    expect(await all(target)).toEqual([]);
    expect(target.revision()).toBe(3);
  });

  test("is of one revision, whatever is written while it is read", async () => {
    using source = localCatalog({ clock: virtualClock() });
    const large = "v".repeat(200_000);
    await write(source, put("a", large), put("b", large), put("c", large));
    const chunks: Uint8Array[] = [];
    for await (const chunk of source.snapshot()) {
      chunks.push(chunk);
      await write(source, put("c", "late"), put(`d${chunks.length}`, "late"));
    }
    expect(chunks.length).toBeGreaterThan(3);
    using target = localCatalog({ clock: virtualClock() });
    await target.restore(pieces(Buffer.concat(chunks), 100_000));
    expect(await all(target)).toEqual([
      ["a", large],
      ["b", large],
      ["c", large],
    ]);
  });

  test("holds values of the largest size, restored through commands of about a mebibyte", async () => {
    using source = localCatalog({ clock: virtualClock() });
    const value = new Uint8Array(catalogLimits.valueBytes).fill(7);
    for (const name of ["a", "b", "c"]) await write(source, { type: "put", key: text(name), value });
    await write(source, ...Array.from({ length: 500 }, (_, index) => put(`s${index}`, "x".repeat(5_000))));
    using target = localCatalog({ clock: virtualClock() });
    await target.restore(pieces(await bytesOf(source), 1_000_000));
    expect(await all(target)).toEqual(await all(source));
  });

  test("with any byte changed, cut off or added is refused before anything happens", async () => {
    using source = await filled();
    const bytes = await bytesOf(source);
    using target = localCatalog({ clock: virtualClock() });
    await write(target, put("mine", "1"));
    const codes = /^CATALOG_(SNAPSHOT_INVALID|NEWER_FORMAT)$/;
    for (let at = 0; at < bytes.length; at++) {
      for (const bit of [1, 128]) {
        const bad = Buffer.from(bytes);
        bad[at]! ^= bit;
        await expect(target.restore(pieces(bad, 50))).rejects.toMatchObject({ code: expect.stringMatching(codes) });
      }
      await expect(target.restore(pieces(bytes.subarray(0, at), 50))).rejects.toMatchObject({
        code: "CATALOG_SNAPSHOT_INVALID",
      });
    }
    await expect(target.restore(pieces(Buffer.concat([bytes, Buffer.of(0)]), 50))).rejects.toMatchObject({
      code: "CATALOG_SNAPSHOT_INVALID",
    });
    expect([target.revision(), await all(target)]).toEqual([1, [["mine", "1"]]]);
  });

  test("of a newer format is refused as such", async () => {
    using source = await filled();
    const bytes = await bytesOf(source);
    bytes[9] = 2;
    await expect(source.restore(pieces(bytes, 64))).rejects.toMatchObject({
      code: "CATALOG_NEWER_FORMAT",
      found: 2,
      known: 1,
    });
  });

  test("that breaks off with an error, or is aborted, leaves everything as it was", async () => {
    using source = await filled();
    const bytes = await bytesOf(source);
    const broken = async function* (): AsyncGenerator<Uint8Array> {
      yield bytes.subarray(0, 20);
      throw new Error("the line is down");
    };
    await expect(source.restore(broken())).rejects.toThrow("the line is down");
    await expect(source.restore(pieces(bytes, 5), { signal: AbortSignal.abort() })).rejects.toThrow();
    const reading = source.snapshot({ signal: AbortSignal.abort() });
    await expect(reading[Symbol.asyncIterator]().next()).rejects.toThrow();
    expect(source.revision()).toBe(2);
  });

  test("keeps its format: the bytes of release 0.1", async () => {
    using source = await filled();
    const bytes = await bytesOf(source);
    expect(bytes.subarray(0, 10).toString("latin1")).toBe("RVDCATLG\u0000\u0001");
    expect(createHash("sha256").update(bytes).digest("hex")).toBe(
      "cf7f578aeef24c2c2ba1112a0ba420e2dbb0add33dd526edab35e6564d70e4c8",
    );
  });

  test("restored tells watchers to begin again, once, with the new state", async () => {
    using catalog = await filled();
    const bytes = await bytesOf(catalog);
    const watching = catalog.watch({ ...everything, signal: new AbortController().signal })[Symbol.asyncIterator]();
    const waiting = watching.next();
    await catalog.restore(pieces(bytes, 100));
    const reset = (await waiting).value as WatchBatch;
    expect(reset).toMatchObject({ type: "reset", reason: "restored", revision: 3 });
    expect(reset.type === "reset" && reset.entries.length).toBe(2);
    await write(catalog, put("a", "4"));
    expect((await watching.next()).value).toMatchObject({
      type: "events",
      revision: 4,
      events: [{ previous: { value: text("2") } }],
    });
    const signal = new AbortController().signal;
    const again = catalog.watch({ ...everything, fromRevision: 3 as Revision, signal });
    const late = again[Symbol.asyncIterator]();
    expect((await late.next()).value).toMatchObject({ type: "reset", reason: "restored", revision: 4 });
  });

  test("larger than allowed is refused without being held", async () => {
    using source = await filled();
    const { catalog, catalogMachine, memoryStore } = await import("@revoada/catalog");
    using target = catalog({
      machine: catalogMachine(),
      store: memoryStore(),
      clock: virtualClock(),
      maxSnapshotBytes: 50,
      readBarrier: async () => {},
      propose: () => Promise.reject(new Error("nothing may be proposed")),
    });
    await expect(target.restore(pieces(await bytesOf(source), 10))).rejects.toMatchObject({
      code: "CATALOG_TOO_LARGE",
    });
  });
});
