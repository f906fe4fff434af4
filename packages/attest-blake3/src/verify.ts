/**
 * Verifies chains, proofs and checkpoints where there are no Node modules, in a browser for one.
 *
 * The same core as the package's main entry, with a portable ed25519 in place of `node:crypto`: it takes about a millisecond per signature, and gives
 * the same answers.
 *
 * @example
 * ```ts
 * import { evidenceKind, portableVerifier, verifyProofWith } from "@revoada/attest-blake3/verify";
 *
 * const bytes = new Uint8Array(await file.arrayBuffer());
 * if (evidenceKind(bytes) === "proof") show(verifyProofWith(bytes, clusterId, portableVerifier()));
 * ```
 *
 * @packageDocumentation
 */
export type { CheckpointVerdict, EvidenceKind } from "./core/evidence.ts";
export { checkpointVerdict, claimedCluster, evidenceKind } from "./core/evidence.ts";
export { exportFromJson, exportToJson } from "./core/export-json.ts";
export type { ProofVerdict, ProvenShift } from "./core/proof.ts";
export type { ChainSpan, SequenceVerdict } from "./core/sequence.ts";
export { verifySequenceWith } from "./core/sequence.ts";
export { verifyChainWith } from "./core/verify-chain.ts";
export type { VerifyOptions } from "./core/verify-options.ts";
export { verifyProofWith } from "./core/verify-proof.ts";
export { portableVerifier } from "./portable-verifier.ts";
