import type { FabricError } from "../errors.ts";
import { type NodeId, shortId } from "../ids.ts";
import type { Clock } from "../seams/clock.ts";
import type {
  Address,
  AdmissionPolicy,
  Duplex,
  PeerStatistics,
  ProbeResult,
  Protocol,
  ProtocolHandler,
  Transport,
  TransportChannel,
  TransportEvent,
} from "../seams/transport.ts";
import type { ConnectionEnd, EndReason, MemoryTransportLimits } from "./connection.ts";
import { messageBytes } from "./frames.ts";
import { type DialOutcome, memoryAddress, type NetworkFabric, type Station } from "./network-fabric.ts";
import {
  backpressureError,
  closedError,
  duplicateProtocolError,
  maxPayloadBytes,
  noAddressError,
  notAdmittedError,
  selfDialError,
  timeoutError,
  tooLargeError,
  unreachableError,
  wrongPeerError,
} from "./transport-errors.ts";

/** Something that waits until a peer is connected. */
interface Waiter {
  readonly bytes: number;
  /** False once nobody wants it any more. */
  wanted(): boolean;
  connected(end: ConnectionEnd): void;
  failed(error: FabricError): void;
}

/** What a transport keeps for one peer on one channel. */
interface Lane {
  end: ConnectionEnd | undefined;
  /** Stands for the dial that is under way. */
  dial: object | undefined;
  waiters: Waiter[];
  waitingBytes: number;
  /** True while a connection that was in use is missing, and nobody here ended it. */
  lost: boolean;
}

interface PeerState {
  readonly lanes: Map<TransportChannel, Lane>;
  sentBytes: number;
  receivedBytes: number;
  roundTripMs: number | undefined;
}

const defaultRequestTimeoutMs = 10_000;
const defaultProbeTimeoutMs = 1000;

/** Resolves or rejects once; what has been set up for the wait is taken down at that moment. */
class Settlement<T> {
  readonly promise: Promise<T>;
  isSettled = false;
  #resolve: (value: T) => void = () => {};
  #reject: (error: unknown) => void = () => {};
  readonly #cleanups: (() => void)[] = [];

  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  onSettled(cleanup: () => void): void {
    if (this.isSettled) cleanup();
    else this.#cleanups.push(cleanup);
  }

  resolve(value: T): void {
    if (this.#settle()) this.#resolve(value);
  }

  reject(error: unknown): void {
    if (this.#settle()) this.#reject(error);
  }

  /** Rejects with the signal's reason when it aborts. */
  follow(signal: AbortSignal | undefined): void {
    if (signal === undefined) return;
    const aborted = (): void => this.reject(signal.reason);
    if (signal.aborted) return aborted();
    signal.addEventListener("abort", aborted, { once: true });
    this.onSettled(() => signal.removeEventListener("abort", aborted));
  }

  #settle(): boolean {
    if (this.isSettled) return false;
    this.isSettled = true;
    for (const cleanup of this.#cleanups.splice(0)) cleanup();
    return true;
  }
}

/** A transport of a memory network. */
export class MemoryTransport implements Transport, Station {
  readonly localId: NodeId;
  readonly clock: Clock;
  readonly limits: MemoryTransportLimits;
  readonly #network: NetworkFabric;
  readonly #peers = new Map<NodeId, PeerState>();
  readonly #addresses = new Map<NodeId, readonly Address[]>();
  readonly #handlers = new Map<string, { readonly protocol: Protocol; readonly handler: ProtocolHandler }>();
  readonly #listeners = new Set<(event: TransportEvent) => void>();
  /** Waits that belong to no connection yet. */
  readonly #waits = new Set<Settlement<never>>();
  #admission: AdmissionPolicy;
  #state: "new" | "started" | "over" = "new";

  constructor(
    options: {
      readonly id: NodeId;
      readonly clock: Clock;
      readonly admission: AdmissionPolicy;
      readonly limits: MemoryTransportLimits;
    },
    network: NetworkFabric,
  ) {
    this.localId = options.id;
    this.clock = options.clock;
    this.limits = options.limits;
    this.#admission = options.admission;
    this.#network = network;
  }

  get isListening(): boolean {
    return this.#state === "started";
  }

  listening(): readonly Address[] {
    return this.isListening ? [memoryAddress(this.localId)] : [];
  }

  async start(): Promise<void> {
    if (this.#state === "started") return;
    if (this.#state === "over") throw closedError("the transport was shut down");
    this.#network.register(this);
    this.#state = "started";
  }

  request(
    peer: NodeId,
    protocol: Protocol,
    payload: Uint8Array,
    options: { readonly signal?: AbortSignal; readonly timeoutMs?: number } = {},
  ): Promise<Uint8Array> {
    const { timeoutMs = defaultRequestTimeoutMs } = options;
    const settlement = this.#settlement<Uint8Array>(options.signal);
    const refusal = this.#refusal(peer, protocol.channel, payload.length, "a request");
    if (refusal !== undefined) {
      settlement.reject(refusal);
      return settlement.promise;
    }
    const sentMs = this.clock.monotonicMs();
    settlement.onSettled(
      this.clock.schedule(timeoutMs, () =>
        settlement.reject(timeoutError(`the request ${protocol.name}`, peer, timeoutMs)),
      ),
    );
    const copy = payload.slice();
    this.#enqueue(peer, protocol.channel, {
      bytes: messageBytes(copy),
      wanted: () => !settlement.isSettled,
      failed: (error) => settlement.reject(error),
      connected: (end) => {
        const forget = end.request(protocol, copy, {
          resolve: (answer) => {
            this.#observeRoundTrip(peer, this.clock.monotonicMs() - sentMs);
            settlement.resolve(answer);
          },
          reject: (error) => settlement.reject(error),
        });
        settlement.onSettled(forget);
      },
    });
    return settlement.promise;
  }

  send(peer: NodeId, protocol: Protocol, payload: Uint8Array): boolean {
    if (this.#refusal(peer, protocol.channel, payload.length, "a message") !== undefined) return false;
    const copy = payload.slice();
    this.#enqueue(peer, protocol.channel, {
      bytes: messageBytes(copy),
      wanted: () => true,
      failed: () => {},
      connected: (end) => end.push({ type: "message", protocol, payload: copy }),
    });
    return true;
  }

  open(peer: NodeId, protocol: Protocol, options: { readonly signal?: AbortSignal } = {}): Promise<Duplex> {
    const settlement = this.#settlement<Duplex>(options.signal);
    const refusal = this.#refusal(peer, protocol.channel, 0, "a stream");
    if (refusal !== undefined) {
      settlement.reject(refusal);
      return settlement.promise;
    }
    const { openTimeoutMs } = this.limits;
    const late = (): void => settlement.reject(timeoutError(`opening ${protocol.name}`, peer, openTimeoutMs));
    settlement.onSettled(this.clock.schedule(openTimeoutMs, late));
    this.#enqueue(peer, protocol.channel, {
      bytes: 0,
      wanted: () => !settlement.isSettled,
      failed: (error) => settlement.reject(error),
      connected: (end) => {
        const forget = end.open(protocol, {
          resolve: (stream) => settlement.resolve(stream),
          reject: (error) => settlement.reject(error),
        });
        settlement.onSettled(forget);
      },
    });
    return settlement.promise;
  }

  handle(protocol: Protocol, handler: ProtocolHandler): () => void {
    if (this.#handlers.has(protocol.name)) throw duplicateProtocolError(protocol.name);
    const offer = { protocol, handler };
    this.#handlers.set(protocol.name, offer);
    return () => {
      if (this.#handlers.get(protocol.name) === offer) this.#handlers.delete(protocol.name);
    };
  }

  setAddresses(peer: NodeId, addresses: readonly Address[]): void {
    if (addresses.length === 0) this.#addresses.delete(peer);
    else this.#addresses.set(peer, [...addresses]);
  }

  redial(peer: NodeId): void {
    if (!this.isListening || this.#addressesOf(peer).length === 0) return;
    for (const [channel, lane] of this.#peers.get(peer)?.lanes ?? []) {
      if (!lane.lost || lane.end !== undefined || lane.dial !== undefined) continue;
      if (this.admits(peer, channel)) this.#dial(peer, channel, lane);
    }
  }

  setAdmission(policy: AdmissionPolicy): void {
    this.#admission = policy;
    for (const [peer, { lanes }] of this.#peers) {
      for (const [channel, { end }] of lanes) if (end !== undefined && !policy(peer, channel)) end.end("local");
    }
  }

  probe(
    peer: NodeId,
    options: { readonly signal?: AbortSignal; readonly timeoutMs?: number } = {},
  ): Promise<ProbeResult> {
    const settlement = this.#settlement<ProbeResult>(options.signal);
    const addresses = this.#addressesOf(peer);
    if (!this.isListening) settlement.reject(closedError("the transport is not running"));
    else if (peer === this.localId) settlement.reject(selfDialError(peer));
    else if (addresses.length === 0) settlement.reject(noAddressError(peer));
    if (settlement.isSettled) return settlement.promise;
    const { timeoutMs = defaultProbeTimeoutMs } = options;
    settlement.onSettled(this.clock.schedule(timeoutMs, () => settlement.resolve("unreachable")));
    let refused = 0;
    for (const address of addresses) {
      this.#network.knock(this, address, (result) => {
        if (result === "refused") refused += 1;
        if (result === "open" || refused === addresses.length) settlement.resolve(result);
      });
    }
    return settlement.promise;
  }

  onEvent(listener: (event: TransportEvent) => void): () => void {
    const own = (event: TransportEvent): void => listener(event);
    this.#listeners.add(own);
    return () => this.#listeners.delete(own);
  }

  statistics(): readonly PeerStatistics[] {
    return [...this.#peers].map(([peer, state]) => {
      let queuedBytes = 0;
      const connected: TransportChannel[] = [];
      for (const [channel, lane] of state.lanes) {
        queuedBytes += queuedIn(lane);
        if (lane.end !== undefined) connected.push(channel);
      }
      return {
        peer,
        connected,
        queuedBytes,
        sentBytes: state.sentBytes,
        receivedBytes: state.receivedBytes,
        ...(state.roundTripMs === undefined ? {} : { roundTripMs: state.roundTripMs }),
      };
    });
  }

  async shutdown(): Promise<void> {
    if (this.#state === "over") return;
    this.#finish();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown();
  }

  /** Ends without a word to those who listen here: their process is gone. */
  kill(): void {
    this.#listeners.clear();
    this.#handlers.clear();
    this.#finish();
  }

  admits(peer: NodeId, channel: TransportChannel): boolean {
    return this.#admission(peer, channel);
  }

  handler(protocol: Protocol): ProtocolHandler | undefined {
    const offer = this.#handlers.get(protocol.name);
    return offer?.protocol.channel === protocol.channel ? offer.handler : undefined;
  }

  received(peer: NodeId, bytes: number): void {
    this.#peer(peer).receivedBytes += bytes;
  }

  sent(peer: NodeId, bytes: number): void {
    this.#peer(peer).sentBytes += bytes;
  }

  attach(end: ConnectionEnd): void {
    if (end.attached) return;
    end.attached = true;
    if (!this.isListening || !this.admits(end.peer, end.channel)) return end.end("local");
    const lane = this.#lane(end.peer, end.channel);
    lane.end = end;
    lane.dial = undefined;
    lane.lost = false;
    this.#emit({ type: "connected", peer: end.peer, channel: end.channel });
    for (const waiter of takeWaiters(lane)) if (waiter.wanted()) waiter.connected(end);
  }

  ended(end: ConnectionEnd, reason: EndReason): void {
    const lane = this.#lane(end.peer, end.channel);
    if (lane.end !== end) return;
    lane.end = undefined;
    lane.lost = reason !== "local";
    this.#emit({ type: "disconnected", peer: end.peer, channel: end.channel, reason });
  }

  #finish(): void {
    const wasListening = this.isListening;
    this.#state = "over";
    if (wasListening) this.#network.unregister(this);
    const error = closedError("the transport was shut down");
    for (const { lanes } of this.#peers.values()) {
      for (const lane of lanes.values()) {
        lane.end?.end("local");
        lane.dial = undefined;
        for (const waiter of takeWaiters(lane)) waiter.failed(error);
      }
    }
    for (const wait of this.#waits) wait.reject(error);
  }

  #settlement<T>(signal: AbortSignal | undefined): Settlement<T> {
    const settlement = new Settlement<T>();
    const wait = settlement as unknown as Settlement<never>;
    this.#waits.add(wait);
    settlement.onSettled(() => this.#waits.delete(wait));
    settlement.follow(signal);
    return settlement;
  }

  /** Why a payload cannot even be queued. */
  #refusal(peer: NodeId, channel: TransportChannel, bytes: number, what: string): FabricError | undefined {
    if (!this.isListening) return closedError("the transport is not running");
    if (peer === this.localId) return selfDialError(peer);
    if (bytes > maxPayloadBytes) return tooLargeError(what, bytes);
    if (!this.admits(peer, channel)) return notAdmittedError(peer, channel, "local");
    const lane = this.#peers.get(peer)?.lanes.get(channel);
    if (lane?.end === undefined && this.#addressesOf(peer).length === 0) return noAddressError(peer);
    if (lane === undefined) return undefined;
    const queued = queuedIn(lane);
    const { queueBytes, pendingRequests } = this.limits;
    if (queued > 0 && queued + bytes > queueBytes) return backpressureError(what, queued, queueBytes);
    const pending = lane.waiters.length + (lane.end?.pendingRequests ?? 0);
    if (what !== "a message" && pending >= pendingRequests) return backpressureError(what, pending, pendingRequests);
    return undefined;
  }

  #enqueue(peer: NodeId, channel: TransportChannel, waiter: Waiter): void {
    const lane = this.#lane(peer, channel);
    if (lane.end !== undefined) {
      if (waiter.wanted()) waiter.connected(lane.end);
      return;
    }
    lane.waiters.push(waiter);
    lane.waitingBytes += waiter.bytes;
    if (lane.dial === undefined) this.#dial(peer, channel, lane);
  }

  /** Tries every address at once; the first that leads to the peer wins. */
  #dial(peer: NodeId, channel: TransportChannel, lane: Lane): void {
    const dial = {};
    lane.dial = dial;
    const addresses = this.#addressesOf(peer);
    const outcomes: DialOutcome[] = [];
    const finish = (error: FabricError): void => {
      cancelTimeout();
      // An inbound connection may have served those who waited, and others may wait for another dial by now.
      if (lane.dial !== dial) return;
      lane.dial = undefined;
      for (const waiter of takeWaiters(lane)) waiter.failed(error);
    };
    const { dialTimeoutMs } = this.limits;
    const cancelTimeout = this.clock.schedule(dialTimeoutMs, () =>
      finish(unreachableError(peer, `no answer within ${dialTimeoutMs} ms`)),
    );
    for (const address of addresses) {
      this.#network.dial(this, peer, address, channel, (outcome) => {
        if (outcome.type === "connected") {
          // One that comes too late, or beside another, is taken all the same: both sides know of it.
          cancelTimeout();
          this.attach(outcome.end);
          return;
        }
        outcomes.push(outcome);
        if (outcomes.length === addresses.length) finish(dialError(peer, channel, outcomes));
      });
    }
  }

  #addressesOf(peer: NodeId): readonly Address[] {
    const known = this.#addresses.get(peer);
    if (known !== undefined) return known;
    return this.#network.directory ? [memoryAddress(peer)] : [];
  }

  #peer(peer: NodeId): PeerState {
    const known = this.#peers.get(peer);
    if (known !== undefined) return known;
    const made: PeerState = { lanes: new Map(), sentBytes: 0, receivedBytes: 0, roundTripMs: undefined };
    this.#peers.set(peer, made);
    return made;
  }

  #lane(peer: NodeId, channel: TransportChannel): Lane {
    const { lanes } = this.#peer(peer);
    const known = lanes.get(channel);
    if (known !== undefined) return known;
    const made: Lane = { end: undefined, dial: undefined, waiters: [], waitingBytes: 0, lost: false };
    lanes.set(channel, made);
    return made;
  }

  #observeRoundTrip(peer: NodeId, sampleMs: number): void {
    const state = this.#peer(peer);
    // The smoothing of RFC 6298, section 2.
    state.roundTripMs = state.roundTripMs === undefined ? sampleMs : state.roundTripMs * 0.875 + sampleMs * 0.125;
  }

  #emit(event: TransportEvent): void {
    for (const listener of [...this.#listeners]) {
      try {
        listener(event);
      } catch {
        // One listener's failure is not the transport's, nor the other listeners'.
      }
    }
  }
}

function queuedIn(lane: Lane): number {
  return lane.waitingBytes + (lane.end?.queuedBytes ?? 0);
}

function takeWaiters(lane: Lane): readonly Waiter[] {
  lane.waitingBytes = 0;
  return lane.waiters.splice(0);
}

function dialError(peer: NodeId, channel: TransportChannel, outcomes: readonly DialOutcome[]): FabricError {
  if (outcomes.some(({ type }) => type === "not-admitted")) return notAdmittedError(peer, channel, "remote");
  for (const outcome of outcomes) if (outcome.type === "wrong-peer") return wrongPeerError(peer, outcome.found);
  return unreachableError(peer, `nobody listens (${shortId(peer)} on ${channel})`);
}
