import type { MembershipStrategy } from "@revoada/fabric";
import { IntervalWindow } from "./phi.ts";

const backoffMaxMs = 60_000;
const beatsUntilHeard = 2;

/** The host's own condition at the moment of judging. */
export interface Circumstances {
  readonly nowMs: number;
  /** All the lag of this host so far; see `LocalHealthMonitor.lagMs`. */
  readonly lagMs: number;
  readonly stretch: number;
  readonly maySuspect: boolean;
  readonly frozen: boolean;
}

/** How one observer hears one subject. `silent` is a suspect past `suspicionMs`. */
export type Hearing = "heard" | "suspect" | "silent";

/** Listens to the direct signs of life of one subject in one of its generations. */
export class BeatTracker {
  readonly #strategy: MembershipStrategy;
  #window: IntervalWindow;
  #hearing: Hearing = "heard";
  #lastBeatMs: number | undefined;
  #lagAtLastMs: number;
  #sequence = -1;
  #beatsInRow = 0;
  #silentSinceMs: number;
  #suspectSinceMs = 0;
  #refutations = 0;

  /** Nothing has been heard yet: the first sign of life gets a while longer, for the two have still to find each other. */
  constructor(strategy: MembershipStrategy, nowMs: number, lagMs: number) {
    this.#strategy = strategy;
    this.#window = new IntervalWindow(strategy.gossipCadenceMs);
    this.#silentSinceMs = nowMs + Math.max(1_000, 4 * strategy.failureDetectorTimeoutMs);
    this.#lagAtLastMs = lagMs;
  }

  get hearing(): Hearing {
    return this.#hearing;
  }

  /** When the last sign of life came, undefined before the first. */
  get lastBeatMs(): number | undefined {
    return this.#lastBeatMs;
  }

  /** True where enough was heard in a row since the last silence to call it alive. */
  get steady(): boolean {
    return this.#beatsInRow >= beatsUntilHeard;
  }

  #silenceMs(now: Circumstances, sinceMs: number): number {
    return Math.max(0, now.nowMs - sinceMs - (now.lagMs - this.#lagAtLastMs));
  }

  /** Suspicion, in phi. */
  phi(now: Circumstances): number {
    return this.#window.phi(this.#silenceMs(now, this.#silentSinceMs) / now.stretch);
  }

  /** A direct sign of life. Duplicates and late ones say nothing new; false then. */
  beat(now: Circumstances, sequence: number): boolean {
    if (sequence <= this.#sequence) return false;
    this.#sequence = sequence;
    const intervalMs = this.#lastBeatMs === undefined ? undefined : now.nowMs - this.#lastBeatMs;
    const stalled = now.frozen || now.lagMs - this.#lagAtLastMs > this.#strategy.gossipCadenceMs / 2;
    if (intervalMs !== undefined && this.#hearing === "heard" && this.steady && !stalled) this.#window.add(intervalMs);
    const apart = intervalMs === undefined || this.#tooQuiet(now);
    this.#beatsInRow = apart ? 1 : this.#beatsInRow + 1;
    this.#lastBeatMs = now.nowMs;
    this.#silentSinceMs = now.nowMs;
    this.#suspectSinceMs = now.nowMs;
    this.#lagAtLastMs = now.lagMs;
    if (this.steady) {
      this.#hearing = "heard";
      this.#refutations = 0;
    }
    return true;
  }

  /** True where the silence is one that a fit host would suspect. */
  quiet(now: Circumstances): boolean {
    return this.#tooQuiet(now);
  }

  #tooQuiet(now: Circumstances): boolean {
    const silenceMs = this.#silenceMs(now, this.#silentSinceMs) / now.stretch;
    return (
      silenceMs >= this.#strategy.failureDetectorTimeoutMs && this.#window.phi(silenceMs) >= this.#strategy.phiThreshold
    );
  }

  /** Judges the silence. */
  evaluate(now: Circumstances): Hearing {
    if (now.frozen) return this.#hearing;
    if (this.#hearing === "heard" && now.maySuspect && this.#tooQuiet(now)) {
      this.#hearing = "suspect";
      this.#suspectSinceMs = now.nowMs;
      this.#lagAtLastMs = now.lagMs;
      this.#beatsInRow = 0;
    } else if (this.#hearing === "suspect") {
      const suspicionMs = this.#strategy.suspicionMs * now.stretch;
      if (this.#silenceMs(now, this.#suspectSinceMs) >= suspicionMs) {
        this.#hearing = "silent";
        this.lose();
      }
    }
    return this.#hearing;
  }

  /** The subject is dead by whatever evidence: its window says nothing about the one that may come back. */
  lose(): void {
    this.#beatsInRow = 0;
    this.#window = new IntervalWindow(this.#strategy.gossipCadenceMs);
  }

  /**
   * The subject has proven, by a new incarnation, that it lived after it was accused.
   *
   * Where this observer cannot hear it although others can, accusing it again at once would only make it raise its incarnation
   * for ever. So the next accusation waits twice as long each time, unless another observer accuses it too.
   */
  refuted(now: Circumstances): void {
    if (this.#hearing === "heard" && this.steady) return;
    this.#hearing = "heard";
    const backoffMs = Math.min(backoffMaxMs, this.#strategy.suspicionMs * 2 ** Math.min(16, this.#refutations));
    this.#refutations += 1;
    this.#silentSinceMs = now.nowMs + backoffMs;
    this.#lagAtLastMs = now.lagMs;
  }

  /** Somebody else accuses the subject: no more patience than usual. */
  seconded(now: Circumstances): void {
    if (this.#silentSinceMs > now.nowMs && this.#refutations > 0) this.#silentSinceMs = now.nowMs;
  }
}
