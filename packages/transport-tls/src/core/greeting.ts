/**
 * The first frames of a connection, in which the dialler says hello and the acceptor answers.
 *
 * ```text
 * hello   1 | "RVTL" | lowest version u8 | highest version u8 | session 16
 * answer  2 | "RVTL" | version u8 | verdict u8 | session 16 | channel binding 32 (duplicate-live only)
 * insist  3
 * ```
 *
 * The session is random per start of a transport: another one tells that the peer has restarted.
 */
import { ProtocolViolationError } from "../errors.ts";
import { prefixBytes, writeUint32 } from "./frame.ts";

/** The only version of the frame format so far. */
export const frameVersion = 1;
/** Bytes of a session, random per start. */
export const sessionBytes = 16;
/** Bytes of a channel binding (RFC 9266 with 32 bytes of exporter output). */
export const bindingBytes = 32;
/** The largest frame of a greeting. */
export const maxGreetingBytes = 128;

/** What the acceptor makes of a hello; see `settle.ts` for the duplicates. */
export type Verdict =
  | { readonly kind: "welcome" }
  | { readonly kind: "not-admitted" }
  | { readonly kind: "version-mismatch" }
  /** The acceptor's own dial has proven its key and will be the connection. */
  | { readonly kind: "duplicate-pending" }
  /** The acceptor already uses the connection with this binding. */
  | { readonly kind: "duplicate-live"; readonly binding: Uint8Array };

/** A decoded frame of the greeting. */
export type Greeting =
  | { readonly kind: "hello"; readonly lowest: number; readonly highest: number; readonly session: Uint8Array }
  | { readonly kind: "answer"; readonly verdict: Verdict; readonly session: Uint8Array }
  | { readonly kind: "insist" };

const magic = [0x52, 0x56, 0x54, 0x4c] as const;
const verdictOrder = ["welcome", "not-admitted", "version-mismatch", "duplicate-pending", "duplicate-live"] as const;
const answerBytes = 7 + sessionBytes;

function frame(bodyBytes: number, kind: number): Uint8Array {
  const bytes = new Uint8Array(prefixBytes + bodyBytes);
  writeUint32(bytes, 0, bodyBytes);
  bytes[prefixBytes] = kind;
  if (bodyBytes > 1) bytes.set(magic, prefixBytes + 1);
  return bytes;
}

/** Encodes the dialler's hello, prefix included. */
export function encodeHello(session: Uint8Array): Uint8Array {
  const bytes = frame(answerBytes, 1);
  bytes[prefixBytes + 5] = frameVersion;
  bytes[prefixBytes + 6] = frameVersion;
  bytes.set(session, prefixBytes + 7);
  return bytes;
}

/** Encodes the acceptor's answer, prefix included. */
export function encodeAnswer(verdict: Verdict, session: Uint8Array): Uint8Array {
  const bytes = frame(answerBytes + (verdict.kind === "duplicate-live" ? bindingBytes : 0), 2);
  bytes[prefixBytes + 5] = frameVersion;
  bytes[prefixBytes + 6] = verdictOrder.indexOf(verdict.kind);
  bytes.set(session, prefixBytes + 7);
  if (verdict.kind === "duplicate-live") bytes.set(verdict.binding, prefixBytes + answerBytes);
  return bytes;
}

/** Encodes the dialler's word that the connection named by a duplicate-live answer is gone, prefix included. */
export function encodeInsist(): Uint8Array {
  return frame(1, 3);
}

/** Decodes a frame body of the greeting. Throws `TRANSPORT_PROTOCOL_VIOLATION`. */
export function decodeGreeting(body: Uint8Array): Greeting {
  if (body[0] === 3 && body.length === 1) return { kind: "insist" };
  if (body.length < answerBytes || !magic.every((byte, index) => body[1 + index] === byte)) {
    throw new ProtocolViolationError("the greeting does not begin as one");
  }
  // Copied by a constructor: `slice` of Node's Buffer is a view into what was received, which is not kept.
  const session = new Uint8Array(body.subarray(7, answerBytes));
  if (body[0] === 1 && body.length === answerBytes) {
    return { kind: "hello", lowest: body[5] as number, highest: body[6] as number, session };
  }
  if (body[0] === 2) return { kind: "answer", verdict: decodeVerdict(body), session };
  throw new ProtocolViolationError(`greeting of kind ${body[0]} with ${body.length} bytes`);
}

function decodeVerdict(body: Uint8Array): Verdict {
  const kind = verdictOrder[body[6] as number];
  const expected = answerBytes + (kind === "duplicate-live" ? bindingBytes : 0);
  if (kind === undefined || body.length !== expected) {
    throw new ProtocolViolationError(`answer with verdict ${body[6]} and ${body.length} bytes`);
  }
  if (kind === "duplicate-live") return { kind, binding: new Uint8Array(body.subarray(answerBytes)) };
  if (kind !== "version-mismatch" && body[5] !== frameVersion) {
    throw new ProtocolViolationError(`answer in version ${body[5]}, offered ${frameVersion}`);
  }
  return { kind };
}
