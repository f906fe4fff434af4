import type { KeyObject } from "node:crypto";
import { createPublicKey, verify } from "node:crypto";
// Types alone: the threads that check signatures load this file and nothing else.
import type { NodeId, SignatureVerifier } from "@revoada/fabric";

/** DER of SubjectPublicKeyInfo for ed25519 (RFC 8410), up to where the 32 bytes of the key begin. */
export const spkiPrefix: Buffer = Buffer.from("302a300506032b6570032100", "hex");

const signatureLength = 64;
const maxCachedKeys = 4096;
const nodeIdPattern = /^[0-9a-f]{64}$/;

/**
 * The y coordinates of the points of small order, also in the encodings that are not canonical. Under such a key a signature that
 * nobody had to make holds for any message or for one in eight, and OpenSSL accepts it; as an identity it would be everyone's.
 */
const smallOrderKeys: ReadonlySet<string> = new Set([
  "0000000000000000000000000000000000000000000000000000000000000000",
  "0100000000000000000000000000000000000000000000000000000000000000",
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]);

/**
 * Checks ed25519 signatures with `node:crypto`: RFC 8032, no malleable signatures, no keys of small order. Remembers the parsed keys of the
 * last 4,096 signers.
 */
export function ed25519Verifier(): SignatureVerifier {
  const keys = new Map<NodeId, KeyObject>();
  // A signature of 64 bytes lies on V8's heap, and would be given memory of its own for each look that OpenSSL takes at it.
  const looked = new Uint8Array(new ArrayBuffer(signatureLength));
  return {
    verify(signer: NodeId, message: Uint8Array, signature: Uint8Array): boolean {
      if (!(signature instanceof Uint8Array) || signature.length !== signatureLength) return false;
      if (!(message instanceof Uint8Array)) return false;
      const key = keys.get(signer) ?? publicKeyOf(signer);
      if (key === undefined) return false;
      if (!keys.has(signer)) remember(keys, signer, key);
      looked.set(signature);
      return verify(null, message, key, looked);
    },
  };
}

function remember(keys: Map<NodeId, KeyObject>, signer: NodeId, key: KeyObject): void {
  if (keys.size >= maxCachedKeys) {
    const oldest = keys.keys().next();
    if (oldest.done !== true) keys.delete(oldest.value);
  }
  keys.set(signer, key);
}

function publicKeyOf(signer: NodeId): KeyObject | undefined {
  if (typeof signer !== "string" || !nodeIdPattern.test(signer)) return undefined;
  const raw = Buffer.from(signer, "hex");
  const withoutSign = Buffer.from(raw);
  withoutSign[31] = (withoutSign[31] as number) & 0x7f;
  if (smallOrderKeys.has(withoutSign.toString("hex"))) return undefined;
  try {
    return createPublicKey({ key: Buffer.concat([spkiPrefix, raw]), format: "der", type: "spki" });
  } catch {
    return undefined;
  }
}
