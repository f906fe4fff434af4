import { type Duplex, isFabricError, type NodeId, type ReceiveOptions } from "@revoada/fabric";
import type { Failure, SegmentHead } from "./core/frame.ts";
import { maxPayloadBytes } from "./core/frame.ts";
import { messageCost, segmentBytes, segmentCost } from "./core/segment.ts";
import { ReceiveWindow, SendWindow } from "./core/window.ts";
import { BackpressureError, ClosedError, ProtocolViolationError, RemoteError, TooLargeError } from "./errors.ts";
import type { MessageBuffers } from "./message-buffers.ts";

/** Messages from this size on have memory of their own that can be used again. */
const leastReusedBytes = 32 * 1024;

/** What a stream needs of the connection that carries it. */
export interface StreamCarrier {
  readonly peer: NodeId;
  readonly binding: Uint8Array;
  readonly windowBytes: number;
  readonly queueBytes: number;
  /** Memory for large messages. */
  readonly buffers: MessageBuffers;
  writeSegment(id: number, totalBytes: number | undefined, last: boolean, payload: Uint8Array): void;
  writeCredit(id: number, creditBytes: number): void;
  writeEnd(id: number): void;
  writeAbort(id: number, failure: Failure): void;
  /** The stream has something to send and the credit for it. */
  ready(stream: PeerStream): void;
  /** Sets memory aside for a message beyond the window; calls `granted` at once or when others have freed enough. */
  reserveLarge(stream: PeerStream, bytes: number, granted: () => void): void;
  /** Gives back what was set aside. */
  freeLarge(bytes: number): void;
  /** The stream is over in both directions; what it still wished for is withdrawn. */
  release(stream: PeerStream): void;
}

interface Outgoing {
  readonly message: Uint8Array | "end";
  offset: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

interface Incoming {
  readonly message: Uint8Array;
  readonly largeBytes: number;
}

interface Assembly {
  readonly totalBytes: number;
  readonly largeBytes: number;
  /** What came before there was a buffer: within the window, or all of a message of one segment. */
  readonly parts: Uint8Array[];
  /** For the whole message, once memory was set aside for it. */
  buffer: Uint8Array | undefined;
  filled: number;
}

/** One stream over a shared connection; either end may send, each under the other's credit. */
export class PeerStream implements Duplex {
  readonly peer: NodeId;
  readonly channelBinding: Uint8Array;
  readonly id: number;
  /** Called once with the first credit, which is how the other side accepts, or with what it said instead. */
  onOpened: ((error: unknown) => void) | undefined;
  readonly #carrier: StreamCarrier;
  readonly #receiveWindow: ReceiveWindow;
  readonly #sendWindow: SendWindow;
  readonly #outgoing: Outgoing[] = [];
  #outgoingBytes = 0;
  readonly #incoming: Incoming[] = [];
  #assembly: Assembly | undefined;
  #largeHeldBytes = 0;
  #wakers: (() => void)[] = [];
  #closing: Promise<void> | undefined;
  #localEnded = false;
  #remoteEnded = false;
  #broken: ClosedError | undefined;

  constructor(carrier: StreamCarrier, id: number, creditBytes: number) {
    this.peer = carrier.peer;
    this.channelBinding = carrier.binding;
    this.id = id;
    this.#carrier = carrier;
    this.#receiveWindow = new ReceiveWindow(carrier.windowBytes);
    this.#sendWindow = new SendWindow(creditBytes);
  }

  send(message: Uint8Array): Promise<void> {
    if (this.#broken !== undefined) return Promise.reject(this.#broken);
    if (this.#closing !== undefined) return Promise.reject(new ClosedError("the stream's sending side is closed"));
    if (message.length > maxPayloadBytes) {
      return Promise.reject(new TooLargeError("stream message", message.length, maxPayloadBytes));
    }
    const queued = this.#outgoingBytes + messageCost(message.length);
    if (this.#outgoing.length > 0 && queued > this.#carrier.queueBytes) {
      return Promise.reject(new BackpressureError("stream", this.#outgoingBytes, this.#carrier.queueBytes));
    }
    this.#outgoingBytes = queued;
    return this.#enqueue(message);
  }

  async *receive({ reuse = false }: ReceiveOptions = {}): AsyncGenerator<Uint8Array> {
    for (;;) {
      if (this.#broken !== undefined) throw this.#broken;
      const next = this.#incoming.shift();
      if (next !== undefined) {
        this.#consumed(next);
        yield next.message;
        if (reuse && next.message.length >= leastReusedBytes) this.#carrier.buffers.give(next.message);
      } else if (this.#remoteEnded) {
        return;
      } else {
        await new Promise<void>((resolve) => this.#wakers.push(resolve));
      }
    }
  }

  close(): Promise<void> {
    if (this.#broken !== undefined) return Promise.resolve();
    this.#closing ??= this.#enqueue("end");
    return this.#closing;
  }

  abort(reason?: unknown): void {
    if (this.#broken !== undefined || (this.#localEnded && this.#remoteEnded)) return;
    const failure = isFabricError(reason)
      ? { code: reason.code, message: reason.message, retryable: reason.retryable }
      : { code: "TRANSPORT_CLOSED", message: "the stream was aborted", retryable: true };
    this.#carrier.writeAbort(this.id, failure);
    this.break(new ClosedError("the stream was aborted here", reason));
  }

  /** True while a segment could leave now. */
  get sendable(): boolean {
    const next = this.#outgoing[0];
    if (next === undefined || this.#broken !== undefined) return false;
    return (
      next.message === "end" ||
      this.#sendWindow.creditBytes >= segmentCost(this.#nextSegmentBytes(next.message, next.offset))
    );
  }

  /** Hands the next segment to the carrier. Called only while {@link sendable}. */
  pump(): void {
    const next = this.#outgoing[0] as Outgoing;
    if (next.message === "end") {
      this.#outgoing.shift();
      this.#localEnded = true;
      this.#carrier.writeEnd(this.id);
      next.resolve();
      this.#releaseIfOver();
      return;
    }
    const { message, offset } = next;
    const bytes = this.#nextSegmentBytes(message, offset);
    const last = offset + bytes === message.length;
    this.#sendWindow.use(segmentCost(bytes));
    const payload = bytes === message.length ? message : message.subarray(offset, offset + bytes);
    this.#carrier.writeSegment(this.id, offset === 0 ? message.length : undefined, last, payload);
    next.offset = offset + bytes;
    if (!last) return;
    this.#outgoing.shift();
    this.#outgoingBytes -= messageCost(message.length);
    next.resolve();
  }

  /**
   * Where a segment belongs that begins to arrive: in the buffer of the message under way, or in one of its own where it is a large message by
   * itself. Undefined where it has no buffer or does not fit in it.
   */
  placeFor({ payloadBytes, totalBytes }: SegmentHead): Uint8Array | undefined {
    if (totalBytes !== undefined) {
      const alone = totalBytes === payloadBytes && totalBytes >= leastReusedBytes && totalBytes <= segmentBytes;
      return alone ? this.#carrier.buffers.take(totalBytes) : undefined;
    }
    const { buffer, filled } = this.#assembly ?? {};
    if (buffer === undefined || filled === undefined || filled + payloadBytes > buffer.length) return undefined;
    return buffer.subarray(filled, filled + payloadBytes);
  }

  /** Takes a segment from the wire; says whether its bytes are still needed. Throws `TRANSPORT_PROTOCOL_VIOLATION`. */
  onData(totalBytes: number | undefined, last: boolean, payload: Uint8Array): "done" | "keeps" {
    if (this.#broken !== undefined) return "done";
    if (this.#remoteEnded) throw new ProtocolViolationError(`data on stream ${this.id} after its end`);
    // Before memory is set aside for the rest: the first segment must have had its credit.
    this.#receiveWindow.receive(segmentCost(payload.length));
    const assembly = totalBytes === undefined ? this.#assembly : this.#begin(totalBytes, segmentCost(payload.length));
    if (assembly === undefined)
      throw new ProtocolViolationError(`stream ${this.id} continues a message that never began`);
    const offset = assembly.filled;
    const end = offset + payload.length;
    const complete = end === assembly.totalBytes;
    if (end > assembly.totalBytes || last !== complete || (!last && payload.length !== segmentBytes)) {
      throw new ProtocolViolationError(`segment of ${payload.length} bytes at ${offset} of ${assembly.totalBytes}`);
    }
    assembly.filled = end;
    const { buffer } = assembly;
    if (buffer === undefined) assembly.parts.push(payload);
    // What was placed lies there already.
    else if (payload.buffer !== buffer.buffer) buffer.set(payload, offset);
    if (complete) {
      this.#assembly = undefined;
      this.#incoming.push({ message: buffer ?? joined(assembly.parts), largeBytes: assembly.largeBytes });
      this.#wake();
    }
    return buffer === undefined ? "keeps" : "done";
  }

  /** Takes credit from the wire. Throws `TRANSPORT_PROTOCOL_VIOLATION`. */
  onCredit(creditBytes: number): void {
    if (this.#broken !== undefined) return;
    this.#sendWindow.add(creditBytes);
    this.#opened(undefined);
    if (this.sendable) this.#carrier.ready(this);
  }

  /** The other side sends no more. */
  onEnd(): void {
    if (this.#broken !== undefined) return;
    if (this.#remoteEnded || this.#assembly !== undefined) {
      throw new ProtocolViolationError(`stream ${this.id} ended twice or within a message`);
    }
    this.#remoteEnded = true;
    this.#wake();
    this.#releaseIfOver();
  }

  /** The other side broke off. */
  onAbort(failure: Failure): void {
    const cause = new RemoteError(this.peer, failure.code, failure.message, failure.retryable);
    this.#opened(cause);
    this.break(new ClosedError("the stream was aborted by the other side", cause));
  }

  /** Ends both directions without a word; what was received and not yet taken is dropped. */
  break(error: ClosedError): void {
    if (this.#broken !== undefined) return;
    this.#broken = error;
    this.#opened(error);
    this.#incoming.length = 0;
    this.#assembly = undefined;
    for (const waiting of this.#outgoing.splice(0)) waiting.reject(error);
    this.#wake();
    this.#carrier.release(this);
    this.#carrier.freeLarge(this.#largeHeldBytes);
    this.#largeHeldBytes = 0;
  }

  #begin(totalBytes: number, receivedCost: number): Assembly {
    if (this.#assembly !== undefined)
      throw new ProtocolViolationError(`stream ${this.id} began a message within another`);
    const cost = messageCost(totalBytes);
    const large = cost > this.#receiveWindow.windowBytes;
    const assembly: Assembly = { totalBytes, largeBytes: large ? cost : 0, parts: [], buffer: undefined, filled: 0 };
    this.#assembly = assembly;
    if (large) {
      // One at a time: whoever does not consume the last one is not sent more than a window beyond it.
      if (this.#largeHeldBytes === 0) this.#reserve(assembly);
      return assembly;
    }
    if (totalBytes > segmentBytes) this.#prepare(assembly);
    // A message within the window needs no more than what the consumer frees, but all of that.
    if (this.#receiveWindow.shortfall(cost - receivedCost) > 0) this.#credit(this.#receiveWindow.refill());
    return assembly;
  }

  /** Asks for memory for all of a message larger than the window, so that the window is left for the message behind it. */
  #reserve(assembly: Assembly): void {
    const { largeBytes } = assembly;
    this.#carrier.reserveLarge(this, largeBytes, () => {
      this.#prepare(assembly);
      this.#largeHeldBytes += largeBytes;
      this.#receiveWindow.grant(largeBytes);
      this.#carrier.writeCredit(this.id, largeBytes);
    });
  }

  /** Gives a message its buffer, with what has come of it so far. */
  #prepare(assembly: Assembly): void {
    // Never read before it is overwritten: a message is handed out only when every byte of it has come.
    const buffer = this.#carrier.buffers.take(assembly.totalBytes);
    let offset = 0;
    for (const part of assembly.parts.splice(0)) {
      buffer.set(part, offset);
      offset += part.length;
    }
    assembly.buffer = buffer;
  }

  #consumed(incoming: Incoming): void {
    if (incoming.largeBytes > 0) {
      this.#largeHeldBytes -= incoming.largeBytes;
      this.#carrier.freeLarge(incoming.largeBytes);
    }
    const credit = this.#receiveWindow.consume(messageCost(incoming.message.length));
    this.#credit(this.#assembly === undefined ? credit : credit + this.#receiveWindow.refill());
    // Consumed was the only one; what comes now has waited for it.
    if (incoming.largeBytes > 0 && this.#assembly !== undefined && this.#assembly.largeBytes > 0)
      this.#reserve(this.#assembly);
  }

  #credit(bytes: number): void {
    if (bytes > 0 && !this.#remoteEnded) this.#carrier.writeCredit(this.id, bytes);
  }

  #enqueue(message: Uint8Array | "end"): Promise<void> {
    const sent = new Promise<void>((resolve, reject) => {
      this.#outgoing.push({ message, offset: 0, resolve, reject });
    });
    // A caller may look at the outcome later, or (of `close`) never.
    sent.catch(() => {});
    if (this.sendable) this.#carrier.ready(this);
    return sent;
  }

  #nextSegmentBytes(message: Uint8Array, offset: number): number {
    return Math.min(segmentBytes, message.length - offset);
  }

  #opened(error: unknown): void {
    const { onOpened } = this;
    this.onOpened = undefined;
    onOpened?.(error);
  }

  #wake(): void {
    const wakers = this.#wakers;
    if (wakers.length === 0) return;
    this.#wakers = [];
    for (const wake of wakers) wake();
  }

  #releaseIfOver(): void {
    if (this.#localEnded && this.#remoteEnded) this.#carrier.release(this);
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const [only] = parts;
  return parts.length === 1 && only !== undefined ? only : Buffer.concat(parts);
}
