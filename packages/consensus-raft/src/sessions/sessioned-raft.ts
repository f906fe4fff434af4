import type {
  Committed,
  Configuration,
  Consensus,
  ConsensusStatus,
  LogIndex,
  NodeId,
  StateMachine,
} from "@revoada/fabric";
import { RaftOutcomeUnknownError } from "../errors.ts";
import type { RaftOptions, ResolvedOptions } from "../driver/options.ts";
import { envelopeCodec, type Answer } from "./answer.ts";
import type { SessionGround } from "./attempts.ts";
import { checkSessionLimits, defaultSessionLimits, type SessionLimits } from "./core/limits.ts";
import type { Envelope } from "./core/envelope.ts";
import { SessionMachine } from "./session-machine.ts";
import { openSession, type Session, type SessionCallOptions } from "./session.ts";

/** A replicated log whose clients may open sessions. */
export interface SessionedConsensus<Command, Result> extends Consensus<Command, Result> {
  /**
   * Opens a session through this replica; it works through any leader, and ends with the group's memory of it, not with a replica.
   * Rejects as `propose` does.
   */
  openSession(options?: SessionCallOptions): Promise<Session<Command, Result>>;
}

type Enveloped<Command, Result> = Consensus<Envelope<Command>, Answer<Result>>;

/** The options of the log underneath: envelopes instead of commands. */
export function envelopedOptions<Command, Result>(
  options: RaftOptions<Command, Result>,
): RaftOptions<Envelope<Command>, Answer<Result>> {
  const { sessions: _sessions, mayPropose, ...rest } = options;
  const enveloped = { ...rest, codec: envelopeCodec(options.codec) };
  if (mayPropose === undefined) return enveloped;
  // What opens and ends sessions is no command of anybody.
  return {
    ...enveloped,
    mayPropose: (peer, envelope) => !("command" in envelope) || mayPropose(peer, envelope.command),
  };
}

/** Puts sessions in front of a log of envelopes. Throws `FABRIC_INVALID_VALUE`. */
export function sessionedRaft<Command, Result>(
  options: RaftOptions<Command, Result>,
  resolved: ResolvedOptions<Envelope<Command>, Answer<Result>>,
  log: Enveloped<Command, Result>,
): SessionedConsensus<Command, Result> {
  return new SessionedRaft(options, resolved, log);
}

class SessionedRaft<Command, Result> implements SessionedConsensus<Command, Result> {
  readonly #options: RaftOptions<Command, Result>;
  readonly #resolved: ResolvedOptions<Envelope<Command>, Answer<Result>>;
  readonly #log: Enveloped<Command, Result>;
  readonly #limits: SessionLimits;
  readonly #ground: SessionGround<Command, Result>;

  constructor(
    options: RaftOptions<Command, Result>,
    resolved: ResolvedOptions<Envelope<Command>, Answer<Result>>,
    log: Enveloped<Command, Result>,
  ) {
    this.#options = options;
    this.#resolved = resolved;
    this.#log = log;
    this.#limits = checkSessionLimits({ ...defaultSessionLimits, ...options.sessions }, "sessions");
    this.#ground = {
      clock: resolved.clock,
      electionTimeoutMs: resolved.electionTimeoutMs,
      timeoutMs: resolved.limits.proposalTimeoutMs,
      decodeResult: (bytes) => options.codec.decodeResult(bytes),
      propose: (envelope, bounds) => log.propose(envelope, bounds),
    };
  }

  async start(machine: StateMachine<Command, Result>): Promise<void> {
    await this.#log.start(new SessionMachine(machine, this.#options.codec, this.#resolved));
  }

  async propose(
    command: Command,
    options: { readonly signal?: AbortSignal; readonly timeoutMs?: number } = {},
  ): Promise<Committed<Result>> {
    const { index, term, result: answer } = await this.#log.propose({ kind: "plain", command }, options);
    if (answer.kind !== "result") throw new RaftOutcomeUnknownError(`the leader answered "${answer.kind}"`);
    return { index, term, result: answer.result };
  }

  openSession(options: SessionCallOptions = {}): Promise<Session<Command, Result>> {
    return openSession(this.#ground, this.#limits, options);
  }

  readBarrier(options?: { readonly signal?: AbortSignal; readonly timeoutMs?: number }): Promise<LogIndex> {
    return this.#log.readBarrier(options);
  }

  status(): ConsensusStatus {
    return this.#log.status();
  }

  onChange(listener: (status: ConsensusStatus) => void): () => void {
    return this.#log.onChange(listener);
  }

  changeVoters(
    change: Pick<Configuration, "voters" | "learners" | "generation">,
    options?: { readonly signal?: AbortSignal },
  ): Promise<void> {
    return this.#log.changeVoters(change, options);
  }

  transferLeadership(
    to: NodeId,
    options?: { readonly signal?: AbortSignal; readonly timeoutMs?: number },
  ): Promise<void> {
    return this.#log.transferLeadership(to, options);
  }

  shutdown(): Promise<void> {
    return this.#log.shutdown();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#log.shutdown();
  }
}
