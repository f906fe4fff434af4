import {
  shortId,
  silentLogger,
  silentMetrics,
  type Address,
  type Clock,
  type Discovery,
  type Logger,
  type Metrics,
  type NodeId,
  type Random,
} from "@revoada/fabric";
import { HintBook, type BookLimits } from "./core/hint-book.ts";
import { pauseMs, type Pace } from "./core/pace.ts";

/** Who answered at an address, proven by its key, or why that is not known. */
export type Identified = { readonly peer: NodeId } | { readonly why: string };

export interface PeerFinderOptions {
  readonly self: NodeId;
  /** Started and shut down by the finder. */
  readonly sources: readonly Discovery[];
  /** Asks an address who is there. Never rejects for what the other side does. */
  readonly identify: (
    address: Address,
    options: { readonly signal: AbortSignal; readonly timeoutMs: number },
  ) => Promise<Identified>;
  readonly clock: Clock;
  readonly random: Random;
  /** Called each time that something is heard of where a node is, with all that is known of it. */
  readonly onFound?: (id: NodeId, addresses: readonly Address[]) => void;
  readonly limits?: Partial<BookLimits>;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
}

/** Addresses are asked this many at a time, each for so long. */
const concurrentMax = 4;
const identifyTimeoutMs = 3_000;
const pace: Pace = { everyMs: 60_000, retryMs: 500, maxRetryMs: 30_000 };
const maxAddresses = 16;

/** An address of which nobody has said who is there. */
interface Stranger {
  failures: number;
  dueMs: number;
  isAsked: boolean;
  peer: NodeId | undefined;
}

/**
 * Makes one book of the hints of many sources: who may be where.
 *
 * Addresses without a name are asked who is there, again and again, because another node may stand there tomorrow. Nothing that it
 * gives out has to be believed: whoever is dialled proves its key.
 */
export class PeerFinder implements AsyncDisposable {
  readonly #options: PeerFinderOptions;
  readonly #logger: Logger;
  readonly #metrics: Metrics;
  readonly #book: HintBook;
  readonly #strangers = new Map<Address, Stranger>();
  readonly #abort = new AbortController();
  readonly #running = new Set<Promise<void>>();
  #asking = 0;
  #cancel = (): void => {};
  #isStarted = false;

  constructor(options: PeerFinderOptions) {
    this.#options = options;
    this.#logger = (options.logger ?? silentLogger).child({ layer: "discovery" });
    this.#metrics = options.metrics ?? silentMetrics;
    this.#book = new HintBook(options.limits);
  }

  /** Starts every source. Rejects with what the first of them rejects with; none runs then. */
  async start(): Promise<void> {
    if (this.#isStarted) return;
    this.#isStarted = true;
    try {
      for (const source of this.#options.sources) await source.start();
    } catch (error) {
      await this.shutdown();
      throw error;
    }
    for (const source of this.#options.sources) this.#track(this.#follow(source));
  }

  /** Where a node may be, the latest hint first; at most 16. */
  addressesOf(id: NodeId): readonly Address[] {
    const named = this.#book.addressesOf(id, this.#nowMs());
    const met = [...this.#strangers].flatMap(([address, { peer }]) => (peer === id ? address : []));
    return [...new Set([...met, ...named])].slice(0, maxAddresses);
  }

  /** Everybody of whom something was heard. */
  found(): ReadonlySet<NodeId> {
    const ids = new Set(this.#book.nodes(this.#nowMs()));
    for (const { peer } of this.#strangers.values()) if (peer !== undefined) ids.add(peer);
    ids.delete(this.#options.self);
    return ids;
  }

  /** Ends the sources and everything that is under way. */
  async shutdown(): Promise<void> {
    this.#abort.abort();
    this.#cancel();
    await Promise.all(this.#options.sources.map((source) => source.shutdown()));
    await Promise.all(this.#running);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }

  #nowMs(): number {
    return this.#options.clock.monotonicMs();
  }

  #track(work: Promise<void>): void {
    const tracked = work.finally(() => this.#running.delete(tracked));
    this.#running.add(tracked);
  }

  async #follow(source: Discovery): Promise<void> {
    try {
      for await (const hint of source.hints({ signal: this.#abort.signal })) {
        this.#metrics.count("revoada_discovery_hints_total", 1, { source: hint.source });
        const isNews = this.#book.learn(hint, this.#nowMs());
        if (hint.id === undefined) this.#askDue();
        else this.#tell(hint.id, hint.source, isNews);
      }
    } catch (error) {
      this.#logger.error("a source of hints broke", { source: source.name, error: String(error) });
    }
  }

  #tell(id: NodeId, source: string, isNews: boolean): void {
    if (id === this.#options.self) return;
    const addresses = this.addressesOf(id);
    if (isNews) this.#logger.info("a node was found", { node: shortId(id), source, addresses });
    this.#options.onFound?.(id, addresses);
  }

  /** Drops the addresses of which nothing was heard for long, and takes up those that are new. */
  #noteStrangers(nowMs: number): void {
    const named = this.#book.strangers(nowMs);
    for (const address of this.#strangers.keys()) if (!named.has(address)) this.#strangers.delete(address);
    for (const address of named) {
      if (this.#strangers.has(address)) continue;
      this.#strangers.set(address, { failures: 0, dueMs: nowMs, isAsked: false, peer: undefined });
    }
  }

  /** Asks those whose time has come, and sets the clock for the next. */
  #askDue(): void {
    this.#cancel();
    if (this.#abort.signal.aborted) return;
    const nowMs = this.#nowMs();
    this.#noteStrangers(nowMs);
    const waiting = [...this.#strangers].filter(([, { isAsked }]) => !isAsked);
    const sorted = waiting.toSorted(([, a], [, b]) => a.dueMs - b.dueMs);
    for (const [address, stranger] of sorted) {
      if (this.#asking >= concurrentMax) return;
      if (stranger.dueMs > nowMs) {
        this.#cancel = this.#options.clock.schedule(stranger.dueMs - nowMs, () => this.#askDue());
        return;
      }
      this.#asking += 1;
      stranger.isAsked = true;
      this.#track(this.#ask(address, stranger));
    }
  }

  async #ask(address: Address, stranger: Stranger): Promise<void> {
    const { identify, random } = this.#options;
    const { signal } = this.#abort;
    const answer = await identify(address, { signal, timeoutMs: identifyTimeoutMs }).catch((error: unknown) => ({
      why: String(error),
    }));
    this.#asking -= 1;
    if (signal.aborted) return;
    const isKnown = "peer" in answer;
    this.#metrics.count("revoada_discovery_identified_total", 1, { result: isKnown ? "answered" : "failed" });
    const before = stranger.peer;
    if (isKnown) stranger.peer = answer.peer;
    else if (stranger.failures === 0)
      this.#logger.warn("nobody could be asked who is there, it is tried again", { address, reason: answer.why });
    stranger.failures = isKnown ? 0 : stranger.failures + 1;
    stranger.isAsked = false;
    stranger.dueMs = this.#nowMs() + pauseMs(pace, stranger.failures, random.float());
    if (isKnown) this.#tell(answer.peer, address, answer.peer !== before);
    this.#askDue();
  }
}
