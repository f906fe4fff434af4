import { blake3 } from "@noble/hashes/blake3.js";
import { bytesToHex, hexToBytes } from "@noble/hashes/utils.js";
import type { Hash } from "@revoada/fabric";
import { describeValue } from "@revoada/fabric";
import { NotCanonicalError } from "../errors.ts";

/** BLAKE3-256. */
export function hashBytes(bytes: Uint8Array): Uint8Array {
  return blake3(bytes);
}

/** BLAKE3-256 in hex. */
export function hashOf(bytes: Uint8Array): Hash {
  return bytesToHex(blake3(bytes)) as Hash;
}

/** The key of a keyed hash: what it is used for, hashed. A hash with a key is never taken for one without, or with another. */
export function purposeKey(purpose: string): Uint8Array {
  return blake3(new TextEncoder().encode(purpose));
}

/** BLAKE3-256 with a key of {@link purposeKey}. */
export function hashFor(key: Uint8Array, bytes: Uint8Array): Uint8Array {
  return blake3(bytes, { key });
}

/** The hash that stands over two others in a tree. 64 bytes, hence one block of the hash function. */
export function hashPair(key: Uint8Array, left: Uint8Array, right: Uint8Array): Uint8Array {
  const pair = new Uint8Array(64);
  pair.set(left, 0);
  pair.set(right, 32);
  return blake3(pair, { key });
}

/** Bytes in lower-case hex. */
export function hexOf(bytes: Uint8Array): Hash {
  return bytesToHex(bytes) as Hash;
}

/** The bytes of an id in lower-case hex; refuses anything else before it is signed. */
export function idBytes(id: string, length: number): Uint8Array {
  if (typeof id !== "string" || id.length !== length * 2 || !/^[0-9a-f]*$/.test(id)) {
    throw new NotCanonicalError(`expected ${length * 2} lower-case hex characters, got ${describeValue(id)}`);
  }
  return hexToBytes(id);
}
