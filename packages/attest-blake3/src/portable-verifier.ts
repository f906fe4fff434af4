import { ed25519 } from "@noble/curves/ed25519.js";
import type { NodeId, SignatureVerifier } from "@revoada/fabric";
import { idBytes } from "./core/hash.ts";

const nodeIdPattern = /^[0-9a-f]{64}$/;

/**
 * Checks ed25519 signatures without `node:crypto`: RFC 8032 strictly, no malleable signatures, no keys of small order. The answers are those of
 * `ed25519Verifier`.
 */
export function portableVerifier(): SignatureVerifier {
  return {
    verify(signer: NodeId, message: Uint8Array, signature: Uint8Array): boolean {
      if (!(signature instanceof Uint8Array) || signature.length !== 64 || !(message instanceof Uint8Array))
        return false;
      if (typeof signer !== "string" || !nodeIdPattern.test(signer)) return false;
      try {
        return ed25519.verify(signature, message, idBytes(signer, 32), { zip215: false });
      } catch {
        return false;
      }
    },
  };
}
