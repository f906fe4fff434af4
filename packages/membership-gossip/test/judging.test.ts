import { expect, test } from "vitest";
import type { GossipCore } from "../src/core/core.ts";
import { decodeFrame, encodeFrame } from "../src/core/frames.ts";
import { decodeItem } from "../src/core/items.ts";
import { idHash, ObserverPlan } from "../src/core/observers.ts";
import { coreOf, now, signedRecord, signedVerdict, tell, wallMs } from "./cores.ts";
import { clusterId, identityOf } from "./identities.ts";
import { range } from "./world.ts";

const generation = Math.floor(wallMs / 1_000);
const id = (number: number) => identityOf(number).id;

/** A core among `count` nodes that has worked out whom it observes. */
function among(count: number): GossipCore {
  const core = coreOf(0);
  tell(
    core,
    1,
    range(count - 1, 1).map((number) => signedRecord(number)),
  );
  core.round(now(0));
  return core;
}

function beat(core: GossipCore, from: number, sequence: number, nowMs: number): void {
  core.received(id(from), encodeFrame(clusterId, { type: "beat", generation, incarnation: 0, sequence }), now(nowMs));
}

/** What the core itself said of others, among the effects not yet taken. */
function spoken(core: GossipCore): readonly string[] {
  const said: string[] = [];
  for (const effect of core.takeEffects()) {
    if (effect.type !== "send") continue;
    const frame = decodeFrame(effect.frame, clusterId);
    if (frame.type !== "news" && frame.type !== "word") continue;
    for (const { payload } of frame.items) {
      const item = decodeItem(payload, clusterId);
      if (item.kind === "verdict" && item.verdict.observer === id(0)) said.push(item.verdict.opinion);
    }
  }
  return [...new Set(said)];
}

/** Somebody of twenty whom node 0 does not observe. */
function unobserved(): number {
  const plan = new ObserverPlan(range(20).map((number) => ({ id: id(number), zone: "", hash: idHash(id(number)) })));
  const found = range(19, 1).find((number) => !plan.observes(id(0), id(number)));
  if (found === undefined) throw new Error("node 0 observes everybody");
  return found;
}

const status = (core: GossipCore, number: number) => core.member(id(number))?.standing.status;

test("whom one hears oneself is not dead of silence, whoever says so, and one vouches for it", () => {
  const core = among(5);
  let sequence = 0;
  const hear = (fromMs: number, untilMs: number) => {
    for (let nowMs = fromMs; nowMs < untilMs; nowMs += 100) {
      for (const number of range(4, 1)) beat(core, number, ++sequence, nowMs);
      core.tick(now(nowMs));
      core.round(now(nowMs));
    }
  };
  hear(100, 2_000);
  spoken(core);
  tell(core, 1, [signedVerdict(1, 4, "silent"), signedVerdict(2, 4, "silent")], 2_000);
  hear(2_000, 5_000);
  expect(status(core, 4)).toBe("alive");
  expect(spoken(core)).toEqual(["heard"]);
});

test("a host that has just stalled does not believe old news of those whom it heard until then", () => {
  const core = among(5);
  for (let nowMs = 100; nowMs <= 2_000; nowMs += 100) {
    for (const number of range(4, 1)) beat(core, number, nowMs, nowMs);
    core.tick(now(nowMs));
    core.round(now(nowMs));
  }
  core.tick(now(6_000));
  tell(core, 1, [signedVerdict(1, 4, "silent"), signedVerdict(2, 4, "silent")], 6_000);
  for (let nowMs = 6_100; nowMs <= 6_500; nowMs += 100) core.round(now(nowMs));
  expect(core.frozen(6_500)).toBe(true);
  expect(status(core, 4)).toBe("alive");
});

test("a bystander believes two accusers of a silence only after their word has stood for a while", () => {
  const subject = unobserved();
  const core = among(20);
  const [first, second] = range(19, 1).filter((number) => number !== subject);
  tell(core, first!, [signedVerdict(first!, subject, "silent"), signedVerdict(second!, subject, "silent")], 1_000);
  core.round(now(1_200));
  expect(status(core, subject)).toBe("alive");
  core.round(now(1_300));
  expect(core.member(id(subject))?.standing).toMatchObject({ status: "dead", evidence: "silent" });
});

test("an observer that vouches outweighs any number of accusers of a silence, until it takes that back", () => {
  const subject = unobserved();
  const core = among(20);
  const others = range(19, 1).filter((number) => number !== subject);
  const voucher = others[0]!;
  tell(core, voucher, [signedVerdict(voucher, subject, "heard")], 1_000);
  tell(
    core,
    voucher,
    others.slice(1, 7).map((number) => signedVerdict(number, subject, "silent")),
    1_000,
  );
  core.round(now(9_000));
  expect(status(core, subject)).toBe("alive");
  tell(core, voucher, [signedVerdict(voucher, subject, "none", { sequence: 2 })], 9_100);
  core.round(now(9_200));
  expect(status(core, subject)).toBe("dead");
});

test("a vouching observer that is itself accused by two does not count: two dead cannot keep each other alive", () => {
  const subject = unobserved();
  const core = among(20);
  const others = range(19, 1).filter((number) => number !== subject);
  const [voucher, first, second] = others as [number, number, number];
  tell(core, first, [signedVerdict(voucher, subject, "heard"), signedVerdict(subject, voucher, "heard")], 1_000);
  for (const accuser of [first, second]) {
    tell(core, first, [signedVerdict(accuser, subject, "silent"), signedVerdict(accuser, voucher, "silent")], 1_000);
  }
  core.round(now(2_000));
  expect([status(core, subject), status(core, voucher)]).toEqual(["dead", "dead"]);
});

test("a death once found stands when its finders are forgotten", () => {
  const core = among(6);
  tell(core, 1, [signedVerdict(1, 5, "closed"), signedVerdict(2, 5, "closed")], 100);
  expect(status(core, 5)).toBe("dead");
  tell(core, 3, [signedVerdict(3, 2, "closed"), signedVerdict(4, 2, "closed")], 200);
  expect(core.forget(id(2), now(300))).toBe(true);
  tell(core, 1, [signedVerdict(1, 5, "none", { sequence: 9 })], 400);
  core.round(now(1_000));
  expect(status(core, 5)).toBe("dead");
});

test("closed evidence by one is enough against nobody whom one hears oneself, even among three", () => {
  const core = among(3);
  let sequence = 0;
  for (let nowMs = 100; nowMs < 1_000; nowMs += 100) {
    for (const number of [1, 2]) beat(core, number, ++sequence, nowMs);
    core.tick(now(nowMs));
    core.round(now(nowMs));
  }
  tell(core, 1, [signedVerdict(1, 2, "closed")], 1_000);
  expect(status(core, 2)).toBe("alive");
  core.round(now(1_000));
  beat(core, 2, ++sequence, 1_050);
  core.round(now(1_100));
  tell(core, 1, [signedVerdict(1, 2, "closed", { sequence: 2 })], 1_110);
  expect(status(core, 2)).toBe("alive");
  // What this node finds for itself needs nobody else.
  core.closed(id(2), { generation, incarnation: 0 }, now(1_120));
  expect(core.member(id(2))?.standing).toMatchObject({ status: "dead", evidence: "closed" });
});

test("a shut door is knocked at by those who observe the subject, when another found it shut", () => {
  const core = among(5);
  core.takeEffects();
  core.received(id(1), encodeFrame(clusterId, { type: "news", items: [signedVerdict(1, 4, "closed")] }), now(50));
  expect(core.takeEffects().filter((effect) => effect.type === "probe")).toEqual([{ type: "probe", id: id(4) }]);
});

test("a beat of an older process of a peer is refused, and one of a newer counts only once its record is here", () => {
  const core = among(3);
  core.takeEffects();
  const frame = (of: number) => encodeFrame(clusterId, { type: "beat", generation: of, incarnation: 0, sequence: 1 });
  core.received(id(1), frame(generation - 1), now(50));
  expect(core.takeEffects()).toMatchObject([{ type: "refused", reason: "foreign-beat" }]);
  core.received(id(1), frame(generation + 1), now(60));
  expect(core.takeEffects()).toEqual([]);
});

test("an observer that was refuted waits, unless somebody else accuses too", () => {
  const accusedAgainAt = (seconded: boolean): number => {
    const core = among(5);
    let sequence = 0;
    const run = (fromMs: number, untilMs: number, heard: readonly number[]): number => {
      for (let nowMs = fromMs; nowMs < untilMs; nowMs += 100) {
        for (const number of heard) beat(core, number, ++sequence, nowMs);
        core.tick(now(nowMs));
        core.round(now(nowMs));
        if (spoken(core).includes("suspect")) return nowMs;
      }
      return Number.POSITIVE_INFINITY;
    };
    run(100, 2_000, [1, 2, 3, 4]);
    const accusedMs = run(2_000, 4_000, [1, 2, 3]);
    tell(core, 1, [signedRecord(4, { incarnation: 1, version: 2 })], accusedMs);
    if (seconded) tell(core, 1, [signedVerdict(1, 4, "suspect", { incarnation: 1 })], accusedMs + 100);
    return run(accusedMs + 100, 10_000, [1, 2, 3]) - accusedMs;
  };
  expect(accusedAgainAt(false)).toBeGreaterThan(2_000);
  expect(accusedAgainAt(true)).toBeLessThan(1_000);
});
