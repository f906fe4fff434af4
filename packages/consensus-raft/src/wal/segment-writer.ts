import { isFabricError, type Disk, type DiskFile, type Logger, type Random, type StoreId } from "@revoada/fabric";
import { batchBytes, BatchEncoder, stepBytes, type WalStep } from "./batch-encoder.ts";
import { LogFullError } from "./errors.ts";
import {
  alignUp,
  encodeSegmentHeader,
  sectorBytes,
  segmentHeaderBytes,
  segmentName,
  type SegmentHeader,
} from "./format.ts";
import type { LogImage } from "./log-image.ts";
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
   * Writes and syncs the steps as one batch and applies them to `image`. Rejects with `LOG_FULL` where there was no room, and
   * nothing was written; every other rejection leaves the files in an unknown state.
   */
  async write(steps: readonly WalStep[], image: LogImage): Promise<void> {
    let recordsBytes = 0;
    let entries = 0;
    for (const step of steps) {
      recordsBytes += stepBytes(step);
      entries += step.entries.length;
    }
    const length = batchBytes(recordsBytes);
    await this.#makeRoom(length, entries > 0, image);
    const segment = this.#segment as Segment;
    const offset = this.#offset;
    const encoded = this.#encoder.encode(steps, recordsBytes, {
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
    applySteps(image, segment, steps, encoded.entryOffsets);
    this.#prepareAhead();
  }

  /** Begins the first segment of a log. */
  async begin(image: LogImage): Promise<void> {
    await this.#roll(0, image);
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

  async #makeRoom(length: number, withEntries: boolean, image: LogImage): Promise<void> {
    const needed = length + (withEntries ? this.#reserveBytes : 0);
    if (this.#segment === undefined || this.#offset + needed > this.#capacityBytes) await this.#roll(needed, image);
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
  async #roll(needed: number, image: LogImage): Promise<void> {
    await this.#ahead;
    const { disk, directory } = this.#options;
    const state: WalStep = {
      entries: [],
      base: image.base,
      hardState: image.hardState,
      ...(image.suspect ? { suspect: true } : {}),
    };
    const recordsBytes = stepBytes(state);
    const stateEnd = segmentHeaderBytes + batchBytes(recordsBytes);
    const capacityBytes = alignUp(
      Math.max(this.#options.segmentBytes, stateEnd + needed + this.#reserveBytes),
      sectorBytes,
    );
    const wanted = alignUp(
      Math.max(stateEnd + needed, Math.min(capacityBytes, this.#options.allocateBytes)),
      sectorBytes,
    );
    const spare = await this.#takeSpare(wanted);
    const sequence = this.#highestSequence + 1;
    const link =
      this.#segment === undefined ? this.#link : { sequence: this.#segment.header.sequence, end: this.#offset };
    const header: SegmentHeader = {
      storeId: this.#options.storeId,
      groupId: this.#options.groupId,
      sequence,
      previousSequence: link.sequence,
      previousEnd: link.end,
      firstBatch: this.#nextBatch,
      previousIndex: image.lastIndex,
      previousTerm: image.terms.lastTerm as SegmentHeader["previousTerm"],
      salt: this.#options.random.uint32(),
    };
    const { bytes, seed } = encodeSegmentHeader(header);
    const at = { segmentSeed: seed, offset: segmentHeaderBytes, number: this.#nextBatch };
    const encoded = this.#encoder.encode([state], recordsBytes, at);
    await spare.file.write(0, [bytes, ...encoded.buffers]);
    await spare.file.datasync();
    await disk.rename(`${directory}/${spareName}`, `${directory}/${segmentName(sequence)}`);
    await disk.syncDirectory(directory);
    this.#segment = new Segment(header, seed, directory, spare.file);
    image.segments.push(this.#segment);
    this.#offset = stateEnd;
    this.#allocatedBytes = spare.allocatedBytes;
    this.#capacityBytes = capacityBytes;
    this.#nextBatch++;
    this.#highestSequence = sequence;
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

function applySteps(
  image: LogImage,
  segment: Segment,
  steps: readonly WalStep[],
  entryOffsets: readonly number[],
): void {
  let at = 0;
  for (const step of steps) {
    if (step.reset !== undefined) image.reset(step.reset);
    if (step.truncateFrom !== undefined) image.truncate(step.truncateFrom);
    for (const entry of step.entries) image.appendEntry(entry.index, entry.term, segment, entryOffsets[at++] as number);
    if (step.base !== undefined) image.compact(step.base);
    if (step.hardState !== undefined) image.hardState = step.hardState;
    if (step.suspect !== undefined) image.suspect = step.suspect;
  }
}
