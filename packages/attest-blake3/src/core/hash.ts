import { blake3 } from "@noble/hashes/blake3.js";
import { bytesToHex, hexToBytes } from "@noble/hashes/utils.js";
import type { Hash } from "@revoada/fabric";
import { describeValue } from "@revoada/fabric";
import { NotCanonicalError } from "../errors.ts";

type Blake3 = ReturnType<typeof blake3.create>;

/**
 * A BLAKE3-256 that is set up once. A chain is hashed in pieces of a few hundred bytes, for which making a hasher takes longer than the
 * hashing, so the one that works is set back to the one that was set up. One thread, and no call within another.
 */
export class Hasher {
  readonly #initial: Blake3;
  readonly #working: Blake3;

  constructor(options: { readonly key?: Uint8Array } = {}) {
    this.#initial = blake3.create(options);
    this.#working = this.#initial.clone();
  }

  hash(bytes: Uint8Array): Uint8Array {
    const hash = new Uint8Array(32);
    this.#initial._cloneInto(this.#working).update(bytes).digestInto(hash);
    return hash;
  }
}

const plain = new Hasher();

/** BLAKE3-256. */
export function hashBytes(bytes: Uint8Array): Uint8Array {
  return plain.hash(bytes);
}

/** BLAKE3-256 in hex. */
export function hashOf(bytes: Uint8Array): Hash {
  return hexOf(plain.hash(bytes));
}

/** Hashes with a key that is the hash of a purpose. A hash for a purpose is never taken for one without, or for another. */
export function hasherFor(purpose: string): Hasher {
  return new Hasher({ key: plain.hash(new TextEncoder().encode(purpose)) });
}

const pair = new Uint8Array(64);

/** The hash that stands over two others in a tree. 64 bytes, hence one block of the hash function. */
export function hashPair(hasher: Hasher, left: Uint8Array, right: Uint8Array): Uint8Array {
  pair.set(left, 0);
  pair.set(right, 32);
  return hasher.hash(pair);
}

/** Bytes in lower-case hex. */
export function hexOf(bytes: Uint8Array): Hash {
  return bytesToHex(bytes) as Hash;
}

/** Ids recur: nodes, voters and the peaks of a history stand in block after block. Bounded, since they may be a stranger's. */
const maxKnownIds = 1024;
const knownIds = new Map<string, Uint8Array>();

/**
 * The bytes of an id in lower-case hex; refuses anything else before it is signed. They may be shared with whoever asked before, and are not to be
 * changed.
 */
export function idBytes(id: string, length: number): Uint8Array {
  const known = knownIds.get(id);
  if (known?.length === length) return known;
  if (typeof id !== "string" || id.length !== length * 2 || !/^[0-9a-f]*$/.test(id))
    throw new NotCanonicalError(`expected ${length * 2} lower-case hex characters, got ${describeValue(id)}`);
  if (knownIds.size >= maxKnownIds) knownIds.clear();
  const bytes = hexToBytes(id);
  knownIds.set(id, bytes);
  return bytes;
}
