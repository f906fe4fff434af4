import { type FabricError, isFabricError } from "../errors.ts";
import type { NodeId } from "../ids.ts";
import type { Duplex } from "../seams/transport.ts";
import { type Frame, messageBytes } from "./frames.ts";
import { backpressureError, closedError, maxPayloadBytes, tooLargeError } from "./transport-errors.ts";

/** What a stream needs of the connection that carries it. */
export interface StreamCarrier {
  readonly peer: NodeId;
  readonly binding: Uint8Array;
  readonly windowBytes: number;
  readonly queueBytes: number;
  push(frame: Frame): void;
  release(id: number): void;
}

interface Outgoing {
  readonly message: Uint8Array | "end";
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** One stream. A sender runs ahead of the consumer by one window at most. */
export class MemoryStream implements Duplex {
  readonly peer: NodeId;
  readonly channelBinding: Uint8Array;
  readonly id: number;
  readonly #carrier: StreamCarrier;
  readonly #outgoing: Outgoing[] = [];
  readonly #incoming: Uint8Array[] = [];
  #outgoingBytes = 0;
  #uncreditedBytes = 0;
  #wakers: (() => void)[] = [];
  #closing: Promise<void> | undefined;
  #localEnded = false;
  #remoteEnded = false;
  #broken: FabricError | undefined;

  constructor(carrier: StreamCarrier, id: number) {
    this.peer = carrier.peer;
    this.channelBinding = carrier.binding.slice();
    this.id = id;
    this.#carrier = carrier;
  }

  send(message: Uint8Array): Promise<void> {
    if (this.#broken !== undefined) return Promise.reject(this.#broken);
    if (this.#closing !== undefined) return Promise.reject(closedError("the stream's sending side is closed"));
    if (message.length > maxPayloadBytes) return Promise.reject(tooLargeError("a stream message", message.length));
    const queued = this.#outgoingBytes + messageBytes(message);
    if (this.#outgoing.length > 0 && queued > this.#carrier.queueBytes) {
      return Promise.reject(backpressureError("stream", this.#outgoingBytes, this.#carrier.queueBytes));
    }
    this.#outgoingBytes = queued;
    return this.#enqueue(message.slice());
  }

  async *receive(): AsyncGenerator<Uint8Array> {
    for (;;) {
      if (this.#broken !== undefined) throw this.#broken;
      const message = this.#incoming.shift();
      if (message !== undefined) {
        if (!this.#remoteEnded)
          this.#carrier.push({ type: "stream-credit", id: this.id, bytes: messageBytes(message) });
        yield message;
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
    this.#carrier.push({ type: "stream-abort", id: this.id });
    this.break(isFabricError(reason, "TRANSPORT_CLOSED") ? reason : closedError("the stream was aborted here"));
  }

  onData(message: Uint8Array): void {
    if (this.#broken !== undefined) return;
    this.#incoming.push(message);
    this.#wake();
  }

  onCredit(bytes: number): void {
    this.#uncreditedBytes -= bytes;
    this.#pump();
  }

  onEnd(): void {
    this.#remoteEnded = true;
    this.#wake();
    this.#releaseIfOver();
  }

  /** Ends both directions; what was received and not yet taken is dropped. */
  break(error: FabricError): void {
    if (this.#broken !== undefined) return;
    this.#broken = error;
    this.#incoming.length = 0;
    for (const waiting of this.#outgoing.splice(0)) waiting.reject(error);
    this.#wake();
    this.#carrier.release(this.id);
  }

  #enqueue(message: Uint8Array | "end"): Promise<void> {
    const sent = new Promise<void>((resolve, reject) => {
      this.#outgoing.push({ message, resolve, reject });
    });
    // A caller may look at the outcome later, or (of `close`) never.
    sent.catch(() => {});
    this.#pump();
    return sent;
  }

  #pump(): void {
    for (let next = this.#outgoing[0]; next !== undefined && this.#broken === undefined; next = this.#outgoing[0]) {
      if (next.message === "end") {
        this.#outgoing.shift();
        this.#localEnded = true;
        this.#carrier.push({ type: "stream-end", id: this.id });
        next.resolve();
        this.#releaseIfOver();
        return;
      }
      const bytes = messageBytes(next.message);
      // A message larger than the window goes alone.
      if (this.#uncreditedBytes > 0 && this.#uncreditedBytes + bytes > this.#carrier.windowBytes) return;
      this.#outgoing.shift();
      this.#outgoingBytes -= bytes;
      this.#uncreditedBytes += bytes;
      this.#carrier.push({ type: "stream-data", id: this.id, payload: next.message });
      next.resolve();
    }
  }

  #wake(): void {
    for (const wake of this.#wakers.splice(0)) wake();
  }

  #releaseIfOver(): void {
    if (this.#localEnded && this.#remoteEnded) this.#carrier.release(this.id);
  }
}
