import { check, collect, equal, rejects, started, streamOf } from "../case.ts";
import type { FaceFixture } from "../face.ts";
import { apply, type Body, defaultFormat, FaceWatcher, get, namesOf, running } from "./kit.ts";

/** Every verb, as it answers where the face does not run. */
async function expectNotRunning(fixture: FaceFixture): Promise<void> {
  const { face, selector, time } = fixture;
  const { ref, body } = fixture.sample("a", 1);
  const { signal } = new AbortController();
  const verbs: Readonly<Record<string, () => Promise<unknown>>> = {
    apply: () => face.apply({ format: defaultFormat(fixture), body }),
    get: () => face.get(ref),
    list: () => face.list(selector),
    delete: () => face.delete(ref),
    watch: () => collect(face.watch(selector, { signal })),
    snapshot: () => collect(face.snapshot()),
    restore: () => face.restore(streamOf([])),
    ...(face.leases.supported
      ? { lease: () => face.leases.grant({ ttlMs: 60_000 }), leases: () => face.leases.list() }
      : {}),
  };
  for (const [verb, call] of Object.entries(verbs)) {
    // A verb may also throw at once: both are a refusal.
    const refusal = (async (): Promise<unknown> => call())();
    await rejects(time.run(started(refusal)), ["FACE_NOT_RUNNING"], verb);
  }
}

/** Starting and stopping, counts, snapshots. */
export const lifeCases: Readonly<Record<string, Body>> = {
  "a face that was only made does not run, and every verb is FACE_NOT_RUNNING": async (fixture) => {
    equal(fixture.face.isRunning(), false, "isRunning");
    await expectNotRunning(fixture);
  },

  "start brings it to running, shutdown back, and both again": async (fixture) => {
    const { face, time } = fixture;
    const { ref } = fixture.sample("a", 1);
    for (let round = 0; round < 2; round += 1) {
      await running(fixture);
      equal(face.isRunning(), true, "after start");
      if (round === 0) await apply(fixture, fixture.sample("a", 1));
      equal((await get(fixture, ref)).ref.name, "a", "what is there");
      await time.run(face.shutdown());
      equal(face.isRunning(), false, "after shutdown");
    }
    await expectNotRunning(fixture);
  },

  "shutting down twice or before the start is no error, and disposing ends it": async (fixture) => {
    const { face, time } = fixture;
    await time.run(face.shutdown());
    await running(fixture);
    await time.run(face.shutdown());
    await time.run(face.shutdown());
    await running(fixture);
    await time.run(Promise.resolve(face[Symbol.asyncDispose]()));
    equal(face.isRunning(), false, "after disposing");
  },

  "the manifest says which face it is and which formats it speaks": async ({ face }) => {
    const { manifest } = face;
    check(manifest.face.name.length > 0, "the face has no name");
    check(manifest.face.kind.protocol.length > 0, "the face has no protocol");
    check(manifest.formats.length > 0, "no formats");
    equal(new Set(manifest.formats).size, manifest.formats.length, "how many formats differ");
  },

  "resources and subscribers are counted": async (fixture) => {
    await running(fixture);
    const count = (): readonly number[] => {
      const { resources, subscribers } = fixture.face.counts();
      return [resources, subscribers];
    };
    equal(count(), [0, 0], "at first");
    await apply(fixture, fixture.sample("a", 1));
    await apply(fixture, fixture.sample("b", 1));
    await apply(fixture, fixture.sample("b", 2));
    const watcher = new FaceWatcher(fixture);
    await watcher.until(2);
    equal(count(), [2, 1], "two resources, one watcher");
    await watcher.stop();
    await fixture.time.run(fixture.face.delete(fixture.sample("a", 1).ref));
    await fixture.time.until(() => fixture.face.counts().subscribers === 0);
    equal(count(), [1, 0], "after a deletion and the watch's end");
  },

  "a snapshot brings back what was there": async (fixture) => {
    const { face, selector, time } = fixture;
    await running(fixture);
    const a = fixture.sample("a", 1);
    await apply(fixture, a);
    const before = await get(fixture, a.ref);
    const chunks = await time.run(collect(face.snapshot()));
    await apply(fixture, fixture.sample("a", 2));
    await apply(fixture, fixture.sample("b", 1));
    const revision = await time.run(face.restore(streamOf(chunks)));
    equal(namesOf(await time.run(face.list(selector))), ["a"], "what is listed");
    equal((await get(fixture, a.ref)).body, before.body, "the body");
    check(revision > before.revision, `restored at ${revision}, the resource was written at ${before.revision}`);
  },

  "a damaged snapshot is refused, and nothing changes": async (fixture) => {
    const { face, selector, time } = fixture;
    await running(fixture);
    await apply(fixture, fixture.sample("a", 1));
    const chunks = await time.run(collect(face.snapshot()));
    const bytes = Uint8Array.from(chunks.flatMap((chunk) => [...chunk]));
    await apply(fixture, fixture.sample("b", 1));
    const damaged = bytes.slice();
    const middle = damaged.length >> 1;
    damaged[middle] = (damaged[middle] as number) ^ 1;
    for (const [what, snapshot] of [
      ["a flipped bit", damaged],
      ["a missing end", bytes.slice(0, -3)],
    ] as const) {
      await rejects(time.run(face.restore(streamOf([snapshot]))), [], what);
    }
    equal(namesOf(await time.run(face.list(selector))), ["a", "b"], "what is listed");
  },
};
