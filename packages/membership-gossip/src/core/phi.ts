const ln10 = Math.LN10;
const halfLogTwoPi = 0.5 * Math.log(2 * Math.PI);
const fractionTerms = 80;

/**
 * −log₁₀ of the probability that a normal variable exceeds `z` standard deviations.
 *
 * Computed in log space, so that it keeps rising where the probability itself has long become 0 in a double: from 1 on through
 * the continued fraction of Mills' ratio (Abramowitz & Stegun 26.2.14), below it through the polynomial of 26.2.17.
 */
export function normalTailPhi(z: number): number {
  if (z < 1) return -Math.log(z < 0 ? 1 - centralTail(-z) : centralTail(z)) / ln10;
  let denominator = z;
  for (let term = fractionTerms; term >= 1; term--) denominator = z + term / denominator;
  return (0.5 * z * z + halfLogTwoPi + Math.log(denominator)) / ln10;
}

/** P(X > z) for z ≥ 0, with an absolute error below 7.5e-8. */
function centralTail(z: number): number {
  const t = 1 / (1 + 0.2316419 * z);
  const polynomial = t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
  return Math.exp(-0.5 * z * z - halfLogTwoPi) * polynomial;
}

const capacity = 200;

/** The last 200 intervals between signs of life, with their mean and deviation kept as they come. */
export class IntervalWindow {
  readonly #samples: number[] = [];
  #next = 0;
  #sum = 0;
  #sumOfSquares = 0;

  /** Starts with what the cadence promises, so that the first seconds can be judged too (as Akka's detector does). */
  constructor(expectedMs: number) {
    this.add(expectedMs * 0.75);
    this.add(expectedMs * 1.25);
  }

  add(intervalMs: number): void {
    const replaced = this.#samples.length === capacity ? (this.#samples[this.#next] ?? 0) : 0;
    this.#samples[this.#next] = intervalMs;
    this.#next = (this.#next + 1) % capacity;
    this.#sum += intervalMs - replaced;
    this.#sumOfSquares += intervalMs * intervalMs - replaced * replaced;
  }

  get meanMs(): number {
    return this.#sum / this.#samples.length;
  }

  /** Never below 100 ms nor a quarter of the mean: a run of punctual beats must not make a late one a death. */
  get sigmaMs(): number {
    const mean = this.meanMs;
    const variance = Math.max(0, this.#sumOfSquares / this.#samples.length - mean * mean);
    return Math.max(100, mean / 4, Math.sqrt(variance));
  }

  /** Suspicion after `elapsedMs` of silence. */
  phi(elapsedMs: number): number {
    return elapsedMs <= 0 ? 0 : normalTailPhi((elapsedMs - this.meanMs) / this.sigmaMs);
  }
}
