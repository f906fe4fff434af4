import { describeValue, FabricError } from "@revoada/fabric";

/** No daemon answers at the socket. */
export class ControlUnreachableError extends FabricError {
  readonly path: string;

  constructor(path: string, reason: string, options: { readonly cause?: unknown } = {}) {
    super("CONTROL_UNREACHABLE", `no node answers at ${JSON.stringify(path)}: ${reason}`, {
      ...options,
      retryable: true,
    });
    this.path = path;
  }
}

/** The path does not fit into a socket's address. */
export class ControlPathTooLongError extends FabricError {
  constructor(path: string, bytes: number, limit: number) {
    super(
      "CONTROL_PATH_TOO_LONG",
      `socket path ${describeValue(path)} has ${bytes} bytes, at most ${limit} are possible`,
    );
  }
}

/** A process serves the socket already. */
export class ControlInUseError extends FabricError {
  constructor(path: string) {
    super("CONTROL_IN_USE", `another process serves ${JSON.stringify(path)}`);
  }
}

/** Something else than a socket stands at the path, or the path cannot be used. */
export class ControlPathUnusableError extends FabricError {
  constructor(path: string, reason: string, options: { readonly cause?: unknown } = {}) {
    super("CONTROL_PATH_UNUSABLE", `${JSON.stringify(path)} cannot become a socket: ${reason}`, options);
  }
}

/** The connection ended. Where a call waited for its answer, whether it was done is not known. */
export class ControlClosedError extends FabricError {
  constructor(what: string, options: { readonly retryable?: boolean; readonly cause?: unknown } = {}) {
    super("CONTROL_CLOSED", what, options);
  }
}

/** No answer within the deadline. */
export class ControlTimeoutError extends FabricError {
  constructor(method: string, timeoutMs: number) {
    super("CONTROL_TIMEOUT", `${method} was not answered within ${timeoutMs} ms`);
  }
}

/** A method that is not there. */
export class ControlUnknownMethodError extends FabricError {
  constructor(method: string, known: readonly string[]) {
    super("CONTROL_UNKNOWN_METHOD", `no method ${describeValue(method)}, there are ${known.join(", ")}`);
  }
}

/** A method name that is taken. */
export class ControlDuplicateMethodError extends FabricError {
  constructor(method: string) {
    super("CONTROL_DUPLICATE_METHOD", `method ${describeValue(method)} is registered already`);
  }
}

/** A method that answers with a stream was called for one answer. */
export class ControlStreamingMethodError extends FabricError {
  constructor(method: string) {
    super("CONTROL_STREAMING_METHOD", `method ${describeValue(method)} answers with a stream`);
  }
}

/** As many calls are under way on one connection, or as many connections open, as are taken. */
export class ControlBusyError extends FabricError {
  constructor(what: string, limit: number) {
    super("CONTROL_BUSY", `at most ${limit} ${what} at a time`, { retryable: true });
  }
}

/** A message that does not fit into a frame; it was not sent. */
export class ControlTooLargeError extends FabricError {
  constructor(bytes: number, limit: number) {
    super("CONTROL_TOO_LARGE", `a message of ${bytes} bytes, at most ${limit} travel over the control socket`);
  }
}

/** The other side does not speak this protocol, or another version of it. */
export class ControlProtocolError extends FabricError {
  constructor(reason: string, options: { readonly cause?: unknown } = {}) {
    super("CONTROL_PROTOCOL", `the other side does not keep to the control protocol: ${reason}`, options);
  }
}

/** A method failed for a reason that is not for callers to see; the node's log has it. */
export class ControlInternalError extends FabricError {
  constructor(method: string) {
    super("CONTROL_INTERNAL", `method ${describeValue(method)} failed, the log of the node says why`);
  }
}
