import type { ClusterId, FormationCommand, Hash, NodeId, SignatureVerifier } from "@revoada/fabric";
import { genesisFormation, isFabricError, replicasOf } from "@revoada/fabric";
import { ChainInvalidError } from "../errors.ts";
import { splitBlock } from "./block.ts";
import type { ChainRecord } from "./chain-file.ts";
import type { ChainReader } from "./open-chain.ts";
import { openChain } from "./open-chain.ts";
import type { CommittedState } from "./chain-state.ts";
import { stateCommitter } from "./chain-state.ts";
import { ChainVerifier, committedBy } from "./chain-verifier.ts";
import type { OpenedCheckpoint } from "./checkpoint.ts";
import { openCheckpoint, readCheckpoint } from "./checkpoint.ts";
import { copyBytes, equalBytes } from "./canonical.ts";
import { shiftsNode } from "./command.ts";
import { faultOf, refuse } from "./faults.ts";
import { idBytes } from "./hash.ts";
import { inclusionPath } from "./history.ts";
import { openHop } from "./hop.ts";
import { wayTo } from "./id-tree.ts";
import { confirmsHead, takeLeap } from "./leap.ts";
import type { ProofHop, ProofParts, ProvenHeader } from "./proof.ts";
import { encodeProof } from "./proof.ts";
import { readSeal } from "./seal.ts";

export interface ProofRequest {
  readonly node: NodeId;
  /** The moment, milliseconds since the epoch by committed time. */
  readonly atMs: number;
  /**
   * A checkpoint from which whoever is to verify will go on. The proof then holds the seals above it only, and not one for each change
   * of voters since genesis.
   */
  readonly from?: Uint8Array;
}

interface BlockSeen {
  readonly height: number;
  readonly header: Uint8Array;
}

interface CommandEnd extends BlockSeen {
  readonly timeMs: number;
  readonly state: CommittedState;
}

/** A sealed block that a proof may go over. */
interface Place extends ProofHop {
  readonly height: number;
  readonly signers: readonly NodeId[];
  /** Who seals above it. */
  readonly voters: ReadonlySet<NodeId>;
}

/** What was seen of a chain on one way through it. */
interface Survey {
  /** The hashes of genesis and all blocks, by height; where the file leaves blocks out, of those from `base` on, and the peaks over the others. */
  leaves: Hash[];
  base: number;
  peaks: readonly Hash[];
  /** The last command that is not later than the moment, and the first one that is. */
  last: CommandEnd | undefined;
  next: { readonly first: BlockSeen; end: CommandEnd | undefined } | undefined;
  shift: (BlockSeen & { readonly command: Uint8Array; readonly timeMs: number }) | undefined;
  /** Whom the proof begins with. */
  readonly trusted: ReadonlySet<NodeId>;
  /** All sealed blocks above where it begins, in order: each is sealed by those whom the one before it lets seal. */
  readonly places: Place[];
}

/** Largest command that a proof carries for the sake of the reason in it. */
const maxShownCommand = 16 * 1024;
const anySignature: SignatureVerifier = { verify: () => true };

/**
 * Makes a proof of what a node was at a moment from a chain file that begins with genesis. Throws `CHAIN_INVALID`: with `unproven` where the moment lies
 * before the cluster was founded, nothing is sealed, or a recovery stands in the way; with `archived` where it lies among blocks that the file leaves out. Signatures are not checked: whoever makes a proof verifies it.
 */
export function proveNode(file: Uint8Array, clusterId: ClusterId, request: ProofRequest): Uint8Array {
  const progress = { height: 0 };
  try {
    return prove(file, clusterId, request, progress);
  } catch (error) {
    if (isFabricError(error)) throw error;
    throw new ChainInvalidError(faultOf(error, progress.height), { cause: error });
  }
}

function prove(
  file: Uint8Array,
  clusterId: ClusterId,
  request: ProofRequest,
  progress: { height: number },
): Uint8Array {
  const { node, atMs } = request;
  const reader = openChain(file);
  const first = reader.next(0);
  if (first?.kind !== "genesis")
    return refuse("bad-genesis", 0, "a proof is made from a chain that begins with genesis");
  const verifier = new ChainVerifier({
    genesis: copyBytes(first.bytes),
    clusterId,
    verifier: anySignature,
    believes: () => true,
  });
  const { createdMs, founder } = verifier.genesis;
  if (atMs < createdMs) refuse("unproven", 0, `the cluster was founded at ${createdMs}, after ${atMs}`);
  const seen = survey(reader, verifier, request, progress);
  const hops = wayOver(seen);
  const anchor = hops[hops.length - 1];
  if (anchor === undefined) return refuse("unproven", 0, "no seal stands above where the proof is to begin");
  const { last, next } = within(seen, anchor.height);
  const state =
    last?.state ??
    stateCommitter().commit({
      formation: genesisFormation({ ...verifier.genesis, id: founder }),
      timeMs: createdMs,
      recoveries: [],
    });
  const proven = (block: BlockSeen): ProvenHeader => ({
    header: block.header,
    path: block.height === anchor.height ? [] : inclusionPath(seen, anchor.height, block.height),
  });
  const way = wayTo(state.nodes, idBytes(node, 32));
  const isThere = way !== undefined && equalBytes(way.id, idBytes(node, 32));
  const shift = shiftFor(seen, last, anchor.height);
  const parts: ProofParts = {
    genesis: verifier.genesis.bytes,
    node,
    atMs,
    hops,
    last: last === undefined ? undefined : { ...proven(last), state: last.state.record },
    next:
      next === undefined
        ? undefined
        : { first: proven(next.first), end: { ...proven(next.end), state: next.end.state.record } },
    way,
    tombstone: isThere ? undefined : wayTo(state.tombstones, idBytes(node, 32)),
    shift: shift === undefined ? undefined : { ...proven(shift), command: shift.command },
  };
  return encodeProof(parts);
}

/** What lies at or below the sealed head; blocks above it are nobody's word but their proposer's. */
function within(
  { last, next }: Survey,
  sealedHeight: number,
): {
  readonly last: CommandEnd | undefined;
  readonly next: { readonly first: BlockSeen; readonly end: CommandEnd } | undefined;
} {
  if (last !== undefined && last.height > sealedHeight)
    refuse("unproven", last.height, `no seal stands above it, the chain is sealed up to ${sealedHeight}`);
  const end = next?.end;
  if (next === undefined || end === undefined || end.height > sealedHeight) return { last, next: undefined };
  return { last, next: { first: next.first, end } };
}

function shiftFor({ shift }: Survey, last: CommandEnd | undefined, sealedHeight: number): Survey["shift"] {
  if (shift === undefined || shift.height > (last?.height ?? 0) || shift.height > sealedHeight) return undefined;
  return shift.command.length > maxShownCommand ? undefined : shift;
}

function survey(
  reader: ChainReader,
  verifier: ChainVerifier,
  request: ProofRequest,
  progress: { height: number },
): Survey {
  const opened = request.from === undefined ? undefined : openCheckpoint(request.from, anySignature);
  const base = opened?.head.height ?? 0;
  const seen: Survey = {
    leaves: [verifier.head().hash],
    base: 0,
    peaks: [],
    last: undefined,
    next: undefined,
    shift: undefined,
    trusted: new Set(
      opened === undefined ? [verifier.genesis.founder] : replicasOf(opened.parts.state.formation, "voter"),
    ),
    places: [],
  };
  let carried: { readonly command: Uint8Array; readonly first: BlockSeen } | undefined;
  for (;;) {
    progress.height = verifier.head().height + 1;
    const record = reader.next(progress.height);
    if (record === undefined) break;
    if (record.kind === "block") {
      const parts = splitBlock(record.bytes);
      const block = verifier.addBlock(record.bytes);
      const { height, hash } = block;
      const here = { height, header: copyBytes(parts.header) };
      if (parts.command !== undefined) carried = { command: parts.command, first: here };
      seen.leaves.push(hash);
      if (carried !== undefined) noteBlock(seen, request, { ...block, ...here, carried }, verifier);
      if (height === base && opened !== undefined && hash !== opened.head.hash)
        refuse("wrong-checkpoint", height, "the checkpoint is of another chain");
      if (block.command.transitions[0]?.verb === "recover" && height > base)
        refuse("unproven", height, "a recovery stands there: prove from a checkpoint above it");
    } else if (record.kind === "seal") {
      verifier.addSeal(record.bytes);
      if (verifier.head().height > base) noteSeal(seen, record.bytes, verifier);
    } else if (record.kind === "cosignature") verifier.addCosignature(record.bytes);
    else if (record.kind === "genesis") refuse("malformed", progress.height, "a genesis in the middle of a chain");
    else noteLeap(seen, request, record, verifier, opened);
  }
  return seen;
}

/** Goes over blocks that the file leaves out. What was before them cannot be proven from it; what comes after can. */
function noteLeap(
  seen: Survey,
  { atMs }: ProofRequest,
  record: ChainRecord,
  verifier: ChainVerifier,
  from: OpenedCheckpoint | undefined,
): void {
  const isBehind = confirmsHead(verifier, record);
  takeLeap(verifier, record);
  if (isBehind) return;
  const known = from?.head.height ?? 0;
  if (record.kind === "hop") {
    const { head, parts, state } = openHop(record.bytes);
    if (head.height <= known) return;
    const { header, seal } = parts;
    if (seal === undefined)
      return refuse("unproven", head.height, "a recovery stands there: prove from a checkpoint above it");
    notePlace(seen, { height: head.height, header, state: parts.state, seal }, new Set(state.voters));
    return;
  }
  const { head, parts } = readCheckpoint(record.bytes);
  const { height, hash } = head;
  const timeMs = verifier.committedTime();
  if (timeMs > atMs)
    refuse(
      "archived",
      height,
      `blocks 1 to ${height} are archived, and ${atMs} lies among them: prove from the archives`,
    );
  if (from !== undefined && height === known && hash !== from.head.hash)
    refuse("wrong-checkpoint", height, "the checkpoint is of another chain");
  const state = committedBy(verifier) as CommittedState;
  seen.leaves = [hash];
  seen.base = height;
  seen.peaks = parts.history;
  seen.last = { height, header: parts.header, timeMs, state };
  if (height > known && seen.places[seen.places.length - 1]?.height !== height)
    notePlace(seen, { height, header: parts.header, state: state.record, seal: parts.seal }, verifier.sealVoters());
}

interface NotedBlock extends BlockSeen {
  readonly command: FormationCommand;
  readonly transition: FormationCommand["transitions"][number];
  readonly carried: { readonly command: Uint8Array; readonly first: BlockSeen };
}

function noteBlock(seen: Survey, { node, atMs }: ProofRequest, block: NotedBlock, verifier: ChainVerifier): void {
  const { height, header, carried } = block;
  const ends = verifier.blocksToCome() === 0;
  const timeMs = verifier.committedTime();
  if (timeMs > atMs) {
    seen.next ??= { first: carried.first, end: undefined };
    const isNext = seen.next.first === carried.first;
    if (isNext && ends) seen.next.end = { height, header, timeMs, state: committedBy(verifier) as CommittedState };
    return;
  }
  if (shiftsNode(block.transition, node)) seen.shift = { height, header, command: copyBytes(carried.command), timeMs };
  if (ends) seen.last = { height, header, timeMs, state: committedBy(verifier) as CommittedState };
}

function noteSeal(seen: Survey, bytes: Uint8Array, verifier: ChainVerifier): void {
  if (verifier.blocksToCome() > 0) return;
  const { height } = readSeal(bytes).head;
  notePlace(seen, { height, ...headOf(verifier), seal: bytes }, verifier.sealVoters());
}

function notePlace(seen: Survey, place: Omit<Place, "signers" | "voters">, voters: ReadonlySet<NodeId>): void {
  const signers = readSeal(place.seal).signatures.map(({ signer }) => signer);
  seen.places.push({ ...place, signers, voters });
}

/**
 * The way from whom the proof begins with to the last sealed block, in leaps: each to the farthest block that a majority of those who may seal
 * after the one before it signed, whoever else sealed in between. A majority of them could have sealed any other chain from there on: going over
 * all blocks would rest on their word as well.
 */
function wayOver({ trusted, places }: Survey): readonly Place[] {
  const way: Place[] = [];
  let keys = trusted;
  for (let from = 0; from < places.length;) {
    let to = places.length - 1;
    while (to > from && !isSignedBy(places[to] as Place, keys)) to -= 1;
    const place = places[to] as Place;
    way.push(place);
    keys = place.voters;
    from = to + 1;
  }
  return way;
}

function isSignedBy({ signers }: Place, keys: ReadonlySet<NodeId>): boolean {
  let count = 0;
  for (const signer of signers) if (keys.has(signer)) count += 1;
  return count * 2 > keys.size;
}

function headOf(verifier: ChainVerifier): { readonly header: Uint8Array; readonly state: Uint8Array } {
  return { header: verifier.headHeader() as Uint8Array, state: (committedBy(verifier) as CommittedState).record };
}
