import type { ChainFault, ChainVerdict, ClusterId, Hash, SignatureVerifier } from "@revoada/fabric";
import { shortId } from "@revoada/fabric";
import { ChainInvalidError } from "../errors.ts";
import { readBlock } from "./block.ts";
import { equalBytes } from "./canonical.ts";
import type { ChainRecord } from "./chain-file.ts";
import { checkExport } from "./chain-export.ts";
import { encodeChainFile } from "./chain-file.ts";
import { genesisOfCheckpoint } from "./checkpoint.ts";
import { faultOf, refuse } from "./faults.ts";
import { hashOf } from "./hash.ts";
import { placeOfRecord } from "./leap.ts";
import { openChain, readChain } from "./open-chain.ts";
import { verifyChainWith } from "./verify-chain.ts";
import type { VerifyOptions } from "./verify-options.ts";

/** The blocks that a chain file holds: those above `from`, up to `to`. */
export interface ChainSpan {
  readonly from: number;
  readonly to: number;
}

/** What came of judging several files as one chain. */
export type SequenceVerdict =
  | (Extract<ChainVerdict, { ok: true }> & { readonly spans: readonly ChainSpan[] })
  | {
      readonly ok: false;
      readonly fault: ChainFault;
      /** Which of the files is at fault, from 0; absent where none is more than another. */
      readonly file?: number;
    };

interface Piece extends ChainSpan {
  /** Where it stood in what was given. */
  readonly file: number;
  readonly clusterId: ClusterId;
  /** What stands before the first block: genesis, or a checkpoint, or genesis, hops and a checkpoint. */
  readonly lead: readonly ChainRecord[];
  readonly rest: readonly ChainRecord[];
}

class FileFault extends Error {
  readonly file: number;
  readonly fault: ChainFault;

  constructor(file: number, fault: ChainFault) {
    super(fault.message);
    this.file = file;
    this.fault = fault;
  }
}

/** What a chain file holds, by its own word: which blocks of which cluster. Throws `CHAIN_INVALID`. */
export function spanOf(file: Uint8Array): ChainSpan & { readonly clusterId: ClusterId } {
  const { clusterId, from, to } = pieceOf(file, 0);
  return { clusterId, from, to };
}

/**
 * Judges chain files as one chain, in the order of their heights: archived segments, and what a cluster has kept. Each has to begin with what the one
 * before it ends with; a `gap`, an `overlap` or a file of another cluster is named. Never throws for any bytes.
 *
 * The first file may begin with a checkpoint. It is believed where one that is trusted, or trusted keys are given, or where the last file leads from
 * genesis to its own checkpoint: all blocks below hang on that by their hashes.
 */
export function verifySequenceWith(
  files: readonly Uint8Array[],
  clusterId: ClusterId,
  verifier: SignatureVerifier,
  options: VerifyOptions = {},
): SequenceVerdict {
  let pieces: readonly Piece[] = [];
  try {
    pieces = inOrder(piecesOf(files, clusterId));
    for (const [index, file] of files.entries()) checkHandedOver(file, index, verifier);
    const anchor = anchorOf(pieces, clusterId, verifier);
    const isAnchored = options.from !== undefined || options.trust !== undefined;
    const beginsLater = pieces[0]?.lead[0]?.kind === "checkpoint";
    const rests = beginsLater && !isAnchored && anchor !== undefined ? { ...options, from: anchor } : options;
    const verdict = verifyChainWith(encodeChainFile(joined(pieces)), clusterId, verifier, rests);
    const spans = pieces.map(({ from, to }) => ({ from, to }));
    if (verdict.ok) return { ...verdict, spans };
    const holder = pieces.find(({ from, to }) => verdict.fault.height > from && verdict.fault.height <= to);
    return holder === undefined ? verdict : { ...verdict, file: holder.file };
  } catch (error) {
    if (error instanceof FileFault) return { ok: false, fault: error.fault, file: error.file };
    return { ok: false, fault: faultOf(error, 0) };
  }
}

/**
 * Puts chain files together as one, in the order of their heights. Throws `CHAIN_INVALID` where they do not follow upon each other; what they hold is
 * not judged.
 */
export function joinChain(files: readonly Uint8Array[], clusterId: ClusterId): Uint8Array {
  try {
    return encodeChainFile(joined(inOrder(piecesOf(files, clusterId))));
  } catch (error) {
    if (error instanceof FileFault) throw new ChainInvalidError(error.fault, { cause: error });
    throw error;
  }
}

/** An export among the files has to be as its node handed it over. */
function checkHandedOver(file: Uint8Array, index: number, verifier: SignatureVerifier): void {
  try {
    const { exported } = openChain(file);
    if (exported !== undefined) checkExport(exported.bytes, exported.parts, verifier);
  } catch (error) {
    throw new FileFault(index, faultOf(error, 0));
  }
}

function piecesOf(files: readonly Uint8Array[], clusterId: ClusterId): readonly Piece[] {
  return files.map((file, index) => {
    try {
      const piece = pieceOf(file, index);
      if (piece.clusterId !== clusterId)
        refuse("wrong-cluster", 0, `a file of cluster ${shortId(piece.clusterId)}, expected ${shortId(clusterId)}`);
      return piece;
    } catch (error) {
      throw new FileFault(index, faultOf(error, 0));
    }
  });
}

function pieceOf(file: Uint8Array, index: number): Piece {
  const records = readChain(file);
  const [first] = records;
  const genesis =
    first?.kind === "genesis"
      ? first.bytes
      : first?.kind === "checkpoint"
        ? genesisOfCheckpoint(first.bytes)
        : refuse("bad-genesis", 0, "the file does not begin with a genesis or a checkpoint");
  const begin = records.findIndex(({ kind }) => kind === "block");
  const lead = begin < 0 ? records : records.slice(0, begin);
  const rest = begin < 0 ? [] : records.slice(begin);
  const checkpoint = lead.findLast(({ kind }) => kind === "checkpoint");
  const from = checkpoint === undefined ? 0 : placeOfRecord(checkpoint).height;
  const to = from + rest.filter(({ kind }) => kind === "block").length;
  const opening = rest[0];
  if (opening !== undefined && readBlock(opening.bytes, from + 1).height !== from + 1)
    refuse("broken-link", from + 1, "the file's first block is not the one above what it begins with");
  return { file: index, clusterId: hashOf(genesis) as string as ClusterId, from, to, lead, rest };
}

function inOrder(pieces: readonly Piece[]): readonly Piece[] {
  const sorted = pieces.toSorted((a, b) => a.from - b.from || a.to - b.to || a.file - b.file);
  for (const [position, piece] of sorted.entries()) {
    const before = sorted[position - 1];
    if (before === undefined) continue;
    if (piece.from > before.to)
      throw new FileFault(piece.file, {
        reason: "gap",
        height: before.to + 1,
        message: `blocks ${before.to + 1} to ${piece.from} are in none of the files`,
      });
    if (piece.from < before.to)
      throw new FileFault(piece.file, {
        reason: "overlap",
        height: piece.from + 1,
        message: `blocks ${piece.from + 1} to ${Math.min(before.to, piece.to)} are in more than one of the files`,
      });
  }
  return sorted;
}

/** Checks how files lead over what they leave out, each by itself; gives back the highest checkpoint that follows from genesis. */
function anchorOf(pieces: readonly Piece[], clusterId: ClusterId, verifier: SignatureVerifier): Uint8Array | undefined {
  let anchor: Uint8Array | undefined;
  for (const { lead, file } of pieces) {
    if (lead[0]?.kind !== "genesis") continue;
    const verdict = verifyChainWith(encodeChainFile(lead), clusterId, verifier);
    if (!verdict.ok) throw new FileFault(file, verdict.fault);
    const last = lead[lead.length - 1];
    if (last?.kind === "checkpoint") anchor = last.bytes;
  }
  return anchor;
}

/** All records behind each other. Each file's own checkpoint stays, so that it is compared with what the blocks before it come to. */
function joined(pieces: readonly Piece[]): readonly ChainRecord[] {
  const [first] = pieces;
  if (first === undefined) return refuse("truncated", 0, "there is no file");
  const records: ChainRecord[] = [...first.lead, ...first.rest];
  for (const { lead, rest, from, file } of pieces.slice(1)) {
    const start = lead[lead.length - 1] as ChainRecord;
    const before = records[records.length - 1] as ChainRecord;
    const headOf = (record: ChainRecord): Hash => placeOfRecord(record).hash;
    if (before.kind !== "checkpoint") records.push(start);
    else if (headOf(before) !== headOf(start))
      throw new FileFault(file, {
        reason: "wrong-checkpoint",
        height: from,
        message: `it begins upon ${shortId(headOf(start))}, the file before it ends with ${shortId(headOf(before))}`,
      });
    else if (!equalBytes(before.bytes, start.bytes))
      throw new FileFault(file, {
        reason: "wrong-checkpoint",
        height: from,
        message: "it begins with another checkpoint than the one that the file before it ends with",
      });
    records.push(...rest);
  }
  return records;
}
