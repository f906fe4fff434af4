import {
  FieldReader,
  InvalidValueError,
  type Clock,
  type Consensus,
  type Logger,
  type Metrics,
  type NodeId,
  type Transport,
} from "@revoada/fabric";
import { decodeCanonical, encodeCanonical } from "../codec.ts";
import { protocols } from "../protocols.ts";
import { maxTimeMs } from "../time.ts";

/** How a leader's wall clock stands to the clocks of the voters. */
export interface ClockVerdict {
  /** How far it is ahead of their median, in milliseconds; negative where it is behind. */
  readonly aheadMs: number;
  /** False where that is more than five seconds: nothing is decided by this clock then. */
  readonly trusted: boolean;
}

export interface ClockCheckOptions {
  readonly transport: Transport;
  readonly consensus: Pick<Consensus<Uint8Array, Uint8Array>, "status" | "onChange">;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

/** Clocks that are further apart than this are not those of one cluster. */
const maxClockOffMs = 5_000;
const checkIntervalMs = 5_000;
/** A voter that takes longer to answer is not counted: what it says is half of this in doubt. */
const answerTimeoutMs = 2_000;

/** The committed clock of a leader: when it was set, by the monotonic clock, and to what. */
interface Setting {
  readonly atMs: number;
  readonly timeMs: number;
}

/**
 * The time that a leader decides by, and whether its wall clock may be asked for it.
 *
 * It runs on the monotonic clock: from the committed time when a term begins, which a leader before may have put ahead, and from the wall clock each time that a majority of the voters,
 * this node among them, has just been found to agree with it. A wall clock that is set while this node leads moves no duration, and one that is
 * wrong ends nothing early. Each answer of a voter counts as near to the own clock as its round trip leaves possible. Every voter answers;
 * the leader asks.
 */
export class ClockCheck {
  readonly #options: ClockCheckOptions;
  readonly #withdraw: readonly (() => void)[];
  readonly #abort = new AbortController();
  #term: number | undefined;
  #setting: Setting | undefined;
  #verdict: ClockVerdict | undefined;
  #cancelCheck: () => void = () => undefined;

  constructor(options: ClockCheckOptions) {
    this.#options = options;
    const { transport, consensus, clock } = options;
    this.#withdraw = [
      transport.handle(protocols.clock, {
        onRequest: async () => encodeCanonical({ version: 1, wallMs: Math.floor(clock.wallMs()) }),
      }),
      consensus.onChange(() => this.#follow()),
    ];
  }

  stop(): void {
    this.#abort.abort();
    this.#cancelCheck();
    for (const withdraw of this.#withdraw) withdraw();
  }

  /** What was found last in this term; undefined where this node does not lead, or too few voters have answered since it does. */
  verdict(): ClockVerdict | undefined {
    this.#follow();
    return this.#verdict;
  }

  /** The time to decide by, milliseconds since the epoch; never before `committedMs`. */
  nowMs(committedMs: number): number {
    this.#follow();
    const runMs = this.#runMs();
    if (runMs !== undefined && runMs >= committedMs) return Math.min(Math.floor(runMs), maxTimeMs);
    this.#setting = { atMs: this.#options.clock.monotonicMs(), timeMs: committedMs };
    return committedMs;
  }

  #runMs(): number | undefined {
    if (this.#setting === undefined) return undefined;
    return this.#setting.timeMs + this.#options.clock.monotonicMs() - this.#setting.atMs;
  }

  /** Begins anew with each term that this node leads. */
  #follow(): void {
    const { role, term } = this.#options.consensus.status();
    const leads = role === "leader" && !this.#abort.signal.aborted;
    if ((leads ? (term as number) : undefined) === this.#term) return;
    this.#term = leads ? term : undefined;
    this.#setting = undefined;
    this.#verdict = undefined;
    this.#cancelCheck();
    this.#measure();
    if (leads) this.#begin(term);
  }

  #begin(term: number): void {
    const others = this.#others();
    // Whoever votes alone has nobody to ask, and decides by its own clock from the first moment on.
    if (others.length === 0) this.#judge([]);
    else void this.#ask(others, term);
    this.#cancelCheck = this.#options.clock.schedule(checkIntervalMs, () => {
      if (this.#term === term && !this.#abort.signal.aborted) this.#begin(term);
    });
  }

  #others(): readonly NodeId[] {
    const { id, configuration } = this.#options.consensus.status();
    return configuration.voters.map((voter) => voter.id).filter((voter) => voter !== id);
  }

  async #ask(others: readonly NodeId[], term: number): Promise<void> {
    const answers = await Promise.all(others.map((voter) => this.#askOne(voter)));
    this.#follow();
    if (this.#term !== term) return;
    const aheads = answers.filter((aheadMs) => aheadMs !== undefined);
    // Of fewer the median says nothing about the voters: what was found before stands.
    if (2 * (aheads.length + 1) > others.length + 1) this.#judge(aheads);
  }

  /** How far the own clock is ahead of a voter's, at the least; undefined where that could not be learned. */
  async #askOne(voter: NodeId): Promise<number | undefined> {
    const { transport, clock, logger } = this.#options;
    const [sentMs, wallMs] = [clock.monotonicMs(), clock.wallMs()];
    try {
      const request = encodeCanonical({ version: 1 });
      const options = { timeoutMs: answerTimeoutMs, signal: this.#abort.signal };
      const theirsMs = readClock(await transport.request(voter, protocols.clock, request, options));
      const doubtMs = (clock.monotonicMs() - sentMs) / 2;
      if (doubtMs > answerTimeoutMs / 2) return undefined;
      const aheadMs = wallMs + doubtMs - theirsMs;
      return Math.sign(aheadMs) * Math.max(0, Math.abs(aheadMs) - doubtMs);
    } catch (error) {
      if (!this.#abort.signal.aborted) logger.debug("a voter did not tell the time", { voter, error: String(error) });
      return undefined;
    }
  }

  #judge(aheads: readonly number[]): void {
    // A sum, as there is a zero with a sign.
    const aheadMs = 0 + Math.round(medianOf([0, ...aheads]));
    const trusted = Math.abs(aheadMs) <= maxClockOffMs;
    const { clock, logger } = this.#options;
    if (trusted) this.#setting = { atMs: clock.monotonicMs(), timeMs: Math.max(clock.wallMs(), this.#runMs() ?? 0) };
    if (!trusted && this.#verdict?.trusted !== false)
      logger.warn("this leader's wall clock is away from the voters': nothing expires by it", { aheadMs });
    if (trusted && this.#verdict?.trusted === false)
      logger.info("this leader's wall clock agrees with the voters' again", { aheadMs });
    this.#verdict = { aheadMs, trusted };
    this.#measure();
  }

  /** Whoever does not lead decides by no clock. */
  #measure(): void {
    const { metrics } = this.#options;
    metrics.gauge("revoada_cluster_clock_ahead_ms", this.#verdict?.aheadMs ?? 0);
    metrics.gauge("revoada_cluster_clock_trusted", this.#verdict?.trusted === false ? 0 : 1);
  }
}

/** Throws `FABRIC_INVALID_VALUE`. */
function readClock(bytes: Uint8Array): number {
  const fields = new FieldReader(decodeCanonical(bytes, "clock"), "clock");
  const [version, wallMs] = [fields.number("version"), fields.number("wallMs")];
  fields.finish();
  if (version !== 1 || !Number.isSafeInteger(wallMs))
    throw new InvalidValueError("clock", wallMs, "whole milliseconds");
  return wallMs;
}

/** The middle value, or between the two in the middle. */
function medianOf(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)] ?? 0;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[sorted.length / 2 - 1] ?? 0)) / 2;
}
