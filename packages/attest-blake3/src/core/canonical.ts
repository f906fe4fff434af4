import { describeValue } from "@revoada/fabric";
import { decode, encode } from "cborg";
import { NotCanonicalError } from "../errors.ts";

/** What canonical bytes can hold: no floats, no undefined, no tags. */
export type CanonicalValue =
  | null
  | boolean
  | number
  | string
  | Uint8Array
  | readonly CanonicalValue[]
  | { readonly [key: string]: CanonicalValue };

/** Bounds on what is decoded; both are inclusive. */
export interface CanonicalLimits {
  readonly maxBytes: number;
  /** Nested lists and maps; 16 where absent. */
  readonly maxDepth?: number;
}

const defaultMaxDepth = 16;

const decodeOptions = {
  strict: true,
  allowIndefinite: false,
  allowUndefined: false,
  allowInfinity: false,
  allowNaN: false,
  allowBigInt: false,
  rejectDuplicateMapKeys: true,
} as const;

/**
 * The deterministic CBOR encoding of a value (RFC 8949 §4.2: shortest integers, definite lengths, sorted keys).
 *
 * Throws `ATTEST_NOT_CANONICAL` for what has none: floats, integers beyond 2^53 - 1, `undefined`, lone surrogates, class
 * instances, more than 16 levels.
 */
export function encodeCanonical(value: CanonicalValue): Uint8Array {
  checkValue(value, defaultMaxDepth);
  return copyBytes(encode(value));
}

/**
 * Decodes bytes that are the canonical encoding of their value, and refuses every other encoding of it with
 * `ATTEST_NOT_CANONICAL`, so that one value has exactly one hash.
 */
export function decodeCanonical(bytes: Uint8Array, limits: CanonicalLimits): CanonicalValue {
  if (!(bytes instanceof Uint8Array)) throw new NotCanonicalError(`expected bytes, got ${describeValue(bytes)}`);
  if (bytes.length > limits.maxBytes) {
    throw new NotCanonicalError(`${bytes.length} bytes, expected at most ${limits.maxBytes}`);
  }
  // Before cborg, which recurses: hostile nesting would exhaust the stack.
  checkShape(bytes, limits.maxDepth ?? defaultMaxDepth);
  let value: CanonicalValue;
  let again: Uint8Array;
  try {
    value = decode(bytes, decodeOptions) as CanonicalValue;
    again = encode(value);
  } catch (cause) {
    throw new NotCanonicalError("the bytes are not CBOR", { cause });
  }
  // Catches what strict decoding lets through: unsorted keys and text that is not UTF-8.
  if (!equalBytes(bytes, again)) throw new NotCanonicalError("the bytes are not the canonical encoding of their value");
  return value;
}

/** A copy in memory of its own, also of a `Buffer`, whose `slice` is a view and whose memory may be a shared pool. */
export function copyBytes(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes);
}

/** True where both hold the same bytes. Not for secrets: it stops at the first difference. */
export function equalBytes(left: Uint8Array, right: Uint8Array): boolean {
  if (left.length !== right.length) return false;
  for (let index = 0; index < left.length; index += 1) {
    if (left[index] !== right[index]) return false;
  }
  return true;
}

function checkValue(value: unknown, depthLeft: number): void {
  if (value === null || typeof value === "boolean" || value instanceof Uint8Array) return;
  if (typeof value === "number") {
    if (Number.isSafeInteger(value) && !Object.is(value, -0)) return;
    throw new NotCanonicalError(`${value} is not an integer within ±(2^53 - 1)`);
  }
  if (typeof value === "string") {
    if (value.isWellFormed()) return;
    throw new NotCanonicalError(`${describeValue(value)} holds half of a surrogate pair`);
  }
  if (typeof value !== "object") throw new NotCanonicalError(`${describeValue(value)} has no canonical encoding`);
  if (depthLeft === 0) throw new NotCanonicalError(`more than ${defaultMaxDepth} levels`);
  if (Array.isArray(value)) {
    for (const item of value) checkValue(item, depthLeft - 1);
    return;
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) {
    throw new NotCanonicalError("an instance of a class has no canonical encoding");
  }
  for (const [key, item] of Object.entries(value)) {
    checkValue(key, depthLeft);
    checkValue(item, depthLeft - 1);
  }
}

/** Walks the heads of all items without recursion and without allocating by what they claim. */
function checkShape(bytes: Uint8Array, maxDepth: number): void {
  // How many items each open list or map still expects; the sentinel stands for the one item that the bytes are.
  const expected = [1];
  let offset = 0;
  while (expected.length > 0) {
    const left = expected[expected.length - 1] as number;
    if (left === 0) {
      expected.pop();
      continue;
    }
    expected[expected.length - 1] = left - 1;
    const head = readHead(bytes, offset);
    offset = head.end;
    if (head.major === 2 || head.major === 3) offset += head.argument;
    if (offset > bytes.length) throw new NotCanonicalError("the bytes end in the middle of an item");
    if (head.major !== 4 && head.major !== 5) continue;
    const items = head.major === 4 ? head.argument : head.argument * 2;
    if (items > bytes.length - offset)
      throw new NotCanonicalError("a list or map claims more items than there are bytes");
    if (expected.length > maxDepth) throw new NotCanonicalError(`more than ${maxDepth} levels`);
    expected.push(items);
  }
  if (offset !== bytes.length) throw new NotCanonicalError(`${bytes.length - offset} bytes after the end`);
}

interface ItemHead {
  readonly major: number;
  readonly argument: number;
  readonly end: number;
}

function readHead(bytes: Uint8Array, offset: number): ItemHead {
  const first = bytes[offset];
  if (first === undefined) throw new NotCanonicalError("the bytes end in the middle of an item");
  const major = first >> 5;
  const minor = first & 31;
  if (major === 6) throw new NotCanonicalError("tags are not allowed");
  if (major === 7 && (minor < 20 || minor > 22))
    throw new NotCanonicalError("floats and simple values are not allowed");
  if (minor < 24) return { major, argument: minor, end: offset + 1 };
  if (minor > 27) throw new NotCanonicalError("indefinite lengths are not allowed");
  const width = 2 ** (minor - 24);
  if (offset + 1 + width > bytes.length) throw new NotCanonicalError("the bytes end in the middle of an item");
  let argument = 0;
  for (let index = 1; index <= width; index += 1) argument = argument * 256 + (bytes[offset + index] as number);
  if (argument > Number.MAX_SAFE_INTEGER) throw new NotCanonicalError("an integer is beyond 2^53 - 1");
  return { major, argument, end: offset + 1 + width };
}
