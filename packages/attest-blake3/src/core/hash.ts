import type { Hash } from "@revoada/fabric";
import { describeValue } from "@revoada/fabric";
import { NotCanonicalError } from "../errors.ts";
import type { Blake3Key } from "./blake3.ts";
import { blake3, blake3Key } from "./blake3.ts";

/** BLAKE3-256. */
export function hashBytes(bytes: Uint8Array): Uint8Array {
  return blake3(bytes);
}

/** BLAKE3-256 in hex. */
export function hashOf(bytes: Uint8Array): Hash {
  return hexOf(blake3(bytes));
}

/** The key of a keyed hash: what it is used for, hashed. A hash with a key is never taken for one without, or with another. */
export function purposeKey(purpose: string): Blake3Key {
  return blake3Key(blake3(new TextEncoder().encode(purpose)));
}

/** BLAKE3-256 with a key of {@link purposeKey}. */
export function hashFor(key: Blake3Key, bytes: Uint8Array): Uint8Array {
  return blake3(bytes, key);
}

const pair = new Uint8Array(64);

/** The hash that stands over two others in a tree. 64 bytes, hence one block of the hash function. */
export function hashPair(key: Blake3Key, left: Uint8Array, right: Uint8Array): Uint8Array {
  pair.set(left, 0);
  pair.set(right, 32);
  return blake3(pair, key);
}

const hexOfByte = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/** Bytes in lower-case hex. */
export function hexOf(bytes: Uint8Array): Hash {
  let text = "";
  for (let index = 0; index < bytes.length; index += 1) text += hexOfByte[bytes[index] as number];
  return text as Hash;
}

/** The value of each character code that is a lower-case hex digit, 255 for all others. */
const digits = new Uint8Array(128).fill(255);
for (const [value, digit] of [..."0123456789abcdef"].entries()) digits[digit.charCodeAt(0)] = value;

/** The bytes of an id in lower-case hex; refuses anything else before it is signed. */
export function idBytes(id: string, length: number): Uint8Array {
  if (typeof id !== "string" || id.length !== length * 2) return refuseId(id, length);
  const bytes = new Uint8Array(length);
  for (let index = 0; index < length; index += 1) {
    const high = digits[id.charCodeAt(index * 2)] ?? 255;
    const low = digits[id.charCodeAt(index * 2 + 1)] ?? 255;
    if (high > 15 || low > 15) return refuseId(id, length);
    bytes[index] = (high << 4) | low;
  }
  return bytes;
}

function refuseId(id: unknown, length: number): never {
  throw new NotCanonicalError(`expected ${length * 2} lower-case hex characters, got ${describeValue(id)}`);
}
