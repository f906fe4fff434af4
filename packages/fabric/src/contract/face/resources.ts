import type { Revision } from "../../ids.ts";
import type { ResourceFormat } from "../../resource.ts";
import { check, equal, rejects } from "../case.ts";
import { apply, type Body, defaultFormat, get, namesOf, running } from "./kit.ts";

const plainFormats: readonly ResourceFormat[] = ["yaml", "json", "hcl", "native"];

/** Applying, reading, listing and deleting. */
export const resourceCases: Readonly<Record<string, Body>> = {
  "applying creates, applying another content updates, applying the same again changes nothing": async (fixture) => {
    await running(fixture);
    const first = fixture.sample("a", 1);
    const created = await apply(fixture, first);
    equal([created.outcome, created.ref], ["created", first.ref], "the first");
    const updated = await apply(fixture, fixture.sample("a", 2));
    equal(updated.outcome, "updated", "another content");
    check(updated.revision > created.revision, `updated at ${updated.revision}, created at ${created.revision}`);
    const unchanged = await apply(fixture, fixture.sample("a", 2));
    equal([unchanged.outcome, unchanged.revision], ["unchanged", updated.revision], "the same again");
    equal((await get(fixture, first.ref)).revision, updated.revision, "the revision that is read");
  },

  "what get gives can be applied again and changes nothing": async (fixture) => {
    await running(fixture);
    const sample = fixture.sample("a", 1);
    const { revision } = await apply(fixture, sample);
    const stored = await get(fixture, sample.ref);
    equal([stored.ref, stored.revision, stored.format], [sample.ref, revision, defaultFormat(fixture)], "what is read");
    equal((await apply(fixture, { body: stored.body })).outcome, "unchanged", "the outcome of applying it");
  },

  "a stale read says how old it is, and any other does not": async (fixture) => {
    await running(fixture);
    const { ref } = await apply(fixture, fixture.sample("a", 1)).then(() => fixture.sample("a", 1));
    for (const consistency of ["stale", "linearizable"] as const) {
      const found = await fixture.time.run(fixture.face.get(ref, { consistency }));
      const listed = await fixture.time.run(fixture.face.list({}, { consistency }));
      for (const [what, { ageMs }] of [["get", found] as const, ["list", listed] as const]) {
        const fits = consistency === "stale" ? ageMs !== undefined && ageMs >= 0 : ageMs === undefined;
        check(fits, `the age of a ${consistency} ${what} is ${String(ageMs)}`);
      }
    }
  },

  "a native body comes back byte for byte": async (fixture) => {
    // A face whose samples are in another format keeps what they say, not their bytes.
    if (defaultFormat(fixture) !== "native") return;
    await running(fixture);
    const sample = fixture.sample("a", 1);
    await apply(fixture, sample);
    equal((await get(fixture, sample.ref)).body, sample.body, "the bytes");
  },

  "every format of the manifest can be read": async (fixture) => {
    await running(fixture);
    const sample = fixture.sample("a", 1);
    await apply(fixture, sample);
    for (const format of fixture.face.manifest.formats) {
      const stored = await fixture.time.run(fixture.face.get(sample.ref, { format }));
      equal(stored.format, format, "the format");
      check(stored.body.length > 0, `the ${format} body is empty`);
    }
  },

  "a format that the face does not speak is FORMAT_UNSUPPORTED, applying and reading": async (fixture) => {
    await running(fixture);
    const sample = fixture.sample("a", 1);
    await apply(fixture, sample);
    const foreign = plainFormats.filter((format) => !fixture.face.manifest.formats.includes(format));
    for (const format of [...foreign, "toml" as ResourceFormat]) {
      await rejects(
        fixture.time.run(fixture.face.apply({ format, body: sample.body })),
        ["FORMAT_UNSUPPORTED"],
        `apply ${format}`,
      );
      await rejects(
        fixture.time.run(fixture.face.get(sample.ref, { format })),
        ["FORMAT_UNSUPPORTED"],
        `get ${format}`,
      );
    }
  },

  "a body that cannot be read is FORMAT_INVALID, and nothing changes": async (fixture) => {
    await running(fixture);
    const broken = fixture.face.apply({
      format: defaultFormat(fixture),
      body: fixture.malformed,
      source: "broken.txt",
    });
    await rejects(fixture.time.run(broken), ["FORMAT_INVALID"], "the application");
    equal(fixture.face.counts().resources, 0, "how many resources there are");
  },

  "a resource that is not there is FACE_RESOURCE_NOT_FOUND, reading and deleting, before and after": async (
    fixture,
  ) => {
    const { face, time } = fixture;
    await running(fixture);
    const { ref } = fixture.sample("a", 1);
    await rejects(time.run(face.get(ref)), ["FACE_RESOURCE_NOT_FOUND"], "reading before");
    await rejects(time.run(face.delete(ref)), ["FACE_RESOURCE_NOT_FOUND"], "deleting before");
    const { revision } = await apply(fixture, fixture.sample("a", 1));
    const deleted = await time.run(face.delete(ref));
    check(deleted.revision > revision, `deleted at ${deleted.revision}, created at ${revision}`);
    await rejects(time.run(face.get(ref)), ["FACE_RESOURCE_NOT_FOUND"], "reading after");
    await rejects(time.run(face.delete(ref)), ["FACE_RESOURCE_NOT_FOUND"], "deleting after");
    equal((await apply(fixture, fixture.sample("a", 1))).outcome, "created", "the outcome of applying it again");
  },

  "ifRevision lets the holder of the newest write, and refuses others with FACE_CONFLICT": async (fixture) => {
    const { face, time } = fixture;
    await running(fixture);
    const created = await apply(fixture, fixture.sample("a", 1));
    const updated = await apply(fixture, fixture.sample("a", 2), created.revision);
    await rejects(
      apply(fixture, fixture.sample("a", 3), created.revision),
      ["FACE_CONFLICT"],
      "applying on an old revision",
    );
    const { ref } = fixture.sample("a", 1);
    const late = face.delete(ref, { ifRevision: created.revision });
    await rejects(time.run(late), ["FACE_CONFLICT"], "deleting at an old revision");
    equal((await get(fixture, ref)).revision, updated.revision, "the revision that is there");
    await time.run(face.delete(ref, { ifRevision: updated.revision }));
    const gone = apply(fixture, fixture.sample("a", 4), updated.revision);
    await rejects(gone, ["FACE_CONFLICT", "FACE_RESOURCE_NOT_FOUND"], "applying on a revision of what is gone");
  },

  "a body of several resources is applied in order, in one revision": async (fixture) => {
    // A format that holds one resource has nothing to show here.
    if (fixture.bundle === undefined) return;
    await running(fixture);
    const samples = ["c", "a", "b"].map((name) => fixture.sample(name, 1));
    const body = fixture.bundle(samples);
    const applied = await fixture.time.run(fixture.face.apply({ format: defaultFormat(fixture), body }));
    equal(
      applied.map(({ ref }) => ref.name),
      ["c", "a", "b"],
      "the names",
    );
    equal(new Set(applied.map(({ revision }) => revision)).size, 1, "how many revisions they have");
  },

  "a body whose last resource is wrong changes nothing": async (fixture) => {
    if (fixture.bundle === undefined) return;
    await running(fixture);
    const wrong = { ref: fixture.sample("z", 1).ref, body: fixture.malformed };
    const body = fixture.bundle([fixture.sample("a", 1), wrong]);
    await rejects(
      fixture.time.run(fixture.face.apply({ format: defaultFormat(fixture), body })),
      ["FORMAT_INVALID"],
      "applying it",
    );
    equal(fixture.face.counts().resources, 0, "how many resources there are");
  },

  "a list holds what the selector matches, each with its body and revision": async (fixture) => {
    const { face, selector, time } = fixture;
    await running(fixture);
    equal((await time.run(face.list(selector))).items, [], "an empty list");
    const applied = [];
    for (const name of ["b", "a", "c"]) applied.push(await apply(fixture, fixture.sample(name, 1)));
    const list = await time.run(face.list(selector));
    equal(namesOf(list).toSorted(), ["a", "b", "c"], "the names");
    equal(list.next, undefined, "where to go on");
    check(list.revision >= (applied.at(-1)?.revision ?? 0), `listed at ${list.revision}`);
    for (const item of list.items) {
      const alone = await get(fixture, item.ref);
      equal(
        [item.body, item.revision, item.format],
        [alone.body, alone.revision, alone.format],
        `the item ${item.ref.name}`,
      );
    }
    const nothing = await time.run(face.list({ ...selector, kind: "NoSuchKind" }));
    equal(nothing.items, [], "a list of another kind");
  },

  "pages of a list show one revision, whatever is written meanwhile": async (fixture) => {
    const { face, selector, time } = fixture;
    await running(fixture);
    const names = Array.from({ length: 10 }, (_, index) => `name-${index}`);
    for (const name of names) await apply(fixture, fixture.sample(name, 1));
    const seen: string[] = [];
    const revisions = new Set<Revision>();
    let next: string | undefined;
    for (let page = 0; page < 20; page += 1) {
      const list = await time.run(face.list(selector, { limit: 3, ...(next === undefined ? {} : { next }) }));
      check(list.items.length <= 3, `a page of ${list.items.length} items`);
      seen.push(...namesOf(list));
      revisions.add(list.revision);
      ({ next } = list);
      if (next === undefined) break;
      await apply(fixture, fixture.sample(`late-${page}`, 1));
      await time.run(face.delete(fixture.sample(names[9 - page] ?? "", 1).ref));
    }
    equal(seen.toSorted(), names, "the names on all pages");
    equal(revisions.size, 1, "how many revisions the pages have");
  },

  "a page token that nobody gave is refused": async (fixture) => {
    await running(fixture);
    await apply(fixture, fixture.sample("a", 1));
    await rejects(fixture.time.run(fixture.face.list(fixture.selector, { next: "not a token" })), [], "the list");
  },
};
