/**
 * The bytes of a segment.
 *
 * ```
 * segment  = header (512 bytes) batch* seal? zeros
 * batch    = begin (32) record+ padding commit (32)          aligned to 32 bytes, so that `begin` lies in one sector
 * record   = head (32) body padding                          aligned to 8 bytes
 * ```
 *
 * All integers are little-endian. Padding is 0xff. No sector of a written batch is all zero (a payload that would make one is
 * masked), hence a zero sector inside a batch proves that the sector was never written: that is what tells torn from corrupt.
 * Each CRC is seeded by the segment's random salt and the frame's offset, so that bytes of another place or life cannot pass.
 */
import type { Configuration, Generation, LogIndex, NodeId, StoreId, Term } from "@revoada/fabric";
import { crcOf, crcOfRange } from "./crc.ts";

/**
 * The version that this release writes, and the latest that it reads.
 *
 * Version 2 is version 1 with logs of many groups (records `group` and `forget`, moved entries) and with seals. Segments of both may
 * stand in one log: one of version 1 is written on as such, the next one is of version 2.
 */
export const walFormatVersion = 2;

export const sectorBytes = 512;
export const segmentHeaderBytes = 512;
/** Of a batch's begin and commit frames and of a record's head. */
export const frameBytes = 32;
export const batchAlignBytes = 32;
export const recordAlignBytes = 8;
export const paddingByte = 0xff;
/** Offsets are kept in 32 bits. */
export const maxSegmentBytes = 0xffff_fe00;
export const maxGroupIdBytes = 32;
export const maxIdBytes = 256;
export const maxMembers = 4096;

export const beginMagic = 0x42564f52;
export const commitMagic = 0x43564f52;
const endMagic = 0x5a564f52;

/** The kinds of record, by the number that stands for them on the disk. */
export const recordType = {
  entry: 1,
  hardState: 2,
  truncate: 3,
  base: 4,
  reset: 5,
  suspect: 6,
  group: 7,
  forget: 8,
  seal: 9,
} as const;

export const flagMasked = 1;
/** A vote is present in a hard state, a configuration in a base, a definition in a group. */
export const flagPresent = 2;
/** An entry that the log holds already, written once more so that its old segment can go. */
export const flagMoved = 4;

/** Kinds of a group record: records of the group follow, or what it amounts to where a segment begins. */
export const groupKind = { section: 0, state: 1 } as const;

const segmentMagic = Uint8Array.of(0x89, 0x52, 0x56, 0x44, 0x57, 0x41, 0x4c, 0x0a);
const textEncoder = new TextEncoder();
const textDecoder = new TextDecoder("utf-8", { fatal: true });

/** What stands in the first sector of a segment. */
export interface SegmentHeader {
  readonly version: number;
  /** True where the log is that of many groups: each record then belongs to the group record before it. */
  readonly shared: boolean;
  readonly storeId: StoreId;
  /** Empty where the log is bound to no group. */
  readonly groupId: Uint8Array;
  readonly sequence: number;
  /** The segment that this one continues, 0 for none, and where its valid bytes end. */
  readonly previousSequence: number;
  readonly previousEnd: number;
  /** The number that the first batch of this segment bears. */
  readonly firstBatch: number;
  /** The last entry before this segment. */
  readonly previousIndex: LogIndex;
  readonly previousTerm: Term;
  /** Random; makes the CRCs of this segment its own. */
  readonly salt: number;
}

export type DecodedHeader =
  | { readonly ok: true; readonly header: SegmentHeader; readonly seed: number }
  | { readonly ok: false; readonly reason: string }
  | { readonly ok: false; readonly reason: string; readonly newerVersion: number };

export function alignUp(value: number, to: number): number {
  return Math.ceil(value / to) * to;
}

export function writeUint64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value % 0x1_0000_0000, true);
  view.setUint32(at + 4, Math.floor(value / 0x1_0000_0000), true);
}

/** Undefined where the value is above 2^53 − 1. */
export function readUint64(view: DataView, at: number): number | undefined {
  const high = view.getUint32(at + 4, true);
  return high > 0x1f_ffff ? undefined : high * 0x1_0000_0000 + view.getUint32(at, true);
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The seed of a frame's CRC: odd multiplication permutes, so two offsets of a segment never share one. */
export function frameSeed(segmentSeed: number, offset: number): number {
  return (segmentSeed ^ Math.imul(offset, 0x9e3779b1)) >>> 0;
}

export function segmentName(sequence: number): string {
  return `${sequence.toString(16).padStart(16, "0")}.wal`;
}

/** The sequence that a file name stands for; undefined for other files. */
export function parseSegmentName(name: string): number | undefined {
  if (!/^[0-9a-f]{16}\.wal$/.test(name)) return undefined;
  const sequence = Number.parseInt(name.slice(0, 16), 16);
  return Number.isSafeInteger(sequence) && sequence > 0 ? sequence : undefined;
}

export function encodeSegmentHeader(header: SegmentHeader): { readonly bytes: Uint8Array; readonly seed: number } {
  const bytes = new Uint8Array(segmentHeaderBytes);
  const view = viewOf(bytes);
  bytes.set(segmentMagic, 0);
  view.setUint32(8, header.version, true);
  view.setUint32(12, segmentHeaderBytes, true);
  bytes.set(Buffer.from(header.storeId, "hex"), 20);
  bytes[36] = header.groupId.length;
  bytes[37] = header.shared ? 1 : 0;
  bytes.set(header.groupId, 40);
  writeUint64(view, 72, header.sequence);
  writeUint64(view, 80, header.previousSequence);
  writeUint64(view, 88, header.previousEnd);
  writeUint64(view, 96, header.firstBatch);
  writeUint64(view, 104, header.previousIndex);
  writeUint64(view, 112, header.previousTerm);
  view.setUint32(120, header.salt, true);
  const seed = headerCrc(bytes, segmentHeaderBytes);
  view.setUint32(16, seed, true);
  return { bytes, seed };
}

function headerCrc(bytes: Uint8Array, length: number): number {
  return crcOfRange(bytes, 20, length, crcOfRange(bytes, 0, 16, 0));
}

/**
 * Magic, version, length and CRC keep their places in every version: a later one is told from a damaged one by its CRC.
 * `bytes` are at least the first sector of the file, zero-padded.
 */
export function decodeSegmentHeader(bytes: Uint8Array): DecodedHeader {
  const view = viewOf(bytes);
  for (let at = 0; at < segmentMagic.length; at++) {
    if (bytes[at] !== segmentMagic[at]) return { ok: false, reason: "the segment does not begin with the log's magic" };
  }
  const version = view.getUint32(8, true);
  const length = view.getUint32(12, true);
  if (length < 20 || length > bytes.length) return { ok: false, reason: `the segment header claims ${length} bytes` };
  const seed = headerCrc(bytes, length);
  if (view.getUint32(16, true) !== seed) return { ok: false, reason: "the segment header fails its check" };
  if (version > walFormatVersion) return { ok: false, reason: `format ${version} is newer`, newerVersion: version };
  if (version < 1 || length !== segmentHeaderBytes) return { ok: false, reason: `there is no format ${version}` };
  const numbers = [72, 80, 88, 96, 104, 112].map((at) => readUint64(view, at));
  const groupLength = bytes[36] as number;
  if (groupLength > maxGroupIdBytes || numbers.includes(undefined))
    return { ok: false, reason: "the segment header is out of range" };
  const [sequence, previousSequence, previousEnd, firstBatch, previousIndex, previousTerm] = numbers as number[];
  const header: SegmentHeader = {
    version,
    shared: version > 1 && bytes[37] === 1,
    storeId: Buffer.from(bytes.subarray(20, 36)).toString("hex") as StoreId,
    groupId: bytes.slice(40, 40 + groupLength),
    sequence: sequence as number,
    previousSequence: previousSequence as number,
    previousEnd: previousEnd as number,
    firstBatch: firstBatch as number,
    previousIndex: previousIndex as LogIndex,
    previousTerm: previousTerm as Term,
    salt: view.getUint32(120, true),
  };
  return { ok: true, header, seed };
}

/** What opens a batch: its length and number. */
export interface BatchFrame {
  /** From the first byte of the begin frame to the last of the commit frame. */
  readonly length: number;
  readonly recordCount: number;
  readonly number: number;
}

export function writeBatchFrame(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  magic: number,
  frame: BatchFrame,
  recordsCrc: number,
  seed: number,
): void {
  view.setUint32(at, magic, true);
  view.setUint32(at + 8, frame.length, true);
  view.setUint32(at + 12, frame.recordCount, true);
  writeUint64(view, at + 16, frame.number);
  view.setUint32(at + 24, recordsCrc, true);
  view.setUint32(at + 28, endMagic, true);
  view.setUint32(at + 4, crcOfRange(bytes, at + 8, at + frameBytes, seed), true);
}

/** Undefined where the frame fails its check. */
export function readBatchFrame(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  magic: number,
  seed: number,
): (BatchFrame & { readonly recordsCrc: number }) | undefined {
  if (view.getUint32(at, true) !== magic || view.getUint32(at + 28, true) !== endMagic) return undefined;
  if (view.getUint32(at + 4, true) !== crcOfRange(bytes, at + 8, at + frameBytes, seed)) return undefined;
  const length = view.getUint32(at + 8, true);
  const number = readUint64(view, at + 16);
  if (number === undefined || length < 2 * frameBytes || length % batchAlignBytes !== 0) return undefined;
  return { length, recordCount: view.getUint32(at + 12, true), number, recordsCrc: view.getUint32(at + 24, true) };
}

/** What a group amounts to where a section of it begins, beside its base and its hard state. */
export interface GroupDefinition {
  readonly id: Uint8Array;
  readonly last: number;
  /** The term of the entry before the first one held. */
  readonly termBefore: number;
  /** Where each run of one term begins, and its term, in turns. */
  readonly runs: readonly number[];
}

export function encodeGroupDefinition(group: GroupDefinition): Uint8Array {
  const bytes = new Uint8Array(1 + group.id.length + 16 + 8 * group.runs.length);
  const view = viewOf(bytes);
  bytes[0] = group.id.length;
  bytes.set(group.id, 1);
  let at = 1 + group.id.length;
  for (const value of [group.last, group.termBefore, ...group.runs]) {
    writeUint64(view, at, value);
    at += 8;
  }
  return bytes;
}

/** Undefined where the bytes define no group. */
export function decodeGroupDefinition(bytes: Uint8Array): GroupDefinition | undefined {
  const idLength = bytes[0] ?? 0;
  const numbers = (bytes.length - 1 - idLength) / 8;
  if (idLength === 0 || idLength > maxGroupIdBytes || numbers < 2 || numbers % 2 !== 0) return undefined;
  const view = viewOf(bytes);
  const values: number[] = [];
  for (let at = 1 + idLength; at < bytes.length; at += 8) {
    const value = readUint64(view, at);
    if (value === undefined) return undefined;
    values.push(value);
  }
  const [last, termBefore, ...runs] = values as [number, number, ...number[]];
  for (let at = 2; at < runs.length; at += 2) if ((runs[at] as number) <= (runs[at - 2] as number)) return undefined;
  if (runs.length > 0 && (runs.at(-2) as number) > last) return undefined;
  return { id: bytes.slice(1, 1 + idLength), last, termBefore, runs };
}

/** The CRC of a record: its head after the CRC itself, then its body as stored. */
export function recordCrc(bytes: Uint8Array, headAt: number, body: Uint8Array, seed: number): number {
  return crcOf(body, crcOfRange(bytes, headAt + 4, headAt + frameBytes, seed));
}

export function encodeText(text: string): Uint8Array {
  return textEncoder.encode(text);
}

/** Undefined where the bytes are no UTF-8. */
export function decodeText(bytes: Uint8Array): string | undefined {
  try {
    return textDecoder.decode(bytes);
  } catch {
    return undefined;
  }
}

/** The bytes of a configuration: generation, then three lists of (id, store id), the middle one optional. */
export function encodeConfiguration(configuration: Configuration): Uint8Array {
  const parts: Uint8Array[] = [];
  const head = new Uint8Array(9);
  writeUint64(viewOf(head), 0, configuration.generation);
  head[8] = configuration.outgoing === undefined ? 0 : 1;
  parts.push(head);
  for (const members of [configuration.voters, configuration.outgoing ?? [], configuration.learners]) {
    parts.push(lengthPrefix(members.length));
    for (const member of members) {
      for (const text of [member.id, member.storeId]) {
        const bytes = encodeText(text);
        parts.push(lengthPrefix(bytes.length), bytes);
      }
    }
  }
  return Buffer.concat(parts);
}

function lengthPrefix(length: number): Uint8Array {
  return Uint8Array.of(length & 0xff, length >>> 8);
}

/** Undefined where the bytes are no configuration. */
export function decodeConfiguration(bytes: Uint8Array): Configuration | undefined {
  const cursor = { bytes, at: 9 };
  if (bytes.length < 9) return undefined;
  const generation = readUint64(viewOf(bytes), 0);
  const voters = decodeMembers(cursor);
  const outgoing = decodeMembers(cursor);
  const learners = decodeMembers(cursor);
  if (generation === undefined || !voters || !outgoing || !learners || cursor.at !== bytes.length) return undefined;
  const base = { voters, learners, generation: generation as Generation };
  return bytes[8] === 1 ? { ...base, outgoing } : base;
}

interface Cursor {
  readonly bytes: Uint8Array;
  at: number;
}

function decodeMembers(cursor: Cursor): Configuration["voters"] | undefined {
  const count = decodeLength(cursor);
  if (count === undefined || count > maxMembers) return undefined;
  const members: { id: NodeId; storeId: StoreId }[] = [];
  for (let at = 0; at < count; at++) {
    const id = decodeId(cursor);
    const storeId = decodeId(cursor);
    if (id === undefined || storeId === undefined) return undefined;
    members.push({ id: id as NodeId, storeId: storeId as StoreId });
  }
  return members;
}

function decodeLength(cursor: Cursor): number | undefined {
  if (cursor.at + 2 > cursor.bytes.length) return undefined;
  const length = (cursor.bytes[cursor.at] as number) | ((cursor.bytes[cursor.at + 1] as number) << 8);
  cursor.at += 2;
  return length;
}

function decodeId(cursor: Cursor): string | undefined {
  const length = decodeLength(cursor);
  if (length === undefined || length > maxIdBytes || cursor.at + length > cursor.bytes.length) return undefined;
  cursor.at += length;
  return decodeText(cursor.bytes.subarray(cursor.at - length, cursor.at));
}
