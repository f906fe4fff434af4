import { check, collect, equal, rejects } from "../case.ts";
import { type Body, load, never, pattern, store } from "./kit.ts";

/** Several stores together. */
export const peerCases: Readonly<Record<string, Body>> = {
  "a blob that another store holds is fetched from there": async (fixture) => {
    const { left, right, time } = fixture;
    for (const length of [0, 1000, 1024 * 1024 + 5]) {
      const bytes = pattern(length, 3);
      const hash = await store(fixture, right, bytes);
      equal(await time.run(left.has(hash)), false, `left has ${length} bytes before`);
      equal(await load(fixture, left, hash), bytes, `${length} bytes`);
    }
  },

  "many readers fetch the same blob at once": async (fixture) => {
    const { left, right, third } = fixture;
    const bytes = pattern(500_000);
    const hash = await store(fixture, right, bytes);
    const reads = [left, left, third, third, right].map((at) => collect(at.read(hash, { signal: never })));
    for (const chunks of await fixture.time.run(Promise.all(reads))) {
      equal(
        chunks.reduce((sum, { length }) => sum + length, 0),
        bytes.length,
        "how many bytes were read",
      );
    }
  },

  "bytes that are not the blob's are never yielded: with no other holder it is CONTENT_CORRUPT": async (fixture) => {
    const { left, right, time } = fixture;
    const bytes = pattern(1024 * 1024 + 1000);
    const hash = await store(fixture, right, bytes);
    await fixture.corruptRight();
    const seen: Uint8Array[] = [];
    const read = async (): Promise<void> => {
      for await (const chunk of left.read(hash, { signal: never })) seen.push(chunk);
    };
    await rejects(time.run(read()), ["CONTENT_CORRUPT"], "the read");
    let offset = 0;
    for (const chunk of seen) {
      equal(chunk, bytes.subarray(offset, offset + chunk.length), `what was yielded at ${offset}`);
      offset += chunk.length;
    }
    check(offset < bytes.length, "the whole blob was yielded by a holder of wrong bytes");
    equal(await time.run(left.has(hash)), false, "left has it");
  },

  "one honest holder is enough": async (fixture) => {
    const { left, right, third } = fixture;
    const bytes = pattern(1024 * 1024 + 1000);
    const hash = await store(fixture, right, bytes);
    await fixture.corruptRight();
    equal(await store(fixture, third, bytes), hash, "the hash");
    equal(await load(fixture, left, hash), bytes, "what was read");
  },

  "a blob that its only holder has dropped is CONTENT_NOT_FOUND": async (fixture) => {
    const { left, right, time } = fixture;
    const hash = await store(fixture, right, pattern(1000));
    equal(await time.run(right.collect()), 1, "how many were dropped");
    await rejects(time.run(collect(left.read(hash, { signal: never }))), ["CONTENT_NOT_FOUND"], "the read");
  },

  "a holder that has gone is no holder": async (fixture) => {
    const { left, right, time } = fixture;
    const hash = await store(fixture, right, pattern(1000));
    await time.run(Promise.resolve(right[Symbol.asyncDispose]()));
    await rejects(time.run(collect(left.read(hash, { signal: never }))), ["CONTENT_NOT_FOUND"], "the read");
  },
};
