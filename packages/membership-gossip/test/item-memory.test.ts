import { expect, test } from "vitest";
import { decodeFrame, encodeFrame } from "../src/core/frames.ts";
import { ItemMemory } from "../src/core/item-memory.ts";
import { encodeVerdict, type SignedItem, type Verdict } from "../src/core/items.ts";
import { RememberingReader } from "../src/core/reader.ts";
import { Refusal } from "../src/core/refusal.ts";
import { clusterId, identityOf, otherClusterId } from "./identities.ts";
import { fc } from "./property.ts";

const observer = identityOf(0);

function verdictOf(sequence: number): { readonly verdict: Verdict; readonly signed: SignedItem } {
  const verdict: Verdict = {
    observer: observer.id,
    observerGeneration: 7,
    sequence,
    subject: identityOf(1).id,
    generation: 8,
    incarnation: 0,
    opinion: "suspect",
  };
  // Of a Buffer, `slice` would be a view.
  const payload = new Uint8Array(encodeVerdict(clusterId, verdict));
  return { verdict, signed: { payload, signature: new Uint8Array(observer.sign(payload)) } };
}

const newsOf = (...items: readonly SignedItem[]): Uint8Array => encodeFrame(clusterId, { type: "news", items });

function itemsOf(reader: RememberingReader, bytes: Uint8Array): readonly SignedItem[] {
  const frame = reader.frame(bytes, clusterId);
  return frame.type === "news" ? frame.items : [];
}

test("an item that was read lately comes out of the next frame as the same object, with what it says", () => {
  const reader = new RememberingReader();
  const { verdict, signed } = verdictOf(1);
  const [first] = itemsOf(reader, newsOf(signed));
  const read = reader.item(first as SignedItem, clusterId);
  expect(read.item).toEqual({ kind: "verdict", verdict });
  const [again] = itemsOf(reader, newsOf(signed));
  expect(again).toBe(read.signed);
  expect(reader.item(again as SignedItem, clusterId)).toBe(read);
  // Also where it comes as bytes of its own.
  expect(reader.item({ payload: signed.payload.slice(), signature: signed.signature.slice() }, clusterId)).toBe(read);
});

test("an item that differs from a known one in a single bit is another item", () => {
  const reader = new RememberingReader();
  const { signed } = verdictOf(1);
  const known = reader.item(signed, clusterId).signed;
  const bits = 8 * (signed.payload.length + signed.signature.length);
  fc.assert(
    fc.property(fc.nat({ max: bits - 1 }), (bit) => {
      const altered = { payload: signed.payload.slice(), signature: signed.signature.slice() };
      const at = bit >>> 3;
      const [target, index] =
        at < altered.payload.length ? [altered.payload, at] : [altered.signature, at - altered.payload.length];
      target[index] = (target[index] ?? 0) ^ (1 << (bit & 7));
      const [found] = itemsOf(reader, newsOf(altered));
      expect(found).not.toBe(known);
      expect(found).toEqual(altered);
    }),
  );
});

test("frames read the same with a memory and without", () => {
  const memory = new ItemMemory(8);
  const items = Array.from({ length: 5 }, (_, sequence) => verdictOf(sequence));
  for (const { verdict, signed } of items.slice(0, 3)) memory.remember(signed, { kind: "verdict", verdict });
  const bytes = newsOf(...items.map(({ signed }) => signed));
  const plain = (frame: ReturnType<typeof decodeFrame>): readonly SignedItem[] =>
    frame.type === "news" ? frame.items.map(({ payload, signature }) => ({ payload, signature })) : [];
  expect(plain(decodeFrame(bytes, clusterId, memory))).toEqual(plain(decodeFrame(bytes, clusterId)));
});

test("of more items than fit the oldest are forgotten", () => {
  const memory = new ItemMemory(2);
  const items = [1, 2, 3].map(verdictOf);
  for (const { verdict, signed } of items) memory.remember(signed, { kind: "verdict", verdict });
  expect(items.map(({ signed }) => memory.recall(signed) !== undefined)).toEqual([false, true, true]);
});

test("what cannot be read is not remembered", () => {
  const reader = new RememberingReader();
  const { signed } = verdictOf(1);
  for (let time = 0; time < 2; time += 1) expect(() => reader.item(signed, otherClusterId)).toThrow(Refusal);
  expect(reader.item(signed, clusterId).item.kind).toBe("verdict");
});
