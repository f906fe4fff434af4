import type { NodeId } from "../../ids.ts";
import { check, equal, throws } from "../case.ts";
import { type Body, ChangeReader, nodeAt, seenBy, untilAllAlive } from "./kit.ts";

const stranger = "f".repeat(64) as NodeId;

/** What nodes say of themselves, and how others get to know it. */
export const factCases: Readonly<Record<string, Body>> = {
  "everybody comes to see everybody alive, oneself included": async (fixture) => {
    await untilAllAlive(fixture);
    for (const id of fixture.ids) {
      const view = fixture.member(id).view();
      equal(view.self, id, "self");
      equal([...view.members.keys()].toSorted(), fixture.ids.toSorted(), "who is known");
    }
  },

  "members have generations, addresses and times that make sense": async (fixture) => {
    await untilAllAlive(fixture);
    for (const member of fixture.member(nodeAt(fixture, 0)).view().members.values()) {
      check(Number.isSafeInteger(member.generation) && member.generation > 0, `generation ${member.generation}`);
      check(Number.isSafeInteger(member.incarnation) && member.incarnation >= 0, `incarnation ${member.incarnation}`);
      check(member.addresses.length > 0, `${member.id} has no address`);
      check(Number.isFinite(member.statusSinceMs), `alive since ${member.statusSinceMs}`);
      equal(member.evidence, undefined, "evidence of the death of the living");
    }
  },

  "a view is a picture: later changes leave it as it is": async (fixture) => {
    await untilAllAlive(fixture);
    const one = fixture.member(nodeAt(fixture, 0));
    const before = one.view();
    const size = before.members.size;
    const keys = before.members.get(before.self)?.keys.size;
    one.set("picture", "taken");
    await fixture.time.until(() => one.view().members.get(one.view().self)?.keys.get("picture") === "taken");
    equal(before.members.size, size, "how many it shows");
    equal(before.members.get(before.self)?.keys.size, keys, "how many keys it shows");
  },

  "what a node says of itself reaches everybody, and the last word counts": async (fixture) => {
    await untilAllAlive(fixture);
    const [speaker, ...others] = fixture.ids as [NodeId, ...NodeId[]];
    const heard = (key: string): readonly (string | undefined)[] =>
      [speaker, ...others].map((id) => seenBy(fixture, id, speaker)?.keys.get(key));
    for (const value of ["first", "second", "last"]) fixture.member(speaker).set("zone", value);
    fixture.member(speaker).set("rack-1.row", "");
    await fixture.time.until(() => heard("zone").every((value) => value === "last"));
    await fixture.time.until(() => heard("rack-1.row").every((value) => value === ""));
    for (const id of others)
      equal(seenBy(fixture, speaker, id)?.keys.get("zone"), undefined, "what others said of themselves");
  },

  "keys and values beyond their bounds are MEMBERSHIP_QUOTA, and those at their bounds are taken": async (fixture) => {
    const member = fixture.member(nodeAt(fixture, 0));
    const wrong: readonly (readonly [string, string])[] = [
      ["", "x"],
      ["k".repeat(65), "x"],
      ["Upper", "x"],
      ["under_score", "x"],
      ["space here", "x"],
      ["key", "v".repeat(513)],
      ["key", "é".repeat(257)],
    ];
    for (const [key, value] of wrong) {
      throws(
        () => member.set(key, value),
        ["MEMBERSHIP_QUOTA"],
        `set(${JSON.stringify(key.slice(0, 20))}, ${value.length} characters)`,
      );
    }
    member.set("k".repeat(64), "v".repeat(512));
    member.set("accents", "é".repeat(256));
    const own = member.view().members.get(member.view().self);
    equal(own?.keys.get("accents"), "é".repeat(256), "the value of 512 bytes");
  },

  "a stream of changes begins with a snapshot and goes on with what changes": async (fixture) => {
    await untilAllAlive(fixture);
    const [observer, subject] = [nodeAt(fixture, 0), nodeAt(fixture, 1)];
    const reader = new ChangeReader(fixture.member(observer), fixture.time);
    await fixture.time.until(() => reader.changes.length > 0);
    const [first] = reader.changes;
    check(first?.type === "snapshot", `the first change is ${first?.type ?? "missing"}`);
    equal([...first.view.members.keys()].toSorted(), fixture.ids.toSorted(), "the snapshot");
    fixture.member(subject).set("news", "yes");
    await fixture.time.until(() =>
      reader.changes.some(
        (change) =>
          change.type === "changed" && change.member.id === subject && change.member.keys.get("news") === "yes",
      ),
    );
    await reader.stop();
    check(reader.isOver, "it goes on after the abort");
  },

  "a consumer that falls behind gets a new snapshot, not a backlog": async (fixture) => {
    await untilAllAlive(fixture);
    const member = fixture.member(nodeAt(fixture, 0));
    const controller = new AbortController();
    const stream = member.changes({ signal: controller.signal })[Symbol.asyncIterator]();
    await fixture.time.run(stream.next());
    const last = 20_000;
    for (let count = 1; count <= last; count += 1) member.set("count", String(count));
    let changes = 0;
    for (let current = ""; current !== String(last); changes += 1) {
      const { value: change, done } = await fixture.time.run(stream.next());
      check(done !== true, "the stream ended");
      const own =
        change.type === "snapshot"
          ? change.view.members.get(member.view().self)
          : change.type === "changed"
            ? change.member
            : undefined;
      if (own?.id === member.view().self) current = own.keys.get("count") ?? "";
    }
    check(changes < last / 2, `${changes} changes were kept for a consumer that did not read`);
    controller.abort();
    await fixture.time.run(stream.next().catch(() => {}));
  },

  "raising the incarnation is seen by everybody, and only the subject's is raised": async (fixture) => {
    await untilAllAlive(fixture);
    const subject = nodeAt(fixture, 0);
    const before = fixture.ids.map((id) => seenBy(fixture, subject, id)?.incarnation ?? -1);
    fixture.member(subject).raiseIncarnation();
    const risen = (before[0] ?? 0) + 1;
    await fixture.time.until(() =>
      fixture.ids.every((id) => (seenBy(fixture, id, subject)?.incarnation ?? -1) >= risen),
    );
    for (const [index, id] of fixture.ids.entries()) {
      if (id !== subject)
        equal(seenBy(fixture, subject, id)?.incarnation, before[index], `the incarnation of node ${index}`);
    }
  },

  "phi is 0 for whoever is unknown, and small for whoever is fresh": async (fixture) => {
    await untilAllAlive(fixture);
    const member = fixture.member(nodeAt(fixture, 0));
    equal(member.phi(stranger), 0, "the phi of a stranger");
    const phi = member.phi(nodeAt(fixture, 1));
    check(phi >= 0 && phi < 8, `the phi of a fresh member is ${phi}`);
  },

  "a healthy node believes itself to be healthy": async (fixture) => {
    await untilAllAlive(fixture);
    const { score, lastStallMs, frozen } = fixture.member(nodeAt(fixture, 0)).health();
    check(score >= 0 && score <= 7, `the score is ${score}`);
    check(lastStallMs >= 0, `the last stall is ${lastStallMs} ms`);
    equal(frozen, false, "frozen");
  },

  "shutting down ends streams and may be done twice": async (fixture) => {
    await untilAllAlive(fixture);
    const member = fixture.member(nodeAt(fixture, 0));
    const reader = new ChangeReader(member, fixture.time);
    await fixture.time.until(() => reader.changes.length > 0);
    await fixture.time.run(member.shutdown());
    await fixture.time.until(() => reader.isOver);
    await fixture.time.run(member.shutdown());
    await fixture.time.run(Promise.resolve(member[Symbol.asyncDispose]()));
  },
};
