import type { Disk, HardState, LogBase, LogIndex, Term } from "@revoada/fabric";
import type { WalRecord } from "./batch-decoder.ts";
import { LogImage } from "./log-image.ts";
import { Segment } from "./segment.ts";
import { FileWindow, scanSegment, type ScannedBatch, type SegmentEnd } from "./segment-scan.ts";
import type { FoundSegment, ReadableSegment, SegmentChain } from "./survey.ts";

/** Something that is not as it was written. */
export interface WalFault {
  /** `torn` is what a crash leaves and costs nothing; the others mean that acknowledged records may be gone. */
  readonly kind: "torn" | "corrupt" | "missing";
  readonly segment: string;
  readonly offset: number;
  readonly reason: string;
}

/** What the files of a log amount to. */
export interface Recovery {
  readonly image: LogImage;
  /** Structural: whether every byte that was synced is there. A log under repair is `ok` here and `image.suspect`. */
  readonly integrity: "ok" | "corrupt";
  readonly faults: readonly WalFault[];
  /** Where the trusted bytes end; undefined where no segment is trusted. */
  readonly tail?: {
    readonly segment: Segment;
    readonly end: number;
    readonly dirtyEnd: number;
    readonly lastBatch: BatchPlace;
  };
  readonly nextBatch: number;
  /** Files that the log does not need, or must not use. */
  readonly unused: readonly FoundSegment[];
}

export interface BatchPlace {
  readonly offset: number;
  readonly length: number;
}

interface Replay {
  readonly image: LogImage;
  /** Index in the chain of the segment in which the replay ended. */
  readonly stoppedAt: number;
  readonly end: SegmentEnd;
  readonly lastBatch: BatchPlace;
  readonly nextBatch: number;
}

/** Replays a chain of segments. Reads everything, changes nothing. */
export async function recover(disk: Disk, directory: string, found: SegmentChain): Promise<Recovery> {
  const { chain } = found;
  const whole = await replay(disk, directory, chain, 0);
  if (isSound(whole, chain) && found.damagedSuccessor === undefined) return recovered(chain, found, whole, 0);
  // Damage in segments that a later one no longer needs is damage to nothing.
  for (let start = 1; start < chain.length && found.damagedSuccessor === undefined; start++) {
    const later = await replay(disk, directory, chain, start);
    if (isSound(later, chain)) return recovered(chain, found, later, start);
  }
  return await salvage(disk, directory, found, whole);
}

function isSound(result: Replay, chain: readonly ReadableSegment[]): boolean {
  return result.end.kind !== "corrupt" && result.stoppedAt === chain.length - 1 && result.image.isComplete;
}

function recovered(chain: readonly ReadableSegment[], found: SegmentChain, result: Replay, start: number): Recovery {
  const segment = result.image.segments.at(-1) as Segment;
  const { end } = result;
  const dirtyEnd = end.kind === "torn" ? end.dirtyEnd : end.offset;
  const faults: WalFault[] =
    end.kind === "torn" ? [{ kind: "torn", segment: segment.name, offset: end.offset, reason: end.reason }] : [];
  return {
    image: result.image,
    integrity: "ok",
    faults,
    tail: { segment, end: end.offset, dirtyEnd, lastBatch: result.lastBatch },
    nextBatch: result.nextBatch,
    unused: [...found.strays, ...chain.slice(0, start)],
  };
}

/** What of a damaged log can be believed: everything before the first damage, and the latest vote and term that pass. */
async function salvage(disk: Disk, directory: string, found: SegmentChain, result: Replay): Promise<Recovery> {
  const { chain } = found;
  const { image, end } = result;
  const stopped = chain[result.stoppedAt] as ReadableSegment;
  const faults: WalFault[] = [];
  if (end.kind !== "clean")
    faults.push({ kind: end.kind, segment: stopped.name, offset: end.offset, reason: end.reason });
  if (found.damagedSuccessor !== undefined) {
    const { name, reason } = found.damagedSuccessor;
    faults.push({ kind: "corrupt", segment: name, offset: 0, reason: reason ?? "the segment does not belong here" });
  }
  const complete = image.isComplete && image.segments.length > 0;
  const later = await latestState(disk, directory, complete ? chain.slice(result.stoppedAt + 1) : chain);
  if (later.hardState !== undefined && later.hardState.term >= image.hardState.term) image.hardState = later.hardState;
  if (!complete) {
    const first = chain[0] as ReadableSegment;
    image.reset(later.base ?? image.base);
    image.segments = [];
    faults.push({
      kind: "missing",
      segment: first.name,
      offset: 0,
      reason: `entries after ${image.base.index} are missing`,
    });
  }
  image.suspect = true;
  image.hardState = clampCommit(image.hardState, image.base.index, image.lastIndex);
  const trusted = image.segments.at(-1);
  const kept = new Set(image.segments.map((segment) => segment.name));
  const recovery = { image, integrity: "corrupt" as const, faults, nextBatch: result.nextBatch };
  const unused = [...found.strays, ...chain.filter((segment) => !kept.has(segment.name))];
  if (trusted === undefined) return { ...recovery, unused };
  // Each segment of the image has brought a batch, so the last batch is one of the last segment.
  const trustedEnd = result.lastBatch.offset + result.lastBatch.length;
  return {
    ...recovery,
    unused,
    tail: { segment: trusted, end: trustedEnd, dirtyEnd: trustedEnd, lastBatch: result.lastBatch },
  };
}

function clampCommit(state: HardState, from: number, to: number): HardState {
  return { ...state, commitIndex: Math.min(Math.max(state.commitIndex, from), to) as LogIndex };
}

async function replay(
  disk: Disk,
  directory: string,
  chain: readonly ReadableSegment[],
  start: number,
): Promise<Replay> {
  const first = chain[start] as ReadableSegment;
  const before = { index: first.header.previousIndex, term: first.header.previousTerm };
  const zero = { term: 0 as Term, commitIndex: 0 as LogIndex };
  const image = new LogImage({ index: 0 as LogIndex, term: 0 as Term }, zero, before);
  let nextBatch = first.header.firstBatch;
  let lastBatch: BatchPlace = { offset: 0, length: 0 };
  let end: SegmentEnd = { kind: "clean", offset: 0 };
  for (let at = start; at < chain.length; at++) {
    const found = chain[at] as ReadableSegment;
    const segment = new Segment(found.header, found.seed, directory);
    const misfit = at === start ? undefined : misfitOf(found, image, nextBatch);
    if (misfit !== undefined) {
      return {
        image,
        stoppedAt: at - 1,
        end: { kind: "corrupt", offset: end.offset, reason: misfit },
        lastBatch,
        nextBatch,
      };
    }
    image.segments.push(segment);
    const successor = chain[at + 1]?.header.previousEnd;
    end = await scanFile(disk, segment, successor, (batch) => {
      const objection = applyBatch(image, segment, batch.records);
      if (objection !== undefined) return objection;
      lastBatch = { offset: batch.offset, length: batch.length };
      nextBatch = batch.number + 1;
      return undefined;
    });
    const stateless = nextBatch === found.header.firstBatch;
    // A segment gets its name only once its first batch is durable.
    if (stateless && end.kind !== "corrupt")
      end = { kind: "corrupt", offset: end.offset, reason: "the segment has lost its first batch" };
    if (stateless) image.segments.pop();
    if (end.kind === "corrupt") return { image, stoppedAt: at, end, lastBatch, nextBatch };
  }
  return { image, stoppedAt: chain.length - 1, end, lastBatch, nextBatch };
}

function misfitOf(found: ReadableSegment, image: LogImage, nextBatch: number): string | undefined {
  const { previousIndex, firstBatch } = found.header;
  if (previousIndex !== image.lastIndex)
    return `${found.name} continues entry ${previousIndex}, the log before it ends at ${image.lastIndex}`;
  if (firstBatch !== nextBatch)
    return `${found.name} begins with batch ${firstBatch}, the log before it ends before ${nextBatch}`;
  return undefined;
}

async function scanFile(
  disk: Disk,
  segment: Segment,
  end: number | undefined,
  visit: (batch: ScannedBatch) => string | undefined,
): Promise<SegmentEnd> {
  const file = await disk.open(segment.path);
  try {
    const request = {
      window: await FileWindow.over(file),
      segmentSeed: segment.seed,
      firstBatch: segment.header.firstBatch,
      visit,
    };
    return await scanSegment(end === undefined ? request : { ...request, end });
  } finally {
    await file.close();
  }
}

interface LatestState {
  hardState?: HardState;
  base?: LogBase;
}

async function latestState(disk: Disk, directory: string, chain: readonly ReadableSegment[]): Promise<LatestState> {
  const latest: LatestState = {};
  for (const found of chain) {
    await scanFile(disk, new Segment(found.header, found.seed, directory), undefined, (batch) => {
      for (const record of batch.records) {
        if (record.type === "hard-state") latest.hardState = record.hardState;
        if (record.type === "base" || record.type === "reset") latest.base = record.base;
      }
      return undefined;
    });
  }
  return latest;
}

/** Takes a batch over, all of it or nothing. Returns why it cannot follow what is there. */
function applyBatch(image: LogImage, segment: Segment, records: readonly WalRecord[]): string | undefined {
  const objection = objectionTo(image, records);
  if (objection !== undefined) return objection;
  for (const record of records) {
    switch (record.type) {
      case "entry":
        image.appendEntry(record.index, record.term, segment, record.offset);
        break;
      case "hard-state":
        image.hardState = record.hardState;
        break;
      case "truncate":
        image.truncate(record.from);
        break;
      case "base":
        image.compact(record.base);
        break;
      case "reset":
        image.reset(record.base);
        break;
      case "suspect":
        image.suspect = record.suspect;
        break;
    }
  }
  return undefined;
}

function objectionTo(image: LogImage, records: readonly WalRecord[]): string | undefined {
  let last: number = image.lastIndex;
  let lastTerm: number = image.terms.lastTerm;
  let base: number = image.base.index;
  for (const record of records) {
    switch (record.type) {
      case "entry":
        if (record.index !== last + 1) return `entry ${record.index} follows entry ${last}`;
        if (record.term < lastTerm)
          return `entry ${record.index} takes the term back from ${lastTerm} to ${record.term}`;
        last = record.index;
        lastTerm = record.term;
        break;
      case "truncate":
        if (record.from > last || record.from <= base)
          return `a cut at ${record.from} is outside of ${base + 1} to ${last}`;
        last = record.from - 1;
        lastTerm = 0;
        break;
      case "base":
        if (record.base.index < base || record.base.index > last)
          return `base ${record.base.index} is outside of ${base} to ${last}`;
        base = record.base.index;
        break;
      case "reset":
        base = record.base.index;
        last = base;
        lastTerm = record.base.term;
        break;
      default:
        break;
    }
  }
  return undefined;
}
