import { describeValue } from "@revoada/fabric";
import { RaftBadCommandError, RaftBadFrameError } from "../errors.ts";
import type { RaftCodec } from "../driver/options.ts";
import { ByteReader, counterBytes, viewOf, writeCounter } from "./core/bytes.ts";
import { decodeEnvelope, encodeEnvelope, type Envelope } from "./core/envelope.ts";
import type { SessionRefusal } from "./core/table.ts";

/** What an entry of a group with sessions came to. */
export type Answer<Result> =
  | { readonly kind: "result"; readonly result: Result }
  /** It had been applied before, at `index`. */
  | { readonly kind: "repeat"; readonly index: number; readonly term: number; readonly result: Uint8Array }
  | { readonly kind: "done" }
  | { readonly kind: "refused"; readonly reason: SessionRefusal };

export const done: { readonly kind: "done" } = { kind: "done" };

const reasons: readonly SessionRefusal[] = ["expired", "stale", "window", "not-kept"];

/*
 * An answer on its way to whoever forwarded the command: kind u8, then
 *   result 0 · bytes    repeat 1 · index · term · bytes    done 2    refused 3 · reason u8
 */
function encodeAnswer<Result>(answer: Answer<Result>, encodeResult: (result: Result) => Uint8Array): Uint8Array {
  switch (answer.kind) {
    case "result": {
      const result = encodeResult(answer.result);
      const bytes = new Uint8Array(1 + result.length);
      bytes.set(result, 1);
      return bytes;
    }
    case "repeat": {
      const bytes = new Uint8Array(1 + 2 * counterBytes + answer.result.length);
      bytes[0] = 1;
      writeCounter(viewOf(bytes), 1, answer.index);
      writeCounter(viewOf(bytes), 1 + counterBytes, answer.term);
      bytes.set(answer.result, 1 + 2 * counterBytes);
      return bytes;
    }
    case "done":
      return Uint8Array.of(2);
    case "refused":
      return Uint8Array.of(3, reasons.indexOf(answer.reason));
  }
}

function decodeAnswer<Result>(bytes: Uint8Array, decodeResult: (bytes: Uint8Array) => Result): Answer<Result> {
  const reader = new ByteReader(bytes, "an answer");
  const kind = reader.byte();
  if (kind === 0) return { kind: "result", result: decodeResult(reader.rest()) };
  if (kind === 1) return { kind: "repeat", index: reader.counter(), term: reader.counter(), result: reader.rest() };
  if (kind === 2 && bytes.length === 1) return done;
  const reason = kind === 3 && bytes.length === 2 ? reasons[reader.byte()] : undefined;
  if (reason === undefined) throw new RaftBadFrameError(`an answer of kind ${kind}`);
  return { kind: "refused", reason };
}

function encodedBy<Command>(codec: Pick<RaftCodec<Command, unknown>, "encodeCommand">, command: Command): Uint8Array {
  const bytes: unknown = codec.encodeCommand(command);
  if (bytes instanceof Uint8Array) return bytes;
  throw new RaftBadCommandError(`the codec made ${describeValue(bytes)} of it`);
}

/** The caller's codec within envelopes and answers. */
export function envelopeCodec<Command, Result>(
  codec: RaftCodec<Command, Result>,
): RaftCodec<Envelope<Command>, Answer<Result>> {
  return {
    encodeCommand: (envelope) =>
      encodeEnvelope("command" in envelope ? { ...envelope, command: encodedBy(codec, envelope.command) } : envelope),
    decodeCommand: (bytes) => {
      const envelope = decodeEnvelope(bytes);
      return "command" in envelope ? { ...envelope, command: codec.decodeCommand(envelope.command) } : envelope;
    },
    encodeResult: (answer) => encodeAnswer(answer, (result) => codec.encodeResult(result)),
    decodeResult: (bytes) => decodeAnswer(bytes, (result) => codec.decodeResult(result)),
  };
}
