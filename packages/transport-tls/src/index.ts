/**
 * TLS 1.3 between ed25519 identities: framed requests, one-way messages and streams.
 *
 * {@link tlsTransport} implements the `Transport` of `@revoada/fabric` over `node:tls`. Both sides present a certificate that
 * they made themselves over the key that is their NodeId; the key is checked before a byte is read or written. ALPN tells the
 * channels apart, each of which has a connection of its own, so that a large blob never holds a heartbeat up.
 *
 * @packageDocumentation
 */
export { tlsTransport, type TlsTransportOptions } from "./transport.ts";
export { keyProbe, type KeyAnswer, type KeyProbe, type KeyProbeOptions } from "./key-probe.ts";
export { defaultLimits, type TransportLimits } from "./limits.ts";
export {
  AddressInUseError,
  BackpressureError,
  ClosedError,
  DuplicateProtocolError,
  HandlerFailedError,
  ListenFailedError,
  NoAddressError,
  NotAdmittedError,
  ProtocolViolationError,
  RemoteError,
  SelfDialError,
  TimeoutError,
  TooLargeError,
  type TransportErrorCode,
  UnreachableError,
  UnsupportedError,
  VersionMismatchError,
  WrongPeerError,
} from "./errors.ts";
