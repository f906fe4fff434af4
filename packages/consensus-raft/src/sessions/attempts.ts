import { isFabricError, type Clock, type Committed } from "@revoada/fabric";
import { RaftNoQuorumError, RaftOutcomeUnknownError, RaftSessionSequenceError } from "../errors.ts";
import type { Answer } from "./answer.ts";
import type { Envelope } from "./core/envelope.ts";

/** What a session needs of the log that it was opened on. */
export interface SessionGround<Command, Result> {
  readonly clock: Clock;
  readonly electionTimeoutMs: number;
  /** How long a call may take unless its caller says otherwise. */
  readonly timeoutMs: number;
  decodeResult(bytes: Uint8Array): Result;
  propose(
    envelope: Envelope<Command>,
    options: { readonly signal?: AbortSignal; readonly timeoutMs: number },
  ): Promise<Committed<Answer<Result>>>;
}

/** How long one call may go on. */
export interface CallBounds {
  readonly deadlineMs: number;
  readonly signal: AbortSignal | undefined;
}

/** What a call came to in the end, and whether an attempt before may have come to something too. */
export interface Settled<Result> {
  readonly committed: Committed<Answer<Result>>;
  readonly wasUnknown: boolean;
}

/** Refusals that another attempt may not meet. None of them has appended anything. */
const passing = ["RAFT_NO_QUORUM", "RAFT_BACKPRESSURE", "RAFT_NOT_LEADER", "RAFT_SESSION_SEQUENCE"];

/** An attempt that is not answered is repeated after so many election timeouts: a session makes that harmless. */
const attemptElections = 10;

/** An error that nothing after an unknown outcome can make definite again. */
export function definiteUnless(wasUnknown: boolean, error: unknown): unknown {
  if (!wasUnknown || isFabricError(error, "RAFT_OUTCOME_UNKNOWN")) return error;
  return new RaftOutcomeUnknownError("an earlier attempt was not answered, and the last one was refused", error);
}

/** Proposes again and again until an answer is there, as long as `bounds` allow. Each time the envelope is made anew. */
export async function untilAnswered<Command, Result>(
  ground: SessionGround<Command, Result>,
  envelopeNow: () => Envelope<Command>,
  bounds: CallBounds,
): Promise<Settled<Result>> {
  const { clock, electionTimeoutMs } = ground;
  const { signal, deadlineMs } = bounds;
  const sinceMs = clock.monotonicMs();
  let wasUnknown = false;
  let last: unknown;
  for (let pauseMs = electionTimeoutMs / 5; ; pauseMs = Math.min(2 * pauseMs, electionTimeoutMs)) {
    const leftMs = deadlineMs - clock.monotonicMs();
    if (signal?.aborted === true) throw definiteUnless(wasUnknown, signal.reason);
    if (leftMs <= 0) throw definiteUnless(wasUnknown, last ?? new RaftNoQuorumError("proposal", deadlineMs - sinceMs));
    const timeoutMs = Math.min(leftMs, attemptElections * electionTimeoutMs);
    try {
      const committed = await ground.propose(
        envelopeNow(),
        signal === undefined ? { timeoutMs } : { timeoutMs, signal },
      );
      if (committed.result.kind !== "refused" || committed.result.reason !== "window") return { committed, wasUnknown };
      last = new RaftSessionSequenceError(0, 0, "is too far beyond what was acknowledged");
    } catch (error) {
      last = error;
      if (isFabricError(error, "RAFT_OUTCOME_UNKNOWN")) wasUnknown = true;
      else if (!isFabricError(error, ...passing)) throw definiteUnless(wasUnknown, error);
    }
    await pause(clock, Math.min(pauseMs, Math.max(0, deadlineMs - clock.monotonicMs())), signal);
  }
}

/** Waits for a while, until `signal` aborts, or until what `onWake` is given is called. */
export function pause(
  clock: Clock,
  delayMs: number,
  signal: AbortSignal | undefined,
  onWake: (wake: () => void) => void = () => {},
): Promise<void> {
  return new Promise((resolve) => {
    const over = (): void => {
      cancel();
      signal?.removeEventListener("abort", over);
      resolve();
    };
    const cancel = clock.schedule(delayMs, over);
    signal?.addEventListener("abort", over, { once: true });
    onWake(over);
  });
}
