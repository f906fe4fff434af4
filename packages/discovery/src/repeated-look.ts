import {
  HintFeed,
  silentLogger,
  silentMetrics,
  type AddressHint,
  type Clock,
  type Discovery,
  type Logger,
  type Metrics,
  type Random,
} from "@revoada/fabric";
import { pauseMs, type Pace } from "./core/pace.ts";

/** What every source here is made of. */
export interface SourceOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
}

/** A source that looks once in a while, for ever. */
export interface LookOptions extends SourceOptions {
  readonly name: string;
  readonly pace: Pace;
  /** Looks once. What it rejects with is logged, and it is called again. */
  readonly look: (signal: AbortSignal) => Promise<readonly AddressHint[]>;
}

/** Runs one look after another until it is shut down; failures make the pauses longer, never the last. */
export class RepeatedLook implements Discovery {
  readonly name: string;
  readonly #options: LookOptions;
  readonly #logger: Logger;
  readonly #metrics: Metrics;
  readonly #feed = new HintFeed();
  readonly #abort = new AbortController();
  #isStarted = false;
  #failures = 0;
  #complaint = "";
  #looking: Promise<void> = Promise.resolve();
  #cancel = (): void => {};

  constructor(options: LookOptions) {
    this.name = options.name;
    this.#options = options;
    this.#logger = (options.logger ?? silentLogger).child({ layer: "discovery", source: options.name });
    this.#metrics = options.metrics ?? silentMetrics;
  }

  async start(): Promise<void> {
    if (this.#isStarted || this.#abort.signal.aborted) return;
    this.#isStarted = true;
    this.#lookNow();
  }

  hints(options: { readonly signal: AbortSignal }): AsyncIterable<AddressHint> {
    return this.#feed.hints(options);
  }

  async shutdown(): Promise<void> {
    this.#abort.abort();
    this.#cancel();
    await this.#looking;
    this.#feed.end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }

  #lookNow(): void {
    this.#looking = this.#look();
  }

  async #look(): Promise<void> {
    const { clock, random, pace, look } = this.#options;
    const { signal } = this.#abort;
    try {
      const hints = await look(signal);
      if (signal.aborted) return;
      this.#failures = 0;
      this.#complaint = "";
      for (const hint of hints) this.#feed.offer(hint);
    } catch (error) {
      if (signal.aborted) return;
      this.#failures += 1;
      this.#complain(error instanceof Error ? error.message : String(error));
    }
    this.#cancel = clock.schedule(pauseMs(pace, this.#failures, random.float()), () => this.#lookNow());
  }

  /** The same reason again and again is said once aloud. */
  #complain(reason: string): void {
    this.#metrics.count("revoada_discovery_failures_total", 1, { source: this.name });
    const isNew = reason !== this.#complaint;
    this.#complaint = reason;
    this.#logger[isNew ? "warn" : "debug"]("nothing was found, it is tried again", {
      reason,
      failures: this.#failures,
    });
  }
}
