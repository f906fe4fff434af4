import { FabricError, isFabricError } from "../errors.ts";
import { type NodeId, shortId } from "../ids.ts";
import type { Clock } from "../seams/clock.ts";
import type { Duplex, PeerContext, Protocol, ProtocolHandler, TransportChannel } from "../seams/transport.ts";
import type { Failure, Frame } from "./frames.ts";
import { MemoryStream, type StreamCarrier } from "./memory-stream.ts";
import { Pipe, type PipeSurroundings } from "./pipe.ts";
import {
  backpressureError,
  closedError,
  handlerFailedError,
  maxPayloadBytes,
  tooLargeError,
  unsupportedError,
} from "./transport-errors.ts";

/** Every bound of a memory transport. */
export interface MemoryTransportLimits {
  /** Output that waits for a peer on one channel; beyond it `TRANSPORT_BACKPRESSURE`. */
  readonly queueBytes: number;
  /** Requests of a connection that wait for an answer, and those that are being handled. */
  readonly pendingRequests: number;
  /** How far a stream's sender may be ahead of its consumer. */
  readonly streamWindowBytes: number;
  readonly dialTimeoutMs: number;
  /** How long the other side may take to accept a stream. */
  readonly openTimeoutMs: number;
  /** How long a link may be cut before both ends give their connections up. */
  readonly silenceTimeoutMs: number;
}

/** Why an end of a connection is over. */
export type EndReason = "closed" | "timeout" | "local" | "error";

/** What an end needs of the transport that it belongs to. */
export interface EndOwner {
  readonly localId: NodeId;
  readonly clock: Clock;
  readonly limits: MemoryTransportLimits;
  handler(protocol: Protocol): ProtocolHandler | undefined;
  received(peer: NodeId, bytes: number): void;
  sent(peer: NodeId, bytes: number): void;
  attach(end: ConnectionEnd): void;
  ended(end: ConnectionEnd, reason: EndReason): void;
}

/** Somebody waits for the answer to what he has sent. */
export interface Waiting {
  readonly resolve: (payload: Uint8Array) => void;
  readonly reject: (error: unknown) => void;
}

/** One transport's side of a connection: its requests, its streams and the pipe to the other side. */
export class ConnectionEnd implements StreamCarrier {
  readonly peer: NodeId;
  readonly channel: TransportChannel;
  readonly binding: Uint8Array;
  readonly owner: EndOwner;
  /** True from the moment that the owner knows of the connection. */
  attached = false;
  isOpen = true;
  readonly #connection: Connection;
  readonly #aborter = new AbortController();
  readonly #requests = new Map<number, Waiting>();
  readonly #opening = new Map<number, { resolve: (stream: Duplex) => void; reject: (error: unknown) => void }>();
  readonly #streams = new Map<number, MemoryStream>();
  #handled = 0;
  #pipe: Pipe | undefined;

  constructor(connection: Connection, owner: EndOwner, peer: NodeId) {
    this.#connection = connection;
    this.owner = owner;
    this.peer = peer;
    this.channel = connection.channel;
    this.binding = connection.binding;
  }

  get windowBytes(): number {
    return this.owner.limits.streamWindowBytes;
  }

  get queueBytes(): number {
    return this.owner.limits.queueBytes;
  }

  get queuedBytes(): number {
    return this.#pipe?.queuedBytes ?? 0;
  }

  get pendingRequests(): number {
    return this.#requests.size + this.#opening.size;
  }

  connectTo(pipe: Pipe): void {
    this.#pipe = pipe;
  }

  resume(): void {
    this.#pipe?.resume();
  }

  push(frame: Frame): void {
    if (!this.isOpen) return;
    if ("payload" in frame) this.owner.sent(this.peer, frame.payload.length);
    const arrives = this.#pipe?.push(frame) ?? false;
    if (!arrives && frame.type.startsWith("stream-") && "id" in frame) this.#breakStream(frame.id);
  }

  release(id: number): void {
    this.#streams.delete(id);
  }

  /** Sends a request; the returned function stops waiting for its answer. */
  request(protocol: Protocol, payload: Uint8Array, waiting: Waiting): () => void {
    const id = this.#connection.nextId();
    this.#requests.set(id, waiting);
    this.push({ type: "request", id, protocol, payload });
    return () => this.#requests.delete(id);
  }

  /** Asks for a stream; the returned function stops waiting for it and refuses it when it comes. */
  open(
    protocol: Protocol,
    waiting: { resolve: (stream: Duplex) => void; reject: (error: unknown) => void },
  ): () => void {
    const id = this.#connection.nextId();
    this.#opening.set(id, waiting);
    this.push({ type: "stream-open", id, protocol });
    return () => this.#opening.delete(id);
  }

  /** Ends this side: everything that waits rejects, and the other side's kernel hears of it unless it was the one to say so. */
  end(reason: EndReason): void {
    if (!this.isOpen) return;
    if (reason !== "closed") this.#pipe?.push({ type: "fin" });
    this.isOpen = false;
    this.#connection.over();
    const error = closedError(`the ${this.channel} connection to ${shortId(this.peer)} ended (${reason})`);
    for (const waiting of [...this.#requests.values(), ...this.#opening.values()]) waiting.reject(error);
    this.#requests.clear();
    this.#opening.clear();
    for (const stream of [...this.#streams.values()]) stream.break(error);
    this.#aborter.abort(error);
    this.owner.ended(this, reason);
  }

  receive(frame: Frame): void {
    if (!this.isOpen) return;
    // The other side may speak before word of its consent has arrived.
    this.owner.attach(this);
    if ("payload" in frame) this.owner.received(this.peer, frame.payload.length);
    switch (frame.type) {
      case "fin":
        return this.end("closed");
      case "message":
        return this.#onMessage(frame.protocol, frame.payload);
      case "request":
        return this.#onRequest(frame.id, frame.protocol, frame.payload);
      case "response":
        return this.#takeRequest(frame.id)?.resolve(frame.payload);
      case "failure":
        return this.#takeRequest(frame.id)?.reject(errorOf(frame.failure));
      case "stream-open":
        return this.#onStreamOpen(frame.id, frame.protocol);
      case "stream-accepted":
        return this.#onStreamAccepted(frame.id);
      case "stream-refused":
        return this.#takeOpening(frame.id)?.reject(errorOf(frame.failure));
      case "stream-data":
        return this.#streams.get(frame.id)?.onData(frame.payload);
      case "stream-credit":
        return this.#streams.get(frame.id)?.onCredit(frame.bytes);
      case "stream-end":
        return this.#streams.get(frame.id)?.onEnd();
      case "stream-abort":
        this.#takeOpening(frame.id)?.reject(closedError("the stream was aborted by the other side"));
        return this.#streams.get(frame.id)?.break(closedError("the stream was aborted by the other side"));
    }
  }

  #takeRequest(id: number): Waiting | undefined {
    const waiting = this.#requests.get(id);
    this.#requests.delete(id);
    return waiting;
  }

  #takeOpening(id: number): { resolve: (stream: Duplex) => void; reject: (error: unknown) => void } | undefined {
    const waiting = this.#opening.get(id);
    this.#opening.delete(id);
    return waiting;
  }

  #context(protocol: Protocol): PeerContext {
    return { peer: this.peer, protocol, signal: this.#aborter.signal };
  }

  #onMessage(protocol: Protocol, payload: Uint8Array): void {
    try {
      this.owner.handler(protocol)?.onMessage?.(payload, this.#context(protocol));
    } catch {
      // A message has no answer that could carry the error, and one peer's bytes must not stop what comes after them.
    }
  }

  #onRequest(id: number, protocol: Protocol, payload: Uint8Array): void {
    const onRequest = this.owner.handler(protocol)?.onRequest;
    const { pendingRequests } = this.owner.limits;
    if (onRequest === undefined) return this.#fail(id, unsupportedError(protocol.name, "a request"));
    if (this.#handled >= pendingRequests) {
      return this.#fail(id, backpressureError("requests being handled", this.#handled, pendingRequests));
    }
    this.#handled += 1;
    const answered = async (): Promise<void> => {
      try {
        const response = await onRequest(payload, this.#context(protocol));
        if (response.length > maxPayloadBytes) throw tooLargeError("a response", response.length);
        this.push({ type: "response", id, payload: response.slice() });
      } catch (error) {
        this.#fail(id, isFabricError(error) ? error : handlerFailedError(protocol.name));
      } finally {
        this.#handled -= 1;
      }
    };
    void answered();
  }

  #fail(id: number, error: FabricError): void {
    this.push({ type: "failure", id, failure: failureOf(error) });
  }

  #onStreamOpen(id: number, protocol: Protocol): void {
    const onStream = this.owner.handler(protocol)?.onStream;
    if (onStream === undefined) {
      this.push({ type: "stream-refused", id, failure: failureOf(unsupportedError(protocol.name, "a stream")) });
      return;
    }
    const stream = new MemoryStream(this, id);
    this.#streams.set(id, stream);
    this.push({ type: "stream-accepted", id });
    const served = async (): Promise<void> => {
      try {
        await onStream(stream, this.#context(protocol));
        await stream.close();
      } catch (error) {
        stream.abort(error);
      }
    };
    void served();
  }

  #onStreamAccepted(id: number): void {
    const opening = this.#takeOpening(id);
    if (opening === undefined) {
      // Nobody waits for it any more.
      this.push({ type: "stream-abort", id });
      return;
    }
    const stream = new MemoryStream(this, id);
    this.#streams.set(id, stream);
    opening.resolve(stream);
  }

  #breakStream(id: number): void {
    const error = closedError("a part of the stream was lost");
    this.#connection.breakStream(id, error);
  }

  /** A part of a stream was lost on the way: neither side can go on with it. */
  breakStream(id: number, error: FabricError): void {
    this.#takeOpening(id)?.reject(error);
    this.#streams.get(id)?.break(error);
  }
}

/** A connection between two transports on one channel. */
export class Connection {
  readonly channel: TransportChannel;
  readonly binding: Uint8Array;
  readonly dialer: ConnectionEnd;
  readonly acceptor: ConnectionEnd;
  readonly #onOver: (connection: Connection) => void;
  #ids = 0;

  constructor(
    parts: {
      readonly dialer: EndOwner;
      readonly acceptor: EndOwner;
      readonly channel: TransportChannel;
      readonly binding: Uint8Array;
      readonly surroundings: PipeSurroundings;
    },
    onOver: (connection: Connection) => void,
  ) {
    this.channel = parts.channel;
    this.binding = parts.binding;
    this.#onOver = onOver;
    this.dialer = new ConnectionEnd(this, parts.dialer, parts.acceptor.localId);
    this.acceptor = new ConnectionEnd(this, parts.acceptor, parts.dialer.localId);
    this.dialer.connectTo(this.#pipe(this.dialer, this.acceptor, parts.surroundings));
    this.acceptor.connectTo(this.#pipe(this.acceptor, this.dialer, parts.surroundings));
  }

  get isOpen(): boolean {
    return this.dialer.isOpen && this.acceptor.isOpen;
  }

  endOf(id: NodeId): ConnectionEnd {
    return this.dialer.owner.localId === id ? this.dialer : this.acceptor;
  }

  nextId(): number {
    this.#ids += 1;
    return this.#ids;
  }

  over(): void {
    this.#onOver(this);
  }

  breakStream(id: number, error: FabricError): void {
    this.dialer.breakStream(id, error);
    this.acceptor.breakStream(id, error);
  }

  #pipe(from: ConnectionEnd, to: ConnectionEnd, surroundings: PipeSurroundings): Pipe {
    const link = { from: from.owner.localId, to: to.owner.localId, channel: this.channel, clock: to.owner.clock };
    return new Pipe(link, surroundings, (frame) => to.receive(frame));
  }
}

function failureOf(error: FabricError): Failure {
  return { code: error.code, message: error.message, retryable: error.retryable };
}

function errorOf(failure: Failure): FabricError {
  return new FabricError(failure.code, failure.message, { retryable: failure.retryable });
}
