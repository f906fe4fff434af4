import type { Revision } from "../../ids.ts";
import { bytesOf, check, equal, textOf } from "../case.ts";
import { type Body, brief, everything, put, remove, Watcher, write } from "./kit.ts";

/** A fixture whose catalog has something in it from the start: a watch begins after it. */
const first = put("before", "x");

/** Watching. */
export const watchCases: Readonly<Record<string, Body>> = {
  "a watch yields what changes after it began": async (fixture) => {
    await write(fixture, first);
    const next = (fixture.catalog.revision() + 1) as Revision;
    const watcher = new Watcher(fixture.catalog, fixture.time, { ...everything, fromRevision: next });
    await write(fixture, put("a", "1"));
    await write(fixture, put("a", "2"));
    await write(fixture, remove("a"));
    await watcher.until(3);
    equal(watcher.lines, [`${next}: +a=1`, `${next + 1}: +a=2`, `${next + 2}: -a`], "what was seen");
    await watcher.stop();
  },

  "a watch without a revision begins with the next one": async (fixture) => {
    await write(fixture, first);
    const watcher = new Watcher(fixture.catalog, fixture.time);
    await fixture.time.until(() => fixture.catalog.counts().watchers === 1);
    const { revision } = await write(fixture, put("a", "1"));
    await watcher.until(1);
    equal(watcher.lines, [`${revision}: +a=1`], "what was seen");
    await watcher.stop();
  },

  "a watch from an older revision tells the history since, then goes on": async (fixture) => {
    const { revision } = await write(fixture, put("a", "1"));
    await write(fixture, put("b", "2"));
    const watcher = new Watcher(fixture.catalog, fixture.time, { ...everything, fromRevision: revision });
    await watcher.until(2);
    await write(fixture, put("c", "3"));
    await watcher.until(3);
    equal(watcher.lines, [`${revision}: +a=1`, `${revision + 1}: +b=2`, `${revision + 2}: +c=3`], "what was seen");
    await watcher.stop();
  },

  "all events of one revision come together": async (fixture) => {
    await write(fixture, put("old", "x"));
    const from = (fixture.catalog.revision() + 1) as Revision;
    await write(fixture, put("a", "1"), put("b", "2"), remove("old"));
    const watcher = new Watcher(fixture.catalog, fixture.time, { ...everything, fromRevision: from });
    await watcher.until(1);
    const [batch] = watcher.news;
    check(batch?.type === "events", "the first batch is no events");
    equal(batch.revision, from, "the revision");
    equal(watcher.lines[0]?.split(": ")[1]?.split(" ").toSorted(), ["+a=1", "+b=2", "-old"], "the events");
    await watcher.stop();
  },

  "events carry what was there before": async (fixture) => {
    await write(fixture, put("a", "1"));
    const from = (fixture.catalog.revision() + 1) as Revision;
    await write(fixture, put("a", "2"));
    await write(fixture, remove("a"));
    await write(fixture, put("a", "3"));
    const watcher = new Watcher(fixture.catalog, fixture.time, { ...everything, fromRevision: from });
    await watcher.until(3);
    const previous = watcher.news.flatMap((batch) =>
      batch.type === "events"
        ? batch.events.map((event) => (event.previous === undefined ? "" : textOf(event.previous.value)))
        : [],
    );
    equal(previous, ["1", "2", ""], "the previous values");
    await watcher.stop();
  },

  "a watch sees its range and nothing else": async (fixture) => {
    const from = (fixture.catalog.revision() + 1) as Revision;
    const request = { start: bytesOf("b"), end: bytesOf("d"), fromRevision: from };
    const watcher = new Watcher(fixture.catalog, fixture.time, request);
    const single = new Watcher(fixture.catalog, fixture.time, { start: bytesOf("c"), fromRevision: from });
    for (const key of ["a", "b", "c", "cc", "d"]) await write(fixture, put(key, "x"));
    await watcher.until(3);
    await single.until(1);
    equal(watcher.lines, [`${from + 1}: +b=x`, `${from + 2}: +c=x`, `${from + 3}: +cc=x`], "the range");
    equal(single.lines, [`${from + 2}: +c=x`], "the single key");
    await Promise.all([watcher.stop(), single.stop()]);
  },

  "watchers that join at any time see every revision once, in order, while many write": async (fixture) => {
    const { catalog, time } = fixture;
    const from = (catalog.revision() + 1) as Revision;
    const watchers: Watcher[] = [];
    const writers = Array.from({ length: 40 }, (_, index) =>
      catalog.txn({ compare: [], then: [put(`key ${index % 7}`, String(index))], else: [] }),
    );
    watchers.push(new Watcher(catalog, time, { ...everything, fromRevision: from }));
    await time.run(Promise.all(writers.slice(0, 20)));
    watchers.push(new Watcher(catalog, time, { ...everything, fromRevision: from }));
    await time.run(Promise.all(writers));
    watchers.push(new Watcher(catalog, time, { ...everything, fromRevision: from }));
    const expected = Array.from({ length: 40 }, (_, index) => from + index);
    for (const watcher of watchers) {
      await watcher.until(40);
      equal(
        watcher.news.map(({ revision }) => revision),
        expected,
        "the revisions",
      );
      equal(watcher.lines, watchers[0]?.lines, "the events");
    }
    await Promise.all(watchers.map((watcher) => watcher.stop()));
  },

  "a watch from a compacted revision begins with a reset that carries what is there": async (fixture) => {
    await write(fixture, put("a", "1"), put("gone", "x"));
    await write(fixture, put("b", "2"), remove("gone"));
    const now = fixture.catalog.revision();
    await fixture.time.run(fixture.catalog.compact(now));
    const watcher = new Watcher(fixture.catalog, fixture.time, { ...everything, fromRevision: (now - 1) as Revision });
    await watcher.until(1);
    const [batch] = watcher.news;
    check(batch?.type === "reset", `the first batch is ${batch?.type ?? "missing"}`);
    equal([batch.reason, brief(batch.entries)], ["compacted", ["a=1", "b=2"]], "reason and entries");
    await write(fixture, put("c", "3"));
    await watcher.until(2);
    equal(watcher.lines[1], `${now + 1}: +c=3`, "what follows");
    await watcher.stop();
  },

  "a watch from a revision that is still to come waits for it": async (fixture) => {
    await write(fixture, first);
    const now = fixture.catalog.revision();
    const watcher = new Watcher(fixture.catalog, fixture.time, { ...everything, fromRevision: (now + 3) as Revision });
    for (const value of ["1", "2", "3"]) await write(fixture, put("a", value));
    await watcher.until(1);
    equal(watcher.lines, [`${now + 3}: +a=3`], "what was seen");
    await watcher.stop();
  },

  "a watch that is aborted ends, and is no longer counted": async (fixture) => {
    const watcher = new Watcher(fixture.catalog, fixture.time);
    await fixture.time.until(() => fixture.catalog.counts().watchers === 1);
    await watcher.stop();
    check(watcher.isOver, "it goes on");
    await fixture.time.until(() => fixture.catalog.counts().watchers === 0);
  },

  "a consumer that falls far behind gets every revision in order, or a reset in the place of those it missed": async (
    fixture,
  ) => {
    const { catalog, time } = fixture;
    const controller = new AbortController();
    const from = (catalog.revision() + 1) as Revision;
    const watch = catalog.watch({ ...everything, fromRevision: from, signal: controller.signal });
    const stream = watch[Symbol.asyncIterator]();
    await write(fixture, put("a", "0"));
    await time.run(stream.next());
    const value = "v".repeat(512 * 1024);
    const rounds = 120;
    for (let round = 1; round <= rounds; round += 1) await write(fixture, put(`key ${round % 4}`, `${round}${value}`));
    const newest = catalog.revision();
    let last: number = from;
    let resets = 0;
    while (last < newest) {
      const { value: batch, done } = await time.run(stream.next());
      check(done !== true, "the watch ended");
      if (batch.type === "reset") resets += 1;
      check(batch.type === "progress" || batch.revision > last, `revision ${batch.revision} after ${last}`);
      // History may be told from where it is kept anyway; what is not told needs a reset.
      check(
        batch.type !== "events" || batch.revision === last + 1,
        `revision ${batch.revision} after ${last}, without a reset`,
      );
      last = batch.revision;
    }
    equal(last, newest, "the last revision");
    check(resets <= rounds, "a reset for every revision");
    controller.abort();
    await time.run(stream.next().catch(() => {}));
  },
};
