/** What a run of callers measured. Latencies in milliseconds. */
export interface LoadResult {
  readonly callers: number;
  readonly operations: number;
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

/** The value below which a share of the sorted samples lies. */
export function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

/**
 * Closed loop: each caller proposes, waits for the answer, and proposes again. What ends before the warm-up is over is not counted.
 */
export async function runCallers(
  options: LoadOptions,
  propose: (payload: Uint8Array) => Promise<unknown>,
): Promise<LoadResult> {
  const { callers, warmUpMs, measureMs, payloadBytes } = options;
  const startMs = performance.now() + warmUpMs;
  const endMs = startMs + measureMs;
  const latencies: number[] = [];
  let failed = 0;
  const caller = async (): Promise<void> => {
    const payload = new Uint8Array(payloadBytes).fill(7);
    for (let now = performance.now(); now < endMs; now = performance.now()) {
      try {
        await propose(payload);
      } catch {
        failed += 1;
        continue;
      }
      const doneMs = performance.now();
      if (now >= startMs && doneMs <= endMs) latencies.push(doneMs - now);
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
  const sorted = Float64Array.from(latencies).toSorted() as unknown as readonly number[];
  return {
    callers,
    operations: latencies.length,
    failed,
    perSecond: (latencies.length * 1000) / measureMs,
    p50Ms: percentile(sorted, 0.5),
    p99Ms: percentile(sorted, 0.99),
    p999Ms: percentile(sorted, 0.999),
  };
}
