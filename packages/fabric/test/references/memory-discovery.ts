import { HintFeed, type AddressHint, type Discovery, type NodeId } from "@revoada/fabric";
import type { DiscoveryFixture } from "@revoada/fabric/contract/discovery";
import { virtualClock } from "@revoada/fabric/memory";
import { virtualTime } from "@revoada/fabric/contract/discovery";

/** Ways in which a source can be wrong. */
export type DiscoveryDefect =
  | "finds nobody"
  | "names no source"
  | "gives what is no address"
  | "forgets what was found before"
  | "goes on after the signal"
  | "ends all streams with one"
  | "streams for ever"
  | "cannot be stopped twice";

const someone = "a".repeat(64) as NodeId;

/** A source that finds one node, and does so as soon as it starts. */
class MemoryDiscovery implements Discovery {
  readonly name = "memory";
  readonly #defect: DiscoveryDefect | undefined;
  readonly #feed = new HintFeed();
  readonly #everybody = new AbortController();
  readonly #forgetful: HintFeed[] = [];
  #found: AddressHint | undefined;
  #isStopped = false;

  constructor(defect: DiscoveryDefect | undefined) {
    this.#defect = defect;
  }

  async start(): Promise<void> {
    if (this.#defect === "finds nobody" || this.#found !== undefined) return;
    this.#found = {
      source: this.#defect === "names no source" ? "" : "memory",
      id: someone,
      addresses: ["10.0.0.1:1", ...(this.#defect === "gives what is no address" ? ["somewhere"] : [])],
    };
    for (const feed of [this.#feed, ...this.#forgetful]) feed.offer(this.#found);
  }

  hints(options: { readonly signal: AbortSignal }): AsyncIterable<AddressHint> {
    const never = new AbortController().signal;
    if (this.#defect === "goes on after the signal") return this.#feed.hints({ signal: never });
    if (this.#defect === "streams for ever") return endless(this.#feed, options.signal);
    if (this.#defect === "forgets what was found before") return this.#forget().hints(options);
    if (this.#defect !== "ends all streams with one") return this.#feed.hints(options);
    options.signal.addEventListener("abort", () => this.#everybody.abort(), { once: true });
    return this.#feed.hints({ signal: AbortSignal.any([options.signal, this.#everybody.signal]) });
  }

  /** A feed that has heard of nothing. */
  #forget(): HintFeed {
    const feed = new HintFeed();
    this.#forgetful.push(feed);
    return feed;
  }

  async shutdown(): Promise<void> {
    if (this.#isStopped && this.#defect === "cannot be stopped twice") await new Promise<never>(() => {});
    this.#isStopped = true;
    this.#feed.end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }
}

/** A stream that outlives its source. */
async function* endless(feed: HintFeed, signal: AbortSignal): AsyncGenerator<AddressHint> {
  yield* feed.hints({ signal });
  if (!signal.aborted) await new Promise<never>(() => {});
}

/** A fixture of the kit, over virtual time. */
export async function memoryDiscovery(defect?: DiscoveryDefect): Promise<DiscoveryFixture> {
  const source = new MemoryDiscovery(defect);
  return {
    time: virtualTime(virtualClock()),
    source,
    expected: { id: someone, addresses: ["10.0.0.1:1"] },
    [Symbol.asyncDispose]: async () => {},
  };
}
