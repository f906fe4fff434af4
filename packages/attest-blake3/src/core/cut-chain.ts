import type { ClusterId, Identity } from "@revoada/fabric";
import { readBlock } from "./block.ts";
import type { ChainRecord } from "./chain-file.ts";
import { ChainVerifier } from "./chain-verifier.ts";
import { signExport } from "./chain-export.ts";
import { openCheckpoint } from "./checkpoint.ts";
import { refuse } from "./faults.ts";
import { confirmsHead, placeOfRecord, takeLeap } from "./leap.ts";
import { openChain, readChain } from "./open-chain.ts";

/** What of a chain is exported, and when. */
export interface ExportOptions {
  /** The exporter's clock, milliseconds since the epoch. */
  readonly exportedMs: number;
  /**
   * The export holds this height. It begins at genesis, or with a checkpoint of the highest sealed head below this height that one can go on from; all
   * that follows upon it is there. At genesis unless told.
   */
  readonly from?: number;
  /** The export ends with the command of this height, and the seal over it. At the head unless told. */
  readonly to?: number;
}

/** What was judged already, when it was made or taken: a node does not check its own chain again to hand it over. */
const anySignature = { verify: (): boolean => true };

/**
 * Signs a chain, or a part of it, as something that `identity` hands over. The chain may be in any form; signatures in it are not checked. Throws
 * `CHAIN_INVALID`, with `unproven` for heights that it does not hold.
 */
export function exportChainOf(
  chain: Uint8Array,
  clusterId: ClusterId,
  { exportedMs, from, to }: ExportOptions,
  identity: Identity,
): Uint8Array {
  // The whole is handed over as it is: replaying it would keep a node from other work.
  const part = from === undefined && to === undefined ? wholeOf(chain) : partOf(chain, clusterId, from, to);
  return signExport({ clusterId, exportedMs, ...part }, identity);
}

interface Part {
  readonly from: number;
  readonly to: number;
  readonly records: readonly ChainRecord[];
}

function wholeOf(chain: Uint8Array): Part {
  const records = readChain(chain);
  const first = records.find(({ kind }) => kind === "block");
  const last = records.findLast(({ kind }) => kind === "block");
  if (first !== undefined && last !== undefined)
    return { from: readBlock(first.bytes, 0).height, to: readBlock(last.bytes, 0).height, records };
  const checkpoint = records.findLast(({ kind }) => kind === "checkpoint");
  const base = checkpoint === undefined ? 0 : placeOfRecord(checkpoint).height;
  return { from: base + 1, to: base, records };
}

function partOf(chain: Uint8Array, clusterId: ClusterId, from?: number, to = Number.POSITIVE_INFINITY): Part {
  const reader = openChain(chain);
  const first = reader.next(0);
  if (first === undefined) return refuse("bad-genesis", 0, "the chain is empty");
  const options = { clusterId, verifier: anySignature, believes: (): boolean => true };
  const verifier =
    first.kind === "checkpoint"
      ? ChainVerifier.from(first.bytes, options)
      : new ChainVerifier({ ...options, genesis: first.bytes });
  if (from !== undefined && to < from) refuse("unproven", to, `the part would end before it begins, at ${from}`);
  let part: Growing = { base: verifier.head().height, records: [first] };
  for (;;) {
    const { height } = verifier.head();
    const record = reader.next(height + 1);
    if (record === undefined) break;
    if (record.kind === "block") {
      if (height >= to && verifier.blocksToCome() === 0) break;
      if (height + 1 === from) part = partFrom(verifier, part);
    }
    part = partWith(verifier, part, record);
  }
  const { height } = verifier.head();
  if (part.base > 0 && (from ?? to) <= part.base)
    refuse("archived", from ?? to, `the chain at hand begins with block ${part.base + 1}`);
  const wanted = to === Number.POSITIVE_INFINITY ? (from ?? 0) : to;
  if (wanted > Math.max(height, 1)) refuse("unproven", wanted, `the chain ends at ${height}`);
  return { from: part.base + 1, to: height, records: part.records };
}

/** The last block that is left out, and the records that make up for it and go on from there. */
interface Growing {
  readonly base: number;
  readonly records: ChainRecord[];
}

/** Takes the next record of a chain that was judged before, and judges its form and links again. */
function partWith(verifier: ChainVerifier, part: Growing, record: ChainRecord): Growing {
  part.records.push(record);
  if (record.kind === "block") verifier.addBlock(record.bytes);
  else if (record.kind === "seal") verifier.addSeal(record.bytes);
  else if (record.kind === "cosignature") verifier.addCosignature(record.bytes);
  else if (record.kind === "genesis") refuse("malformed", verifier.head().height, "a genesis in the middle of a chain");
  else {
    // Of the head itself a checkpoint leads over nothing.
    const isBehind = confirmsHead(verifier, record);
    takeLeap(verifier, record);
    if (record.kind === "checkpoint" && !isBehind) return { base: verifier.head().height, records: part.records };
  }
  return part;
}

/** What is left of a part where it begins at the last sealed head that one can go on from; all of it where there is none. */
function partFrom(verifier: ChainVerifier, part: Growing): Growing {
  const bytes = verifier.checkpoint();
  if (bytes === undefined) return part;
  const { height } = openCheckpoint(bytes, anySignature).head;
  if (height <= part.base) return part;
  let before = part.base;
  const rest = part.records.findIndex(({ kind }) => {
    if (kind === "block") before += 1;
    return before > height;
  });
  const records: ChainRecord[] = [{ kind: "checkpoint", bytes }, ...(rest < 0 ? [] : part.records.slice(rest))];
  return { base: height, records };
}
