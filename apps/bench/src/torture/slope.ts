/** One observation. */
export interface Point {
  readonly x: number;
  readonly y: number;
}

/** A straight line through observations, and how sure its slope is. */
export interface Fit {
  readonly slope: number;
  /** The 95 % interval of the slope. */
  readonly low: number;
  readonly high: number;
  readonly count: number;
  /** Of residuals with those before them; above 0 they tell less than as many independent ones would. */
  readonly autocorrelation: number;
}

/**
 * The least-squares slope b = Sxy / Sxx of at least three observations in the order in which they were made, with its 95 %
 * interval b ± t · s.
 *
 * s² = SSR / f / Sxx, and t is the 0.975 quantile of Student's distribution with f degrees of freedom. f = n − 2 where the residuals
 * are independent. Where those of successive observations correlate (ρ > 0), f = n (1 − ρ) / (1 + ρ) − 2: the series says as much
 * as so many independent observations.
 */
export function fitLine(points: readonly Point[]): Fit {
  const count = points.length;
  if (count < 3) throw new RangeError(`a slope with an interval takes at least 3 observations, not ${count}`);
  const meanX = points.reduce((sum, { x }) => sum + x, 0) / count;
  const meanY = points.reduce((sum, { y }) => sum + y, 0) / count;
  let [sxx, sxy] = [0, 0];
  for (const { x, y } of points) {
    sxx += (x - meanX) ** 2;
    sxy += (x - meanX) * (y - meanY);
  }
  if (sxx === 0) throw new RangeError("all observations were made at the same place");
  const slope = sxy / sxx;
  const residuals = points.map(({ x, y }) => y - meanY - slope * (x - meanX));
  const squares = residuals.reduce((sum, residual) => sum + residual ** 2, 0);
  const products = residuals.reduce((sum, residual, at) => sum + residual * (residuals[at - 1] ?? 0), 0);
  const autocorrelation = squares === 0 ? 0 : products / squares;
  const positive = Math.min(Math.max(autocorrelation, 0), 0.99);
  const inflation = (1 + positive) / (1 - positive);
  const freedom = Math.max(1, count / inflation - 2);
  const half = studentQuantile(0.975, freedom) * Math.sqrt(squares / freedom / sxx);
  return { slope, low: slope - half, high: slope + half, count, autocorrelation };
}

/** What an interval says of an aim that must not be exceeded. `undecided`: too few or too restless observations. */
export function judgeSlope(fit: Fit, aim: number): "within" | "exceeded" | "undecided" {
  if (fit.high <= aim) return "within";
  return fit.low > aim ? "exceeded" : "undecided";
}

/** The value below which Student's distribution with `freedom` degrees of freedom has the share `share` ≥ 0.5. */
export function studentQuantile(share: number, freedom: number): number {
  let [low, high] = [0, 1];
  while (studentShare(high, freedom) < share) high *= 2;
  for (let step = 0; step < 200 && high - low > 1e-12 * high; step += 1) {
    const middle = (low + high) / 2;
    if (studentShare(middle, freedom) < share) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/** P(T ≤ t) for t ≥ 0, by the regularised incomplete beta function (Abramowitz and Stegun, 26.7.1 and 26.5.27). */
function studentShare(t: number, freedom: number): number {
  return 1 - incompleteBeta(freedom / (freedom + t * t), freedom / 2, 0.5) / 2;
}

function incompleteBeta(x: number, a: number, b: number): number {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x));
  // The continued fraction converges quickly on this side only; the other one follows from symmetry.
  return x < (a + 1) / (a + b + 2) ? (front * betaFraction(x, a, b)) / a : 1 - (front * betaFraction(1 - x, b, a)) / b;
}

/** The continued fraction of Abramowitz and Stegun, 26.5.8, from its end. */
function betaFraction(x: number, a: number, b: number): number {
  let value = 1;
  for (let m = 200; m >= 1; m -= 1) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    const odd = (-(a + m - 1) * (a + b + m - 1) * x) / ((a + 2 * m - 2) * (a + 2 * m - 1));
    value = 1 + odd / (1 + even / value);
  }
  return 1 / value;
}

/** ln Γ(z) for z > 0: Stirling's series (Abramowitz and Stegun, 6.1.41), after z was raised to where it is exact. */
function logGamma(z: number): number {
  let [argument, shift] = [z, 0];
  for (; argument < 20; argument += 1) shift += Math.log(argument);
  const series = 1 / (12 * argument) - 1 / (360 * argument ** 3) + 1 / (1260 * argument ** 5);
  return (argument - 0.5) * Math.log(argument) - argument + 0.5 * Math.log(2 * Math.PI) + series - shift;
}
