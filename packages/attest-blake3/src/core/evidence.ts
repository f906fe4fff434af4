import type { ChainFault, ChainHead, ClusterId, NodeId, SignatureVerifier } from "@revoada/fabric";
import { replicasOf } from "@revoada/fabric";
import { decodeViews } from "./canonical.ts";
import { beginsAsExport } from "./chain-export.ts";
import { beginsAsJson } from "./export-json.ts";
import { openChain } from "./open-chain.ts";
import { ChainVerifier } from "./chain-verifier.ts";
import { genesisOfCheckpoint, openCheckpoint } from "./checkpoint.ts";
import { faultOf, refuse } from "./faults.ts";
import { domainOf } from "./fields.ts";
import { hashOf } from "./hash.ts";
import { takeLeap } from "./leap.ts";
import { maxCheckpointBytes } from "./limits.ts";
import { readProof } from "./proof.ts";
import { countSealers } from "./seal.ts";
import type { VerifyOptions } from "./verify-options.ts";

/** What a file that can be verified alone is. */
export type EvidenceKind = "chain" | "proof" | "checkpoint";

/** Tells by its first bytes what a file claims to be: a chain, where it is nothing else. */
export function evidenceKind(bytes: Uint8Array): EvidenceKind {
  // An export may be larger than anything else that is CBOR here.
  if (beginsAsExport(bytes) || beginsAsJson(bytes)) return "chain";
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
  const reader = openChain(file);
  const options = { clusterId, verifier: signatures, believes: (): boolean => true };
  const first = reader.next(0);
  if (first?.kind !== "genesis")
    return refuse("bad-genesis", 0, "a checkpoint is made from a chain that begins with genesis");
  const verifier = new ChainVerifier({ ...options, genesis: first.bytes });
  for (let record = reader.next(1); record !== undefined; record = reader.next(verifier.head().height + 1)) {
    if (record.kind === "block") verifier.addBlock(record.bytes);
    else if (record.kind === "seal") verifier.addSeal(record.bytes);
    else if (record.kind === "cosignature") verifier.addCosignature(record.bytes);
    else if (record.kind === "genesis")
      refuse("malformed", verifier.head().height + 1, "a genesis in the middle of a chain");
    else takeLeap(verifier, record);
  }
  const checkpoint = verifier.checkpoint();
  if (checkpoint === undefined)
    return refuse("unproven", verifier.head().height, "no sealed head that one could go on from");
  openCheckpoint(checkpoint, signatures);
  return checkpoint;
}

/** What came of judging a checkpoint for itself. */
export type CheckpointVerdict =
  | {
      readonly ok: true;
      readonly clusterId: ClusterId;
      readonly head: ChainHead;
      readonly generation: number;
      /** Committed time at that head, milliseconds since the epoch. */
      readonly timeMs: number;
      readonly nodes: number;
      readonly voters: readonly NodeId[];
    }
  | { readonly ok: false; readonly fault: ChainFault };

/**
 * Judges a checkpoint: that its parts fit together, that it is of the cluster, and, where keys are trusted, that a majority of them sealed it.
 * Without such keys anybody who made up voters could have made it: then it is worth as much as whoever it came from. Never throws for any bytes.
 */
export function checkpointVerdict(
  bytes: Uint8Array,
  clusterId: ClusterId,
  verifier: SignatureVerifier,
  { trust }: Pick<VerifyOptions, "trust"> = {},
): CheckpointVerdict {
  try {
    const { genesis, head, parts, seal } = openCheckpoint(bytes, verifier);
    const { height, hash } = head;
    if (genesis.clusterId !== clusterId)
      refuse("wrong-cluster", 0, `the checkpoint is of cluster ${genesis.clusterId}, expected ${clusterId}`);
    const keys = new Set(trust ?? []);
    if (trust !== undefined && countSealers(seal, clusterId, keys, verifier) * 2 <= keys.size)
      refuse("untrusted", height, `no majority of the ${keys.size} trusted keys sealed it`);
    const { formation, timeMs } = parts.state;
    const { generation, nodes } = formation;
    const voters = replicasOf(formation, "voter");
    return { ok: true, clusterId, head: { height, hash }, generation, timeMs, nodes: nodes.size, voters };
  } catch (error) {
    return { ok: false, fault: faultOf(error, 0) };
  }
}

/**
 * The cluster that a chain, a proof or a checkpoint says it is of: the hash of the genesis in it. Throws `CHAIN_INVALID`. Nothing else of it is
 * judged: it says what to verify against only where trusted keys or a trusted checkpoint vouch for the rest.
 */
export function claimedCluster(bytes: Uint8Array): ClusterId {
  return hashOf(genesisIn(bytes)) as string as ClusterId;
}

function genesisIn(bytes: Uint8Array): Uint8Array {
  const kind = evidenceKind(bytes);
  if (kind === "proof") return readProof(bytes).genesis;
  if (kind === "checkpoint") return genesisOfCheckpoint(bytes);
  const first = openChain(bytes).next(0);
  if (first?.kind === "checkpoint") return genesisOfCheckpoint(first.bytes);
  if (first?.kind === "genesis") return first.bytes;
  return refuse("bad-genesis", 0, "the file does not begin with a genesis");
}
