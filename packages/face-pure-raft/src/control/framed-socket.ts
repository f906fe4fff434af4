import type { Socket } from "node:net";
import { decodeWire, encodeWire } from "../wire/cbor.ts";
import { WireFault } from "../wire/shape.ts";
import { ControlClosedError, ControlProtocolError, ControlTooLargeError } from "./errors.ts";
import { frameHead, FrameReader, maxFrameBytes, preface } from "./frame-reader.ts";

/** A message of the protocol: what it is, which call it is about, and the rest, still unchecked. */
export interface Frame {
  readonly type: string;
  readonly id: number;
  readonly rest: readonly unknown[];
}

export interface FramedSocketEvents {
  /** The other side's preface has come. */
  readonly onGreeting?: () => void;
  /** Throws where the frame breaks the protocol; the connection ends then. */
  readonly onFrame: (frame: Frame) => void;
  /** Called once; the error is undefined where the other side ended in order. */
  readonly onClosed: (error: Error | undefined) => void;
}

/** Frames over a socket, with backpressure on what is sent. A peer that breaks the protocol is cut off. */
export class FramedSocket {
  readonly #socket: Socket;
  readonly #reader = new FrameReader();
  readonly #events: FramedSocketEvents;
  #closed = false;
  #fault: Error | undefined;
  #drains: (() => void)[] = [];

  constructor(socket: Socket, events: FramedSocketEvents) {
    this.#socket = socket;
    this.#events = events;
    socket.on("data", (bytes: Uint8Array) => this.#take(bytes));
    socket.on("drain", () => this.#wake());
    socket.on("error", (error) => {
      this.#fault ??= error;
    });
    socket.on("close", () => this.#close());
    socket.write(preface);
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  /**
   * Sends a message; resolves once another may follow. What goes to a closed connection is dropped: whoever waits for its effect learns of
   * the end. Throws `CONTROL_TOO_LARGE` at once, with nothing sent.
   */
  send(type: string, id: number, ...rest: readonly unknown[]): Promise<void> {
    const bytes = encodeWire([type, id, ...rest]);
    if (bytes.length > maxFrameBytes) throw new ControlTooLargeError(bytes.length, maxFrameBytes);
    if (this.#closed || this.#socket.writableEnded || this.#socket.destroyed) return Promise.resolve();
    this.#socket.cork();
    this.#socket.write(frameHead(bytes.length));
    const hasRoom = this.#socket.write(bytes);
    this.#socket.uncork();
    return hasRoom ? Promise.resolve() : new Promise((resolve) => this.#drains.push(resolve));
  }

  /** Ends in order: what was sent still arrives. */
  end(): void {
    this.#socket.end();
  }

  /** Cuts the connection off. */
  destroy(error?: Error): void {
    this.#fault ??= error;
    this.#socket.destroy();
  }

  #take(bytes: Uint8Array): void {
    if (this.#closed || this.#socket.destroyed) return;
    try {
      const wasGreeted = this.#reader.greeted;
      const frames = this.#reader.push(bytes);
      for (let step = frames.next(); ; step = frames.next()) {
        if (!wasGreeted && this.#reader.greeted) this.#events.onGreeting?.();
        if (step.done === true) return;
        this.#events.onFrame(openFrame(step.value));
      }
    } catch (error) {
      this.destroy(error instanceof Error ? error : new ControlProtocolError("unknown fault"));
    }
  }

  #wake(): void {
    for (const drained of this.#drains.splice(0)) drained();
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#wake();
    this.#events.onClosed(this.#fault);
  }
}

function openFrame(bytes: Uint8Array): Frame {
  let value: unknown;
  try {
    value = decodeWire(bytes);
  } catch (error) {
    if (error instanceof WireFault) throw new ControlProtocolError(error.message);
    throw error;
  }
  const [type, id, ...rest] = Array.isArray(value) ? (value as readonly unknown[]) : [];
  if (typeof type !== "string" || typeof id !== "number" || !Number.isSafeInteger(id) || id < 0) {
    throw new ControlProtocolError("a frame without type and call");
  }
  return { type, id, rest };
}

/** What calls that wait on a connection are told when it ends. */
export function closedError(what: string, cause: Error | undefined, retryable: boolean): ControlClosedError {
  return new ControlClosedError(what, { retryable, ...(cause === undefined ? {} : { cause }) });
}
