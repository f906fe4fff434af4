import { decode, encode } from "cborg";
import { fc } from "./property.ts";
import { expect, test } from "vitest";
import { decodeFrame, encodeFrame, type Frame } from "../src/core/frames.ts";
import {
  decodeItem,
  encodePage,
  encodeRecord,
  encodeVerdict,
  type GossipRecord,
  type Opinion,
  type Page,
  type Verdict,
} from "../src/core/items.ts";
import { limits } from "../src/core/limits.ts";
import { Refusal } from "../src/core/refusal.ts";
import { clusterId, identityOf, otherClusterId } from "./identities.ts";

const counter = fc.nat({ max: Number.MAX_SAFE_INTEGER });
const id = fc.integer({ min: 0, max: 20 }).map((number) => identityOf(number).id);
const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const item = fc.record({ payload: fc.uint8Array({ maxLength: 300 }), signature: bytes(64) });
const prefix = id.map((each) => each.slice(0, 16));
const entry = fc.record({
  prefix,
  generation: counter,
  incarnation: counter,
  version: counter,
  tagHigh: fc.integer(),
  tagLow: fc.integer(),
});
const frame: fc.Arbitrary<Frame> = fc.oneof(
  fc.record({ type: fc.constant("open" as const), buckets: bytes(256), items: fc.array(item, { maxLength: 5 }) }),
  fc.record({
    type: fc.constant("digest" as const),
    complete: fc.array(fc.nat({ max: 31 }), { maxLength: 32 }),
    entries: fc.array(entry, { maxLength: 8 }),
    graves: fc.array(fc.record({ prefix, generation: counter, incarnation: counter }), { maxLength: 4 }),
    items: fc.array(item, { maxLength: 5 }),
  }),
  fc.record({
    type: fc.constant("exchange" as const),
    items: fc.array(item, { maxLength: 5 }),
    wants: fc.array(fc.record({ prefix, pages: fc.array(fc.nat({ max: 39 }), { maxLength: 5 }) }), { maxLength: 9 }),
  }),
  fc.record({ type: fc.constant("news" as const), items: fc.array(item, { maxLength: 5 }) }),
  fc.record({ type: fc.constant("word" as const), items: fc.array(item, { maxLength: 5 }) }),
  fc.record({ type: fc.constant("beat" as const), generation: counter, incarnation: counter, sequence: counter }),
  fc.constant({ type: "watch" as const }),
);

const record: fc.Arbitrary<GossipRecord> = fc.record({
  id,
  generation: counter,
  incarnation: counter,
  version: counter,
  status: fc.constantFrom("alive" as const, "left" as const),
  notAfterMs: counter,
  addresses: fc.array(fc.constantFrom("10.0.0.1:7000", "[::1]:7001"), { maxLength: limits.addressesMax }),
  keys: fc
    .uniqueArray(fc.tuple(fc.stringMatching(/^[a-z0-9.-]{1,64}$/), fc.string({ maxLength: 100, unit: "grapheme" })), {
      selector: ([key]) => key,
      maxLength: 20,
    })
    .map((pairs) => new Map(pairs)),
  pages: fc.array(counter, { maxLength: limits.pagesMax - 1 }),
});

const page: fc.Arbitrary<Page> = fc.record({
  id,
  generation: counter,
  number: fc.integer({ min: 1, max: limits.pagesMax - 1 }),
  version: counter,
  keys: fc
    .uniqueArray(fc.tuple(fc.stringMatching(/^[a-z0-9.-]{1,64}$/), fc.string({ maxLength: 20, unit: "grapheme" })), {
      selector: ([key]) => key,
      maxLength: 5,
    })
    .map((pairs) => new Map(pairs)),
});

const verdict: fc.Arbitrary<Verdict> = fc.record({
  observer: id,
  observerGeneration: counter,
  sequence: counter,
  subject: id,
  generation: counter,
  incarnation: counter,
  opinion: fc.constantFrom<Opinion>("none", "heard", "suspect", "silent", "closed"),
});

function refusalOf(body: () => unknown): string {
  try {
    body();
  } catch (error) {
    if (error instanceof Refusal) return error.reason;
    throw error;
  }
  return "believed";
}

test("every frame comes back as it was sent", () => {
  fc.assert(
    fc.property(frame, (sent) => {
      expect(decodeFrame(encodeFrame(clusterId, sent), clusterId)).toEqual(sent);
    }),
  );
});

test("every frame is the one encoding in CBOR of what it holds", () => {
  fc.assert(
    fc.property(frame, (sent) => {
      const sentBytes = encodeFrame(clusterId, sent);
      expect(new Uint8Array(encode(decode(sentBytes)))).toEqual(sentBytes);
    }),
  );
});

test("every head, page and verdict comes back as it was signed", () => {
  fc.assert(
    fc.property(record, (sent) => {
      expect(decodeItem(encodeRecord(clusterId, sent), clusterId)).toEqual({ kind: "record", record: sent });
    }),
  );
  fc.assert(
    fc.property(page, (sent) => {
      const sized = encodePage(clusterId, sent);
      fc.pre(sized.length <= limits.pageItemMaxBytes);
      expect(decodeItem(sized, clusterId)).toEqual({ kind: "page", page: sent });
    }),
  );
  fc.assert(
    fc.property(verdict, (sent) => {
      expect(decodeItem(encodeVerdict(clusterId, sent), clusterId)).toEqual({ kind: "verdict", verdict: sent });
    }),
  );
});

test("random bytes are refused and nothing else happens", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 600 }), (noise) => {
      expect(["malformed", "oversize", "version", "cluster"]).toContain(refusalOf(() => decodeFrame(noise, clusterId)));
      expect(["malformed", "oversize", "version", "cluster"]).toContain(refusalOf(() => decodeItem(noise, clusterId)));
    }),
    { numRuns: 2_000 },
  );
});

test("a frame that was cut short or altered is refused or reads as another frame, and never throws anything else", () => {
  fc.assert(
    fc.property(frame, fc.nat(), fc.integer({ min: 1, max: 255 }), fc.boolean(), (sent, place, flip, cut) => {
      const wire = encodeFrame(clusterId, sent);
      const altered = cut
        ? wire.subarray(0, place % wire.length)
        : wire.with(place % wire.length, (wire[place % wire.length] ?? 0) ^ flip);
      refusalOf(() => decodeFrame(altered, clusterId));
      if (cut) expect(refusalOf(() => decodeFrame(altered, clusterId))).not.toBe("believed");
    }),
    { numRuns: 1_000 },
  );
});

test("frames and items of another cluster or a newer format are refused by name", () => {
  expect(refusalOf(() => decodeFrame(encodeFrame(otherClusterId, { type: "watch" }), clusterId))).toBe("cluster");
  expect(refusalOf(() => decodeFrame(encode([2, new Uint8Array(32), 6]), clusterId))).toBe("version");
  const foreign = fc.sample(record, 1)[0]!;
  expect(refusalOf(() => decodeItem(encodeRecord(otherClusterId, foreign), clusterId))).toBe("cluster");
  expect(refusalOf(() => decodeItem(encode(["revoada/gossip/record", 2]), clusterId))).toBe("version");
});

test("what is larger than its bound is refused before it is read", () => {
  expect(refusalOf(() => decodeFrame(new Uint8Array(limits.frameMaxBytes + 1), clusterId))).toBe("oversize");
  expect(refusalOf(() => decodeItem(new Uint8Array(limits.recordMaxBytes + 1), clusterId))).toBe("oversize");
  // Nested as deeply as fits: refused as malformed, without exhausting anything.
  expect(refusalOf(() => decodeFrame(new Uint8Array(16_000).fill(0x81), clusterId))).toBe("malformed");
  // A list that claims 2^31 elements.
  expect(refusalOf(() => decodeFrame(Uint8Array.from([0x9a, 0x7f, 0xff, 0xff, 0xff]), clusterId))).toBe("malformed");
});

test("keys beyond the quotas are refused in records of others too", () => {
  const base: GossipRecord = {
    id: identityOf(1).id,
    generation: 1,
    incarnation: 0,
    version: 1,
    status: "alive",
    notAfterMs: 1,
    addresses: [],
    keys: new Map(),
    pages: [],
  };
  const withKeys = (keys: readonly [string, string][]) =>
    refusalOf(() => decodeItem(encodeRecord(clusterId, { ...base, keys: new Map(keys) }), clusterId));
  expect(withKeys([["zone", "a"]])).toBe("believed");
  expect(withKeys([["Zone", "a"]])).toBe("malformed");
  expect(withKeys([["k".repeat(65), "a"]])).toBe("oversize");
  expect(withKeys([["zone", "é".repeat(257)]])).toBe("oversize");
  expect(withKeys(Array.from({ length: 65 }, (_, index) => [`k${index}`, ""]))).toBe("oversize");
});
