import type { Disk, DiskFile } from "@revoada/fabric";
import type { SegmentHeader } from "./format.ts";
import { segmentName } from "./format.ts";

/**
 * One segment file as the open log knows it: where its live entries stand, and its handle.
 *
 * Live entries of a segment are contiguous: an entry that is written anew stands further back in the log than its elders.
 */
export class Segment {
  readonly header: SegmentHeader;
  readonly seed: number;
  readonly name: string;
  readonly path: string;
  /** The index of the first live entry, where `count` is not 0. */
  first = 0;
  count = 0;
  #offsets: Uint32Array<ArrayBuffer> = new Uint32Array(64);
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

  push(index: number, offset: number): void {
    if (this.count === 0) this.first = index;
    if (this.count === this.#offsets.length) {
      const grown = new Uint32Array(this.#offsets.length * 2);
      grown.set(this.#offsets);
      this.#offsets = grown;
    }
    this.#offsets[this.count++] = offset;
  }

  truncate(from: number): void {
    this.count = Math.min(this.count, Math.max(0, from - this.first));
  }

  holds(index: number): boolean {
    return this.count > 0 && index >= this.first && index < this.first + this.count;
  }

  /** The last live index, or 0 where there is none. */
  get last(): number {
    return this.count === 0 ? 0 : this.first + this.count - 1;
  }

  offsetOf(index: number): number {
    return this.#offsets[index - this.first] as number;
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
