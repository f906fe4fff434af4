import type { TickerTarget } from "./ticker.ts";

/** What brings ticks to a replica. */
export interface Ticks {
  /** Sees to it that the next tick comes in time. */
  arm(): void;
  /** Sees to it that those who wait are looked after. */
  armSweep(): void;
  stop(): void;
}

/** What a replica needs of the host that runs it beside others. */
export interface HostLink {
  /** Ticks of the host: one timer for all of its groups, and one that tells whether the process stood still. */
  ticks(target: TickerTarget): Ticks;
}
