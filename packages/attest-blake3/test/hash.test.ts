import { blake3 } from "@noble/hashes/blake3.js";
import fc from "fast-check";
import { expect, test } from "vitest";
import { Hasher, hexOf, idBytes } from "../src/core/hash.ts";

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

test.each(vectors)("gives the official vectors of %i bytes", (length, plain, keyedHash) => {
  expect(hex(new Hasher().hash(vectorInput(length)))).toBe(plain);
  expect(hex(new Hasher({ key: vectorKey }).hash(vectorInput(length)))).toBe(keyedHash);
});

test("a hasher that is used again and again gives what a new one gives, with a key and without", () => {
  const plain = new Hasher();
  const keyed = new Hasher({ key: vectorKey });
  const inputs = fc.array(fc.tuple(fc.uint8Array({ maxLength: 3000 }), fc.nat(100)), { minLength: 1, maxLength: 6 });
  fc.assert(
    fc.property(inputs, (each) => {
      for (const [bytes, start] of each) {
        const view = bytes.subarray(start);
        expect(hex(plain.hash(view))).toBe(hex(blake3(view)));
        expect(hex(keyed.hash(view))).toBe(hex(blake3(view, { key: vectorKey })));
      }
    }),
    { numRuns: 100 },
  );
});

test("an id that was asked for before is judged anew for another length", () => {
  const id = "ab".repeat(16);
  expect(idBytes(id, 16)).toEqual(new Uint8Array(16).fill(0xab));
  expect(() => idBytes(id, 32)).toThrow("expected 64 lower-case hex characters");
  expect(idBytes(id, 16)).toEqual(new Uint8Array(16).fill(0xab));
});

test("ids have their own bytes, however many were asked for before", () => {
  const ids = Array.from({ length: 5_000 }, (_, number) => number.toString(16).padStart(64, "0"));
  for (const id of [...ids, ...ids.toReversed()]) expect(hexOf(idBytes(id, 32))).toBe(id);
});
