import { createServer, type Server, type Socket } from "node:net";
import type { Clock, Face, Logger } from "@revoada/fabric";
import { systemClock } from "@revoada/fabric/node";
import { ControlBusyError } from "./errors.ts";
import { FramedSocket } from "./framed-socket.ts";
import type { ControlRegistry } from "./registry.ts";
import { Session } from "./session.ts";
import { listenAt } from "./socket-path.ts";

export interface ControlServerOptions {
  /** Where the socket stands. Its directory is the caller's and best readable by its owner alone. */
  readonly path: string;
  /** The face that answers now; what it throws reaches the caller. */
  readonly face: () => Face;
  readonly control: ControlRegistry;
  readonly logger: Logger;
  /** The host's unless told. */
  readonly clock?: Clock;
}

/** A control socket that is served. */
export interface ControlServer extends AsyncDisposable {
  readonly path: string;
  /** Connections that are open. */
  connections(): number;
  /** Takes no more, ends streams, lets calls under way be answered for a second, and removes the socket. */
  shutdown(): Promise<void>;
}

const maxConnections = 64;
const greetingTimeoutMs = 10_000;
const graceMs = 1_000;

/**
 * Serves a node to programs of the same user on the same host, over a unix socket of mode 0600: the verbs of its face, and the methods
 * of its registry.
 *
 * Rejects with `CONTROL_PATH_TOO_LONG`, `CONTROL_IN_USE` where a process serves the path, `CONTROL_PATH_UNUSABLE` where it cannot. A
 * caller that breaks the protocol is cut off; frames, calls, connections and what waits on a stream are bounded.
 */
export async function controlServer(options: ControlServerOptions): Promise<ControlServer> {
  const server = new SocketServer(options);
  await server.listen();
  return server;
}

class SocketServer implements ControlServer {
  readonly path: string;
  readonly #options: ControlServerOptions;
  readonly #clock: Clock;
  readonly #server: Server;
  readonly #open = new Map<FramedSocket, Session>();
  #shutdown: Promise<void> | undefined;

  constructor(options: ControlServerOptions) {
    this.path = options.path;
    this.#options = options;
    this.#clock = options.clock ?? systemClock();
    this.#server = createServer((socket) => this.#accept(socket));
  }

  async listen(): Promise<void> {
    await listenAt(this.#server, this.path);
    this.#server.on("error", (error) =>
      this.#options.logger.error("the control socket failed", { path: this.path, error }),
    );
  }

  connections(): number {
    return this.#open.size;
  }

  shutdown(): Promise<void> {
    this.#shutdown ??= this.#finish();
    return this.#shutdown;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown();
  }

  #accept(socket: Socket): void {
    const { logger } = this.#options;
    if (this.#open.size >= maxConnections || this.#shutdown !== undefined) {
      logger.warn("a control connection was turned away", {
        reason: new ControlBusyError("connections", maxConnections).message,
      });
      socket.on("error", () => {});
      socket.destroy();
      return;
    }
    const framed = new FramedSocket(socket, {
      onGreeting: () => cancelTimeout(),
      onFrame: (frame) => session.take(frame),
      onClosed: (error) => {
        cancelTimeout();
        this.#open.delete(framed);
        session.abandon();
        if (error !== undefined) logger.warn("a control connection broke", { error });
      },
    });
    const session = new Session(this.#options, framed);
    const cancelTimeout = this.#clock.schedule(greetingTimeoutMs, () => framed.destroy());
    this.#open.set(framed, session);
  }

  async #finish(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    const answered = Promise.all([...this.#open].map(([framed, session]) => this.#finishOne(framed, session)));
    // A method that never answers must not keep the node from going down.
    await this.#within(graceMs, Promise.all([answered, closed]));
    for (const framed of this.#open.keys()) framed.destroy();
    await closed;
  }

  async #within(limitMs: number, work: Promise<unknown>): Promise<void> {
    let cancel = (): void => {};
    const late = new Promise<void>((resolve) => {
      cancel = this.#clock.schedule(limitMs, resolve);
    });
    await Promise.race([work, late]);
    cancel();
  }

  async #finishOne(framed: FramedSocket, session: Session): Promise<void> {
    await session.finish();
    framed.end();
  }
}
