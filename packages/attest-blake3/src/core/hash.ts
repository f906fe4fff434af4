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

/** The bytes of an id in lower-case hex; refuses anything else before it is signed. */
export function idBytes(id: string, length: number): Uint8Array {
  if (typeof id !== "string" || id.length !== length * 2 || !/^[0-9a-f]*$/.test(id)) {
    throw new NotCanonicalError(`expected ${length * 2} lower-case hex characters, got ${describeValue(id)}`);
  }
  return hexToBytes(id);
}
