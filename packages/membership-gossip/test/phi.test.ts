import { expect, test } from "vitest";
import { fc } from "./property.ts";
import { IntervalWindow, normalTailPhi } from "../src/core/phi.ts";

test("the tail agrees with tables of the normal distribution", () => {
  const table: readonly [number, number][] = [
    [0, 0.5],
    [1, 0.158655253931457],
    [2, 0.022750131948179],
    [3, 0.00134989803163],
    [5, 2.866515719235352e-7],
    [8, 6.220960574271785e-16],
    [-2, 0.977249868051821],
  ];
  for (const [z, probability] of table) expect(normalTailPhi(z)).toBeCloseTo(-Math.log10(probability), 6);
});

test("phi keeps rising where the probability is too small for a double", () => {
  // −log10 Q(40) from the asymptotic series, where Q(40) itself is below the smallest double.
  expect(normalTailPhi(40)).toBeCloseTo(349.437, 2);
  expect(Number.isFinite(normalTailPhi(1e6))).toBe(true);
});

test("more silence never means less suspicion", () => {
  fc.assert(
    fc.property(
      fc.double({ min: -8, max: 60, noNaN: true }),
      fc.double({ min: 1e-3, max: 5, noNaN: true }),
      (z, step) => {
        expect(normalTailPhi(z + step)).toBeGreaterThan(normalTailPhi(z) - 1e-7);
      },
    ),
  );
});

test("the window forgets what is more than 200 intervals ago", () => {
  const window = new IntervalWindow(100);
  for (let index = 0; index < 300; index++) window.add(5_000);
  for (let index = 0; index < 200; index++) window.add(100);
  expect(window.meanMs).toBeCloseTo(100, 6);
  expect(window.sigmaMs).toBe(100);
});

test("punctual beats do not make a late one suspect", () => {
  const window = new IntervalWindow(100);
  for (let index = 0; index < 200; index++) window.add(100);
  expect(window.sigmaMs).toBe(100);
  expect(window.phi(300)).toBeLessThan(2);
  expect(window.phi(700)).toBeGreaterThan(8);
});

test("mean and deviation are those of the samples held", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 10_000 }), { minLength: 200, maxLength: 500 }), (intervals) => {
      const window = new IntervalWindow(100);
      for (const interval of intervals) window.add(interval);
      const held = intervals.slice(-200);
      const mean = held.reduce((sum, value) => sum + value, 0) / held.length;
      const variance = held.reduce((sum, value) => sum + (value - mean) ** 2, 0) / held.length;
      expect(window.meanMs).toBeCloseTo(mean, 4);
      expect(window.sigmaMs).toBeCloseTo(Math.max(100, mean / 4, Math.sqrt(variance)), 2);
    }),
  );
});
