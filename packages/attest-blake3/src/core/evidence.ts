import type { ClusterId, SignatureVerifier } from "@revoada/fabric";
import { decodeViews } from "./canonical.ts";
import { ChainFileReader } from "./chain-file.ts";
import { ChainVerifier } from "./chain-verifier.ts";
import { openCheckpoint } from "./checkpoint.ts";
import { refuse } from "./faults.ts";
import { domainOf } from "./fields.ts";
import { maxCheckpointBytes } from "./limits.ts";

/** What a file that can be verified alone is. */
export type EvidenceKind = "chain" | "proof" | "checkpoint";

/** Tells by its first bytes what a file claims to be: a chain, where it is nothing else. */
export function evidenceKind(bytes: Uint8Array): EvidenceKind {
  let domain: unknown;
  try {
    const value = decodeViews(bytes, { maxBytes: maxCheckpointBytes });
    domain = Array.isArray(value) ? (value as readonly unknown[])[0] : undefined;
  } catch {
    return "chain";
  }
  if (domain === domainOf("proof")) return "proof";
  return domain === domainOf("checkpoint") ? "checkpoint" : "chain";
}

/**
 * The checkpoint at the highest sealed head of a chain file, for verifiers that go on from there. The chain is verified on the way. Throws
 * `CHAIN_INVALID`, with `unproven` where nothing is sealed.
 */
export function checkpointOf(file: Uint8Array, clusterId: ClusterId, signatures: SignatureVerifier): Uint8Array {
  const reader = new ChainFileReader(file);
  const options = { clusterId, verifier: signatures, believes: (): boolean => true };
  const first = reader.next(0);
  if (first?.kind !== "genesis")
    return refuse("bad-genesis", 0, "a checkpoint is made from a chain that begins with genesis");
  const verifier = new ChainVerifier({ ...options, genesis: first.bytes });
  for (let record = reader.next(1); record !== undefined; record = reader.next(verifier.head().height + 1)) {
    if (record.kind === "block") verifier.addBlock(record.bytes);
    else if (record.kind === "seal") verifier.addSeal(record.bytes);
    else if (record.kind === "cosignature") verifier.addCosignature(record.bytes);
    else refuse("malformed", verifier.head().height + 1, `a ${record.kind} in the middle of a chain`);
  }
  const checkpoint = verifier.checkpoint();
  if (checkpoint === undefined)
    return refuse("unproven", verifier.head().height, "no sealed head that one could go on from");
  openCheckpoint(checkpoint, signatures);
  return checkpoint;
}
