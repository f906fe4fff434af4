import {
  isFabricError,
  type Clock,
  type Lease,
  type LeaseId,
  type Leadership,
  type Logger,
  type Metrics,
  type StoreReader,
  type Term,
} from "@revoada/fabric";
import { readLease, readLeases } from "./core/lease-records.ts";
import { catalogLimits } from "./core/limits.ts";
import { CatalogLeaseNotFoundError, LeaseNotLeaderError, LeaseUndecidedError } from "./errors.ts";
import type { CatalogMachine } from "./machine.ts";

export interface LessorOptions {
  readonly store: StoreReader;
  readonly machine: CatalogMachine;
  readonly clock: Clock;
  readonly leadership: Leadership;
  /** Has these leases ended by a command that holds in this term only; resolves with those that did end. */
  readonly expire: (term: Term, leases: readonly LeaseId[]) => Promise<readonly LeaseId[]>;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

/** Leases are looked through no more often than this: what is over is over a little later. */
const minTickMs = 100;
/** And no less often, so that a mistake about the next deadline is no more than this. */
const maxTickMs = 5_000;
/** A tick that is later than this shows that the process stood still, and renewals may be waiting to be read. */
const stallMs = 250;
/** How soon an expiry that was not committed is tried again. */
const retryMs = 1_000;
/** How long a renewal waits for a lease whose end is being committed. */
const defaultWaitMs = 5_000;

interface Countdown {
  readonly ttlMs: number;
  deadlineMs: number;
}

/**
 * Counts leases down, on the node that leads and nowhere else.
 *
 * A new leader gives every lease its full time again, from a moment at which it has applied all that was committed before. Renewals are
 * kept in memory only. That is safe because a renewal is granted only after a majority has confirmed, later than the request came,
 * that this node leads: whoever leads next begins to count later than that. Between the finding that a lease is over and the commit
 * of its end it cannot be renewed, and the command is refused in any other term.
 */
export class Lessor {
  readonly #options: LessorOptions;
  readonly #countdowns = new Map<number, Countdown>();
  /** Leases whose end is being committed. */
  readonly #ending = new Map<number, Promise<void>>();
  readonly #unsubscribe: readonly (() => void)[];
  /** The term that is being counted in; undefined where this node does not lead, or not yet. */
  #term: Term | undefined;
  #beginning: { readonly term: Term; readonly done: Promise<void> } | undefined;
  #cancelTick: (() => void) | undefined;
  #plannedMs = 0;
  #closed = false;

  constructor(options: LessorOptions) {
    this.#options = options;
    const { machine, leadership } = options;
    this.#unsubscribe = [
      leadership.onChange(() => this.#follow()),
      machine.subscribe({
        committed: () => undefined,
        restored: () => this.#startAnew(),
        leasesChanged: ({ granted, ended }) => this.#changed(granted, ended),
      }),
    ];
    this.#follow();
  }

  close(): void {
    this.#closed = true;
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    this.#stop();
  }

  /** Begins the lease anew, or only says how long it has; in milliseconds. Rejects with `RAFT_NOT_LEADER` where this node does not lead. */
  async count(
    id: LeaseId,
    act: "renew" | "look",
    options: { readonly signal?: AbortSignal; readonly timeoutMs?: number },
  ): Promise<number> {
    const { leadership, clock } = this.#options;
    const term = await leadership.confirm(options);
    await this.#within(this.#term === term ? undefined : this.#beginning?.done, options);
    if (act === "renew") {
      await this.#within(this.#ending.get(id), options);
      if (this.#ending.has(id) && this.#term === term) throw new LeaseUndecidedError(id);
    }
    if (this.#term !== term || leadership.term() !== term) throw new LeaseNotLeaderError();
    const countdown = this.#countdowns.get(id);
    if (countdown === undefined) throw new CatalogLeaseNotFoundError(`lease ${id} does not exist, or has ended`);
    const nowMs = clock.monotonicMs();
    if (act === "renew") countdown.deadlineMs = nowMs + countdown.ttlMs;
    return Math.max(0, Math.floor(countdown.deadlineMs - nowMs));
  }

  /** Resolves with `work`, or without it once the time is up. */
  async #within(
    work: Promise<void> | undefined,
    { signal, timeoutMs = defaultWaitMs }: { readonly signal?: AbortSignal; readonly timeoutMs?: number },
  ): Promise<void> {
    if (work === undefined) return;
    let give = (): void => undefined;
    const over = new Promise<void>((resolve) => {
      give = resolve;
    });
    const cancel = this.#options.clock.schedule(timeoutMs, give);
    signal?.addEventListener("abort", give, { once: true });
    await Promise.race([work, over]);
    cancel();
    signal?.removeEventListener("abort", give);
    signal?.throwIfAborted();
  }

  #follow(): void {
    const term = this.#options.leadership.term();
    if (term === undefined) return this.#stop();
    if (this.#closed || term === this.#term || term === this.#beginning?.term) return;
    this.#stop();
    const { promise, resolve } = Promise.withResolvers<void>();
    // Known before it begins: whatever it waits for, it looks whether it is still wanted.
    this.#beginning = { term, done: promise };
    void this.#begin(term).then(resolve);
  }

  #stop(): void {
    this.#term = undefined;
    this.#beginning = undefined;
    this.#cancelTick?.();
    this.#cancelTick = undefined;
    this.#countdowns.clear();
    this.#ending.clear();
  }

  /** Once leadership is confirmed, everything that was committed before it is applied: every lease of then is there to be read. */
  async #begin(term: Term): Promise<void> {
    const { leadership, clock, logger } = this.#options;
    const wanted = (): boolean => !this.#closed && this.#beginning?.term === term && leadership.term() === term;
    while (wanted()) {
      try {
        if ((await leadership.confirm()) === term) break;
      } catch (error) {
        logger.debug("leadership is not confirmed yet, no lease is counted", { term, error: String(error) });
      }
      await new Promise<void>((resolve) => void clock.schedule(minTickMs, resolve));
    }
    if (!wanted()) return;
    this.#term = term;
    this.#beginning = undefined;
    this.#startAnew();
  }

  #startAnew(): void {
    if (this.#term === undefined) return;
    this.#countdowns.clear();
    for (const lease of readLeases(this.#options.store)) this.#start(lease);
    this.#measure();
    if (this.#countdowns.size > 0) this.#schedule(minTickMs);
  }

  #start({ id, ttlMs }: Lease): void {
    this.#countdowns.set(id, { ttlMs, deadlineMs: this.#options.clock.monotonicMs() + ttlMs });
  }

  #changed(granted: readonly Lease[], ended: readonly Lease[]): void {
    if (this.#term === undefined) return;
    // A lease that was granted and revoked in one batch is not there any more.
    for (const lease of granted) if (readLease(this.#options.store, lease.id) !== undefined) this.#start(lease);
    for (const { id } of ended) this.#countdowns.delete(id);
    this.#measure();
    if (granted.length === 0) return;
    const soonestMs = granted.reduce((least, { ttlMs }) => Math.min(least, ttlMs), Number.POSITIVE_INFINITY);
    const isLater = this.#options.clock.monotonicMs() + soonestMs >= this.#plannedMs;
    if (this.#cancelTick === undefined || !isLater) this.#schedule(soonestMs);
  }

  #measure(): void {
    this.#options.metrics.gauge("revoada_catalog_leases", this.#countdowns.size);
  }

  #schedule(delayMs: number): void {
    const { clock } = this.#options;
    this.#cancelTick?.();
    const waitMs = Math.min(maxTickMs, Math.max(minTickMs, delayMs));
    this.#plannedMs = clock.monotonicMs() + waitMs;
    this.#cancelTick = clock.schedule(waitMs, () => this.#tick());
  }

  #tick(): void {
    const { clock, logger } = this.#options;
    const term = this.#term;
    this.#cancelTick = undefined;
    if (term === undefined) return;
    const nowMs = clock.monotonicMs();
    const lateMs = nowMs - this.#plannedMs;
    if (lateMs > stallMs) {
      // The holders did not stand still: what they sent meanwhile has not been read yet.
      logger.info("the process stood still, leases begin anew", { lateMs: Math.round(lateMs) });
      for (const countdown of this.#countdowns.values()) countdown.deadlineMs = nowMs + countdown.ttlMs;
    }
    let nextMs = Number.POSITIVE_INFINITY;
    const over: LeaseId[] = [];
    for (const [id, { deadlineMs }] of this.#countdowns) {
      if (this.#ending.has(id)) continue;
      if (deadlineMs <= nowMs && over.length < catalogLimits.expiries) over.push(id as LeaseId);
      else nextMs = Math.min(nextMs, deadlineMs);
    }
    if (over.length > 0) this.#end(term, over);
    // What is being ended may be left over: a command takes only so much.
    if (this.#countdowns.size > 0) this.#schedule(nextMs - nowMs);
  }

  #end(term: Term, leases: readonly LeaseId[]): void {
    const done = this.#commitEnd(term, leases);
    for (const id of leases) this.#ending.set(id, done);
    void done.then(() => {
      if (this.#term !== term) return;
      for (const id of leases) if (this.#ending.get(id) === done) this.#ending.delete(id);
    });
  }

  /**
   * Goes on until it is known what became of them. A command of this term whose outcome is unknown may still be in the log, and a lease
   * must not be renewed before it; the one that is proposed after it settles both.
   */
  async #commitEnd(term: Term, leases: readonly LeaseId[]): Promise<void> {
    const { expire, clock, logger, metrics } = this.#options;
    while (this.#term === term && !this.#closed) {
      try {
        const ended = await expire(term, leases);
        metrics.count("revoada_catalog_leases_expired_total", ended.length);
        logger.info("leases have expired", { leases: ended.length, term });
        return;
      } catch (error) {
        if (isFabricError(error, "CATALOG_EXPIRY_REFUSED")) return;
        logger.debug("leases that are over are not ended yet", { term, error: String(error) });
      }
      await new Promise<void>((resolve) => void clock.schedule(retryMs, resolve));
    }
  }
}
