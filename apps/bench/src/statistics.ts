/** The value below which a share of the sorted samples lies. */
export function percentile(sorted: ArrayLike<number>, share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

/** The middle of a series; of an even number of samples the upper of the two in the middle. */
export function median(values: readonly number[]): number {
  return percentile(
    values.toSorted((a, b) => a - b),
    0.5,
  );
}

/** What a series of times looks like. */
export interface Distribution {
  readonly samples: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly worst: number;
}

/** With few samples the high percentiles are the worst one. */
export function distribution(values: readonly number[]): Distribution {
  const sorted = values.toSorted((a, b) => a - b);
  return {
    samples: sorted.length,
    p50: percentile(sorted, 0.5),
    p90: percentile(sorted, 0.9),
    p99: percentile(sorted, 0.99),
    worst: sorted.at(-1) ?? Number.NaN,
  };
}

/** The longest time without an event between two instants; events may be in any order. */
export function longestGap(events: readonly number[], from: number, to: number): number {
  let longest = 0;
  let last = from;
  for (const at of events.filter((each) => each > from && each < to).toSorted((a, b) => a - b)) {
    longest = Math.max(longest, at - last);
    last = at;
  }
  return Math.max(longest, to - last);
}
