import type { AdmissionPolicy, NodeId, Protocol, TransportChannel, TransportEvent } from "@revoada/fabric";
import { Connection, type ConnectionHost } from "./connection.ts";
import { backoffMs } from "./core/backoff.ts";
import { maxPayloadBytes } from "./core/frame.ts";
import { settle } from "./core/settle.ts";
import { Dial, type DialOutcome } from "./dial.ts";
import type { DialOptions } from "./dial-race.ts";
import {
  BackpressureError,
  ClosedError,
  NoAddressError,
  NotAdmittedError,
  TimeoutError,
  UnreachableError,
} from "./errors.ts";
import type { Inbound } from "./inbound.ts";
import type { EndReason, Wire } from "./wire.ts";

/** What a slot needs of the transport. */
export interface SlotHost extends ConnectionHost {
  readonly localId: NodeId;
  readonly session: Uint8Array;
  admission: AdmissionPolicy;
  dialOptions(): DialOptions;
  jitter(): number;
  emit(event: TransportEvent): void;
}

interface Waiter {
  readonly bytes: number;
  readonly resolve: (connection: Connection) => void;
  readonly reject: (error: unknown) => void;
}

/** A connection that ends sooner than this counts as a failed dial, so that two nodes that disagree do not spin. */
const shortLivedMs = 1000;

/** The one connection to one peer on one channel: in use, being dialled, or wanted. */
export class Slot {
  readonly peer: NodeId;
  readonly channel: TransportChannel;
  readonly #host: SlotHost;
  #live: Connection | undefined;
  #liveSinceMs = 0;
  #dial: Dial | undefined;
  /** The newest inbound connection that is neither welcomed nor refused. */
  #inbound: Inbound | undefined;
  #held = false;
  #yielding = false;
  #cancelYield: () => void = () => {};
  #cancelRetry: (() => void) | undefined;
  /** True while a connection that was in use is missing, and nobody here ended it. */
  #lost = false;
  #failures = 0;
  #notBeforeMs = Number.NEGATIVE_INFINITY;
  readonly #messages: { readonly protocol: Protocol; readonly payload: Uint8Array }[] = [];
  readonly #waiters = new Set<Waiter>();
  #waitingBytes = 0;
  #pastSentBytes = 0;
  #pastReceivedBytes = 0;
  #roundTripMs: number | undefined;

  constructor(peer: NodeId, channel: TransportChannel, host: SlotHost) {
    this.peer = peer;
    this.channel = channel;
    this.#host = host;
  }

  /** The connection in use. */
  get live(): Connection | undefined {
    return this.#live;
  }

  /** The connection, where something new may be sent over it. */
  get usable(): Connection | undefined {
    return this.#live?.retiring === true ? undefined : this.#live;
  }

  /** True where forgetting this slot loses nothing. */
  get idle(): boolean {
    return (
      this.#live === undefined &&
      this.#dial === undefined &&
      this.#inbound === undefined &&
      !this.#yielding &&
      this.#waiters.size === 0
    );
  }

  get queuedBytes(): number {
    return this.#waitingBytes + (this.#live?.wire.outbox.queuedBytes ?? 0);
  }

  get sentBytes(): number {
    return this.#pastSentBytes + (this.#live?.wire.outbox.writtenBytes ?? 0);
  }

  get receivedBytes(): number {
    return this.#pastReceivedBytes + (this.#live?.wire.receivedBytes ?? 0);
  }

  get roundTripMs(): number | undefined {
    return this.#live?.roundTripMs ?? this.#roundTripMs;
  }

  /** Sends now, or queues and dials; false where the message was dropped. */
  send(protocol: Protocol, payload: Uint8Array): boolean {
    const { usable } = this;
    if (usable !== undefined) return usable.send(protocol, payload);
    if (payload.length > maxPayloadBytes || !this.#admitted()) return false;
    if (this.#waitingBytes > 0 && this.#waitingBytes + payload.length > this.#host.limits.queueBytes) return false;
    if (this.#messages.length >= this.#host.limits.pendingRequests) return false;
    if (!this.#connecting) {
      // One-way messages are worth a dial but not a wait: what is said after the pause is newer.
      if (this.#host.clock.monotonicMs() < this.#notBeforeMs) return false;
      if (this.#host.addresses(this.peer).length === 0) return false;
      this.#startDial();
    }
    this.#messages.push({ protocol, payload });
    this.#waitingBytes += payload.length;
    return true;
  }

  /** The connection, once there is one. `bytes` are what the caller will send over it. */
  connect(bytes: number, timeoutMs: number, signal: AbortSignal | undefined): Promise<Connection> {
    const { usable } = this;
    if (usable !== undefined) return Promise.resolve(usable);
    const refusal = this.#waitRefusal(bytes);
    if (refusal !== undefined) return Promise.reject(refusal);
    return new Promise((resolve, reject) => {
      const finish = (): void => {
        cancel();
        signal?.removeEventListener("abort", onAbort);
        if (this.#waiters.delete(waiter)) this.#waitingBytes -= bytes;
      };
      const waiter: Waiter = {
        bytes,
        resolve: (connection) => {
          finish();
          resolve(connection);
        },
        reject: (error) => {
          finish();
          reject(error);
        },
      };
      const onAbort = (): void => waiter.reject(signal?.reason);
      const cancel = this.#host.clock.schedule(timeoutMs, () =>
        waiter.reject(new TimeoutError(this.peer, "connecting", timeoutMs)),
      );
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#waiters.add(waiter);
      this.#waitingBytes += bytes;
      this.#ensureDial();
    });
  }

  /** The peer was heard of at other places: what failed before says nothing about them. */
  addressesChanged(): void {
    this.#failures = 0;
    this.#notBeforeMs = Number.NEGATIVE_INFINITY;
    if (this.#cancelRetry === undefined) return;
    this.#cancelRetry();
    this.#cancelRetry = undefined;
    this.#ensureDial();
  }

  /** The peer is said to be back: no pause holds any longer, and a connection that was lost, or that somebody waits for, is dialled. */
  redial(): void {
    this.addressesChanged();
    if (!this.#lost || this.#live !== undefined || this.#connecting) return;
    if (this.#admitted() && this.#host.addresses(this.peer).length > 0) this.#startDial();
  }

  /** Asks the policy again. */
  recheckAdmission(): void {
    if (this.#admitted()) return;
    this.#inbound?.refuse("not-admitted");
    this.#live?.end("local");
    this.#dial?.cancel();
    this.#dial = undefined;
    this.#fail(new NotAdmittedError(this.peer, this.channel, "local"));
  }

  /** Ends everything; nothing is dialled afterwards. */
  shutdown(): void {
    this.#cancelTimers();
    this.#dial?.cancel();
    this.#dial = undefined;
    this.#inbound?.wire.end("local");
    this.#live?.end("local");
    this.#fail(new ClosedError("the transport was shut down"));
  }

  tick(nowMs: number, forgive: boolean): void {
    this.#live?.tick(nowMs, forgive);
  }

  /** A dialler that is admitted said hello. */
  onHello(inbound: Inbound): void {
    this.#inbound?.wire.end("local");
    this.#inbound = inbound;
    this.#held = false;
    const live = this.#live;
    const settlement = settle({
      localIsLower: this.#host.localId < this.peer,
      dial: this.#dial?.stage ?? "none",
      live: live && { dialledHere: live.wire.dialledHere, sameSession: equal(live.session, inbound.session) },
    });
    switch (settlement) {
      case "welcome":
        return this.#welcome(inbound);
      case "hold":
        this.#held = true;
        return;
      case "duplicate-pending":
        return inbound.refuse("duplicate-pending");
      case "duplicate-live":
        if (live !== undefined) inbound.nameDuplicate(live.wire.binding);
    }
  }

  /** The dialler does not have the connection in use: nobody does. */
  onInsist(inbound: Inbound): void {
    if (this.#inbound !== inbound) return;
    if (!this.#admitted()) return inbound.refuse("not-admitted");
    this.#welcome(inbound);
  }

  /** An inbound connection was welcomed or is gone. */
  onSettled(inbound: Inbound): void {
    if (this.#inbound !== inbound) return;
    this.#inbound = undefined;
    this.#held = false;
  }

  get #connecting(): boolean {
    return (
      this.#dial !== undefined ||
      this.#yielding ||
      this.#cancelRetry !== undefined ||
      // What waits for the other side's word goes out over the connection or over the next one.
      this.#live?.retiring === true
    );
  }

  #admitted(): boolean {
    return this.#host.admission(this.peer, this.channel);
  }

  #waitRefusal(bytes: number): Error | undefined {
    const { queueBytes, pendingRequests } = this.#host.limits;
    if (!this.#admitted()) return new NotAdmittedError(this.peer, this.channel, "local");
    if (!this.#connecting && this.#host.addresses(this.peer).length === 0) return new NoAddressError(this.peer);
    if (this.#waitingBytes > 0 && this.#waitingBytes + bytes > queueBytes) {
      return new BackpressureError("output before a connection", this.#waitingBytes, queueBytes);
    }
    if (this.#waiters.size >= pendingRequests) {
      return new BackpressureError("requests before a connection", this.#waiters.size, pendingRequests);
    }
    return undefined;
  }

  #ensureDial(): void {
    if (this.#live !== undefined || this.#connecting || this.#waiters.size === 0) return;
    const pauseMs = this.#notBeforeMs - this.#host.clock.monotonicMs();
    if (pauseMs <= 0) return this.#startDial();
    this.#cancelRetry = this.#host.clock.schedule(pauseMs, () => {
      this.#cancelRetry = undefined;
      if (this.#waiters.size > 0 || this.#messages.length > 0) this.#startDial();
    });
  }

  #startDial(): void {
    const addresses = this.#host.addresses(this.peer);
    if (addresses.length === 0) return this.#fail(new NoAddressError(this.peer));
    const target = { peer: this.peer, channel: this.channel, addresses };
    this.#dial = new Dial(target, this.#host.dialOptions(), {
      session: this.#host.session,
      admits: () => this.#admitted(),
      isLive: (binding) => this.#live !== undefined && equal(this.#live.wire.binding, binding),
      done: (outcome) => this.#onDialled(outcome),
    });
  }

  #onDialled(outcome: DialOutcome): void {
    this.#dial = undefined;
    switch (outcome.kind) {
      case "connected":
        if (this.#held) this.#inbound?.refuse("duplicate-pending");
        return this.#adopt(outcome.wire, outcome.session);
      case "use-live":
        return;
      case "yield":
        if (this.#live !== undefined) return;
        if (this.#held && this.#inbound !== undefined) return this.#welcome(this.#inbound);
        return this.#yield();
      case "failed":
        this.#pause();
        this.#host.metrics.count("revoada_transport_failed_dials_total", 1, { channel: this.channel });
        if (this.#held && this.#inbound !== undefined) return this.#welcome(this.#inbound);
        this.#fail(outcome.error);
    }
  }

  /** Waits, not for ever, for the peer's own dial, of which the peer has said that it goes ahead. */
  #yield(): void {
    this.#yielding = true;
    this.#cancelYield = this.#host.clock.schedule(this.#host.limits.handshakeTimeoutMs, () => {
      this.#yielding = false;
      this.#pause();
      this.#fail(new UnreachableError(this.peer, ["its own dial did not arrive"]));
    });
  }

  #welcome(inbound: Inbound): void {
    this.#dial?.cancel();
    this.#dial = undefined;
    const { session } = inbound;
    this.#adopt(inbound.welcome(), session);
  }

  #adopt(wire: Wire, session: Uint8Array): void {
    this.#cancelTimers();
    if (!this.#admitted()) {
      wire.end("local");
      return this.#fail(new NotAdmittedError(this.peer, this.channel, "local"));
    }
    this.#live?.end("local");
    const connection = new Connection(wire, session, this.#host);
    connection.onEnd = (reason, cause) => this.#onLiveEnd(connection, reason, cause);
    connection.onStay = () => this.#sendWaiting(connection);
    this.#live = connection;
    this.#lost = false;
    this.#liveSinceMs = this.#host.clock.monotonicMs();
    this.#host.emit({ type: "connected", peer: this.peer, channel: this.channel });
    this.#sendWaiting(connection);
  }

  #sendWaiting(connection: Connection): void {
    const messages = this.#messages.splice(0);
    for (const { protocol, payload } of messages) {
      this.#waitingBytes -= payload.length;
      connection.send(protocol, payload);
    }
    for (const waiter of [...this.#waiters]) waiter.resolve(connection);
  }

  #onLiveEnd(connection: Connection, ended: EndReason, cause: Error | undefined): void {
    // Let go with both sides' consent: whoever closed first, it says nothing about the peer.
    const reason = connection.retiring && ended === "closed" ? "local" : ended;
    this.#pastSentBytes += connection.wire.outbox.writtenBytes;
    this.#pastReceivedBytes += connection.wire.receivedBytes;
    this.#roundTripMs = connection.roundTripMs;
    this.#live = undefined;
    this.#lost = reason !== "local";
    const livedMs = this.#host.clock.monotonicMs() - this.#liveSinceMs;
    if (reason !== "local" && livedMs < shortLivedMs) this.#pause();
    else this.#failures = 0;
    this.#host.logger.debug("disconnected", { peer: this.peer, channel: this.channel, reason, error: cause });
    this.#host.emit({ type: "disconnected", peer: this.peer, channel: this.channel, reason });
    // What waited for the other side's word goes out over the next connection, unless another is in use by then.
    if (connection.retiring) this.#host.clock.nextTurn(() => this.#dialForWaiting());
  }

  #dialForWaiting(): void {
    if (this.#live !== undefined || this.#connecting) return;
    if (this.#waiters.size > 0 || this.#messages.length > 0) this.#startDial();
  }

  #pause(): void {
    const { limits, clock } = this.#host;
    this.#failures += 1;
    const bounds = { minMs: limits.backoffMinMs, maxMs: limits.backoffMaxMs };
    this.#notBeforeMs = clock.monotonicMs() + backoffMs(this.#failures, bounds, this.#host.jitter());
  }

  #fail(error: Error): void {
    for (const { payload } of this.#messages.splice(0)) this.#waitingBytes -= payload.length;
    for (const waiter of [...this.#waiters]) waiter.reject(error);
  }

  #cancelTimers(): void {
    this.#cancelYield();
    this.#yielding = false;
    this.#cancelRetry?.();
    this.#cancelRetry = undefined;
  }
}

function equal(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && left.every((byte, index) => byte === right[index]);
}
