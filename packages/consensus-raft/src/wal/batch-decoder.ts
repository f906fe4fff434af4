import type { HardState, LogBase, LogIndex, Term } from "@revoada/fabric";
import { applyMask, entryKindOf } from "./batch-encoder.ts";
import { crcOf, crcOfUint32 } from "./crc.ts";
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

type Checked =
  | { readonly ok: true; readonly bodyLength: number; readonly end: number; readonly crc: number }
  | { readonly ok: false; readonly reason: string; readonly neededBytes?: number };

/** Decodes the record at `at` of `bytes`, which stand at `offset` of the segment. `neededBytes` says that more are wanted. */
export function decodeRecord(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  offset: number,
  segmentSeed: number,
): DecodedRecord {
  const checked = checkRecord(bytes, view, at, offset, segmentSeed);
  if (!checked.ok) return checked;
  const record = interpret(bytes, view, at, offset, checked.bodyLength);
  if (record === undefined) return { ok: false, reason: "a record is out of range" };
  return { ok: true, record, end: checked.end, crc: checked.crc };
}

function checkRecord(bytes: Uint8Array, view: DataView, at: number, offset: number, segmentSeed: number): Checked {
  if (at + frameBytes > bytes.length)
    return { ok: false, reason: "a record leaves its batch", neededBytes: frameBytes };
  const bodyLength = view.getUint32(at + 4, true);
  const end = at + frameBytes + alignUp(bodyLength, recordAlignBytes);
  if (end > bytes.length) return { ok: false, reason: "a record leaves its batch", neededBytes: end - at };
  const crc = view.getUint32(at, true);
  // Head and body lie one behind the other, so one pass over both is the CRC of the record.
  const checked = bytes.subarray(at + 4, at + frameBytes + bodyLength);
  if (crc !== crcOf(checked, frameSeed(segmentSeed, offset))) return { ok: false, reason: "a record fails its check" };
  if (!isPadding(bytes, at + frameBytes + bodyLength, end))
    return { ok: false, reason: "a record's padding is damaged" };
  return { ok: true, bodyLength, end, crc };
}

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
  #start = 0;

  /** Begins anew with the bytes of a batch, which stand at `start` of the segment. */
  begin(bytes: Uint8Array, view: DataView, start: number): void {
    this.count = 0;
    this.others.length = 0;
    this.#bytes = bytes;
    this.#view = view;
    this.#start = start;
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
      const record = interpret(this.#bytes, this.#view, at, this.#start + at, bodyLength);
      if (record === undefined) return false;
      this.others.push(record);
    }
    this.#offsets[place] = this.#start + at;
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
    return (this.#view.getUint16(this.offset(place) - this.#start + 10, true) & flagMoved) !== 0;
  }

  isConfiguration(place: number): boolean {
    return entryKindOf(this.#bytes[this.offset(place) - this.#start + 9] as number) === "configuration";
  }

  /** The record as an object of its own. */
  record(place: number): WalRecord {
    const other = this.others[place];
    if (other !== undefined) return other;
    const offset = this.offset(place);
    return interpret(this.#bytes, this.#view, offset - this.#start, offset, this.bodyLength(place)) as WalRecord;
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
 * Decodes a whole batch, whose begin frame has been read already, into `records`. `bytes` are its `frame.length` bytes.
 */
export function decodeBatch(
  bytes: Uint8Array,
  offset: number,
  frame: BatchFrame,
  segmentSeed: number,
  records: BatchRecords,
): DecodedBatch {
  const view = viewOf(bytes);
  const commitAt = frame.length - frameBytes;
  const commit = readBatchFrame(bytes, view, commitAt, commitMagic, frameSeed(segmentSeed, offset + commitAt));
  const fail = (at: number, reason: string): DecodedBatch => ({ ok: false, reason, offset: offset + at });
  if (commit === undefined) return fail(commitAt, "the commit frame fails its check");
  if (commit.length !== frame.length || commit.number !== frame.number || commit.recordCount !== frame.recordCount) {
    return fail(commitAt, "the commit frame is that of another batch");
  }
  const inside = bytes.subarray(0, commitAt);
  records.begin(inside, view, offset);
  let at = frameBytes;
  let recordsCrc = 0;
  for (let count = 0; count < frame.recordCount; count++) {
    const checked = checkRecord(inside, view, at, offset + at, segmentSeed);
    if (!checked.ok) return fail(at, checked.reason);
    if (!records.add(at, checked.bodyLength)) return fail(at, "a record is out of range");
    recordsCrc = crcOfUint32(checked.crc, recordsCrc);
    at = checked.end;
  }
  if (commitAt - at >= batchAlignBytes || !isPadding(bytes, at, commitAt))
    return fail(at, "a batch's padding is damaged");
  if (recordsCrc !== commit.recordsCrc) return fail(commitAt, "the records are not those of the commit frame");
  return { ok: true, records };
}
