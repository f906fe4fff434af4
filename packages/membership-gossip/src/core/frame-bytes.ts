import { Refusal } from "./refusal.ts";

// The part of CBOR (RFC 8949) that frames consist of: counters, byte strings and lists of known length, each in its shortest form.
// Frames are most of what a node reads and writes; that they need nothing else makes this ten times as fast as a general codec.
const counterType = 0;
const bytesType = 2;
const listType = 4;

const prefixBytes = 8;
const digits = "0123456789abcdef";

/** Reads hostile bytes from front to end; throws a `Refusal` for whatever is not exactly as asked for. */
export class FrameReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  #byte(): number {
    const byte = this.#bytes[this.#at];
    if (byte === undefined) throw new Refusal("malformed", "bytes that end too early");
    this.#at += 1;
    return byte;
  }

  /** What a head of this type says: a value or a length, in its shortest form. */
  #head(type: number, name: string): number {
    const initial = this.#byte();
    const short = initial & 31;
    if (initial >>> 5 !== type || short > 27) throw new Refusal("malformed", `not ${name}`);
    if (short < 24) return short;
    let value = 0;
    for (let left = 2 ** (short - 24); left > 0; left--) value = value * 256 + this.#byte();
    const least = short === 24 ? 24 : short === 25 ? 0x100 : short === 26 ? 0x1_0000 : 0x1_0000_0000;
    if (value < least || value > Number.MAX_SAFE_INTEGER) throw new Refusal("malformed", `not ${name}`);
    return value;
  }

  /** An integer from 0 to 2^53 - 1. */
  counter(): number {
    return this.#head(counterType, "a counter");
  }

  /** The length of a list of at most `most` elements, which follow. */
  list(most: number): number {
    const length = this.#head(listType, "a list");
    if (length > most) throw new Refusal("oversize", `a list of ${length} where ${most} are allowed`);
    return length;
  }

  /** The beginning of a list of exactly `length` elements. */
  tuple(length: number): void {
    const found = this.list(length);
    if (found !== length) throw new Refusal("malformed", `a list of ${found} where ${length} are due`);
  }

  /** A list of at most `most` elements, each read by `element`. */
  listOf<T>(most: number, element: () => T): readonly T[] {
    const length = this.list(most);
    const list: T[] = [];
    for (let index = 0; index < length; index++) list.push(element());
    return list;
  }

  /** Bytes of their own: whoever keeps them does not keep the frame. */
  copyOf(start: number, end: number): Uint8Array {
    // Of a Buffer, `slice` would be a view.
    return Uint8Array.prototype.slice.call(this.#bytes, start, end);
  }

  /** Reads over so many bytes. Where they begin. */
  #skip(length: number): number {
    const start = this.#at;
    if (start + length > this.#bytes.length) throw new Refusal("malformed", "bytes that end too early");
    this.#at = start + length;
    return start;
  }

  #exactly(length: number): void {
    if (this.#head(bytesType, "bytes") !== length) throw new Refusal("malformed", `not ${length} bytes`);
  }

  bytes(length: number): Uint8Array {
    const start = this.skipBytes(length);
    return this.copyOf(start, this.#at);
  }

  /** Reads over a byte string of exactly that length. Where its bytes begin. */
  skipBytes(length: number): number {
    this.#exactly(length);
    return this.#skip(length);
  }

  /** Reads over a byte string of at most that length. Where its bytes begin; they end at {@link position}. */
  skipBytesUpTo(most: number): number {
    const length = this.#head(bytesType, "bytes");
    if (length > most) throw new Refusal("oversize", `${length} bytes where ${most} are allowed`);
    return this.#skip(length);
  }

  /** Where the next byte lies. */
  get position(): number {
    return this.#at;
  }

  /** True where bytes follow that are the same. */
  same(expected: Uint8Array): boolean {
    this.#exactly(expected.length);
    let same = true;
    for (const byte of expected) if (this.#byte() !== byte) same = false;
    return same;
  }

  /** The first 8 bytes of an id, in hex. */
  prefix(): string {
    this.#exactly(prefixBytes);
    let text = "";
    for (let index = 0; index < prefixBytes; index++) {
      const byte = this.#byte();
      text += digits.charAt(byte >>> 4) + digits.charAt(byte & 15);
    }
    return text;
  }

  /** Announces 8 bytes that are read as two times {@link int32}. */
  eight(): void {
    this.#exactly(8);
  }

  int32(): number {
    return (this.#byte() << 24) | (this.#byte() << 16) | (this.#byte() << 8) | this.#byte();
  }

  /** Nothing may follow. */
  finish(): void {
    if (this.#at !== this.#bytes.length) throw new Refusal("malformed", "bytes that follow a frame");
  }
}

/** Writes what a {@link FrameReader} reads. */
export class FrameWriter {
  #bytes = new Uint8Array(1_024);
  #at = 0;

  #room(length: number): void {
    if (this.#at + length <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(2 * this.#bytes.length, this.#at + length));
    larger.set(this.#bytes);
    this.#bytes = larger;
  }

  #head(type: number, value: number): void {
    this.#room(9);
    const initial = type << 5;
    if (value < 24) {
      this.#bytes[this.#at++] = initial | value;
      return;
    }
    const power = value < 0x100 ? 0 : value < 0x1_0000 ? 1 : value < 0x1_0000_0000 ? 2 : 3;
    this.#bytes[this.#at++] = initial | (24 + power);
    let rest = value;
    for (let place = this.#at + 2 ** power - 1; place >= this.#at; place--) {
      this.#bytes[place] = rest % 256;
      rest = Math.floor(rest / 256);
    }
    this.#at += 2 ** power;
  }

  counter(value: number): void {
    this.#head(counterType, value);
  }

  list(length: number): void {
    this.#head(listType, length);
  }

  bytes(bytes: Uint8Array): void {
    this.#head(bytesType, bytes.length);
    this.#room(bytes.length);
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  /** The first 8 bytes of an id, given in hex. */
  prefix(text: string): void {
    this.#head(bytesType, prefixBytes);
    this.#room(prefixBytes);
    for (let index = 0; index < prefixBytes; index++)
      this.#bytes[this.#at++] = (digitOf(text.charCodeAt(2 * index)) << 4) | digitOf(text.charCodeAt(2 * index + 1));
  }

  /** 8 bytes, given as two integers of 32 bits. */
  eight(high: number, low: number): void {
    this.#head(bytesType, 8);
    this.#room(8);
    for (const word of [high, low])
      for (let shift = 24; shift >= 0; shift -= 8) this.#bytes[this.#at++] = (word >>> shift) & 255;
  }

  /** All that was written, and begins anew. */
  take(): Uint8Array {
    const taken = this.#bytes.slice(0, this.#at);
    this.#at = 0;
    return taken;
  }
}

function digitOf(code: number): number {
  return code < 58 ? code - 48 : code - 87;
}
