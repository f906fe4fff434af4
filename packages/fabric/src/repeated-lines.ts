import type { Clock } from "./seams/clock.ts";
import type { LogFields, Logger } from "./seams/logger.ts";

export interface RepeatedLinesOptions {
  readonly logger: Logger;
  readonly clock: Clock;
  /** How soon what was said of one peer may be said again, 60,000 ms unless told. */
  readonly everyMs?: number;
  /** Of how many peers at a time one message is said; the others are counted together. 64 unless told. */
  readonly maxPeers?: number;
}

interface Said {
  atMs: number;
  /** How often it would have been said since. */
  unsaid: number;
}

const defaultEveryMs = 60_000;
const defaultMaxPeers = 64;
/** Most messages that are told apart; they are written in the code, and not by peers. */
const maxMessages = 256;

/** Stands for all peers beyond those that are told apart. */
const crowd = "";

/**
 * A log of what others cause, which none of them can fill: a message about a peer is written once, then counted, and written again, with how
 * often it was left out as `repeated`, no sooner than after a while. Beyond a number of peers one line stands for all others, under `peers: "many"`.
 *
 * What was left out and never happened again is not told: metrics count everything.
 *
 * @example
 * ```ts
 * const lines = new RepeatedLines({ logger, clock });
 * lines.write("warn", "gossip was refused", peer, { reason: "signature" });
 * ```
 */
export class RepeatedLines {
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #everyMs: number;
  readonly #maxPeers: number;
  /** Message → peer → when it was said last, in that order. */
  readonly #said = new Map<string, Map<string, Said>>();

  constructor({ logger, clock, everyMs = defaultEveryMs, maxPeers = defaultMaxPeers }: RepeatedLinesOptions) {
    this.#logger = logger;
    this.#clock = clock;
    this.#everyMs = everyMs;
    this.#maxPeers = maxPeers;
  }

  /** `peer`: whom the line is about, as the transport has proven it. `kind`: what tells lines of one message apart, never a text of the peer's own. */
  write(
    level: "info" | "warn" | "error",
    message: string,
    peer: string,
    fields: LogFields = {},
    kind: string = "",
  ): void {
    const nowMs = this.#clock.monotonicMs();
    const peers = this.#peersOf(`${level} ${kind} ${message}`);
    const said = peers.get(peer);
    if (said === undefined) return this.#writeFirst(peers, { level, message, peer, fields }, nowMs);
    this.#again(peers, { level, message, peer, fields }, said, nowMs);
  }

  #peersOf(name: string): Map<string, Said> {
    const known = this.#said.get(name);
    if (known !== undefined) return known;
    const made = new Map<string, Said>();
    if (this.#said.size >= maxMessages) {
      const [oldest] = this.#said.keys();
      if (oldest !== undefined) this.#said.delete(oldest);
    }
    this.#said.set(name, made);
    return made;
  }

  #writeFirst(peers: Map<string, Said>, line: Line, nowMs: number): void {
    const isFull = peers.size >= this.#maxPeers;
    for (const [peer, { atMs, unsaid }] of peers)
      if (nowMs - atMs >= this.#everyMs && (isFull || unsaid === 0)) peers.delete(peer);
    const isCrowded = peers.size >= this.#maxPeers;
    const known = isCrowded ? peers.get(crowd) : undefined;
    const counted = isCrowded ? { ...line, peer: crowd, fields: { ...line.fields, peers: "many" } } : line;
    if (known !== undefined) return this.#again(peers, counted, known, nowMs);
    peers.set(counted.peer, { atMs: nowMs, unsaid: 0 });
    this.#logger[line.level](line.message, counted.fields);
  }

  #again(peers: Map<string, Said>, { level, message, peer, fields }: Line, said: Said, nowMs: number): void {
    if (nowMs - said.atMs < this.#everyMs) {
      said.unsaid += 1;
      return;
    }
    const repeated = said.unsaid === 0 ? {} : { repeated: said.unsaid };
    peers.set(peer, { atMs: nowMs, unsaid: 0 });
    this.#logger[level](message, { ...fields, ...repeated });
  }
}

interface Line {
  readonly level: "info" | "warn" | "error";
  readonly message: string;
  readonly peer: string;
  readonly fields: LogFields;
}
