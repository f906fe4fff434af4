import fc from "fast-check";
import { expect, test } from "vitest";
import { decodeWire, encodeWire } from "../src/wire/cbor.ts";
import { WireFault } from "../src/wire/shape.ts";

/** A key that would reach for the prototype comes back as one that does not; a text of the same letters is a text. */
function withoutProto(_key: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [key === "__proto__" ? "__proto_" : key, inner]),
  );
}

test("plain values travel as they are", () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.uint8Array(), (value, bytes) => {
      const back = decodeWire(encodeWire([value, bytes])) as [unknown, Uint8Array];
      expect(JSON.stringify(back[0])).toBe(JSON.stringify(value, withoutProto));
      expect(Buffer.from(back[1])).toEqual(Buffer.from(bytes));
    }),
  );
});

test("any bytes are a value or a fault, and never anything else", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      try {
        decodeWire(bytes);
      } catch (error) {
        expect(error).toBeInstanceOf(WireFault);
      }
    }),
    { numRuns: 2_000 },
  );
});

test("what would cost more than its bytes is refused before it is decoded", () => {
  const refused: Readonly<Record<string, readonly number[]>> = {
    "the bytes end in the middle of an item": [0x5a, 0xff, 0xff, 0xff, 0xff],
    "a list or map claims more items than there are bytes": [0x9a, 0xff, 0xff, 0xff, 0xff],
    "tags are refused": [0xc1, 0x00],
    "indefinite lengths are refused": [0x9f, 0xff],
    "a key is not text": [0xa1, 0x01, 0x01],
    "a number is beyond 2^53 - 1": [0x1b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    "bytes follow the item": [0x01, 0x01],
    "a simple value is refused": [0xe0],
  };
  for (const [reason, bytes] of Object.entries(refused)) {
    expect(() => decodeWire(Uint8Array.from(bytes))).toThrow(reason);
  }
  expect(() => decodeWire(new Uint8Array(100_000).fill(0x81))).toThrow("more than 72 levels");
});
