import { bytesOf, check, equal, rejects, textOf } from "../case.ts";
import { type Body, brief, find, put, read, remove, valueIs, where, write, writeIf } from "./kit.ts";

/** 1 MiB, the largest value; and the most operations of one transaction. */
const maxValueBytes = 1024 * 1024;
const maxOperations = 1024;

/** Transactions. */
export const transactionCases: Readonly<Record<string, Body>> = {
  "a written key is read back with its revisions and version": async (fixture) => {
    const before = fixture.catalog.revision();
    const { revision, succeeded } = await write(fixture, put("a", "1"));
    check(succeeded, "a transaction without conditions did not succeed");
    equal(revision, before + 1, "the revision");
    equal(fixture.catalog.revision(), revision, "the catalog's revision");
    const entry = await find(fixture, "a");
    check(entry !== undefined, "the key is missing");
    equal([textOf(entry.key), textOf(entry.value)], ["a", "1"], "key and value");
    equal([entry.createRevision, entry.modRevision, entry.version], [revision, revision, 1], "revisions and version");
  },

  "a key that was never written is undefined": async (fixture) => {
    await write(fixture, put("a", "1"));
    equal(await find(fixture, "b"), undefined, "another key");
    equal(await find(fixture, "aa"), undefined, "a longer key");
  },

  "each change raises the version and keeps the creation, and a deletion starts again": async (fixture) => {
    const first = await write(fixture, put("a", "1"));
    const second = await write(fixture, put("a", "2"));
    const changed = await find(fixture, "a");
    equal(
      [changed?.createRevision, changed?.modRevision, changed?.version],
      [first.revision, second.revision, 2],
      "changed",
    );
    await write(fixture, remove("a"));
    equal(await find(fixture, "a"), undefined, "the deleted key");
    const third = await write(fixture, put("a", "3"));
    const again = await find(fixture, "a");
    equal(
      [again?.createRevision, again?.modRevision, again?.version],
      [third.revision, third.revision, 1],
      "created again",
    );
  },

  "a transaction of several writes makes one revision": async (fixture) => {
    await write(fixture, put("old", "x"));
    const before = fixture.catalog.revision();
    const { revision } = await write(fixture, put("a", "1"), put("b", "2"), remove("old"));
    equal(revision, before + 1, "the revision");
    equal((await find(fixture, "a"))?.modRevision, revision, "the revision of a");
    equal((await find(fixture, "b"))?.modRevision, revision, "the revision of b");
    equal(await find(fixture, "old"), undefined, "the deleted key");
  },

  "a transaction that writes nothing makes no revision": async (fixture) => {
    const { revision } = await write(fixture, put("a", "1"));
    equal((await write(fixture, read("a"))).revision, revision, "after reading");
    equal((await write(fixture, remove("missing"))).revision, revision, "after deleting what is not there");
    equal((await write(fixture)).revision, revision, "after doing nothing");
    equal(fixture.catalog.revision(), revision, "the catalog's revision");
  },

  "results stand in the order of the operations: what was replaced, how many were deleted, what was read": async (
    fixture,
  ) => {
    await write(fixture, put("a", "1"), put("b", "2"), put("c", "3"));
    const { results } = await write(fixture, put("a", "10"), put("new", "x"), remove("b", "d"), remove("gone"));
    const [replaced, made, deleted, none] = results;
    check(replaced?.type === "put" && made?.type === "put", "the types of the writes");
    equal(replaced.previous === undefined ? undefined : brief([replaced.previous]), ["a=1"], "what was replaced");
    equal(made.previous, undefined, "what a new key replaced");
    check(deleted?.type === "delete" && none?.type === "delete", "the types of the deletions");
    equal([deleted.deleted, none.deleted], [2, 0], "how many were deleted");
    const { results: readings } = await write(fixture, read("a"), read("a", "z", 1), read("missing"));
    const found = readings.map((result) =>
      result.type === "get" ? [brief(result.entries), result.more] : result.type,
    );
    equal(
      found,
      [
        [["a=10"], false],
        [["a=10"], true],
        [[], false],
      ],
      "what was read",
    );
  },

  "then runs where every comparison holds, else where one does not": async (fixture) => {
    await write(fixture, put("a", "1"));
    const yes = await writeIf(
      fixture,
      [valueIs("a", "=", "1"), where("a", "version", "=", 1)],
      [put("r", "then")],
      [put("r", "else")],
    );
    equal(yes.succeeded, true, "where all hold");
    equal(textOf((await find(fixture, "r"))?.value ?? new Uint8Array()), "then", "what ran");
    const no = await writeIf(
      fixture,
      [valueIs("a", "=", "1"), where("a", "version", "=", 2)],
      [put("r", "then")],
      [put("r", "else")],
    );
    equal(no.succeeded, false, "where one does not hold");
    equal(textOf((await find(fixture, "r"))?.value ?? new Uint8Array()), "else", "what ran instead");
    equal(no.results.length, 1, "the results of what ran");
  },

  "comparisons look at creation, change, version and value with each of their relations": async (fixture) => {
    const { revision: created } = await write(fixture, put("a", "1"));
    const { revision: changed } = await write(fixture, put("a", "2"));
    const holds = async (...compare: Parameters<typeof writeIf>[1]): Promise<boolean> =>
      (await writeIf(fixture, compare, [])).succeeded;
    const numbers = [
      ["createRevision", created],
      ["modRevision", changed],
      ["version", 2],
    ] as const;
    for (const [target, value] of numbers) {
      equal(await holds(where("a", target, "=", value)), true, `${target} = ${value}`);
      equal(await holds(where("a", target, "=", value + 1)), false, `${target} = ${value + 1}`);
      equal(await holds(where("a", target, "!=", value)), false, `${target} != ${value}`);
      equal(await holds(where("a", target, "<", value + 1)), true, `${target} < ${value + 1}`);
      equal(await holds(where("a", target, "<", value)), false, `${target} < ${value}`);
      equal(await holds(where("a", target, ">", value - 1)), true, `${target} > ${value - 1}`);
      equal(await holds(where("a", target, ">", value)), false, `${target} > ${value}`);
    }
    equal(await holds(valueIs("a", "=", "2")), true, "value = 2");
    equal(await holds(valueIs("a", "!=", "2")), false, "value != 2");
  },

  "a missing key compares as 0, so that create-if-absent is one transaction": async (fixture) => {
    const create = (value: string): ReturnType<typeof writeIf> =>
      writeIf(fixture, [where("lock", "createRevision", "=", 0)], [put("lock", value)], [read("lock")]);
    equal((await create("mine")).succeeded, true, "the first");
    const second = await create("yours");
    equal(second.succeeded, false, "the second");
    const [held] = second.results;
    equal(held?.type === "get" ? brief(held.entries) : held, ["lock=mine"], "what the second found");
    for (const target of ["createRevision", "modRevision", "version"] as const) {
      equal(
        (await writeIf(fixture, [where("missing", target, "=", 0)], [])).succeeded,
        true,
        `${target} = 0 of a missing key`,
      );
      equal(
        (await writeIf(fixture, [where("missing", target, ">", 0)], [])).succeeded,
        false,
        `${target} > 0 of a missing key`,
      );
    }
  },

  "compare-and-swap races have one winner each": async (fixture) => {
    const { catalog, time } = fixture;
    await write(fixture, put("counter", "0"));
    let wins = 0;
    const increment = async (): Promise<void> => {
      for (;;) {
        const entry = await catalog.get(bytesOf("counter"));
        if (entry === undefined) return;
        const next = String(Number(textOf(entry.value)) + 1);
        const compare = [where("counter", "modRevision", "=", entry.modRevision)];
        const { succeeded } = await catalog.txn({ compare, then: [put("counter", next)], else: [] });
        if (!succeeded) continue;
        wins += 1;
        return;
      }
    };
    await time.run(Promise.all(Array.from({ length: 20 }, increment)));
    equal(wins, 20, "how many won");
    const counter = await find(fixture, "counter");
    equal(counter === undefined ? [] : brief([counter]), ["counter=20"], "the counter");
  },

  "two writes of one key in a transaction are CATALOG_INVALID_TRANSACTION, and nothing of it happens": async (
    fixture,
  ) => {
    const { catalog, time } = fixture;
    const before = catalog.revision();
    const twice = catalog.txn({ compare: [], then: [put("other", "x"), put("a", "1"), put("a", "2")], else: [] });
    await rejects(time.run(twice), ["CATALOG_INVALID_TRANSACTION"], "the transaction");
    equal(catalog.revision(), before, "the revision");
    equal(await find(fixture, "other"), undefined, "its other write");
  },

  "what is larger than its limit is CATALOG_TOO_LARGE, and what just fits is taken": async (fixture) => {
    const { catalog, time } = fixture;
    const large = (bytes: number): ReturnType<typeof catalog.txn> =>
      catalog.txn({ compare: [], then: [{ type: "put", key: bytesOf("a"), value: new Uint8Array(bytes) }], else: [] });
    await rejects(time.run(large(maxValueBytes + 1)), ["CATALOG_TOO_LARGE"], "a value of 1 MiB and a byte");
    const many = (count: number): ReturnType<typeof put>[] =>
      Array.from({ length: count }, (_, index) => put(`k${index}`, "x"));
    const tooMany = catalog.txn({ compare: [], then: many(maxOperations + 1), else: [] });
    await rejects(time.run(tooMany), ["CATALOG_TOO_LARGE", "CATALOG_INVALID_TRANSACTION"], "1,025 operations");
    const fives = Array.from({ length: 5 }, (_, index) => ({
      type: "put" as const,
      key: bytesOf(`five ${index}`),
      value: new Uint8Array(maxValueBytes),
    }));
    await rejects(
      time.run(catalog.txn({ compare: [], then: fives, else: [] })),
      ["CATALOG_TOO_LARGE"],
      "5 MiB in one transaction",
    );
    equal(
      catalog.revision(),
      (await time.run(large(maxValueBytes))).revision - 1,
      "the revision before the one that fits",
    );
    await write(fixture, ...many(maxOperations));
    equal(catalog.counts().keys, maxOperations + 1, "how many keys there are");
  },

  "empty values and bytes of any kind come back as they were": async ({ catalog, time }) => {
    const key = Uint8Array.of(0, 255, 0, 128);
    const value = Uint8Array.from({ length: 256 }, (_, byte) => byte);
    await time.run(
      catalog.txn({
        compare: [],
        then: [
          { type: "put", key, value },
          { type: "put", key: bytesOf("empty"), value: new Uint8Array() },
        ],
        else: [],
      }),
    );
    equal((await time.run(catalog.get(key)))?.value, value, "the bytes");
    equal((await time.run(catalog.get(bytesOf("empty"))))?.value, new Uint8Array(), "the empty value");
  },
};
