/** What a connection keeps of memory that consumers are done with. */
const keptBytes = 4 * 1024 * 1024;

/**
 * Memory for the large messages of one connection, used again where their consumers allow it.
 *
 * Memory that is taken anew for every message makes V8 mark and compact the whole heap every few dozen of them.
 */
export class MessageBuffers {
  readonly #spare: Uint8Array[] = [];
  #spareBytes = 0;

  /** Gives memory of any content. */
  take(bytes: number): Uint8Array {
    const at = this.#spare.findIndex(({ length }) => length === bytes);
    if (at < 0) return Buffer.allocUnsafeSlow(bytes);
    const [found] = this.#spare.splice(at, 1) as [Uint8Array];
    this.#spareBytes -= bytes;
    return found;
  }

  /** Takes a message back that nobody looks at any more. Views into other memory, and what is larger than all that may be kept, are let go. */
  give(message: Uint8Array): void {
    if (message.length !== message.buffer.byteLength || message.length > keptBytes) return;
    this.#spare.push(message);
    this.#spareBytes += message.length;
    while (this.#spareBytes > keptBytes) this.#spareBytes -= (this.#spare.shift() as Uint8Array).length;
  }

  clear(): void {
    this.#spare.length = 0;
    this.#spareBytes = 0;
  }
}
