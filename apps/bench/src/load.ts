import { percentile } from "./statistics.ts";

/** What a run of callers measured. Latencies in milliseconds. */
export interface LoadResult {
  readonly callers: number;
  /** Ended well within the measured time, whenever they began. */
  readonly operations: number;
  /** Everything that ended well, warming up included: what CPU time is divided by. */
  readonly allOperations: number;
  readonly failed: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
}

export interface LoadOptions {
  readonly callers: number;
  readonly warmUpMs: number;
  readonly measureMs: number;
  readonly payloadBytes: number;
}

const partSamples = 65_536;

/** Grows part by part: to copy a million samples into a larger array would hold up what is measured. */
class Samples {
  readonly #parts: Float64Array[] = [];
  #used = partSamples;

  get length(): number {
    return (this.#parts.length - 1) * partSamples + this.#used;
  }

  push(value: number): void {
    if (this.#used === partSamples) {
      this.#parts.push(new Float64Array(partSamples));
      this.#used = 0;
    }
    (this.#parts.at(-1) as Float64Array)[this.#used] = value;
    this.#used += 1;
  }

  sorted(): Float64Array {
    const all = new Float64Array(this.length);
    for (const [at, part] of this.#parts.entries())
      all.set(part.subarray(0, Math.min(partSamples, all.length - at * partSamples)), at * partSamples);
    return all.sort();
  }
}

/**
 * Closed loop: each caller proposes, waits for the answer, and proposes again. Counted is what ends within the measured time; to count
 * only what also began in it would take a whole latency's worth away from a slow program, and next to nothing from a fast one.
 */
export async function runCallers(
  options: LoadOptions,
  operate: (payload: Uint8Array, caller: number) => Promise<unknown>,
): Promise<LoadResult> {
  const { callers, warmUpMs, measureMs, payloadBytes } = options;
  const startMs = performance.now() + warmUpMs;
  const endMs = startMs + measureMs;
  const latencies = new Samples();
  let failed = 0;
  let allOperations = 0;
  const caller = async (_: unknown, number: number): Promise<void> => {
    const payload = new Uint8Array(payloadBytes).fill(7);
    for (let now = performance.now(); now < endMs; now = performance.now()) {
      try {
        await operate(payload, number);
      } catch {
        failed += 1;
        // Refusals may come at once: others must get their turn.
        await new Promise((resolve) => setImmediate(resolve));
        continue;
      }
      const doneMs = performance.now();
      allOperations += 1;
      if (doneMs >= startMs && doneMs <= endMs) latencies.push(doneMs - now);
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
  const sorted = latencies.sorted();
  return {
    callers,
    operations: latencies.length,
    allOperations,
    failed,
    perSecond: (latencies.length * 1000) / measureMs,
    p50Ms: percentile(sorted, 0.5),
    p99Ms: percentile(sorted, 0.99),
    p999Ms: percentile(sorted, 0.999),
  };
}
