import {
  isFabricError,
  type Catalog,
  type Clock,
  type Duty,
  type DutyContext,
  type FencingToken,
  type Logger,
  type Metrics,
  type NodeId,
} from "@revoada/fabric";
import type { ChainArchiver } from "../chain/archiver.ts";
import { DutyLostError } from "../errors.ts";
import { dutyCatalog } from "./duty-catalog.ts";
import { Hold } from "./hold.ts";
import type { DutyStanding } from "./placement.ts";

/** `idle`: this node may not do it. `waiting`: it could, and another does or the lease is being asked for. `failed`: it is tried again later. */
export type DutyState = "idle" | "waiting" | "starting" | "running" | "stopping" | "failed";

export interface DutyRunnerOptions {
  readonly duty: Duty;
  readonly node: NodeId;
  readonly catalog: Catalog;
  readonly chain: Pick<ChainArchiver, "archive"> | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly leaseTtlMs: number;
  readonly standing: () => DutyStanding;
  /** How many others go first where the singleton is free. */
  readonly rank: () => number;
  /** Called after the state changed. */
  readonly onChange: () => void;
}

/** How long those of the next rank leave a free singleton to those before them. */
const rankStepMs = 500;
/** How soon a grant is asked for again that was not given, and at the latest what others hold is looked at again. */
const askAgainMs = 1_000;
const lookAgainMs = 5_000;
/** A duty that fails is left alone for so long, twice as long each time. */
const minBackoffMs = 1_000;
const maxBackoffMs = 60_000;
/** How long a duty may take to end before nobody waits for it any more. */
const endTimeoutMs = 10_000;

/** One duty's life on one node: it runs while the node may do it and, for a singleton, holds its lease. */
export class DutyRunner {
  readonly duty: Duty;
  readonly #options: DutyRunnerOptions;
  readonly #closing = new AbortController();
  #state: DutyState = "idle";
  #hold: Hold | undefined;
  #error: string | undefined;
  #failures = 0;
  #wake: () => void = () => undefined;
  #life: Promise<void> | undefined;

  constructor(options: DutyRunnerOptions) {
    this.#options = options;
    this.duty = options.duty;
  }

  get state(): DutyState {
    return this.#state;
  }

  /** The token that is held here. */
  get token(): FencingToken | undefined {
    return this.#hold?.token;
  }

  /** What the last start failed with, while the duty is `failed`. */
  get error(): string | undefined {
    return this.#state === "failed" ? this.#error : undefined;
  }

  start(): void {
    this.#life ??= this.#live();
  }

  /** Something changed that it depends on: the formation, or who holds what. */
  poke(): void {
    this.#wake();
  }

  /** Ends the duty and gives its lease back. */
  async stop(): Promise<void> {
    this.#closing.abort();
    this.#wake();
    await this.#life;
  }

  get #isClosed(): boolean {
    return this.#closing.signal.aborted;
  }

  async #live(): Promise<void> {
    while (!this.#isClosed) {
      if (this.#options.standing() === "none") {
        this.#become("idle");
        await this.#changeWithin(lookAgainMs);
        continue;
      }
      const isSingleton = this.duty.kind === "singleton";
      const hold = isSingleton ? await this.#acquire() : undefined;
      if (isSingleton && hold === undefined) continue;
      await this.#run(hold);
      if (this.#state === "failed") await this.#backOff();
    }
    this.#become("idle");
  }

  /** Waits until the duty is free and it is this node's turn; undefined where this node may not take it any more. */
  async #acquire(): Promise<Hold | undefined> {
    const { catalog, clock, logger, leaseTtlMs, node } = this.#options;
    const { name } = this.duty;
    this.#become("waiting");
    let freeSinceMs: number | undefined;
    while (!this.#isClosed && this.#options.standing() === "takes") {
      if (await this.#isHeldByOther()) {
        freeSinceMs = undefined;
        await this.#changeWithin(lookAgainMs);
        continue;
      }
      freeSinceMs ??= clock.monotonicMs();
      const turnMs = freeSinceMs + this.#options.rank() * rankStepMs - clock.monotonicMs();
      if (turnMs > 0) {
        await this.#changeWithin(turnMs);
        continue;
      }
      const signal = this.#closing.signal;
      const { leases } = catalog;
      try {
        return await Hold.acquire({ duty: name, holder: node, ttlMs: leaseTtlMs, leases, clock, logger, signal });
      } catch (error) {
        logger.debug("a duty was not granted", { duty: name, error: String(error) });
        await this.#changeWithin(askAgainMs);
      }
    }
    // A cordoned node waits for its cordon to go; the formation says so.
    if (!this.#isClosed && this.#options.standing() === "keeps") await this.#changeWithin(lookAgainMs);
    return undefined;
  }

  /** A lease of an earlier life of this node, which nobody renews any more, is given back at once. */
  async #isHeldByOther(): Promise<boolean> {
    const { catalog, node, logger, leaseTtlMs } = this.#options;
    const held = catalog.leases.duties().find(({ duty }) => duty === this.duty.name);
    if (held === undefined) return false;
    if (held.holder !== node) return true;
    try {
      await catalog.leases.revoke(held.lease, { signal: this.#closing.signal, timeoutMs: leaseTtlMs });
      return false;
    } catch (error) {
      logger.debug("a lease of before was not given back", { duty: this.duty.name, error: String(error) });
      return !isFabricError(error, "CATALOG_LEASE_NOT_FOUND");
    }
  }

  async #run(hold: Hold | undefined): Promise<void> {
    const { metrics } = this.#options;
    const ending = new AbortController();
    this.#hold = hold;
    this.#become("starting");
    hold?.lost.addEventListener("abort", () => this.#wake(), { once: true });
    const signal = hold === undefined ? ending.signal : AbortSignal.any([ending.signal, hold.lost]);
    try {
      await this.#runUntilEnded(hold, signal, () => ending.abort());
    } catch (error) {
      const mayGoOn = this.#mayGoOn(hold);
      ending.abort();
      if (mayGoOn) this.#fail(error);
    }
    if (hold?.lost.aborted === true) metrics.count("revoada_cluster_duty_losses_total", 1, { duty: this.duty.name });
    await hold?.release();
    this.#hold = undefined;
  }

  async #runUntilEnded(hold: Hold | undefined, signal: AbortSignal, abort: () => void): Promise<void> {
    const { logger, metrics } = this.#options;
    const { name } = this.duty;
    const starting = this.duty.start(this.#context(hold, signal));
    const attempt = { isSettled: false };
    const settled = (): void => {
      attempt.isSettled = true;
      this.#wake();
    };
    starting.then(settled, settled);
    while (!attempt.isSettled && this.#mayGoOn(hold)) await this.#changeWithin(lookAgainMs);
    if (this.#mayGoOn(hold)) {
      await starting;
      this.#failures = 0;
      metrics.count("revoada_cluster_duty_starts_total", 1, { duty: name });
      logger.info("a duty runs here", { duty: name, ...(hold === undefined ? {} : { fence: hold.token }) });
      this.#become("running");
    }
    while (this.#mayGoOn(hold)) await this.#changeWithin(lookAgainMs);
    this.#become("stopping");
    abort();
    await this.#end(starting);
    logger.info("a duty has ended here", { duty: name, why: this.#whyEnded(hold) });
  }

  #mayGoOn(hold: Hold | undefined): boolean {
    return !this.#isClosed && this.#options.standing() !== "none" && hold?.lost.aborted !== true;
  }

  #whyEnded(hold: Hold | undefined): string {
    if (hold?.lost.aborted === true) return (hold.lost.reason as Error).message;
    return this.#isClosed ? "the node stops" : "the node is no active master any more";
  }

  #context(hold: Hold | undefined, signal: AbortSignal): DutyContext {
    const { catalog, chain, clock, logger, metrics, node } = this.#options;
    const { name } = this.duty;
    const isHeld = (): boolean => !signal.aborted && (hold?.isHeld() ?? true);
    const mayDrop = (): void => {
      if (!isHeld()) throw new DutyLostError(name, "the lease ended while blocks were archived");
    };
    return {
      duty: name,
      node,
      ...(hold === undefined ? {} : { token: hold.token }),
      catalog: dutyCatalog(catalog, name, hold),
      ...(chain === undefined
        ? {}
        : { chain: { archive: (order, options) => chain.archive(order, { ...options, mayDrop }) } }),
      clock,
      logger: logger.child({ duty: name }),
      metrics,
      signal,
      isHeld,
    };
  }

  /** Waits for the end, and not for ever: a duty that does not end is left to itself, and its writes to the fence. */
  async #end(starting: Promise<AsyncDisposable>): Promise<void> {
    const { clock, logger } = this.#options;
    const late = Promise.withResolvers<void>();
    const cancel = clock.schedule(endTimeoutMs, () => {
      logger.error("a duty does not end", { duty: this.duty.name, waitedMs: endTimeoutMs });
      late.resolve();
    });
    const ended = starting.then(async (running) => running[Symbol.asyncDispose]());
    // One that ends later, and badly, is heard by nobody else.
    const heard = ended.catch((error: unknown) =>
      logger.debug("a duty ended with an error", { duty: this.duty.name, error: String(error) }),
    );
    await Promise.race([heard, late.promise]);
    cancel();
  }

  #fail(error: unknown): void {
    const { logger, metrics } = this.#options;
    this.#failures += 1;
    this.#error = error instanceof Error ? error.message : String(error);
    metrics.count("revoada_cluster_duty_failures_total", 1, { duty: this.duty.name });
    logger.warn("a duty failed, it is tried again later", { duty: this.duty.name, error: String(error) });
    this.#become("failed");
  }

  async #backOff(): Promise<void> {
    const { clock } = this.#options;
    const untilMs = clock.monotonicMs() + Math.min(maxBackoffMs, minBackoffMs * 2 ** Math.min(this.#failures - 1, 16));
    while (!this.#isClosed && clock.monotonicMs() < untilMs) await this.#changeWithin(untilMs - clock.monotonicMs());
  }

  #become(state: DutyState): void {
    if (state === this.#state) return;
    this.#state = state;
    this.#options.metrics.gauge("revoada_cluster_duty_running", state === "running" ? 1 : 0, { duty: this.duty.name });
    this.#options.onChange();
  }

  /** Resolves when something changes, or after so long. */
  #changeWithin(timeoutMs: number): Promise<void> {
    if (this.#isClosed) return Promise.resolve();
    return new Promise((resolve) => {
      const cancel = this.#options.clock.schedule(timeoutMs, () => resolve());
      this.#wake = () => {
        cancel();
        resolve();
      };
    });
  }
}
