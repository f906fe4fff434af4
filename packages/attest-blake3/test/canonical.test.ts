import type { CanonicalValue } from "@revoada/attest-blake3";
import { decodeCanonical, encodeCanonical } from "@revoada/attest-blake3";
import { decode } from "cborg";
import fc from "fast-check";
import { describe, expect, test } from "vitest";

const limits = { maxBytes: 1024 * 1024 };

function bytesOf(hex: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hex, "hex"));
}

const refused: readonly (readonly [string, string])[] = [
  ["an integer that is longer than it need be", "1801"],
  ["an integer beyond 2^53 - 1", "1b0020000000000000"],
  ["a half float", "f93c00"],
  ["a single float", "fa3f800000"],
  ["a double", "fb3ff0000000000000"],
  ["undefined", "f7"],
  ["an unknown simple value", "e0"],
  ["a tag", "c000"],
  ["a list of indefinite length", "9f00ff"],
  ["a text of indefinite length", "7f6161ff"],
  ["a length that is longer than it need be", "980101"],
  ["a map with a key twice", "a2616100616101"],
  ["a map whose keys are not sorted", "a2616200616101"],
  ["a map with a key that is not text", "a10000"],
  ["text that is not UTF-8", "61ff"],
  ["two items", "0000"],
  ["nothing", ""],
  ["bytes that end early", "4261"],
  ["a list that claims more than there is", "9b001fffffffffffff00"],
  ["a map that claims more than there is", "bb000fffffffffffff00"],
];

describe("canonical bytes", () => {
  test.each(refused)("%s is refused", (_name, hex) => {
    expect(() => decodeCanonical(bytesOf(hex), limits)).toThrow(
      expect.objectContaining({ code: "ATTEST_NOT_CANONICAL" }),
    );
  });

  test("nesting of a million levels is refused and does not exhaust the stack", () => {
    const bytes = new Uint8Array(1024 * 1024).fill(0x81);
    expect(() => decodeCanonical(bytes, limits)).toThrow("more than 16 levels");
  });

  test("bytes above the limit are refused before they are read", () => {
    expect(() => decodeCanonical(new Uint8Array(11), { maxBytes: 10 })).toThrow("11 bytes, expected at most 10");
  });

  test.each([
    ["a fraction", 1.5],
    ["NaN", Number.NaN],
    ["an integer beyond 2^53 - 1", 2 ** 53],
    ["minus zero", -0],
    ["half of a surrogate pair", "\ud800"],
    ["undefined", undefined],
    ["a date", new Date(0)],
    ["a bigint", 1n],
  ])("%s has no canonical encoding", (_name, value) => {
    expect(() => encodeCanonical([value as CanonicalValue])).toThrow(
      expect.objectContaining({ code: "ATTEST_NOT_CANONICAL" }),
    );
  });

  test("a value that holds itself is refused and does not exhaust the stack", () => {
    const loop: unknown[] = [];
    loop.push(loop);
    expect(() => encodeCanonical(loop as CanonicalValue)).toThrow("more than 16 levels");
  });

  test("every value comes back, and no other bytes decode to it", () => {
    const value = fc.letrec<{ node: CanonicalValue }>((tie) => ({
      node: fc.oneof(
        { depthSize: "small", withCrossShrink: true },
        fc.constant(null),
        fc.boolean(),
        fc.maxSafeInteger().map((integer) => integer + 0),
        fc.string({ unit: "grapheme" }),
        fc.uint8Array({ maxLength: 40 }),
        fc.array(tie("node"), { maxLength: 4 }),
        fc.dictionary(fc.string({ maxLength: 4 }), tie("node"), { maxKeys: 4, noNullPrototype: true }),
      ),
    })).node;
    fc.assert(
      fc.property(value, (plain) => {
        const bytes = encodeCanonical(plain);
        expect(decodeCanonical(bytes, limits)).toEqual(plain);
      }),
    );
  });

  test("whatever decodes is its own encoding", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 24 }), (bytes) => {
        let value: CanonicalValue;
        try {
          value = decodeCanonical(bytes, limits);
        } catch (error) {
          expect(error).toMatchObject({ code: "ATTEST_NOT_CANONICAL" });
          return;
        }
        expect(encodeCanonical(value)).toEqual(bytes);
      }),
      { numRuns: 2000 },
    );
  });
});

describe("decoding that proves canonicity while it reads", () => {
  /** What it replaced: a strict decoder, then encoding again and comparing. */
  function byEncodingAgain(bytes: Uint8Array): CanonicalValue | undefined {
    try {
      const value = decode(bytes, { strict: true, allowUndefined: false, allowBigInt: false }) as CanonicalValue;
      return Buffer.from(encodeCanonical(value)).equals(bytes) ? value : undefined;
    } catch {
      return undefined;
    }
  }

  test("takes what encoding again would have taken, and refuses the rest, for bytes near to canonical ones", () => {
    const sample = encodeCanonical([1, -25, "é", new Uint8Array(30), { a: [null, true], bb: 70_000, c: "x" }, 2 ** 40]);
    let [taken, refusedCount] = [0, 0];
    for (let offset = 0; offset < sample.length; offset += 1) {
      for (let value = 0; value < 256; value += 1) {
        const bytes = sample.slice();
        bytes[offset] = value;
        const expected = byEncodingAgain(bytes);
        let found: CanonicalValue | undefined;
        try {
          found = decodeCanonical(bytes, limits);
        } catch (error) {
          expect(error).toMatchObject({ code: "ATTEST_NOT_CANONICAL" });
        }
        expect(found, `byte ${offset} is ${value}`).toEqual(expected);
        if (expected === undefined) refusedCount += 1;
        else taken += 1;
      }
    }
    expect(taken).toBeGreaterThan(1000);
    expect(refusedCount).toBeGreaterThan(1000);
  });

  test("keeps a mark of byte order and a key that is the name of the prototype as they are", () => {
    const value = ["\ufeffx", Object.fromEntries([["__proto__", 1]])];
    expect(decodeCanonical(encodeCanonical(value), limits)).toEqual(value);
  });
});
