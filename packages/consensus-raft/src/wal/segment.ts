import type { Disk, DiskFile } from "@revoada/fabric";
import type { SegmentHeader } from "./format.ts";
import { segmentName } from "./format.ts";

/** One segment file as the open log knows it: its header, its handle, and who needs it. */
export class Segment {
  readonly header: SegmentHeader;
  readonly seed: number;
  readonly name: string;
  readonly path: string;
  /** Extents that stand in it: as long as there are any, the file stays. */
  pins = 0;
  /** Where the written bytes end. */
  usedBytes = 0;
  #file: Promise<DiskFile> | undefined;
  #users = 0;
  #retired = false;

  constructor(header: SegmentHeader, seed: number, directory: string, file?: DiskFile) {
    this.header = header;
    this.seed = seed;
    this.name = segmentName(header.sequence);
    this.path = `${directory}/${this.name}`;
    if (file !== undefined) this.#file = Promise.resolve(file);
  }

  /** Runs `body` with the open file, which is not closed meanwhile. */
  async use<T>(disk: Disk, body: (file: DiskFile) => Promise<T>): Promise<T> {
    this.#users++;
    try {
      return await body(await this.#open(disk));
    } finally {
      this.#users--;
      if (this.#users === 0 && this.#retired) await this.#close();
    }
  }

  /** Closes the file as soon as nobody uses it. */
  async retire(): Promise<void> {
    this.#retired = true;
    if (this.#users === 0) await this.#close();
  }

  /** Closes an idle handle; the next use opens it again. */
  async rest(): Promise<void> {
    if (this.#users === 0) await this.#close();
  }

  get isOpen(): boolean {
    return this.#file !== undefined;
  }

  async #open(disk: Disk): Promise<DiskFile> {
    const opening = (this.#file ??= disk.open(this.path));
    try {
      return await opening;
    } catch (error) {
      if (this.#file === opening) this.#file = undefined;
      throw error;
    }
  }

  async #close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await (await file)?.close();
  }
}
