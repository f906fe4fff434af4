import { describeValue } from "@revoada/fabric";
import { encode, encodeInto } from "cborg";
import { NotCanonicalError } from "../errors.ts";
import { decodeStrictly } from "./decode-strictly.ts";

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

/**
 * The deterministic CBOR encoding of a value (RFC 8949 §4.2: shortest integers, definite lengths, sorted keys).
 *
 * Throws `ATTEST_NOT_CANONICAL` for what has none: floats, integers beyond 2^53 - 1, `undefined`, lone surrogates, class
 * instances, more than 16 levels.
 */
export function encodeCanonical(value: CanonicalValue): Uint8Array {
  checkValue(value, defaultMaxDepth);
  return encodeShortly(value) ?? copyBytes(encode(value));
}

/** Most records have a few hundred bytes: they are written here and copied from here, without a list of pieces in between. */
const scratch = new Uint8Array(4096);

/** The encoding of a value that `scratch` has room for. */
function encodeShortly(value: CanonicalValue): Uint8Array | undefined {
  try {
    return scratch.slice(0, encodeInto(value, scratch).written);
  } catch {
    // There was no room, or there is no encoding, which encoding it the other way says.
    return undefined;
  }
}

/**
 * Decodes bytes that are the canonical encoding of their value, and refuses every other encoding of it with
 * `ATTEST_NOT_CANONICAL`, so that one value has exactly one hash.
 */
export function decodeCanonical(bytes: Uint8Array, limits: CanonicalLimits): CanonicalValue {
  return decodeBounded(bytes, limits, copyBytes);
}

/** As {@link decodeCanonical}, but byte strings are views into `bytes`: for callers that copy what they keep. */
export function decodeViews(bytes: Uint8Array, limits: CanonicalLimits): CanonicalValue {
  return decodeBounded(bytes, limits, (view) => view);
}

function decodeBounded(
  bytes: Uint8Array,
  limits: CanonicalLimits,
  keep: (view: Uint8Array) => Uint8Array,
): CanonicalValue {
  if (!(bytes instanceof Uint8Array)) throw new NotCanonicalError(`expected bytes, got ${describeValue(bytes)}`);
  if (bytes.length > limits.maxBytes) {
    throw new NotCanonicalError(`${bytes.length} bytes, expected at most ${limits.maxBytes}`);
  }
  return decodeStrictly(bytes, limits.maxDepth ?? defaultMaxDepth, keep);
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
