import type {
  ChainHead,
  ClusterId,
  Hash,
  Identity,
  NodeId,
  Seal,
  SealSignature,
  SignatureVerifier,
} from "@revoada/fabric";
import { shortId } from "@revoada/fabric";
import { NotCanonicalError } from "../errors.ts";
import { encodeCanonical } from "./canonical.ts";
import { decodingAt, refuse } from "./faults.ts";
import { domainOf, FieldList, openRecord } from "./fields.ts";
import { idBytes } from "./hash.ts";
import { maxSealBytes, maxSealSignatures } from "./limits.ts";
import { signatureLength } from "./signed.ts";

/** What a voter signs under a head: domain, cluster, height and hash, so that it counts nowhere else. */
export function sealStatement(clusterId: ClusterId, head: ChainHead): Uint8Array {
  return encodeCanonical([domainOf("seal-statement"), idBytes(clusterId, 32), head.height, idBytes(head.hash, 32)]);
}

export function signHead(clusterId: ClusterId, head: ChainHead, identity: Identity): SealSignature {
  return { signer: identity.id, signature: identity.sign(sealStatement(clusterId, head)) };
}

/** Canonical bytes of a seal; its signatures stand in the order of their signers. Throws `ATTEST_NOT_CANONICAL`. */
export function encodeSeal(seal: Seal): Uint8Array {
  const signatures = seal.signatures.toSorted((left, right) => (left.signer < right.signer ? -1 : 1));
  const bytes = encodeCanonical([
    domainOf("seal"),
    seal.head.height,
    idBytes(seal.head.hash, 32),
    idBytes(seal.leader, 32),
    signatures.map(({ signer, signature }) => [idBytes(signer, 32), signature]),
  ]);
  readFields(bytes);
  return bytes;
}

/** Decodes a seal; whether it holds is judged by {@link checkSeal}. Throws `CHAIN_INVALID`. */
export function readSeal(bytes: Uint8Array, height = 0): Seal {
  return decodingAt(height, "malformed", () => readFields(bytes));
}

/**
 * Refuses a seal with `bad-seal` unless all of its signatures are right and of voters, the leader and a majority of the voters
 * among them. A wrong or a stranger's signature is refused even where enough others stand: honest leaders add none.
 */
export function checkSeal(
  seal: Seal,
  clusterId: ClusterId,
  voters: ReadonlySet<NodeId>,
  verifier: SignatureVerifier,
): void {
  const { height } = seal.head;
  const signers = new Set(seal.signatures.map(({ signer }) => signer));
  const stranger = seal.signatures.find(({ signer }) => !voters.has(signer));
  if (stranger !== undefined) refuse("bad-seal", height, `${shortId(stranger.signer)} did not vote then`);
  if (!signers.has(seal.leader)) refuse("bad-seal", height, `its leader ${shortId(seal.leader)} did not sign`);
  if (signers.size * 2 <= voters.size)
    refuse("bad-seal", height, `${signers.size} of ${voters.size} voters signed, no majority`);
  const statement = sealStatement(clusterId, seal.head);
  for (const { signer, signature } of seal.signatures) {
    if (!verifier.verify(signer, statement, signature))
      refuse("bad-seal", height, `the signature of ${shortId(signer)} is wrong`);
  }
}

/** How many of these keys have signed a seal. Signatures of others count for nothing, and against nothing. */
export function countSealers(
  seal: Seal,
  clusterId: ClusterId,
  keys: ReadonlySet<NodeId>,
  verifier: SignatureVerifier,
): number {
  const statement = sealStatement(clusterId, seal.head);
  return seal.signatures.filter(
    ({ signer, signature }) => keys.has(signer) && verifier.verify(signer, statement, signature),
  ).length;
}

function readFields(bytes: Uint8Array): Seal {
  const fields = openRecord(bytes, "seal", { maxBytes: maxSealBytes });
  const head = { height: fields.counter("height", 1), hash: fields.id<Hash>("hash", 32) };
  const leader = fields.id<NodeId>("leader", 32);
  const signatures = fields
    .list("signatures", { least: 1, most: maxSealSignatures })
    .map((value, index): SealSignature => {
      const item = new FieldList(value, `seal.signatures[${index}]`);
      const signer = item.id<NodeId>("signer", 32);
      const signature = item.bytes("signature", { least: signatureLength, most: signatureLength });
      item.finish();
      return { signer, signature };
    });
  fields.finish();
  for (const [index, { signer }] of signatures.entries()) {
    const before = signatures[index - 1];
    if (before !== undefined && before.signer >= signer)
      throw new NotCanonicalError("seal.signatures: the signers do not rise");
  }
  return { head, leader, signatures };
}
