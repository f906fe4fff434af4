import type { LocalHealth } from "@revoada/fabric";

export const tickMs = 100;
const stallThresholdMs = 500;
const holdMaxMs = 15_000;
const receiveFreeTurns = 2;
/** A host that is never without input has seen enough of it after this many turns. */
const drainTurnsMax = 1_000;
const scoreMax = 7;
/** From this score on a node originates no suspicion … */
const unfitScore = 4;
/** … but no longer than this, or a permanently slow node would leave the cluster blind. */
const unfitMaxMs = 60_000;
/** One point is forgiven after this much time without a reason for another. */
const forgivenessMs = 1_000;

/**
 * What a node thinks of itself as an observer.
 *
 * A stalled event loop sees everybody else as silent, and the first timer after the stall runs before any of what waits in
 * the sockets is read. So verdicts freeze until the input has been drained and then for as long again as the stall took.
 */
export class LocalHealthMonitor {
  readonly #heartbeatMs: number;
  #lastTickMs: number;
  #lagMs = 0;
  #lastStallMs = 0;
  #holdMs = 0;
  #draining = false;
  #quietTurns = 0;
  #turns = 0;
  #frozenUntilMs = Number.NEGATIVE_INFINITY;
  #score = 0;
  #scoreChangedMs: number;
  #unfitSinceMs: number | undefined;

  constructor(nowMs: number, heartbeatMs: number) {
    this.#lastTickMs = nowMs;
    this.#scoreChangedMs = nowMs;
    this.#heartbeatMs = heartbeatMs;
  }

  /** Measures from now on: what was before the first tick is no lag. */
  restart(nowMs: number): void {
    this.#lastTickMs = nowMs;
    this.#scoreChangedMs = nowMs;
  }

  /** Everything that this host was late by so far; differences of it are subtracted from silences. */
  lagMs(nowMs: number): number {
    return this.#lagMs + Math.max(0, nowMs - this.#lastTickMs - tickMs);
  }

  /**
   * Takes notice of the time. Call it before anything that judges, and at least every {@link tickMs}; `tick` says that this call
   * is the periodic one. True where a stall was found, upon which turns must be counted by {@link turn}.
   */
  observe(nowMs: number, tick: boolean): boolean {
    const driftMs = nowMs - this.#lastTickMs - tickMs;
    const stalled = driftMs > stallThresholdMs;
    if (stalled) this.#stall(nowMs, driftMs);
    if (stalled || tick) {
      this.#lagMs += Math.max(0, driftMs);
      this.#lastTickMs = nowMs;
    }
    this.#forgive(nowMs);
    return stalled;
  }

  #stall(nowMs: number, driftMs: number): void {
    this.#lastStallMs = driftMs;
    this.#holdMs = Math.min(holdMaxMs, Math.max(2 * this.#heartbeatMs, driftMs, this.#holdMs));
    this.#draining = true;
    this.#quietTurns = 0;
    this.#turns = 0;
    this.blame(nowMs, 1 + Math.min(2, Math.floor(driftMs / 2_000)));
  }

  /** One turn of the event loop has passed. True while more are needed. */
  turn(nowMs: number, received: boolean): boolean {
    if (!this.#draining) return false;
    this.#quietTurns = received ? 0 : this.#quietTurns + 1;
    this.#turns += 1;
    if (this.#quietTurns < receiveFreeTurns && this.#turns < drainTurnsMax) return true;
    this.#draining = false;
    this.#frozenUntilMs = nowMs + this.#holdMs;
    this.#holdMs = 0;
    return false;
  }

  /** Something spoke against this host: a stall, or a suspicion that it had to refute. */
  blame(nowMs: number, points: number): void {
    this.#score = Math.min(scoreMax, this.#score + points);
    this.#scoreChangedMs = nowMs;
    if (this.#score >= unfitScore) this.#unfitSinceMs ??= nowMs;
  }

  #forgive(nowMs: number): void {
    if (this.#score === 0 || nowMs - this.#scoreChangedMs < forgivenessMs) return;
    this.#score -= 1;
    this.#scoreChangedMs = nowMs;
    if (this.#score < unfitScore) this.#unfitSinceMs = undefined;
  }

  /** True while no verdict may be given. */
  frozen(nowMs: number): boolean {
    return this.#draining || nowMs < this.#frozenUntilMs;
  }

  /** True where a silence may be held against others. */
  maySuspect(nowMs: number): boolean {
    if (this.frozen(nowMs)) return false;
    return this.#unfitSinceMs === undefined || nowMs - this.#unfitSinceMs >= unfitMaxMs;
  }

  /** Own timeouts are stretched by this much: Lifeguard's local health multiplier. */
  get stretch(): number {
    return 1 + this.#score;
  }

  report(nowMs: number): LocalHealth {
    return Object.freeze({ score: this.#score, lastStallMs: this.#lastStallMs, frozen: this.frozen(nowMs) });
  }
}
