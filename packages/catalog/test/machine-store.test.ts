import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { memoryStore } from "@revoada/catalog";
import { lmdbStore } from "@revoada/catalog/lmdb";
import type { MachineStore, StoreReader } from "@revoada/fabric";
import fc from "fast-check";
import { afterAll, afterEach, describe, expect, test } from "vitest";

const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const show = (bytes: Uint8Array | undefined): string | undefined =>
  bytes === undefined ? undefined : Buffer.from(bytes).toString("latin1");

const root = mkdtempSync(join(tmpdir(), "revoada-store-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
let directories = 0;

interface Kind {
  readonly name: string;
  create(): Promise<MachineStore>;
}

const kinds: readonly Kind[] = [
  { name: "memory", create: async () => memoryStore() },
  { name: "lmdb", create: () => lmdbStore({ directory: join(root, String(directories++)) }) },
];

function entriesOf(reader: StoreReader, tree: string, range?: Parameters<StoreReader["range"]>[1]): [string, string][] {
  return [...reader.range(tree, range)].map(({ key, value }) => [show(key)!, show(value)!]);
}

describe.each(kinds)("a $name store", ({ create }) => {
  const open: MachineStore[] = [];
  const make = async (): Promise<MachineStore> => {
    const store = await create();
    open.push(store);
    return store;
  };
  afterEach(async () => {
    for (const store of open.splice(0)) await store.close();
  });

  test("gives back what was put, per tree, and nothing for what was not", async () => {
    const store = await make();
    store.transact((transaction) => {
      transaction.put("a", text("k"), text("1"));
      transaction.put("b", text("k"), text("2"));
    });
    expect(show(store.get("a", text("k")))).toBe("1");
    expect(show(store.get("b", text("k")))).toBe("2");
    expect(store.get("a", text("other"))).toBeUndefined();
    expect(store.get("c", text("k"))).toBeUndefined();
    expect(store.trees()).toEqual(["a", "b"]);
  });

  test("an empty value is not a missing one", async () => {
    const store = await make();
    store.transact((transaction) => transaction.put("a", text("k"), new Uint8Array(0)));
    await store.flush();
    expect(store.get("a", text("k"))).toEqual(new Uint8Array(0));
  });

  test("walks in byte order between the bounds, both ways and up to the limit, before and after a flush", async () => {
    const store = await make();
    store.transact((transaction) => {
      for (const key of ["\u0000", "a", "a\u0000", "aa", "b", "\u00ff"])
        transaction.put("t", Buffer.from(key, "latin1"), text(key));
    });
    for (let round = 0; round < 2; round++) {
      const all = entriesOf(store, "t").map(([key]) => key);
      expect(all).toEqual(["\u0000", "a", "a\u0000", "aa", "b", "\u00ff"]);
      expect(entriesOf(store, "t", { reverse: true }).map(([key]) => key)).toEqual(all.toReversed());
      const bounds = { start: text("a"), end: text("b") };
      expect(entriesOf(store, "t", bounds).map(([key]) => key)).toEqual(["a", "a\u0000", "aa"]);
      expect(entriesOf(store, "t", { ...bounds, reverse: true }).map(([key]) => key)).toEqual(["aa", "a\u0000", "a"]);
      expect(entriesOf(store, "t", { ...bounds, reverse: true, limit: 1 }).map(([key]) => key)).toEqual(["aa"]);
      expect(entriesOf(store, "t", { ...bounds, limit: 2 }).map(([key]) => key)).toEqual(["a", "a\u0000"]);
      expect(entriesOf(store, "t", { start: text("b"), end: text("a") })).toEqual([]);
      expect(entriesOf(store, "t", { limit: 0 })).toEqual([]);
      await store.flush();
    }
  });

  test("a transaction sees its own writes, also over what was flushed", async () => {
    const store = await make();
    store.transact((transaction) => {
      transaction.put("t", text("a"), text("1"));
      transaction.put("t", text("b"), text("1"));
    });
    await store.flush();
    store.transact((transaction) => {
      transaction.put("t", text("b"), text("2"));
      transaction.put("t", text("c"), text("2"));
      expect(transaction.delete("t", text("a"))).toBe(true);
      expect(transaction.delete("t", text("a"))).toBe(false);
      expect(entriesOf(transaction, "t")).toEqual([
        ["b", "2"],
        ["c", "2"],
      ]);
      transaction.clear("t");
      expect(entriesOf(transaction, "t")).toEqual([]);
      expect(transaction.trees()).toEqual([]);
      transaction.put("t", text("d"), text("3"));
    });
    expect(entriesOf(store, "t")).toEqual([["d", "3"]]);
    await store.flush();
    expect(entriesOf(store, "t")).toEqual([["d", "3"]]);
  });

  test("a transaction that throws leaves nothing behind and passes the error on", async () => {
    const store = await make();
    store.transact((transaction) => transaction.put("t", text("a"), text("1")));
    const thrown = new Error("on purpose");
    expect(() =>
      store.transact((transaction) => {
        transaction.put("t", text("a"), text("2"));
        transaction.delete("t", text("a"));
        transaction.put("u", text("b"), text("2"));
        throw thrown;
      }),
    ).toThrow(thrown);
    expect(entriesOf(store, "t")).toEqual([["a", "1"]]);
    expect(store.trees()).toEqual(["t"]);
  });

  test("a transaction cannot be nested and cannot be used once it is over", async () => {
    const store = await make();
    expect(() => store.transact(() => store.transact(() => {}))).toThrow(
      expect.objectContaining({ code: "FABRIC_INVARIANT" }),
    );
    const kept = store.transact((transaction) => transaction);
    expect(() => kept.put("t", text("a"), text("1"))).toThrow(
      expect.objectContaining({ code: "CATALOG_STORE_CLOSED" }),
    );
    expect(() => kept.get("t", text("a"))).toThrow(expect.objectContaining({ code: "CATALOG_STORE_CLOSED" }));
  });

  test("a view keeps its picture across later transactions and flushes, and is over once disposed of", async () => {
    const store = await make();
    store.transact((transaction) => {
      transaction.put("t", text("a"), text("1"));
      transaction.put("t", text("b"), text("1"));
    });
    await store.flush();
    store.transact((transaction) => transaction.put("t", text("c"), text("1")));
    const view = store.view();
    store.transact((transaction) => {
      transaction.put("t", text("a"), text("2"));
      transaction.delete("t", text("b"));
      transaction.put("u", text("x"), text("2"));
    });
    const walk = view.range("t")[Symbol.iterator]();
    expect(show(walk.next().value?.key)).toBe("a");
    await store.flush();
    store.transact((transaction) => transaction.clear("t"));
    await store.flush();
    expect(show(walk.next().value?.key)).toBe("b");
    expect(entriesOf(view, "t")).toEqual([
      ["a", "1"],
      ["b", "1"],
      ["c", "1"],
    ]);
    expect(view.trees()).toEqual(["t"]);
    expect(store.trees()).toEqual(["u"]);
    view.dispose();
    view.dispose();
    expect(() => view.get("t", text("a"))).toThrow(expect.objectContaining({ code: "CATALOG_STORE_CLOSED" }));
    expect(() => walk.next()).toThrow(expect.objectContaining({ code: "CATALOG_STORE_CLOSED" }));
  });

  test("bytes given and taken belong to the caller", async () => {
    const store = await make();
    const key = text("k");
    const value = text("v");
    store.transact((transaction) => transaction.put("t", key, value));
    key.fill(0);
    value.fill(0);
    const first = store.get("t", text("k"))!;
    expect(show(first)).toBe("v");
    first.fill(0);
    for (const entry of store.range("t")) {
      entry.key.fill(0);
      entry.value.fill(0);
    }
    expect(entriesOf(store, "t")).toEqual([["k", "v"]]);
  });

  test("refuses keys and trees beyond their bounds", async () => {
    const store = await make();
    const put = (tree: string, key: Uint8Array): void =>
      store.transact((transaction) => transaction.put(tree, key, text("v")));
    for (const [tree, key] of [
      ["t", new Uint8Array(0)],
      ["t", new Uint8Array(1025)],
      ["", text("k")],
      ["t".repeat(65), text("k")],
      ["\u00e4", text("k")],
    ] as const) {
      expect(() => put(tree, key)).toThrow(expect.objectContaining({ code: "FABRIC_INVALID_VALUE" }));
    }
    put("t".repeat(64), new Uint8Array(1024).fill(255));
    await store.flush();
    expect(store.get("t".repeat(64), new Uint8Array(1024).fill(255))).toEqual(text("v"));
  });

  test("is replaced as a whole at one moment, whatever is written and read meanwhile", async () => {
    const store = await make();
    store.transact((transaction) => {
      transaction.put("a", text("k"), text("old"));
      transaction.put("b", text("k"), text("old"));
    });
    await store.flush();
    const view = store.view();
    const replacement = await store.replace();
    replacement.put("a", text("k"), text("first"));
    replacement.put("a", text("k"), text("new"));
    replacement.put("c", text("k"), text("new"));
    await replacement.drained();
    store.transact((transaction) => transaction.put("b", text("l"), text("meanwhile")));
    expect([store.trees(), entriesOf(store, "a")]).toEqual([["a", "b"], [["k", "old"]]]);
    await replacement.commit();
    expect([store.trees(), entriesOf(store, "a"), entriesOf(store, "b")]).toEqual([["a", "c"], [["k", "new"]], []]);
    expect([entriesOf(view, "a"), entriesOf(view, "b"), entriesOf(view, "c")]).toEqual([
      [["k", "old"]],
      [["k", "old"]],
      [],
    ]);
    view.dispose();
    store.transact((transaction) => transaction.put("c", text("l"), text("after")));
    await store.flush();
    expect(entriesOf(store, "c")).toEqual([
      ["k", "new"],
      ["l", "after"],
    ]);
    await replacement.abandon();
    expect(store.trees()).toEqual(["a", "c"]);
  });

  test("changes nothing where a replacement is given up, and takes another one", async () => {
    const store = await make();
    store.transact((transaction) => transaction.put("a", text("k"), text("old")));
    const given = await store.replace();
    given.put("a", text("k"), text("new"));
    for (const [tree, key] of [
      ["a", ""],
      ["a", "k".repeat(1_025)],
      ["a tree", "k"],
    ] as const) {
      expect(() => given.put(tree, text(key), text("v"))).toThrow(
        expect.objectContaining({ code: "FABRIC_INVALID_VALUE" }),
      );
    }
    await given.abandon();
    await expect(given.commit()).rejects.toMatchObject({ code: "CATALOG_STORE_CLOSED" });
    expect(entriesOf(store, "a")).toEqual([["k", "old"]]);
    const taken = await store.replace();
    await taken.commit();
    expect(store.trees()).toEqual([]);
  });

  test("says that it is closed, and may be closed twice", async () => {
    const store = await make();
    store.transact((transaction) => transaction.put("t", text("a"), text("1")));
    const walk = store.range("t")[Symbol.iterator]();
    walk.next();
    await store.close();
    await store.close();
    for (const act of [
      () => store.get("t", text("a")),
      () => store.view(),
      () => store.transact(() => {}),
      () => store.trees(),
      () => walk.next(),
    ]) {
      expect(act).toThrow(expect.objectContaining({ code: "CATALOG_STORE_CLOSED" }));
    }
    await expect(store.flush()).rejects.toMatchObject({ code: "CATALOG_STORE_CLOSED" });
  });

  test("behaves as a sorted map under any sequence of transactions, flushes and views", async () => {
    const key = fc.integer({ min: 0, max: 40 }).map((value) => Uint8Array.of(97 + (value % 7), value));
    const step = fc.oneof(
      {
        weight: 6,
        arbitrary: fc.record({ type: fc.constant("put" as const), key, value: fc.uint8Array({ maxLength: 8 }) }),
      },
      { weight: 3, arbitrary: fc.record({ type: fc.constant("delete" as const), key }) },
      { weight: 1, arbitrary: fc.record({ type: fc.constant("clear" as const) }) },
    );
    const transaction = fc.record({
      steps: fc.array(step, { maxLength: 20 }),
      fails: fc.boolean(),
      flush: fc.boolean(),
    });
    const store = await make();
    await fc.assert(
      fc.asyncProperty(fc.array(transaction, { maxLength: 12 }), key, key, async (transactions, start, end) => {
        let model = new Map<string, string>();
        const views: { view: ReturnType<MachineStore["view"]>; model: Map<string, string> }[] = [];
        for (const { steps, fails, flush } of transactions) {
          const next = new Map(model);
          const body = (): void =>
            store.transact((inner) => {
              for (const one of steps) {
                if (one.type === "put") {
                  inner.put("t", one.key, one.value);
                  next.set(show(one.key)!, show(one.value)!);
                } else if (one.type === "delete") {
                  expect(inner.delete("t", one.key)).toBe(next.delete(show(one.key)!));
                } else {
                  inner.clear("t");
                  next.clear();
                }
              }
              expect(entriesOf(inner, "t")).toEqual([...next].toSorted(([left], [right]) => (left < right ? -1 : 1)));
              if (fails) throw new Error("undo");
            });
          if (fails) expect(body).toThrow("undo");
          else {
            body();
            model = next;
          }
          views.push({ view: store.view(), model });
          if (flush) await store.flush();
          check(store, model, start, end);
        }
        for (const { view, model: was } of views) {
          check(view, was, start, end);
          view.dispose();
        }
        store.transact((inner) => inner.clear("t"));
      }),
      { numRuns: 60 },
    );
  });
});

function check(reader: StoreReader, model: ReadonlyMap<string, string>, start: Uint8Array, end: Uint8Array): void {
  const sorted = [...model].toSorted(([left], [right]) => (left < right ? -1 : 1));
  const within = sorted.filter(([key]) => key >= show(start)! && key < show(end)!);
  expect(entriesOf(reader, "t")).toEqual(sorted);
  expect(entriesOf(reader, "t", { start, end })).toEqual(within);
  expect(entriesOf(reader, "t", { start, end, reverse: true })).toEqual(within.toReversed());
  expect(reader.trees()).toEqual(sorted.length === 0 ? [] : ["t"]);
}

/** A store's whole content, in order. */
function contentOf(reader: StoreReader): string[][] {
  return reader.trees().flatMap((tree) => entriesOf(reader, tree).map(([key, value]) => [tree, key, value]));
}

const step = fc.oneof(
  fc.record({
    type: fc.constant("write" as const),
    tree: fc.constantFrom("a", "b", "c"),
    key: fc.integer({ min: 0, max: 60 }),
    value: fc.option(fc.string({ maxLength: 4 })),
  }),
  fc.record({ type: fc.constant("clear" as const), tree: fc.constantFrom("a", "b", "c") }),
  fc.record({ type: fc.constant("flush" as const) }),
  fc.record({ type: fc.constant("replace" as const) }),
  // So many records of a view are read at a stretch.
  fc.record({ type: fc.constant("slice" as const), records: fc.integer({ min: 1, max: 20 }) }),
);

describe.each(kinds)("a view of a $name store", ({ name, create }) => {
  test("that is read slice by slice while writes, flushes and replacements go on is of the moment that it was taken at", async () => {
    const store = await create();
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), fc.array(step, { maxLength: 60 }), async (before, during) => {
        store.transact((transaction) => {
          for (const tree of ["a", "b", "c"]) transaction.clear(tree);
        });
        const take = async (one: (typeof before)[number]): Promise<void> => {
          if (one.type === "flush") return store.flush();
          if (one.type === "replace") {
            const replacement = await store.replace();
            for (let at = 0; at < 30; at += 1)
              replacement.put("b", text(`new-${String(at).padStart(2, "0")}`), text("new"));
            await replacement.drained();
            return replacement.commit();
          }
          if (one.type === "slice") return;
          store.transact((transaction) => {
            if (one.type === "clear") transaction.clear(one.tree);
            else if (one.value === null) transaction.delete(one.tree, text(`key-${one.key}`));
            else transaction.put(one.tree, text(`key-${one.key}`), text(one.value));
          });
        };
        store.transact((transaction) => {
          for (let at = 0; at < 50; at += 1) transaction.put("a", text(`key-${at}`), text("first"));
        });
        for (const one of before) await take(one);
        const expected = contentOf(store);
        const view = store.view();
        const read: string[][] = [];
        const records = (function* (): Generator<string[]> {
          for (const tree of view.trees())
            for (const { key, value } of view.range(tree)) yield [tree, show(key)!, show(value)!];
        })();
        for (const one of [...during, { type: "slice" as const, records: Infinity }]) {
          await take(one);
          for (let left = one.type === "slice" ? one.records : 0; left > 0; left -= 1) {
            const next = records.next();
            if (next.done === true) break;
            read.push(next.value);
          }
        }
        view.dispose();
        expect(read).toEqual(expected);
      }),
      { numRuns: name === "memory" ? 100 : 20 },
    );
    await store.close();
  }, 60_000);
});
