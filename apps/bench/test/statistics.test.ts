import { expect, test } from "vitest";
import { distribution, longestGap, median, percentile } from "../src/statistics.ts";

test("a percentile is the first sample above that share of all", () => {
  const sorted = Array.from({ length: 100 }, (_, at) => at + 1);
  expect(percentile(sorted, 0.5)).toBe(51);
  expect(percentile(sorted, 0.99)).toBe(100);
  expect(percentile(sorted, 1)).toBe(100);
});

test("a percentile of nothing is not a number", () => {
  expect(percentile([], 0.5)).toBeNaN();
});

test("the median does not depend on the order of samples, and leaves them as they are", () => {
  const samples = [9, 1, 5];
  expect(median(samples)).toBe(5);
  expect(samples).toEqual([9, 1, 5]);
});

test("a distribution of few samples has the worst one as its high percentiles", () => {
  expect(distribution([30, 10, 20])).toEqual({ samples: 3, p50: 20, p90: 30, p99: 30, worst: 30 });
});

test("the longest gap lies between two events, before the first or after the last, whichever is longest", () => {
  expect(longestGap([110, 120, 160, 190], 100, 200)).toBe(40);
  expect(longestGap([190, 160], 100, 200)).toBe(60);
  expect(longestGap([110], 100, 200)).toBe(90);
});

test("events outside of the window do not shorten a gap", () => {
  expect(longestGap([90, 210], 100, 200)).toBe(100);
});
