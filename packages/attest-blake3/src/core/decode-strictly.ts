import { NotCanonicalError } from "../errors.ts";
import type { CanonicalValue } from "./canonical.ts";

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
/** Shorter texts are read by hand where they are ASCII, as names mostly are: it costs less than a call of the decoder. */
const shortText = 48;

interface Cursor {
  readonly bytes: Uint8Array;
  readonly keep: (view: Uint8Array) => Uint8Array;
  offset: number;
}

/**
 * Decodes one item that is all of `bytes`, and refuses every encoding of it but the canonical one, while it reads: heads that could be
 * shorter, indefinite lengths, keys that do not rise (shorter ones first, then by their bytes: RFC 8949 §4.2.1 for texts), text
 * that is not UTF-8. Nothing has to be encoded again in order to be compared, and nothing is allocated by what a head claims.
 */
export function decodeStrictly(
  bytes: Uint8Array,
  maxDepth: number,
  keep: (view: Uint8Array) => Uint8Array,
): CanonicalValue {
  const cursor: Cursor = { bytes, keep, offset: 0 };
  const value = readItem(cursor, maxDepth, maxDepth);
  if (cursor.offset !== bytes.length)
    throw new NotCanonicalError(`${bytes.length - cursor.offset} bytes after the end`);
  return value;
}

function readItem(cursor: Cursor, depthLeft: number, maxDepth: number): CanonicalValue {
  const first = cursor.bytes[cursor.offset];
  if (first === undefined) throw new NotCanonicalError("the bytes end in the middle of an item");
  const major = first >> 5;
  if (major === 7) return readSimple(cursor, first & 31);
  if (major === 6) throw new NotCanonicalError("tags are not allowed");
  const argument = readArgument(cursor, first & 31);
  switch (major) {
    case 0:
      return argument;
    case 1:
      if (argument === Number.MAX_SAFE_INTEGER) throw new NotCanonicalError("an integer is beyond -(2^53 - 1)");
      return -1 - argument;
    case 2:
      return cursor.keep(take(cursor, argument));
    case 3:
      return readText(cursor, argument);
    default: {
      if (depthLeft === 0) throw new NotCanonicalError(`more than ${maxDepth} levels`);
      const items = major === 4 ? argument : argument * 2;
      if (items > cursor.bytes.length - cursor.offset)
        throw new NotCanonicalError("a list or map claims more items than there are bytes");
      return major === 4
        ? readList(cursor, argument, depthLeft, maxDepth)
        : readMap(cursor, argument, depthLeft, maxDepth);
    }
  }
}

function readSimple(cursor: Cursor, minor: number): CanonicalValue {
  if (minor < 20 || minor > 22) throw new NotCanonicalError("floats and simple values are not allowed");
  cursor.offset += 1;
  return minor === 22 ? null : minor === 21;
}

function readList(cursor: Cursor, count: number, depthLeft: number, maxDepth: number): readonly CanonicalValue[] {
  const items: CanonicalValue[] = [];
  for (let index = 0; index < count; index += 1) items.push(readItem(cursor, depthLeft - 1, maxDepth));
  return items;
}

function readMap(
  cursor: Cursor,
  count: number,
  depthLeft: number,
  maxDepth: number,
): { readonly [key: string]: CanonicalValue } {
  const map: Record<string, CanonicalValue> = {};
  let before: Uint8Array | undefined;
  for (let index = 0; index < count; index += 1) {
    const start = cursor.offset;
    const first = cursor.bytes[start];
    if (first === undefined || first >> 5 !== 3) throw new NotCanonicalError("a key is not a text");
    const key = readText(cursor, readArgument(cursor, first & 31));
    const encoded = cursor.bytes.subarray(start, cursor.offset);
    if (before !== undefined && !rises(before, encoded)) throw new NotCanonicalError("the keys of a map do not rise");
    before = encoded;
    const value = readItem(cursor, depthLeft - 1, maxDepth);
    // Not by assignment: one key would reach for the prototype.
    Object.defineProperty(map, key, { value, enumerable: true, configurable: true, writable: true });
  }
  return map;
}

/** Encoded texts in the order of their bytes: the head counts first, hence shorter ones stand before longer ones. */
function rises(left: Uint8Array, right: Uint8Array): boolean {
  const shared = Math.min(left.length, right.length);
  for (let index = 0; index < shared; index += 1) {
    const difference = (right[index] as number) - (left[index] as number);
    if (difference !== 0) return difference > 0;
  }
  return left.length < right.length;
}

/** Reads a head's argument, in the shortest form that holds it. */
function readArgument(cursor: Cursor, minor: number): number {
  const { bytes, offset } = cursor;
  if (minor < 24) {
    cursor.offset = offset + 1;
    return minor;
  }
  if (minor > 27) throw new NotCanonicalError("indefinite lengths are not allowed");
  const width = 1 << (minor - 24);
  if (offset + 1 + width > bytes.length) throw new NotCanonicalError("the bytes end in the middle of an item");
  let argument = 0;
  for (let index = 1; index <= width; index += 1) argument = argument * 256 + (bytes[offset + index] as number);
  if (argument > Number.MAX_SAFE_INTEGER) throw new NotCanonicalError("an integer is beyond 2^53 - 1");
  const least = width === 1 ? 24 : 2 ** (width * 4);
  if (argument < least) throw new NotCanonicalError(`${argument} is not in its shortest form`);
  cursor.offset = offset + 1 + width;
  return argument;
}

function take(cursor: Cursor, length: number): Uint8Array {
  const start = cursor.offset;
  if (length > cursor.bytes.length - start) throw new NotCanonicalError("the bytes end in the middle of an item");
  cursor.offset = start + length;
  return cursor.bytes.subarray(start, cursor.offset);
}

function readText(cursor: Cursor, length: number): string {
  const encoded = take(cursor, length);
  if (length <= shortText) {
    let text = "";
    for (let index = 0; index < length; index += 1) {
      const unit = encoded[index] as number;
      if (unit >= 0x80) return decodeText(encoded);
      text += String.fromCharCode(unit);
    }
    return text;
  }
  return decodeText(encoded);
}

function decodeText(encoded: Uint8Array): string {
  try {
    return decoder.decode(encoded);
  } catch (cause) {
    throw new NotCanonicalError("a text is not UTF-8", { cause });
  }
}
