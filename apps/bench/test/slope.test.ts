import { seededRandom } from "@revoada/fabric/memory";
import { describe, expect, test } from "vitest";
import { fitLine, judgeSlope, studentQuantile } from "../src/torture/slope.ts";

describe("a slope with its interval", () => {
  test("quantiles of Student's distribution are those of the printed tables", () => {
    const table = [
      [1, 12.7062],
      [2, 4.3027],
      [3, 3.1824],
      [5, 2.5706],
      [10, 2.2281],
      [18, 2.1009],
      [28, 2.0484],
      [100, 1.984],
      [1000, 1.9623],
    ] as const;
    for (const [freedom, quantile] of table) expect(studentQuantile(0.975, freedom)).toBeCloseTo(quantile, 4);
  });

  test("a worked example comes out as by hand", () => {
    const fit = fitLine([2, 4, 5, 4, 5].map((y, at) => ({ x: at + 1, y })));
    // Sxx = 10, Sxy = 6, SSR = 2.4: b = 0.6, s = √(0.8 / 10), t(3) = 3.18245.
    expect(fit.slope).toBeCloseTo(0.6, 10);
    expect(fit.high - fit.slope).toBeCloseTo(3.182446 * Math.sqrt(0.08), 5);
    expect(fit.slope - fit.low).toBeCloseTo(fit.high - fit.slope, 10);
    expect(fit.autocorrelation).toBeCloseTo(-0.15, 10);
  });

  test("a line without noise has an interval of its own slope only", () => {
    const fit = fitLine([0, 10, 20, 40].map((x) => ({ x, y: 7 - 3 * x })));
    expect([fit.low, fit.slope, fit.high].map((each) => each.toFixed(9))).toEqual(Array(3).fill("-3.000000000"));
  });

  test.each([
    ["independent noise", 0],
    ["noise that drags on", 0.6],
  ])("95 of 100 intervals hold the slope that is there, under %s", (_name, drag) => {
    const random = seededRandom(1);
    const normal = (): number => Math.sqrt(-2 * Math.log(1 - random.float())) * Math.cos(2 * Math.PI * random.float());
    const trials = 2000;
    let held = 0;
    for (let trial = 0; trial < trials; trial += 1) {
      let noise = normal();
      const points = Array.from({ length: 60 }, (_, x) => {
        noise = drag * noise + Math.sqrt(1 - drag * drag) * normal();
        return { x, y: 0.3 * x + noise };
      });
      const { low, high } = fitLine(points);
      if (low <= 0.3 && 0.3 <= high) held += 1;
    }
    // Three standard errors of 2,000 trials are 1.5 %; the correction for noise that drags on is itself an estimate.
    expect(held / trials).toBeGreaterThan(drag === 0 ? 0.935 : 0.91);
    expect(held / trials).toBeLessThan(0.97);
  });

  test("an aim is kept only where the whole interval is below it", () => {
    const fit = { slope: 10, low: 8, high: 12, count: 20, autocorrelation: 0 };
    expect([12, 11, 8, 7].map((aim) => judgeSlope(fit, aim))).toEqual(["within", "undecided", "undecided", "exceeded"]);
  });

  test("too few observations, or all at one place, are refused", () => {
    expect(() =>
      fitLine([
        { x: 0, y: 0 },
        { x: 1, y: 1 },
      ]),
    ).toThrow("at least 3 observations, not 2");
    expect(() => fitLine([1, 2, 3].map((y) => ({ x: 1, y })))).toThrow("at the same place");
  });
});
