import { expect, test } from "vitest";
import { bytesOf, decodeMessage, encodeMessage, integerOf } from "../src/etcd/protobuf.ts";

const text = (value: string): Uint8Array => new TextEncoder().encode(value);

test("the example of the specification is encoded as it says", () => {
  // https://protobuf.dev/programming-guides/encoding/#simple and #length-types
  expect([...encodeMessage([[1, 150]])]).toEqual([0x08, 0x96, 0x01]);
  expect([...encodeMessage([[2, text("testing")]])]).toEqual([0x12, 0x07, ...text("testing")]);
});

test("fields come back as they were, the largest integer included", () => {
  const fields = decodeMessage(
    encodeMessage([
      [1, text("key")],
      [4, 2n ** 64n - 1n],
      [7, true],
      [300, new Uint8Array(1000).fill(3)],
    ]),
  );
  expect(bytesOf(fields, 1)).toEqual(Buffer.from("key"));
  expect(integerOf(fields, 4)).toBe(2n ** 64n - 1n);
  expect(integerOf(fields, 7)).toBe(1n);
  expect(bytesOf(fields, 300)).toHaveLength(1000);
});

test("a field that is missing is empty or zero, and one of an unknown number is passed over", () => {
  const fields = decodeMessage(Uint8Array.of(0x0d, 1, 2, 3, 4, 0x11, 1, 2, 3, 4, 5, 6, 7, 8, 0x18, 5));
  expect(bytesOf(fields, 9)).toHaveLength(0);
  expect(integerOf(fields, 9)).toBe(0n);
  expect(integerOf(fields, 3)).toBe(5n);
});

test("bytes that are cut short are no message", () => {
  expect(() => decodeMessage(Uint8Array.of(0x12, 0x07, 0x74))).toThrow("reaches beyond");
  expect(() => decodeMessage(Uint8Array.of(0x08, 0x96))).toThrow("has no end");
});
