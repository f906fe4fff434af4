import type { FabricError } from "@revoada/fabric";
import {
  RaftBackpressureError,
  RaftBadCommandError,
  RaftBadFrameError,
  RaftNoQuorumError,
  RaftOutcomeUnknownError,
  RaftTooLargeError,
} from "../errors.ts";
import { encodeFrameValue, frameVersion, openFrame, TupleReader } from "./cbor.ts";

/** What a replica asks of the leader on behalf of its own callers. */
export type ForwardRequest =
  | { readonly type: "propose"; readonly timeoutMs: number; readonly commands: readonly Uint8Array[] }
  | { readonly type: "read"; readonly timeoutMs: number };

/** What became of one forwarded command. */
export type ForwardedOutcome =
  | { readonly ok: true; readonly index: number; readonly term: number; readonly result: Uint8Array }
  | { readonly ok: false; readonly code: string; readonly message: string; readonly retryable: boolean };

/** The leader answers a little before its asker gives up, so that an outcome that is known is not lost. */
export const answerAheadMs = 50;

/** More commands than a replica puts into one request. */
export const maxForwardedCommands = 4096;

const maxTextLength = 1024;
const kinds = ["propose", "read"] as const;

/** Encodes a request to the leader. */
export function encodeForward(groupId: Uint8Array, request: ForwardRequest): Uint8Array {
  const commands = request.type === "propose" ? request.commands : [];
  return encodeFrameValue([frameVersion, groupId, kinds.indexOf(request.type), Math.ceil(request.timeoutMs), commands]);
}

/** Decodes and checks a request. Throws `RAFT_BAD_FRAME`. */
export function decodeForward(bytes: Uint8Array, groupId: Uint8Array): ForwardRequest {
  const frame = openFrame(bytes, groupId, "a forwarded request");
  const type = frame.oneOf(kinds);
  const timeoutMs = frame.counter();
  const commands = frame.list(maxForwardedCommands);
  frame.finish();
  if (type === "read") return { type, timeoutMs };
  for (const command of commands) {
    if (!(command instanceof Uint8Array)) throw new RaftBadFrameError("a forwarded command is not bytes");
  }
  return { type, timeoutMs, commands: commands as readonly Uint8Array[] };
}

/** Encodes the outcomes of a forwarded batch, in its order. */
export function encodeOutcomes(groupId: Uint8Array, outcomes: readonly ForwardedOutcome[]): Uint8Array {
  const tuples = outcomes.map((outcome) =>
    outcome.ok
      ? [true, outcome.index, outcome.term, outcome.result]
      : [false, outcome.code, outcome.message.slice(0, maxTextLength), outcome.retryable],
  );
  return encodeFrameValue([frameVersion, groupId, tuples]);
}

/** Decodes the outcomes of `count` commands. Throws `RAFT_BAD_FRAME`. */
export function decodeOutcomes(bytes: Uint8Array, groupId: Uint8Array, count: number): readonly ForwardedOutcome[] {
  const frame = openFrame(bytes, groupId, "forwarded outcomes");
  const tuples = frame.list(maxForwardedCommands);
  frame.finish();
  if (tuples.length !== count) throw new RaftBadFrameError(`${tuples.length} outcomes of ${count} commands`);
  return tuples.map((tuple) => {
    const reader = new TupleReader(tuple, "an outcome");
    const ok = reader.boolean();
    const outcome: ForwardedOutcome = ok
      ? { ok, index: reader.counter(), term: reader.counter(), result: reader.bytes() }
      : { ok, code: reader.text(maxTextLength), message: reader.text(maxTextLength), retryable: reader.boolean() };
    reader.finish();
    return outcome;
  });
}

/** Encodes the answer to a forwarded read. */
export function encodeReadIndex(groupId: Uint8Array, index: number): Uint8Array {
  return encodeFrameValue([frameVersion, groupId, index]);
}

export function decodeReadIndex(bytes: Uint8Array, groupId: Uint8Array): number {
  const frame = openFrame(bytes, groupId, "a forwarded read");
  const index = frame.counter();
  frame.finish();
  return index;
}

/**
 * A refusal as it travelled. Only what is known to be definite is believed to be; whatever else a leader says leaves the
 * outcome open.
 */
export function forwardedError(outcome: ForwardedOutcome & { readonly ok: false }, bytes: number): FabricError {
  switch (outcome.code) {
    case "RAFT_NO_QUORUM":
      return new RaftNoQuorumError("forwarded proposal", undefined);
    case "RAFT_BACKPRESSURE":
      return new RaftBackpressureError(`on the leader: ${outcome.message}`);
    case "RAFT_TOO_LARGE":
      return new RaftTooLargeError(bytes, undefined);
    case "RAFT_BAD_COMMAND":
      return new RaftBadCommandError(`on the leader: ${outcome.message}`);
    case "RAFT_OUTCOME_UNKNOWN":
      return new RaftOutcomeUnknownError(`on the leader: ${outcome.message}`);
    default:
      return new RaftOutcomeUnknownError(`the leader answered ${outcome.code}: ${outcome.message}`);
  }
}
