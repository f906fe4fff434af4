import type { NodeId } from "../ids.ts";

/** Kinds of traffic that never queue behind each other: each has a connection of its own. */
export type TransportChannel = "consensus" | "gossip" | "bulk" | "join";

/** A versioned protocol and the channel that it travels on, e.g. `{name: "/revoada/raft/1", channel: "consensus"}`. */
export interface Protocol {
  readonly name: string;
  readonly channel: TransportChannel;
}

/** `host:port`, IPv6 hosts in brackets. A hint: only the key that answers there counts. */
export type Address = string;

/** Who sent what a handler is given; proven, not claimed. */
export interface PeerContext {
  readonly peer: NodeId;
  readonly protocol: Protocol;
  /** Aborts when the connection ends or the transport shuts down. */
  readonly signal: AbortSignal;
}

/** How a consumer takes the messages of a stream. */
export interface ReceiveOptions {
  /** True where a message is done with as soon as the next one is asked for: its memory may take another one then. False unless given. */
  readonly reuse?: boolean;
}

/** A two-way stream of messages with backpressure. */
export interface Duplex {
  readonly peer: NodeId;
  /** Bytes bound to this very connection and equal on both ends (RFC 9266 tls-exporter); 32 bytes. */
  readonly channelBinding: Uint8Array;
  /** Resolves once the message may be followed by another. Rejects with `TRANSPORT_CLOSED`. At most 16 MiB each. */
  send(message: Uint8Array): Promise<void>;
  /** Yields messages in order; ends when the other side closed, throws `TRANSPORT_CLOSED` when it broke off. */
  receive(options?: ReceiveOptions): AsyncIterable<Uint8Array>;
  /** Ends the sending side in order. */
  close(): Promise<void>;
  /** Breaks off at once, both ways. */
  abort(reason?: unknown): void;
}

/** What a node does with a protocol. What it does not offer is refused with `TRANSPORT_UNSUPPORTED`. */
export interface ProtocolHandler {
  /** Answers a request. A thrown `FabricError` reaches the caller with its code, message and `retryable`. */
  readonly onRequest?: (payload: Uint8Array, context: PeerContext) => Promise<Uint8Array>;
  /** Takes a one-way message. Messages of one peer on one channel arrive in order, with gaps where some were lost. */
  readonly onMessage?: (payload: Uint8Array, context: PeerContext) => void;
  readonly onStream?: (stream: Duplex, context: PeerContext) => Promise<void>;
}

/** Facts about connections, for those who watch over peers. */
export type TransportEvent =
  | { readonly type: "connected"; readonly peer: NodeId; readonly channel: TransportChannel }
  /** `closed`: the peer's kernel ended the connection; `timeout`: silence; `local`: we did; `error`: broken by what came. */
  | {
      readonly type: "disconnected";
      readonly peer: NodeId;
      readonly channel: TransportChannel;
      readonly reason: "closed" | "timeout" | "local" | "error";
    };

/** Result of knocking at a peer's door. `refused`: every address answered that nobody listens. */
export type ProbeResult = "open" | "refused" | "unreachable";

/** Decides who may speak on a channel. Asked at every new connection and, through {@link Transport.setAdmission}, again for open ones. */
export type AdmissionPolicy = (peer: NodeId, channel: TransportChannel) => boolean;

export interface PeerStatistics {
  readonly peer: NodeId;
  readonly connected: readonly TransportChannel[];
  readonly queuedBytes: number;
  readonly sentBytes: number;
  readonly receivedBytes: number;
  /** Smoothed round trip of requests and of signs of life, or undefined before the first. */
  readonly roundTripMs?: number;
}

/**
 * Messages between nodes that have proven their keys to each other.
 *
 * Every queue is bounded in bytes; what does not fit is refused with `TRANSPORT_BACKPRESSURE`, never buffered. Peers without a
 * known address are `TRANSPORT_NO_ADDRESS`, those that cannot be reached `TRANSPORT_UNREACHABLE`, those whose key is another
 * `TRANSPORT_WRONG_PEER`, those not admitted `TRANSPORT_NOT_ADMITTED`. A request whose answer is lost rejects with
 * `TRANSPORT_CLOSED` (or `TRANSPORT_TIMEOUT` at its deadline): whether the other side acted is then unknown.
 */
export interface Transport extends AsyncDisposable {
  readonly localId: NodeId;
  /** Addresses under which this node listens, with real ports. Empty before `start`. */
  listening(): readonly Address[];
  /** Listens. A second start of a started transport does nothing. */
  start(): Promise<void>;
  /** Asks and waits for the answer, at most `timeoutMs` (10,000 unless told). At most 16 MiB each way. */
  request(
    peer: NodeId,
    protocol: Protocol,
    payload: Uint8Array,
    options?: { readonly signal?: AbortSignal; readonly timeoutMs?: number },
  ): Promise<Uint8Array>;
  /** Sends without an answer, best effort. False where it was dropped at once; true promises nothing. Never throws. */
  send(peer: NodeId, protocol: Protocol, payload: Uint8Array): boolean;
  open(peer: NodeId, protocol: Protocol, options?: { readonly signal?: AbortSignal }): Promise<Duplex>;
  /** Offers a protocol; the returned function withdraws it. A second offer of one name throws `TRANSPORT_DUPLICATE_PROTOCOL`. */
  handle(protocol: Protocol, handler: ProtocolHandler): () => void;
  /** Where a peer was said to be. Replaces what was known; an empty list forgets. Open connections stay. */
  setAddresses(peer: NodeId, addresses: readonly Address[]): void;
  /**
   * The peer is said to be back: no pause before a dial holds any longer, and channels whose connection was lost are dialled at once,
   * without anybody having to send something first. Channels that were never in use, or were ended from here, are not. A hint: nothing
   * tells whether it came of it.
   */
  redial(peer: NodeId): void;
  /** Replaces the policy and ends the open connections that it does not allow. */
  setAdmission(policy: AdmissionPolicy): void;
  /** Dials once, without a pool, to learn whether anybody listens. */
  probe(peer: NodeId, options?: { readonly signal?: AbortSignal; readonly timeoutMs?: number }): Promise<ProbeResult>;
  /** Calls `listener` for each event until the returned function is called. */
  onEvent(listener: (event: TransportEvent) => void): () => void;
  statistics(): readonly PeerStatistics[];
  /** Ends every connection and rejects what waits with `TRANSPORT_CLOSED`. */
  shutdown(): Promise<void>;
}
