import type { HardState, LogBase, LogIndex, Term } from "@revoada/fabric";
import { applyMask, entryKindOf } from "./batch-encoder.ts";
import { crcOfUint32 } from "./crc.ts";
import {
  alignUp,
  batchAlignBytes,
  commitMagic,
  decodeConfiguration,
  decodeText,
  flagMasked,
  flagPresent,
  frameBytes,
  frameSeed,
  maxIdBytes,
  paddingByte,
  readBatchFrame,
  readUint64,
  recordAlignBytes,
  recordCrc,
  recordType,
  viewOf,
  type BatchFrame,
} from "./format.ts";

/** A record whose check has passed. `offset` is where it begins in its segment. */
export type WalRecord = { readonly offset: number } & (
  | {
      readonly type: "entry";
      readonly index: LogIndex;
      readonly term: Term;
      readonly kind: "command" | "noop" | "configuration";
      readonly payload: Uint8Array;
    }
  | { readonly type: "hard-state"; readonly hardState: HardState }
  | { readonly type: "truncate"; readonly from: LogIndex }
  | { readonly type: "base" | "reset"; readonly base: LogBase }
  | { readonly type: "suspect"; readonly suspect: boolean }
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
  if (at + frameBytes > bytes.length)
    return { ok: false, reason: "a record leaves its batch", neededBytes: frameBytes };
  const bodyLength = view.getUint32(at + 4, true);
  const end = at + frameBytes + alignUp(bodyLength, recordAlignBytes);
  if (end > bytes.length) return { ok: false, reason: "a record leaves its batch", neededBytes: end - at };
  const body = bytes.subarray(at + frameBytes, at + frameBytes + bodyLength);
  const crc = view.getUint32(at, true);
  if (crc !== recordCrc(bytes, at, body, frameSeed(segmentSeed, offset)))
    return { ok: false, reason: "a record fails its check" };
  if (!isPadding(bytes, at + frameBytes + bodyLength, end))
    return { ok: false, reason: "a record's padding is damaged" };
  const record = interpret(bytes, view, at, offset, body);
  return record === undefined ? { ok: false, reason: "a record is out of range" } : { ok: true, record, end, crc };
}

function interpret(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  offset: number,
  stored: Uint8Array,
): WalRecord | undefined {
  const flags = view.getUint16(at + 10, true);
  const first = readUint64(view, at + 16);
  const second = readUint64(view, at + 24);
  if (first === undefined || second === undefined) return undefined;
  const body = (flags & flagMasked) === 0 ? stored : applyMask(stored, view.getUint32(at + 12, true));
  const present = (flags & flagPresent) !== 0;
  switch (bytes[at + 8]) {
    case recordType.entry: {
      const kind = entryKindOf(bytes[at + 9] as number);
      if (kind === undefined) return undefined;
      return { type: "entry", offset, index: first as LogIndex, term: second as Term, kind, payload: body };
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
    default:
      return undefined;
  }
}

function isPadding(bytes: Uint8Array, from: number, to: number): boolean {
  for (let at = from; at < to; at++) if (bytes[at] !== paddingByte) return false;
  return true;
}

export type DecodedBatch =
  | { readonly ok: true; readonly records: readonly WalRecord[] }
  | { readonly ok: false; readonly reason: string; readonly offset: number };

/** Decodes a whole batch, whose begin frame has been read already. `bytes` are its `frame.length` bytes. */
export function decodeBatch(bytes: Uint8Array, offset: number, frame: BatchFrame, segmentSeed: number): DecodedBatch {
  const view = viewOf(bytes);
  const commitAt = frame.length - frameBytes;
  const commit = readBatchFrame(bytes, view, commitAt, commitMagic, frameSeed(segmentSeed, offset + commitAt));
  const fail = (at: number, reason: string): DecodedBatch => ({ ok: false, reason, offset: offset + at });
  if (commit === undefined) return fail(commitAt, "the commit frame fails its check");
  if (commit.length !== frame.length || commit.number !== frame.number || commit.recordCount !== frame.recordCount) {
    return fail(commitAt, "the commit frame is that of another batch");
  }
  const inside = bytes.subarray(0, commitAt);
  const records: WalRecord[] = [];
  let at = frameBytes;
  let recordsCrc = 0;
  for (let count = 0; count < frame.recordCount; count++) {
    const decoded = decodeRecord(inside, view, at, offset + at, segmentSeed);
    if (!decoded.ok) return fail(at, decoded.reason);
    records.push(decoded.record);
    recordsCrc = crcOfUint32(decoded.crc, recordsCrc);
    at = decoded.end;
  }
  if (commitAt - at >= batchAlignBytes || !isPadding(bytes, at, commitAt))
    return fail(at, "a batch's padding is damaged");
  if (recordsCrc !== commit.recordsCrc) return fail(commitAt, "the records are not those of the commit frame");
  return { ok: true, records };
}
