import { isFabricError, type Disk, type DiskFile, type Logger, type Random, type StoreId } from "@revoada/fabric";
import { batchBytes, BatchEncoder, entryBytes, sectionsBytes, type Section, type WalStep } from "./batch-encoder.ts";
import { LogFullError } from "./errors.ts";
import {
  alignUp,
  encodeSegmentHeader,
  groupKind,
  sectorBytes,
  segmentHeaderBytes,
  segmentName,
  walFormatVersion,
  type SegmentHeader,
} from "./format.ts";
import type { LogImage, WalImage } from "./log-image.ts";
import { Segment } from "./segment.ts";

export interface SegmentWriterOptions {
  readonly disk: Disk;
  readonly directory: string;
  readonly random: Random;
  readonly logger: Logger;
  readonly segmentBytes: number;
  /** By how much a segment is extended with zeros at a time, ahead of need. */
  readonly allocateBytes: number;
  readonly storeId: StoreId;
  readonly groupId: Uint8Array;
  readonly shared: boolean;
  /** Called once with the first failure that may have left the files in an unknown state. */
  readonly onFailure: (what: string, cause: unknown) => void;
}

/** Where the log goes on. */
export interface WritePosition {
  /** Undefined where the next batch begins a segment. */
  readonly segment?: Segment;
  readonly offset: number;
  readonly allocatedBytes: number;
  readonly nextBatch: number;
  /** The highest sequence that any file of the directory bears. */
  readonly highestSequence: number;
}

/** The segment that another one continues, and where its valid bytes end; sequence 0 for none. */
export interface ChainLink {
  readonly sequence: number;
  readonly end: number;
}

/** What one group wants written, in order. A group has one such part in a batch. */
export interface GroupSteps {
  readonly image: LogImage;
  readonly steps: readonly WalStep[];
}

interface Spare {
  readonly file: DiskFile;
  readonly allocatedBytes: number;
}

const spareName = "next.tmp";

/**
 * Writes batches one behind the other, in segments that were filled with zeros before.
 *
 * Room is made ahead, in the background: a full disk is met while there is still some, and a batch overwrites zeros, so that
 * syncing it moves no file size. A small reserve is left to batches without entries: a vote can be stored on a full disk.
 */
export class SegmentWriter {
  readonly #options: SegmentWriterOptions;
  readonly #encoder: BatchEncoder;
  #segment: Segment | undefined;
  #offset: number;
  #allocatedBytes: number;
  #capacityBytes: number;
  #nextBatch: number;
  #highestSequence: number;
  /** What the next segment continues, as long as none is written to. */
  readonly #link: ChainLink;
  #spare: Spare | undefined;
  #ahead: Promise<void> | undefined;
  #failed = false;
  /** Said once, until there is room again. */
  #toldFull = false;
  #closing = false;

  constructor(options: SegmentWriterOptions, position: WritePosition, link: ChainLink) {
    this.#options = options;
    this.#encoder = new BatchEncoder(options.random);
    this.#segment = position.segment;
    this.#offset = position.offset;
    this.#allocatedBytes = position.allocatedBytes;
    this.#capacityBytes = Math.max(options.segmentBytes, position.allocatedBytes);
    this.#nextBatch = position.nextBatch;
    this.#highestSequence = position.highestSequence;
    this.#link = link;
  }

  /** Bytes that are allocated and not written yet. */
  get roomBytes(): number {
    return this.#segment === undefined ? 0 : this.#allocatedBytes - this.#offset;
  }

  /**
   * Writes and syncs the parts as one batch and applies them to `wal`. Rejects with `LOG_FULL` where there was no room, and
   * nothing was written; every other rejection leaves the files in an unknown state.
   */
  async write(parts: readonly GroupSteps[], wal: WalImage): Promise<void> {
    const sections = this.#options.shared ? parts.map(sectionOf) : parts;
    const recordsBytes = sectionsBytes(sections);
    const length = batchBytes(recordsBytes);
    const withEntries = parts.some((part) => part.steps.some((step) => step.entries.length > 0));
    await this.#makeRoom(length, withEntries, wal);
    const segment = this.#segment as Segment;
    const offset = this.#offset;
    const encoded = this.#encoder.encode(sections, recordsBytes, {
      segmentSeed: segment.seed,
      offset,
      number: this.#nextBatch,
    });
    await segment.use(this.#options.disk, async (file) => {
      await file.write(offset, encoded.buffers);
      await file.datasync();
    });
    this.#offset += length;
    this.#nextBatch++;
    segment.usedBytes = this.#offset;
    applyParts(wal, segment, parts, encoded.entryOffsets);
    this.#prepareAhead();
  }

  /** Begins the first segment of a log. */
  async begin(wal: WalImage): Promise<void> {
    await this.#roll(0, wal);
  }

  /** Waits for what runs in the background and lets go of the spare. */
  async close(): Promise<void> {
    this.#closing = true;
    await this.#ahead;
    const spare = this.#spare;
    this.#spare = undefined;
    await spare?.file.close();
  }

  get #reserveBytes(): number {
    return alignUp(Math.min(64 * 1024, this.#options.segmentBytes >>> 3), sectorBytes);
  }

  async #makeRoom(length: number, withEntries: boolean, wal: WalImage): Promise<void> {
    const needed = length + (withEntries ? this.#reserveBytes : 0);
    if (this.#segment === undefined || this.#offset + needed > this.#capacityBytes) await this.#roll(needed, wal);
    if (this.#offset + needed <= this.#allocatedBytes) return;
    await this.#ahead;
    if (this.#offset + needed > this.#allocatedBytes) await this.#extend(this.#offset + needed);
  }

  /**
   * Extends the current segment at least to `needed` bytes. It is not synced here: the next batch's sync covers it, and two
   * syncs of one file at a time could each report the other's failure.
   */
  async #extend(needed: number): Promise<void> {
    const segment = this.#segment as Segment;
    const step = Math.max(needed, Math.min(this.#capacityBytes, this.#allocatedBytes + this.#options.allocateBytes));
    const target = alignUp(step, sectorBytes);
    try {
      await segment.use(this.#options.disk, (file) => file.allocate(target));
    } catch (error) {
      throw isFabricError(error, "DISK_FULL") ? new LogFullError(needed, error) : error;
    }
    this.#allocatedBytes = target;
  }

  /** Begins the next segment: complete and durable under another name before it gets its own. */
  async #roll(needed: number, wal: WalImage): Promise<void> {
    await this.#ahead;
    const { disk, directory } = this.#options;
    const state = stateSections(wal);
    const recordsBytes = sectionsBytes(state);
    const stateEnd = segmentHeaderBytes + batchBytes(recordsBytes);
    // Where the state of many groups is large, so is the segment: what it begins with is a small part of it.
    const plannedBytes = Math.max(this.#options.segmentBytes, minStateShare * recordsBytes);
    const capacityBytes = alignUp(Math.max(plannedBytes, stateEnd + needed + this.#reserveBytes), sectorBytes);
    const wanted = alignUp(
      Math.max(stateEnd + needed, Math.min(capacityBytes, this.#options.allocateBytes)),
      sectorBytes,
    );
    const spare = await this.#takeSpare(wanted);
    const header = this.#nextHeader(wal);
    const { sequence } = header;
    const { bytes, seed } = encodeSegmentHeader(header);
    const at = { segmentSeed: seed, offset: segmentHeaderBytes, number: this.#nextBatch };
    const encoded = this.#encoder.encode(state, recordsBytes, at);
    await spare.file.write(0, [bytes, ...encoded.buffers]);
    await spare.file.datasync();
    await disk.rename(`${directory}/${spareName}`, `${directory}/${segmentName(sequence)}`);
    await disk.syncDirectory(directory);
    await this.#seal(sequence);
    this.#segment = new Segment(header, seed, directory, spare.file);
    this.#segment.usedBytes = stateEnd;
    wal.segments.push(this.#segment);
    this.#offset = stateEnd;
    this.#allocatedBytes = spare.allocatedBytes;
    this.#capacityBytes = capacityBytes;
    this.#nextBatch++;
    this.#highestSequence = sequence;
  }

  #nextHeader(wal: WalImage): SegmentHeader {
    const current = this.#segment;
    const link = current === undefined ? this.#link : { sequence: current.header.sequence, end: this.#offset };
    const { storeId, groupId, shared, random } = this.#options;
    return {
      version: walFormatVersion,
      shared,
      storeId,
      groupId,
      sequence: this.#highestSequence + 1,
      previousSequence: link.sequence,
      previousEnd: link.end,
      firstBatch: this.#nextBatch,
      previousIndex: (shared ? 0 : wal.only.lastIndex) as SegmentHeader["previousIndex"],
      previousTerm: (shared ? 0 : wal.only.terms.lastTerm) as SegmentHeader["previousTerm"],
      salt: random.uint32(),
    };
  }

  /**
   * Says in the segment that was written to that the log goes on in another: should that one be missing some day, the log is known to be
   * incomplete. Written behind the end that the successor's header gives, so it may be missing itself.
   */
  async #seal(successor: number): Promise<void> {
    const segment = this.#segment;
    if (segment === undefined || segment.header.version < 2) return;
    const sections: readonly Section[] = [{ steps: [{ entries: [], seal: successor }] }];
    const recordsBytes = sectionsBytes(sections);
    // Only into zeros that are there: a seal must not need room.
    if (this.#offset + batchBytes(recordsBytes) > this.#allocatedBytes) return;
    const at = { segmentSeed: segment.seed, offset: this.#offset, number: this.#nextBatch };
    const { buffers } = this.#encoder.encode(sections, recordsBytes, at);
    await segment.use(this.#options.disk, async (file) => {
      await file.write(this.#offset, buffers);
      await file.datasync();
    });
  }

  async #takeSpare(wanted: number): Promise<Spare> {
    const spare = this.#spare;
    this.#spare = undefined;
    if (spare !== undefined && spare.allocatedBytes >= wanted) return spare;
    await spare?.file.close();
    return await this.#makeSpare(wanted);
  }

  async #makeSpare(bytes: number): Promise<Spare> {
    const { disk, directory } = this.#options;
    const path = `${directory}/${spareName}`;
    await disk.remove(path);
    let file: DiskFile | undefined;
    try {
      file = await disk.open(path, { create: true });
      await file.allocate(bytes);
      await file.datasync();
      return { file, allocatedBytes: bytes };
    } catch (error) {
      await file?.close();
      if (!isFabricError(error, "DISK_FULL")) throw error;
      await disk.remove(path);
      throw new LogFullError(bytes, error);
    }
  }

  /** Makes room before it is needed; at most one such task runs. */
  #prepareAhead(): void {
    if (this.#ahead !== undefined || this.#failed || this.#closing) return;
    const { allocateBytes } = this.#options;
    const roomBytes = this.#allocatedBytes - this.#offset;
    if (roomBytes >= allocateBytes / 2 + this.#reserveBytes) return;
    const grows = this.#allocatedBytes < this.#capacityBytes;
    if (!grows && this.#spare !== undefined) return;
    this.#ahead = this.#runAhead(grows).finally(() => (this.#ahead = undefined));
  }

  async #runAhead(grows: boolean): Promise<void> {
    try {
      if (grows) await this.#extend(this.#allocatedBytes);
      else
        this.#spare = await this.#makeSpare(
          alignUp(Math.min(this.#options.segmentBytes, this.#options.allocateBytes), sectorBytes),
        );
      this.#toldFull = false;
    } catch (error) {
      if (isFabricError(error, "LOG_FULL")) {
        if (!this.#toldFull)
          this.#options.logger.warn("the disk is full: the log lives on its reserve", { roomBytes: this.roomBytes });
        this.#toldFull = true;
        return;
      }
      // A disk that fails here is not to be believed elsewhere.
      this.#failed = true;
      this.#options.onFailure("making room", error);
    }
  }
}

/** The records that a segment begins with are at most one part in so many of it. */
const minStateShare = 4;

function sectionOf({ image, steps }: GroupSteps): Section {
  const mark = { number: image.number, kind: groupKind.section, section: image.sections + 1 };
  if (image.sections > 0) return { mark, steps };
  // Damage may have taken all that there was of it.
  const first: readonly WalStep[] = image.suspect ? [{ entries: [], suspect: true }, ...steps] : steps;
  return { mark: { ...mark, definition: image.definition() }, steps: first };
}

/** What a segment begins with: all that is needed should the segments before it be gone. */
function stateSections(wal: WalImage): Section[] {
  const sections: Section[] = wal.strangersSuspect ? [{ steps: [{ entries: [], suspect: true }] }] : [];
  for (const image of wal.written()) {
    const suspect = image.suspect ? { suspect: true } : {};
    const state: WalStep = { entries: [], base: image.base, hardState: image.hardState, ...suspect };
    if (!wal.shared) return [{ steps: [state] }];
    const mark = {
      number: image.number,
      kind: groupKind.state,
      section: image.sections,
      definition: image.definition(),
    };
    sections.push({ mark, steps: [image.forgotten ? { entries: [], forget: true } : state] });
  }
  return sections;
}

function applyParts(
  wal: WalImage,
  segment: Segment,
  parts: readonly GroupSteps[],
  entryOffsets: readonly number[],
): void {
  let at = 0;
  for (const { image, steps } of parts) {
    image.sections++;
    for (const step of steps) {
      if (step.reset !== undefined) image.reset(step.reset);
      if (step.truncateFrom !== undefined) image.truncate(step.truncateFrom);
      for (const entry of step.entries) {
        const offset = entryOffsets[at++] as number;
        const bytes = entryBytes(entry.payload.length);
        if (entry.kind === "configuration") image.noteConfiguration(entry.index);
        if (step.moved === true) image.moveEntry(entry.index, segment, offset, bytes);
        else image.appendEntry(entry.index, entry.term, segment, offset, bytes);
      }
      if (step.base !== undefined) image.compact(step.base);
      if (step.hardState !== undefined) image.hardState = step.hardState;
      if (step.suspect !== undefined) image.suspect = step.suspect;
      if (step.suspect === false) wal.settleStrangers();
      if (step.forget === true) image.forget();
    }
  }
}
