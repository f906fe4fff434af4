import { ed25519Verifier, identityFromSeed } from "@revoada/attest-blake3";
import type { ClusterId, Identity, NodeId, SignatureVerifier } from "@revoada/fabric";
import { seededRandom } from "@revoada/fabric/memory";
import {
  type Frame,
  type Reader,
  type ReadItem,
  RememberingReader,
  type SignedItem,
} from "@revoada/membership-gossip/unstable/core";

const goodSignature: unique symbol = Symbol("the signature that was found to be good");
const asFrame: unique symbol = Symbol("what the bytes say");

/**
 * Bytes with a note of what they were found to be. The note stands on the bytes themselves: hundreds of thousands of weak references
 * would cost the collector more than all that the nodes hold.
 */
interface NotedBytes extends Uint8Array {
  [goodSignature]?: Uint8Array;
  [asFrame]?: Frame;
}

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
  return {
    verifier: {
      verify(signer, message: NotedBytes, signature) {
        if (message[goodSignature] === signature) return true;
        const isGood = Buffer.compare(paperSignature(signer, message), signature) === 0;
        if (isGood) message[goodSignature] = signature;
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
 * Reads each frame and each item once for all the cores of a world: they hold the same anyway, so they may as well hold the same objects.
 *
 * Of what was written only every so many are read from their bytes; the others are what their sender says they are. That bytes say the same
 * is what the trace of a world shows, which is the same however many are read.
 */
export class SharedReader implements Reader {
  readonly #reader = new RememberingReader(rememberedMax);
  readonly #readsEvery: number;
  #written = 0;

  constructor(readsEvery: number) {
    this.#readsEvery = readsEvery;
  }

  wrote(bytes: NotedBytes, frame: Frame): void {
    this.#written += 1;
    if (this.#written % this.#readsEvery !== 0) bytes[asFrame] = frame;
  }

  frame(bytes: NotedBytes, clusterId: ClusterId): Frame {
    return (bytes[asFrame] ??= this.#reader.frame(bytes, clusterId));
  }

  item(signed: SignedItem, clusterId: ClusterId): ReadItem {
    return this.#reader.item(signed, clusterId);
  }
}
