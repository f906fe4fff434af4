import type { KeyObject } from "node:crypto";
import { createSecureContext, type SecureContext, type TlsOptions } from "node:tls";
import {
  type Address,
  type AdmissionPolicy,
  type Clock,
  type Duplex,
  InvalidValueError,
  type Logger,
  type Metrics,
  type NodeId,
  parseNodeId,
  type PeerStatistics,
  type ProbeResult,
  type Protocol,
  type ProtocolHandler,
  type Random,
  RepeatedLines,
  silentLogger,
  silentMetrics,
  type Transport,
  type TransportChannel,
  type TransportEvent,
} from "@revoada/fabric";
import { parseAddress } from "./address.ts";
import { loadPrivateKey, nodeIdOfKey, selfSigned } from "./certificate.ts";
import { maxPayloadBytes } from "./core/frame.ts";
import { sessionBytes } from "./core/greeting.ts";
import { TrafficLoad } from "./core/traffic-load.ts";
import type { DialOptions } from "./dial-race.ts";
import { ClosedError, DuplicateProtocolError, NoAddressError, SelfDialError, TooLargeError } from "./errors.ts";
import { resolveLimits, type TransportLimits } from "./limits.ts";
import { Listener } from "./listener.ts";
import { checkProtocol, type Offer } from "./offers.ts";
import { probeAddresses } from "./probe.ts";
import { Slot, type SlotHost } from "./slot.ts";
import { SocketSet } from "./socket-set.ts";
import { TrafficMeter } from "./traffic-meter.ts";
import { alpnOfChannel } from "./wire.ts";

/** What {@link tlsTransport} is made of. */
export interface TlsTransportOptions {
  /** The node's ed25519 key: a seed of 32 bytes or a private `KeyObject`. Its public half is the NodeId. */
  readonly privateKey: Uint8Array | KeyObject;
  /** Where to listen, `host:port` with port 0 for any; an empty list only dials. */
  readonly listen: readonly Address[];
  /** Where peers were said to be, as by `setAddresses`. */
  readonly addresses?: Iterable<readonly [NodeId, readonly Address[]]>;
  /** Who may speak on which channel. Nobody unless told: any key can be made by anyone. */
  readonly admission?: AdmissionPolicy;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
  readonly limits?: Partial<TransportLimits>;
}

const defaultRequestTimeoutMs = 10_000;
const maxTimeoutMs = 2 ** 31 - 1;
const maxAddressesPerPeer = 16;
const clockToleranceMs = 3_600_000;

/**
 * Messages between nodes over TLS 1.3, in which both sides prove their ed25519 keys.
 *
 * Each peer has one connection per channel, dialled when it is first needed; who dialled it makes no difference to who may
 * use it. Payloads that are given away (requests, answers, messages) must not be changed afterwards, and payloads that are
 * received may share memory with each other.
 *
 * Throws `FABRIC_INVALID_VALUE` for a key, address or limit that is none.
 *
 * @example
 * ```ts
 * await using transport = tlsTransport({ privateKey: seed, listen: ["127.0.0.1:0"], admission, clock, random });
 * await transport.start();
 * ```
 */
export function tlsTransport(options: TlsTransportOptions): Transport {
  return new TlsTransport(options);
}

class TlsTransport implements Transport {
  readonly localId: NodeId;
  readonly #options: TlsTransportOptions;
  readonly #key: KeyObject;
  readonly #clock: Clock;
  readonly #limits: TransportLimits;
  readonly #logger: Logger;
  readonly #metrics: Metrics;
  readonly #offers = new Map<string, Offer>();
  readonly #addresses = new Map<NodeId, readonly Address[]>();
  readonly #slots = new Map<NodeId, Map<TransportChannel, Slot>>();
  readonly #listeners = new Set<(event: TransportEvent) => void>();
  readonly #sockets = new SocketSet();
  readonly #host: SlotHost;
  readonly #meter: TrafficMeter;
  readonly #load: TrafficLoad;
  #listener: Listener | undefined;
  #secureContext: SecureContext | undefined;
  #started: Promise<void> | undefined;
  #running = false;
  #closing: Promise<void> | undefined;
  #cancelTick: () => void = () => {};
  #cancelRenewal: () => void = () => {};

  constructor(options: TlsTransportOptions) {
    this.#options = options;
    this.#key = loadPrivateKey(options.privateKey);
    this.localId = nodeIdOfKey(this.#key) as NodeId;
    this.#clock = options.clock;
    this.#limits = resolveLimits(options.limits);
    this.#logger = (options.logger ?? silentLogger).child({ layer: "transport" });
    this.#metrics = options.metrics ?? silentMetrics;
    this.#meter = new TrafficMeter(this.#metrics);
    this.#load = new TrafficLoad(this.#clock.monotonicMs());
    for (const address of options.listen) {
      if (parseAddress(address) === undefined)
        throw new InvalidValueError("listen", address, "host:port or [ipv6]:port");
    }
    this.#host = this.#makeHost(options.admission ?? (() => false));
    for (const [peer, addresses] of options.addresses ?? []) this.setAddresses(peer, addresses);
  }

  listening(): readonly Address[] {
    return [...(this.#listener?.addresses ?? [])];
  }

  start(): Promise<void> {
    if (this.#closing !== undefined) return Promise.reject(new ClosedError("the transport was shut down"));
    this.#started ??= this.#start();
    return this.#started;
  }

  request(
    peer: NodeId,
    protocol: Protocol,
    payload: Uint8Array,
    options: { readonly signal?: AbortSignal; readonly timeoutMs?: number } = {},
  ): Promise<Uint8Array> {
    const { signal, timeoutMs = defaultRequestTimeoutMs } = options;
    const live = this.#slots.get(peer)?.get(protocol.channel)?.usable;
    try {
      checkTimeout(timeoutMs);
      signal?.throwIfAborted();
      if (live !== undefined) return live.request(protocol, payload, timeoutMs, signal);
      if (payload.length > maxPayloadBytes) throw new TooLargeError("payload", payload.length, maxPayloadBytes);
      return this.#requestLater(this.#slotFor(peer, protocol), protocol, payload, timeoutMs, signal);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  send(peer: NodeId, protocol: Protocol, payload: Uint8Array): boolean {
    const live = this.#slots.get(peer)?.get(protocol.channel)?.usable;
    if (live !== undefined) return live.send(protocol, payload);
    try {
      return this.#slotFor(peer, protocol).send(protocol, payload);
    } catch {
      return false;
    }
  }

  async open(peer: NodeId, protocol: Protocol, options: { readonly signal?: AbortSignal } = {}): Promise<Duplex> {
    const { signal } = options;
    signal?.throwIfAborted();
    const slot = this.#slotFor(peer, protocol);
    const connection = slot.usable ?? (await slot.connect(0, this.#limits.openTimeoutMs, signal));
    return connection.open(protocol, signal);
  }

  handle(protocol: Protocol, handler: ProtocolHandler): () => void {
    checkProtocol(protocol, alpnOfChannel);
    if (this.#offers.has(protocol.name)) throw new DuplicateProtocolError(protocol.name);
    const offer: Offer = { protocol, handler };
    this.#offers.set(protocol.name, offer);
    return () => {
      if (this.#offers.get(protocol.name) === offer) this.#offers.delete(protocol.name);
    };
  }

  setAddresses(peer: NodeId, addresses: readonly Address[]): void {
    parseNodeId(peer, "peer");
    const usable = [...new Set(addresses)].filter((address) => parseAddress(address) !== undefined);
    if (usable.length < addresses.length) {
      this.#logger.debug("unusable addresses left out", { peer, given: addresses.length, usable: usable.length });
    }
    if (usable.length === 0) this.#addresses.delete(peer);
    else this.#addresses.set(peer, usable.slice(0, maxAddressesPerPeer));
    const slots = this.#slots.get(peer);
    if (slots === undefined) return;
    for (const slot of slots.values()) slot.addressesChanged();
    if (usable.length === 0) this.#forgetIdle(peer);
  }

  redial(peer: NodeId): void {
    if (!this.#running) return;
    for (const slot of this.#slots.get(peer)?.values() ?? []) slot.redial();
  }

  setAdmission(policy: AdmissionPolicy): void {
    this.#host.admission = this.#guard(policy);
    for (const slot of this.#allSlots()) slot.recheckAdmission();
  }

  probe(
    peer: NodeId,
    options: { readonly signal?: AbortSignal; readonly timeoutMs?: number } = {},
  ): Promise<ProbeResult> {
    const { signal, timeoutMs = this.#limits.dialTimeoutMs } = options;
    try {
      checkTimeout(timeoutMs);
      signal?.throwIfAborted();
      if (!this.#running) throw new ClosedError("the transport is not running");
      const addresses = this.#addresses.get(peer);
      if (addresses === undefined) throw new NoAddressError(peer);
      return probeAddresses(addresses, { clock: this.#clock, sockets: this.#sockets, timeoutMs, signal });
    } catch (error) {
      return Promise.reject(error);
    }
  }

  onEvent(listener: (event: TransportEvent) => void): () => void {
    // Wrapped, so that one function given twice is two listeners.
    const own = (event: TransportEvent): void => listener(event);
    this.#listeners.add(own);
    return () => {
      this.#listeners.delete(own);
    };
  }

  statistics(): readonly PeerStatistics[] {
    return [...this.#slots].map(([peer, slots]) => statisticsOf(peer, [...slots.values()]));
  }

  shutdown(): Promise<void> {
    this.#closing ??= this.#shutdown();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown();
  }

  #makeHost(admission: AdmissionPolicy): SlotHost {
    const { random } = this.#options;
    return {
      clock: this.#clock,
      limits: this.#limits,
      logger: this.#logger,
      lines: new RepeatedLines({ logger: this.#logger, clock: this.#clock }),
      metrics: this.#metrics,
      offers: this.#offers,
      load: this.#load,
      localId: this.localId,
      session: random.bytes(sessionBytes),
      admission: this.#guard(admission),
      dialOptions: () => this.#dialOptions(),
      addresses: (peer) => this.#addresses.get(peer) ?? [],
      violated: ({ dialledHere, remoteAddress }) => {
        if (!dialledHere) this.#listener?.violated(remoteAddress);
      },
      jitter: () => random.float(),
      emit: (event) => this.#emit(event),
    };
  }

  /** A policy that throws admits nobody. */
  #guard(policy: AdmissionPolicy): AdmissionPolicy {
    return (peer, channel) => {
      try {
        return policy(peer, channel);
      } catch (error) {
        this.#logger.error("the admission policy failed", { peer, channel, error });
        return false;
      }
    };
  }

  async #start(): Promise<void> {
    const credentials = this.#renew();
    const { localId } = this;
    const options = {
      localId,
      clock: this.#clock,
      limits: this.#limits,
      logger: this.#logger,
      metrics: this.#metrics,
      sockets: this.#sockets,
      load: this.#load,
    };
    const slotOf = (peer: NodeId, channel: TransportChannel): Slot => this.#slotAt(peer, channel);
    const listener = new Listener(
      options,
      {
        session: this.#host.session,
        onHello: (inbound) => {
          const { peer, channel } = inbound.wire;
          const admitted = this.#host.admission(peer, channel);
          // A stranger leaves no trace here, however often it comes.
          if (admitted) slotOf(peer, channel).onHello(inbound);
          else {
            this.#metrics.count("revoada_transport_not_admitted_total", 1, { channel });
            inbound.refuse("not-admitted");
          }
          return admitted;
        },
        onInsist: (inbound) => slotOf(inbound.wire.peer, inbound.wire.channel).onInsist(inbound),
      },
      (inbound) => this.#slots.get(inbound.wire.peer)?.get(inbound.wire.channel)?.onSettled(inbound),
    );
    this.#listener = listener;
    await listener.listen(this.#options.listen, credentials);
    if (this.#closing !== undefined) {
      listener.close();
      throw new ClosedError("the transport was shut down while it started");
    }
    this.#running = true;
    this.#scheduleTick(this.#clock.monotonicMs());
  }

  async #shutdown(): Promise<void> {
    this.#running = false;
    await this.#started?.catch(() => {});
    this.#running = false;
    this.#cancelTick();
    this.#cancelRenewal();
    this.#listener?.close();
    for (const slot of this.#allSlots()) slot.shutdown();
    await this.#sockets.empty();
    this.#slots.clear();
  }

  async #requestLater(
    slot: Slot,
    protocol: Protocol,
    payload: Uint8Array,
    timeoutMs: number,
    signal: AbortSignal | undefined,
  ): Promise<Uint8Array> {
    const startedMs = this.#clock.monotonicMs();
    const connection = await slot.connect(payload.length, timeoutMs, signal);
    const leftMs = Math.max(0, timeoutMs - (this.#clock.monotonicMs() - startedMs));
    return connection.request(protocol, payload, leftMs, signal);
  }

  /** The slot for a caller's wish. Throws where there can be none. */
  #slotFor(peer: NodeId, protocol: Protocol): Slot {
    if (!this.#running) throw new ClosedError("the transport is not running");
    checkProtocol(protocol, alpnOfChannel);
    const known = this.#slots.get(peer)?.get(protocol.channel);
    if (known !== undefined) return known;
    parseNodeId(peer, "peer");
    if (peer === this.localId) throw new SelfDialError(peer);
    if (!this.#addresses.has(peer)) throw new NoAddressError(peer);
    return this.#slotAt(peer, protocol.channel);
  }

  #slotAt(peer: NodeId, channel: TransportChannel): Slot {
    let slots = this.#slots.get(peer);
    if (slots === undefined) this.#slots.set(peer, (slots = new Map()));
    let slot = slots.get(channel);
    if (slot === undefined) slots.set(channel, (slot = new Slot(peer, channel, this.#host)));
    return slot;
  }

  #allSlots(): Slot[] {
    return [...this.#slots.values()].flatMap((slots) => [...slots.values()]);
  }

  #forgetIdle(peer: NodeId): void {
    const slots = this.#slots.get(peer);
    if (slots === undefined || this.#addresses.has(peer)) return;
    for (const [channel, slot] of slots) if (slot.idle) slots.delete(channel);
    if (slots.size === 0) this.#slots.delete(peer);
  }

  #dialOptions(): DialOptions {
    return {
      clock: this.#clock,
      limits: this.#limits,
      secureContext: this.#secureContext as SecureContext,
      sockets: this.#sockets,
    };
  }

  #emit(event: TransportEvent): void {
    const reason = event.type === "disconnected" ? { reason: event.reason } : {};
    this.#metrics.count(`revoada_transport_${event.type}_total`, 1, { channel: event.channel, ...reason });
    for (const listener of [...this.#listeners]) {
      try {
        listener(event);
      } catch (error) {
        this.#logger.error("an event listener failed", { event: event.type, error });
      }
    }
  }

  /** Makes a new certificate now and again after two thirds of its validity; connections in use keep theirs. */
  #renew(): TlsOptions {
    const { certificateValidityMs } = this.#limits;
    const notBeforeMs = this.#clock.wallMs() - clockToleranceMs;
    const serial = this.#options.random.bytes(16);
    const credentials: TlsOptions = {
      ...selfSigned(this.#key, notBeforeMs, clockToleranceMs + certificateValidityMs, serial),
      minVersion: "TLSv1.3",
    };
    this.#secureContext = createSecureContext(credentials);
    this.#listener?.renew(credentials);
    this.#cancelRenewal = this.#clock.schedule((certificateValidityMs * 2) / 3, () => this.#renew());
    return credentials;
  }

  #scheduleTick(dueMs: number): void {
    const beatMs = this.#limits.pingIntervalMs / 2;
    this.#cancelTick = this.#clock.schedule(beatMs, () => {
      const nowMs = this.#clock.monotonicMs();
      // A beat that comes late says that this host stood still, and nothing about its peers.
      const forgive = nowMs - dueMs > 3 * beatMs;
      for (const slot of this.#allSlots()) slot.tick(nowMs, forgive);
      this.#meter.tell(this.#allSlots());
      // Asked steadily, so that its windows stay short.
      this.#load.perSecond(nowMs);
      for (const peer of [...this.#slots.keys()]) this.#forgetIdle(peer);
      this.#scheduleTick(nowMs);
    });
  }
}

function checkTimeout(timeoutMs: number): void {
  if (Number.isFinite(timeoutMs) && timeoutMs >= 0 && timeoutMs <= maxTimeoutMs) return;
  throw new InvalidValueError("timeoutMs", timeoutMs, `a number from 0 to ${maxTimeoutMs}`);
}

function statisticsOf(peer: NodeId, slots: readonly Slot[]): PeerStatistics {
  const sum = (read: (slot: Slot) => number): number => slots.reduce((total, slot) => total + read(slot), 0);
  const roundTrips = slots.map((slot) => slot.roundTripMs).filter((value) => value !== undefined);
  return {
    peer,
    connected: slots.filter((slot) => slot.live !== undefined).map((slot) => slot.channel),
    queuedBytes: sum((slot) => slot.queuedBytes),
    sentBytes: sum((slot) => slot.sentBytes),
    receivedBytes: sum((slot) => slot.receivedBytes),
    ...(roundTrips.length > 0 ? { roundTripMs: Math.min(...roundTrips) } : {}),
  };
}
