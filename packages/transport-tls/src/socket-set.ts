import type { Socket } from "node:net";

/** Every open socket of a transport, so that a shutdown can wait until the last one is gone. */
export class SocketSet {
  readonly #sockets = new Set<Socket>();
  #onEmpty: (() => void)[] = [];

  add(socket: Socket): void {
    this.#sockets.add(socket);
    // Whoever owns the socket listens as well; between two owners an error must not end the process.
    socket.on("error", () => {});
    socket.once("close", () => this.#remove(socket));
  }

  get size(): number {
    return this.#sockets.size;
  }

  /** Resolves once no socket is open. */
  empty(): Promise<void> {
    if (this.#sockets.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onEmpty.push(resolve));
  }

  #remove(socket: Socket): void {
    this.#sockets.delete(socket);
    if (this.#sockets.size > 0) return;
    const waiting = this.#onEmpty;
    this.#onEmpty = [];
    for (const resolve of waiting) resolve();
  }
}
