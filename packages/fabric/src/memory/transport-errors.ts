import { FabricError } from "../errors.ts";
import { type NodeId, shortId } from "../ids.ts";
import type { TransportChannel } from "../seams/transport.ts";

/** The largest payload, each way. */
export const maxPayloadBytes: number = 16 * 1024 * 1024;

/** The connection, the stream or the transport ended; what was under way may or may not have had its effect. */
export function closedError(what: string): FabricError {
  return new FabricError("TRANSPORT_CLOSED", what, { retryable: true });
}

/** No answer within the deadline. */
export function timeoutError(what: string, peer: NodeId, timeoutMs: number): FabricError {
  return new FabricError("TRANSPORT_TIMEOUT", `${what} to ${shortId(peer)} took longer than ${timeoutMs} ms`, {
    retryable: true,
  });
}

/** A bounded queue is full and nothing was queued. */
export function backpressureError(what: string, queued: number, limit: number): FabricError {
  return new FabricError("TRANSPORT_BACKPRESSURE", `${what}: ${queued} queued, at most ${limit}`, { retryable: true });
}

/** A payload beyond {@link maxPayloadBytes}. */
export function tooLargeError(what: string, bytes: number): FabricError {
  return new FabricError("TRANSPORT_TOO_LARGE", `${what} of ${bytes} bytes, at most ${maxPayloadBytes}`);
}

/** Nothing says where the peer listens. */
export function noAddressError(peer: NodeId): FabricError {
  return new FabricError("TRANSPORT_NO_ADDRESS", `no address is known for ${shortId(peer)}`, { retryable: true });
}

/** None of the peer's addresses led to it. */
export function unreachableError(peer: NodeId, why: string): FabricError {
  return new FabricError("TRANSPORT_UNREACHABLE", `${shortId(peer)} cannot be reached: ${why}`, { retryable: true });
}

/** Another node answered at the peer's address. */
export function wrongPeerError(peer: NodeId, found: NodeId): FabricError {
  return new FabricError("TRANSPORT_WRONG_PEER", `${shortId(peer)} was dialled, ${shortId(found)} answered`);
}

/** One of the two sides does not let the other speak on this channel. */
export function notAdmittedError(peer: NodeId, channel: TransportChannel, by: "local" | "remote"): FabricError {
  const text =
    by === "local" ? `${shortId(peer)} is not admitted here` : `this node is not admitted by ${shortId(peer)}`;
  return new FabricError("TRANSPORT_NOT_ADMITTED", `${text} on ${channel}`, { retryable: by === "remote" });
}

/** The other side does not offer the protocol, or not in this way. */
export function unsupportedError(protocol: string, what: string): FabricError {
  return new FabricError("TRANSPORT_UNSUPPORTED", `${what} of protocol ${protocol} is not offered`);
}

/** A protocol name is already taken. */
export function duplicateProtocolError(protocol: string): FabricError {
  return new FabricError("TRANSPORT_DUPLICATE_PROTOCOL", `protocol ${protocol} is already offered`);
}

/** A handler threw something that is no error of ours. */
export function handlerFailedError(protocol: string): FabricError {
  return new FabricError("TRANSPORT_HANDLER_FAILED", `the handler of ${protocol} failed`);
}

/** A node never talks to itself over the network. */
export function selfDialError(peer: NodeId): FabricError {
  return new FabricError("TRANSPORT_SELF_DIAL", `${shortId(peer)} is this node itself`);
}

/** Another transport runs under the same id. */
export function addressInUseError(address: string): FabricError {
  return new FabricError("TRANSPORT_ADDRESS_IN_USE", `address ${address} is in use by another transport`);
}
