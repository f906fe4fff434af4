import { ControlProtocolError } from "./errors.ts";

/** Both sides begin with it: the protocol's name and its version. */
export const preface: Uint8Array = Uint8Array.of(0x52, 0x56, 0x44, 0x43, 1);
const versionAt = preface.length - 1;

/** Largest frame, either way. */
export const maxFrameBytes: number = 16 * 1024 * 1024;
const headBytes = 4;

/** A frame's head: its length in 4 bytes, most significant first. */
export function frameHead(length: number): Uint8Array {
  const head = new Uint8Array(headBytes);
  new DataView(head.buffer).setUint32(0, length);
  return head;
}

/**
 * Cuts an untrusted stream of bytes into frames. Holds no more than one frame and what came with it, and allocates by what came, never by
 * what a head claims. Throws `CONTROL_PROTOCOL`.
 */
export class FrameReader {
  #pieces: Uint8Array[] = [];
  #held = 0;
  #greeted = false;
  /** Length of the frame under way, once its head is complete. */
  #expected: number | undefined;

  /** True once the other side's preface has come. */
  get greeted(): boolean {
    return this.#greeted;
  }

  /** The frames that are complete with these bytes. */
  *push(bytes: Uint8Array): Generator<Uint8Array, void, undefined> {
    this.#pieces.push(bytes);
    this.#held += bytes.length;
    if (!this.#greeted) {
      if (this.#held < preface.length) return;
      checkPreface(this.#take(preface.length));
      this.#greeted = true;
    }
    for (;;) {
      if (this.#expected === undefined) {
        if (this.#held < headBytes) return;
        const head = this.#take(headBytes);
        this.#expected = new DataView(head.buffer, head.byteOffset).getUint32(0);
        if (this.#expected > maxFrameBytes) {
          throw new ControlProtocolError(`a frame of ${this.#expected} bytes, at most ${maxFrameBytes}`);
        }
      }
      if (this.#held < this.#expected) return;
      const frame = this.#take(this.#expected);
      this.#expected = undefined;
      yield frame;
    }
  }

  #take(length: number): Uint8Array {
    const all = this.#pieces.length === 1 ? (this.#pieces[0] as Uint8Array) : concatenate(this.#pieces, this.#held);
    this.#held -= length;
    this.#pieces = this.#held === 0 ? [] : [all.subarray(length)];
    return all.subarray(0, length);
  }
}

function checkPreface(found: Uint8Array): void {
  if (found.subarray(0, versionAt).some((byte, index) => byte !== preface[index])) {
    throw new ControlProtocolError("it does not begin as the protocol does");
  }
  if (found[versionAt] !== preface[versionAt]) {
    throw new ControlProtocolError(`it speaks version ${found[versionAt]}, this program version ${preface[versionAt]}`);
  }
}

function concatenate(pieces: readonly Uint8Array[], length: number): Uint8Array {
  const all = new Uint8Array(length);
  let offset = 0;
  for (const piece of pieces) {
    all.set(piece, offset);
    offset += piece.length;
  }
  return all;
}
