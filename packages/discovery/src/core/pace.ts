/** How often something is done again. */
export interface Pace {
  /** The pause after a success. */
  readonly everyMs: number;
  /** The pause after the first failure; it doubles with each further one, up to `everyMs` or `maxRetryMs`, whichever is longer. */
  readonly retryMs: number;
  readonly maxRetryMs: number;
}

/** Share of a pause by which nodes differ, so that those that start together do not ask together for ever. */
const jitter = 0.25;

/** The pause before the next attempt. `draw` is uniform in [0, 1). */
export function pauseMs(pace: Pace, failures: number, draw: number): number {
  const { everyMs, retryMs, maxRetryMs } = pace;
  const base = failures === 0 ? everyMs : Math.min(maxRetryMs, retryMs * 2 ** Math.min(failures - 1, 20));
  return base * (1 - jitter + 2 * jitter * draw);
}
