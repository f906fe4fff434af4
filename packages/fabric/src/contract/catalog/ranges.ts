import type { Revision } from "../../ids.ts";
import type { RangeRequest, RangeResult } from "../../seams/catalog.ts";
import { bytesOf, check, equal, rejects } from "../case.ts";
import type { CatalogFixture } from "../catalog.ts";
import { type Body, brief, everything, find, put, remove, write } from "./kit.ts";

function range({ catalog, time }: CatalogFixture, request: RangeRequest): Promise<RangeResult> {
  return time.run(catalog.range(request));
}

/** Reading ranges, now and as they were. */
export const rangeCases: Readonly<Record<string, Body>> = {
  "a range gives its keys in byte order, end exclusive": async (fixture) => {
    await write(fixture, put("b", "2"), put("a", "1"), put("ab", "1.5"), put("c", "3"), put("B", "0"));
    const found = await range(fixture, { start: bytesOf("a"), end: bytesOf("c") });
    equal(brief(found.entries), ["a=1", "ab=1.5", "b=2"], "the entries");
    equal([found.count, found.more, found.revision], [3, false, fixture.catalog.revision()], "count, more, revision");
    equal(brief((await range(fixture, everything)).entries), ["B=0", "a=1", "ab=1.5", "b=2", "c=3"], "everything");
  },

  "a range without an end is one key": async (fixture) => {
    await write(fixture, put("a", "1"), put("ab", "2"));
    const found = await range(fixture, { start: bytesOf("a") });
    equal([brief(found.entries), found.count], [["a=1"], 1], "what is there");
    const none = await range(fixture, { start: bytesOf("b") });
    equal([none.entries.length, none.count, none.more], [0, 0, false], "what is not");
  },

  "a limit cuts the entries, not the count": async (fixture) => {
    await write(fixture, put("a", "1"), put("b", "2"), put("c", "3"));
    const cut = await range(fixture, { ...everything, limit: 2 });
    equal([brief(cut.entries), cut.more, cut.count], [["a=1", "b=2"], true, 3], "two of three");
    const whole = await range(fixture, { ...everything, limit: 3 });
    equal([whole.entries.length, whole.more], [3, false], "three of three");
  },

  "keysOnly leaves the values out and the rest in": async (fixture) => {
    const { revision } = await write(fixture, put("a", "a long value"));
    const [entry] = (await range(fixture, { ...everything, keysOnly: true })).entries;
    equal([entry?.value.length, entry?.modRevision, entry?.version], [0, revision, 1], "value, revision and version");
  },

  "a range at an older revision is what was there then": async (fixture) => {
    const first = await write(fixture, put("a", "1"), put("b", "2"));
    const second = await write(fixture, put("a", "10"), put("c", "3"));
    const third = await write(fixture, remove("a"), remove("b"));
    const then = async (revision: Revision): Promise<readonly string[]> =>
      brief((await range(fixture, { ...everything, revision })).entries);
    equal(await then(first.revision), ["a=1", "b=2"], "after the first");
    equal(await then(second.revision), ["a=10", "b=2", "c=3"], "after the second");
    equal(await then(third.revision), ["c=3"], "after the third");
    const old = await range(fixture, { ...everything, revision: first.revision });
    equal([old.count, old.revision], [2, first.revision], "count and revision of the first");
    equal(
      old.entries.map(({ version }) => version),
      [1, 1],
      "the versions then",
    );
  },

  "pages at one revision miss nothing and repeat nothing while others write": async (fixture) => {
    const names = Array.from({ length: 25 }, (_, index) => `key ${String(index).padStart(2, "0")}`);
    const { revision } = await write(fixture, ...names.map((name) => put(name, "x")));
    const seen: string[] = [];
    let start = bytesOf("key");
    for (let page = 0; page < 10; page += 1) {
      const { entries, more } = await range(fixture, { start, end: bytesOf("l"), revision, limit: 4 });
      seen.push(...brief(entries));
      // Ahead of the pages that were read: keys go, keys come, keys change.
      await write(
        fixture,
        remove(names.at(-1 - page) ?? ""),
        put(`key ${12 + page}b`, "new"),
        put(names[15] ?? "", "changed"),
      );
      const last = entries.at(-1);
      if (!more || last === undefined) break;
      start = Uint8Array.of(...last.key, 0);
    }
    equal(
      seen,
      names.map((name) => `${name}=x`),
      "the pages",
    );
  },

  "a revision that has not been is CATALOG_FUTURE_REVISION": async (fixture) => {
    await write(fixture, put("a", "1"));
    const revision = (fixture.catalog.revision() + 1) as Revision;
    const request = fixture.catalog.range({ ...everything, revision });
    await rejects(fixture.time.run(request), ["CATALOG_FUTURE_REVISION"], "the range");
  },

  "a compacted revision is CATALOG_COMPACTED, the floor and what is above can be read": async (fixture) => {
    const revisions: Revision[] = [];
    for (const value of ["1", "2", "3"]) revisions.push((await write(fixture, put("a", value))).revision);
    const [first, second, third] = revisions as [Revision, Revision, Revision];
    await fixture.time.run(fixture.catalog.compact(second));
    equal(fixture.catalog.compactedRevision(), second, "the floor");
    const below = fixture.catalog.range({ ...everything, revision: first });
    await rejects(fixture.time.run(below), ["CATALOG_COMPACTED"], "below the floor");
    equal(brief((await range(fixture, { ...everything, revision: second })).entries), ["a=2"], "at the floor");
    equal(brief((await range(fixture, { ...everything, revision: third })).entries), ["a=3"], "above it");
  },

  "compaction keeps the newest value of each key, with its revisions and version": async (fixture) => {
    await write(fixture, put("kept", "1"), put("gone", "x"));
    await write(fixture, put("kept", "2"));
    await write(fixture, remove("gone"));
    const before = await find(fixture, "kept");
    await fixture.time.run(fixture.catalog.compact(fixture.catalog.revision()));
    equal(await find(fixture, "kept"), before, "the entry");
    equal(await find(fixture, "gone"), undefined, "the deleted key");
    equal((await write(fixture, put("kept", "3"))).revision, fixture.catalog.revision(), "the next revision");
    equal((await find(fixture, "kept"))?.version, 3, "the next version");
  },

  "compacting above the newest revision is CATALOG_FUTURE_REVISION, compacting twice is no loss": async (fixture) => {
    await write(fixture, put("a", "1"));
    const now = fixture.catalog.revision();
    const beyond = fixture.catalog.compact((now + 1) as Revision);
    await rejects(fixture.time.run(beyond), ["CATALOG_FUTURE_REVISION"], "the compaction");
    await fixture.time.run(fixture.catalog.compact(now));
    await fixture.time.run(fixture.catalog.compact(now).catch(() => {}));
    equal(brief((await range(fixture, everything)).entries), ["a=1"], "what is there");
  },

  "reads are linearizable unless asked otherwise, and say how old they are": async (fixture) => {
    const { catalog, time } = fixture;
    for (let round = 0; round < 10; round += 1) {
      const { revision } = await write(fixture, put("a", String(round)));
      const found = await range(fixture, everything);
      check(found.revision >= revision, `read at ${found.revision} after a write at ${revision}`);
      equal([brief(found.entries), found.ageMs], [[`a=${round}`], 0], "the entries and their age");
    }
    const stale = await time.run(catalog.range(everything, { consistency: "stale" }));
    check(stale.ageMs >= 0, `the age is ${stale.ageMs}`);
    check(stale.revision <= catalog.revision(), "a stale read from the future");
  },
};
