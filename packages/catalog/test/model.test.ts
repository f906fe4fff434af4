import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { catalogMachine, localCatalog, memoryStore, type CatalogFront } from "@revoada/catalog";
import { lmdbStore } from "@revoada/catalog/lmdb";
import type { CatalogOperation, CatalogTransaction, Compare, MachineStore, Revision } from "@revoada/fabric";
import { virtualClock } from "@revoada/fabric/memory";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { show, text } from "./support.ts";

const root = mkdtempSync(join(tmpdir(), "revoada-model-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

interface ModelEntry {
  readonly value: string;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
}
type State = ReadonlyMap<string, ModelEntry>;

/** The catalog as its seam describes it, kept naively: the whole state of every revision. */
class Model {
  states: State[] = [new Map()];
  floor = 0;

  get revision(): number {
    return this.states.length - 1;
  }

  get newest(): State {
    return this.states.at(-1)!;
  }

  txn({ compare, then, else: otherwise }: CatalogTransaction): {
    succeeded: boolean;
    revision: number;
    results: unknown[];
  } {
    const succeeded = compare.every((one) => this.#holds(one));
    const draft = new Map(this.newest);
    let wrote = false;
    const results = (succeeded ? then : otherwise).map((operation) => {
      const range = keysIn(
        draft,
        show(operation.key),
        "end" in operation && operation.end !== undefined ? show(operation.end) : undefined,
      );
      if (operation.type === "get") {
        const limit = operation.limit ?? Number.POSITIVE_INFINITY;
        return {
          type: "get",
          entries: range.slice(0, limit).map((key) => [key, draft.get(key)]),
          more: range.length > limit,
        };
      }
      if (operation.type === "delete") {
        for (const key of range) draft.delete(key);
        wrote ||= range.length > 0;
        return { type: "delete", deleted: range.length };
      }
      wrote = true;
      const key = show(operation.key);
      const before = this.newest.get(key);
      const modRevision = this.revision + 1;
      draft.set(key, {
        value: show(operation.value),
        createRevision: before?.createRevision ?? modRevision,
        modRevision,
        version: (before?.version ?? 0) + 1,
      });
      return { type: "put", previous: before };
    });
    if (wrote) this.states.push(draft);
    return { succeeded, revision: this.revision, results };
  }

  #holds(compare: Compare): boolean {
    const entry = this.newest.get(show(compare.key));
    if (compare.target === "value")
      return entry !== undefined && (entry.value === show(compare.value)) === (compare.is === "=");
    const left = entry?.[compare.target] ?? 0;
    if (compare.is === "=") return left === compare.value;
    if (compare.is === "!=") return left !== compare.value;
    return compare.is === "<" ? left < compare.value : left > compare.value;
  }
}

function keysIn(state: State, start: string, end: string | undefined): string[] {
  return [...state.keys()].filter((key) => (end === undefined ? key === start : key >= start && key < end)).toSorted();
}

const keyText = fc.constantFrom("a", "a\u0000", "a\u0000\u0001", "a\u0001", "aa", "b", "ba", "c");
const key = keyText.map(text);
const value = fc.constantFrom("", "1", "2").map(text);
const compare: fc.Arbitrary<Compare> = fc.oneof(
  fc.record({
    key,
    target: fc.constantFrom("createRevision" as const, "modRevision" as const, "version" as const),
    is: fc.constantFrom("=" as const, "!=" as const, "<" as const, ">" as const),
    value: fc.nat(6),
  }),
  fc.record({ key, target: fc.constant("value" as const), is: fc.constantFrom("=" as const, "!=" as const), value }),
);
const operation: fc.Arbitrary<CatalogOperation> = fc.oneof(
  fc.record({ type: fc.constant("put" as const), key, value }),
  fc.record({ type: fc.constant("delete" as const), key }),
  fc.record({ type: fc.constant("delete" as const), key, end: key }),
  fc.record({ type: fc.constant("get" as const), key }),
  fc.record({ type: fc.constant("get" as const), key, end: key, limit: fc.nat(3) }),
);
const branch = fc.array(operation, { maxLength: 5 });
const step = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      type: fc.constant("txn" as const),
      compare: fc.array(compare, { maxLength: 2 }),
      then: branch,
      else: branch,
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("compact" as const), back: fc.nat(4) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("flush" as const) }) },
);

function shown(results: readonly unknown[]): unknown {
  return JSON.parse(
    JSON.stringify(results, (name, inner: unknown) => {
      if (name === "entries")
        return (inner as { key: Uint8Array }[]).map((entry) =>
          Array.isArray(entry) ? entry : [show(entry.key), plain(entry)],
        );
      if (name === "previous" && inner !== undefined && (inner as { value: unknown }).value instanceof Uint8Array)
        return plain(inner);
      return inner;
    }),
  );
}

function plain(entry: unknown): ModelEntry {
  const {
    value: bytes,
    createRevision,
    modRevision,
    version,
  } = entry as { value: Uint8Array; createRevision: number; modRevision: number; version: number };
  return { value: show(bytes), createRevision, modRevision, version };
}

async function checkAgainst(catalog: CatalogFront, model: Model): Promise<void> {
  expect(catalog.revision()).toBe(model.revision);
  expect(catalog.counts().keys).toBe(model.newest.size);
  for (let revision = Math.max(model.floor - 1, 0); revision <= model.revision + 1; revision++) {
    const reading = catalog.range({ start: text("a"), end: text("bb"), limit: 4, revision: revision as Revision });
    if (revision < model.floor) await expect(reading).rejects.toMatchObject({ code: "CATALOG_COMPACTED" });
    else if (revision > model.revision)
      await expect(reading).rejects.toMatchObject({ code: "CATALOG_FUTURE_REVISION" });
    else {
      const state = model.states[revision]!;
      const keys = keysIn(state, "a", "bb");
      const { entries, more, count } = await reading;
      expect(entries.map((entry) => [show(entry.key), plain(entry)])).toEqual(
        keys.slice(0, 4).map((name) => [name, state.get(name)]),
      );
      expect([more, count]).toEqual([keys.length > 4, keys.length]);
    }
  }
}

/** Everything in the machine's trees, as a snapshot of it would have it. */
function dump(store: MachineStore): unknown {
  return catalogMachine().trees.map((tree) => [
    tree,
    [...store.range(tree)].map(({ key: name, value: bytes }) => [...name, -1, ...bytes].join()),
  ]);
}

describe("the catalog against a naive model", () => {
  test("answers, keeps and compacts alike, in memory and in LMDB, to the last stored byte", async () => {
    await using durable = await lmdbStore({ directory: join(root, "store") });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
        const model = new Model();
        const stores = [memoryStore(), durable] as const;
        for (const tree of durable.trees()) durable.transact((transaction) => transaction.clear(tree));
        // Without a flush at each command, so that reads go through what is flushed and what is not.
        const fronts = stores.map((store) =>
          localCatalog({ store: { ...bound(store), durable: false }, clock: virtualClock() }),
        );
        for (const one of steps) {
          if (one.type === "flush") {
            for (const store of stores) await store.flush();
            continue;
          }
          if (one.type === "compact") {
            const revision = Math.max(0, model.revision - one.back);
            model.floor = Math.max(model.floor, revision);
            for (const front of fronts) await front.compact(revision as Revision);
            continue;
          }
          const answers = await Promise.allSettled(fronts.map((front) => front.txn(one)));
          const codes = answers.map((answer) =>
            answer.status === "rejected" ? (answer.reason as { code: string }).code : undefined,
          );
          expect(codes[0]).toBe(codes[1]);
          if (codes[0] !== undefined) {
            expect(codes[0]).toBe("CATALOG_INVALID_TRANSACTION");
            continue;
          }
          const expected = model.txn(one);
          for (const answer of answers) {
            const result = (answer as PromiseFulfilledResult<Awaited<ReturnType<CatalogFront["txn"]>>>).value;
            expect({ ...result, results: shown(result.results) }).toEqual({
              ...expected,
              results: shown(expected.results),
            });
          }
        }
        for (const front of fronts) await checkAgainst(front, model);
        expect(dump(stores[1])).toEqual(dump(stores[0]));
        for (const front of fronts) front.close();
      }),
      { numRuns: 80 },
    );
  });

  test("compaction in many small steps leaves what one big step leaves", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 5, maxLength: 40 }),
        fc.array(fc.nat(3), { minLength: 1, maxLength: 8 }),
        async (steps, strides) => {
          const stores = [memoryStore(), memoryStore()] as const;
          const fronts = stores.map((store) => localCatalog({ store, clock: virtualClock() }));
          for (const one of steps)
            if (one.type === "txn") await Promise.allSettled(fronts.map((front) => front.txn(one)));
          let floor = 0;
          for (const stride of strides) {
            floor = Math.min(floor + stride, fronts[0]!.revision());
            await fronts[0]!.compact(floor as Revision);
          }
          await fronts[1]!.compact(floor as Revision);
          expect(dump(stores[0])).toEqual(dump(stores[1]));
          for (const front of fronts) front.close();
        },
      ),
      { numRuns: 100 },
    );
  });
});

function bound(store: MachineStore): MachineStore {
  return {
    durable: store.durable,
    get: (tree, name) => store.get(tree, name),
    range: (tree, range) => store.range(tree, range),
    trees: () => store.trees(),
    transact: (body) => store.transact(body),
    view: () => store.view(),
    replace: () => store.replace(),
    flush: () => store.flush(),
    close: () => store.close(),
    [Symbol.asyncDispose]: () => store.close(),
  };
}
