import { readFileSync } from "node:fs";
import {
  noTotals,
  runConsensusSeed,
  sumTotals,
  unseenEvents,
  type ConsensusRunOptions,
  type ConsensusTotals,
} from "@revoada/simulation";
import { describe, expect, test } from "vitest";

/** Fixed seeds, chosen because together they see every event that the totals count. */
const corpus = [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 20];

/** Runs that have failed once. */
const kept = JSON.parse(
  readFileSync(new URL("../src/consensus/corpus.json", import.meta.url), "utf8"),
) as ConsensusRunOptions[];

describe("a simulated minute of the replicated log", () => {
  const totals: ConsensusTotals = noTotals();

  test.each(corpus)("breaks no promise from seed %i", { timeout: 60_000 }, async (seed) => {
    const result = await runConsensusSeed({ seed });
    sumTotals(totals, result.totals);
    expect(result.violation).toBeUndefined();
    expect(result.totals.operations).toBeGreaterThanOrEqual(1000);
    expect(result.faultKinds).toBeGreaterThanOrEqual(5);
    expect(result.virtualMs).toBeGreaterThanOrEqual(60_000);
  });

  test("has seen every kind of event over the corpus", () => {
    expect(unseenEvents(totals)).toEqual([]);
  });

  test.runIf(kept.length > 0).each(kept)("holds where it once did not: %j", { timeout: 60_000 }, async (options) => {
    expect((await runConsensusSeed(options)).violation).toBeUndefined();
  });
});

test("one seed run twice gives one trace", { timeout: 60_000 }, async () => {
  const [first, second] = [await runConsensusSeed({ seed: 42 }), await runConsensusSeed({ seed: 42 })];
  expect(second.traceHash).toBe(first.traceHash);
  expect(second.totals).toEqual(first.totals);
});

test("two seeds give two traces", { timeout: 60_000 }, async () => {
  const [first, second] = [await runConsensusSeed({ seed: 43 }), await runConsensusSeed({ seed: 44 })];
  expect(second.traceHash).not.toBe(first.traceHash);
});

test("a part of the planned events is a run of its own, and the same each time", { timeout: 60_000 }, async () => {
  const options: ConsensusRunOptions = { seed: 45, only: [0, 1, 2, 30, 31] };
  const [first, second] = [await runConsensusSeed(options), await runConsensusSeed(options)];
  expect(second.traceHash).toBe(first.traceHash);
  expect(first.violation).toBeUndefined();
  expect(first.totals.operations).toBeLessThan(1000);
});

test.each([1, 2, 7])("%i nodes hold as five do", { timeout: 60_000 }, async (nodes) => {
  expect((await runConsensusSeed({ seed: 46, nodes })).violation).toBeUndefined();
});
