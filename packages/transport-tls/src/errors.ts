import { type Address, FabricError, type NodeId, shortId, type TransportChannel } from "@revoada/fabric";

/** Every code that this package raises itself; a remote handler's own codes pass through unchanged. */
export type TransportErrorCode =
  | "TRANSPORT_ADDRESS_IN_USE"
  | "TRANSPORT_BACKPRESSURE"
  | "TRANSPORT_CLOSED"
  | "TRANSPORT_DUPLICATE_PROTOCOL"
  | "TRANSPORT_HANDLER_FAILED"
  | "TRANSPORT_LISTEN_FAILED"
  | "TRANSPORT_NOT_ADMITTED"
  | "TRANSPORT_NO_ADDRESS"
  | "TRANSPORT_PROTOCOL_VIOLATION"
  | "TRANSPORT_SELF_DIAL"
  | "TRANSPORT_TIMEOUT"
  | "TRANSPORT_TOO_LARGE"
  | "TRANSPORT_UNREACHABLE"
  | "TRANSPORT_UNSUPPORTED"
  | "TRANSPORT_VERSION_MISMATCH"
  | "TRANSPORT_WRONG_PEER";

/** Something else listens where this node was told to listen. */
export class AddressInUseError extends FabricError {
  readonly address: Address;

  constructor(address: Address, cause: unknown) {
    super("TRANSPORT_ADDRESS_IN_USE", `address ${address} is in use by another socket`, { cause });
    this.address = address;
  }
}

/** The operating system refuses to listen for any other reason. */
export class ListenFailedError extends FabricError {
  readonly address: Address;

  constructor(address: Address, cause: unknown) {
    super("TRANSPORT_LISTEN_FAILED", `cannot listen on ${address}: ${listenReason(systemCode(cause))}`, { cause });
    this.address = address;
  }
}

/** A bounded queue is full; nothing was queued. */
export class BackpressureError extends FabricError {
  constructor(what: string, queued: number, limit: number) {
    super("TRANSPORT_BACKPRESSURE", `${what}: ${queued} queued, at most ${limit}`, { retryable: true });
  }
}

/** The connection, stream or transport ended; what was under way may or may not have had its effect. */
export class ClosedError extends FabricError {
  constructor(what: string, cause?: unknown) {
    super("TRANSPORT_CLOSED", what, { retryable: true, cause });
  }
}

/** No answer within the deadline; the other side may still act. */
export class TimeoutError extends FabricError {
  constructor(peer: NodeId, what: string, timeoutMs: number) {
    super("TRANSPORT_TIMEOUT", `${what} to ${shortId(peer)} took longer than ${timeoutMs} ms`, { retryable: true });
  }
}

/** Nothing says where the peer listens. */
export class NoAddressError extends FabricError {
  constructor(peer: NodeId) {
    super("TRANSPORT_NO_ADDRESS", `no address is known for ${shortId(peer)}`, { retryable: true });
  }
}

/** None of the peer's addresses led to it. */
export class UnreachableError extends FabricError {
  constructor(peer: NodeId, attempts: readonly string[], cause?: unknown) {
    super("TRANSPORT_UNREACHABLE", `${shortId(peer)} cannot be reached: ${attempts.join("; ")}`, {
      retryable: true,
      cause,
    });
  }
}

/** Whoever answered proved another key, or none. */
export class WrongPeerError extends FabricError {
  constructor(peer: NodeId, attempts: readonly string[]) {
    super("TRANSPORT_WRONG_PEER", `${shortId(peer)} was dialled, another answered: ${attempts.join("; ")}`);
  }
}

/** One of the two sides does not let the other speak on this channel. */
export class NotAdmittedError extends FabricError {
  constructor(peer: NodeId, channel: TransportChannel, by: "local" | "remote") {
    const text =
      by === "local"
        ? `${shortId(peer)} is not admitted on ${channel} by this node`
        : `this node is not admitted on ${channel} by ${shortId(peer)}`;
    super("TRANSPORT_NOT_ADMITTED", text, { retryable: by === "remote" });
  }
}

/** A node never talks to itself over the network. */
export class SelfDialError extends FabricError {
  constructor(peer: NodeId) {
    super("TRANSPORT_SELF_DIAL", `${shortId(peer)} is this node itself`);
  }
}

/** The other side does not offer the protocol, or not in this way. */
export class UnsupportedError extends FabricError {
  constructor(protocol: string, what: string) {
    super("TRANSPORT_UNSUPPORTED", `${what} of protocol ${protocol} is not offered`);
  }
}

/** A protocol name is already taken. */
export class DuplicateProtocolError extends FabricError {
  constructor(protocol: string) {
    super("TRANSPORT_DUPLICATE_PROTOCOL", `protocol ${protocol} is already offered`);
  }
}

/** A payload is larger than a frame may be. */
export class TooLargeError extends FabricError {
  constructor(what: string, bytes: number, limit: number) {
    super("TRANSPORT_TOO_LARGE", `${what} of ${bytes} bytes, at most ${limit}`);
  }
}

/** A handler threw something that is no error of ours; what it was stays on its own side. */
export class HandlerFailedError extends FabricError {
  constructor(protocol: string) {
    super("TRANSPORT_HANDLER_FAILED", `the handler of ${protocol} failed`);
  }
}

/** Bytes that the frame format does not allow. The connection that carried them is over. */
export class ProtocolViolationError extends FabricError {
  constructor(message: string) {
    super("TRANSPORT_PROTOCOL_VIOLATION", message);
  }
}

/** The two sides know no common version of the frame format. */
export class VersionMismatchError extends FabricError {
  constructor(peer: NodeId) {
    super("TRANSPORT_VERSION_MISMATCH", `${shortId(peer)} speaks no version of the frame format that this node speaks`);
  }
}

/** What another node's handler answered with: its code, message and `retryable`, as they came. */
export class RemoteError extends FabricError {
  readonly peer: NodeId;

  constructor(peer: NodeId, code: string, message: string, retryable: boolean) {
    super(code, message, { retryable });
    this.peer = peer;
  }
}

/** Why nobody can listen somewhere, for the codes that a wrong address leads to. */
function listenReason(code: string): string {
  switch (code) {
    case "EADDRNOTAVAIL":
      return "this host has no such address (EADDRNOTAVAIL)";
    case "ENOTFOUND":
      return "its name has no address (ENOTFOUND)";
    case "EACCES":
      return "permission denied (EACCES)";
    default:
      return code;
  }
}

/** The short name of a system error (`ECONNREFUSED`), for messages. */
export function systemCode(error: unknown): string {
  if (error instanceof Error) {
    const code = (error as { readonly code?: unknown }).code;
    return typeof code === "string" ? code : error.message.slice(0, 120);
  }
  return "unknown error";
}
