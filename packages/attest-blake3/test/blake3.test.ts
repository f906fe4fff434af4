import { blake3 as reference } from "@noble/hashes/blake3.js";
import { encode as encodeCbor } from "cborg";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { CanonicalValue } from "@revoada/attest-blake3";
import { encodeCanonical } from "@revoada/attest-blake3";
import { blake3, blake3Key } from "../src/core/blake3.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

/** The input of the official test vectors: bytes that count from 0 to 250 again and again. */
function vectorInput(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => index % 251);
}

const vectorKey = new TextEncoder().encode("whats the Elvish word for friend");

/** Input length, hash and keyed hash, the first 32 bytes: from test_vectors.json of the BLAKE3 reference implementation. */
const vectors: readonly (readonly [number, string, string])[] = [
  [
    0,
    "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
    "92b2b75604ed3c761f9d6f62392c8a9227ad0ea3f09573e783f1498a4ed60d26",
  ],
  [
    1,
    "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213",
    "6d7878dfff2f485635d39013278ae14f1454b8c0a3a2d34bc1ab38228a80c95b",
  ],
];

describe("BLAKE3", () => {
  test.each(vectors)("gives the official vectors of %i bytes", (length, plain, keyedHash) => {
    expect(hex(blake3(vectorInput(length)))).toBe(plain);
    expect(hex(blake3(vectorInput(length), blake3Key(vectorKey)))).toBe(keyedHash);
  });

  test("gives what an audited implementation gives around every boundary of blocks, chunks and subtrees", () => {
    const key = blake3Key(vectorKey);
    const boundaries = [64, 128, 1024, 2048, 3072, 4096, 5120, 7168, 8192, 16_384, 31_744];
    const lengths = new Set([0, 1, 2, 3, 63, ...boundaries.flatMap((at) => [at - 1, at, at + 1, at + 65])]);
    for (const length of lengths) {
      const input = vectorInput(length);
      expect(hex(blake3(input)), `${length} bytes`).toBe(hex(reference(input)));
      expect(hex(blake3(input, key)), `${length} bytes with a key`).toBe(hex(reference(input, { key: vectorKey })));
    }
  });

  test("gives what an audited implementation gives for any bytes, also for views into others", () => {
    const pieces = fc.tuple(fc.uint8Array({ maxLength: 3000 }), fc.nat(100));
    fc.assert(
      fc.property(pieces, ([bytes, start]) => {
        const view = bytes.subarray(start);
        expect(hex(blake3(view))).toBe(hex(reference(view)));
      }),
      { numRuns: 100 },
    );
  });
});

describe("encoding", () => {
  const value: fc.Arbitrary<CanonicalValue> = fc.letrec<{ value: CanonicalValue }>((tie) => ({
    value: fc.oneof(
      { depthSize: "small", withCrossShrink: true },
      fc.constant(null),
      fc.boolean(),
      fc.maxSafeInteger().map((integer) => (Object.is(integer, -0) ? 0 : integer)),
      fc.string({ unit: "grapheme", maxLength: 60 }),
      fc.uint8Array({ maxLength: 300 }),
      fc.array(tie("value"), { maxLength: 30 }),
      fc.dictionary(fc.string({ unit: "grapheme", maxLength: 30 }), tie("value"), { maxKeys: 6 }),
    ),
  })).value;

  test("gives the bytes of an independent deterministic encoder", () => {
    fc.assert(
      fc.property(value, (each) => {
        expect(hex(encodeCanonical(each))).toBe(hex(encodeCbor(each)));
      }),
      { numRuns: 300 },
    );
  });

  test.each([23, 24, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1])(
    "writes the head of %i and of what is below zero as that encoder does",
    (integer) => {
      expect(hex(encodeCanonical(integer))).toBe(hex(encodeCbor(integer)));
      expect(hex(encodeCanonical(-integer))).toBe(hex(encodeCbor(-integer)));
    },
  );

  test("a value that is refused leaves nothing behind for the next one", () => {
    expect(() => encodeCanonical(["abc", 1.5])).toThrow(expect.objectContaining({ code: "ATTEST_NOT_CANONICAL" }));
    expect(hex(encodeCanonical(["abc"]))).toBe("8163616263");
  });
});
