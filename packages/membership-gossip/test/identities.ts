import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import type { ClusterId, Identity, NodeId, SignatureVerifier } from "@revoada/fabric";

const pkcs8Head = Buffer.from("302e020100300506032b657004220420", "hex");
const spkiHead = Buffer.from("302a300506032b6570032100", "hex");
const publicKeys = new Map<NodeId, KeyObject>();

export const clusterId = "c1".repeat(32) as ClusterId;
export const otherClusterId = "c2".repeat(32) as ClusterId;

const identities = new Map<number, Identity>();

/** A real ed25519 identity that is the same for the same number. */
export function identityOf(number: number): Identity {
  const made = identities.get(number) ?? makeIdentity(number);
  identities.set(number, made);
  return made;
}

function makeIdentity(number: number): Identity {
  const seed = Buffer.alloc(32);
  seed.writeUInt32BE(number + 1, 0);
  const privateKey = createPrivateKey({ key: Buffer.concat([pkcs8Head, seed]), format: "der", type: "pkcs8" });
  const der = createPublicKey(privateKey).export({ format: "der", type: "spki" });
  const id = der.subarray(spkiHead.length).toString("hex") as NodeId;
  return { id, sign: (message) => new Uint8Array(sign(null, message, privateKey)) };
}

/** Checks ed25519 signatures for real, and counts how often it was asked to. */
export class CountingVerifier implements SignatureVerifier {
  checks = 0;

  verify(signer: NodeId, message: Uint8Array, signature: Uint8Array): boolean {
    this.checks += 1;
    try {
      let key = publicKeys.get(signer);
      if (key === undefined) {
        key = createPublicKey({
          key: Buffer.concat([spkiHead, Buffer.from(signer, "hex")]),
          format: "der",
          type: "spki",
        });
        publicKeys.set(signer, key);
      }
      return verify(null, message, key, signature);
    } catch {
      return false;
    }
  }
}
