import type { ChainHead, ClusterId, Cosignature, Hash, Identity, SignatureVerifier } from "@revoada/fabric";
import { shortId } from "@revoada/fabric";
import { encodeCanonical } from "./canonical.ts";
import { decodingAt, refuse } from "./faults.ts";
import { domainOf, openRecord } from "./fields.ts";
import { idBytes } from "./hash.ts";
import { maxCosignatureBytes } from "./limits.ts";
import { encodeOperatorSignature, readOperatorSignature } from "./signed.ts";

/** What an operator signs under a head: another domain than a voter's, so that neither is ever taken for the other. */
function cosignStatement(clusterId: ClusterId, head: ChainHead): Uint8Array {
  return encodeCanonical([domainOf("cosign-statement"), idBytes(clusterId, 32), head.height, idBytes(head.hash, 32)]);
}

export function cosign(clusterId: ClusterId, head: ChainHead, identity: Identity): Cosignature {
  return { head, operator: identity.id, signature: identity.sign(cosignStatement(clusterId, head)) };
}

/** Canonical bytes of a cosignature. Throws `ATTEST_NOT_CANONICAL`. */
export function encodeCosignature(cosignature: Cosignature): Uint8Array {
  const { height, hash } = cosignature.head;
  const bytes = encodeCanonical([
    domainOf("cosignature"),
    height,
    idBytes(hash, 32),
    encodeOperatorSignature(cosignature),
  ]);
  readFields(bytes);
  return bytes;
}

/** Decodes a cosignature; who made it is not judged. Throws `CHAIN_INVALID`. */
export function readCosignature(bytes: Uint8Array, height = 0): Cosignature {
  return decodingAt(height, "malformed", () => readFields(bytes));
}

/** Decodes a cosignature and checks that its operator made it for this cluster. Throws `CHAIN_INVALID`. */
export function openCosignature(bytes: Uint8Array, clusterId: ClusterId, verifier: SignatureVerifier): Cosignature {
  const cosignature = readCosignature(bytes);
  const { head, operator, signature } = cosignature;
  if (verifier.verify(operator, cosignStatement(clusterId, head), signature)) return cosignature;
  return refuse("bad-cosignature", head.height, `it does not bear the signature of ${shortId(operator)}`);
}

function readFields(bytes: Uint8Array): Cosignature {
  const fields = openRecord(bytes, "cosignature", { maxBytes: maxCosignatureBytes });
  const head = { height: fields.counter("height", 1), hash: fields.id<Hash>("hash", 32) };
  const signed = fields.list("signed", { least: 2, most: 2 });
  fields.finish();
  return { head, ...readOperatorSignature(signed, "cosignature.signed") };
}
