import type { Revision } from "../../ids.ts";
import { check, collect, equal, rejects, streamOf } from "../case.ts";
import type { CatalogFixture } from "../catalog.ts";
import { type Body, brief, everything, find, put, remove, Watcher, write } from "./kit.ts";

async function contents({ catalog, time }: CatalogFixture): Promise<readonly string[]> {
  return brief((await time.run(catalog.range(everything))).entries);
}

/** Counts, snapshots and restores. */
export const lifeCases: Readonly<Record<string, Body>> = {
  "an empty catalog counts nothing": async ({ catalog }) => {
    const { keys, watchers } = catalog.counts();
    equal([keys, watchers], [0, 0], "keys and watchers");
    check(catalog.compactedRevision() <= catalog.revision(), "the floor is above the newest revision");
  },

  "keys are counted while they live, history until it is compacted": async (fixture) => {
    const { catalog } = fixture;
    await write(fixture, put("a", "1"), put("b", "1"));
    for (let round = 0; round < 5; round += 1) await write(fixture, put("a", String(round)));
    equal(catalog.counts().keys, 2, "keys");
    const before = catalog.counts().history;
    await fixture.time.run(catalog.compact(catalog.revision()));
    check(
      catalog.counts().history < before,
      `history is ${catalog.counts().history} after compaction, ${before} before`,
    );
    await write(fixture, remove("a"));
    equal(catalog.counts().keys, 1, "keys after a deletion");
  },

  "a snapshot restored later brings everything back, at a new revision": async (fixture) => {
    const { catalog, time } = fixture;
    await write(fixture, put("a", "1"), put("b", "2"));
    const chunks = await time.run(collect(catalog.snapshot()));
    await write(fixture, put("a", "10"), remove("b"), put("c", "3"));
    const before = catalog.revision();
    const revision = await time.run(catalog.restore(streamOf(chunks)));
    check(revision > before, `restored at ${revision}, the catalog was at ${before}`);
    equal(catalog.revision(), revision, "the catalog's revision");
    equal(await contents(fixture), ["a=1", "b=2"], "the contents");
    equal(catalog.counts().keys, 2, "the keys");
    equal((await write(fixture, put("d", "4"))).revision, revision + 1, "the next revision");
  },

  "a snapshot is the picture of one revision, whatever is written meanwhile": async (fixture) => {
    const { catalog, time } = fixture;
    const names = Array.from({ length: 50 }, (_, index) => `key ${String(index).padStart(2, "0")}`);
    await write(fixture, ...names.map((name) => put(name, "old")));
    const stream = catalog.snapshot()[Symbol.asyncIterator]();
    const chunks: Uint8Array[] = [];
    for (let next = await time.run(stream.next()); next.done !== true; next = await time.run(stream.next())) {
      chunks.push(next.value);
      await write(fixture, ...names.map((name) => put(name, "new")));
    }
    await time.run(catalog.restore(streamOf(chunks)));
    equal(
      await contents(fixture),
      names.map((name) => `${name}=old`),
      "the contents",
    );
  },

  "an empty catalog has a snapshot too": async (fixture) => {
    const { catalog, time } = fixture;
    const chunks = await time.run(collect(catalog.snapshot()));
    await write(fixture, put("a", "1"));
    await time.run(catalog.restore(streamOf(chunks)));
    equal(await contents(fixture), [], "the contents");
  },

  "watchers are told of a restore by a reset with the new state": async (fixture) => {
    const { catalog, time } = fixture;
    await write(fixture, put("a", "1"));
    const chunks = await time.run(collect(catalog.snapshot()));
    await write(fixture, put("b", "2"));
    const from = (catalog.revision() + 1) as Revision;
    const watcher = new Watcher(catalog, time, { ...everything, fromRevision: from });
    await time.until(() => catalog.counts().watchers === 1);
    const revision = await time.run(catalog.restore(streamOf(chunks)));
    await watcher.until(1);
    equal(watcher.lines, [`${revision}: reset restored a=1`], "what was seen");
    await write(fixture, put("c", "3"));
    await watcher.until(2);
    equal(watcher.lines[1], `${revision + 1}: +c=3`, "what follows");
    await watcher.stop();
  },

  "a snapshot with a wrong byte, a missing end or something behind it is refused, and nothing changes": async (
    fixture,
  ) => {
    const { catalog, time } = fixture;
    await write(fixture, put("a", "1"), put("b", "a value of some length"));
    const chunks = await time.run(collect(catalog.snapshot()));
    const bytes = Uint8Array.from(chunks.flatMap((chunk) => [...chunk]));
    await write(fixture, put("c", "3"));
    const before = catalog.revision();
    const flipped = Array.from({ length: 12 }, (_, part) => {
      const copy = bytes.slice();
      const place = Math.floor((part * (copy.length - 1)) / 11);
      copy[place] = (copy[place] as number) ^ 0x20;
      return copy;
    });
    const damaged = [
      ...flipped,
      bytes.slice(0, -1),
      bytes.slice(0, bytes.length >> 1),
      new Uint8Array(),
      Uint8Array.of(...bytes, 0),
    ];
    for (const [index, snapshot] of damaged.entries()) {
      await rejects(time.run(catalog.restore(streamOf([snapshot]))), [], `damaged snapshot ${index}`);
    }
    equal(catalog.revision(), before, "the revision");
    equal(await contents(fixture), ["a=1", "b=a value of some length", "c=3"], "the contents");
    await time.run(catalog.restore(streamOf([bytes])));
    equal(await contents(fixture), ["a=1", "b=a value of some length"], "the contents after the whole snapshot");
  },

  "chunks of any size restore the same": async (fixture) => {
    const { catalog, time } = fixture;
    await write(fixture, put("a", "1"), put("b", "x".repeat(3000)));
    const bytes = Uint8Array.from((await time.run(collect(catalog.snapshot()))).flatMap((chunk) => [...chunk]));
    await write(fixture, remove("a", "c"));
    const pieces = Array.from({ length: Math.ceil(bytes.length / 7) }, (_, index) =>
      bytes.slice(index * 7, index * 7 + 7),
    );
    await time.run(catalog.restore(streamOf(pieces)));
    equal((await find(fixture, "b"))?.value.length, 3000, "the length of a value");
    equal((await find(fixture, "a"))?.version, 1, "the version of a key");
  },
};
