import { isFabricError, type Clock, type FencingToken, type Lease, type Leases, type Logger } from "@revoada/fabric";
import { DutyLostError } from "../errors.ts";

export interface HoldOptions {
  readonly duty: string;
  readonly holder: string;
  readonly ttlMs: number;
  readonly leases: Leases;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

/** The part of a lease that is not used: clocks may differ in speed, and what is under way takes a moment to end. */
const marginShare = 1 / 5;
const renewShare = 1 / 4;
/** A renewal that failed is tried again after this share, at least so many milliseconds. */
const retryShare = 1 / 20;
const minRetryMs = 50;
/** How long giving a lease back is tried: a node that stops is not to wait for a quorum that is gone. */
const releaseTimeoutMs = 2_000;

/**
 * A singleton's lease, as the node that holds it sees it.
 *
 * It is renewed long before its time is up. What it is good for is counted on this node's monotonic clock from *before* each request
 * and ends a margin before anybody else may have it. Where nothing was heard in time, the hold is lost by itself: no message is needed.
 */
export class Hold {
  readonly token: FencingToken;
  readonly #options: HoldOptions;
  readonly #lease: Lease;
  readonly #lost = new AbortController();
  #validUntilMs: number;
  /** How far the wall clock was ahead of the monotonic one when the lease was last known to stand. */
  #wallOffsetMs: number;
  #cancelEnd: (() => void) | undefined;
  #cancelRenewal: (() => void) | undefined;
  #renewing = false;
  #isReleased = false;

  /** Has the duty granted. Rejects as `Leases.grant` does, with `CATALOG_DUTY_HELD` where another holds it. */
  static async acquire(options: HoldOptions): Promise<Hold> {
    const { leases, clock, duty, holder, ttlMs, signal } = options;
    const [sentMs, wallOffsetMs] = [clock.monotonicMs(), clock.wallMs() - clock.monotonicMs()];
    const lease = await leases.grant({ duty, holder, ttlMs }, { signal, timeoutMs: ttlMs });
    return new Hold(options, lease, sentMs, wallOffsetMs);
  }

  private constructor(options: HoldOptions, lease: Lease, sentMs: number, wallOffsetMs: number) {
    this.#options = options;
    this.#lease = lease;
    this.token = lease.token;
    this.#validUntilMs = this.#goodUntil(sentMs);
    this.#wallOffsetMs = wallOffsetMs;
    this.#watchEnd();
    this.#scheduleRenewal(options.ttlMs * renewShare);
  }

  /** Aborts once the hold is lost, with why. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** True while the lease is good by the clock as it is now. Where the time is up already, the hold is lost by this call. */
  isHeld(): boolean {
    return !this.#isReleased && this.#isInTime() && !this.#wasAway();
  }

  /** Throws `DUTY_LOST` where this node knows that a write could only be refused. */
  requireHeld(): void {
    if (this.#isReleased || !this.#isInTime()) throw this.#lost.signal.reason ?? this.#lostBecause("it was given back");
  }

  /** Gives the lease back, so that another need not wait for its end. Never rejects. */
  async release(): Promise<void> {
    this.#isReleased = true;
    this.#stopTimers();
    const { leases, ttlMs, logger, duty } = this.#options;
    try {
      await leases.revoke(this.#lease.id, { timeoutMs: Math.min(ttlMs, releaseTimeoutMs) });
    } catch (error) {
      // It ends by itself all the same.
      logger.debug("the lease of a duty was not given back", { duty, error: String(error) });
    }
  }

  #goodUntil(sentMs: number): number {
    return sentMs + this.#options.ttlMs * (1 - marginShare);
  }

  #isInTime(): boolean {
    if (this.#lost.signal.aborted) return false;
    if (this.#options.clock.monotonicMs() < this.#validUntilMs) return true;
    this.#lose("its time is up here and no renewal was heard of");
    return false;
  }

  /**
   * True where more time has passed for the world than for the monotonic clock, as while a machine is suspended: nothing is said until a
   * renewal shows that the lease still stands. A wall clock that was set looks the same and costs one renewal.
   */
  #wasAway(): boolean {
    const { clock, ttlMs } = this.#options;
    const aheadMs = clock.wallMs() - clock.monotonicMs() - this.#wallOffsetMs;
    if (aheadMs <= ttlMs * marginShare) return false;
    this.#scheduleRenewal(0);
    return true;
  }

  #watchEnd(): void {
    const { clock } = this.#options;
    this.#cancelEnd?.();
    this.#cancelEnd = clock.schedule(Math.max(0, this.#validUntilMs - clock.monotonicMs()), () => {
      if (!this.#isReleased) this.#isInTime();
    });
  }

  #scheduleRenewal(delayMs: number): void {
    if (this.#renewing || this.#isReleased) return;
    this.#cancelRenewal?.();
    this.#cancelRenewal = this.#options.clock.schedule(delayMs, () => void this.#renew());
  }

  async #renew(): Promise<void> {
    const { clock, leases, ttlMs, logger, duty } = this.#options;
    if (this.#renewing || this.#isReleased || !this.#isInTime()) return;
    this.#renewing = true;
    const [sentMs, wallOffsetMs] = [clock.monotonicMs(), clock.wallMs() - clock.monotonicMs()];
    let nextMs = ttlMs * renewShare;
    try {
      const timeoutMs = Math.max(1, Math.floor(Math.min(ttlMs * renewShare, this.#validUntilMs - sentMs)));
      await leases.keepAlive(this.#lease.id, { timeoutMs, signal: this.#lost.signal });
      this.#validUntilMs = this.#goodUntil(sentMs);
      this.#wallOffsetMs = wallOffsetMs;
      if (!this.#isReleased && this.#isInTime()) this.#watchEnd();
    } catch (error) {
      if (isFabricError(error, "CATALOG_LEASE_NOT_FOUND")) this.#lose("its lease has ended");
      nextMs = Math.max(minRetryMs, ttlMs * retryShare);
      logger.debug("the lease of a duty was not renewed", { duty, error: String(error) });
    } finally {
      this.#renewing = false;
    }
    if (!this.#lost.signal.aborted) this.#scheduleRenewal(nextMs);
  }

  #lose(why: string): void {
    if (this.#lost.signal.aborted || this.#isReleased) return;
    this.#stopTimers();
    this.#lost.abort(this.#lostBecause(why));
  }

  #lostBecause(why: string): DutyLostError {
    return new DutyLostError(this.#options.duty, why);
  }

  #stopTimers(): void {
    this.#cancelEnd?.();
    this.#cancelRenewal?.();
  }
}
