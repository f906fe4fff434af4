/*
 * Changes on their way to the writing thread: one after another, kind (1 byte), length of the key (2 bytes), length of the value
 * (4 bytes), key, value. They travel in slabs, none of them split. This file is loaded by the thread: it imports nothing.
 */
export const batchKinds = { put: 0, remove: 1, clear: 2 } as const;

const headBytes = 7;
const slabBytes = 1_048_576;

/** Packs changes into slabs, which are then given away. */
export class BatchPacker {
  readonly slabs: Uint8Array<ArrayBuffer>[] = [];
  #slab: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  #at = 0;

  /** The key consists of two parts, so that its prefix need not be joined to it first. */
  add(kind: number, prefix: Uint8Array, key: Uint8Array, value: Uint8Array): void {
    const keyLength = prefix.length + key.length;
    const length = headBytes + keyLength + value.length;
    if (this.#at + length > this.#slab.length) {
      this.#slab = new Uint8Array(Math.max(slabBytes, length));
      this.#at = 0;
      this.slabs.push(this.#slab);
    }
    const slab = this.#slab;
    const at = this.#at;
    // A slab that is not full ends with zeros: no key is empty, so that the length tells.
    slab[at] = kind;
    slab[at + 1] = keyLength >>> 8;
    slab[at + 2] = keyLength;
    slab[at + 3] = value.length >>> 24;
    slab[at + 4] = value.length >>> 16;
    slab[at + 5] = value.length >>> 8;
    slab[at + 6] = value.length;
    slab.set(prefix, at + headBytes);
    slab.set(key, at + headBytes + prefix.length);
    slab.set(value, at + headBytes + keyLength);
    this.#at = at + length;
  }
}

/** Takes the changes of a slab out again. */
export function unpackBatch(slab: Uint8Array, take: (kind: number, key: Uint8Array, value: Uint8Array) => void): void {
  const view = new DataView(slab.buffer, slab.byteOffset, slab.byteLength);
  let at = 0;
  while (at + headBytes <= slab.length) {
    const keyLength = view.getUint16(at + 1);
    if (keyLength === 0) return;
    const keyAt = at + headBytes;
    const valueAt = keyAt + keyLength;
    const end = valueAt + view.getUint32(at + 3);
    take(view.getUint8(at), slab.subarray(keyAt, valueAt), slab.subarray(valueAt, end));
    at = end;
  }
}
