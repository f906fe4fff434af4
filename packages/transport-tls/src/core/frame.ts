/**
 * The bytes between two nodes once they know each other: a 32-bit length, a kind, a few fixed fields, a payload.
 *
 * ```text
 * u32 length of what follows | u8 kind | fields | payload
 * ```
 *
 * Integers are big-endian. A payload is never copied here: decoding gives views, encoding writes the header only.
 */
import { ProtocolViolationError } from "../errors.ts";

/** The largest payload of a request, response, one-way message or stream message. */
export const maxPayloadBytes: number = 16 * 1024 * 1024;
/** The largest frame body: a payload and the widest fixed fields. */
export const maxFrameBytes: number = maxPayloadBytes + 64;
/** Bytes of the length prefix. */
export const prefixBytes = 4;

/** Kind bytes. Those below 16 belong to the greeting. */
export const kinds = {
  protocol: 16,
  request: 17,
  response: 18,
  failure: 19,
  message: 20,
  streamOpen: 21,
  streamData: 22,
  streamCredit: 23,
  streamEnd: 24,
  streamAbort: 25,
  ping: 26,
  pong: 27,
  retire: 28,
  stay: 29,
} as const;

/** A decoded frame; byte fields are views into what was received. */
export type Frame =
  | { readonly kind: "protocol"; readonly index: number; readonly name: string }
  | { readonly kind: "request"; readonly id: number; readonly protocol: number; readonly payload: Uint8Array }
  | { readonly kind: "response"; readonly id: number; readonly payload: Uint8Array }
  | { readonly kind: "failure"; readonly id: number; readonly failure: Failure }
  | { readonly kind: "message"; readonly protocol: number; readonly payload: Uint8Array }
  | { readonly kind: "stream-open"; readonly id: number; readonly protocol: number; readonly creditBytes: number }
  | {
      readonly kind: "stream-data";
      readonly id: number;
      /** Length of the whole message, in its first segment only. */
      readonly totalBytes: number | undefined;
      readonly last: boolean;
      readonly payload: Uint8Array;
    }
  | { readonly kind: "stream-credit"; readonly id: number; readonly creditBytes: number }
  | { readonly kind: "stream-end"; readonly id: number }
  | { readonly kind: "stream-abort"; readonly id: number; readonly failure: Failure }
  | { readonly kind: "ping"; readonly token: number }
  | { readonly kind: "pong"; readonly token: number }
  /** The dialler would let an idle connection go, and sends nothing more until it is ended or told to stay. */
  | { readonly kind: "retire" }
  | { readonly kind: "stay" };

/** An error as it travels. */
export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly retryable: boolean;
}

const protocolNamePattern = /^[\x21-\x7e]{1,128}$/;
const codePattern = /^[A-Z][A-Z0-9_]{1,63}$/;
const maxFailureMessageBytes = 4096;
const utf8Decoder = new TextDecoder("utf-8", { fatal: true });
const utf8Encoder = new TextEncoder();

/** True for 1 to 128 printable ASCII characters without a space. */
export function isProtocolName(name: string): boolean {
  return protocolNamePattern.test(name);
}

/** Writes `value` at `offset`, big-endian. */
export function writeUint32(target: Uint8Array, offset: number, value: number): void {
  target[offset] = value >>> 24;
  target[offset + 1] = (value >>> 16) & 0xff;
  target[offset + 2] = (value >>> 8) & 0xff;
  target[offset + 3] = value & 0xff;
}

/** Reads a big-endian unsigned 32-bit integer. The caller has checked the bounds. */
export function readUint32(source: Uint8Array, offset: number): number {
  return (
    (source[offset] as number) * 0x1000000 +
    (((source[offset + 1] as number) << 16) | ((source[offset + 2] as number) << 8) | (source[offset + 3] as number))
  );
}

function writeUint16(target: Uint8Array, offset: number, value: number): void {
  target[offset] = (value >>> 8) & 0xff;
  target[offset + 1] = value & 0xff;
}

function readUint16(source: Uint8Array, offset: number): number {
  return ((source[offset] as number) << 8) | (source[offset + 1] as number);
}

function writePrefix(
  target: Uint8Array,
  offset: number,
  headerBytes: number,
  payloadBytes: number,
  kind: number,
): void {
  writeUint32(target, offset, headerBytes - prefixBytes + payloadBytes);
  target[offset + 4] = kind;
}

/** Bytes of a request's header, prefix included. */
export const requestHeaderBytes = 11;
/** Writes a request's header; the payload follows it. */
export function writeRequestHeader(
  target: Uint8Array,
  offset: number,
  id: number,
  protocol: number,
  payloadBytes: number,
): void {
  writePrefix(target, offset, requestHeaderBytes, payloadBytes, kinds.request);
  writeUint32(target, offset + 5, id);
  writeUint16(target, offset + 9, protocol);
}

/** Bytes of a response's header, prefix included. */
export const responseHeaderBytes = 9;
/** Writes a response's header; the payload follows it. */
export function writeResponseHeader(target: Uint8Array, offset: number, id: number, payloadBytes: number): void {
  writePrefix(target, offset, responseHeaderBytes, payloadBytes, kinds.response);
  writeUint32(target, offset + 5, id);
}

/** Bytes of a one-way message's header, prefix included. */
export const messageHeaderBytes = 7;
/** Writes a one-way message's header; the payload follows it. */
export function writeMessageHeader(target: Uint8Array, offset: number, protocol: number, payloadBytes: number): void {
  writePrefix(target, offset, messageHeaderBytes, payloadBytes, kinds.message);
  writeUint16(target, offset + 5, protocol);
}

const dataFirst = 1;
const dataLast = 2;

/** Bytes of a stream segment's header, prefix included. */
export function dataHeaderBytes(first: boolean): number {
  return first ? 14 : 10;
}

/** Writes the header of one segment of a stream message; `totalBytes` stands in the first segment. */
export function writeDataHeader(
  target: Uint8Array,
  offset: number,
  id: number,
  totalBytes: number | undefined,
  last: boolean,
  payloadBytes: number,
): void {
  const first = totalBytes !== undefined;
  writePrefix(target, offset, dataHeaderBytes(first), payloadBytes, kinds.streamData);
  writeUint32(target, offset + 5, id);
  target[offset + 9] = (first ? dataFirst : 0) | (last ? dataLast : 0);
  if (first) writeUint32(target, offset + 10, totalBytes);
}

/** Encodes one of the small frames that carry no payload. */
export function encodeControl(frame: Exclude<Frame, { readonly payload: Uint8Array }>): Uint8Array {
  switch (frame.kind) {
    case "protocol": {
      const name = utf8Encoder.encode(frame.name);
      const bytes = new Uint8Array(7 + name.length);
      writePrefix(bytes, 0, 7, name.length, kinds.protocol);
      writeUint16(bytes, 5, frame.index);
      bytes.set(name, 7);
      return bytes;
    }
    case "failure":
      return encodeFailure(kinds.failure, frame.id, frame.failure);
    case "stream-abort":
      return encodeFailure(kinds.streamAbort, frame.id, frame.failure);
    case "stream-open": {
      const bytes = new Uint8Array(15);
      writePrefix(bytes, 0, 15, 0, kinds.streamOpen);
      writeUint32(bytes, 5, frame.id);
      writeUint16(bytes, 9, frame.protocol);
      writeUint32(bytes, 11, frame.creditBytes);
      return bytes;
    }
    case "stream-credit": {
      const bytes = new Uint8Array(13);
      writePrefix(bytes, 0, 13, 0, kinds.streamCredit);
      writeUint32(bytes, 5, frame.id);
      writeUint32(bytes, 9, frame.creditBytes);
      return bytes;
    }
    case "stream-end":
      return encodeNumber(kinds.streamEnd, frame.id);
    case "ping":
      return encodeNumber(kinds.ping, frame.token);
    case "pong":
      return encodeNumber(kinds.pong, frame.token);
    case "retire":
    case "stay": {
      const bytes = new Uint8Array(5);
      writePrefix(bytes, 0, 5, 0, kinds[frame.kind]);
      return bytes;
    }
  }
}

function encodeNumber(kind: number, value: number): Uint8Array {
  const bytes = new Uint8Array(9);
  writePrefix(bytes, 0, 9, 0, kind);
  writeUint32(bytes, 5, value);
  return bytes;
}

function encodeFailure(kind: number, id: number, failure: Failure): Uint8Array {
  const code = utf8Encoder.encode(codePattern.test(failure.code) ? failure.code : "TRANSPORT_HANDLER_FAILED");
  const message = truncateUtf8(failure.message);
  const bytes = new Uint8Array(11 + code.length + message.length);
  writePrefix(bytes, 0, 11, code.length + message.length, kind);
  writeUint32(bytes, 5, id);
  bytes[9] = failure.retryable ? 1 : 0;
  bytes[10] = code.length;
  bytes.set(code, 11);
  bytes.set(message, 11 + code.length);
  return bytes;
}

/** `encodeInto` stops before a character that does not fit, so the result is whole UTF-8. */
function truncateUtf8(text: string): Uint8Array {
  const target = new Uint8Array(maxFailureMessageBytes);
  const { written } = utf8Encoder.encodeInto(text.slice(0, maxFailureMessageBytes), target);
  return target.subarray(0, written);
}

/**
 * Decodes a frame's body (what follows the length prefix). `placed` is the payload of a stream's segment of which `body` holds the fields only.
 *
 * Throws `TRANSPORT_PROTOCOL_VIOLATION` for an unknown kind, a wrong length, or a field out of its bounds.
 */
export function decodeFrame(body: Uint8Array, placed?: Uint8Array): Frame {
  const kind = body[0];
  switch (kind) {
    case kinds.request:
      atLeast(body, 7);
      return { kind: "request", id: readUint32(body, 1), protocol: readUint16(body, 5), payload: payloadOf(body, 7) };
    case kinds.response:
      atLeast(body, 5);
      return { kind: "response", id: readUint32(body, 1), payload: payloadOf(body, 5) };
    case kinds.message:
      atLeast(body, 3);
      return { kind: "message", protocol: readUint16(body, 1), payload: payloadOf(body, 3) };
    case kinds.streamData:
      return decodeData(body, placed);
    case kinds.streamCredit:
      exactly(body, 9);
      return { kind: "stream-credit", id: readUint32(body, 1), creditBytes: readUint32(body, 5) };
    case kinds.streamOpen:
      exactly(body, 11);
      return {
        kind: "stream-open",
        id: readUint32(body, 1),
        protocol: readUint16(body, 5),
        creditBytes: readUint32(body, 7),
      };
    case kinds.streamEnd:
      exactly(body, 5);
      return { kind: "stream-end", id: readUint32(body, 1) };
    case kinds.ping:
      exactly(body, 5);
      return { kind: "ping", token: readUint32(body, 1) };
    case kinds.pong:
      exactly(body, 5);
      return { kind: "pong", token: readUint32(body, 1) };
    case kinds.retire:
      exactly(body, 1);
      return { kind: "retire" };
    case kinds.stay:
      exactly(body, 1);
      return { kind: "stay" };
    case kinds.failure:
      return { kind: "failure", id: idOf(body), failure: decodeFailure(body) };
    case kinds.streamAbort:
      return { kind: "stream-abort", id: idOf(body), failure: decodeFailure(body) };
    case kinds.protocol:
      return decodeProtocol(body);
    default:
      throw new ProtocolViolationError(`unknown frame kind ${kind === undefined ? "of an empty frame" : kind}`);
  }
}

/** What the beginning of a stream's segment says; `totalBytes` of the whole message in its first segment only. */
export interface SegmentHead {
  readonly id: number;
  readonly payloadBytes: number;
  readonly totalBytes: number | undefined;
}

/** The fields of a stream's segment, the kind included: as many bytes of a body as {@link peekSegment} wants to see. */
export const segmentHeadBytes = 10;

/**
 * Reads the fields of a stream's segment from the beginning of its body, for a receiver that wants to know where its bytes belong before they
 * have come: undefined for any other frame. Nothing of it is checked yet.
 */
export function peekSegment(head: Uint8Array, bodyBytes: number): SegmentHead | undefined {
  if (head[0] !== kinds.streamData) return undefined;
  const id = readUint32(head, 1);
  if (((head[5] as number) & dataFirst) === 0) return { id, payloadBytes: bodyBytes - 6, totalBytes: undefined };
  return { id, payloadBytes: bodyBytes - segmentHeadBytes, totalBytes: readUint32(head, 6) };
}

function decodeData(body: Uint8Array, placed: Uint8Array | undefined): Frame {
  atLeast(body, 6);
  const flags = body[5] as number;
  if (flags > 3) throw new ProtocolViolationError(`stream segment with unknown flags ${flags}`);
  const first = (flags & dataFirst) !== 0;
  const start = first ? 10 : 6;
  atLeast(body, start);
  const totalBytes = first ? readUint32(body, 6) : undefined;
  if (totalBytes !== undefined && totalBytes > maxPayloadBytes) {
    throw new ProtocolViolationError(`stream message of ${totalBytes} bytes, at most ${maxPayloadBytes}`);
  }
  return {
    kind: "stream-data",
    id: readUint32(body, 1),
    totalBytes,
    last: (flags & dataLast) !== 0,
    payload: placed ?? payloadOf(body, start),
  };
}

function decodeProtocol(body: Uint8Array): Frame {
  atLeast(body, 4);
  if (body.length > 3 + 128) throw new ProtocolViolationError(`protocol name of ${body.length - 3} bytes, at most 128`);
  const name = decodeText(body.subarray(3));
  if (!isProtocolName(name))
    throw new ProtocolViolationError("protocol name with characters that are not printable ASCII");
  return { kind: "protocol", index: readUint16(body, 1), name };
}

function decodeFailure(body: Uint8Array): Failure {
  atLeast(body, 7);
  const retryable = body[5] as number;
  const codeBytes = body[6] as number;
  if (retryable > 1) throw new ProtocolViolationError(`failure with flag ${retryable}`);
  atLeast(body, 7 + codeBytes);
  const code = decodeText(body.subarray(7, 7 + codeBytes));
  if (!codePattern.test(code)) throw new ProtocolViolationError("failure with a malformed code");
  const message = body.subarray(7 + codeBytes);
  if (message.length > maxFailureMessageBytes) {
    throw new ProtocolViolationError(`failure message of ${message.length} bytes, at most ${maxFailureMessageBytes}`);
  }
  return { code, message: decodeText(message), retryable: retryable === 1 };
}

function idOf(body: Uint8Array): number {
  atLeast(body, 5);
  return readUint32(body, 1);
}

function payloadOf(body: Uint8Array, start: number): Uint8Array {
  if (body.length - start > maxPayloadBytes) {
    throw new ProtocolViolationError(`payload of ${body.length - start} bytes, at most ${maxPayloadBytes}`);
  }
  return body.subarray(start);
}

function decodeText(bytes: Uint8Array): string {
  try {
    return utf8Decoder.decode(bytes);
  } catch {
    throw new ProtocolViolationError("text that is not UTF-8");
  }
}

function atLeast(body: Uint8Array, bytes: number): void {
  if (body.length < bytes)
    throw new ProtocolViolationError(`frame of ${body.length} bytes, expected at least ${bytes}`);
}

function exactly(body: Uint8Array, bytes: number): void {
  if (body.length !== bytes) throw new ProtocolViolationError(`frame of ${body.length} bytes, expected ${bytes}`);
}
