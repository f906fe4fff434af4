import type { Clock } from "@revoada/fabric";

/** The last millisecond of the year 9999: no committed time is later. */
export const maxTimeMs = 253_402_300_799_999;

/**
 * The time that a leader decides and signs by: its wall clock, and never earlier than what is committed.
 *
 * A leader before it may have been ahead. Time goes on from the committed one then, as fast as the monotonic clock, until the wall clock has
 * come up: what takes so long is not to wait for that.
 */
export class LeaderTime {
  readonly #clock: Clock;
  /** The committed time when it was first seen to be ahead, and when that was on the monotonic clock. */
  #ahead: { readonly committedMs: number; readonly seenMs: number } | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Milliseconds since the epoch, whole ones. */
  nowMs(committedMs: number): number {
    const wallMs = Math.floor(this.#clock.wallMs());
    const monotonicMs = this.#clock.monotonicMs();
    if (wallMs >= committedMs) {
      this.#ahead = undefined;
      return Math.min(wallMs, maxTimeMs);
    }
    this.#ahead ??= { committedMs, seenMs: monotonicMs };
    const { committedMs: fromMs, seenMs } = this.#ahead;
    return Math.min(Math.max(committedMs, Math.floor(fromMs + monotonicMs - seenMs)), maxTimeMs);
  }
}
