import type { Disk, Logger, Random, StoreId } from "@revoada/fabric";
import { LogCorruptError, LogOtherClusterError } from "./errors.ts";
import { WalImage } from "./log-image.ts";
import { recover, type Recovery, type WalFault } from "./recovery.ts";
import { SegmentWriter, type SegmentWriterOptions } from "./segment-writer.ts";
import {
  linkSegments,
  refuseNewerFormat,
  surveySegments,
  type ReadableSegment,
  type SegmentChain,
  type Survey,
} from "./survey.ts";

export interface OpenRequest {
  readonly disk: Disk;
  readonly directory: string;
  readonly random: Random;
  /** Names the cluster, or the group of a log of one. */
  readonly groupId: Uint8Array;
  readonly shared: boolean;
  readonly segmentBytes: number;
  readonly allocateBytes: number;
  readonly logger: Logger;
  readonly onFailure: (what: string, cause: unknown) => void;
}

export interface OpenedWal {
  readonly storeId: StoreId;
  readonly image: WalImage;
  readonly writer: SegmentWriter;
  readonly faults: readonly WalFault[];
  /** Files to be set aside as soon as the log goes on in a new segment. */
  readonly damaged: readonly string[];
}

const quarantineSuffix = ".corrupt";

/** Opens the log of a directory, or begins one. */
export async function openWal(request: OpenRequest): Promise<OpenedWal> {
  const { disk, directory } = request;
  await disk.makeDirectory(directory);
  await syncUpwards(disk, directory);
  const survey = await surveySegments(disk, directory);
  refuseNewerFormat(survey);
  for (const name of survey.others) if (name.endsWith(".tmp")) await disk.remove(`${directory}/${name}`);
  if (survey.segments.length === 0) return await beginWal(request);
  const found = linkSegments(survey);
  const newest = found.chain.at(-1);
  if (newest === undefined) {
    const first = survey.segments[0];
    throw new LogCorruptError(first?.name ?? directory, 0, first?.reason ?? "no segment can be read");
  }
  refuseOtherLog(newest, request);
  return await resumeWal(request, survey, found, newest);
}

function refuseOtherLog(segment: ReadableSegment, request: OpenRequest): void {
  const { groupId: stored, shared } = segment.header;
  const kind = (many: boolean): string => (many ? "a log of many groups" : "a log of one group");
  if (shared !== request.shared) throw new LogOtherClusterError(segment.name, kind(shared), kind(request.shared));
  const { groupId } = request;
  if (stored.length === 0 || groupId.length === 0 || Buffer.compare(stored, groupId) === 0) return;
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
  throw new LogOtherClusterError(segment.name, hex(stored), hex(groupId));
}

async function beginWal(request: OpenRequest): Promise<OpenedWal> {
  const storeId = Buffer.from(request.random.bytes(16)).toString("hex") as StoreId;
  const image = new WalImage(request.shared);
  const position = { offset: 0, allocatedBytes: 0, nextBatch: 1, highestSequence: 0 };
  const writer = new SegmentWriter(writerOptions(request, storeId, request.groupId), position, { sequence: 0, end: 0 });
  try {
    await writer.begin(image);
  } catch (error) {
    await writer.close();
    throw error;
  }
  return { storeId, image, writer, faults: [], damaged: [] };
}

async function resumeWal(
  request: OpenRequest,
  survey: Survey,
  found: SegmentChain,
  newest: ReadableSegment,
): Promise<OpenedWal> {
  const { disk, directory, logger } = request;
  const recovery = await recover(disk, directory, found);
  const { image, tail } = recovery;
  for (const fault of recovery.faults) logger.warn("the log is not as it was written", { ...fault });
  const { storeId, groupId } = newest.header;
  const options = writerOptions(request, storeId, groupId.length > 0 ? groupId : request.groupId);
  const highestSequence = survey.segments.at(-1)?.sequence ?? 0;
  const common = { nextBatch: recovery.nextBatch, highestSequence };
  const unused = recovery.unused.map((segment) => segment.name);
  if (recovery.integrity === "corrupt" || tail === undefined) {
    // Nothing is changed yet: an operator may want to look. The log goes on in a segment of its own, behind what is trusted.
    const link =
      tail === undefined ? { sequence: 0, end: 0 } : { sequence: tail.segment.header.sequence, end: tail.end };
    const writer = new SegmentWriter(options, { ...common, offset: 0, allocatedBytes: 0 }, link);
    return { storeId, image, writer, faults: recovery.faults, damaged: unused };
  }
  await settleTail(disk, tail);
  if (image.suspects > 0) await quarantine(disk, directory, unused);
  else for (const name of unused) await disk.remove(`${directory}/${name}`);
  await disk.syncDirectory(directory);
  const allocatedBytes = Math.max(tail.end, (await disk.size(tail.segment.path)) ?? 0);
  const position = { ...common, segment: tail.segment, offset: tail.end, allocatedBytes };
  const writer = new SegmentWriter(options, position, { sequence: 0, end: 0 });
  return { storeId, image, writer, faults: recovery.faults, damaged: [] };
}

/**
 * Clears a torn batch away and makes sure that what was read is what the disk holds.
 *
 * The last batch may never have been synced: a process that died leaves its writes in the page cache, and after a failed sync
 * the kernel takes them for clean. So it is written anew, byte by byte the same, before it is believed.
 */
async function settleTail(disk: Disk, tail: NonNullable<Recovery["tail"]>): Promise<void> {
  const { segment, end, dirtyEnd, lastBatch } = tail;
  const chunk = 1 << 20;
  try {
    await segment.use(disk, async (file) => {
      for (let at = end; at < dirtyEnd; at += chunk)
        await file.write(at, [new Uint8Array(Math.min(chunk, dirtyEnd - at))]);
      await file.write(lastBatch.offset, [await file.read(lastBatch.offset, lastBatch.length)]);
      await file.datasync();
    });
  } catch (error) {
    await segment.retire();
    throw error;
  }
}

function writerOptions(request: OpenRequest, storeId: StoreId, groupId: Uint8Array): SegmentWriterOptions {
  const { disk, directory, random, logger, shared, segmentBytes, allocateBytes, onFailure } = request;
  return { disk, directory, random, logger, shared, segmentBytes, allocateBytes, storeId, groupId, onFailure };
}

/** Makes the directory's own name durable, and those above it. */
async function syncUpwards(disk: Disk, directory: string): Promise<void> {
  const parts = directory.split("/");
  for (let depth = parts.length - 1; depth >= 0; depth--) await disk.syncDirectory(parts.slice(0, depth).join("/"));
}

/** Sets damaged files aside: they are not read any more, and an operator can look at them. */
export async function quarantine(disk: Disk, directory: string, names: readonly string[]): Promise<void> {
  for (const name of names) await disk.rename(`${directory}/${name}`, `${directory}/${name}${quarantineSuffix}`);
  if (names.length > 0) await disk.syncDirectory(directory);
}

/** Removes what was set aside. */
export async function removeQuarantined(disk: Disk, directory: string): Promise<void> {
  for (const name of await disk.list(directory)) {
    if (name.endsWith(quarantineSuffix)) await disk.remove(`${directory}/${name}`);
  }
  await disk.syncDirectory(directory);
}
