import { generateKeyPairFromSeed, publicKeyFromRaw } from "@libp2p/crypto/keys";
import type { Ed25519PrivateKey, Ed25519PublicKey, PeerId } from "@libp2p/interface";
import type { NodeId } from "@revoada/fabric";
import { DiscoveryOptionsError } from "./errors.ts";

/** The libp2p key of a node: its own. Rejects with `DISCOVERY_INVALID_OPTIONS`. */
export async function privateKeyOf(seed: Uint8Array): Promise<Ed25519PrivateKey> {
  // The value is a secret: only its shape may appear in a message.
  if (seed.length !== 32) throw new DiscoveryOptionsError("privateKey", undefined, "an ed25519 seed of 32 bytes");
  return generateKeyPairFromSeed("Ed25519", seed);
}

/** The node behind a PeerId; undefined for keys of another kind, which no node has. */
export function nodeIdOf(peer: PeerId): NodeId | undefined {
  return peer.type === "Ed25519" ? nodeIdOfKey(peer.publicKey) : undefined;
}

/** The NodeId of a key: the same 32 bytes. */
export function nodeIdOfKey(key: Ed25519PublicKey): NodeId {
  return Buffer.from(key.raw).toString("hex") as NodeId;
}

/** The key of a node. */
export function keyOf(node: NodeId): Ed25519PublicKey {
  return publicKeyFromRaw(Buffer.from(node, "hex")) as Ed25519PublicKey;
}
