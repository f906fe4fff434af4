import type {
  ChainRecovery,
  ChainVerdict,
  ClusterId,
  ExportVerdict,
  Hash,
  NodeId,
  OperatorVerdict,
  Seal,
  SignatureVerifier,
} from "@revoada/fabric";
import { shortId } from "@revoada/fabric";
import type { OpenedCheckpoint } from "./checkpoint.ts";
import { openCheckpoint, readCheckpoint } from "./checkpoint.ts";
import type { ChainRecord } from "./chain-file.ts";
import { encodeChainFile } from "./chain-file.ts";
import { checkExport } from "./chain-export.ts";
import type { ChainReader } from "./open-chain.ts";
import { openChain } from "./open-chain.ts";
import { equalBytes } from "./canonical.ts";
import { ChainVerifier } from "./chain-verifier.ts";
import { blockHash, readBlock } from "./block.ts";
import { faultOf, refuse } from "./faults.ts";
import { readCosignature } from "./cosignature.ts";
import { confirmsHead, placeOfRecord, takeLeap } from "./leap.ts";
import { countSealers, readSeal } from "./seal.ts";
import type { VerifyOptions } from "./verify-options.ts";

/**
 * Judges a chain, as a file or as a signed export in CBOR or JSON, by its bytes and the cluster id alone, with the given way to check signatures. Never throws for any bytes:
 * the verdict names the first record that is wrong.
 *
 * With `from`, the file has to lead through the block of that checkpoint, and nothing below it is judged again but the links. With `trust`, a
 * majority of these keys has to have sealed the highest sealed head. A file that begins with a checkpoint of its own is believed only with
 * one of the two. An export bears the signature of its exporter, with `exporter` of that very node.
 */
export function verifyChainWith(
  bytes: Uint8Array,
  clusterId: ClusterId,
  verifier: SignatureVerifier,
  options: VerifyOptions = {},
): ChainVerdict {
  const steps = replayChain({ bytes, clusterId, now: verifier, inOrder: verifier, options });
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/** What is replayed, and how signatures are checked. */
export interface ReplayInput {
  readonly bytes: Uint8Array;
  readonly clusterId: ClusterId;
  /** For the few answers that are needed at once: whether a checkpoint holds, and who of the trusted keys signed. */
  readonly now: SignatureVerifier;
  /**
   * For those along the chain, which are asked for in the same order every time. Each answer of `false` ends the replay, so that they may be given
   * in advance: where all turn out to be right the verdict counts, else the one upon the first that is wrong.
   */
  readonly inOrder: SignatureVerifier;
  readonly options: VerifyOptions;
}

/** Replays a chain, and pauses after each record. Never throws for any bytes. */
export function* replayChain(input: ReplayInput): Generator<undefined, ChainVerdict, undefined> {
  const progress = { height: 0 };
  try {
    return yield* replay(input, progress);
  } catch (error) {
    return { ok: false, fault: faultOf(error, progress.height) };
  }
}

/** What has been read of a file so far. */
interface Replay {
  verifier: ChainVerifier;
  /** The last seal that counted. */
  lastSeal: Seal | undefined;
  /** The last block that the file leaves out. */
  base: number;
  /** Recoveries below a checkpoint that was gone on from. */
  readonly earlier: ChainRecovery[];
}

function* replay(
  { bytes, clusterId, now, inOrder, options }: ReplayInput,
  progress: { height: number },
): Generator<undefined, ChainVerdict, undefined> {
  const reader = openChain(bytes);
  const known = options.from === undefined ? undefined : openCheckpoint(options.from, now);
  // What lies below a trusted block is vouched for by its hash: the signatures there were checked when it was made.
  const needless = (): boolean => known !== undefined && progress.height <= known.head.height;
  const first = reader.next(0);
  if (first?.kind === "checkpoint") openCheckpoint(first.bytes, now);
  const start = startOf(first, clusterId, {
    verify: (signer, message, signature) => needless() || inOrder.verify(signer, message, signature),
  });
  const base = start.head().height;
  if (base > 0 && known === undefined && options.trust === undefined)
    refuse(
      "untrusted",
      base,
      "the file begins with a checkpoint, and neither a trusted one nor trusted keys are given",
    );
  if (known !== undefined && base > known.head.height)
    refuse("wrong-checkpoint", base, `the file begins above the checkpoint at ${known.head.height}`);
  if (
    known !== undefined &&
    base === known.head.height &&
    !equalBytes((first as ChainRecord).bytes, options.from as Uint8Array)
  )
    refuse("wrong-checkpoint", base, "the file begins with another checkpoint than the one that is given");
  checkPassage(start, known);
  const lastSeal = base > 0 && known !== undefined && base === known.head.height ? known.seal : undefined;
  const run: Replay = { verifier: start, lastSeal, base, earlier: [] };
  const goOnFromKnown = (): void => {
    // From here on only what the checkpoint says counts: a seal that was left out below could have kept old voters in force.
    run.earlier.push(...run.verifier.recoveries());
    run.verifier = ChainVerifier.from(options.from as Uint8Array, { clusterId, verifier: inOrder, believes });
    run.lastSeal = known?.seal;
  };
  for (;;) {
    const { height } = run.verifier.head();
    progress.height = height + 1;
    const record = reader.next(height + 1);
    if (record === undefined) break;
    // The seal that the checkpoint holds itself was judged with it.
    if (record.kind === "seal" && known?.head.height === height) continue;
    if (record.kind === "hop" || record.kind === "checkpoint") {
      const { height: to } = placeOfRecord(record);
      // What is left out leads over the trusted block: whoever sealed there says who seals above.
      if (known !== undefined && height < known.head.height && to > known.head.height) goOnFromKnown();
      progress.height = to;
      leap(run, record);
    } else run.lastSeal = addRecord(run.verifier, record, height) ?? run.lastSeal;
    checkPassage(run.verifier, known);
    const passed = record.kind === "block" || record.kind === "checkpoint";
    if (passed && known?.head.height === run.verifier.head().height) goOnFromKnown();
    yield;
  }
  return concluded(run, reader, known, options, now);
}

function concluded(
  { verifier, lastSeal, base, earlier }: Replay,
  reader: ChainReader,
  known: OpenedCheckpoint | undefined,
  { trust, exporter }: VerifyOptions,
  signatures: SignatureVerifier,
): ChainVerdict {
  const { height } = verifier.head();
  const missing = verifier.blocksToCome();
  if (missing > 0) refuse("truncated", height + 1, `the last ${missing} blocks of a command are missing`);
  if (verifier.reached() > height)
    refuse("truncated", verifier.reached(), "the checkpoint that the hops lead to is missing");
  if (known !== undefined && height < known.head.height)
    refuse("wrong-checkpoint", height, `the chain ends below the checkpoint at ${known.head.height}`);
  if (trust !== undefined) checkTrust(lastSeal, verifier, trust, signatures);
  const exported = exportOf(reader, verifier, base, exporter, signatures);
  return { ...verdictOf(verifier, base, earlier), ...exported };
}

/** Goes over blocks that the file leaves out, or compares what is shown with what the blocks came to. */
function leap(run: Replay, record: ChainRecord): void {
  const isBehind = confirmsHead(run.verifier, record);
  takeLeap(run.verifier, record);
  if (isBehind || record.kind === "hop") return;
  run.base = run.verifier.head().height;
  run.lastSeal = readSeal(readCheckpoint(record.bytes).parts.seal, run.base);
}

type Verified = Extract<ChainVerdict, { readonly ok: true }>;

/** Believed here so that it can be told: the verdict names every recovery. */
function believes(): boolean {
  return true;
}

function startOf(first: ChainRecord | undefined, clusterId: ClusterId, verifier: SignatureVerifier): ChainVerifier {
  const options = { clusterId, verifier, believes };
  if (first?.kind === "checkpoint") return ChainVerifier.from(first.bytes, options);
  if (first?.kind !== "genesis") return refuse("bad-genesis", 0, "the file does not begin with a genesis");
  return new ChainVerifier({ ...options, genesis: first.bytes });
}

function checkPassage(verifier: ChainVerifier, known: OpenedCheckpoint | undefined): void {
  const { height, hash } = verifier.head();
  if (known === undefined) return;
  if (known.genesis.clusterId !== verifier.genesis.clusterId)
    refuse("wrong-checkpoint", height, `the checkpoint is of cluster ${known.genesis.clusterId}`);
  if (height === known.head.height && hash !== known.head.hash)
    refuse(
      "wrong-checkpoint",
      height,
      `the checkpoint is over ${shortId(known.head.hash)}, the block there is ${shortId(hash)}`,
    );
}

function checkTrust(
  seal: Seal | undefined,
  verifier: ChainVerifier,
  trust: readonly NodeId[],
  signatures: SignatureVerifier,
): void {
  const keys = new Set(trust);
  const { clusterId } = verifier.genesis;
  const height = seal?.head.height ?? 0;
  if (seal === undefined || countSealers(seal, clusterId, keys, signatures) * 2 <= keys.size)
    refuse("untrusted", height, `no majority of the ${keys.size} trusted keys sealed the highest sealed head`);
}

function verdictOf(verifier: ChainVerifier, base: number, earlier: readonly ChainRecovery[]): Verified {
  const sealed = verifier.sealed();
  const { generation } = verifier.formation();
  return {
    ok: true,
    clusterId: verifier.genesis.clusterId,
    head: verifier.head(),
    ...(sealed === undefined ? {} : { sealed }),
    generation,
    recoveries: [...earlier, ...verifier.recoveries()],
    ...(base === 0 ? {} : { base }),
    ...operatorsOf(verifier),
  };
}

/** Judges what an export says of itself, once its records are judged: a fault of these says more than that the whole was changed. */
function exportOf(
  { exported }: ChainReader,
  verifier: ChainVerifier,
  base: number,
  wanted: NodeId | undefined,
  signatures: SignatureVerifier,
): { readonly export?: ExportVerdict } {
  const { height } = verifier.head();
  if (exported === undefined) {
    if (wanted !== undefined) refuse("untrusted", height, `no node signed the file, expected ${shortId(wanted)}`);
    return {};
  }
  const { clusterId, exporter, exportedMs, from, to } = exported.parts;
  checkExport(exported.bytes, exported.parts, signatures);
  if (clusterId !== verifier.genesis.clusterId)
    refuse("bad-export", height, `it is said to be of cluster ${shortId(clusterId)}`);
  if (from !== base + 1 || to !== height)
    refuse("bad-export", height, `it is said to hold blocks ${from} to ${to}, and holds ${base + 1} to ${height}`);
  if (wanted !== undefined && exporter !== wanted)
    refuse("untrusted", height, `${shortId(exporter)} handed it over, expected ${shortId(wanted)}`);
  return { export: { exporter, exportedMs, from, to, isMember: verifier.formation().nodes.has(exporter) } };
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

function addRecord(verifier: ChainVerifier, record: ChainRecord, height: number): Seal | undefined {
  if (record.kind !== "block" && record.kind !== "seal" && record.kind !== "cosignature")
    refuse("malformed", height, `a ${record.kind} in the middle of a chain`);
  if (record.kind === "block") {
    verifier.addBlock(record.bytes);
    return undefined;
  }
  if (record.kind === "cosignature") {
    verifier.addCosignature(record.bytes);
    return undefined;
  }
  const seal = verifier.addSeal(record.bytes);
  // One chain has one file: a seal stands right after the block that it covers.
  if (seal.head.height !== height) refuse("bad-seal", seal.head.height, `it stands after block ${height}`);
  return seal;
}

/**
 * Puts genesis, blocks, seals and cosignatures together as a file, each seal right after its block and each cosignature after its seal. With a base,
 * its hops and its checkpoint come before the blocks. Refuses with `CHAIN_INVALID` where heights do not run from 1, or from above the base,
 * without a gap or a seal is not over one of the blocks; signatures are not judged here.
 */
export function exportChainFile(parts: {
  readonly genesis: Uint8Array;
  readonly base?: { readonly hops: readonly Uint8Array[]; readonly checkpoint: Uint8Array };
  readonly blocks: readonly Uint8Array[];
  readonly seals: readonly Uint8Array[];
  readonly cosignatures?: readonly Uint8Array[];
}): Uint8Array {
  const { base } = parts;
  const below = base === undefined ? 0 : readCheckpoint(base.checkpoint).head.height;
  const sealOf = new Map<number, Uint8Array>();
  for (const bytes of parts.seals) {
    const { height, hash } = readSeal(bytes).head;
    const block = parts.blocks[height - below - 1];
    if (block === undefined)
      refuse("bad-seal", height, `the blocks are those from ${below + 1} to ${below + parts.blocks.length}`);
    if (blockHash(block, height) !== hash) refuse("bad-seal", height, "it is over another block");
    if (sealOf.has(height)) refuse("bad-seal", height, "two seals over one block");
    sealOf.set(height, bytes);
  }
  const cosignatures = cosignaturesByHeight(parts.cosignatures ?? [], sealOf);
  const records: ChainRecord[] = [{ kind: "genesis", bytes: parts.genesis }];
  for (const bytes of base?.hops ?? []) records.push({ kind: "hop", bytes });
  if (base !== undefined) records.push({ kind: "checkpoint", bytes: base.checkpoint });
  for (const [index, bytes] of parts.blocks.entries()) {
    const height = below + index + 1;
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
