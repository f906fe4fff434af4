import type { Clock } from "@revoada/fabric";

/** What time is for. */
export interface TickerTarget {
  /** When the core wants its next tick. */
  wakeMs(): number;
  tick(): void;
  /** The process stood still for longer than half an election timeout. */
  stalled(): void;
  /** Before a tick: whether the clocks still agree. */
  checkClocks(): void;
  needsSweep(): boolean;
  sweep(): void;
}

/**
 * Brings ticks when they are due, and tells late ones from those in time.
 *
 * A tick that comes late says that this process did not run, not that others were silent: what has arrived meanwhile is
 * received first, two turns of it, and timers then start anew.
 */
export class Ticker {
  readonly #clock: Clock;
  readonly #electionTimeoutMs: number;
  readonly #target: TickerTarget;
  #cancel: (() => void) | undefined;
  #dueMs = Infinity;
  #cancelSweep: (() => void) | undefined;
  #draining = false;
  #stopped = false;

  constructor(clock: Clock, electionTimeoutMs: number, target: TickerTarget) {
    this.#clock = clock;
    this.#electionTimeoutMs = electionTimeoutMs;
    this.#target = target;
  }

  /** Sees to it that the next tick comes in time. Cheap where it is already planned early enough. */
  arm(): void {
    if (this.#stopped) return;
    const wakeMs = this.#target.wakeMs();
    if (!this.#draining && wakeMs < this.#dueMs) this.#plan(wakeMs);
    this.armSweep();
  }

  /** Sees to it that those who wait are looked after. */
  armSweep(): void {
    if (this.#stopped || this.#cancelSweep !== undefined || !this.#target.needsSweep()) return;
    this.#cancelSweep = this.#clock.schedule(this.#electionTimeoutMs / 5, () => {
      this.#cancelSweep = undefined;
      this.#target.sweep();
      this.armSweep();
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel?.();
    this.#cancelSweep?.();
  }

  #plan(wakeMs: number): void {
    this.#cancel?.();
    this.#dueMs = wakeMs;
    this.#cancel = this.#clock.schedule(Math.max(0, wakeMs - this.#clock.monotonicMs()), () => this.#fire());
  }

  #fire(): void {
    this.#cancel = undefined;
    this.#target.checkClocks();
    const nowMs = this.#clock.monotonicMs();
    const lateMs = nowMs - this.#dueMs;
    this.#dueMs = Infinity;
    if (lateMs > this.#electionTimeoutMs / 2) return this.#drainFirst();
    // Timers of hosts may fire a fraction early, and what is due may have moved on since this was planned.
    if (nowMs >= this.#target.wakeMs()) this.#target.tick();
    if (!this.#stopped) this.arm();
  }

  #drainFirst(): void {
    this.#draining = true;
    this.#clock.nextTurn(() => {
      this.#clock.nextTurn(() => {
        this.#draining = false;
        if (this.#stopped) return;
        this.#target.stalled();
        this.arm();
      });
    });
  }
}
