/** Compares byte strings in lexicographic order, shorter first where one begins with the other. */
export function compareBytes(left: Uint8Array, right: Uint8Array): number {
  const length = Math.min(left.length, right.length);
  for (let index = 0; index < length; index++) {
    const difference = (left[index] as number) - (right[index] as number);
    if (difference !== 0) return difference;
  }
  return left.length - right.length;
}

export function equalBytes(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && compareBytes(left, right) === 0;
}

/** A copy that shares nothing with its source; `slice` of a Node Buffer would be a view. */
export function copyBytes(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes);
}

/** The smallest byte string above `bytes`. */
export function successor(bytes: Uint8Array): Uint8Array {
  const next = new Uint8Array(bytes.length + 1);
  next.set(bytes);
  return next;
}

/** A range of keys: `end` is exclusive; without it, `start` alone. */
export interface KeyRange {
  readonly start: Uint8Array;
  readonly end?: Uint8Array | undefined;
}

/** The same range with an explicit end, as stores want it. */
export function boundsOf(range: KeyRange): { readonly start: Uint8Array; readonly end: Uint8Array } {
  return { start: range.start, end: range.end ?? successor(range.start) };
}

export function inRange(key: Uint8Array, range: KeyRange): boolean {
  if (range.end === undefined) return equalBytes(key, range.start);
  return compareBytes(key, range.start) >= 0 && compareBytes(key, range.end) < 0;
}

const two32 = 0x1_0000_0000;

/** Writes a number below 2^32 as 4 bytes, most significant first. Bytes are set one by one: a DataView costs more than it saves. */
export function writeUint32(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value >>> 24;
  bytes[offset + 1] = value >>> 16;
  bytes[offset + 2] = value >>> 8;
  bytes[offset + 3] = value;
}

/** Reads 4 bytes; those behind the end count as 0, so that lengths are checked beforehand. */
export function readUint32(bytes: Uint8Array, offset: number): number {
  const rest = ((bytes[offset + 1] ?? 0) << 16) | ((bytes[offset + 2] ?? 0) << 8) | (bytes[offset + 3] ?? 0);
  return (bytes[offset] ?? 0) * 0x100_0000 + rest;
}

/** Writes a whole number below 2^53 as 8 bytes, most significant first, so that numeric order is byte order. */
export function writeCounter(bytes: Uint8Array, offset: number, value: number): void {
  writeUint32(bytes, offset, Math.floor(value / two32));
  writeUint32(bytes, offset + 4, value % two32);
}

/** Reads what {@link writeCounter} wrote; undefined where the number is above 2^53 - 1. */
export function readCounter(bytes: Uint8Array, offset: number): number | undefined {
  const value = readUint32(bytes, offset) * two32 + readUint32(bytes, offset + 4);
  return Number.isSafeInteger(value) ? value : undefined;
}

export function concatBytes(...parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
