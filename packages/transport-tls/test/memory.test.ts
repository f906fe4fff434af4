import { describe, expect, test } from "vitest";
import { giveBack } from "../src/give-back.ts";
import { MessageBuffers } from "../src/message-buffers.ts";

test("a large read of its own memory is freed at once; small ones and views are left alone", () => {
  const own = Buffer.allocUnsafeSlow(16_384);
  const view = Buffer.allocUnsafeSlow(32_768).subarray(0, 16_384);
  const small = Buffer.allocUnsafeSlow(4096);
  const pooled = Buffer.allocUnsafe(2048);
  const shared = new Uint8Array(new SharedArrayBuffer(16_384));
  for (const read of [own, view, small, pooled, shared]) giveBack(read);
  expect(own.buffer.byteLength).toBe(0);
  expect([view, small, pooled, shared].map(({ length }) => length)).toEqual([16_384, 4096, 2048, 16_384]);
});

describe("memory for messages", () => {
  const mib = 1024 * 1024;

  test("is used again for a message of the same length, once", () => {
    const buffers = new MessageBuffers();
    const first = buffers.take(mib);
    expect(buffers.take(mib) === first).toBe(false);
    buffers.give(first);
    expect(buffers.take(mib - 1).buffer === first.buffer).toBe(false);
    expect(buffers.take(mib) === first).toBe(true);
    expect(buffers.take(mib) === first).toBe(false);
  });

  test("is kept up to 4 MiB, the newest, and never where it is part of other memory", () => {
    const buffers = new MessageBuffers();
    const given = Array.from({ length: 5 }, () => buffers.take(mib));
    const part = Buffer.allocUnsafeSlow(2 * mib).subarray(0, mib);
    const large = buffers.take(5 * mib);
    for (const message of [...given, part, large]) buffers.give(message);
    expect(buffers.take(5 * mib) === large).toBe(false);
    const taken = Array.from({ length: 5 }, () => buffers.take(mib));
    // Where among those given each of them was; the first one given had to make room.
    expect(taken.map((message) => [...given, part].indexOf(message))).toEqual([1, 2, 3, 4, -1]);
    buffers.give(given[1] as Uint8Array);
    buffers.clear();
    expect(buffers.take(mib) === given[1]).toBe(false);
  });
});
