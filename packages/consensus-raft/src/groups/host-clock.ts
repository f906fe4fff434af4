import { InvalidValueError, type Clock } from "@revoada/fabric";
import { Timers } from "./timers.ts";

/** What the clock tells its host. */
export interface HostClockOwner {
  /** The process stood still for longer than half an election timeout; what had arrived meanwhile has been received. */
  stalled(): void;
  /** A turn is over, in which any number of groups may have had something to say. */
  turnOver(): void;
  failed(error: unknown): void;
}

/** Timers are due on a grid of T / this, so that those of many groups fire together. */
const gridPerTimeout = 50;

/**
 * One clock for all groups of a host: one timer of the underlying clock, and one turn of it for all that is to run in the next.
 *
 * A timer that comes late by more than T/2 says that this process did not run, not that others were silent. That is found out
 * here, once for all groups: what has arrived meanwhile is received first, two turns of it, then the host is told.
 */
export class HostClock implements Clock {
  readonly #clock: Clock;
  readonly #owner: HostClockOwner;
  readonly #gridMs: number;
  readonly #stallMs: number;
  readonly #timers = new Timers();
  #cancel: (() => void) | undefined;
  #dueMs = Infinity;
  #turn: (() => void)[] = [];
  #depth = 0;
  #turnEnds = false;
  /** What is due runs, or is about to: the next timer is planned afterwards. */
  #busy = false;
  #stopped = false;

  constructor(clock: Clock, electionTimeoutMs: number, owner: HostClockOwner) {
    this.#clock = clock;
    this.#owner = owner;
    this.#gridMs = electionTimeoutMs / gridPerTimeout;
    this.#stallMs = electionTimeoutMs / 2;
  }

  monotonicMs(): number {
    return this.#clock.monotonicMs();
  }

  wallMs(): number {
    return this.#clock.wallMs();
  }

  schedule(delayMs: number, callback: () => void): () => void {
    if (Number.isNaN(delayMs)) throw new InvalidValueError("delayMs", delayMs, "a number");
    if (this.#stopped || delayMs === Infinity) return () => {};
    const atMs = this.#clock.monotonicMs() + Math.max(0, delayMs);
    const timer = this.#timers.add(Math.ceil(atMs / this.#gridMs) * this.#gridMs, callback);
    this.#arm();
    return () => this.#timers.cancel(timer);
  }

  nextTurn(callback: () => void): void {
    if (this.#stopped) return;
    this.#turn.push(callback);
    if (this.#turn.length === 1) this.#clock.nextTurn(() => this.#runTurn());
  }

  /** Runs `work`, and lets the host send what came of it all at once. */
  together(work: () => void): void {
    this.#depth += 1;
    try {
      work();
    } catch (error) {
      this.#owner.failed(error);
    } finally {
      this.#depth -= 1;
      if (this.#depth === 0 && !this.#stopped) this.#owner.turnOver();
    }
  }

  /** Sees to it that the host is told of the end of this turn, whatever runs it. */
  endTurn(): void {
    if (this.#depth > 0 || this.#turnEnds || this.#stopped) return;
    this.#turnEnds = true;
    // Promises of many groups that one flush has resolved go on side by side: a few rounds of them later all have spoken.
    queueMicrotask(() =>
      queueMicrotask(() => {
        this.#turnEnds = false;
        if (!this.#stopped) this.#owner.turnOver();
      }),
    );
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel?.();
    this.#timers.clear();
    this.#turn = [];
  }

  #runTurn(): void {
    const turn = this.#turn;
    this.#turn = [];
    this.#runAll(turn);
  }

  #runAll(callbacks: readonly (() => void)[]): void {
    this.together(() => {
      for (const callback of callbacks) {
        if (this.#stopped) return;
        // What one group throws is not the others' business.
        try {
          callback();
        } catch (error) {
          this.#owner.failed(error);
        }
      }
    });
  }

  #arm(): void {
    if (this.#stopped || this.#busy) return;
    const nextMs = this.#timers.nextMs;
    if (nextMs >= this.#dueMs) return;
    this.#cancel?.();
    this.#dueMs = nextMs;
    this.#cancel = this.#clock.schedule(Math.max(0, nextMs - this.#clock.monotonicMs()), () => this.#fire());
  }

  #fire(): void {
    this.#cancel = undefined;
    const lateMs = this.#clock.monotonicMs() - this.#dueMs;
    this.#dueMs = Infinity;
    if (lateMs > this.#stallMs) return this.#drainFirst();
    this.#runDue();
  }

  #runDue(): void {
    this.#busy = true;
    const due = this.#timers.takeDue(this.#clock.monotonicMs());
    this.#runAll(
      due.map((timer) => (): void => {
        const { callback } = timer;
        timer.callback = undefined;
        callback?.();
      }),
    );
    this.#busy = false;
    this.#arm();
  }

  #drainFirst(): void {
    this.#busy = true;
    this.#clock.nextTurn(() => {
      this.#clock.nextTurn(() => {
        if (this.#stopped) return;
        this.together(() => this.#owner.stalled());
        this.#runDue();
      });
    });
  }
}
