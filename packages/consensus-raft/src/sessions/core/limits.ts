import { InvalidValueError } from "@revoada/fabric";

/**
 * Bounds of the session table. They are part of the replicated state: each session that is opened brings those of whoever opens it,
 * and the last ones hold on every replica, so that replicas which were configured differently still agree on what has expired.
 */
export interface SessionLimits {
  /** Sessions at once; one more expires the one that has been idle for the longest stretch of the log. */
  readonly maxSessions: number;
  /** Sequence numbers of one session between the last that was acknowledged and the highest that is taken. */
  readonly maxInFlight: number;
  /** Largest result that is kept for a repeat. */
  readonly maxResultBytes: number;
  /** Kept results and what sessions cost beside them; beyond it the longest idle sessions expire. */
  readonly maxBytes: number;
}

export const defaultSessionLimits: SessionLimits = {
  maxSessions: 4096,
  maxInFlight: 64,
  maxResultBytes: 64 * 1024,
  maxBytes: 64 * 1024 * 1024,
};

/** What a session costs beside its results, and a result beside its bytes. */
export const sessionOverheadBytes = 64;
export const resultOverheadBytes = 40;

const ceilings: SessionLimits = {
  maxSessions: 1_000_000,
  maxInFlight: 4096,
  maxResultBytes: 4 * 1024 * 1024,
  maxBytes: 2 ** 36,
};

/** Refuses limits that no table could keep. Throws `FABRIC_INVALID_VALUE`. */
export function checkSessionLimits(limits: SessionLimits, path: string): SessionLimits {
  for (const name of ["maxSessions", "maxInFlight", "maxResultBytes", "maxBytes"] as const) {
    const value = limits[name];
    if (!Number.isSafeInteger(value) || value < 1 || value > ceilings[name])
      throw new InvalidValueError(`${path}.${name}`, value, `a whole number from 1 to ${ceilings[name]}`);
  }
  // One session that uses its whole window must fit, or it would expire itself.
  const least = sessionOverheadBytes + limits.maxInFlight * (limits.maxResultBytes + resultOverheadBytes);
  if (limits.maxBytes < least)
    throw new InvalidValueError(
      `${path}.maxBytes`,
      limits.maxBytes,
      `at least ${least}: one window of largest results`,
    );
  return limits;
}
