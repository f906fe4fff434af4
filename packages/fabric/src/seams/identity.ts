import type { NodeId } from "../ids.ts";

/** A private key that can be used and not read. */
export interface Identity {
  readonly id: NodeId;
  /** An ed25519 signature (RFC 8032), 64 bytes. */
  sign(message: Uint8Array): Uint8Array;
}

/** Checks signatures. Never throws: bytes of a wrong length are a wrong signature. */
export interface SignatureVerifier {
  verify(signer: NodeId, message: Uint8Array, signature: Uint8Array): boolean;
}
