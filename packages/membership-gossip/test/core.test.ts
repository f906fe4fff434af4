import { expect, test } from "vitest";
import { encodeFrame } from "../src/core/frames.ts";
import type { GossipCore } from "../src/core/core.ts";
import { limits } from "../src/core/limits.ts";
import { Refusal } from "../src/core/refusal.ts";
import {
  coreOf,
  exchange,
  homelab,
  now,
  numbers,
  refusals,
  signedRecord,
  signedVerdict,
  tell,
  wallMs,
} from "./cores.ts";
import { clusterId, CountingVerifier, identityOf, otherClusterId } from "./identities.ts";
import { fc } from "./property.ts";

const generation = Math.floor(wallMs / 1_000);
const id = (number: number) => identityOf(number).id;

function population(core: GossipCore, count: number): void {
  tell(
    core,
    1,
    Array.from({ length: count }, (_, index) => signedRecord(index + 1)),
  );
}

test("one exchange makes two nodes hold the same, whoever opened it", () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.integer({ min: 2, max: 40 }), { maxLength: 20 }),
      fc.nat({ max: 20 }),
      (others, split) => {
        const left = coreOf(0);
        const right = coreOf(1);
        tell(
          left,
          1,
          others.slice(0, split).map((number) => signedRecord(number)),
        );
        tell(
          right,
          0,
          others.slice(split).map((number) => signedRecord(number)),
        );
        exchange(left, id(0), right, id(1), 10);
        const known = (core: GossipCore) =>
          [...core.members()].map(({ record }) => `${record.id}/${record.version}`).sort();
        expect(known(left)).toEqual(known(right));
        expect(known(left)).toHaveLength(others.length + 2);
      },
    ),
    { numRuns: 25 },
  );
});

test("two nodes that hold the same exchange one frame each way and no more", () => {
  const left = coreOf(0);
  const right = coreOf(1);
  exchange(left, id(0), right, id(1), 0);
  for (let round = 0; round < 10; round++) {
    left.round(now(round * 100));
    right.round(now(round * 100));
  }
  const open = left.openRound();
  const digest = right.answer(id(0), open, now(1_000)) as Uint8Array;
  expect(left.digestReceived(id(1), digest, now(1_000))).toBeUndefined();
  expect(open.length).toBeLessThan(350);
  expect(digest.length).toBeLessThan(100);
});

test("news rides along with the frame that opens a round and with its answer, before anything is compared", () => {
  const left = coreOf(0);
  const right = coreOf(1);
  exchange(left, id(0), right, id(1), 0);
  left.set("zone", "l", now(10));
  right.set("zone", "r", now(10));
  const digest = right.answer(id(0), left.openRound(), now(10)) as Uint8Array;
  expect(right.member(id(0))?.record.keys.get("zone")).toBe("l");
  expect(left.digestReceived(id(1), digest, now(10))).toBeUndefined();
  expect(left.member(id(1))?.record.keys.get("zone")).toBe("r");
});

test("a node renews its record long before it expires, and after its wall clock has jumped, and says nothing new by that", () => {
  const core = coreOf(0);
  const notAfterMs = () => core.member(id(0))?.record.notAfterMs ?? 0;
  const first = notAfterMs();
  core.round(now(11 * 3_600_000));
  expect(notAfterMs()).toBe(first);
  core.round(now(13 * 3_600_000));
  expect(notAfterMs()).toBe(first + 13 * 3_600_000);
  core.round({ nowMs: 14 * 3_600_000, wallMs: wallMs - 100 * 3_600_000 });
  expect(notAfterMs()).toBe(first - 100 * 3_600_000);
  expect(core.incarnation).toBe(0);
});

test("news grows old and is carried no more", () => {
  const core = coreOf(0);
  core.set("zone", "l", now(0));
  const fresh = core.openRound().length;
  for (let round = 1; round <= 10; round++) core.round(now(round * 100));
  expect(core.openRound().length).toBeLessThan(fresh - 100);
});

test("hundreds of members reconcile within frames of 16 KiB", () => {
  const count = 901;
  const left = coreOf(0);
  const right = coreOf(1);
  for (let number = 2; number < count; number += 100) {
    tell(
      left,
      1,
      Array.from({ length: 100 }, (_, index) => signedRecord(number + index)),
    );
  }
  let rounds = 0;
  for (; [...right.members()].length < [...left.members()].length && rounds < 50; rounds++)
    exchange(right, id(1), left, id(0), rounds);
  expect([...right.members()]).toHaveLength([...left.members()].length);
  expect(rounds).toBeLessThan(30);
});

test("a forged record is refused, counted, and ends the frame that it came in", () => {
  const core = coreOf(0);
  const forged = { ...signedRecord(2), signature: new Uint8Array(64) };
  expect(tell(core, 1, [forged, signedRecord(3)])).toEqual(["signature"]);
  expect(core.member(id(2))).toBeUndefined();
  expect(core.member(id(3))).toBeUndefined();
});

test("a record that a relay altered is refused", () => {
  const core = coreOf(0);
  const item = signedRecord(2, { keys: new Map([["zone", "a"]]) });
  const payload = item.payload.slice();
  payload[payload.lastIndexOf("a".charCodeAt(0))] = "b".charCodeAt(0);
  expect(tell(core, 1, [{ payload, signature: item.signature }])).toEqual(["signature"]);
});

test("a record of another cluster, an expired one and one from the far future are refused by name", () => {
  const core = coreOf(0);
  expect(tell(core, 1, [signedRecord(2, {}, otherClusterId)])).toEqual(["cluster"]);
  expect(tell(core, 1, [signedRecord(2, { notAfterMs: wallMs })])).toEqual(["expired"]);
  expect(tell(core, 1, [signedRecord(2, { notAfterMs: wallMs + limits.recordLifeMaxMs + 1 })])).toEqual(["far-future"]);
  expect(tell(core, 1, [signedRecord(2, { generation: generation + 86_401 })])).toEqual(["far-future"]);
  expect(tell(core, 1, [signedRecord(2, { generation: generation + 86_399 })])).toEqual([]);
});

test("a replayed older record changes nothing and costs no signature check", () => {
  const verifier = new CountingVerifier();
  const core = coreOf(0, { verifier });
  tell(core, 1, [signedRecord(2, { version: 5, keys: new Map([["zone", "new"]]) })]);
  const checks = verifier.checks;
  expect(
    tell(core, 1, [signedRecord(2, { version: 4 }), signedRecord(2, { version: 5, keys: new Map([["zone", "new"]]) })]),
  ).toEqual([]);
  expect(core.member(id(2))?.record.keys.get("zone")).toBe("new");
  expect(verifier.checks).toBe(checks);
});

test("two contents under one version are an equivocation, and all keep the same one whatever came first", () => {
  const first = signedRecord(2, { keys: new Map([["zone", "a"]]) });
  const second = signedRecord(2, { keys: new Map([["zone", "b"]]) });
  const left = coreOf(0);
  const right = coreOf(1);
  tell(left, 1, [first]);
  tell(right, 0, [second]);
  expect(tell(left, 1, [second])).toEqual(["equivocation"]);
  expect(tell(right, 0, [first])).toEqual(["equivocation"]);
  expect(left.member(id(2))?.record.keys.get("zone")).toBe(right.member(id(2))?.record.keys.get("zone"));
  exchange(left, id(0), right, id(1), 10);
  const digest = right.answer(id(0), left.openRound(), now(20)) as Uint8Array;
  expect(left.digestReceived(id(1), digest, now(20))).toBeUndefined();
});

test("nodes that the door denies are neither listened to nor taken in, and are dropped once denied", () => {
  const denied = new Set([id(2)]);
  const core = coreOf(0, { isKnown: (node) => !denied.has(node) });
  expect(tell(core, 1, [signedRecord(2), signedRecord(3)])).toEqual(["unknown-node"]);
  expect(core.answer(id(2), coreOf(2).openRound(), now(0))).toBeInstanceOf(Refusal);
  denied.add(id(3));
  for (let round = 1; round <= 10; round++) core.round(now(round * 100));
  expect(core.member(id(3))).toBeUndefined();
});

test("a death needs two distinct accusers where there are more than three nodes, and one where there are three", () => {
  const four = coreOf(0);
  population(four, 3);
  tell(four, 1, [signedVerdict(1, 3, "closed"), signedVerdict(1, 3, "closed", { sequence: 2 })]);
  expect(four.member(id(3))?.standing.status).toBe("alive");
  tell(four, 2, [signedVerdict(2, 3, "closed")]);
  expect(four.member(id(3))?.standing).toMatchObject({ status: "dead", evidence: "closed" });
  const three = coreOf(0);
  population(three, 2);
  tell(three, 1, [signedVerdict(1, 2, "closed")]);
  expect(three.member(id(2))?.standing).toMatchObject({ status: "dead", evidence: "closed" });
});

test("accusations under made-up keys count for nothing", () => {
  const core = coreOf(0);
  population(core, 4);
  tell(core, 1, [signedVerdict(70, 4, "closed"), signedVerdict(71, 4, "closed"), signedVerdict(72, 4, "silent")]);
  expect(core.member(id(4))?.standing.status).toBe("alive");
});

test("a forged death is refused", () => {
  const core = coreOf(0);
  population(core, 2);
  const forged = {
    payload: signedVerdict(1, 2, "closed").payload,
    signature: identityOf(2).sign(signedVerdict(1, 2, "closed").payload),
  };
  expect(tell(core, 2, [forged])).toEqual(["signature"]);
  expect(core.member(id(2))?.standing.status).toBe("alive");
});

test("an accusation of an incarnation that the subject never had is ignored", () => {
  const core = coreOf(0);
  population(core, 2);
  tell(core, 1, [
    signedVerdict(1, 2, "closed", { incarnation: 9 }),
    signedVerdict(1, 0, "closed", { incarnation: Number.MAX_SAFE_INTEGER }),
  ]);
  expect(core.member(id(2))?.standing.status).toBe("alive");
  expect(core.incarnation).toBe(0);
});

test("the accused refutes by raising its incarnation, and is alive again once it has been heard twice", () => {
  const accused = coreOf(0);
  const judge = coreOf(1);
  exchange(accused, id(0), judge, id(1), 0);
  tell(judge, 2, [signedRecord(2)]);
  tell(judge, 2, [signedVerdict(2, 0, "silent")]);
  expect(judge.member(id(0))?.standing.status).toBe("alive");
  // Foreign news of a silence has to stand for a moment, so that it can be answered.
  judge.round(now(homelab.failureDetectorTimeoutMs));
  expect(judge.member(id(0))?.standing).toMatchObject({ status: "dead", evidence: "silent" });
  tell(accused, 1, [signedRecord(2)]);
  tell(accused, 2, [signedVerdict(2, 0, "silent")], 350);
  expect(accused.incarnation).toBe(1);
  exchange(judge, id(1), accused, id(0), 400);
  expect(judge.member(id(0))?.record.incarnation).toBe(1);
  // Its observer wants to hear it as well: twice.
  const heard = [1, 2].map((sequence) => {
    const frame = encodeFrame(clusterId, { type: "beat", generation, incarnation: 1, sequence });
    judge.received(id(0), frame, now(400 + sequence * 100));
    return judge.member(id(0))?.standing.status;
  });
  expect(heard).toEqual(["suspect", "alive"]);
});

test("leaving is not dying, cannot be taken back within a generation, and can with the next", () => {
  const core = coreOf(0);
  population(core, 2);
  tell(core, 2, [signedRecord(2, { version: 2, status: "left" })]);
  tell(core, 1, [signedVerdict(1, 2, "closed")]);
  expect(core.member(id(2))?.standing.status).toBe("left");
  expect(tell(core, 2, [signedRecord(2, { version: 3, incarnation: 1 })])).toEqual(["resurrection"]);
  tell(core, 2, [signedRecord(2, { generation: generation + 1 })]);
  expect(core.member(id(2))?.standing.status).toBe("alive");
});

test("the forgotten stay in their graves until they speak for themselves", () => {
  const core = coreOf(0);
  population(core, 2);
  tell(core, 1, [signedVerdict(1, 2, "closed")]);
  expect(core.forget(id(1), now(0))).toBe(false);
  expect(core.forget(id(2), now(0))).toBe(true);
  expect(core.member(id(2))).toBeUndefined();
  expect(tell(core, 1, [signedRecord(2, { version: 900 })])).toEqual(["grave"]);
  for (let round = 1; round <= 20; round++) core.round(now(round));
  // The buried node lives after all: it is shown what it died of, refutes it and is back.
  const zombie = coreOf(2);
  tell(zombie, 1, [signedRecord(1)]);
  exchange(zombie, id(2), core, id(0), 100);
  expect(zombie.incarnation).toBe(1);
  exchange(zombie, id(2), core, id(0), 200);
  expect(core.member(id(2))?.standing.status).toBe("alive");
});

test("the grave of a node that left holds for its whole generation", () => {
  const core = coreOf(0);
  tell(core, 2, [signedRecord(2)]);
  tell(core, 2, [signedRecord(2, { version: 2, status: "left" })]);
  core.forget(id(2), now(0));
  expect(tell(core, 1, [signedRecord(2, { incarnation: 50 })])).toEqual(["grave"]);
  expect(tell(core, 1, [signedRecord(2, { generation: generation + 1 })])).toEqual([]);
});

test("a grave outlives every record of its node", () => {
  const core = coreOf(0);
  tell(core, 2, [signedRecord(2, { status: "left" })]);
  core.forget(id(2), now(0));
  const old = signedRecord(2, { notAfterMs: wallMs + 3_600_000 });
  for (let hour = 0; hour < 80; hour++) {
    const later = now(hour * 3_600_000);
    for (let round = 0; round < 10; round++) core.round(later);
    core.received(id(1), encodeFrame(clusterId, { type: "news", items: [old] }), later);
    expect(core.member(id(2))).toBeUndefined();
  }
});

test("what an earlier run left behind under the own key is surpassed, and a twin cannot drive this for ever", () => {
  const core = coreOf(0);
  tell(core, 1, [signedRecord(0, { generation: generation + 7, incarnation: 3, version: 44 })]);
  expect(core.generation).toBe(generation + 8);
  for (let twin = 0; twin < 50; twin++)
    tell(core, 1, [signedRecord(0, { generation: core.generation, incarnation: core.incarnation + 1, version: 1 })]);
  expect(core.incarnation).toBeLessThan(20);
});

test("quotas are refused at set, and what was set before stands", () => {
  const core = coreOf(0);
  const quota = { code: "MEMBERSHIP_QUOTA" };
  for (const key of ["", "Zone", "k".repeat(65), "a b", "a/b"])
    expect(() => core.set(key, "v", now(0))).toThrow(expect.objectContaining(quota));
  expect(() => core.set("zone", "x".repeat(513), now(0))).toThrow(expect.objectContaining(quota));
  expect(() => core.set("zone", "é".repeat(257), now(0))).toThrow(expect.objectContaining(quota));
  expect(() => core.set("zone", "\ud800", now(0))).toThrow(expect.objectContaining(quota));
  core.set("zone", "x".repeat(512), now(0));
  let set = 1;
  try {
    for (; set < 64; set++) core.set(`k${set}`, "y".repeat(512), now(0));
  } catch (error) {
    expect(error).toMatchObject(quota);
  }
  expect(set).toBeLessThan(33);
  expect(core.member(id(0))?.keys.size).toBe(set);
  const small = coreOf(0);
  for (let index = 0; index < 64; index++) small.set(`k${index}`, "v", now(0));
  expect(() => small.set("k64", "v", now(0))).toThrow(expect.objectContaining(quota));
});

test("random frames and random items never do more than being refused", () => {
  const core = coreOf(0);
  population(core, 3);
  const before = [...core.members()].map(({ record, standing }) => [record.id, standing.status]);
  const random = numbers(7);
  for (let attempt = 0; attempt < 1_000; attempt++) {
    const noise = random.bytes(random.uint32() % 200);
    core.received(id(1), noise, now(1));
    core.answer(id(1), noise, now(1));
    core.digestReceived(id(1), noise, now(1));
    const item = { payload: noise, signature: random.bytes(64) };
    core.received(id(1), encodeFrame(clusterId, { type: "news", items: [item] }), now(1));
  }
  expect(refusals(core.takeEffects()).length).toBe(4_000);
  expect([...core.members()].map(({ record, standing }) => [record.id, standing.status])).toEqual(before);
});

test("watchers are bounded and strangers are none", () => {
  const core = coreOf(0);
  for (let number = 1; number <= 90; number++) tell(core, 1, [signedRecord(number)]);
  const watch = encodeFrame(clusterId, { type: "watch" });
  for (let number = 1; number <= 120; number++) core.received(id(number), watch, now(0));
  core.takeEffects();
  core.round(now(100));
  const beats = core.takeEffects().filter((effect) => effect.type === "send");
  expect(beats.length).toBeLessThanOrEqual(limits.watchersMax + 9);
  expect(beats.length).toBeGreaterThanOrEqual(limits.watchersMax);
});
