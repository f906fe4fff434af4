import { describeValue } from "@revoada/fabric";
import { NotCanonicalError } from "../errors.ts";

const encoder = new TextEncoder();
/** Shorter texts are written by hand where they are ASCII, as names mostly are. */
const shortText = 48;
/** Most that is kept between two calls. */
const keptBytes = 1024 * 1024;

interface Sink {
  bytes: Uint8Array;
  length: number;
}

// One thread, and no call within another: what is written into can be kept.
const sink: Sink = { bytes: new Uint8Array(4096), length: 0 };

/**
 * The deterministic encoding of a value: shortest heads, definite lengths, keys in the order of their encoded bytes (RFC 8949 §4.2.1 for
 * texts). Throws `ATTEST_NOT_CANONICAL` for what has none, and for more than `maxDepth` levels.
 */
export function encodeStrictly(value: unknown, maxDepth: number): Uint8Array {
  sink.length = 0;
  writeItem(value, maxDepth, maxDepth);
  const encoded = sink.bytes.slice(0, sink.length);
  if (sink.bytes.length > keptBytes) sink.bytes = new Uint8Array(4096);
  return encoded;
}

/** Makes room for so many more bytes. */
function reserve(more: number): void {
  const needed = sink.length + more;
  if (needed <= sink.bytes.length) return;
  const grown = new Uint8Array(Math.max(needed, sink.bytes.length * 2));
  grown.set(sink.bytes.subarray(0, sink.length));
  sink.bytes = grown;
}

function writeItem(value: unknown, depthLeft: number, maxDepth: number): void {
  if (value instanceof Uint8Array) {
    writeHead(2, value.length);
    writeBytes(value);
  } else if (typeof value === "string") writeText(value);
  else if (typeof value === "number") writeInteger(value);
  else if (value === null) writeByte(0xf6);
  else if (typeof value === "boolean") writeByte(value ? 0xf5 : 0xf4);
  else if (typeof value !== "object") throw new NotCanonicalError(`${describeValue(value)} has no canonical encoding`);
  else if (depthLeft === 0) throw new NotCanonicalError(`more than ${maxDepth} levels`);
  else if (Array.isArray(value)) {
    writeHead(4, value.length);
    for (const item of value as readonly unknown[]) writeItem(item, depthLeft - 1, maxDepth);
  } else writeMap(value, depthLeft, maxDepth);
}

function writeMap(value: object, depthLeft: number, maxDepth: number): void {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null)
    throw new NotCanonicalError("an instance of a class has no canonical encoding");
  const entries = Object.entries(value).map(([key, item]: [string, unknown]) => [encodedKey(key), item] as const);
  writeHead(5, entries.length);
  for (const [key, item] of entries.toSorted(([left], [right]) => order(left, right))) {
    writeHead(3, key.length);
    writeBytes(key);
    writeItem(item, depthLeft - 1, maxDepth);
  }
}

function encodedKey(key: string): Uint8Array {
  checkWellFormed(key);
  return encoder.encode(key);
}

/** Shorter keys first, then by their bytes: that is the order of what they are encoded to, whose head tells the length. */
function order(left: Uint8Array, right: Uint8Array): number {
  if (left.length !== right.length) return left.length - right.length;
  const index = left.findIndex((byte, at) => byte !== right[at]);
  return index < 0 ? 0 : (left[index] as number) - (right[index] as number);
}

function writeInteger(value: number): void {
  if (!Number.isSafeInteger(value) || Object.is(value, -0))
    throw new NotCanonicalError(`${value} is not an integer within ±(2^53 - 1)`);
  if (value >= 0) writeHead(0, value);
  else writeHead(1, -1 - value);
}

function checkWellFormed(text: string): void {
  if (!text.isWellFormed()) throw new NotCanonicalError(`${describeValue(text)} holds half of a surrogate pair`);
}

function writeText(text: string): void {
  if (text.length <= shortText && writeAscii(text)) return;
  checkWellFormed(text);
  const encoded = encoder.encode(text);
  writeHead(3, encoded.length);
  writeBytes(encoded);
}

/** Writes a text of ASCII alone; false, and nothing is written, where it holds anything else. */
function writeAscii(text: string): boolean {
  const before = sink.length;
  writeHead(3, text.length);
  reserve(text.length);
  const { bytes } = sink;
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    if (unit >= 0x80) {
      sink.length = before;
      return false;
    }
    bytes[sink.length + index] = unit;
  }
  sink.length += text.length;
  return true;
}

function writeByte(byte: number): void {
  reserve(1);
  sink.bytes[sink.length] = byte;
  sink.length += 1;
}

function writeBytes(bytes: Uint8Array): void {
  reserve(bytes.length);
  sink.bytes.set(bytes, sink.length);
  sink.length += bytes.length;
}

/** A head in its shortest form. */
function writeHead(major: number, argument: number): void {
  reserve(9);
  const { bytes, length } = sink;
  const first = major << 5;
  if (argument < 24) {
    bytes[length] = first | argument;
    sink.length = length + 1;
    return;
  }
  const width = argument < 0x100 ? 1 : argument < 0x10000 ? 2 : argument < 0x100000000 ? 4 : 8;
  bytes[length] = first | (24 + Math.log2(width));
  let rest = argument;
  for (let index = width; index > 0; index -= 1) {
    bytes[length + index] = rest % 256;
    rest = Math.floor(rest / 256);
  }
  sink.length = length + 1 + width;
}
