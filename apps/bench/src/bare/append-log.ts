import { open, rm, type FileHandle } from "node:fs/promises";

/** Bytes that are allocated ahead of what is written, so that a flush has no metadata to write. */
const aheadBytes = 64 * 1024 * 1024;

/** The least that a durable log can be: one file, one `writev` and one `fdatasync` in flight, everything that queues is the next. */
export class AppendLog {
  readonly #path: string;
  readonly #file: FileHandle;
  #offset = 0;
  #allocated = 0;
  #queue: Uint8Array[] = [];
  #waiting: (() => void)[] = [];
  #flushing: Promise<void> | undefined;

  static async open(path: string): Promise<AppendLog> {
    const log = new AppendLog(path, await open(path, "w"));
    await log.#allocate();
    return log;
  }

  private constructor(path: string, file: FileHandle) {
    this.#path = path;
    this.#file = file;
  }

  append(buffers: readonly Uint8Array[]): Promise<void> {
    this.#queue.push(...buffers);
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.#flushing ??= this.#flush();
    });
  }

  /** Ends it, and removes what it wrote. */
  async discard(): Promise<void> {
    await this.#flushing;
    await this.#file.close();
    await rm(this.#path, { force: true });
  }

  async #flush(): Promise<void> {
    // Callers of one turn share a flush.
    await Promise.resolve();
    while (this.#queue.length > 0) {
      const batch = this.#queue;
      const waiting = this.#waiting;
      this.#queue = [];
      this.#waiting = [];
      for (let first = 0; first < batch.length; first += 1024) {
        const { bytesWritten } = await this.#file.writev(batch.slice(first, first + 1024), this.#offset);
        this.#offset += bytesWritten;
      }
      if (this.#offset + aheadBytes / 2 > this.#allocated) await this.#allocate();
      await this.#file.datasync();
      for (const done of waiting) done();
    }
    this.#flushing = undefined;
  }

  async #allocate(): Promise<void> {
    const zeros = Buffer.alloc(4 * 1024 * 1024);
    for (let written = 0; written < aheadBytes; written += zeros.length) {
      await this.#file.write(zeros, 0, zeros.length, this.#allocated + written);
    }
    this.#allocated += aheadBytes;
    await this.#file.sync();
  }
}
