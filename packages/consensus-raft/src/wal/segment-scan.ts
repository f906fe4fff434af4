import type { DiskFile } from "@revoada/fabric";
import { BatchRecords, decodeBatch } from "./batch-decoder.ts";
import { isZero } from "./batch-encoder.ts";
import {
  alignUp,
  batchAlignBytes,
  beginMagic,
  frameBytes,
  frameSeed,
  maxSegmentBytes,
  readBatchFrame,
  sectorBytes,
  segmentHeaderBytes,
  viewOf,
} from "./format.ts";

const windowBytes = 1 << 20;

/** Reads a file through a window. Bytes behind its end are zero: they were never written. */
export class FileWindow {
  readonly size: number;
  readonly #file: DiskFile;
  #start = 0;
  #bytes: Uint8Array = new Uint8Array(0);
  #view: DataView = viewOf(this.#bytes);

  private constructor(file: DiskFile, size: number) {
    this.#file = file;
    this.size = size;
  }

  static async over(file: DiskFile): Promise<FileWindow> {
    return new FileWindow(file, await file.size());
  }

  /** What was read last, with a view of it. */
  get bytes(): Uint8Array {
    return this.#bytes;
  }

  get dataView(): DataView {
    return this.#view;
  }

  /** Where bytes of the file stand in {@link bytes}, if all of them do: a promise for each of a million batches would be dear. */
  placeOf(offset: number, length: number): number | undefined {
    const place = offset - this.#start;
    return place < 0 || place + length > this.#bytes.length ? undefined : place;
  }

  /** The same, having read them where they were not there. */
  async fetch(offset: number, length: number): Promise<number> {
    await this.view(offset, length);
    return offset - this.#start;
  }

  /** Exactly `length` bytes from `offset`. They stay as they are when the window moves on. */
  async view(offset: number, length: number): Promise<Uint8Array> {
    const end = this.#start + this.#bytes.length;
    if (offset < this.#start || offset + length > end) {
      const wanted = Math.max(0, Math.min(Math.max(length, windowBytes), this.size - offset));
      const read = wanted === 0 ? new Uint8Array(0) : await this.#file.read(offset, wanted);
      if (read.length >= length) this.#bytes = read;
      else {
        this.#bytes = new Uint8Array(length);
        this.#bytes.set(read);
      }
      this.#start = offset;
      this.#view = viewOf(this.#bytes);
    }
    return this.#bytes.subarray(offset - this.#start, offset - this.#start + length);
  }
}

export interface ScannedBatch {
  readonly offset: number;
  readonly length: number;
  readonly number: number;
  /** Valid during the visit only. */
  readonly records: BatchRecords;
}

/** How the valid part of a segment ends. */
export type SegmentEnd =
  | { readonly kind: "clean"; readonly offset: number }
  /** The last batch was being written when everything stopped: bytes in [offset, dirtyEnd) are to be zeroed. */
  | { readonly kind: "torn"; readonly offset: number; readonly dirtyEnd: number; readonly reason: string }
  | { readonly kind: "corrupt"; readonly offset: number; readonly reason: string };

export interface ScanRequest {
  readonly window: FileWindow;
  readonly segmentSeed: number;
  readonly firstBatch: number;
  /** Where to begin; behind the header unless told. */
  readonly from?: number;
  /** Where the bytes end, as the next segment tells; undefined for the last segment. */
  readonly end?: number;
  /** Returns why the batch makes no sense, or undefined; then it was taken over. */
  visit(batch: ScannedBatch): string | undefined;
}

/**
 * Visits the batches of a segment.
 *
 * A last batch is torn only where it is incomplete and a sector of it is still zero: no batch that was written has such a
 * sector. Everything else that fails its check was written once and has changed since: corruption, at the tail too.
 */
export async function scanSegment(request: ScanRequest): Promise<SegmentEnd> {
  const { window, segmentSeed, end } = request;
  let offset = request.from ?? segmentHeaderBytes;
  let number = request.firstBatch;
  const records = new BatchRecords();
  for (;;) {
    if (offset === end) return { kind: "clean", offset };
    let at = window.placeOf(offset, frameBytes) ?? (await window.fetch(offset, frameBytes));
    const frame = readBatchFrame(window.bytes, window.dataView, at, beginMagic, frameSeed(segmentSeed, offset));
    if (frame === undefined) {
      const blank = isZero(window.bytes, at, at + frameBytes);
      if (!blank) return { kind: "corrupt", offset, reason: "a batch's begin frame fails its check" };
      if (end !== undefined) return { kind: "corrupt", offset, reason: `the log ends before ${end}, where it went on` };
      return await judgeBlank(window, segmentSeed, offset);
    }
    const tooLong = offset + frame.length > (end ?? maxSegmentBytes);
    if (frame.number !== number || tooLong) {
      return {
        kind: "corrupt",
        offset,
        reason: tooLong ? "a batch leaves its segment" : `batch ${frame.number} stands where ${number} belongs`,
      };
    }
    at = window.placeOf(offset, frame.length) ?? (await window.fetch(offset, frame.length));
    const batch = decodeBatch(window.bytes, window.dataView, at, offset, frame, segmentSeed, records);
    if (!batch.ok) {
      const corrupt: SegmentEnd = { kind: "corrupt", offset, reason: `${batch.reason}, at ${batch.offset}` };
      if (end !== undefined || !hasBlankSector(window.bytes.subarray(at, at + frame.length), offset)) return corrupt;
      const dirtyEnd = await lastDirtyByte(window, offset + frame.length);
      if (dirtyEnd !== undefined) return corrupt;
      return { kind: "torn", offset, dirtyEnd: offset + frame.length, reason: batch.reason };
    }
    const objection = request.visit({ offset, length: frame.length, number, records: batch.records });
    if (objection !== undefined) return { kind: "corrupt", offset, reason: objection };
    offset += frame.length;
    number++;
  }
}

/** The begin frame is blank: nothing follows, or the sector that it lies in was not written while others were. */
async function judgeBlank(window: FileWindow, segmentSeed: number, offset: number): Promise<SegmentEnd> {
  const sectorEnd = alignUp(offset + 1, sectorBytes);
  const sector = await window.view(offset, sectorEnd - offset);
  if (!isZero(sector, 0, sector.length)) return { kind: "corrupt", offset, reason: "bytes without a batch" };
  const dirtyEnd = await lastDirtyByte(window, sectorEnd);
  if (dirtyEnd === undefined) return { kind: "clean", offset };
  const follower = await findBatch(window, segmentSeed, sectorEnd);
  if (follower !== undefined)
    return { kind: "corrupt", offset, reason: `a batch is missing, one follows at ${follower.offset}` };
  return { kind: "torn", offset, dirtyEnd, reason: "the first sector of the batch was never written" };
}

/** True where a sector of the bytes, which stand at `offset`, is all zero; cut sectors at both ends count as sectors. */
function hasBlankSector(bytes: Uint8Array, offset: number): boolean {
  let from = 0;
  while (from < bytes.length) {
    const to = Math.min(bytes.length, alignUp(offset + from + 1, sectorBytes) - offset);
    if (isZero(bytes, from, to)) return true;
    from = to;
  }
  return false;
}

/** The end of the last non-zero byte at or behind `from`, rounded up to a sector; undefined where all is zero. */
async function lastDirtyByte(window: FileWindow, from: number): Promise<number | undefined> {
  let dirtyEnd: number | undefined;
  for (let at = from; at < window.size; at += windowBytes) {
    const bytes = await window.view(at, Math.min(windowBytes, window.size - at));
    const zeros = zeroWindow.subarray(0, bytes.length);
    if (Buffer.compare(bytes, zeros) === 0) continue;
    let last = bytes.length - 1;
    while (bytes[last] === 0) last--;
    dirtyEnd = alignUp(at + last + 1, sectorBytes);
  }
  return dirtyEnd;
}

const zeroWindow: Uint8Array = new Uint8Array(windowBytes);

/** The next valid begin frame at or behind `from`, which is aligned, and before `to`. */
export async function findBatch(
  window: FileWindow,
  segmentSeed: number,
  from: number,
  to: number = window.size,
): Promise<{ readonly offset: number; readonly number: number } | undefined> {
  for (let at = from; at < to; at += windowBytes) {
    const bytes = await window.view(at, Math.min(windowBytes, alignUp(to - at, batchAlignBytes)));
    const view = viewOf(bytes);
    for (let inside = 0; inside + frameBytes <= bytes.length; inside += batchAlignBytes) {
      if (view.getUint32(inside, true) !== beginMagic) continue;
      const frame = readBatchFrame(bytes, view, inside, beginMagic, frameSeed(segmentSeed, at + inside));
      if (frame !== undefined) return { offset: at + inside, number: frame.number };
    }
  }
  return undefined;
}
