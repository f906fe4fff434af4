import type { Clock } from "@revoada/fabric";

/**
 * Compares the wall clock with the monotonic one. Where they part, the monotonic one may have stood still, as it does in suspend
 * on some systems: what was counted on it is void then. Small steps add up within a window, so that none of them goes unseen.
 */
export class ClockWatch {
  readonly #clock: Clock;
  readonly #windowMs: number;
  readonly #toleranceMs: number;
  #offsetMs: number;
  #sinceMs: number;

  constructor(clock: Clock, windowMs: number, toleranceMs: number) {
    this.#clock = clock;
    this.#windowMs = windowMs;
    this.#toleranceMs = toleranceMs;
    this.#sinceMs = clock.monotonicMs();
    this.#offsetMs = clock.wallMs() - this.#sinceMs;
  }

  /** True where the clocks have parted since the last question. */
  jumped(): boolean {
    const nowMs = this.#clock.monotonicMs();
    const offsetMs = this.#clock.wallMs() - nowMs;
    const parted = Math.abs(offsetMs - this.#offsetMs) > this.#toleranceMs;
    if (parted || nowMs - this.#sinceMs >= this.#windowMs) {
      this.#offsetMs = offsetMs;
      this.#sinceMs = nowMs;
    }
    return parted;
  }
}
