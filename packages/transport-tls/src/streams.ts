import type { NodeId } from "@revoada/fabric";
import {
  dataHeaderBytes,
  encodeControl,
  type Failure,
  type Frame,
  peekSegment,
  writeDataHeader,
} from "./core/frame.ts";
import { BackpressureError, type ClosedError, ProtocolViolationError } from "./errors.ts";
import type { TransportLimits } from "./limits.ts";
import { MessageBuffers } from "./message-buffers.ts";
import { PeerStream, type StreamCarrier } from "./stream.ts";
import type { Wire } from "./wire.ts";

/** Streams stop filling the outbox here, so that other frames of the connection wait little. */
const pumpedBytes = 512 * 1024;

interface LargeWish {
  readonly stream: PeerStream;
  readonly bytes: number;
  readonly granted: () => void;
}

/** The streams of one connection: who may send next, and how much memory messages beyond their window may take. */
export class Streams implements StreamCarrier {
  readonly peer: NodeId;
  readonly binding: Uint8Array;
  readonly windowBytes: number;
  readonly queueBytes: number;
  readonly buffers: MessageBuffers = new MessageBuffers();
  readonly #wire: Wire;
  readonly #limits: TransportLimits;
  readonly #open = new Map<number, PeerStream>();
  readonly #ready = new Set<PeerStream>();
  readonly #wishes: LargeWish[] = [];
  #largeFreeBytes: number;
  #lastId: number;
  #localCount = 0;
  #pumping = false;

  constructor(wire: Wire, limits: TransportLimits) {
    this.peer = wire.peer;
    this.binding = wire.binding;
    this.windowBytes = limits.streamWindowBytes;
    this.queueBytes = limits.queueBytes;
    this.#wire = wire;
    this.#limits = limits;
    this.#largeFreeBytes = limits.largeMessageBytes;
    // Diallers use odd numbers and acceptors even ones, so that both may open at once.
    this.#lastId = wire.dialledHere ? -1 : 0;
  }

  /** Streams that are open, either side's. */
  get count(): number {
    return this.#open.size;
  }

  /** Opens a stream from this side. Throws `TRANSPORT_BACKPRESSURE` where too many are open. */
  create(protocol: number): PeerStream {
    if (this.#localCount >= this.#limits.streams) {
      throw new BackpressureError("open streams", this.#localCount, this.#limits.streams);
    }
    do this.#lastId = (this.#lastId + 2) >>> 0;
    while (this.#open.has(this.#lastId));
    const id = this.#lastId;
    this.#localCount += 1;
    const stream = new PeerStream(this, id, 0);
    this.#open.set(id, stream);
    this.#control({ kind: "stream-open", id, protocol, creditBytes: this.windowBytes });
    return stream;
  }

  /** Takes a stream that the other side opens; undefined where too many are open. Throws `TRANSPORT_PROTOCOL_VIOLATION`. */
  accept(id: number, creditBytes: number): PeerStream | undefined {
    if (this.#isLocal(id) || this.#open.has(id))
      throw new ProtocolViolationError(`stream ${id} cannot be opened from there`);
    const open = this.#open.size - this.#localCount;
    if (open >= this.#limits.streams) {
      const { code, message, retryable } = new BackpressureError("open streams", open, this.#limits.streams);
      this.refuse(id, { code, message, retryable });
      return undefined;
    }
    const stream = new PeerStream(this, id, creditBytes);
    this.#open.set(id, stream);
    this.writeCredit(id, this.windowBytes);
    return stream;
  }

  refuse(id: number, failure: Failure): void {
    this.#control({ kind: "stream-abort", id, failure });
  }

  /** Where a segment that begins to arrive belongs, if its message has a buffer. */
  placeFor(head: Uint8Array, bodyBytes: number): Uint8Array | undefined {
    const segment = peekSegment(head, bodyBytes);
    return segment && this.#open.get(segment.id)?.placeFor(segment);
  }

  /** Takes a segment; says whether its bytes are still needed. Throws `TRANSPORT_PROTOCOL_VIOLATION`. */
  onData(frame: Extract<Frame, { readonly kind: "stream-data" }>): "done" | "keeps" {
    return this.#open.get(frame.id)?.onData(frame.totalBytes, frame.last, frame.payload) ?? "done";
  }

  /** Frames of a stream that is gone here were under way when it went, and mean nothing. */
  onFrame(frame: Extract<Frame, { readonly kind: "stream-credit" | "stream-end" | "stream-abort" }>): void {
    const stream = this.#open.get(frame.id);
    if (stream === undefined) return;
    switch (frame.kind) {
      case "stream-credit":
        return stream.onCredit(frame.creditBytes);
      case "stream-end":
        return stream.onEnd();
      case "stream-abort":
        return stream.onAbort(frame.failure);
    }
  }

  /** Writes segments, one per stream in turn, while the outbox is short. */
  pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    for (const stream of this.#ready) {
      if (this.#wire.outbox.queuedBytes >= pumpedBytes) break;
      this.#ready.delete(stream);
      if (!stream.sendable) continue;
      stream.pump();
      // Added again at the end, where this very loop finds it after the others.
      if (stream.sendable) this.#ready.add(stream);
    }
    this.#pumping = false;
  }

  breakAll(error: ClosedError): void {
    for (const stream of [...this.#open.values()]) stream.break(error);
  }

  ready(stream: PeerStream): void {
    this.#ready.add(stream);
    this.pump();
  }

  writeSegment(id: number, totalBytes: number | undefined, last: boolean, payload: Uint8Array): void {
    if (this.#wire.ended) return;
    const { outbox } = this.#wire;
    const offset = outbox.reserve(dataHeaderBytes(totalBytes !== undefined));
    writeDataHeader(outbox.slab, offset, id, totalBytes, last, payload.length);
    outbox.append(payload);
  }

  writeCredit(id: number, creditBytes: number): void {
    this.#control({ kind: "stream-credit", id, creditBytes });
  }

  writeEnd(id: number): void {
    this.#control({ kind: "stream-end", id });
  }

  writeAbort(id: number, failure: Failure): void {
    this.#control({ kind: "stream-abort", id, failure });
  }

  reserveLarge(stream: PeerStream, bytes: number, granted: () => void): void {
    this.#wishes.push({ stream, bytes, granted });
    this.#grantWishes();
  }

  freeLarge(bytes: number): void {
    this.#largeFreeBytes += bytes;
    this.#grantWishes();
  }

  release(stream: PeerStream): void {
    if (!this.#open.delete(stream.id)) return;
    if (this.#open.size === 0) this.buffers.clear();
    this.#ready.delete(stream);
    const index = this.#wishes.findIndex((wish) => wish.stream === stream);
    if (index >= 0) this.#wishes.splice(index, 1);
    this.#grantWishes();
    if (this.#isLocal(stream.id)) this.#localCount -= 1;
  }

  /** In order of asking, so that a very large message is not passed over for ever. */
  #grantWishes(): void {
    for (let wish = this.#wishes[0]; wish !== undefined && wish.bytes <= this.#largeFreeBytes; wish = this.#wishes[0]) {
      this.#wishes.shift();
      this.#largeFreeBytes -= wish.bytes;
      wish.granted();
    }
  }

  #isLocal(id: number): boolean {
    return (id % 2 === 1) === this.#wire.dialledHere;
  }

  #control(frame: Parameters<typeof encodeControl>[0]): void {
    if (!this.#wire.ended) this.#wire.outbox.append(encodeControl(frame));
  }
}
