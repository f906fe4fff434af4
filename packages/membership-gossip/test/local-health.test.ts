import { expect, test } from "vitest";
import { LocalHealthMonitor } from "../src/core/local-health.ts";

function ticking(untilMs: number): LocalHealthMonitor {
  const health = new LocalHealthMonitor(0, 100);
  for (let nowMs = 100; nowMs <= untilMs; nowMs += 100) health.observe(nowMs, true);
  return health;
}

test("an even tick is a healthy host", () => {
  const health = ticking(10_000);
  expect(health.report(10_000)).toEqual({ score: 0, lastStallMs: 0, frozen: false });
  expect(health.lagMs(10_050)).toBe(0);
});

test("a stall freezes verdicts until two turns without input have passed, and then for as long again", () => {
  const health = ticking(1_000);
  expect(health.observe(4_100, true)).toBe(true);
  expect(health.frozen(1e9)).toBe(true);
  expect(health.turn(4_100, true)).toBe(true);
  expect(health.turn(4_101, false)).toBe(true);
  expect(health.turn(4_102, true)).toBe(true);
  expect(health.turn(4_103, false)).toBe(true);
  expect(health.turn(4_104, false)).toBe(false);
  expect(health.frozen(7_100)).toBe(true);
  expect(health.frozen(7_105)).toBe(false);
  expect(health.report(7_105).lastStallMs).toBe(3_000);
});

test("the hold after a stall lasts two heartbeats at least and 15 seconds at most", () => {
  const short = new LocalHealthMonitor(0, 1_000);
  short.observe(700, true);
  short.turn(700, false);
  short.turn(700, false);
  expect([short.frozen(2_699), short.frozen(2_700)]).toEqual([true, false]);
  const long = new LocalHealthMonitor(0, 100);
  long.observe(300_000, true);
  long.turn(300_000, false);
  long.turn(300_000, false);
  expect([long.frozen(314_999), long.frozen(315_000)]).toEqual([true, false]);
});

test("a stall is found by whichever timer runs first, and once", () => {
  const health = ticking(1_000);
  expect(health.observe(3_000, false)).toBe(true);
  expect(health.observe(3_000, true)).toBe(false);
  expect(health.lagMs(3_000)).toBe(1_900);
});

test("a host that never runs out of input thaws all the same", () => {
  const health = ticking(1_000);
  health.observe(3_000, true);
  let turns = 0;
  while (health.turn(3_000, true)) turns += 1;
  expect(turns).toBeLessThan(1_000);
});

test("the score lies between 0 and 7 and is forgiven with time", () => {
  const health = ticking(1_000);
  for (let blame = 0; blame < 20; blame++) health.blame(1_000, 1);
  expect(health.report(1_000).score).toBe(7);
  expect(health.stretch).toBe(8);
  for (let nowMs = 1_100; nowMs <= 20_000; nowMs += 100) health.observe(nowMs, true);
  expect(health.report(20_000).score).toBe(0);
});

test("an unfit host suspects nobody, but for a minute at most", () => {
  const health = ticking(1_000);
  let suspectedMs: number | undefined;
  for (let nowMs = 1_100; nowMs <= 100_000; nowMs += 100) {
    if (nowMs % 500 === 0 || nowMs === 1_100) health.blame(nowMs, 4);
    health.observe(nowMs, true);
    if (health.maySuspect(nowMs)) suspectedMs ??= nowMs;
  }
  expect(suspectedMs).toBe(61_100);
});
