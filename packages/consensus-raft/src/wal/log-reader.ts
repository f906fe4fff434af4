import type { Disk, LogEntry, LogIndex } from "@revoada/fabric";
import { decodeRecord } from "./batch-decoder.ts";
import { LogCorruptError } from "./errors.ts";
import { frameBytes, viewOf } from "./format.ts";
import type { LogImage } from "./log-image.ts";
import type { Segment } from "./segment.ts";

const chunkBytes = 1 << 20;
const smallChunkBytes = 64 * 1024;

/** Where entries of one segment stand, taken down before the disk is waited for. */
interface Stretch {
  readonly segment: Segment;
  readonly first: number;
  readonly offsets: readonly number[];
  readonly terms: readonly number[];
}

/** Reads entries [from, to) from the disk, at most `maxBytes` of payload but at least one. Each is checked again. */
export async function readFromDisk(
  disk: Disk,
  image: LogImage,
  from: number,
  to: number,
  maxBytes: number,
): Promise<LogEntry[]> {
  const entries: LogEntry[] = [];
  let room = maxBytes;
  for (let index = from; index < to; index = from + entries.length) {
    const stretch = stretchAt(image, index, to, room);
    if (stretch === undefined) break;
    const read = await stretch.segment.use(disk, (file) => readStretch(file, stretch, room));
    for (const entry of read) {
      if (entries.length > 0 && entry.payload.length > room) return entries;
      entries.push(entry);
      room -= entry.payload.length;
    }
    if (room <= 0) break;
  }
  return entries;
}

function stretchAt(image: LogImage, index: number, to: number, room: number): Stretch | undefined {
  const extent = image.locate(index);
  if (extent === undefined) return undefined;
  const end = Math.min(to, extent.end);
  const start = extent.offsetOf(index);
  const limit = start + Math.min(chunkBytes, room + smallChunkBytes);
  const offsets: number[] = [];
  const terms: number[] = [];
  for (let at = index; at < end; at++) {
    const offset = extent.offsetOf(at);
    if (offsets.length > 0 && offset > limit) break;
    offsets.push(offset);
    terms.push(image.terms.get(at as LogIndex) as number);
  }
  return { segment: extent.segment, first: index, offsets, terms };
}

async function readStretch(
  file: { read(offset: number, length: number): Promise<Uint8Array> },
  stretch: Stretch,
  room: number,
): Promise<LogEntry[]> {
  const { segment, offsets, terms } = stretch;
  const start = offsets[0] as number;
  const span = (offsets.at(-1) as number) - start;
  let bytes = await file.read(start, Math.min(span + smallChunkBytes, Math.max(smallChunkBytes, room + span)));
  let view = viewOf(bytes);
  const entries: LogEntry[] = [];
  for (let at = 0; at < offsets.length; at++) {
    const offset = offsets[at] as number;
    let decoded = decodeRecord(bytes, view, offset - start, offset, segment.seed);
    if (!decoded.ok && decoded.neededBytes !== undefined) {
      // The record reaches out of what was read: the next stretch begins with it.
      if (at > 0) break;
      const head = decoded.neededBytes;
      bytes = await file.read(start, Math.max(head, frameBytes));
      view = viewOf(bytes);
      decoded = decodeRecord(bytes, view, 0, offset, segment.seed);
    }
    if (!decoded.ok) throw new LogCorruptError(segment.name, offset, decoded.reason);
    const { record } = decoded;
    if (record.type !== "entry" || record.index !== stretch.first + at || record.term !== terms[at]) {
      throw new LogCorruptError(segment.name, offset, `entry ${stretch.first + at} of term ${terms[at]} is not here`);
    }
    entries.push({ index: record.index, term: record.term, kind: record.kind, payload: record.payload });
  }
  return entries;
}
