/**
 * Ed25519 identity and a BLAKE3 chain of signed role shifts, sealed by voters and verified offline.
 *
 * The formats are pure and stand in `core/`; keys and signatures come from `node:crypto`. See {@link blake3Attestor} for the seam,
 * {@link ChainVerifier} for following a chain and {@link loadOrCreateIdentity} for a node's key.
 *
 * @packageDocumentation
 */
export { blake3Attestor } from "./attestor.ts";
export type { CanonicalLimits, CanonicalValue } from "./core/canonical.ts";
export { decodeCanonical, encodeCanonical } from "./core/canonical.ts";
export type { ChainRecord, ChainRecordKind } from "./core/chain-file.ts";
export { readChainFile } from "./core/chain-file.ts";
export type { ExportOptions } from "./core/cut-chain.ts";
export { exportChainOf } from "./core/cut-chain.ts";
export { exportFromJson, exportToJson } from "./core/export-json.ts";
export { exportForm } from "./core/open-chain.ts";
export type { ChainVerifierOptions, VerifiedBlock } from "./core/chain-verifier.ts";
export { ChainVerifier } from "./core/chain-verifier.ts";
export type { ProofVerdict, ProvenShift } from "./core/proof.ts";
export type { ProofRequest } from "./core/prove.ts";
export { proveNode } from "./core/prove.ts";
export type { CheckpointVerdict, EvidenceKind } from "./core/evidence.ts";
export { checkpointOf, checkpointVerdict, claimedCluster, evidenceKind } from "./core/evidence.ts";
export type { ChainSpan, SequenceVerdict } from "./core/sequence.ts";
export { joinChain, spanOf, verifySequenceWith } from "./core/sequence.ts";
export { verifyChainWith } from "./core/verify-chain.ts";
export type { VerifyOptions } from "./core/verify-options.ts";
export { verifyProofWith } from "./core/verify-proof.ts";
export {
  ChainInvalidError,
  CheckFailedError,
  KeyInvalidError,
  KeyPermissionsError,
  KeyUnavailableError,
  NotCanonicalError,
  TokenInvalidError,
  UnknownVersionError,
} from "./errors.ts";
export { ed25519Verifier } from "./ed25519-verifier.ts";
export { identityFromSeed, seedLength } from "./identity.ts";
export type { ParallelOptions } from "./verify-chain-in-parallel.ts";
export { verifyChainInParallel } from "./verify-chain-in-parallel.ts";
export type { StoredIdentity } from "./key-file.ts";
export { loadIdentity, loadOrCreateIdentity } from "./key-file.ts";
