import { localCatalog, memoryStore, catalog as makeCatalog, catalogMachine, type CatalogFront } from "@revoada/catalog";
import type { ApplyContext, CatalogOperation, Revision, WatchBatch } from "@revoada/fabric";
import { virtualClock } from "@revoada/fabric/memory";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encodeCommand } from "../src/core/command.ts";
import { everything, put, remove, show, text } from "./support.ts";

const write = (catalog: CatalogFront, ...then: CatalogOperation[]): Promise<unknown> =>
  catalog.txn({ compare: [], then, else: [] });

function watch(
  catalog: CatalogFront,
  options: { from?: number; start?: string; end?: string; signal?: AbortSignal } = {},
) {
  const range =
    options.start === undefined
      ? everything
      : { start: text(options.start), ...(options.end === undefined ? {} : { end: text(options.end) }) };
  const from = options.from === undefined ? {} : { fromRevision: options.from as Revision };
  const signal = options.signal ?? new AbortController().signal;
  return catalog.watch({ ...range, ...from, signal })[Symbol.asyncIterator]();
}

async function nextOf(iterator: AsyncIterator<WatchBatch>): Promise<WatchBatch> {
  const { done, value } = await iterator.next();
  if (done === true) throw new Error("the watch ended");
  return value;
}

/** `put a=1@3`, `delete a@4`. */
function tell(batch: WatchBatch): string {
  if (batch.type === "progress") return `progress ${batch.revision}`;
  if (batch.type === "reset")
    return `reset ${batch.reason} ${batch.revision} ${batch.entries.map(({ key, value }) => `${show(key)}=${show(value)}`).join(",")}`;
  const events = batch.events.map((event) =>
    event.type === "put" ? `${show(event.entry.key)}=${show(event.entry.value)}` : `-${show(event.key)}`,
  );
  return `${batch.revision} ${events.join(",")}`;
}

describe("a watch", () => {
  test("tells what changes from the call on, one batch per revision, in the order of the operations", async () => {
    using catalog = localCatalog();
    await write(catalog, put("a", "0"));
    const watching = watch(catalog);
    await write(catalog, put("b", "1"), put("a", "1"), remove("c"));
    await write(catalog, remove("a"), put("d", "2"));
    expect(tell(await nextOf(watching))).toBe("2 b=1,a=1");
    expect(tell(await nextOf(watching))).toBe("3 -a,d=2");
    const waiting = nextOf(watching);
    await write(catalog, put("e", "3"));
    expect(tell(await waiting)).toBe("4 e=3");
  });

  test("starts where it was called, not where it is first listened to", async () => {
    using catalog = localCatalog();
    const changes = catalog.watch({ ...everything, signal: new AbortController().signal });
    await write(catalog, put("a", "1"));
    const watching = changes[Symbol.asyncIterator]();
    expect(tell(await nextOf(watching))).toBe("1 a=1");
  });

  test("replays history from a revision on, then goes on live", async () => {
    using catalog = localCatalog();
    for (const value of ["1", "2", "3"]) await write(catalog, put("a", value));
    const watching = watch(catalog, { from: 2 });
    expect(tell(await nextOf(watching))).toBe("2 a=2");
    expect(tell(await nextOf(watching))).toBe("3 a=3");
    const waiting = nextOf(watching);
    await write(catalog, remove("a"));
    expect(tell(await waiting)).toBe("4 -a");
  });

  test("waits for a revision that is still to come", async () => {
    using catalog = localCatalog();
    const watching = watch(catalog, { from: 3 });
    const waiting = nextOf(watching);
    for (const value of ["1", "2", "3"]) await write(catalog, put("a", value));
    expect(tell(await waiting)).toBe("3 a=3");
  });

  test("tells only of its range", async () => {
    using catalog = localCatalog();
    const range = watch(catalog, { start: "b", end: "d" });
    const single = watch(catalog, { start: "b" });
    await write(catalog, put("a", "1"), put("d", "1"));
    await write(catalog, put("a", "2"), put("b", "2"), put("c", "2"));
    expect(tell(await nextOf(range))).toBe("2 b=2,c=2");
    expect(tell(await nextOf(single))).toBe("2 b=2");
  });

  test("carries the previous value of what changed, and of nothing that was new", async () => {
    using catalog = localCatalog();
    for (const round of [0, 1]) {
      // The first round is replayed from history, the second one is live.
      const live = round === 1 ? watch(catalog) : undefined;
      const from = catalog.revision() + 1;
      await write(catalog, put("a", "1"));
      await write(catalog, put("a", "2"));
      await write(catalog, remove("a"));
      const watching = live ?? watch(catalog, { from });
      expect(await nextOf(watching)).toMatchObject({ events: [{ type: "put", entry: { version: 1 } }] });
      expect(await nextOf(watching)).toMatchObject({
        events: [{ previous: { value: text("1"), version: 1, modRevision: from } }],
      });
      expect(await nextOf(watching)).toMatchObject({
        events: [{ type: "delete", previous: { value: text("2"), version: 2 } }],
      });
    }
  });

  test("below the compaction floor begins with a reset that carries the state, and goes on from there", async () => {
    using catalog = localCatalog();
    for (const value of ["1", "2", "3"]) await write(catalog, put("a", value));
    await write(catalog, put("b", "4"));
    await catalog.compact(3 as Revision);
    const watching = watch(catalog, { from: 2 });
    expect(tell(await nextOf(watching))).toBe("reset compacted 4 a=3,b=4");
    await write(catalog, put("a", "5"));
    expect(tell(await nextOf(watching))).toBe("5 a=5");
    const exact = watch(catalog, { from: 3 });
    expect(tell(await nextOf(exact))).toBe("3 a=3");
  });

  test("from the compaction floor itself tells all of that revision, deletions too", async () => {
    using catalog = localCatalog();
    await write(catalog, put("a", "1"), put("b", "1"));
    await write(catalog, remove("a"), put("b", "2"));
    await write(catalog, put("a", "3"));
    await catalog.compact(2 as Revision);
    const watching = watch(catalog, { from: 2 });
    expect(tell(await nextOf(watching))).toBe("2 -a,b=2");
    expect(tell(await nextOf(watching))).toBe("3 a=3");
    await catalog.compact(3 as Revision);
    expect(tell(await nextOf(watch(catalog, { from: 2 })))).toBe("reset compacted 3 a=3,b=2");
  });

  test("that replays is told all of history, however long: only who was up to date can lag", async () => {
    using catalog = localCatalog({ watch: { recentRevisions: 2, lagRevisions: 3 } });
    for (let value = 1; value <= 10; value++) await write(catalog, put("a", String(value)));
    const watching = watch(catalog, { from: 1 });
    for (let value = 1; value <= 10; value++) expect(tell(await nextOf(watching))).toBe(`${value} a=${value}`);
    for (let value = 11; value <= 14; value++) await write(catalog, put("a", String(value)));
    expect(tell(await nextOf(watching))).toBe("reset overflow 14 a=14");
  });

  test("tells revisions apart that were committed at once", async () => {
    const machine = catalogMachine();
    const store = memoryStore();
    using catalog = makeCatalog({
      machine,
      store,
      clock: virtualClock(),
      readBarrier: async () => {},
      propose: () => Promise.reject(new Error("nothing is proposed here")),
    });
    const watching = watch(catalog);
    const waiting = nextOf(watching);
    store.transact((transaction) => {
      for (const operation of [put("a", "1"), put("a", "2"), remove("a")]) {
        const command = encodeCommand({ type: "txn", transaction: { compare: [], then: [operation], else: [] } });
        machine.apply(transaction, command, { writable: true } as ApplyContext);
      }
    });
    expect(catalog.revision()).toBe(0);
    machine.committed();
    expect(tell(await waiting)).toBe("1 a=1");
    expect(tell(await nextOf(watching))).toBe("2 a=2");
    expect(tell(await nextOf(watching))).toBe("3 -a");
  });

  test("that lags is reset once compaction has taken what it has not seen", async () => {
    using catalog = localCatalog({ watch: { recentRevisions: 1 } });
    const watching = watch(catalog);
    for (const value of ["1", "2", "3", "4"]) await write(catalog, put("a", value));
    await catalog.compact(3 as Revision);
    expect(tell(await nextOf(watching))).toBe("reset compacted 4 a=4");
  });

  test("that lags reads on from history as long as the lag is bounded, and is reset beyond", async () => {
    using catalog = localCatalog({ watch: { recentRevisions: 2, lagRevisions: 4 } });
    const watching = watch(catalog);
    await write(catalog, put("a", "1"));
    expect(tell(await nextOf(watching))).toBe("1 a=1");
    for (const value of ["2", "3", "4", "5"]) await write(catalog, put("a", value));
    expect(tell(await nextOf(watching))).toBe("2 a=2");
    for (const value of ["6", "7"]) await write(catalog, put("a", value));
    expect(tell(await nextOf(watching))).toBe("reset overflow 7 a=7");
    await write(catalog, put("a", "8"));
    expect(tell(await nextOf(watching))).toBe("8 a=8");
  });

  test("tells progress every few seconds, only where there was some and nothing else to tell", async () => {
    const clock = virtualClock();
    using catalog = localCatalog({ clock, watch: { progressIntervalMs: 1_000 } });
    const watching = watch(catalog, { start: "b" });
    const waiting = nextOf(watching);
    await clock.advanceAsync(5_000);
    await write(catalog, put("a", "1"));
    await write(catalog, put("a", "2"));
    await clock.advanceAsync(1_000);
    expect(tell(await waiting)).toBe("progress 2");
    const next = nextOf(watching);
    await clock.advanceAsync(3_000);
    await write(catalog, put("b", "3"));
    expect(tell(await next)).toBe("3 b=3");
  });

  test("ends with its signal, with return and with the catalog, also while it waits, and is counted until then", async () => {
    using catalog = localCatalog();
    const controller = new AbortController();
    const aborted = watch(catalog, { signal: controller.signal });
    const returned = watch(catalog);
    const closed = watch(catalog);
    expect(catalog.counts().watchers).toBe(3);
    const pending = [aborted.next(), returned.next(), closed.next()];
    controller.abort();
    await returned.return?.();
    expect(catalog.counts().watchers).toBe(1);
    catalog.close();
    expect(await Promise.all(pending)).toEqual([1, 2, 3].map(() => ({ done: true, value: undefined })));
    expect(catalog.counts().watchers).toBe(0);
    expect(await watch(catalog, { signal: AbortSignal.abort() }).next()).toEqual({ done: true, value: undefined });
    expect(catalog.counts().watchers).toBe(0);
  });

  test("of which several batches are asked at once gives each of them once", async () => {
    using catalog = localCatalog();
    const watching = watch(catalog);
    const batches = Promise.all([nextOf(watching), nextOf(watching), nextOf(watching)]);
    for (const value of ["1", "2", "3"]) await write(catalog, put("a", value));
    expect((await batches).map(tell)).toEqual(["1 a=1", "2 a=2", "3 a=3"]);
  });

  test("of a huge history lets others work in between", async () => {
    using catalog = localCatalog();
    for (let index = 0; index < 10; index++) {
      await write(catalog, ...Array.from({ length: 1_000 }, (_, one) => put(`x${index}/${one}`, "1")));
    }
    await write(catalog, put("a", "1"));
    const watching = watch(catalog, { from: 1, start: "a" });
    let turns = 0;
    const turn = (): void => {
      turns++;
      handle = setImmediate(turn);
    };
    let handle = setImmediate(turn);
    expect(tell(await nextOf(watching))).toBe("11 a=1");
    clearImmediate(handle);
    expect(turns).toBeGreaterThan(0);
  });

  test("is reset where the store was replaced by one that is older", async () => {
    const machine = catalogMachine();
    const store = memoryStore();
    const context = { writable: true } as ApplyContext;
    using catalog = makeCatalog({
      machine,
      store,
      clock: virtualClock(),
      readBarrier: async () => {},
      propose: async (command) => {
        const result = store.transact((transaction) => machine.apply(transaction, command, context));
        machine.committed();
        return result;
      },
    });
    await write(catalog, put("a", "1"));
    const view = store.view();
    await write(catalog, put("a", "2"));
    await write(catalog, put("a", "3"));
    const watching = watch(catalog);
    const waiting = nextOf(watching);
    store.transact((transaction) => {
      for (const tree of machine.trees) {
        transaction.clear(tree);
        for (const { key, value } of view.range(tree)) transaction.put(tree, key, value);
      }
    });
    machine.restored(store);
    expect(tell(await waiting)).toBe("reset restored 1 a=1");
    await write(catalog, put("a", "2'"));
    expect(tell(await nextOf(watching))).toBe("2 a=2'");
  });

  test("loses nothing, repeats nothing and keeps the order, whatever is written, compacted and read when", async () => {
    const key = fc.constantFrom("a", "b", "c", "d", "e");
    const step = fc.oneof(
      {
        weight: 6,
        arbitrary: fc.record({
          type: fc.constant("write" as const),
          keys: fc.uniqueArray(key, { minLength: 1, maxLength: 3 }),
        }),
      },
      { weight: 2, arbitrary: fc.record({ type: fc.constant("remove" as const), start: key, end: key }) },
      {
        weight: 4,
        arbitrary: fc.record({
          type: fc.constant("read" as const),
          watcher: fc.nat(3),
          count: fc.integer({ min: 1, max: 4 }),
        }),
      },
      { weight: 1, arbitrary: fc.record({ type: fc.constant("compact" as const), back: fc.nat(3) }) },
      {
        weight: 1,
        arbitrary: fc.record({ type: fc.constant("watch" as const), back: fc.nat(6), start: key, end: key }),
      },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        using catalog = localCatalog({ clock: virtualClock(), watch: { recentRevisions: 3, lagRevisions: 8 } });
        const checks = [new WatchCheck(catalog, 1, everything)];
        let count = 0;
        for (const one of steps) {
          if (one.type === "write") await write(catalog, ...one.keys.map((name) => put(name, String(count++))));
          else if (one.type === "remove") await write(catalog, remove(one.start, one.end));
          else if (one.type === "compact")
            await catalog.compact(Math.max(0, catalog.revision() - one.back) as Revision);
          else if (one.type === "watch") {
            const from = Math.max(1, catalog.revision() - one.back);
            checks.push(new WatchCheck(catalog, from, { start: text(one.start), end: text(one.end) }));
          } else await checks[one.watcher % checks.length]?.read(one.count);
        }
        for (const check of checks) await check.finish();
      }),
      { numRuns: 150 },
    );
  });
});

/** Reads a watch bit by bit and holds what it was told against what the catalog says. */
class WatchCheck {
  readonly #catalog: CatalogFront;
  readonly #range: { readonly start: Uint8Array; readonly end: Uint8Array };
  readonly #watching: AsyncIterator<WatchBatch>;
  readonly #state = new Map<string, string>();
  readonly #controller = new AbortController();
  #last: number;
  #pending: Promise<WatchBatch> | undefined;
  #known: boolean;

  constructor(catalog: CatalogFront, from: number, range: { readonly start: Uint8Array; readonly end: Uint8Array }) {
    this.#catalog = catalog;
    this.#range = range;
    this.#last = from - 1;
    this.#known = from === 1;
    const { signal } = this.#controller;
    const changes = catalog.watch({ ...range, fromRevision: from as Revision, signal });
    this.#watching = changes[Symbol.asyncIterator]();
  }

  async read(count: number): Promise<void> {
    for (let index = 0; index < count; index++) {
      this.#pending ??= nextOf(this.#watching);
      const batch = await Promise.race([
        this.#pending,
        new Promise<undefined>((resolve) => setImmediate(() => resolve(undefined))),
      ]);
      if (batch === undefined) return;
      this.#pending = undefined;
      this.#take(batch);
    }
  }

  async finish(): Promise<void> {
    await this.read(1_000);
    const { entries } = await this.#catalog.range(this.#range);
    if (this.#known)
      expect([...this.#state].toSorted(([left], [right]) => (left < right ? -1 : 1))).toEqual(
        entries.map(({ key, value }) => [show(key), show(value)]),
      );
    const waiting = this.#pending;
    this.#controller.abort();
    if (waiting !== undefined) await expect(waiting).rejects.toThrow("ended");
  }

  #take(batch: WatchBatch): void {
    expect(batch.revision).toBeGreaterThan(this.#last);
    this.#last = batch.revision;
    if (batch.type === "reset") {
      this.#state.clear();
      this.#known = true;
      for (const { key, value } of batch.entries) this.#state.set(show(key), show(value));
    }
    if (batch.type !== "events") return;
    expect(batch.events.length).toBeGreaterThan(0);
    for (const event of batch.events) {
      if (event.type === "put") {
        expect(event.entry.modRevision).toBe(batch.revision);
        this.#state.set(show(event.entry.key), show(event.entry.value));
      } else {
        expect(event.modRevision).toBe(batch.revision);
        if (this.#known) expect(this.#state.has(show(event.key))).toBe(true);
        this.#state.delete(show(event.key));
      }
    }
  }
}
