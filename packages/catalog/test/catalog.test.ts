import { catalogLimits, localCatalog, type CatalogFront } from "@revoada/catalog";
import type { CatalogOperation, Compare, Revision, TransactionResult } from "@revoada/fabric";
import { describe, expect, test } from "vitest";
import { all, get, put, remove, show, text } from "./support.ts";

const write = (catalog: CatalogFront, ...then: CatalogOperation[]): Promise<TransactionResult> =>
  catalog.txn({ compare: [], then, else: [] });

describe("a transaction", () => {
  test("makes one revision however much it writes, and tells what was there before", async () => {
    using catalog = localCatalog();
    const first = await write(catalog, put("a", "1"), put("b", "1"));
    expect(first).toEqual({ succeeded: true, revision: 1, results: [{ type: "put" }, { type: "put" }] });
    const second = await write(catalog, put("a", "2"), remove("b"));
    expect(second.revision).toBe(2);
    expect(second.results[0]).toMatchObject({
      previous: { createRevision: 1, modRevision: 1, version: 1, value: text("1") },
    });
    expect(second.results[1]).toEqual({ type: "delete", deleted: 1 });
    expect(await catalog.get(text("a"))).toEqual({
      key: text("a"),
      value: text("2"),
      createRevision: 1,
      modRevision: 2,
      version: 2,
    });
    expect(await catalog.get(text("b"))).toBeUndefined();
    expect(catalog.counts()).toMatchObject({ keys: 1, history: 2 });
  });

  test("makes no revision where nothing was written", async () => {
    using catalog = localCatalog();
    await write(catalog, put("a", "1"));
    expect((await write(catalog, get("a"))).revision).toBe(1);
    expect((await write(catalog, remove("missing"))).revision).toBe(1);
    expect(
      (
        await catalog.txn({
          compare: [{ key: text("a"), target: "version", is: "=", value: 9 }],
          then: [put("a", "2")],
          else: [],
        })
      ).revision,
    ).toBe(1);
    expect(catalog.revision()).toBe(1);
  });

  test("a key that comes again begins anew", async () => {
    using catalog = localCatalog();
    await write(catalog, put("a", "1"));
    await write(catalog, put("a", "2"));
    await write(catalog, remove("a"));
    await write(catalog, put("a", "3"));
    expect(await catalog.get(text("a"))).toMatchObject({ createRevision: 4, modRevision: 4, version: 1 });
  });

  test("operations see those before them in the same transaction", async () => {
    using catalog = localCatalog();
    await write(catalog, put("a", "1"), put("c", "1"), put("d", "1"));
    const { results } = await write(catalog, put("b", "2"), put("c", "2"), remove("d"), get("a", "z"), get("b"));
    const read = results[3];
    expect(
      read?.type === "get" && read.entries.map((entry) => [show(entry.key), show(entry.value), entry.modRevision]),
    ).toEqual([
      ["a", "1", 1],
      ["b", "2", 2],
      ["c", "2", 2],
    ]);
    expect(results[4]).toMatchObject({ entries: [{ value: text("2"), createRevision: 2 }], more: false });
  });

  test("deletes ranges, and reads say when a limit cut them", async () => {
    using catalog = localCatalog();
    await write(catalog, ...["a", "b", "c", "d"].map((key) => put(key, "1")));
    const { results } = await write(catalog, remove("b", "d"), { ...get("a", "z"), limit: 1 } as CatalogOperation);
    expect(results).toMatchObject([{ deleted: 2 }, { entries: [{ key: text("a") }], more: true }]);
    expect((await all(catalog)).map(([key]) => key)).toEqual(["a", "d"]);
  });

  const conditions: readonly [string, Compare, boolean][] = [
    ["version of a missing key is 0", { key: text("no"), target: "version", is: "=", value: 0 }, true],
    ["createRevision of a missing key is 0", { key: text("no"), target: "createRevision", is: "<", value: 1 }, true],
    [
      "value of a missing key equals nothing",
      { key: text("no"), target: "value", is: "=", value: new Uint8Array(0) },
      false,
    ],
    [
      "value of a missing key differs from nothing either",
      { key: text("no"), target: "value", is: "!=", value: text("x") },
      false,
    ],
    ["value equal", { key: text("a"), target: "value", is: "=", value: text("2") }, true],
    ["value unequal", { key: text("a"), target: "value", is: "!=", value: text("2") }, false],
    ["modRevision equal", { key: text("a"), target: "modRevision", is: "=", value: 2 }, true],
    ["modRevision greater", { key: text("a"), target: "modRevision", is: ">", value: 2 }, false],
    ["createRevision less", { key: text("a"), target: "createRevision", is: "<", value: 2 }, true],
    ["version unequal", { key: text("a"), target: "version", is: "!=", value: 1 }, true],
  ];
  test.each(conditions)("condition: %s", async (_name, compare, expected) => {
    using catalog = localCatalog();
    await write(catalog, put("a", "1"));
    await write(catalog, put("a", "2"));
    const result = await catalog.txn({ compare: [compare], then: [put("then", "1")], else: [put("else", "1")] });
    expect(result.succeeded).toBe(expected);
    expect(await catalog.get(text(expected ? "then" : "else"))).toBeDefined();
    expect(await catalog.get(text(expected ? "else" : "then"))).toBeUndefined();
  });

  test("with several conditions runs then only where all hold", async () => {
    using catalog = localCatalog();
    await write(catalog, put("a", "1"));
    const yes: Compare = { key: text("a"), target: "version", is: "=", value: 1 };
    const no: Compare = { key: text("a"), target: "version", is: ">", value: 1 };
    expect((await catalog.txn({ compare: [yes, no], then: [], else: [] })).succeeded).toBe(false);
    expect((await catalog.txn({ compare: [yes, yes], then: [], else: [] })).succeeded).toBe(true);
  });

  const refused: readonly [string, readonly CatalogOperation[], string][] = [
    ["a key put twice", [put("a", "1"), put("a", "2")], "CATALOG_INVALID_TRANSACTION"],
    ["a key put and deleted", [put("a", "1"), remove("a")], "CATALOG_INVALID_TRANSACTION"],
    ["a key put inside a deleted range", [remove("a", "c"), put("b", "2")], "CATALOG_INVALID_TRANSACTION"],
    ["an empty key", [put("", "1")], "CATALOG_INVALID_TRANSACTION"],
    ["a key too long", [put("k".repeat(catalogLimits.keyBytes + 1), "1")], "CATALOG_TOO_LARGE"],
    ["a key too long once escaped", [put("\u0000".repeat(catalogLimits.keyBytes / 2 + 1), "1")], "CATALOG_TOO_LARGE"],
    [
      "a value too large",
      [{ type: "put", key: text("a"), value: new Uint8Array(catalogLimits.valueBytes + 1) }],
      "CATALOG_TOO_LARGE",
    ],
    [
      "too many operations",
      Array.from({ length: catalogLimits.operations + 1 }, (_, index) => put(`k${index}`, "1")),
      "CATALOG_TOO_LARGE",
    ],
    [
      "too many bytes",
      Array.from({ length: 5 }, (_, index) => ({
        type: "put" as const,
        key: text(`k${index}`),
        value: new Uint8Array(1_000_000),
      })),
      "CATALOG_TOO_LARGE",
    ],
  ];
  test.each(refused)("with %s is refused, in either branch, and changes nothing", async (_name, operations, code) => {
    using catalog = localCatalog();
    await expect(write(catalog, ...operations)).rejects.toMatchObject({ code, retryable: false });
    await expect(catalog.txn({ compare: [], then: [], else: operations })).rejects.toMatchObject({ code });
    expect(catalog.revision()).toBe(0);
  });

  test("of the largest allowed size goes through", async () => {
    using catalog = localCatalog();
    const value = new Uint8Array(catalogLimits.valueBytes);
    await write(catalog, ...[0, 1, 2].map((index) => ({ type: "put" as const, key: text(`k${index}`), value })));
    await write(catalog, ...Array.from({ length: catalogLimits.operations }, (_, index) => put(`m${index}`, "1")));
    await write(
      catalog,
      put("k".repeat(catalogLimits.keyBytes), "1"),
      put("\u0000".repeat(catalogLimits.keyBytes / 2), "1"),
    );
    expect(catalog.counts().keys).toBe(3 + catalogLimits.operations + 2);
  });

  test("that would bring back too much is refused, and its writes do not happen", async () => {
    using catalog = localCatalog();
    const value = new Uint8Array(catalogLimits.valueBytes);
    for (let index = 0; index < 9; index++) await write(catalog, { type: "put", key: text(`k${index}`), value });
    await expect(write(catalog, put("x", "1"), get("a", "z"))).rejects.toMatchObject({ code: "CATALOG_TOO_LARGE" });
    expect(await catalog.get(text("x"))).toBeUndefined();
    expect((await write(catalog, put("x", "1"), { ...get("a", "z"), limit: 4 } as CatalogOperation)).revision).toBe(10);
  });

  test("is refused while the catalog is read-only, but for one that only reads", async () => {
    let writable = true;
    using catalog = localCatalog({ writable: () => writable });
    await write(catalog, put("a", "1"));
    writable = false;
    await expect(write(catalog, put("a", "2"))).rejects.toMatchObject({ code: "CATALOG_READ_ONLY", retryable: true });
    await expect(catalog.compact(1 as Revision)).rejects.toMatchObject({ code: "CATALOG_READ_ONLY" });
    expect((await write(catalog, get("a"))).results).toMatchObject([{ entries: [{ value: text("1") }] }]);
    writable = true;
    expect((await write(catalog, put("a", "2"))).revision).toBe(2);
  });

  test("stops where its signal says so", async () => {
    using catalog = localCatalog();
    const signal = AbortSignal.abort();
    await expect(catalog.txn({ compare: [], then: [put("a", "1")], else: [] }, { signal })).rejects.toThrow();
    await expect(catalog.get(text("a"), { signal })).rejects.toThrow();
    expect(catalog.revision()).toBe(0);
  });
});

describe("a range", () => {
  test("counts all keys, whatever the limit, and leaves values out on request", async () => {
    using catalog = localCatalog();
    await write(catalog, ...["a", "b", "c"].map((key) => put(key, key)));
    const limited = await catalog.range({ start: text("a"), end: text("z"), limit: 2 });
    expect(limited).toMatchObject({ revision: 1, count: 3, more: true, ageMs: 0 });
    expect(limited.entries.map((entry) => show(entry.key))).toEqual(["a", "b"]);
    const keys = await catalog.range({ start: text("b"), end: text("z"), keysOnly: true });
    expect(keys.entries.map(({ key, value, modRevision }) => [show(key), value.length, modRevision])).toEqual([
      ["b", 0, 1],
      ["c", 0, 1],
    ]);
    expect(await catalog.range({ start: text("a"), end: text("z"), limit: 0 })).toMatchObject({
      entries: [],
      count: 3,
      more: true,
    });
    expect(await catalog.range({ start: text("b") })).toMatchObject({ count: 1, more: false });
    expect(await catalog.range({ start: new Uint8Array(0), end: Uint8Array.of(255) })).toMatchObject({ count: 3 });
    expect(await catalog.range({ start: text("z"), end: text("a") })).toMatchObject({ count: 0, entries: [] });
  });

  test("reads every kept revision as it was", async () => {
    using catalog = localCatalog();
    await write(catalog, put("a", "1"), put("b", "1"));
    await write(catalog, put("a", "2"));
    await write(catalog, remove("b"));
    await write(catalog, put("b", "4"), put("a\u0000", "4"));
    expect(await all(catalog, 1)).toEqual([
      ["a", "1"],
      ["b", "1"],
    ]);
    expect(await all(catalog, 2)).toEqual([
      ["a", "2"],
      ["b", "1"],
    ]);
    expect(await all(catalog, 3)).toEqual([["a", "2"]]);
    expect(await all(catalog, 4)).toEqual([
      ["a", "2"],
      ["a\u0000", "4"],
      ["b", "4"],
    ]);
    expect(await all(catalog, 0)).toEqual([]);
    const was = await catalog.range({ start: text("a"), revision: 1 as Revision });
    expect(was).toMatchObject({ revision: 1, entries: [{ createRevision: 1, modRevision: 1, version: 1 }] });
  });

  test("refuses revisions that are gone or to come", async () => {
    using catalog = localCatalog();
    for (const value of ["1", "2", "3"]) await write(catalog, put("a", value));
    await expect(all(catalog, 4)).rejects.toMatchObject({
      code: "CATALOG_FUTURE_REVISION",
      retryable: true,
      revision: 4,
      newest: 3,
    });
    await catalog.compact(2 as Revision);
    await expect(all(catalog, 1)).rejects.toMatchObject({
      code: "CATALOG_COMPACTED",
      revision: 1,
      compactedRevision: 2,
    });
    expect(await all(catalog, 2)).toEqual([["a", "2"]]);
  });

  test("refuses nonsense as what it is", async () => {
    using catalog = localCatalog();
    const code = { code: "FABRIC_INVALID_VALUE" };
    await expect(catalog.get(new Uint8Array(0))).rejects.toMatchObject(code);
    await expect(catalog.range({ start: new Uint8Array(0) })).rejects.toMatchObject(code);
    await expect(catalog.range({ start: text("a"), end: new Uint8Array(2_000) })).rejects.toMatchObject(code);
    await expect(catalog.range({ start: text("a"), limit: -1 })).rejects.toMatchObject(code);
    await expect(catalog.range({ start: text("a"), limit: Number.NaN })).rejects.toMatchObject(code);
    await expect(catalog.range({ start: text("a"), revision: 1.5 as Revision })).rejects.toMatchObject(code);
    await expect(catalog.compact(-1 as Revision)).rejects.toMatchObject(code);
  });
});

describe("compaction", () => {
  test("keeps what the floor and all above it need, and nothing else", async () => {
    using catalog = localCatalog();
    await write(catalog, put("a", "1"), put("b", "1"), put("c", "1"));
    await write(catalog, put("a", "2"));
    await write(catalog, remove("b"));
    await write(catalog, put("a", "4"));
    await write(catalog, put("b", "5"));
    await catalog.compact(4 as Revision);
    expect(catalog.compactedRevision()).toBe(4);
    expect(await all(catalog, 4)).toEqual([
      ["a", "4"],
      ["c", "1"],
    ]);
    expect(await all(catalog, 5)).toEqual([
      ["a", "4"],
      ["b", "5"],
      ["c", "1"],
    ]);
    expect(await all(catalog)).toEqual(await all(catalog, 5));
    expect(catalog.counts()).toMatchObject({ keys: 3, history: 2 });
  });

  test("of what is compacted already is no error, of what is to come is one", async () => {
    using catalog = localCatalog();
    await write(catalog, put("a", "1"));
    await write(catalog, put("a", "2"));
    await catalog.compact(2 as Revision);
    await catalog.compact(2 as Revision);
    await catalog.compact(1 as Revision);
    expect(catalog.compactedRevision()).toBe(2);
    await expect(catalog.compact(3 as Revision)).rejects.toMatchObject({ code: "CATALOG_FUTURE_REVISION" });
  });
});
