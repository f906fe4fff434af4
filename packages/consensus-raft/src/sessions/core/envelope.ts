import { RaftBadCommandError, RaftNewerCommandError } from "../../errors.ts";
import { ByteReader, counterBytes, viewOf, writeCounter } from "./bytes.ts";
import { checkSessionLimits, type SessionLimits } from "./limits.ts";

/** What stands in the log of a group with sessions. */
export type Envelope<Command> =
  | { readonly kind: "plain"; readonly command: Command }
  | { readonly kind: "open"; readonly limits: SessionLimits }
  | ({ readonly kind: "command"; readonly command: Command } & CommandHeader)
  | { readonly kind: "close"; readonly session: number };

/** Whose command it is, and what its client knows. */
export interface CommandHeader {
  /** The index of the entry that opened the session: no two sessions of one log ever share it. */
  readonly session: number;
  /** From 1 on, each for one command. */
  readonly sequence: number;
  /** The client knows what became of every sequence number up to this one. */
  readonly acknowledged: number;
}

/*
 * An envelope: version u8 · kind u8 · fields · the caller's bytes. A counter is 8 bytes, big-endian.
 *   plain    0 · command
 *   open     1 · maxSessions · maxInFlight · maxResultBytes · maxBytes
 *   command  2 · session · sequence · acknowledged · command
 *   close    3 · session
 */
const envelopeVersion = 1;
const kinds = ["plain", "open", "command", "close"] as const;
const prefixBytes = 2;

function framed(kind: (typeof kinds)[number], counters: readonly number[], body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(prefixBytes + counters.length * counterBytes + body.length);
  bytes[0] = envelopeVersion;
  bytes[1] = kinds.indexOf(kind);
  const view = viewOf(bytes);
  counters.forEach((value, at) => writeCounter(view, prefixBytes + at * counterBytes, value));
  bytes.set(body, prefixBytes + counters.length * counterBytes);
  return bytes;
}

const nothing = new Uint8Array(0);

/** Encodes an envelope around bytes that are the caller's. */
export function encodeEnvelope(envelope: Envelope<Uint8Array>): Uint8Array {
  switch (envelope.kind) {
    case "plain":
      return framed("plain", [], envelope.command);
    case "open": {
      const { maxSessions, maxInFlight, maxResultBytes, maxBytes } = envelope.limits;
      return framed("open", [maxSessions, maxInFlight, maxResultBytes, maxBytes], nothing);
    }
    case "command":
      return framed("command", [envelope.session, envelope.sequence, envelope.acknowledged], envelope.command);
    case "close":
      return framed("close", [envelope.session], nothing);
  }
}

/**
 * Decodes and checks an envelope. Throws `RAFT_BAD_COMMAND`, `FABRIC_INVALID_VALUE` for limits that no table could keep, and
 * `RAFT_NEWER_COMMAND` for what a later release has written.
 */
export function decodeEnvelope(bytes: Uint8Array): Envelope<Uint8Array> {
  const reader = new ByteReader(bytes, "an envelope");
  const version = reader.byte();
  if (version !== envelopeVersion) throw new RaftNewerCommandError(`an envelope of version ${version}`);
  const kindNumber = reader.byte();
  const kind = kinds[kindNumber];
  switch (kind) {
    case "plain":
      return { kind, command: reader.rest() };
    case "open": {
      const [maxSessions, maxInFlight] = [reader.counter(), reader.counter()];
      const limits = { maxSessions, maxInFlight, maxResultBytes: reader.counter(), maxBytes: reader.counter() };
      reader.finish();
      return { kind, limits: checkSessionLimits(limits, "limits") };
    }
    case "command": {
      const [session, sequence, acknowledged] = [reader.counter(), reader.counter(), reader.counter()];
      if (session === 0 || sequence === 0 || acknowledged >= sequence)
        throw new RaftBadCommandError(`sequence ${sequence} of session ${session} acknowledges ${acknowledged}`);
      return { kind, session, sequence, acknowledged, command: reader.rest() };
    }
    case "close": {
      const session = reader.counter();
      reader.finish();
      return { kind, session };
    }
    default:
      throw new RaftNewerCommandError(`an envelope of kind ${kindNumber}`);
  }
}
