import type { HardState, LogBase, LogIndex, Term } from "@revoada/fabric";
import { applyMask, entryKindOf } from "./batch-encoder.ts";
import { crcOf, crcOfRange, crcOfUint32 } from "./crc.ts";
import {
  alignUp,
  batchAlignBytes,
  commitMagic,
  decodeConfiguration,
  decodeGroupDefinition,
  decodeText,
  flagMasked,
  flagMoved,
  flagPresent,
  frameBytes,
  frameSeed,
  groupKind,
  maxIdBytes,
  paddingByte,
  readBatchFrame,
  readUint64,
  recordAlignBytes,
  recordType,
  viewOf,
  type BatchFrame,
  type GroupDefinition,
} from "./format.ts";

/** A record whose check has passed. `offset` is where it begins in its segment. */
export type WalRecord = { readonly offset: number } & (
  | {
      readonly type: "entry";
      readonly index: LogIndex;
      readonly term: Term;
      readonly kind: "command" | "noop" | "configuration";
      readonly payload: Uint8Array;
      /** True where the log held the entry already and wrote it once more. */
      readonly moved: boolean;
    }
  | { readonly type: "hard-state"; readonly hardState: HardState }
  | { readonly type: "truncate"; readonly from: LogIndex }
  | { readonly type: "base" | "reset"; readonly base: LogBase }
  | { readonly type: "suspect"; readonly suspect: boolean }
  /** What follows belongs to this group; `state` sums up what came before, where a segment begins. */
  | {
      readonly type: "group";
      readonly number: number;
      readonly section: number;
      readonly state: boolean;
      readonly definition?: GroupDefinition;
    }
  | { readonly type: "forget" }
  /** The log goes on in another segment. */
  | { readonly type: "seal"; readonly successor: number }
);

export type DecodedRecord =
  | { readonly ok: true; readonly record: WalRecord; readonly end: number; readonly crc: number }
  | { readonly ok: false; readonly reason: string; readonly neededBytes?: number };

/** Decodes the record at `at` of `bytes`, which stand at `offset` of the segment. `neededBytes` says that more are wanted. */
export function decodeRecord(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  offset: number,
  segmentSeed: number,
): DecodedRecord {
  if (at + frameBytes > bytes.length) return { ok: false, reason: leaves, neededBytes: frameBytes };
  const bodyLength = view.getUint32(at + 4, true);
  const end = endOf(at, bodyLength);
  if (end > bytes.length) return { ok: false, reason: leaves, neededBytes: end - at };
  const objection = objectionToRecord(bytes, view, at, bytes.length, offset, segmentSeed);
  if (objection !== undefined) return { ok: false, reason: objection };
  const record = interpret(bytes, view, at, offset, bodyLength);
  if (record === undefined) return { ok: false, reason: "a record is out of range" };
  return { ok: true, record, end, crc: view.getUint32(at, true) };
}

const leaves = "a record leaves its batch";

function endOf(at: number, bodyLength: number): number {
  return at + frameBytes + alignUp(bodyLength, recordAlignBytes);
}

/** Why the record at `at`, which must end before `limit`, cannot be believed. */
function objectionToRecord(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  limit: number,
  offset: number,
  segmentSeed: number,
): string | undefined {
  if (at + frameBytes > limit) return leaves;
  const bodyLength = view.getUint32(at + 4, true);
  const bodyEnd = at + frameBytes + bodyLength;
  const end = endOf(at, bodyLength);
  if (end > limit) return leaves;
  // Head and body lie one behind the other, so one pass over both is the CRC of the record.
  const seed = frameSeed(segmentSeed, offset);
  const crc =
    bodyLength < inPlaceUpToBytes
      ? crcOfRange(bytes, at + 4, bodyEnd, seed)
      : crcOf(bytes.subarray(at + 4, bodyEnd), seed);
  if (view.getUint32(at, true) !== crc) return "a record fails its check";
  return isPadding(bytes, bodyEnd, end) ? undefined : "a record's padding is damaged";
}

/** Below this a view of the bytes for the native CRC costs more than the CRC. */
const inPlaceUpToBytes = 64;

function bodyOf(bytes: Uint8Array, view: DataView, at: number, bodyLength: number): Uint8Array {
  const stored = bytes.subarray(at + frameBytes, at + frameBytes + bodyLength);
  const masked = (view.getUint16(at + 10, true) & flagMasked) !== 0;
  return masked ? applyMask(stored, view.getUint32(at + 12, true)) : stored;
}

function interpret(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  offset: number,
  bodyLength: number,
): WalRecord | undefined {
  const first = readUint64(view, at + 16);
  const second = readUint64(view, at + 24);
  if (first === undefined || second === undefined) return undefined;
  const flags = view.getUint16(at + 10, true);
  const body = bodyOf(bytes, view, at, bodyLength);
  const present = (flags & flagPresent) !== 0;
  switch (bytes[at + 8]) {
    case recordType.entry: {
      const kind = entryKindOf(bytes[at + 9] as number);
      if (kind === undefined) return undefined;
      const moved = (flags & flagMoved) !== 0;
      return { type: "entry", offset, index: first as LogIndex, term: second as Term, kind, payload: body, moved };
    }
    case recordType.hardState: {
      const vote = body.length > maxIdBytes ? undefined : decodeText(body);
      if (vote === undefined) return undefined;
      const state = { term: first as Term, commitIndex: second as LogIndex };
      return { type: "hard-state", offset, hardState: present ? { ...state, vote } : state };
    }
    case recordType.truncate:
      return { type: "truncate", offset, from: first as LogIndex };
    case recordType.base:
    case recordType.reset: {
      const type = bytes[at + 8] === recordType.base ? "base" : "reset";
      const position = { index: first as LogIndex, term: second as Term };
      if (!present) return { type, offset, base: position };
      const configuration = decodeConfiguration(body);
      return configuration === undefined ? undefined : { type, offset, base: { ...position, configuration } };
    }
    case recordType.suspect:
      return { type: "suspect", offset, suspect: first === 1 };
    case recordType.group:
      return interpretGroup(offset, bytes[at + 9] as number, first, second, present ? body : undefined);
    case recordType.forget:
      return { type: "forget", offset };
    case recordType.seal:
      return { type: "seal", offset, successor: first };
    default:
      return undefined;
  }
}

function interpretGroup(
  offset: number,
  kind: number,
  number: number,
  section: number,
  body: Uint8Array | undefined,
): WalRecord | undefined {
  const state = kind === groupKind.state;
  if (!state && kind !== groupKind.section) return undefined;
  if (number === 0) return undefined;
  const common = { type: "group" as const, offset, number, section, state };
  if (body === undefined) return state ? undefined : common;
  const definition = decodeGroupDefinition(body);
  return definition === undefined ? undefined : { ...common, definition };
}

function isPadding(bytes: Uint8Array, from: number, to: number): boolean {
  for (let at = from; at < to; at++) if (bytes[at] !== paddingByte) return false;
  return true;
}

export type DecodedBatch =
  | { readonly ok: true; readonly records: BatchRecords }
  | { readonly ok: false; readonly reason: string; readonly offset: number };

/**
 * The records of a batch whose checks have passed.
 *
 * Entries, of which a log has millions, are numbers in columns; everything else is an object. The memory is used again for the next
 * batch.
 */
export class BatchRecords {
  count = 0;
  /** The record itself, where it is no entry. */
  readonly others: (WalRecord | undefined)[] = [];
  #offsets: Float64Array<ArrayBuffer> = new Float64Array(64);
  #lengths: Float64Array<ArrayBuffer> = new Float64Array(64);
  #indexes: Float64Array<ArrayBuffer> = new Float64Array(64);
  #terms: Float64Array<ArrayBuffer> = new Float64Array(64);
  #bytes: Uint8Array = new Uint8Array(0);
  #view: DataView = viewOf(this.#bytes);
  /** What has to be added to a place in the bytes to have the place in the segment. */
  #shift = 0;

  /** Begins anew with records of `bytes`, whose first byte would stand at `shift` of the segment. */
  begin(bytes: Uint8Array, view: DataView, shift: number): void {
    this.count = 0;
    this.others.length = 0;
    this.#bytes = bytes;
    this.#view = view;
    this.#shift = shift;
  }

  /** Takes over the record at `at` of the bytes. False where it makes no sense. */
  add(at: number, bodyLength: number): boolean {
    if (this.count === this.#offsets.length) this.#grow();
    const place = this.count;
    if (this.#bytes[at + 8] === recordType.entry) {
      const index = readUint64(this.#view, at + 16);
      const term = readUint64(this.#view, at + 24);
      if (index === undefined || term === undefined || entryKindOf(this.#bytes[at + 9] as number) === undefined)
        return false;
      this.#indexes[place] = index;
      this.#terms[place] = term;
      this.others.push(undefined);
    } else {
      const record = interpret(this.#bytes, this.#view, at, this.#shift + at, bodyLength);
      if (record === undefined) return false;
      this.others.push(record);
    }
    this.#offsets[place] = this.#shift + at;
    this.#lengths[place] = bodyLength;
    this.count++;
    return true;
  }

  offset(place: number): number {
    return this.#offsets[place] as number;
  }

  index(place: number): number {
    return this.#indexes[place] as number;
  }

  term(place: number): number {
    return this.#terms[place] as number;
  }

  bodyLength(place: number): number {
    return this.#lengths[place] as number;
  }

  isMoved(place: number): boolean {
    return (this.#view.getUint16(this.offset(place) - this.#shift + 10, true) & flagMoved) !== 0;
  }

  isConfiguration(place: number): boolean {
    return entryKindOf(this.#bytes[this.offset(place) - this.#shift + 9] as number) === "configuration";
  }

  /** The record as an object of its own. */
  record(place: number): WalRecord {
    const other = this.others[place];
    if (other !== undefined) return other;
    const offset = this.offset(place);
    return interpret(this.#bytes, this.#view, offset - this.#shift, offset, this.bodyLength(place)) as WalRecord;
  }

  #grow(): void {
    const grown = (column: Float64Array<ArrayBuffer>): Float64Array<ArrayBuffer> => {
      const larger = new Float64Array(column.length * 2);
      larger.set(column);
      return larger;
    };
    this.#offsets = grown(this.#offsets);
    this.#lengths = grown(this.#lengths);
    this.#indexes = grown(this.#indexes);
    this.#terms = grown(this.#terms);
  }
}

/**
 * Decodes a whole batch, whose begin frame has been read already, into `records`. It begins at `at` of `bytes`, which hold all of it, and
 * at `offset` of the segment.
 */
export function decodeBatch(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  offset: number,
  frame: BatchFrame,
  segmentSeed: number,
  records: BatchRecords,
): DecodedBatch {
  const shift = offset - at;
  const commitAt = at + frame.length - frameBytes;
  const commit = readBatchFrame(bytes, view, commitAt, commitMagic, frameSeed(segmentSeed, shift + commitAt));
  const fail = (place: number, reason: string): DecodedBatch => ({ ok: false, reason, offset: shift + place });
  if (commit === undefined) return fail(commitAt, "the commit frame fails its check");
  if (commit.length !== frame.length || commit.number !== frame.number || commit.recordCount !== frame.recordCount) {
    return fail(commitAt, "the commit frame is that of another batch");
  }
  records.begin(bytes, view, shift);
  let place = at + frameBytes;
  let recordsCrc = 0;
  for (let count = 0; count < frame.recordCount; count++) {
    const objection = objectionToRecord(bytes, view, place, commitAt, shift + place, segmentSeed);
    if (objection !== undefined) return fail(place, objection);
    const bodyLength = view.getUint32(place + 4, true);
    if (!records.add(place, bodyLength)) return fail(place, "a record is out of range");
    recordsCrc = crcOfUint32(view.getUint32(place, true), recordsCrc);
    place = endOf(place, bodyLength);
  }
  if (commitAt - place >= batchAlignBytes || !isPadding(bytes, place, commitAt))
    return fail(place, "a batch's padding is damaged");
  if (recordsCrc !== commit.recordsCrc) return fail(commitAt, "the records are not those of the commit frame");
  return { ok: true, records };
}
