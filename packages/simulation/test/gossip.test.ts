import {
  gossipEvents,
  idealRounds,
  measureIdle,
  measureSpread,
  realSignatures,
  runGossipSeed,
  settledWorld,
  unseenGossipEvents,
} from "@revoada/simulation";
import { seededRandom } from "@revoada/fabric/memory";
import { expect, test } from "vitest";

test(
  "a thousand nodes hear news within 1.5 times the ideal, also while three frames in ten are lost",
  { timeout: 240_000 },
  () => {
    const world = settledWorld({ seed: 1, nodes: 1_000 }, 400);
    // Both throw where it takes longer, or where anybody dies meanwhile.
    for (const loss of [0, 0.3]) {
      const { rounds, idealRounds: ideal } = measureSpread(world, loss, 1);
      expect(rounds.every((each) => each > 0)).toBe(true);
      expect(ideal.every((each) => each >= 5)).toBe(true);
    }
  },
);

test("the ideal is that of the theory: some rounds more for each tenfold, and more where frames are lost", () => {
  const random = seededRandom("ideal");
  const mean = (nodes: number, loss: number): number =>
    Array.from({ length: 10 }, () => idealRounds(nodes, loss, random)).reduce((sum, each) => sum + each, 0) / 10;
  const [hundred, thousand, lossy] = [mean(100, 0), mean(1_000, 0), mean(1_000, 0.3)];
  expect(hundred).toBeGreaterThanOrEqual(3);
  expect(thousand).toBeGreaterThan(hundred);
  expect(lossy).toBeGreaterThan(thousand);
  expect(lossy).toBeLessThan(12);
});

test(
  "what a node sends as signs of life does not grow with the cluster, and at rest neither does what it sends of state",
  { timeout: 60_000 },
  () => {
    const [few, many] = [10, 200].map((nodes) => measureIdle(settledWorld({ seed: 3, nodes })));
    expect(few?.livenessBytes).toBeGreaterThan(0);
    expect(many?.livenessBytes).toBeLessThan(1.15 * (few?.livenessBytes ?? 0));
    expect(many?.stateBytes).toBeLessThan(1.15 * (few?.stateBytes ?? 0));
  },
);

test(
  "a world of forty nodes keeps every promise, has seen everything that is counted, and is the same each time",
  { timeout: 120_000 },
  () => {
    const first = runGossipSeed({ seed: 1, nodes: 40, keys: 2 });
    expect(first.violation).toBeUndefined();
    expect(unseenGossipEvents(first.totals)).toEqual([]);
    const second = runGossipSeed({ seed: 1, nodes: 40, keys: 2 });
    expect(second.traceHash).toBe(first.traceHash);
    expect(second.totals).toEqual(first.totals);
    expect(runGossipSeed({ seed: 2, nodes: 40, keys: 1, losses: [0] }).traceHash).not.toBe(first.traceHash);
  },
);

test("a world whose signatures are real ones keeps the same promises", { timeout: 120_000 }, () => {
  const { violation, totals } = runGossipSeed({ seed: 5, nodes: 16, keys: 2, signatures: realSignatures() });
  expect(violation).toBeUndefined();
  expect(gossipEvents.filter((event) => totals[event] === 0)).toEqual([]);
});

test("a world is the same whether each frame is read from its bytes or one in 64", { timeout: 60_000 }, () => {
  const [all, few] = [1, 64].map((readsEvery) =>
    runGossipSeed({ seed: 4, nodes: 30, keys: 1, losses: [0.3], readsEvery }),
  );
  expect(few?.traceHash).toBe(all?.traceHash);
  expect(few?.totals).toEqual(all?.totals);
});

test("a run that breaks a promise says which one, and where", { timeout: 60_000 }, () => {
  // Nobody's suspicion can be shorter than the time that beats take in heavy weather.
  const hasty = { phiThreshold: 0.5, gossipCadenceMs: 100, failureDetectorTimeoutMs: 101, suspicionMs: 150 };
  const { violation } = runGossipSeed({ seed: 1, nodes: 20, keys: 2, strategy: hasty });
  expect(violation?.message).toMatch(/^no death without a reason|^nobody is accused at rest|^who stalls briefly/);
  expect(violation?.latest.length).toBeGreaterThan(0);
});
