/** Bounds of the pause between two dials of one peer. */
export interface BackoffLimits {
  readonly minMs: number;
  readonly maxMs: number;
}

/**
 * The pause after the given number of failures in a row: doubling, capped, and drawn from its upper half so that nodes that
 * lost a peer at the same moment do not all come back at the same moment.
 *
 * @param jitter uniform in [0, 1).
 */
export function backoffMs(failures: number, limits: BackoffLimits, jitter: number): number {
  const ceiling = Math.min(limits.maxMs, limits.minMs * 2 ** Math.min(failures - 1, 30));
  return ceiling * (0.5 + jitter / 2);
}
