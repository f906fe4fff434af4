import type { TLSSocket } from "node:tls";
import { segmentBytes } from "./core/segment.ts";

/**
 * Payloads up to this size are copied into one buffer with their headers. A write call costs more than a small copy, and
 * `node:tls` copies a write of several buffers anyway, into memory that it takes anew each time.
 */
const copiedBytes = segmentBytes;
/** Buffers grow with the traffic from this size to that of a burst. */
const firstSlabBytes = 16 * 1024;
/** Bytes handed to the socket at once, so that progress can be seen and streams take turns. */
const burstBytes = 256 * 1024;
const spareSlabs = 3;
/** From this size on a buffer leaves by itself: `node:tls` would copy it, together with the others, into memory that it takes anew. */
const aloneBytes = 32 * 1024;

interface Chunk {
  readonly bytes: Uint8Array;
  /** The buffer that is free again once this chunk is written. */
  readonly freed: Buffer | undefined;
}

/**
 * What waits to be written to one connection.
 *
 * Frames that one callback and its promises add leave in one write. Payloads must not be changed after they were given.
 */
export class Outbox {
  readonly #socket: TLSSocket;
  readonly #onDrain: () => void;
  #slab: Buffer = Buffer.allocUnsafeSlow(firstSlabBytes);
  #slabStart = 0;
  #slabEnd = 0;
  #chunks: Chunk[] = [];
  #writing: readonly Chunk[] = [];
  readonly #spare: Buffer[] = [];
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
    if (this.#slab.length - this.#slabEnd < bytes) this.#nextSlab(bytes);
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
    this.#seal(undefined);
    for (let offset = 0; offset < length; offset += burstBytes) {
      const part = length <= burstBytes ? bytes : bytes.subarray(offset, offset + burstBytes);
      this.#chunks.push({ bytes: part, freed: undefined });
    }
    this.#waitingBytes += length;
    if (!this.#scheduled) this.#schedule();
  }

  /** Hands everything to the socket at once; nothing may be added afterwards. */
  finish(): void {
    this.#seal(undefined);
    this.#closed = true;
    this.#socket.cork();
    for (const chunk of this.#chunks) this.#socket.write(chunk.bytes);
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
   * Flushes behind the callback that added the first frame, and, where a promise callback added it, behind all of those that are
   * due: one chunk of input answers many requests, and whoever waits for these answers asks anew, all before the write. A turn
   * later would be a turn in which the socket idles.
   */
  #schedule(): void {
    this.#scheduled = true;
    process.nextTick(this.#flush);
  }

  #onTurn(): void {
    this.#scheduled = false;
    if (this.#writingBytes === 0) this.#write();
  }

  #write(): void {
    if (this.#closed || this.#waitingBytes === 0) return;
    this.#seal(undefined);
    const chunks = this.#takeBurst();
    this.#writing = chunks;
    this.#waitingBytes -= this.#writingBytes;
    const last = chunks.length - 1;
    if (last === 0) {
      this.#socket.write((chunks[0] as Chunk).bytes, this.#written);
      return;
    }
    this.#socket.cork();
    for (let index = 0; index < last; index++) this.#socket.write((chunks[index] as Chunk).bytes);
    this.#socket.write((chunks[last] as Chunk).bytes, this.#written);
    this.#socket.uncork();
  }

  #takeBurst(): Chunk[] {
    let count = 0;
    let bytes = 0;
    for (const chunk of this.#chunks) {
      if (count > 0 && (bytes >= aloneBytes || chunk.bytes.length >= aloneBytes)) break;
      count += 1;
      bytes += chunk.bytes.length;
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
    for (const { freed } of this.#writing)
      if (freed !== undefined && this.#spare.length < spareSlabs) this.#spare.push(freed);
    this.#writing = [];
    if (this.#closed) return;
    if (this.#waitingBytes === 0) {
      // The kernel has copied everything, so the slab is ours again.
      this.#slabStart = 0;
      this.#slabEnd = 0;
    }
    this.#onDrain();
    // What streams have added just now need not wait for another turn: the socket would idle.
    if (this.#writingBytes === 0) this.#write();
  }

  #seal(freed: Buffer | undefined): void {
    if (this.#slabEnd === this.#slabStart) return;
    this.#chunks.push({ bytes: this.#slab.subarray(this.#slabStart, this.#slabEnd), freed });
    this.#slabStart = this.#slabEnd;
  }

  /** A full buffer means traffic: the next one is larger, and those that were written are used again. */
  #nextSlab(bytes: number): void {
    const full = this.#slab;
    this.#seal(full.length === burstBytes ? full : undefined);
    const grown = Math.min(burstBytes, Math.max(full.length * 2, bytes));
    this.#slab = this.#spare.pop() ?? Buffer.allocUnsafeSlow(grown);
    this.#slabStart = 0;
    this.#slabEnd = 0;
  }
}
