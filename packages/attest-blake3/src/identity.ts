import { createPrivateKey, createPublicKey, sign } from "node:crypto";
import type { Identity, NodeId } from "@revoada/fabric";
import { InvalidValueError } from "@revoada/fabric";
import { spkiPrefix } from "./ed25519-verifier.ts";

/** Length of an ed25519 seed: what RFC 8032 calls the private key. */
export const seedLength = 32;

// DER of PKCS #8 for ed25519 (RFC 8410), up to where the 32 bytes of the key begin.
const pkcs8Prefix = Buffer.from("302e020100300506032b657004220420", "hex");

/**
 * The identity of an ed25519 seed of 32 bytes. The seed is copied into a key object of the crypto library; the identity itself can be
 * used and not read.
 */
export function identityFromSeed(seed: Uint8Array): Identity {
  if (!(seed instanceof Uint8Array) || seed.length !== seedLength)
    throw new InvalidValueError("seed", seed, `${seedLength} bytes`);
  const key = createPrivateKey({ key: Buffer.concat([pkcs8Prefix, seed]), format: "der", type: "pkcs8" });
  const publicDer = createPublicKey(key).export({ format: "der", type: "spki" });
  const id = publicDer.subarray(spkiPrefix.length).toString("hex") as NodeId;
  return Object.freeze({
    id,
    sign: (message: Uint8Array): Uint8Array => new Uint8Array(sign(null, message, key)),
  });
}
