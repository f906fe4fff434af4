import type { Disk, HardState, LogBase } from "@revoada/fabric";
import type { WalImage } from "./log-image.ts";
import { adoptVote, clampCommit, Replay } from "./replay.ts";
import { Segment } from "./segment.ts";
import { FileWindow, findBatch, scanSegment, type ScannedBatch, type SegmentEnd } from "./segment-scan.ts";
import { alignUp, batchAlignBytes } from "./format.ts";
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
  readonly image: WalImage;
  /** Structural: whether every byte that was synced is there. A group under repair is `ok` here and suspect in its image. */
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

interface Replayed {
  readonly replay: Replay;
  /** Index in the chain of the segment in which the replay ended. */
  readonly stoppedAt: number;
  readonly end: SegmentEnd;
  readonly lastBatch: BatchPlace;
  readonly nextBatch: number;
}

/** Replays a chain of segments. Reads everything, changes nothing. */
export async function recover(disk: Disk, directory: string, found: SegmentChain): Promise<Recovery> {
  const { chain } = found;
  const whole = await replayChain(disk, directory, chain, 0);
  if (isSound(whole, chain) && found.damagedSuccessor === undefined) return recovered(chain, found, whole, 0);
  // Damage in segments that a later one no longer needs is damage to nothing. What begins before the damage meets it again.
  for (let start = whole.stoppedAt + 1; start < chain.length && found.damagedSuccessor === undefined; start++) {
    const later = await replayChain(disk, directory, chain, start);
    if (isSound(later, chain)) return recovered(chain, found, later, start);
  }
  if (chain.at(-1)?.header.shared === true) return await salvageShared(disk, directory, found);
  return await salvage(disk, directory, found, whole);
}

function isSound(result: Replayed, chain: readonly ReadableSegment[]): boolean {
  if (result.end.kind === "corrupt" || result.stoppedAt !== chain.length - 1) return false;
  for (const group of result.replay.image.groups.values()) if (!group.isComplete) return false;
  return true;
}

function recovered(chain: readonly ReadableSegment[], found: SegmentChain, result: Replayed, start: number): Recovery {
  const { image } = result.replay;
  const segment = image.segments.at(-1) as Segment;
  const { end } = result;
  const dirtyEnd = end.kind === "torn" ? end.dirtyEnd : end.offset;
  const faults: WalFault[] =
    end.kind === "torn" ? [{ kind: "torn", segment: segment.name, offset: end.offset, reason: end.reason }] : [];
  return {
    image,
    integrity: "ok",
    faults,
    tail: { segment, end: end.offset, dirtyEnd, lastBatch: result.lastBatch },
    nextBatch: result.nextBatch,
    unused: [...found.strays, ...chain.slice(0, start)],
  };
}

function faultOf(found: FoundSegment, end: SegmentEnd): WalFault[] {
  if (end.kind === "clean") return [];
  return [{ kind: end.kind, segment: found.name, offset: end.offset, reason: end.reason }];
}

function successorFault(found: SegmentChain): WalFault[] {
  if (found.damagedSuccessor === undefined) return [];
  const { name, reason } = found.damagedSuccessor;
  return [{ kind: "corrupt", segment: name, offset: 0, reason: reason ?? "the segment does not belong here" }];
}

/** What of a damaged log can be believed: everything before the first damage, and the latest vote and term that pass. */
async function salvage(disk: Disk, directory: string, found: SegmentChain, result: Replayed): Promise<Recovery> {
  const { chain } = found;
  const { end } = result;
  const wal = result.replay.image;
  const image = wal.only;
  const faults = [...faultOf(chain[result.stoppedAt] as ReadableSegment, end), ...successorFault(found)];
  const complete = image.isComplete && wal.segments.length > 0;
  const later = await latestState(disk, directory, complete ? chain.slice(result.stoppedAt + 1) : chain);
  if (later.hardState !== undefined) adoptVote(image, later.hardState);
  if (!complete) {
    const first = chain[0] as ReadableSegment;
    image.reset(later.base ?? image.base);
    wal.segments = [];
    faults.push({
      kind: "missing",
      segment: first.name,
      offset: 0,
      reason: `entries after ${image.base.index} are missing`,
    });
  }
  image.suspect = true;
  image.hardState = clampCommit(image.hardState, image.base.index, image.lastIndex);
  const trusted = wal.segments.at(-1);
  const kept = new Set(wal.segments.map((segment) => segment.name));
  const recovery = { image: wal, integrity: "corrupt" as const, faults, nextBatch: result.nextBatch };
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

/**
 * What of a damaged log of many groups can be believed: everything, of groups that lost nothing; of the others what stood before the
 * damage, and the latest vote and term that pass. Where damage was met before and the log went on behind it, nothing is new.
 */
async function salvageShared(disk: Disk, directory: string, found: SegmentChain): Promise<Recovery> {
  const { chain } = found;
  const faults: WalFault[] = [];
  const result = await replayChain(disk, directory, chain, 0, (segment, end) => faults.push(...faultOf(segment, end)));
  const { replay } = result;
  const { image } = replay;
  if (found.damagedSuccessor !== undefined) {
    replay.passDamage();
    faults.push(...successorFault(found));
  }
  const first = chain[0] as ReadableSegment;
  let lost = false;
  for (const group of image.groups.values()) {
    const isWhole = group.isComplete;
    if (isWhole && !replay.losers.has(group)) continue;
    lost = true;
    if (!isWhole) {
      const reason = `entries of group ${Buffer.from(group.id).toString("hex")} after ${group.base.index} are missing`;
      faults.push({ kind: "missing", segment: first.name, offset: 0, reason });
      group.reset(group.base);
    }
    group.suspect = true;
    group.hardState = clampCommit(group.hardState, group.base.index, group.lastIndex);
  }
  if (replay.strangersDoubtful) image.strangersSuspect = true;
  const segment = image.segments.at(-1);
  const isOld = !lost && !replay.strangersDoubtful && result.end.kind !== "corrupt";
  const end = result.lastBatch.offset + result.lastBatch.length;
  const dirtyEnd = isOld && result.end.kind === "torn" ? result.end.dirtyEnd : end;
  const kept = new Set(image.segments.map((each) => each.name));
  return {
    image,
    integrity: isOld ? "ok" : "corrupt",
    faults: isOld ? faults.filter((fault) => fault.kind === "torn") : faults,
    ...(segment === undefined ? {} : { tail: { segment, end, dirtyEnd, lastBatch: result.lastBatch } }),
    nextBatch: result.nextBatch,
    unused: [...found.strays, ...chain.filter((each) => !kept.has(each.name))],
  };
}

/** Where a replay stands. */
interface Cursor {
  readonly replay: Replay;
  lastBatch: BatchPlace;
  nextBatch: number;
}

/**
 * Replays the chain from segment `start` on, up to the first damage; with `onDamage`, which a log of many groups may have, past it.
 */
async function replayChain(
  disk: Disk,
  directory: string,
  chain: readonly ReadableSegment[],
  start: number,
  onDamage?: (segment: ReadableSegment, end: SegmentEnd) => void,
): Promise<Replayed> {
  const { header: first } = chain[start] as ReadableSegment;
  const replay = new Replay(first.shared, { index: first.previousIndex, term: first.previousTerm });
  const cursor: Cursor = { replay, lastBatch: { offset: 0, length: 0 }, nextBatch: first.firstBatch };
  let end: SegmentEnd = { kind: "clean", offset: 0 };
  for (let at = start; at < chain.length; at++) {
    const found = chain[at] as ReadableSegment;
    const misfit = at === start ? undefined : misfitOf(found, cursor);
    if (misfit !== undefined) {
      end = { kind: "corrupt", offset: end.offset, reason: misfit };
      if (onDamage === undefined) return { ...cursor, stoppedAt: at - 1, end };
      onDamage(chain[at - 1] as ReadableSegment, end);
      replay.passDamage();
      cursor.nextBatch = Math.max(cursor.nextBatch, found.header.firstBatch);
    }
    end = await replaySegment(disk, directory, found, chain[at + 1], cursor, onDamage);
    if (end.kind === "corrupt" && onDamage === undefined) return { ...cursor, stoppedAt: at, end };
  }
  const { successor } = replay;
  const last = chain.at(-1) as ReadableSegment;
  if (successor !== undefined && end.kind !== "corrupt") {
    end = { kind: "corrupt", offset: end.offset, reason: `the log goes on in segment ${successor}, which is missing` };
    onDamage?.(last, end);
    replay.passDamage();
  }
  return { ...cursor, stoppedAt: chain.length - 1, end };
}

async function replaySegment(
  disk: Disk,
  directory: string,
  found: ReadableSegment,
  next: ReadableSegment | undefined,
  cursor: Cursor,
  onDamage: ((segment: ReadableSegment, end: SegmentEnd) => void) | undefined,
): Promise<SegmentEnd> {
  const segment = new Segment(found.header, found.seed, directory);
  const { image } = cursor.replay;
  image.segments.push(segment);
  let taken = 0;
  const visit = (batch: ScannedBatch): string | undefined => {
    const objection = cursor.replay.take(segment, batch.records);
    if (objection !== undefined) return objection;
    if (cursor.replay.successor !== undefined && next === undefined) return undefined;
    taken++;
    cursor.lastBatch = { offset: batch.offset, length: batch.length };
    cursor.nextBatch = batch.number + 1;
    segment.usedBytes = batch.offset + batch.length;
    return undefined;
  };
  const limit = next?.header.previousEnd;
  let end = await scanFile(disk, segment, found, limit, visit, (damage) => {
    if (onDamage === undefined) return false;
    onDamage(found, damage);
    cursor.replay.passDamage();
    return true;
  });
  // A segment gets its name only once its first batch is durable.
  if (taken === 0 && end.kind !== "corrupt")
    end = { kind: "corrupt", offset: end.offset, reason: "the segment has lost its first batch" };
  if (taken === 0) image.segments.pop();
  return end;
}

function misfitOf(found: ReadableSegment, { replay, nextBatch }: Cursor): string | undefined {
  const { previousIndex, firstBatch, shared } = found.header;
  const { image } = replay;
  if (shared !== image.shared) return `${found.name} is of another kind of log`;
  if (!shared && previousIndex !== image.only.lastIndex)
    return `${found.name} continues entry ${previousIndex}, the log before it ends at ${image.only.lastIndex}`;
  if (firstBatch !== nextBatch)
    return `${found.name} begins with batch ${firstBatch}, the log before it ends before ${nextBatch}`;
  return undefined;
}

/** Scans a segment; behind damage it goes on with the next batch that passes, where `goOn` says so. */
async function scanFile(
  disk: Disk,
  segment: Segment,
  found: ReadableSegment,
  limit: number | undefined,
  visit: (batch: ScannedBatch) => string | undefined,
  goOn: (damage: SegmentEnd) => boolean,
): Promise<SegmentEnd> {
  const file = await disk.open(segment.path);
  try {
    const window = await FileWindow.over(file);
    const common = { window, segmentSeed: segment.seed, visit, ...(limit === undefined ? {} : { end: limit }) };
    let end = await scanSegment({ ...common, firstBatch: found.header.firstBatch });
    let damaged: SegmentEnd | undefined;
    while (end.kind === "corrupt" && goOn(end)) {
      damaged = end;
      const behind = alignUp(end.offset + 1, batchAlignBytes);
      const next = await findBatch(window, segment.seed, behind, limit ?? window.size);
      if (next === undefined) return damaged;
      end = await scanSegment({ ...common, from: next.offset, firstBatch: next.number });
    }
    return end;
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
  const visit = ({ records }: ScannedBatch): undefined => {
    for (const record of records.others) {
      if (record?.type === "hard-state") latest.hardState = record.hardState;
      if (record?.type === "base" || record?.type === "reset") latest.base = record.base;
    }
  };
  for (const found of chain) {
    const segment = new Segment(found.header, found.seed, directory);
    await scanFile(disk, segment, found, undefined, visit, () => false);
  }
  return latest;
}
