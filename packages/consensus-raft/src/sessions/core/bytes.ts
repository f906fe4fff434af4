import { RaftBadCommandError } from "../../errors.ts";

const two32: number = 2 ** 32;

/** Bytes of a counter. */
export const counterBytes = 8;

export function writeCounter(view: DataView, offset: number, value: number): void {
  view.setUint32(offset, Math.floor(value / two32));
  view.setUint32(offset + 4, value % two32);
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Reads fields of untrusted bytes from front to back. Throws `RAFT_BAD_COMMAND`. */
export class ByteReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #what: string;
  #at = 0;

  constructor(bytes: Uint8Array, what: string) {
    this.#bytes = bytes;
    this.#view = viewOf(bytes);
    this.#what = what;
  }

  #advance(length: number): number {
    const at = this.#at;
    if (at + length > this.#bytes.length)
      throw new RaftBadCommandError(`${this.#what} of ${this.#bytes.length} bytes ends early`);
    this.#at += length;
    return at;
  }

  byte(): number {
    return this.#bytes[this.#advance(1)] as number;
  }

  uint32(): number {
    return this.#view.getUint32(this.#advance(4));
  }

  counter(): number {
    const at = this.#advance(counterBytes);
    const value = this.#view.getUint32(at) * two32 + this.#view.getUint32(at + 4);
    if (!Number.isSafeInteger(value)) throw new RaftBadCommandError(`${this.#what} holds a counter beyond 2^53`);
    return value;
  }

  take(length: number): Uint8Array {
    const at = this.#advance(length);
    return this.#bytes.subarray(at, at + length);
  }

  rest(): Uint8Array {
    return this.take(this.#bytes.length - this.#at);
  }

  finish(): void {
    if (this.#at !== this.#bytes.length)
      throw new RaftBadCommandError(`${this.#what} has ${this.#bytes.length - this.#at} bytes too many`);
  }
}
