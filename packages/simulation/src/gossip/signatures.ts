import { ed25519Verifier, identityFromSeed } from "@revoada/attest-blake3";
import type { ClusterId, Identity, NodeId, SignatureVerifier } from "@revoada/fabric";
import { seededRandom } from "@revoada/fabric/memory";
import {
  type Frame,
  type Item,
  plainReader,
  type Reader,
  type ReadItem,
  type SignedItem,
} from "@revoada/membership-gossip/unstable/core";

/** Who signs in a world, and how signatures are checked there. */
export interface Signatures {
  readonly verifier: SignatureVerifier;
  identity(number: number): Identity;
}

/** Ed25519, as in production: for worlds of some dozens of nodes. */
export function realSignatures(): Signatures {
  return {
    verifier: ed25519Verifier(),
    identity(number) {
      const seed = new Uint8Array(32);
      new DataView(seed.buffer).setUint32(0, number + 1);
      return identityFromSeed(seed);
    },
  };
}

/** 64 bytes that depend on every bit of the signer and of the message, in a millionth of a second. */
function paperSignature(signer: NodeId, message: Uint8Array): Uint8Array {
  let high = Number.parseInt(signer.slice(0, 8), 16) | 0;
  let low = Number.parseInt(signer.slice(8, 16), 16) | 0;
  for (const byte of message) {
    high = Math.imul(high ^ byte, 0x01000193) ^ (low >>> 15);
    low = Math.imul(low ^ byte, 0x85ebca6b) ^ (high >>> 13);
  }
  const signature = new Uint8Array(64);
  const words = new DataView(signature.buffer);
  for (let word = 0; word < 16; word++) {
    high = Math.imul(high ^ (high >>> 16) ^ word, 0xc2b2ae35) ^ low;
    low = Math.imul(low ^ (low >>> 13), 0x9e3779b1) + high;
    words.setInt32(word * 4, high);
  }
  return signature;
}

/** Signatures that cost nothing: forgers would have an easy life, but who simulates thousands of nodes has none among them. */
export function paperSignatures(): Signatures {
  const verified = new WeakSet<Uint8Array>();
  return {
    verifier: {
      verify(signer, message, signature) {
        if (verified.has(message)) return true;
        const isGood = Buffer.compare(paperSignature(signer, message), signature) === 0;
        if (isGood) verified.add(message);
        return isGood;
      },
    },
    identity(number) {
      const id = Buffer.from(seededRandom(`node ${number}`).bytes(32)).toString("hex") as NodeId;
      return { id, sign: (message) => paperSignature(id, message) };
    },
  };
}

const rememberedMax = 60_000;

/**
 * Reads each frame and each item once for all the cores of a world: they hold the same anyway, so they may as well hold the same
 * objects. An item is known by its signature, and only where signer's bytes and signature are the same to the last bit.
 */
export class SharedReader implements Reader {
  readonly #frames = new WeakMap<Uint8Array, Frame>();
  readonly #items = new Map<number, KnownItem>();

  frame(bytes: Uint8Array, clusterId: ClusterId): Frame {
    const known = this.#frames.get(bytes);
    if (known !== undefined) return known;
    const read = plainReader.frame(bytes, clusterId);
    const frame =
      "items" in read && read.items.length > 0
        ? { ...read, items: read.items.map((item) => this.#known(item) ?? item) }
        : read;
    this.#frames.set(bytes, frame);
    return frame;
  }

  item(signed: SignedItem, clusterId: ClusterId): ReadItem {
    if (signed instanceof KnownItem) return signed;
    const known = this.#known(signed);
    if (known !== undefined) return known;
    const read = new KnownItem(signed, plainReader.item(signed, clusterId).item);
    const name = nameOf(signed);
    this.#items.delete(name);
    this.#items.set(name, read);
    const oldest = this.#items.keys().next();
    if (this.#items.size > rememberedMax && oldest.done !== true) this.#items.delete(oldest.value);
    return read;
  }

  #known(signed: SignedItem): KnownItem | undefined {
    const known = this.#items.get(nameOf(signed));
    return known !== undefined && isSame(known.signature, signed.signature) && isSame(known.payload, signed.payload)
      ? known
      : undefined;
  }
}

/** An item together with what it says, so that whoever meets it again need not look for that. */
class KnownItem implements SignedItem, ReadItem {
  readonly payload: Uint8Array;
  readonly signature: Uint8Array;
  readonly item: Item;

  constructor(signed: SignedItem, item: Item) {
    this.payload = signed.payload;
    this.signature = signed.signature;
    this.item = item;
  }

  get signed(): SignedItem {
    return this;
  }
}

/** The first 6 bytes of the signature, as a number. */
function nameOf({ signature }: SignedItem): number {
  let name = 0;
  for (let index = 0; index < 6; index++) name = name * 256 + (signature[index] ?? 0);
  return name;
}

function isSame(left: Uint8Array, right: Uint8Array): boolean {
  return left === right || Buffer.compare(left, right) === 0;
}
