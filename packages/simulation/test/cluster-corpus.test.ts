import { addTotals, emptyTotals, missingEvents, runSeed, type RunResult } from "@revoada/simulation";
import { describe, expect, test } from "vitest";

/** Fixed seeds, chosen because together they see every event that the totals count. */
const corpus = [1, 3, 4, 5, 6, 7, 8, 10];

describe("a simulated minute of crashes, partitions, losses, stalls and disk failures", () => {
  const results: RunResult[] = [];

  test.each(corpus)("breaks no invariant from seed %i", { timeout: 120_000 }, async (seed) => {
    const result = await runSeed({ seed });
    results.push(result);
    expect(result.violation).toBeUndefined();
    expect(result.totals.operations).toBeGreaterThanOrEqual(1000);
    expect(result.virtualMs).toBeGreaterThan(60_000);
  });

  test("has seen every kind of event over the corpus", () => {
    const totals = emptyTotals();
    for (const result of results) addTotals(totals, result.totals);
    expect(missingEvents(totals)).toEqual([]);
  });
});

test("one seed run twice gives one trace", { timeout: 60_000 }, async () => {
  const [first, second] = [await runSeed({ seed: 46, chaosMs: 10_000 }), await runSeed({ seed: 46, chaosMs: 10_000 })];
  expect(first.violation).toBeUndefined();
  expect(second.traceHash).toBe(first.traceHash);
});

test("two seeds give two traces", { timeout: 60_000 }, async () => {
  const [first, second] = [await runSeed({ seed: 43, chaosMs: 5000 }), await runSeed({ seed: 44, chaosMs: 5000 })];
  expect(second.traceHash).not.toBe(first.traceHash);
});

test.each([3, 7])("%i nodes hold as five do", { timeout: 120_000 }, async (nodes) => {
  const result = await runSeed({ seed: 45, nodes, chaosMs: 20_000 });
  expect(result.violation).toBeUndefined();
});
