import { InvalidValueError } from "@revoada/fabric";
import { maxPayloadBytes } from "./core/frame.ts";
import { messageCost } from "./core/segment.ts";

/** Every bound of the transport. All have defaults; bytes and counts are per connection unless said otherwise. */
export interface TransportLimits {
  /** Output waiting for a peer on one channel; beyond it `TRANSPORT_BACKPRESSURE`. At least one largest message, 16 MiB. */
  readonly queueBytes: number;
  /** Requests that wait for an answer. */
  readonly pendingRequests: number;
  /** Inbound requests being handled. */
  readonly handledRequests: number;
  /** Payload bytes of inbound requests being handled. */
  readonly handledRequestBytes: number;
  /** Open streams, each side's apart. */
  readonly streams: number;
  /** How far a stream's sender may be ahead of its consumer. */
  readonly streamWindowBytes: number;
  /** Memory, over all streams of a connection, for messages larger than their window. */
  readonly largeMessageBytes: number;
  /** All of a dial: TCP, TLS and greeting. */
  readonly dialTimeoutMs: number;
  /** How long the other side may take to accept a stream. */
  readonly openTimeoutMs: number;
  /** Pause before the next address is tried beside the ones under way (RFC 8305 calls it the connection attempt delay). */
  readonly dialStaggerMs: number;
  /** All of an inbound handshake: TLS and greeting. */
  readonly handshakeTimeoutMs: number;
  /** Inbound handshakes under way in the whole transport; beyond it the oldest is dropped. */
  readonly pendingHandshakes: number;
  /**
   * Inbound handshakes that may begin each second from one address; twice as many from all addresses of strangers together. Others wait.
   * While admitted peers send more than 25 frames a second there are fewer in inverse proportion, down to a twentieth.
   */
  readonly handshakesPerSecond: number;
  /** Inbound handshakes that may begin at once from an address that has begun none for a while; fewer, but four, where there is a share of the rate only. */
  readonly handshakeBurst: number;
  /**
   * After a welcomed connection ended by what came over it, no inbound handshake from its address begins for so long. Below `handshakeTimeoutMs`, or others
   * behind that address would be given up before their turn.
   */
  readonly violationWaitMs: number;
  /** Silence after which the peer is asked for a sign of life. */
  readonly pingIntervalMs: number;
  /** How long the peer may take to give it. */
  readonly pingTimeoutMs: number;
  /** How long a peer may leave waiting output untouched, and a frame that it has begun without progress. */
  readonly stallTimeoutMs: number;
  /** How long a connection may go unused before it is let go, with both sides' consent. Those of consensus stay. */
  readonly idleTimeoutMs: number;
  /** First pause between dials. */
  readonly backoffMinMs: number;
  /** Longest pause between dials. */
  readonly backoffMaxMs: number;
  /** Validity of the self-made certificate; it is renewed after two thirds of it. */
  readonly certificateValidityMs: number;
  /** How long output is still written out when a connection is ended from here. */
  readonly lingerMs: number;
}

/** What holds where nothing else is said. */
export const defaultLimits: TransportLimits = {
  queueBytes: 32 * 1024 * 1024,
  pendingRequests: 16_384,
  handledRequests: 4096,
  handledRequestBytes: 64 * 1024 * 1024,
  streams: 256,
  streamWindowBytes: 1024 * 1024,
  largeMessageBytes: 64 * 1024 * 1024,
  dialTimeoutMs: 3000,
  openTimeoutMs: 10_000,
  dialStaggerMs: 200,
  handshakeTimeoutMs: 3000,
  pendingHandshakes: 128,
  handshakesPerSecond: 50,
  handshakeBurst: 8,
  violationWaitMs: 1000,
  pingIntervalMs: 1000,
  pingTimeoutMs: 4000,
  stallTimeoutMs: 10_000,
  idleTimeoutMs: 60_000,
  backoffMinMs: 50,
  backoffMaxMs: 1000,
  certificateValidityMs: 21 * 24 * 3600 * 1000,
  lingerMs: 500,
};

const lowest: Partial<TransportLimits> = {
  queueBytes: maxPayloadBytes,
  streamWindowBytes: 256 * 1024,
  largeMessageBytes: messageCost(maxPayloadBytes),
  certificateValidityMs: 60_000,
};

/** `setTimeout` fires at once beyond this. */
const highestMs = 2 ** 31 - 1;

/** Checks limits and fills in the defaults. Throws `FABRIC_INVALID_VALUE`. */
export function resolveLimits(given: Partial<TransportLimits> = {}): TransportLimits {
  const limits: TransportLimits = { ...defaultLimits, ...given };
  for (const [name, value] of Object.entries(limits)) {
    const least = lowest[name as keyof TransportLimits] ?? 1;
    const most = name.endsWith("Ms") ? highestMs : 2 ** 31 - 1;
    if (!Number.isSafeInteger(value) || value < least || value > most) {
      throw new InvalidValueError(`limits.${name}`, value, `an integer from ${least} to ${most}`);
    }
  }
  return limits;
}
