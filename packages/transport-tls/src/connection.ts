import {
  type Address,
  type Clock,
  type Duplex,
  isFabricError,
  type Logger,
  type Metrics,
  type NodeId,
  type Protocol,
  type RepeatedLines,
  type TransportChannel,
} from "@revoada/fabric";
import {
  decodeFrame,
  encodeControl,
  type Failure,
  type Frame,
  maxFrameBytes,
  maxPayloadBytes,
  messageHeaderBytes,
  requestHeaderBytes,
  responseHeaderBytes,
  writeMessageHeader,
  writeRequestHeader,
  writeResponseHeader,
} from "./core/frame.ts";
import type { TrafficLoad } from "./core/traffic-load.ts";
import {
  BackpressureError,
  ClosedError,
  HandlerFailedError,
  ProtocolViolationError,
  RemoteError,
  TimeoutError,
  TooLargeError,
  UnsupportedError,
} from "./errors.ts";
import type { TransportLimits } from "./limits.ts";
import { Liveness, smoothed } from "./liveness.ts";
import { maxProtocols, type Offer, RemoteProtocols } from "./offers.ts";
import { Streams } from "./streams.ts";
import type { EndReason, Wire } from "./wire.ts";

/** What all connections of a transport share. */
export interface ConnectionHost {
  readonly clock: Clock;
  readonly limits: TransportLimits;
  readonly logger: Logger;
  /** The log of what peers cause. */
  readonly lines: RepeatedLines;
  readonly metrics: Metrics;
  readonly offers: ReadonlyMap<string, Offer>;
  readonly load: TrafficLoad;
  addresses(peer: NodeId): readonly Address[];
  /** What came over a connection was none of what may come. */
  violated(wire: Wire): void;
}

interface PendingRequest {
  readonly resolve: (payload: Uint8Array) => void;
  readonly reject: (error: unknown) => void;
  readonly startedMs: number;
  readonly deadlineMs: number;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
  readonly onAbort: (() => void) | undefined;
}

/** Room beyond the queue's limit for the small frames that answer what the peer sent. */
const replySlackBytes = 1024 * 1024;

/** A connection that both sides have agreed to use: requests, one-way messages and streams in both directions. */
export class Connection {
  readonly peer: NodeId;
  readonly channel: TransportChannel;
  /** The peer's session; a restarted peer has another. */
  readonly session: Uint8Array;
  readonly wire: Wire;
  /** Called once, after everything that waited was rejected. */
  onEnd: (reason: EndReason, cause: Error | undefined) => void = () => {};
  /** Called where the other side would rather keep a connection that was about to be let go. */
  onStay: () => void = () => {};
  roundTripMs: number | undefined;
  readonly #host: ConnectionHost;
  readonly #streams: Streams;
  readonly #liveness: Liveness;
  readonly #abort = new AbortController();
  readonly #remoteProtocols: RemoteProtocols;
  readonly #localProtocols = new Map<string, number>();
  readonly #pending = new Map<number, PendingRequest>();
  #lastRequest = 0;
  #deadlineAtMs = Number.POSITIVE_INFINITY;
  #cancelDeadline: () => void = () => {};
  #handledRequests = 0;
  #handledBytes = 0;

  constructor(wire: Wire, session: Uint8Array, host: ConnectionHost) {
    this.peer = wire.peer;
    this.channel = wire.channel;
    this.session = session;
    this.wire = wire;
    this.#host = host;
    this.#streams = new Streams(wire, host.limits);
    this.#liveness = new Liveness(wire, host, {
      quiet: () => this.#pending.size === 0 && this.#handledRequests === 0 && this.#streams.count === 0,
      canDial: () => host.addresses(wire.peer).length > 0,
      send: (sign) => this.#control(sign),
      measured: (sampleMs) => (this.roundTripMs = smoothed(this.roundTripMs, sampleMs)),
      stayed: () => this.onStay(),
    });
    this.#remoteProtocols = new RemoteProtocols(host.offers, {
      peer: wire.peer,
      channel: wire.channel,
      signal: this.#abort.signal,
    });
    wire.onEnd = (reason, cause) => this.#onWireEnd(reason, cause);
    wire.onDrain = () => this.#streams.pump();
    wire.redirect(
      maxFrameBytes,
      (body, placed) => this.#onFrame(decodeFrame(body, placed)),
      (head, bodyBytes) => this.#streams.placeFor(head, bodyBytes),
    );
  }

  /** Asks and waits. Rejects with `TRANSPORT_BACKPRESSURE`, `_TOO_LARGE`, `_TIMEOUT`, `_CLOSED`, or what the handler threw. */
  request(
    protocol: Protocol,
    payload: Uint8Array,
    timeoutMs: number,
    signal: AbortSignal | undefined,
  ): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      const refusal = this.#refusal(payload.length);
      if (refusal !== undefined) return reject(refusal);
      if (this.#pending.size >= this.#host.limits.pendingRequests) {
        return reject(new BackpressureError("pending requests", this.#pending.size, this.#host.limits.pendingRequests));
      }
      this.#liveness.used();
      const number = this.#numberOf(protocol);
      do this.#lastRequest = (this.#lastRequest + 1) >>> 0;
      while (this.#pending.has(this.#lastRequest));
      const id = this.#lastRequest;
      const startedMs = this.#host.clock.monotonicMs();
      const deadlineMs = startedMs + timeoutMs;
      const onAbort = signal === undefined ? undefined : (): void => this.#settle(id)?.reject(signal.reason);
      if (onAbort !== undefined) signal?.addEventListener("abort", onAbort, { once: true });
      this.#pending.set(id, { resolve, reject, startedMs, deadlineMs, timeoutMs, signal, onAbort });
      if (deadlineMs < this.#deadlineAtMs) this.#armDeadline(startedMs, deadlineMs);
      const { outbox } = this.wire;
      const offset = outbox.reserve(requestHeaderBytes);
      writeRequestHeader(outbox.slab, offset, id, number, payload.length);
      outbox.append(payload);
    });
  }

  /** Sends one way; false where the message was dropped. */
  send(protocol: Protocol, payload: Uint8Array): boolean {
    if (this.#refusal(payload.length) !== undefined) return false;
    if (this.#localProtocols.size >= maxProtocols && !this.#localProtocols.has(protocol.name)) return false;
    this.#liveness.used();
    const number = this.#numberOf(protocol);
    const { outbox } = this.wire;
    const offset = outbox.reserve(messageHeaderBytes);
    writeMessageHeader(outbox.slab, offset, number, payload.length);
    outbox.append(payload);
    return true;
  }

  /** Opens a stream and waits until the other side has accepted it. */
  open(protocol: Protocol, signal: AbortSignal | undefined): Promise<Duplex> {
    return new Promise((resolve, reject) => {
      if (this.wire.ended) return reject(this.#closedError(undefined));
      this.#liveness.used();
      const { openTimeoutMs } = this.#host.limits;
      const stream = this.#streams.create(this.#numberOf(protocol));
      const onAbort = (): void => stream.abort(signal?.reason);
      const cancel = this.#host.clock.schedule(openTimeoutMs, () => {
        const error = new TimeoutError(this.peer, `opening ${protocol.name}`, openTimeoutMs);
        settle(() => reject(error));
        stream.abort(error);
      });
      const settle = (outcome: () => void): void => {
        cancel();
        signal?.removeEventListener("abort", onAbort);
        outcome();
      };
      stream.onOpened = (error) =>
        settle(() =>
          error === undefined ? resolve(stream) : reject((signal?.aborted === true ? signal.reason : error) as Error),
        );
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  /** Looks for signs of life; called at a steady beat. `forgive` where this host itself stood still. */
  tick(nowMs: number, forgive: boolean): void {
    this.#liveness.tick(nowMs, forgive);
  }

  /** True while the other side considers letting the connection go: what is new waits for its answer. */
  get retiring(): boolean {
    return this.#liveness.retiring;
  }

  end(reason: EndReason): void {
    this.wire.end(reason);
  }

  #refusal(bytes: number): Error | undefined {
    if (this.wire.ended) return this.#closedError(undefined);
    if (bytes > maxPayloadBytes) return new TooLargeError("payload", bytes, maxPayloadBytes);
    const queued = this.wire.outbox.queuedBytes;
    if (queued > 0 && queued + bytes > this.#host.limits.queueBytes) {
      this.#host.metrics.count("revoada_transport_backpressure_total", 1, { channel: this.channel });
      return new BackpressureError(`output to this peer on ${this.channel}`, queued, this.#host.limits.queueBytes);
    }
    return undefined;
  }

  #numberOf(protocol: Protocol): number {
    const known = this.#localProtocols.get(protocol.name);
    if (known !== undefined) return known;
    const number = this.#localProtocols.size;
    if (number >= maxProtocols) throw new BackpressureError("protocols of one connection", number, maxProtocols);
    this.#localProtocols.set(protocol.name, number);
    this.#control({ kind: "protocol", index: number, name: protocol.name });
    return number;
  }

  #control(frame: Parameters<typeof encodeControl>[0]): void {
    if (!this.wire.ended) this.wire.outbox.append(encodeControl(frame));
  }

  #onFrame(frame: Frame): "done" | "keeps" {
    if (frame.kind === "ping" || frame.kind === "pong" || frame.kind === "retire" || frame.kind === "stay") {
      this.#liveness.onSign(frame);
      this.#dropSlowReader();
      return "done";
    }
    this.#liveness.used();
    // On the channel of strangers anybody may have much to say.
    if (this.channel !== "join") this.#host.load.frames += 1;
    switch (frame.kind) {
      case "request":
        this.#onRequest(frame.id, frame.protocol, frame.payload);
        break;
      case "response":
        this.#onResponse(frame.id, frame.payload);
        return "keeps";
      case "failure":
        this.#onFailure(frame.id, frame.failure);
        return "done";
      case "message":
        this.#onMessage(frame.protocol, frame.payload);
        return "keeps";
      case "protocol":
        this.#remoteProtocols.introduce(frame.index, frame.name);
        return "done";
      case "stream-open":
        this.#onStreamOpen(frame.id, frame.protocol, frame.creditBytes);
        break;
      case "stream-data":
        return this.#streams.onData(frame);
      case "stream-credit":
      case "stream-end":
      case "stream-abort":
        this.#streams.onFrame(frame);
        break;
    }
    this.#dropSlowReader();
    return frame.kind === "request" ? "keeps" : "done";
  }

  /** A peer that asks and asks and reads no answer must not fill our memory. */
  #dropSlowReader(): void {
    const queued = this.wire.outbox.queuedBytes;
    if (queued <= this.#host.limits.queueBytes + replySlackBytes) return;
    const { peer, channel } = this;
    this.#host.lines.write("warn", "peer does not read its answers", peer, { peer, channel, queued });
    this.end("timeout");
  }

  #onRequest(id: number, number: number, payload: Uint8Array): void {
    const found = this.#remoteProtocols.find(number);
    const onRequest = found?.handler.onRequest;
    if (found === undefined || onRequest === undefined) {
      return this.#fail(id, new UnsupportedError(this.#remoteProtocols.nameOf(number), "a request"), "");
    }
    const { handledRequests, handledRequestBytes } = this.#host.limits;
    if (this.#handledRequests >= handledRequests) {
      return this.#fail(
        id,
        new BackpressureError("requests being handled", this.#handledRequests, handledRequests),
        "",
      );
    }
    if (this.#handledRequests > 0 && this.#handledBytes + payload.length > handledRequestBytes) {
      return this.#fail(id, new BackpressureError("bytes being handled", this.#handledBytes, handledRequestBytes), "");
    }
    this.#handledRequests += 1;
    this.#handledBytes += payload.length;
    const { name } = found.context.protocol;
    let answer: Promise<Uint8Array>;
    try {
      answer = onRequest(payload, found.context);
    } catch (error) {
      this.#handled(payload.length);
      return this.#fail(id, error, name);
    }
    Promise.resolve(answer).then(
      (response) => {
        this.#handled(payload.length);
        this.#respond(id, response, name);
      },
      (error: unknown) => {
        this.#handled(payload.length);
        this.#fail(id, error, name);
      },
    );
  }

  #handled(bytes: number): void {
    this.#handledRequests -= 1;
    this.#handledBytes -= bytes;
  }

  #respond(id: number, payload: Uint8Array, protocol: string): void {
    if (this.wire.ended) return;
    if (!(payload instanceof Uint8Array))
      return this.#fail(id, new TypeError("the handler answered with no bytes"), protocol);
    const refusal = this.#refusal(payload.length);
    if (refusal !== undefined) {
      // The handler has acted: a code that says that nothing was taken would be a lie to whoever asks again.
      const lost = new ClosedError(`the answer was lost: ${refusal.message}`);
      this.#fail(id, isFabricError(refusal, "TRANSPORT_BACKPRESSURE") ? lost : refusal, protocol);
      return this.#dropSlowReader();
    }
    const { outbox } = this.wire;
    const offset = outbox.reserve(responseHeaderBytes);
    writeResponseHeader(outbox.slab, offset, id, payload.length);
    outbox.append(payload);
  }

  #fail(id: number, error: unknown, protocol: string): void {
    this.#control({ kind: "failure", id, failure: this.#failureOf(error, protocol) });
  }

  /** Our own errors travel; what anything else says may be a secret and stays in the log. */
  #failureOf(error: unknown, protocol: string): Failure {
    if (isFabricError(error)) return { code: error.code, message: error.message, retryable: error.retryable };
    const { peer } = this;
    this.#host.lines.write("error", "a protocol handler failed", peer, { peer, protocol, error }, protocol);
    const { code, message, retryable } = new HandlerFailedError(protocol);
    return { code, message, retryable };
  }

  #onResponse(id: number, payload: Uint8Array): void {
    const request = this.#settle(id);
    if (request === undefined) return this.#strayAnswer();
    this.roundTripMs = smoothed(this.roundTripMs, this.wire.receivedAtMs - request.startedMs);
    request.resolve(payload);
  }

  #onFailure(id: number, failure: Failure): void {
    const request = this.#settle(id);
    if (request === undefined) return this.#strayAnswer();
    request.reject(new RemoteError(this.peer, failure.code, failure.message, failure.retryable));
  }

  /** To a request that was given up, or to none that was ever made: nobody is told. */
  #strayAnswer(): void {
    this.#host.metrics.count("revoada_transport_stray_answers_total", 1, { channel: this.channel });
  }

  #onMessage(number: number, payload: Uint8Array): void {
    const found = this.#remoteProtocols.find(number);
    const onMessage = found?.handler.onMessage;
    if (found === undefined || onMessage === undefined) {
      this.#host.metrics.count("revoada_transport_dropped_messages_total", 1, { channel: this.channel });
      return;
    }
    try {
      onMessage(payload, found.context);
    } catch (error) {
      const fields = { peer: this.peer, protocol: found.context.protocol.name, error };
      this.#host.lines.write("error", "a protocol handler failed", this.peer, fields, fields.protocol);
    }
  }

  #onStreamOpen(id: number, number: number, creditBytes: number): void {
    const found = this.#remoteProtocols.find(number);
    const onStream = found?.handler.onStream;
    if (found === undefined || onStream === undefined) {
      const { code, message, retryable } = new UnsupportedError(this.#remoteProtocols.nameOf(number), "a stream");
      return this.#streams.refuse(id, { code, message, retryable });
    }
    const stream = this.#streams.accept(id, creditBytes);
    if (stream === undefined) return;
    const { context } = found;
    // An async wrapper, so that a handler that throws before its first await ends in the same place.
    const run = async (): Promise<void> => onStream(stream, context);
    run().then(
      () => stream.close(),
      (error: unknown) => {
        const { code, message, retryable } = this.#failureOf(error, context.protocol.name);
        stream.abort(new RemoteError(this.peer, code, message, retryable));
      },
    );
  }

  /** Takes a request off the list of those that wait. */
  #settle(id: number): PendingRequest | undefined {
    const request = this.#pending.get(id);
    if (request === undefined) return undefined;
    this.#pending.delete(id);
    if (request.onAbort !== undefined) request.signal?.removeEventListener("abort", request.onAbort);
    return request;
  }

  /** One timer for all requests: deadlines that are met, nearly all, cost nothing. */
  #armDeadline(nowMs: number, deadlineMs: number): void {
    this.#cancelDeadline();
    this.#deadlineAtMs = deadlineMs;
    this.#cancelDeadline = this.#host.clock.schedule(deadlineMs - nowMs, () => this.#onDeadline());
  }

  #onDeadline(): void {
    const nowMs = this.#host.clock.monotonicMs();
    let nextMs = Number.POSITIVE_INFINITY;
    for (const [id, request] of this.#pending) {
      if (request.deadlineMs > nowMs) nextMs = Math.min(nextMs, request.deadlineMs);
      else this.#settle(id)?.reject(new TimeoutError(this.peer, "a request", request.timeoutMs));
    }
    this.#deadlineAtMs = Number.POSITIVE_INFINITY;
    if (nextMs < Number.POSITIVE_INFINITY) this.#armDeadline(nowMs, nextMs);
  }

  #closedError(cause: Error | undefined): ClosedError {
    return new ClosedError(`the ${this.channel} connection to ${this.peer.slice(0, 12)} ended`, cause);
  }

  #onWireEnd(reason: EndReason, cause: Error | undefined): void {
    this.#cancelDeadline();
    if (reason === "error") {
      const violation = cause instanceof ProtocolViolationError;
      if (violation) this.#host.violated(this.wire);
      this.#host.metrics.count("revoada_transport_violations_total", 1, { channel: this.channel });
      const { peer, channel } = this;
      const fields = { peer, channel, violation, error: cause };
      this.#host.lines.write("warn", "connection broken by what came", peer, fields, channel);
    }
    const error = this.#closedError(cause);
    for (const id of [...this.#pending.keys()]) this.#settle(id)?.reject(error);
    this.#streams.breakAll(error);
    this.#abort.abort(error);
    this.onEnd(reason, cause);
  }
}
