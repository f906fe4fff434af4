import type { Disk } from "@revoada/fabric";
import { LogNewerFormatError } from "./errors.ts";
import {
  decodeSegmentHeader,
  parseSegmentName,
  sectorBytes,
  segmentHeaderBytes,
  walFormatVersion,
  type SegmentHeader,
} from "./format.ts";

/** A segment file as it was found, before its batches are read. */
export interface FoundSegment {
  readonly name: string;
  readonly sequence: number;
  readonly sizeBytes: number;
  /** Undefined where the header is not to be trusted; `reason` says why. */
  readonly header?: SegmentHeader;
  readonly seed?: number;
  readonly reason?: string;
  readonly newerVersion?: number;
}

export type ReadableSegment = FoundSegment & { readonly header: SegmentHeader; readonly seed: number };

export interface Survey {
  /** By ascending sequence. */
  readonly segments: readonly FoundSegment[];
  /** Other files of the directory. */
  readonly others: readonly string[];
}

/** Lists the segments of a directory and reads their headers. Changes nothing. */
export async function surveySegments(disk: Disk, directory: string): Promise<Survey> {
  const segments: FoundSegment[] = [];
  const others: string[] = [];
  for (const name of await disk.list(directory)) {
    const sequence = parseSegmentName(name);
    if (sequence === undefined) others.push(name);
    else segments.push(await readHeader(disk, `${directory}/${name}`, name, sequence));
  }
  segments.sort((one, other) => one.sequence - other.sequence);
  return { segments, others };
}

async function readHeader(disk: Disk, path: string, name: string, sequence: number): Promise<FoundSegment> {
  const file = await disk.open(path);
  try {
    const sizeBytes = await file.size();
    const found = { name, sequence, sizeBytes };
    const head = new Uint8Array(segmentHeaderBytes);
    head.set((await file.read(0, sectorBytes)).subarray(0, segmentHeaderBytes));
    const decoded = decodeSegmentHeader(head);
    if (!decoded.ok) {
      return "newerVersion" in decoded
        ? { ...found, reason: decoded.reason, newerVersion: decoded.newerVersion }
        : { ...found, reason: decoded.reason };
    }
    const { header, seed } = decoded;
    if (header.sequence !== sequence)
      return { ...found, reason: `the segment is number ${header.sequence} under another's name` };
    return { ...found, header, seed };
  } finally {
    await file.close();
  }
}

/** Rejects a log of a later release. */
export function refuseNewerFormat(survey: Survey): void {
  for (const segment of survey.segments) {
    if (segment.newerVersion !== undefined)
      throw new LogNewerFormatError(segment.name, segment.newerVersion, walFormatVersion);
  }
}

/** The segments that the newest readable one continues, oldest first, and those that belong to no such chain. */
export interface SegmentChain {
  readonly chain: readonly ReadableSegment[];
  readonly strays: readonly FoundSegment[];
  /** A segment behind the chain whose header is damaged: what it held is lost. */
  readonly damagedSuccessor?: FoundSegment;
}

function isReadable(segment: FoundSegment): segment is ReadableSegment {
  return segment.header !== undefined && segment.seed !== undefined;
}

/** Follows the links from the newest segment whose header passes its check. */
export function linkSegments(survey: Survey): SegmentChain {
  const newest = survey.segments.findLast(isReadable);
  if (newest === undefined) return { chain: [], strays: survey.segments };
  const bySequence = new Map(survey.segments.map((segment) => [segment.sequence, segment]));
  const chain: ReadableSegment[] = [newest];
  for (let at = newest; at.header.previousSequence < at.sequence;) {
    const before = bySequence.get(at.header.previousSequence);
    if (before === undefined || !isReadable(before) || before.header.storeId !== newest.header.storeId) break;
    chain.unshift(before);
    at = before;
  }
  const strays = survey.segments.filter((segment) => !chain.includes(segment as ReadableSegment));
  const damagedSuccessor = strays.find((segment) => segment.sequence > newest.sequence);
  return damagedSuccessor === undefined ? { chain, strays } : { chain, strays, damagedSuccessor };
}
