import type { ChainFault, ChainVerdict, ClusterId, Hash, OperatorVerdict, SignatureVerifier } from "@revoada/fabric";
import { ChainInvalidError } from "../errors.ts";
import type { ChainRecord } from "./chain-file.ts";
import { ChainFileReader, encodeChainFile } from "./chain-file.ts";
import { ChainVerifier } from "./chain-verifier.ts";
import { readBlock } from "./block.ts";
import { refuse } from "./faults.ts";
import { hashOf } from "./hash.ts";
import { readCosignature } from "./cosignature.ts";
import { readSeal } from "./seal.ts";

/**
 * Judges a chain file by its bytes and the cluster id alone, with the given way to check signatures. Never throws for any bytes:
 * the verdict names the first record that is wrong.
 */
export function verifyChainWith(bytes: Uint8Array, clusterId: ClusterId, verifier: SignatureVerifier): ChainVerdict {
  const progress = { height: 0 };
  try {
    return replay(bytes, clusterId, verifier, progress);
  } catch (error) {
    return { ok: false, fault: faultOf(error, progress.height) };
  }
}

function replay(
  bytes: Uint8Array,
  clusterId: ClusterId,
  signatures: SignatureVerifier,
  progress: { height: number },
): ChainVerdict {
  const reader = new ChainFileReader(bytes);
  const first = reader.next(0);
  if (first?.kind !== "genesis") return refuse("bad-genesis", 0, "the file does not begin with a genesis");
  // Believed here so that it can be told: the verdict names every recovery.
  const believes = (): boolean => true;
  const verifier = new ChainVerifier({ genesis: first.bytes, clusterId, verifier: signatures, believes });
  for (;;) {
    const { height } = verifier.head();
    progress.height = height + 1;
    const record = reader.next(height + 1);
    if (record === undefined) break;
    addRecord(verifier, record, height);
  }
  const missing = verifier.blocksToCome();
  const head = verifier.head();
  if (missing > 0) refuse("truncated", head.height + 1, `the last ${missing} blocks of a command are missing`);
  const sealed = verifier.sealed();
  const { generation } = verifier.formation();
  return {
    ok: true,
    clusterId: verifier.genesis.clusterId,
    head,
    ...(sealed === undefined ? {} : { sealed }),
    generation,
    recoveries: verifier.recoveries(),
    ...operatorsOf(verifier),
  };
}

/** What operators have vouched for and voters have sealed. */
function operatorsOf(verifier: ChainVerifier): { readonly operators?: OperatorVerdict } {
  const { operators } = verifier.formation();
  if (operators === undefined) return {};
  const signed = verifier.operatorSigned();
  const sealed = verifier.sealed() ?? { height: 0, hash: verifier.genesis.clusterId as string as Hash };
  const vouched = sealed.height < signed.height ? sealed : signed;
  return { operators: { inForce: [...operators.keys()].toSorted(), signed: vouched } };
}

function addRecord(verifier: ChainVerifier, record: ChainRecord, height: number): void {
  if (record.kind === "genesis") refuse("malformed", height, "a genesis in the middle of a chain");
  if (record.kind === "block") {
    verifier.addBlock(record.bytes);
    return;
  }
  if (record.kind === "cosignature") {
    verifier.addCosignature(record.bytes);
    return;
  }
  const seal = verifier.addSeal(record.bytes);
  // One chain has one file: a seal stands right after the block that it covers.
  if (seal.head.height !== height) refuse("bad-seal", seal.head.height, `it stands after block ${height}`);
}

/** Whatever else a hostile file could provoke is a refusal too: a verdict has to come. */
function faultOf(error: unknown, height: number): ChainFault {
  if (error instanceof ChainInvalidError) return error.fault;
  return { reason: "malformed", height, message: error instanceof Error ? error.message : "unknown cause" };
}

/**
 * Puts genesis, blocks, seals and cosignatures together as a file, each seal right after its block and each cosignature after its seal. Refuses with `CHAIN_INVALID` where heights do not run from 1
 * without a gap or a seal is not over one of the blocks; signatures are not judged here.
 */
export function exportChainFile(parts: {
  readonly genesis: Uint8Array;
  readonly blocks: readonly Uint8Array[];
  readonly seals: readonly Uint8Array[];
  readonly cosignatures?: readonly Uint8Array[];
}): Uint8Array {
  const sealOf = new Map<number, Uint8Array>();
  for (const bytes of parts.seals) {
    const { height, hash } = readSeal(bytes).head;
    const block = parts.blocks[height - 1];
    if (block === undefined) refuse("bad-seal", height, `the chain ends at ${parts.blocks.length}`);
    if (hashOf(block) !== hash) refuse("bad-seal", height, "it is over another block");
    if (sealOf.has(height)) refuse("bad-seal", height, "two seals over one block");
    sealOf.set(height, bytes);
  }
  const cosignatures = cosignaturesByHeight(parts.cosignatures ?? [], sealOf);
  const records: ChainRecord[] = [{ kind: "genesis", bytes: parts.genesis }];
  for (const [index, bytes] of parts.blocks.entries()) {
    const height = index + 1;
    const block = readBlock(bytes, height);
    if (block.height !== height) refuse("broken-link", height, `the block says that its height is ${block.height}`);
    records.push({ kind: "block", bytes });
    const seal = sealOf.get(height);
    if (seal !== undefined) records.push({ kind: "seal", bytes: seal });
    const cosignature = cosignatures.get(height);
    if (cosignature !== undefined) records.push({ kind: "cosignature", bytes: cosignature });
  }
  return encodeChainFile(records);
}

function cosignaturesByHeight(
  all: readonly Uint8Array[],
  sealOf: ReadonlyMap<number, Uint8Array>,
): ReadonlyMap<number, Uint8Array> {
  const byHeight = new Map<number, Uint8Array>();
  for (const bytes of all) {
    const { height } = readCosignature(bytes).head;
    if (!sealOf.has(height)) refuse("bad-cosignature", height, "no seal stands there");
    if (byHeight.has(height)) refuse("bad-cosignature", height, "two cosignatures under one head");
    byHeight.set(height, bytes);
  }
  return byHeight;
}
