import type { Revision } from "../../ids.ts";
import { formatResourceRef } from "../../resource-key.ts";
import { check, equal } from "../case.ts";
import type { FaceFixture } from "../face.ts";
import { apply, type Body, FaceWatcher, get, running } from "./kit.ts";

const label = (fixture: FaceFixture, name: string): string => formatResourceRef(fixture.sample(name, 1).ref);

/** Watching. */
export const watchCases: Readonly<Record<string, Body>> = {
  "a watch begins with what is there as added and goes on with what changes": async (fixture) => {
    await running(fixture);
    await apply(fixture, fixture.sample("a", 1));
    const watcher = new FaceWatcher(fixture);
    await watcher.until(1);
    await apply(fixture, fixture.sample("b", 1));
    await apply(fixture, fixture.sample("a", 2));
    await fixture.time.run(fixture.face.delete(fixture.sample("b", 1).ref));
    await watcher.until(4);
    const [a, b] = [label(fixture, "a"), label(fixture, "b")];
    equal(watcher.lines, [`added ${a}`, `added ${b}`, `modified ${a}`, `deleted ${b}`], "what was seen");
    await watcher.stop();
  },

  "events carry the body and the revision that get would give": async (fixture) => {
    await running(fixture);
    const watcher = new FaceWatcher(fixture);
    await apply(fixture, fixture.sample("a", 1));
    await watcher.until(1);
    const stored = await get(fixture, fixture.sample("a", 1).ref);
    const [event] = watcher.events;
    check(event?.type === "added", `the event is ${event?.type ?? "missing"}`);
    equal([event.body, event.revision, event.format], [stored.body, stored.revision, stored.format], "the event");
    await watcher.stop();
  },

  "an application that changes nothing is no event": async (fixture) => {
    await running(fixture);
    const watcher = new FaceWatcher(fixture);
    await apply(fixture, fixture.sample("a", 1));
    await apply(fixture, fixture.sample("a", 1));
    await apply(fixture, fixture.sample("b", 1));
    await watcher.until(2);
    equal(watcher.lines, [`added ${label(fixture, "a")}`, `added ${label(fixture, "b")}`], "what was seen");
    await watcher.stop();
  },

  "a watch from a revision tells what came since, revisions never falling": async (fixture) => {
    await running(fixture);
    const { revision } = await apply(fixture, fixture.sample("a", 1));
    await apply(fixture, fixture.sample("b", 1));
    await apply(fixture, fixture.sample("a", 2));
    const watcher = new FaceWatcher(fixture, (revision + 1) as Revision);
    await watcher.until(2);
    await fixture.time.run(fixture.face.delete(fixture.sample("a", 1).ref));
    await watcher.until(3);
    const [a, b] = [label(fixture, "a"), label(fixture, "b")];
    equal(watcher.lines, [`added ${b}`, `modified ${a}`, `deleted ${a}`], "what was seen");
    const revisions = watcher.events.map((event) => event.revision);
    equal(
      revisions,
      revisions.toSorted((left, right) => left - right),
      "the order of the revisions",
    );
    await watcher.stop();
  },

  "a watch sees what its selector matches and nothing else": async (fixture) => {
    await running(fixture);
    const { face, time } = fixture;
    const other = new FaceWatcher({ face, time, selector: { ...fixture.selector, kind: "NoSuchKind" } });
    const watcher = new FaceWatcher(fixture);
    await fixture.time.until(() => fixture.face.counts().subscribers === 2);
    await apply(fixture, fixture.sample("a", 1));
    await watcher.until(1);
    equal(other.events, [], "what another kind's watch saw");
    await Promise.all([watcher.stop(), other.stop()]);
  },

  "a gap in history is a reset, and what is there follows as added": async (fixture) => {
    // A fixture that cannot compact cannot make a gap.
    if (fixture.compact === undefined) return;
    await running(fixture);
    const { revision } = await apply(fixture, fixture.sample("a", 1));
    await apply(fixture, fixture.sample("b", 1));
    await fixture.time.run(fixture.face.delete(fixture.sample("b", 1).ref));
    await fixture.time.run(fixture.compact());
    const watcher = new FaceWatcher(fixture, revision);
    await watcher.until(2);
    await apply(fixture, fixture.sample("c", 1));
    await watcher.until(3);
    const [a, c] = [label(fixture, "a"), label(fixture, "c")];
    equal(watcher.lines, ["reset compacted", `added ${a}`, `added ${c}`], "what was seen");
    await watcher.stop();
  },

  "a watch that is aborted ends, and so does every watch when the face shuts down": async (fixture) => {
    await running(fixture);
    const [aborted, left] = [new FaceWatcher(fixture), new FaceWatcher(fixture)];
    await fixture.time.until(() => fixture.face.counts().subscribers === 2);
    await aborted.stop();
    check(aborted.isOver, "the aborted one goes on");
    check(!left.isOver, "the other one ended too");
    await fixture.time.run(fixture.face.shutdown());
    await fixture.time.until(() => left.isOver);
  },
};
