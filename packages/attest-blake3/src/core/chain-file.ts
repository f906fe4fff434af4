import type { ChainFault } from "@revoada/fabric";
import crc32 from "crc/calculators/crc32";
import { equalBytes } from "./canonical.ts";
import { refuse } from "./faults.ts";
import {
  maxBlockBytes,
  maxCheckpointBytes,
  maxCosignatureBytes,
  maxGenesisBytes,
  maxHopBytes,
  maxSealBytes,
} from "./limits.ts";

/**
 * A chain file, all integers big-endian:
 *
 * - 8 bytes magic `RVDCHAIN`, 2 bytes version;
 * - records, each 1 byte tag, 4 bytes length and that many bytes: one genesis or checkpoint, then blocks and seals, a seal right after the block
 *   that it covers, and an operator's cosignature right after the seal; where blocks are kept no more, hops and the checkpoint that they lead to
 *   stand in their place; an archived segment ends with the checkpoint of its last block;
 * - a trailer of the same form: 8 bytes count of the records before it, 4 bytes CRC-32 (ISO-HDLC) of everything before it. Without it a file
 *   that was cut between two records would look whole. It tells damage and nothing else: whoever forges a file makes the trailer that fits.
 */
export type ChainRecordKind = "genesis" | "block" | "seal" | "cosignature" | "checkpoint" | "hop";

/** One record of a chain, as exact bytes. */
export interface ChainRecord {
  readonly kind: ChainRecordKind;
  readonly bytes: Uint8Array;
}

const magic: Uint8Array = new TextEncoder().encode("RVDCHAIN");
const fileVersion = 1;
const headerLength = magic.length + 2;
const recordHeadLength = 5;
const trailerTag = 0xff;
const trailerLength = 12;

const tagOf: Readonly<Record<ChainRecordKind, number>> = {
  genesis: 1,
  block: 2,
  seal: 3,
  cosignature: 4,
  checkpoint: 5,
  hop: 6,
};
const kindOf: ReadonlyMap<number, ChainRecordKind> = new Map([
  [1, "genesis"],
  [2, "block"],
  [3, "seal"],
  [4, "cosignature"],
  [5, "checkpoint"],
  [6, "hop"],
]);
/** Largest record of each kind, in bytes. */
export const maxBytesOf: Readonly<Record<ChainRecordKind, number>> = {
  genesis: maxGenesisBytes,
  block: maxBlockBytes,
  seal: maxSealBytes,
  cosignature: maxCosignatureBytes,
  checkpoint: maxCheckpointBytes,
  hop: maxHopBytes,
};

function checksum(bytes: Uint8Array): number {
  return crc32(bytes) >>> 0;
}

/** The bytes of a chain file with these records. */
export function encodeChainFile(records: readonly ChainRecord[]): Uint8Array {
  const contentLength = records.reduce((sum, { bytes }) => sum + recordHeadLength + bytes.length, headerLength);
  const file = new Uint8Array(contentLength + recordHeadLength + trailerLength);
  const view = new DataView(file.buffer);
  file.set(magic, 0);
  view.setUint16(magic.length, fileVersion);
  let offset = headerLength;
  for (const { kind, bytes } of records) {
    view.setUint8(offset, tagOf[kind]);
    view.setUint32(offset + 1, bytes.length);
    file.set(bytes, offset + recordHeadLength);
    offset += recordHeadLength + bytes.length;
  }
  view.setUint8(offset, trailerTag);
  view.setUint32(offset + 1, trailerLength);
  view.setBigUint64(offset + recordHeadLength, BigInt(records.length));
  view.setUint32(offset + recordHeadLength + 8, checksum(file.subarray(0, offset)));
  return file;
}

/** Reads a chain file record by record, each a view into the file. Refuses with `CHAIN_INVALID`, at the height that it is told. */
export class ChainFileReader {
  readonly #file: Uint8Array;
  readonly #view: DataView;
  #offset = 0;
  #count = 0;
  #ended = false;

  constructor(file: Uint8Array) {
    this.#file = file;
    this.#view = new DataView(file.buffer, file.byteOffset, file.byteLength);
    const shown = Math.min(magic.length, file.length);
    if (!equalBytes(file.subarray(0, shown), magic.subarray(0, shown)))
      refuse("bad-magic", 0, "this is not a chain file");
    if (file.length < headerLength) refuse("truncated", 0, `${file.length} bytes, a chain file has more`);
    const version = this.#view.getUint16(magic.length);
    if (version !== fileVersion) {
      refuse("unknown-version", 0, `a chain file of version ${version}, this program knows version ${fileVersion}`);
    }
    this.#offset = headerLength;
  }

  /** The next record, undefined after the trailer, which is checked then. */
  next(height: number): ChainRecord | undefined {
    if (this.#ended) return undefined;
    if (this.#offset + recordHeadLength > this.#file.length)
      refuse("truncated", height, "the file ends without a trailer");
    const tag = this.#view.getUint8(this.#offset);
    const length = this.#view.getUint32(this.#offset + 1);
    if (tag === trailerTag) {
      this.#readTrailer(length, height);
      return undefined;
    }
    const kind = kindOf.get(tag);
    if (kind === undefined) refuse("malformed", height, `unknown record tag ${tag}`);
    const { start, end } = this.#span(length, maxBytesOf[kind], height);
    this.#offset = end;
    this.#count += 1;
    return { kind, bytes: this.#file.subarray(start, end) };
  }

  #span(length: number, limit: number, height: number): { readonly start: number; readonly end: number } {
    if (length > limit) refuse("malformed", height, `a record of ${length} bytes, expected at most ${limit}`);
    const start = this.#offset + recordHeadLength;
    const end = start + length;
    if (end > this.#file.length)
      refuse("truncated", height, `the file ends ${end - this.#file.length} bytes before its record does`);
    return { start, end };
  }

  #readTrailer(length: number, height: number): void {
    if (length !== trailerLength)
      refuse("malformed", height, `a trailer of ${length} bytes, expected ${trailerLength}`);
    const { start, end } = this.#span(length, trailerLength, height);
    const count = this.#view.getBigUint64(start);
    if (count !== BigInt(this.#count)) {
      const reason: ChainFault["reason"] = count > BigInt(this.#count) ? "truncated" : "malformed";
      refuse(reason, height, `the trailer counts ${count} records, the file has ${this.#count}`);
    }
    if (this.#view.getUint32(start + 8) !== checksum(this.#file.subarray(0, this.#offset)))
      refuse("malformed", height, "the trailer holds another checksum than that of the file");
    if (end !== this.#file.length)
      refuse("trailing-bytes", height, `${this.#file.length - end} bytes after the trailer`);
    this.#ended = true;
  }
}

/** The records of a chain file, in order; who signed what is not judged. Refuses with `CHAIN_INVALID` what has another form. */
export function readChainFile(file: Uint8Array): readonly ChainRecord[] {
  const reader = new ChainFileReader(file);
  const records: ChainRecord[] = [];
  let height = 0;
  for (let record = reader.next(height); record !== undefined; record = reader.next(height)) {
    records.push(record);
    if (record.kind === "block") height += 1;
  }
  return records;
}
