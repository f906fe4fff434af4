import type { FormatAdapter, PlainValue, ResourceDocument } from "@revoada/fabric";
import fc from "fast-check";
import { expect } from "vitest";

const encoder = new TextEncoder();

export function bytesOf(text: string): Uint8Array {
  return encoder.encode(text);
}

export function textOf(bytes: Uint8Array): string {
  return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
}

export function decodeText(adapter: FormatAdapter, text: string): readonly ResourceDocument[] {
  return adapter.decode(bytesOf(text), "web.txt");
}

/** Asserts that a text is refused at a place, for a reason that holds these words. */
export function expectRefused(adapter: FormatAdapter, text: string, place: string, words: string): void {
  expect(() => decodeText(adapter, text)).toThrow(
    expect.objectContaining({ code: "FORMAT_INVALID", retryable: false, message: expect.stringContaining(words) }),
  );
  expect(() => decodeText(adapter, text)).toThrow(
    expect.objectContaining({ message: expect.stringMatching(placePattern(place)) }),
  );
}

function placePattern(place: string): RegExp {
  return new RegExp(`^web\\.txt${place === "" ? "" : `:${place}`}: `);
}

const key = fc
  .oneof(
    fc.string({ unit: "grapheme", maxLength: 8 }),
    fc.constantFrom("yes", "on", "null", "1", "<<", "a: b", "- x", "#", "~", "0x1f", "1:30", ""),
  )
  .filter((text) => !["__proto__", "constructor", "prototype"].includes(text));

const scalar = fc.oneof(
  fc.constant(null),
  fc.boolean(),
  fc.maxSafeInteger().map((integer) => integer + 0),
  fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e15, max: 1e15 }).map((double) => double + 0),
  fc.string({ unit: "grapheme" }),
  fc.constantFrom(
    "yes",
    "no",
    "null",
    "~",
    "1e3",
    "0o17",
    "012",
    "1:30",
    "2001-01-01",
    " padded ",
    "two\nlines\n",
    "tab\t",
    "---",
    "...",
    "#",
    "&a",
    "*a",
  ),
);

/** Plain values that JSON and YAML can say. */
export const plainValue: fc.Arbitrary<PlainValue> = fc.letrec<{ node: PlainValue }>((tie) => ({
  node: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    scalar,
    fc.array(tie("node"), { maxLength: 4 }),
    fc.dictionary(key, tie("node"), { maxKeys: 4, noNullPrototype: true }),
  ),
})).node;

/** Documents of the plain shape. */
export const plainDocument: fc.Arbitrary<ResourceDocument> = plainValue.map((spec) => ({
  ref: { kind: "Thing", name: "one" },
  value: { kind: "Thing", name: "one", spec },
}));
