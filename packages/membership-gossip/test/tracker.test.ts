import { expect, test } from "vitest";
import { BeatTracker, type Circumstances } from "../src/core/tracker.ts";
import { homelab } from "./cores.ts";

function at(nowMs: number, changes: Partial<Circumstances> = {}): Circumstances {
  return { nowMs, lagMs: 0, stretch: 1, maySuspect: true, frozen: false, ...changes };
}

function beating(untilMs: number): BeatTracker {
  const tracker = new BeatTracker(homelab, 0, 0);
  for (let beat = 1; beat * 100 <= untilMs; beat++) tracker.beat(at(beat * 100), beat);
  return tracker;
}

test("a silence becomes a suspicion, and after suspicionMs a silent death", () => {
  const tracker = beating(5_000);
  expect(tracker.evaluate(at(5_500))).toBe("heard");
  expect(tracker.evaluate(at(5_700))).toBe("suspect");
  expect(tracker.evaluate(at(7_600))).toBe("suspect");
  expect(tracker.evaluate(at(7_701))).toBe("silent");
});

test("nothing is suspected before the failure-detector timeout, whatever phi says", () => {
  const tracker = new BeatTracker({ ...homelab, failureDetectorTimeoutMs: 1_500 }, 0, 0);
  for (let beat = 1; beat <= 50; beat++) tracker.beat(at(beat * 100), beat);
  expect(tracker.phi(at(6_000))).toBeGreaterThan(8);
  expect(tracker.evaluate(at(6_400))).toBe("heard");
  expect(tracker.evaluate(at(6_500))).toBe("suspect");
});

test("one beat after a suspicion puts the death off and two end it", () => {
  const tracker = beating(5_000);
  tracker.evaluate(at(6_000));
  tracker.beat(at(7_500), 51);
  expect(tracker.hearing).toBe("suspect");
  expect(tracker.evaluate(at(9_400))).toBe("suspect");
  tracker.beat(at(9_450), 52);
  tracker.beat(at(9_550), 53);
  expect(tracker.evaluate(at(9_560))).toBe("heard");
});

test("duplicates and late beats count for nothing", () => {
  const tracker = beating(5_000);
  tracker.evaluate(at(5_900));
  expect(tracker.beat(at(5_950), 50)).toBe(false);
  expect(tracker.beat(at(5_960), 7)).toBe(false);
  expect(tracker.evaluate(at(8_000))).toBe("silent");
});

test("the host's own lag is no silence", () => {
  const tracker = beating(5_000);
  expect(tracker.evaluate(at(8_000, { lagMs: 2_900 }))).toBe("heard");
  expect(tracker.evaluate(at(8_700, { lagMs: 2_900 }))).toBe("suspect");
});

test("a frozen host judges nothing and an unfit one suspects nobody", () => {
  const tracker = beating(5_000);
  expect(tracker.evaluate(at(60_000, { frozen: true }))).toBe("heard");
  expect(tracker.evaluate(at(60_000, { maySuspect: false }))).toBe("heard");
  expect(tracker.evaluate(at(60_000))).toBe("suspect");
});

test("a low local health stretches the timeouts", () => {
  const tracker = beating(5_000);
  expect(tracker.evaluate(at(6_500, { stretch: 3 }))).toBe("heard");
  expect(tracker.evaluate(at(7_200, { stretch: 3 }))).toBe("suspect");
  expect(tracker.evaluate(at(13_100, { stretch: 3 }))).toBe("suspect");
  expect(tracker.evaluate(at(13_300, { stretch: 3 }))).toBe("silent");
});

test("who refutes without being heard is accused again later and later, unless somebody else accuses it too", () => {
  const tracker = beating(5_000);
  const accusedAt = (fromMs: number): number => {
    for (let nowMs = fromMs; nowMs < fromMs + 200_000; nowMs += 50)
      if (tracker.evaluate(at(nowMs)) === "suspect") return nowMs;
    return Number.POSITIVE_INFINITY;
  };
  let lastMs = accusedAt(5_000);
  const waits: number[] = [];
  for (let round = 0; round < 7; round++) {
    tracker.refuted(at(lastMs));
    const nextMs = accusedAt(lastMs);
    waits.push(nextMs - lastMs);
    lastMs = nextMs;
  }
  expect(waits).toEqual([2_700, 4_700, 8_700, 16_700, 32_700, 60_700, 60_700]);
  tracker.refuted(at(lastMs));
  tracker.seconded(at(lastMs + 100));
  expect(accusedAt(lastMs + 100) - lastMs).toBeLessThan(1_000);
});

test("a stalled interval is no sample", () => {
  const stalled = beating(5_000);
  stalled.beat(at(8_000, { lagMs: 2_900 }), 51);
  const steady = beating(5_000);
  steady.beat(at(5_100), 51);
  expect(stalled.phi(at(8_600, { lagMs: 2_900 }))).toBeCloseTo(steady.phi(at(5_700)), 0);
});
