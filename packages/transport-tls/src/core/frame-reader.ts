import { ProtocolViolationError } from "../errors.ts";
import { prefixBytes, readUint32, segmentHeadBytes } from "./frame.ts";

/**
 * Takes the body of one frame: a view into what was received, or bytes of its own when the frame came in pieces.
 *
 * Where the end of the body was written to a place that a {@link FramePlacer} named, `placed` is that place and `body` only what stands
 * before it. Returns `done` where it has no more use for the bytes, which may then be written over.
 */
export type FrameSink = (body: Uint8Array, placed: Uint8Array | undefined) => "done" | "keeps";

/**
 * Says where the end of a frame may be written at once as it arrives, or undefined where it may be anywhere.
 *
 * `head` is the beginning of a body of `bodyBytes`. The place must be shorter than the body, by no more than `head` is long.
 */
export type FramePlacer = (head: Uint8Array, bodyBytes: number) => Uint8Array | undefined;

const nowhere: FramePlacer = () => undefined;

/** Up to this size a frame in pieces gets its whole buffer at once; a larger one only grows as its bytes arrive. */
const eagerBytes = 1024 * 1024;

/**
 * Cuts a byte stream into frames.
 *
 * Holds at most one incomplete frame: twice what of it has arrived plus 1 MiB, whatever length its prefix claims.
 */
export class FrameReader {
  readonly #allocate: (bytes: number) => Uint8Array;
  #maxBytes: number;
  #sink: FrameSink;
  #placer: FramePlacer = nowhere;
  /** Where the rest of the incomplete frame goes, and what came before it. Only the first `#filled` bytes of it are valid. */
  #place: { readonly head: Uint8Array; readonly target: Uint8Array } | undefined;
  /** Bytes of the incomplete frame, prefix included; only the first `#filled` are valid. */
  #partial: Uint8Array | undefined;
  #filled = 0;
  /** Bytes that a sink was done with, for the next frame in pieces. */
  #spare: Uint8Array | undefined;
  #stopped = false;
  #frames = 0;

  /** `allocate` may give bytes of any content: none is handed out before it was received. */
  constructor(
    maxBytes: number,
    sink: FrameSink,
    allocate: (bytes: number) => Uint8Array = (bytes) => new Uint8Array(bytes),
  ) {
    this.#allocate = allocate;
    this.#maxBytes = maxBytes;
    this.#sink = sink;
  }

  /** Frames handed out so far. */
  get frames(): number {
    return this.#frames;
  }

  /** Bytes of a frame that has begun and has not ended; 0 between frames. */
  get partialBytes(): number {
    if (this.#place !== undefined) return prefixBytes + this.#place.head.length + this.#filled;
    return this.#partial === undefined ? 0 : this.#filled;
  }

  /** Gives the frames that follow, also those of the chunk being read, to another sink under another limit. */
  redirect(maxBytes: number, sink: FrameSink, placer: FramePlacer = nowhere): void {
    this.#maxBytes = maxBytes;
    this.#sink = sink;
    this.#placer = placer;
  }

  /** Drops what is held and ignores all that follows. */
  stop(): void {
    this.#stopped = true;
    this.#partial = undefined;
    this.#place = undefined;
    this.#spare = undefined;
  }

  /**
   * Takes the next bytes and hands out each frame that they complete; says whether a sink keeps a view into the chunk itself, of which
   * nobody has any use otherwise. Throws `TRANSPORT_PROTOCOL_VIOLATION`.
   */
  push(chunk: Uint8Array): "done" | "keeps" {
    let kept: "done" | "keeps" = "done";
    let offset =
      this.#place !== undefined ? this.#fillPlace(chunk) : this.#partial === undefined ? 0 : this.#resume(chunk);
    while (!this.#stopped && offset < chunk.length) {
      const available = chunk.length - offset;
      const end = available < prefixBytes ? offset + prefixBytes : this.#endOf(chunk, offset);
      if (end > chunk.length) {
        this.#keep(chunk, offset, end - offset);
        break;
      }
      this.#frames += 1;
      if (this.#sink(chunk.subarray(offset + prefixBytes, end), undefined) === "keeps") kept = "keeps";
      offset = end;
    }
    return kept;
  }

  #endOf(chunk: Uint8Array, offset: number): number {
    return offset + prefixBytes + this.#check(readUint32(chunk, offset));
  }

  #check(bytes: number): number {
    if (bytes === 0 || bytes > this.#maxBytes) {
      throw new ProtocolViolationError(`frame of ${bytes} bytes, expected 1 to ${this.#maxBytes}`);
    }
    return bytes;
  }

  #keep(chunk: Uint8Array, offset: number, needed: number): void {
    const rest = chunk.subarray(offset);
    if (rest.length >= prefixBytes + segmentHeadBytes && this.#begin(rest.subarray(prefixBytes), needed - prefixBytes))
      return;
    this.#partial = this.#take(Math.max(rest.length, Math.min(needed, eagerBytes)));
    this.#partial.set(rest);
    this.#filled = rest.length;
  }

  /** Begins a frame of which the end has a place; false where it has none. */
  #begin(body: Uint8Array, bodyBytes: number): boolean {
    const target = this.#placer(body, bodyBytes);
    if (target === undefined) return false;
    const fields = bodyBytes - target.length;
    // Copied by a constructor: `slice` of Node's Buffer is a view into the chunk, which is not kept.
    this.#place = { head: new Uint8Array(body.subarray(0, fields)), target };
    target.set(body.subarray(fields));
    this.#filled = body.length - fields;
    return true;
  }

  /** Completes the frame that has a place from the start of `chunk`; returns how many of its bytes were taken. */
  #fillPlace(chunk: Uint8Array): number {
    const { head, target } = this.#place as { readonly head: Uint8Array; readonly target: Uint8Array };
    const missing = target.length - this.#filled;
    const taken = Math.min(missing, chunk.length);
    target.set(taken === chunk.length ? chunk : chunk.subarray(0, taken), this.#filled);
    this.#filled += taken;
    if (taken === missing) {
      this.#place = undefined;
      this.#frames += 1;
      this.#sink(head, target);
    }
    return taken;
  }

  /** Completes the frame in pieces from the start of `chunk`; returns how many of its bytes were taken. */
  #resume(chunk: Uint8Array): number {
    let taken = 0;
    if (this.#filled < prefixBytes) {
      taken = Math.min(prefixBytes - this.#filled, chunk.length);
      this.#fill(chunk.subarray(0, taken), prefixBytes);
      if (this.#filled < prefixBytes) return taken;
    }
    const partial = this.#partial as Uint8Array;
    const needed = prefixBytes + this.#check(readUint32(partial, 0));
    const missing = Math.min(needed - this.#filled, chunk.length - taken);
    this.#fill(chunk.subarray(taken, taken + missing), needed);
    if (this.#filled === needed) {
      const whole = this.#partial as Uint8Array;
      this.#partial = undefined;
      this.#frames += 1;
      const verdict = this.#sink(whole.subarray(prefixBytes, needed), undefined);
      if (verdict === "done" && !this.#stopped) this.#spare = whole;
    }
    return taken + missing;
  }

  #take(bytes: number): Uint8Array {
    const spare = this.#spare;
    // A small frame must not keep a large buffer.
    if (spare === undefined || spare.length < bytes || spare.length > bytes * 2) return this.#allocate(bytes);
    this.#spare = undefined;
    return spare;
  }

  #fill(bytes: Uint8Array, needed: number): void {
    let partial = this.#partial as Uint8Array;
    const filled = this.#filled + bytes.length;
    if (filled > partial.length) {
      const grown = this.#take(Math.min(needed, Math.max(eagerBytes, filled * 2)));
      grown.set(partial.subarray(0, this.#filled));
      this.#partial = partial = grown;
    }
    partial.set(bytes, this.#filled);
    this.#filled = filled;
  }
}
