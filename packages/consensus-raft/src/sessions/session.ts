import { isFabricError, type Committed, type LogIndex, type Term } from "@revoada/fabric";
import { checkTimeout } from "../driver/options.ts";
import {
  RaftBackpressureError,
  RaftOutcomeUnknownError,
  RaftResultNotKeptError,
  RaftSessionExpiredError,
  RaftSessionSequenceError,
} from "../errors.ts";
import type { Answer } from "./answer.ts";
import { definiteUnless, pause, untilAnswered, type CallBounds, type SessionGround, type Settled } from "./attempts.ts";
import type { Envelope } from "./core/envelope.ts";
import type { SessionLimits } from "./core/limits.ts";

/** How long a call of a session may go on. */
export interface SessionCallOptions {
  readonly signal?: AbortSignal;
  /** Attempts included; the replica's `limits.proposalTimeoutMs` unless told. */
  readonly timeoutMs?: number;
}

/**
 * A client of the log whose commands take effect once, however often they had to be sent.
 *
 * Commands may be under way side by side, up to the window of the group; more wait for their turn. Those under way together are not
 * ordered among each other: one that must follow another is proposed after that one has resolved.
 */
export interface Session<Command, Result> extends AsyncDisposable {
  /** The index of the entry that opened it. */
  readonly id: LogIndex;
  /** True once the log has said that it is not there any more, or it was closed: open another. */
  readonly expired: boolean;
  /**
   * Proposes, again where the outcome was unknown, until it is known or the time is over.
   *
   * Resolves with the index, term and result of the one time that the command was applied. Rejects with `RAFT_SESSION_EXPIRED` where
   * it was not applied because the session is gone; with `RAFT_RESULT_NOT_KEPT` where it was applied and what came of it was too
   * large to remember; with `RAFT_OUTCOME_UNKNOWN` only where the time was over, the replica stopped or the session expired after
   * an attempt that may have succeeded; and with the definite refusals of `Consensus.propose`.
   */
  propose(command: Command, options?: SessionCallOptions): Promise<Committed<Result>>;
  /** Ends the session once what is under way is known, so that its place is free. One that is never closed expires in time. */
  close(options?: SessionCallOptions): Promise<void>;
}

interface Waiter {
  readonly enter: (sequence: number) => void;
  readonly refuse: (error: unknown) => void;
}

/** Callers that wait for room in the window. */
const maxWaiters = 10_000;

function boundsOf<Command, Result>(ground: SessionGround<Command, Result>, options: SessionCallOptions): CallBounds {
  const timeoutMs = checkTimeout(options.timeoutMs) ?? ground.timeoutMs;
  return { deadlineMs: ground.clock.monotonicMs() + timeoutMs, signal: options.signal };
}

/** Opens a session. An attempt whose answer was lost may have opened another, which nobody uses and which expires. */
export async function openSession<Command, Result>(
  ground: SessionGround<Command, Result>,
  limits: SessionLimits,
  options: SessionCallOptions,
): Promise<Session<Command, Result>> {
  const { committed } = await untilAnswered(ground, () => ({ kind: "open", limits }), boundsOf(ground, options));
  return new ClientSession(ground, limits, committed.index);
}

class ClientSession<Command, Result> implements Session<Command, Result> {
  readonly id: LogIndex;
  readonly #ground: SessionGround<Command, Result>;
  readonly #limits: SessionLimits;
  #next = 1;
  /** Every sequence number up to this one is known here. */
  #acknowledged = 0;
  readonly #settled = new Set<number>();
  readonly #waiters = new Set<Waiter>();
  #underWay = 0;
  #idle: (() => void)[] = [];
  #closing: Promise<void> | undefined;
  #expired = false;

  constructor(ground: SessionGround<Command, Result>, limits: SessionLimits, id: LogIndex) {
    this.#ground = ground;
    this.#limits = limits;
    this.id = id;
  }

  get expired(): boolean {
    return this.#expired;
  }

  async propose(command: Command, options: SessionCallOptions = {}): Promise<Committed<Result>> {
    const bounds = boundsOf(this.#ground, options);
    const sequence = await this.#enter(bounds);
    const envelope = (): Envelope<Command> => ({
      kind: "command",
      session: this.id,
      sequence,
      acknowledged: this.#acknowledged,
      command,
    });
    try {
      return this.#told(sequence, await untilAnswered(this.#ground, envelope, bounds));
    } finally {
      this.#leave(sequence);
    }
  }

  get #hasRoom(): boolean {
    return this.#next <= this.#acknowledged + this.#limits.maxInFlight;
  }

  #take(): number {
    const sequence = this.#next;
    this.#next += 1;
    this.#underWay += 1;
    return sequence;
  }

  /** The next sequence number, once there is room for it in the window. */
  #enter(bounds: CallBounds): number | Promise<number> {
    if (this.#expired || this.#closing !== undefined) throw new RaftSessionExpiredError(this.id);
    if (bounds.signal?.aborted === true) throw bounds.signal.reason;
    if (this.#waiters.size === 0 && this.#hasRoom) return this.#take();
    if (this.#waiters.size >= maxWaiters) throw new RaftBackpressureError(`${maxWaiters} commands of a session`);
    const { clock } = this.#ground;
    return new Promise((resolve, reject) => {
      const release = (): void => {
        this.#waiters.delete(waiter);
        cancel();
        bounds.signal?.removeEventListener("abort", onAbort);
      };
      const waiter: Waiter = {
        enter: (sequence) => {
          release();
          resolve(sequence);
        },
        refuse: (error) => {
          release();
          reject(error);
        },
      };
      const onAbort = (): void => waiter.refuse(bounds.signal?.reason);
      const cancel = clock.schedule(Math.max(0, bounds.deadlineMs - clock.monotonicMs()), () =>
        waiter.refuse(new RaftBackpressureError(`${this.#limits.maxInFlight} commands of a session`)),
      );
      bounds.signal?.addEventListener("abort", onAbort, { once: true });
      this.#waiters.add(waiter);
    });
  }

  #leave(sequence: number): void {
    this.#settled.add(sequence);
    while (this.#settled.delete(this.#acknowledged + 1)) this.#acknowledged += 1;
    this.#underWay -= 1;
    if (this.#expired) this.#refuseWaiters();
    for (const waiter of this.#waiters) {
      if (!this.#hasRoom) break;
      waiter.enter(this.#take());
    }
    if (this.#underWay > 0) return;
    const idle = this.#idle;
    this.#idle = [];
    for (const resolve of idle) resolve();
  }

  #refuseWaiters(): void {
    for (const waiter of this.#waiters) waiter.refuse(new RaftSessionExpiredError(this.id));
  }

  #told(sequence: number, { committed, wasUnknown }: Settled<Result>): Committed<Result> {
    const answer = committed.result;
    switch (answer.kind) {
      case "result":
        return { index: committed.index, term: committed.term, result: answer.result };
      case "repeat":
        return this.#repeated(answer);
      case "done":
        throw new RaftOutcomeUnknownError("the leader answered something else");
      case "refused":
        if (answer.reason === "not-kept") throw new RaftResultNotKeptError(this.id, sequence);
        if (answer.reason === "expired") this.#expired = true;
        throw definiteUnless(
          wasUnknown,
          answer.reason === "expired"
            ? new RaftSessionExpiredError(this.id)
            : new RaftSessionSequenceError(this.id, sequence, "was acknowledged before"),
        );
    }
  }

  #repeated(answer: Extract<Answer<Result>, { readonly kind: "repeat" }>): Committed<Result> {
    const { index, term } = answer;
    try {
      return { index: index as LogIndex, term: term as Term, result: this.#ground.decodeResult(answer.result) };
    } catch (error) {
      throw new RaftOutcomeUnknownError("its result could not be decoded", error);
    }
  }

  close(options: SessionCallOptions = {}): Promise<void> {
    this.#closing ??= this.#close(options);
    return this.#closing;
  }

  async #close(options: SessionCallOptions): Promise<void> {
    const bounds = boundsOf(this.#ground, options);
    this.#refuseWaiters();
    const { clock } = this.#ground;
    const leftMs = Math.max(0, bounds.deadlineMs - clock.monotonicMs());
    // What is under way has deadlines of its own, which may be later.
    if (this.#underWay > 0) await pause(clock, leftMs, bounds.signal, (wake) => this.#idle.push(wake));
    // One that has expired meanwhile is as closed as can be.
    await untilAnswered(this.#ground, () => ({ kind: "close", session: this.id }), bounds);
    this.#expired = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.close();
    } catch (error) {
      // It expires by itself; whoever leaves its scope because of an error must hear of that one.
      if (!isFabricError(error)) throw error;
    }
  }
}
