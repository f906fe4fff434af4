import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type Server as TlsServer, type TLSSocket, type TlsOptions } from "node:tls";
import type { Address, Clock, Logger, Metrics, NodeId } from "@revoada/fabric";
import { formatAddress, parseAddress, sourceOf } from "./address.ts";
import { proofOf } from "./certificate.ts";
import type { TrafficLoad } from "./core/traffic-load.ts";
import { AddressInUseError, ListenFailedError, systemCode } from "./errors.ts";
import { HandshakeGate } from "./handshake-gate.ts";
import { Inbound } from "./inbound.ts";
import type { TransportLimits } from "./limits.ts";
import type { SocketSet } from "./socket-set.ts";
import { alpnOfChannel, channelOf, type EndReason, Wire } from "./wire.ts";

/** What the listener needs of the transport. */
export interface ListenerOptions {
  readonly localId: NodeId;
  readonly clock: Clock;
  readonly limits: TransportLimits;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly sockets: SocketSet;
  readonly load: TrafficLoad;
}

/** Under which reason an inbound connection is counted that ended after TLS and before it was welcomed. */
const greetingFailures: Readonly<Record<EndReason, string>> = {
  error: "greeting",
  timeout: "timeout",
  closed: "abandoned",
  local: "abandoned",
};

/** RFC 8446, section 5.1: the first byte of a client's first record. */
const handshakeRecord = 22;

/** What the listener asks of the pool. */
export interface ListenerOwner {
  readonly session: Uint8Array;
  /** The dialler, whose key is proven, has said hello. True where it is admitted. */
  onHello(inbound: Inbound): boolean;
  onInsist(inbound: Inbound): void;
}

interface PendingHandshake {
  readonly source: string;
  readonly startedMs: number;
  readonly drop: () => void;
  readonly settle: () => void;
}

/** Takes connections in: bounds handshakes in number, rate and time, and lets only proven ed25519 keys say hello. */
export class Listener {
  readonly #options: ListenerOptions;
  readonly #owner: ListenerOwner;
  readonly #onSettled: (inbound: Inbound) => void;
  readonly #gate: HandshakeGate;
  readonly #servers: Server[] = [];
  /** Listen nowhere themselves: each is given the connections whose handshake may begin. */
  readonly #tlsServers: TlsServer[] = [];
  readonly #addresses: Address[] = [];
  /** By remote address and port, which name a TCP connection while it lives; oldest first. */
  readonly #pending = new Map<string, PendingHandshake>();

  constructor(options: ListenerOptions, owner: ListenerOwner, onSettled: (inbound: Inbound) => void) {
    const { clock, limits, load } = options;
    this.#options = options;
    this.#owner = owner;
    this.#onSettled = onSettled;
    const { handshakesPerSecond: perSecond, handshakeBurst: burst, violationWaitMs } = limits;
    this.#gate = new HandshakeGate(clock, { perSecond, burst, violationWaitMs }, load);
  }

  get addresses(): readonly Address[] {
    return this.#addresses;
  }

  /** Listens on every address or, where one of them fails, on none. */
  async listen(addresses: readonly Address[], credentials: TlsOptions): Promise<void> {
    try {
      for (const address of addresses) await this.#listenOn(address, credentials);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Presents another certificate from now on. */
  renew(credentials: TlsOptions): void {
    for (const server of this.#tlsServers) server.setSecureContext(credentials);
  }

  /** Stops listening and drops every handshake under way. Connections already welcomed are not touched. */
  close(): void {
    this.#addresses.length = 0;
    const servers = this.#servers.splice(0);
    for (const server of servers) server.close();
    for (const pending of [...this.#pending.values()]) pending.drop();
  }

  /** A connection from this remote address that had been welcomed broke the protocol: those that follow from there wait. */
  violated(remoteAddress: string): void {
    this.#gate.violated(sourceOf(remoteAddress));
  }

  async #listenOn(address: Address, credentials: TlsOptions): Promise<void> {
    const target = parseAddress(address);
    if (target === undefined) throw new ListenFailedError(address, new Error("not an address"));
    const tlsServer = this.#makeTlsServer(credentials);
    const server = createServer({ noDelay: true }, (socket) => this.#onSocket(socket, tlsServer));
    await new Promise<void>((resolve, reject) => {
      server.once("error", (error) => {
        const inUse = systemCode(error) === "EADDRINUSE";
        reject(inUse ? new AddressInUseError(address, error) : new ListenFailedError(address, error));
      });
      server.listen(target.port, target.host, resolve);
    });
    server.removeAllListeners("error");
    server.on("error", (error) => this.#options.logger.error("listener failed", { address, error }));
    this.#servers.push(server);
    this.#tlsServers.push(tlsServer);
    this.#addresses.push(formatAddress(target.host, (server.address() as AddressInfo).port));
  }

  #makeTlsServer(credentials: TlsOptions): TlsServer {
    const server = createTlsServer({
      ...credentials,
      ALPNProtocols: Object.values(alpnOfChannel),
      requestCert: true,
      rejectUnauthorized: false,
    });
    server.on("secureConnection", (socket) => this.#onSecure(socket));
    server.on("tlsClientError", (error, socket) => {
      this.#refused("handshake", systemCode(error), socket);
      socket.destroy();
    });
    return server;
  }

  #onSocket(socket: Socket, tlsServer: TlsServer): void {
    const { clock, limits, sockets } = this.#options;
    sockets.add(socket);
    const key = keyOf(socket);
    const drop = (): void => {
      settle();
      socket.destroy();
    };
    const cancel = clock.schedule(limits.handshakeTimeoutMs, () => {
      this.#refused("timeout", "handshake took too long", socket);
      drop();
    });
    let leave = (): void => {};
    const settle = (): void => {
      cancel();
      leave();
      this.#pending.delete(key);
    };
    socket.once("close", settle);
    const source = sourceOf(socket.remoteAddress ?? "");
    this.#pending.set(key, { source, startedMs: clock.monotonicMs(), drop, settle });
    // Whoever says nothing costs no handshake.
    socket.once("readable", () => {
      if (!this.#pending.has(key)) return;
      if (socket.readableLength === 0) {
        this.#refused("abandoned", "closed without a word", socket);
        return drop();
      }
      leave = this.#gate.enter(source, () => this.#begin(socket, tlsServer));
    });
    if (this.#pending.size <= limits.pendingHandshakes) return;
    this.#refused("capacity", "too many handshakes", socket);
    likeliestStalled([...this.#pending.values()])?.drop();
  }

  /** Hands a connection over to TLS, with what has come over it. */
  #begin(socket: Socket, tlsServer: TlsServer): void {
    const head = socket.read() as Buffer;
    if (head[0] !== handshakeRecord) {
      this.#refused("handshake", "no TLS", socket);
      socket.destroy();
      return;
    }
    socket.unshift(head);
    tlsServer.emit("connection", socket);
  }

  #onSecure(socket: TLSSocket): void {
    const { clock, limits } = this.#options;
    const pending = this.#pending.get(keyOf(socket));
    const channel = channelOf(socket);
    const proof = proofOf(socket);
    if (pending === undefined || channel === undefined || !proof.ok || !this.#acceptable(socket, proof.peer)) {
      const why = proof.ok ? "late, without a channel, resumed or with this node's own key" : proof.why;
      this.#refused("identity", why, socket);
      socket.destroy();
      return;
    }
    socket.on("error", () => {});
    const wire = new Wire(
      socket,
      { peer: proof.peer, channel, dialledHere: false },
      { clock, lingerMs: limits.lingerMs },
    );
    const remainingMs = limits.handshakeTimeoutMs - (clock.monotonicMs() - pending.startedMs);
    const { session } = this.#owner;
    const inbound = new Inbound(wire, remainingMs, clock, {
      session,
      onHello: (hello) => {
        const { peer, channel: on } = hello.wire;
        // On the channel of strangers anybody is admitted, with as many keys as it likes.
        if (this.#owner.onHello(hello) && on !== "join") this.#gate.admitted(pending.source, `${peer} ${on}`);
      },
      onInsist: (hello) => this.#owner.onInsist(hello),
      onFailed: (reason, cause) => this.#refused(greetingFailures[reason], cause?.message ?? "before hello", socket),
      onSettled: (settled) => {
        pending.settle();
        this.#onSettled(settled);
      },
    });
    inbound.start();
  }

  /** A resumed session would skip the proof of the key, and nobody else can have this node's own. */
  #acceptable(socket: TLSSocket, peer: NodeId): boolean {
    return peer !== this.#options.localId && !socket.isSessionReused();
  }

  #refused(reason: string, detail: string, socket: Socket): void {
    this.#options.metrics.count("revoada_transport_refused_handshakes_total", 1, { reason });
    this.#options.logger.debug("handshake refused", { reason, detail, remote: socket.remoteAddress });
  }
}

/**
 * Of too many handshakes the oldest from the address that has most of them under way: honest ones take milliseconds, and whoever floods
 * from one place must not push out those who come from others.
 */
function likeliestStalled(pending: readonly PendingHandshake[]): PendingHandshake | undefined {
  const counts = new Map<string, number>();
  for (const { source } of pending) counts.set(source, (counts.get(source) ?? 0) + 1);
  const most = Math.max(...counts.values());
  return pending.find(({ source }) => counts.get(source) === most);
}

function keyOf(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort} ${socket.localPort}`;
}
