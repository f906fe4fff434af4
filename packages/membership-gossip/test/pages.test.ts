import { expect, test } from "vitest";
import type { GossipCore } from "../src/core/core.ts";
import { entryBytes } from "../src/core/items.ts";
import { limits } from "../src/core/limits.ts";
import { KeyPages } from "../src/core/pages.ts";
import type { Refusal } from "../src/core/refusal.ts";
import { coreOf, exchange, now, signedPage, signedRecord, tell, wallMs } from "./cores.ts";
import { CountingVerifier, identityOf } from "./identities.ts";
import { fc } from "./property.ts";

const generation = Math.floor(wallMs / 1_000);
const id = (number: number) => identityOf(number).id;
const keyOf = (core: GossipCore, of: number, key: string) => core.member(id(of))?.keys.get(key);

/** A core that says as much of itself as it may. */
function talkative(number: number): GossipCore {
  const core = coreOf(number);
  for (let key = 0; key < 30; key++) core.set(`k${key}`, `${key}`.padEnd(500, "x"), now(0));
  return core;
}

/** Rounds, opened by each in turn, until both hold the same. Every frame is measured. */
function reconcile(left: GossipCore, leftId: number, right: GossipCore, rightId: number): number {
  const measured = (frame: Uint8Array | Refusal | undefined): Uint8Array => {
    if (!(frame instanceof Uint8Array)) throw new Error(`no frame: ${String(frame)}`);
    expect(frame.length).toBeLessThanOrEqual(limits.frameMaxBytes);
    return frame;
  };
  for (let round = 1; round < 100; round++) {
    let same = true;
    for (const [from, fromId, to, toId] of [
      [left, leftId, right, rightId],
      [right, rightId, left, leftId],
    ] as const) {
      const digest = measured(to.answer(id(fromId), measured(from.openRound()), now(round)));
      const question = from.digestReceived(id(toId), digest, now(round));
      if (question === undefined) continue;
      same = false;
      from.received(id(toId), measured(to.answer(id(fromId), measured(question), now(round))), now(round));
    }
    if (same) return round;
  }
  throw new Error("they never came to hold the same");
}

test("what one node says of itself in many pages arrives over several rounds, and no frame is larger than allowed", () => {
  const owner = talkative(2);
  const left = coreOf(0);
  expect(reconcile(left, 0, owner, 2)).toBeGreaterThan(1);
  expect(left.member(id(2))?.keys).toEqual(owner.member(id(2))?.keys);
  const right = coreOf(1);
  reconcile(right, 1, left, 0);
  expect(right.member(id(2))?.keys).toEqual(owner.member(id(2))?.keys);
});

test("many members that say much fit frames of 16 KiB, over as many rounds as it takes", () => {
  const left = coreOf(0);
  for (let number = 2; number < 10; number++) reconcile(left, 0, talkative(number), number);
  const right = coreOf(1);
  reconcile(right, 1, left, 0);
  expect([...right.members()]).toHaveLength(10);
  for (let number = 2; number < 10; number++)
    expect(right.member(id(number))?.keys).toEqual(left.member(id(number))?.keys);
});

test("a key that changes takes its own page with it, and no other", () => {
  const owner = talkative(2);
  const other = coreOf(0);
  reconcile(other, 0, owner, 2);
  for (let round = 1; round <= 12; round++) owner.round(now(round * 100));
  const quiet = owner.openRound().length;
  owner.set("k29", "fresh", now(2_000));
  const told = owner.openRound().length - quiet;
  expect(told).toBeLessThan(2 * (limits.pageMaxBytes + 512));
  exchange(owner, id(2), other, id(0), 2_000);
  expect(keyOf(other, 2, "k29")).toBe("fresh");
  expect(other.member(id(2))?.keys.size).toBe(30);
});

test("a page counts only where the head names its version, whoever signed it and whenever it comes", () => {
  const core = coreOf(0);
  const page = (version: number, value: string) => signedPage(2, { version, keys: new Map([["load", value]]) });
  tell(core, 1, [page(1, "before the head")]);
  expect(keyOf(core, 2, "load")).toBeUndefined();
  tell(core, 1, [signedRecord(2, { version: 5, pages: [5] }), page(4, "older"), page(6, "newer")]);
  expect(keyOf(core, 2, "load")).toBeUndefined();
  tell(core, 1, [page(5, "named")]);
  expect(keyOf(core, 2, "load")).toBe("named");
  tell(core, 1, [page(4, "replayed"), signedPage(2, { version: 5, generation: generation - 1 })]);
  expect(keyOf(core, 2, "load")).toBe("named");
});

test("a page that a relay altered or made up is refused and counted", () => {
  const core = coreOf(0);
  tell(core, 1, [signedRecord(2, { pages: [1] })]);
  const genuine = signedPage(2, { keys: new Map([["load", "a"]]) });
  const altered = genuine.payload.slice();
  altered[altered.lastIndexOf("a".charCodeAt(0))] = "b".charCodeAt(0);
  expect(tell(core, 1, [{ payload: altered, signature: genuine.signature }])).toEqual(["signature"]);
  const forged = { payload: genuine.payload, signature: identityOf(3).sign(genuine.payload) };
  expect(tell(core, 1, [forged])).toEqual(["signature"]);
  expect(keyOf(core, 2, "load")).toBeUndefined();
});

test("two contents of one page are an equivocation, and all keep the same one whatever came first", () => {
  const one = signedPage(2, { keys: new Map([["load", "a"]]) });
  const other = signedPage(2, { keys: new Map([["load", "b"]]) });
  const left = coreOf(0);
  const right = coreOf(1);
  tell(left, 1, [signedRecord(2, { pages: [1] }), one]);
  tell(right, 0, [signedRecord(2, { pages: [1] }), other]);
  expect(tell(left, 1, [other])).toEqual(["equivocation"]);
  expect(tell(right, 0, [one])).toEqual(["equivocation"]);
  expect(keyOf(left, 2, "load")).toBe(keyOf(right, 2, "load"));
});

test("a page that was seen costs no second signature check", () => {
  const verifier = new CountingVerifier();
  const core = coreOf(0, { verifier });
  const page = signedPage(2, { keys: new Map([["load", "a"]]) });
  tell(core, 1, [signedRecord(2, { pages: [1] }), page]);
  const checks = verifier.checks;
  tell(core, 1, [page, page]);
  expect(verifier.checks).toBe(checks);
});

test("while a page is on its way, the one that it replaces is shown", () => {
  const core = coreOf(0);
  tell(core, 1, [signedRecord(2, { pages: [1] }), signedPage(2, { keys: new Map([["load", "1"]]) })]);
  tell(core, 1, [signedRecord(2, { version: 2, pages: [2] })]);
  expect(keyOf(core, 2, "load")).toBe("1");
  tell(core, 1, [signedPage(2, { version: 2, keys: new Map([["load", "2"]]) })]);
  expect(keyOf(core, 2, "load")).toBe("2");
});

test("a reset that was cut short shows nothing of the life before, and what it holds only ever rises", () => {
  const core = coreOf(0);
  tell(core, 1, [
    signedRecord(2, { version: 9, pages: [9] }),
    signedPage(2, { version: 9, keys: new Map([["a", "1"]]) }),
  ]);
  const reborn = generation + 1;
  // Of the new life one of two pages arrives.
  tell(core, 1, [
    signedRecord(2, { generation: reborn, version: 2, pages: [1, 2] }),
    signedPage(2, { generation: reborn, number: 2, version: 2, keys: new Map([["b", "2"]]) }),
  ]);
  const held = () => {
    const record = core.member(id(2))?.record;
    return [record?.generation, record?.version, [...(core.member(id(2))?.keys.keys() ?? [])]];
  };
  expect(held()).toEqual([reborn, 2, ["b"]]);
  tell(core, 1, [
    signedRecord(2, { version: 99, pages: [9] }),
    signedPage(2, { version: 9, keys: new Map([["a", "1"]]) }),
  ]);
  tell(core, 1, [signedRecord(2, { generation: reborn, version: 1, pages: [1] })]);
  expect(held()).toEqual([reborn, 2, ["b"]]);
  tell(core, 1, [signedPage(2, { generation: reborn, version: 1, keys: new Map([["c", "3"]]) })]);
  expect(held()).toEqual([reborn, 2, ["c", "b"]]);
});

test("a new incarnation keeps the pages, a new generation does not", () => {
  const core = coreOf(0);
  tell(core, 1, [signedRecord(2, { pages: [1] }), signedPage(2, { keys: new Map([["load", "1"]]) })]);
  tell(core, 1, [signedRecord(2, { incarnation: 1, version: 2, pages: [1] })]);
  expect(keyOf(core, 2, "load")).toBe("1");
  tell(core, 1, [signedRecord(2, { generation: generation + 1, version: 1, pages: [1] })]);
  expect(keyOf(core, 2, "load")).toBeUndefined();
});

test("keys of any sizes, set in any order and again, fit their pages, and the pages never run out", () => {
  const key = fc.nat({ max: 63 }).map((number) => `k${number}`);
  const value = fc.nat({ max: limits.valueMaxBytes }).map((length) => "v".repeat(length));
  fc.assert(
    fc.property(fc.array(fc.tuple(key, value), { maxLength: 300 }), (sets) => {
      const pages = new KeyPages();
      const expected = new Map<string, string>();
      for (const [name, text] of sets) {
        if (pages.bytesWith(name, text) > limits.factsMaxBytes) continue;
        pages.set(name, text);
        expected.set(name, text);
      }
      expect(pages.count).toBeLessThanOrEqual(limits.pagesMax);
      const found = new Map<string, string>();
      for (let number = 0; number < pages.count; number++) {
        let bytes = 0;
        for (const [name, text] of pages.page(number)) {
          bytes += entryBytes(name, text);
          found.set(name, text);
        }
        expect(bytes).toBeLessThanOrEqual(limits.pageMaxBytes);
      }
      expect(found).toEqual(expected);
    }),
    { numRuns: 200 },
  );
});

test("a restart under the same generation signs its pages anew, past those of the life before", () => {
  const before = talkative(2);
  const other = coreOf(0);
  reconcile(other, 0, before, 2);
  const after = coreOf(2);
  for (let key = 0; key < 30; key++) after.set(`k${key}`, `again ${key}`, now(0));
  reconcile(other, 0, after, 2);
  exchange(after, id(2), other, id(0), 500);
  expect(keyOf(other, 2, "k7")).toBe("again 7");
});
