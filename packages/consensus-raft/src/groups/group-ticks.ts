import type { Clock, Metrics } from "@revoada/fabric";
import type { Ticks } from "../driver/host-link.ts";
import type { TickerTarget } from "../driver/ticker.ts";

/** Ticks of one group on the clock of its host, which also tells when the process stood still. */
export class GroupTicks implements Ticks {
  readonly #clock: Clock;
  readonly #sweepMs: number;
  readonly #target: TickerTarget;
  readonly #metrics: Metrics;
  readonly #onStop: () => void;
  #cancel: (() => void) | undefined;
  #dueMs = Infinity;
  #cancelSweep: (() => void) | undefined;
  #stopped = false;

  constructor(clock: Clock, electionTimeoutMs: number, target: TickerTarget, metrics: Metrics, onStop: () => void) {
    this.#clock = clock;
    this.#sweepMs = electionTimeoutMs / 5;
    this.#target = target;
    this.#metrics = metrics;
    this.#onStop = onStop;
  }

  arm(): void {
    if (this.#stopped) return;
    const wakeMs = this.#target.wakeMs();
    if (wakeMs < this.#dueMs) this.#plan(wakeMs);
    this.armSweep();
  }

  armSweep(): void {
    if (this.#stopped || this.#cancelSweep !== undefined || !this.#target.needsSweep()) return;
    this.#cancelSweep = this.#clock.schedule(this.#sweepMs, () => {
      this.#cancelSweep = undefined;
      this.#target.sweep();
      this.armSweep();
    });
  }

  stalled(): void {
    if (this.#stopped) return;
    this.#target.checkClocks();
    this.#target.stalled();
    this.arm();
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel?.();
    this.#cancelSweep?.();
    this.#onStop();
  }

  #plan(wakeMs: number): void {
    this.#cancel?.();
    this.#dueMs = wakeMs;
    this.#cancel = this.#clock.schedule(Math.max(0, wakeMs - this.#clock.monotonicMs()), () => this.#fire());
  }

  #tick(): void {
    this.#metrics.count("revoada_raft_ticks_total");
    this.#target.tick();
  }

  #fire(): void {
    this.#cancel = undefined;
    this.#dueMs = Infinity;
    this.#target.checkClocks();
    if (this.#clock.monotonicMs() >= this.#target.wakeMs()) this.#tick();
    this.arm();
  }
}
