import { bytesOf, check, collect, equal, rejects, started, streamOf } from "../case.ts";
import { type Body, load, never, pattern, store, unknownHash } from "./kit.ts";

/** The length of a chunk that `read` may yield at most. */
const maxChunkBytes = 1024 * 1024;

/** From BLAKE3's test vectors, and of the text "abc": a blob has the same name everywhere. */
const vectors: readonly (readonly [string, Uint8Array, string])[] = [
  ["nothing", new Uint8Array(), "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"],
  ["one byte", pattern(1), "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213"],
  ["abc", bytesOf("abc"), "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"],
  ["1,024 bytes", pattern(1024), "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7"],
  ["1,025 bytes", pattern(1025), "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444"],
  ["102,400 bytes", pattern(102_400), "bc3e3d41a1146b069abffad3c0d44860cf664390afce4d9661f7902e7943e085"],
];

/** One store by itself. */
export const blobCases: Readonly<Record<string, Body>> = {
  "a blob's hash is BLAKE3 over its bytes": async (fixture) => {
    for (const [what, bytes, hash] of vectors) {
      equal(await store(fixture, fixture.left, bytes), hash, what);
    }
  },

  "a stored blob is held and comes back as it was": async (fixture) => {
    const { left, time } = fixture;
    for (const length of [0, 1, 65_536, 65_537, 1024 * 1024 + 11]) {
      const bytes = pattern(length, length % 100);
      const hash = await store(fixture, left, bytes);
      equal(await time.run(left.has(hash)), true, `has ${length} bytes`);
      equal(await load(fixture, left, hash), bytes, `${length} bytes`);
    }
  },

  "the pieces in which a blob comes do not matter": async (fixture) => {
    const bytes = pattern(200_000);
    const hashes = new Set<string>();
    for (const size of [1000, 65_536, 199_999, 1_000_000]) hashes.add(await store(fixture, fixture.left, bytes, size));
    equal(hashes.size, 1, "how many hashes it got");
    const withEmpty = streamOf([new Uint8Array(), bytes.subarray(0, 5), new Uint8Array(), bytes.subarray(5)]);
    hashes.add(await fixture.time.run(fixture.left.put(withEmpty, { signal: never })));
    equal(hashes.size, 1, "how many hashes it got with empty pieces");
  },

  "a read yields chunks of at most 1 MiB": async (fixture) => {
    const hash = await store(fixture, fixture.left, pattern(2 * 1024 * 1024 + 1), 2 * 1024 * 1024);
    const chunks = await fixture.time.run(collect(fixture.left.read(hash, { signal: never })));
    const largest = Math.max(...chunks.map(({ length }) => length));
    check(largest <= maxChunkBytes, `a chunk of ${largest} bytes`);
  },

  "a blob that nobody holds is not held and CONTENT_NOT_FOUND": async (fixture) => {
    const { left, time } = fixture;
    equal(await time.run(left.has(unknownHash)), false, "has");
    await rejects(time.run(collect(left.read(unknownHash, { signal: never }))), ["CONTENT_NOT_FOUND"], "read");
  },

  "the same blob stored by many at once is one blob": async (fixture) => {
    const bytes = pattern(300_000);
    const puts = Array.from({ length: 8 }, () => fixture.left.put(streamOf([bytes]), { signal: never }));
    equal(new Set(await fixture.time.run(Promise.all(puts))).size, 1, "how many hashes it got");
    equal(await fixture.time.run(fixture.left.collect()), 1, "how many were collected");
  },

  "a blob whose source fails, or whose storing is aborted, is not there": async (fixture) => {
    const { left, time } = fixture;
    const bytes = pattern(200_000);
    const whole = await store(fixture, fixture.right, bytes);
    const broken = async function* (): AsyncGenerator<Uint8Array> {
      yield bytes.subarray(0, 100_000);
      throw new Error("the source failed");
    };
    const failure = await time.run(left.put(broken(), { signal: never }).then(() => "stored", String));
    check(failure.includes("the source failed"), `storing ended with "${failure}"`);
    const controller = new AbortController();
    const endless = async function* (): AsyncGenerator<Uint8Array> {
      yield bytes.subarray(0, 100_000);
      controller.abort(new Error("changed my mind"));
      yield bytes.subarray(100_000);
    };
    const aborted = await time.run(left.put(endless(), { signal: controller.signal }).then(() => "stored", String));
    check(aborted !== "stored", "an aborted blob was stored");
    equal(await time.run(left.has(whole)), false, "has");
    equal(await time.run(left.collect()), 0, "how many there were to collect");
  },

  "collecting drops what is not pinned, and says how much": async (fixture) => {
    const { left, time } = fixture;
    const [kept, dropped] = [await store(fixture, left, pattern(1000)), await store(fixture, left, pattern(2000))];
    const unpin = left.pin(kept);
    equal(await time.run(left.collect()), 1, "how many were dropped");
    equal([await time.run(left.has(kept)), await time.run(left.has(dropped))], [true, false], "what is held");
    equal(await load(fixture, left, kept), pattern(1000), "the pinned blob");
    unpin();
    equal(await time.run(left.collect()), 1, "how many were dropped after the pin was taken away");
    equal(await time.run(left.has(kept)), false, "what was pinned is held");
  },

  "each pin counts by itself, and is taken away once": async (fixture) => {
    const { left, time } = fixture;
    const hash = await store(fixture, left, pattern(1000));
    const [first, second] = [left.pin(hash), left.pin(hash)];
    first();
    first();
    equal(await time.run(left.collect()), 0, "how many were dropped with a pin left");
    equal(await time.run(left.has(hash)), true, "has");
    second();
    equal(await time.run(left.collect()), 1, "how many were dropped with none left");
  },

  "a blob may be pinned before it is there": async (fixture) => {
    const { left, time } = fixture;
    const hash = await store(fixture, fixture.right, pattern(1000));
    const unpin = left.pin(hash);
    equal(await store(fixture, left, pattern(1000)), hash, "the hash");
    equal(await time.run(left.collect()), 0, "how many were dropped");
    unpin();
  },

  "a blob that is being read is in use and stays whole": async (fixture) => {
    const { left, time } = fixture;
    const bytes = pattern(2 * 1024 * 1024);
    const hash = await store(fixture, left, bytes);
    const stream = left.read(hash, { signal: never })[Symbol.asyncIterator]();
    const chunks: Uint8Array[] = [];
    const first = await time.run(stream.next());
    if (first.done !== true) chunks.push(first.value);
    equal(await time.run(left.collect()), 0, "how many were dropped while one is read");
    for (let next = await time.run(stream.next()); next.done !== true; next = await time.run(stream.next()))
      chunks.push(next.value);
    equal(
      chunks.reduce((sum, { length }) => sum + length, 0),
      bytes.length,
      "how many bytes were read",
    );
    equal(await time.run(left.collect()), 1, "how many were dropped afterwards");
  },

  "a read whose signal aborts ends with an error": async (fixture) => {
    const { left, time } = fixture;
    const hash = await store(fixture, left, pattern(2 * 1024 * 1024));
    const controller = new AbortController();
    const stream = left.read(hash, { signal: controller.signal })[Symbol.asyncIterator]();
    await time.run(stream.next());
    controller.abort(new Error("changed my mind"));
    const drain = async (): Promise<string> => {
      while ((await stream.next()).done !== true);
      return "ended";
    };
    const outcome = await time.run(started(drain().catch(() => "rejected")));
    equal(outcome, "rejected", "the read");
  },
};
