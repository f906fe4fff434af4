import type { NodeId } from "@revoada/fabric";
import { seededRandom } from "@revoada/fabric/memory";
import { expect, test } from "vitest";
import { encodeRecord, type GossipRecord, type SignedItem } from "../src/core/items.ts";
import { bucketOf, Members } from "../src/core/members.ts";
import { RememberingReader } from "../src/core/reader.ts";
import { OwnSubject, prefixOf } from "../src/core/subject.ts";
import { clusterId } from "./identities.ts";
import { fc } from "./property.ts";

/** Few beginnings for many ids, so that they meet in the table. */
const beginnings = ["00000000", "00000020", "20000000", "ffffffff", "0000001f"];

function idOf(number: number): NodeId {
  const beginning = beginnings[number % beginnings.length] ?? "";
  return `${beginning}${number.toString(16).padStart(56, "0")}` as NodeId;
}

function recordOf(id: NodeId, version = 1): GossipRecord {
  const record = { id, generation: 1, incarnation: 0, version, status: "alive", notAfterMs: 1 } as const;
  return { ...record, addresses: [], keys: new Map([["zone", "attic"]]), pages: [] };
}

function subjectOf(id: NodeId): OwnSubject {
  return new OwnSubject(recordOf(id), { payload: new Uint8Array(8), signature: new Uint8Array(64) });
}

/** What two cores that share a reader would each make of one head. */
function readOf(reader: RememberingReader, id: NodeId): OwnSubject {
  const record = recordOf(id);
  const signed: SignedItem = {
    payload: new Uint8Array(encodeRecord(clusterId, record)),
    signature: seededRandom(id).bytes(64),
  };
  const { item, signed: known } = reader.item(signed, clusterId);
  if (item.kind !== "record") throw new Error("a record was encoded");
  const own = new OwnSubject(item.record, known);
  own.judged = true;
  own.sinceMs = 40;
  return own;
}

test("whoever comes and goes, members are found by id, by prefix, in their bucket and at their place", () => {
  const step = fc.record({ number: fc.nat({ max: 90 }), stays: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
      const members = new Members();
      const expected = new Map<NodeId, OwnSubject>();
      for (const { number, stays } of steps) {
        const id = idOf(number);
        const held = expected.get(id);
        if (stays && held === undefined) {
          const subject = subjectOf(id);
          members.add(subject);
          expected.set(id, subject);
        } else if (!stays && held !== undefined) {
          members.remove(held);
          expected.delete(id);
        }
      }
      expect(members.size).toBe(expected.size);
      for (let number = 0; number <= 90; number += 1) {
        const id = idOf(number);
        const held = expected.get(id);
        expect(members.get(id)).toBe(held);
        expect(members.has(id)).toBe(held !== undefined);
        if (held !== undefined) expect(members.inBucket(bucketOf(id))).toContain(held);
      }
      expect(new Set(members.values())).toEqual(new Set(expected.values()));
      const places = Array.from({ length: expected.size }, (_, place) => members.at(place));
      expect(new Set(places)).toEqual(new Set(expected.values()));
      expect(members.at(expected.size)).toBeUndefined();
    }),
  );
});

test("digests name a member by the beginning of its id", () => {
  const members = new Members();
  const ids = [1, 2, 3].map((number) => `${String(number).repeat(16)}${"0".repeat(48)}` as NodeId);
  for (const id of ids) members.add(subjectOf(id));
  for (const id of ids) expect(members.named(prefixOf(id))?.id).toBe(id);
  expect(members.named("4".repeat(16))).toBeUndefined();
});

test("cores that read the same head share what it says as long as there is nothing else to know of its node", () => {
  const reader = new RememberingReader();
  const [left, right] = [new Members(), new Members()];
  for (const members of [left, right]) {
    members.add(readOf(reader, idOf(1)));
    members.settle();
  }
  expect(left.get(idOf(1))).toBe(right.get(idOf(1)));
  expect(left.own.size).toBe(0);
  const calm = left.get(idOf(1));
  if (calm === undefined) throw new Error("it was added");
  const own = left.takeOver(calm);
  own.awaitingBeats = true;
  expect(left.get(idOf(1))).toBe(own);
  expect(right.get(idOf(1))?.awaitingBeats).toBe(false);
  expect(left.sinceMs(own)).toBe(40);
  expect(right.sinceMs(calm)).toBe(40);
});

test("whoever is spoken of, dead, waited for or not judged yet is nobody's but one's own", () => {
  const reader = new RememberingReader();
  const alter: readonly ((own: OwnSubject) => void)[] = [
    (own) => (own.judged = false),
    (own) => (own.status = "suspect"),
    (own) => (own.status = "left"),
    (own) => (own.evidence = "closed"),
    (own) => (own.deadAt = { generation: 1, incarnation: 0 }),
    (own) => (own.awaitingBeats = true),
    (own) => (own.pages = [undefined]),
  ];
  for (const each of alter) {
    const members = new Members();
    const own = readOf(reader, idOf(1));
    members.add(own);
    each(own);
    members.settle();
    expect(members.get(idOf(1))).toBe(own);
    expect(members.own.size).toBe(1);
  }
});
