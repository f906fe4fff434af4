import type { TLSSocket } from "node:tls";

/** Payloads up to this size are copied into one buffer with their headers: a write call costs more than the copy. */
const copiedBytes = 4096;
const slabBytes = 16 * 1024;
/** Bytes handed to the socket at once, so that progress can be seen and streams take turns. */
const burstBytes = 256 * 1024;

/**
 * What waits to be written to one connection.
 *
 * Frames of one turn of the event loop leave in one write. Payloads must not be changed after they were given.
 */
export class Outbox {
  readonly #socket: TLSSocket;
  readonly #onDrain: () => void;
  #slab: Buffer = Buffer.allocUnsafeSlow(slabBytes);
  #slabStart = 0;
  #slabEnd = 0;
  #chunks: Uint8Array[] = [];
  #waitingBytes = 0;
  #writingBytes = 0;
  #writtenBytes = 0;
  #scheduled = false;
  #closed = false;
  readonly #flush = (): void => this.#onTurn();
  readonly #written = (): void => this.#onWritten();

  /** `onDrain` is called each time that a burst has left for the kernel. */
  constructor(socket: TLSSocket, onDrain: () => void) {
    this.#socket = socket;
    this.#onDrain = onDrain;
  }

  /** Given and not yet taken by the kernel. */
  get queuedBytes(): number {
    return this.#waitingBytes + this.#writingBytes;
  }

  /** Taken by the kernel so far. */
  get writtenBytes(): number {
    return this.#writtenBytes;
  }

  /** The buffer into which the header reserved last is to be written. */
  get slab(): Uint8Array {
    return this.#slab;
  }

  /** Makes room for a header; returns its offset in {@link slab}. */
  reserve(bytes: number): number {
    if (this.#slab.length - this.#slabEnd < bytes) this.#nextSlab();
    const offset = this.#slabEnd;
    this.#slabEnd += bytes;
    this.#waitingBytes += bytes;
    if (!this.#scheduled) this.#schedule();
    return offset;
  }

  /** Adds the bytes that follow what was added last. */
  append(bytes: Uint8Array): void {
    const { length } = bytes;
    if (length <= copiedBytes) {
      const offset = this.reserve(length);
      this.#slab.set(bytes, offset);
      return;
    }
    this.#seal();
    for (let offset = 0; offset < length; offset += burstBytes) {
      this.#chunks.push(length <= burstBytes ? bytes : bytes.subarray(offset, offset + burstBytes));
    }
    this.#waitingBytes += length;
    if (!this.#scheduled) this.#schedule();
  }

  /** Hands everything to the socket at once; nothing may be added afterwards. */
  finish(): void {
    this.#seal();
    this.#closed = true;
    this.#socket.cork();
    for (const chunk of this.#chunks) this.#socket.write(chunk);
    this.#socket.uncork();
    this.#chunks = [];
  }

  /** Forgets everything; nothing may be added afterwards. */
  discard(): void {
    this.#closed = true;
    this.#chunks = [];
    this.#slabStart = this.#slabEnd;
    this.#waitingBytes = 0;
  }

  /**
   * Flushes after every promise callback of this turn has run: one chunk of input answers many requests, and whoever waits
   * for these answers asks anew, all before the write.
   */
  #schedule(): void {
    this.#scheduled = true;
    setImmediate(this.#flush);
  }

  #onTurn(): void {
    this.#scheduled = false;
    if (this.#writingBytes === 0) this.#write();
  }

  #write(): void {
    if (this.#closed || this.#waitingBytes === 0) return;
    this.#seal();
    const chunks = this.#takeBurst();
    this.#waitingBytes -= this.#writingBytes;
    const last = chunks.length - 1;
    if (last === 0) {
      this.#socket.write(chunks[0] as Uint8Array, this.#written);
      return;
    }
    this.#socket.cork();
    for (let index = 0; index < last; index++) this.#socket.write(chunks[index] as Uint8Array);
    this.#socket.write(chunks[last] as Uint8Array, this.#written);
    this.#socket.uncork();
  }

  #takeBurst(): Uint8Array[] {
    let count = 0;
    let bytes = 0;
    for (const chunk of this.#chunks) {
      if (count > 0 && bytes + chunk.length > burstBytes) break;
      count += 1;
      bytes += chunk.length;
    }
    this.#writingBytes = bytes;
    if (count < this.#chunks.length) return this.#chunks.splice(0, count);
    const all = this.#chunks;
    this.#chunks = [];
    return all;
  }

  #onWritten(): void {
    this.#writtenBytes += this.#writingBytes;
    this.#writingBytes = 0;
    if (this.#closed) return;
    if (this.#waitingBytes === 0) {
      // The kernel has copied everything, so the slab is ours again.
      this.#slabStart = 0;
      this.#slabEnd = 0;
    } else if (!this.#scheduled) {
      this.#write();
    }
    this.#onDrain();
  }

  #seal(): void {
    if (this.#slabEnd === this.#slabStart) return;
    this.#chunks.push(this.#slab.subarray(this.#slabStart, this.#slabEnd));
    this.#slabStart = this.#slabEnd;
  }

  #nextSlab(): void {
    this.#seal();
    this.#slab = Buffer.allocUnsafeSlow(slabBytes);
    this.#slabStart = 0;
    this.#slabEnd = 0;
  }
}
