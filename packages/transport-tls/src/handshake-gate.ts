import type { Clock } from "@revoada/fabric";
import { HandshakeBudget, type HandshakeLimits } from "./core/handshake-budget.ts";
import type { TrafficLoad } from "./core/traffic-load.ts";

interface Waiting {
  readonly source: string;
  readonly begin: () => void;
}

/** A handshake that takes longer than this waits for the other side, and nobody waits for it. */
const paceMs = 5;
/** What a wait was reckoned from may have changed by then: it may have become calm. */
const longestWaitMs = 100;

/**
 * Lets handshakes begin one by one: no more than the budget has, of which there is less while admitted peers have much to say, none beside another one that is being worked on, and sources take turns.
 *
 * Holds whoever has to wait, without looking at what it sends: to turn a flood away at once would only make it come back sooner. How many
 * may wait is for the owner to say, and so is for how long.
 */
export class HandshakeGate {
  readonly #clock: Clock;
  readonly #budget: HandshakeBudget;
  readonly #load: TrafficLoad;
  /** By source; the one whose turn is next comes first. */
  readonly #waiting = new Map<string, Set<Waiting>>();
  #current: Waiting | undefined;
  #currentUntilMs = 0;
  #cancelWake: (() => void) | undefined;
  #turnAsked = false;

  constructor(clock: Clock, limits: HandshakeLimits, load: TrafficLoad) {
    this.#clock = clock;
    this.#load = load;
    this.#budget = new HandshakeBudget(limits, clock.monotonicMs());
  }

  /** Calls `begin` once the source's turn has come, perhaps at once. What it returns is to be called when the handshake is over or given up. */
  enter(source: string, begin: () => void): () => void {
    const waiting: Waiting = { source, begin };
    const others = this.#waiting.get(source);
    if (others === undefined) this.#waiting.set(source, new Set([waiting]));
    else others.add(waiting);
    this.#next();
    return () => this.#leave(waiting);
  }

  /** A handshake from this source has shown an admitted peer, named together with its channel. */
  admitted(source: string, who: string): void {
    this.#budget.admitted(source, who, this.#clock.monotonicMs());
  }

  /** A connection from this source broke the protocol. */
  violated(source: string): void {
    this.#budget.violated(source, this.#clock.monotonicMs());
  }

  #leave(left: Waiting): void {
    this.#remove(left);
    if (this.#current === left) this.#current = undefined;
    if (this.#waiting.size === 0) return this.#stopWaiting();
    if (this.#turnAsked) return;
    // Whatever else the process has to do goes between two handshakes.
    this.#turnAsked = true;
    this.#clock.nextTurn(() => {
      this.#turnAsked = false;
      this.#next();
    });
  }

  #next(): void {
    this.#stopWaiting();
    if (this.#turnAsked || this.#waiting.size === 0) return;
    const nowMs = this.#clock.monotonicMs();
    if (this.#current !== undefined && nowMs < this.#currentUntilMs) return this.#wakeIn(this.#currentUntilMs - nowMs);
    const share = this.#load.share(nowMs);
    let soonestMs = longestWaitMs;
    for (const [source, [next]] of this.#waiting) {
      const waitMs = this.#budget.waitMs(source, nowMs, share);
      if (waitMs === 0 && next !== undefined) return this.#begin(next, nowMs, share);
      soonestMs = Math.min(soonestMs, waitMs);
    }
    this.#wakeIn(soonestMs);
  }

  #begin(next: Waiting, nowMs: number, share: number): void {
    const { source } = next;
    this.#budget.take(source, nowMs, share);
    this.#remove(next);
    const others = this.#waiting.get(source);
    if (others !== undefined) {
      this.#waiting.delete(source);
      this.#waiting.set(source, others);
    }
    this.#current = next;
    this.#currentUntilMs = nowMs + paceMs;
    if (this.#waiting.size > 0) this.#wakeIn(paceMs);
    next.begin();
  }

  #remove(waiting: Waiting): void {
    const others = this.#waiting.get(waiting.source);
    if (others?.delete(waiting) === true && others.size === 0) this.#waiting.delete(waiting.source);
  }

  #wakeIn(ms: number): void {
    this.#cancelWake = this.#clock.schedule(Math.ceil(ms), () => {
      this.#cancelWake = undefined;
      this.#next();
    });
  }

  #stopWaiting(): void {
    this.#cancelWake?.();
    this.#cancelWake = undefined;
  }
}
