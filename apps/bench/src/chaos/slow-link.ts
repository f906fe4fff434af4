import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";

/** What a piece of a stream waits for, and how much that differs. */
export interface Delay {
  readonly oneWayMs: number;
  readonly jitterMs: number;
}

/** More than this in flight in one direction, and the sender waits, as on a link with a window. */
const inFlightBytes = 4 * 1024 * 1024;

/** Stands before a daemon and hands on whatever is sent to it, or by it on the same connection, late and in order. */
export class SlowLink implements Disposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server) {
    this.#server = server;
  }

  static async open(
    at: string,
    to: { readonly host: string; readonly port: number },
    { delay, random }: { readonly delay: Delay; readonly random: () => number },
  ): Promise<SlowLink> {
    const server = createServer({ allowHalfOpen: true });
    const link = new SlowLink(server);
    server.on("connection", (near) => {
      const far = connect({ ...to, allowHalfOpen: true });
      link.#hold(near, far);
      const wait = (): number => delay.oneWayMs + (2 * random() - 1) * delay.jitterMs;
      handOn(near, far, wait);
      handOn(far, near, wait);
    });
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(0, at, resolve);
    });
    return link;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  [Symbol.dispose](): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Where one side breaks, the other one does too, as the far end of a reset connection would see it. */
  #hold(near: Socket, far: Socket): void {
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(one);
      one.setNoDelay(true);
      one.on("error", () => other.destroy());
      one.on("close", () => this.#sockets.delete(one));
    }
  }
}

function handOn(from: Socket, to: Socket, wait: () => number): void {
  const queue: (() => void)[] = [];
  let lastDueMs = 0;
  let inFlight = 0;
  // Never before what was sent earlier: whichever timer fires, the oldest piece goes on.
  const later = (work: () => void): void => {
    const nowMs = performance.now();
    lastDueMs = Math.max(lastDueMs, nowMs + wait());
    queue.push(work);
    setTimeout(() => queue.shift()?.(), lastDueMs - nowMs);
  };
  from.on("data", (piece: Buffer) => {
    inFlight += piece.length;
    if (inFlight > inFlightBytes) from.pause();
    later(() => {
      inFlight -= piece.length;
      if (inFlight <= inFlightBytes) from.resume();
      if (!to.destroyed) to.write(piece);
    });
  });
  from.on("end", () => later(() => void to.end()));
}
