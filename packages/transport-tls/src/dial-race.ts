import { connect, type SecureContext, type TLSSocket } from "node:tls";
import { type Address, type Clock, type NodeId, shortId, type TransportChannel } from "@revoada/fabric";
import { parseAddress } from "./address.ts";
import { proofOf } from "./certificate.ts";
import { systemCode, TimeoutError, UnreachableError, WrongPeerError } from "./errors.ts";
import type { TransportLimits } from "./limits.ts";
import type { SocketSet } from "./socket-set.ts";
import { alpnOfChannel, channelOf } from "./wire.ts";

/** What a dial needs beside the peer. */
export interface DialOptions {
  readonly clock: Clock;
  readonly limits: TransportLimits;
  readonly secureContext: SecureContext;
  readonly sockets: SocketSet;
}

/**
 * Dials a peer's addresses, each a little after the one before or at once when that one has failed, until one of them has
 * proven the peer's key. Whoever answers with another key is left before a byte is read or written.
 */
export class DialRace {
  readonly #peer: NodeId;
  readonly #channel: TransportChannel;
  readonly #options: DialOptions;
  readonly #waiting: Address[];
  readonly #racing = new Set<TLSSocket>();
  readonly #attempts: string[] = [];
  readonly #onDone: (outcome: TLSSocket | Error) => void;
  readonly #cancelDeadline: () => void;
  #cancelStagger: () => void = () => {};
  #wrongPeer = false;
  #done = false;

  constructor(
    peer: NodeId,
    channel: TransportChannel,
    addresses: readonly Address[],
    options: DialOptions,
    onDone: (outcome: TLSSocket | Error) => void,
  ) {
    this.#peer = peer;
    this.#channel = channel;
    this.#options = options;
    this.#waiting = [...addresses];
    this.#onDone = onDone;
    const { dialTimeoutMs } = options.limits;
    this.#cancelDeadline = options.clock.schedule(dialTimeoutMs, () => {
      const attempts = [...this.#attempts, `no answer within ${dialTimeoutMs} ms`];
      this.#finish(new UnreachableError(peer, attempts, new TimeoutError(peer, "a dial", dialTimeoutMs)));
    });
  }

  start(): void {
    this.#next();
  }

  /** Gives up without calling back. */
  cancel(): void {
    this.#close();
  }

  #next(): void {
    this.#cancelStagger();
    const address = this.#waiting.shift();
    if (address === undefined || this.#done) return;
    const target = parseAddress(address);
    if (target === undefined) return this.#failed(address, "not an address");
    const socket = connect({
      host: target.host,
      port: target.port,
      secureContext: this.#options.secureContext,
      ALPNProtocols: [alpnOfChannel[this.#channel]],
      minVersion: "TLSv1.3",
      // The key is checked by this package; no name, date or issuer counts.
      rejectUnauthorized: false,
      checkServerIdentity: () => undefined,
    });
    this.#racing.add(socket);
    this.#options.sockets.add(socket);
    socket.once("secureConnect", () => this.#secured(address, socket));
    socket.on("error", (error) => this.#lost(address, socket, systemCode(error)));
    socket.on("close", () => this.#lost(address, socket, "closed during the handshake"));
    if (this.#waiting.length === 0) return;
    this.#cancelStagger = this.#options.clock.schedule(this.#options.limits.dialStaggerMs, () => this.#next());
  }

  #secured(address: Address, socket: TLSSocket): void {
    if (!this.#racing.has(socket)) return;
    const proof = proofOf(socket);
    if (!proof.ok || proof.peer !== this.#peer) {
      this.#wrongPeer = true;
      return this.#lost(address, socket, proof.ok ? `answered as ${shortId(proof.peer)}` : proof.why);
    }
    if (channelOf(socket) !== this.#channel) return this.#lost(address, socket, "another channel was agreed upon");
    this.#racing.delete(socket);
    this.#finish(socket);
  }

  #lost(address: Address, socket: TLSSocket, why: string): void {
    if (!this.#racing.delete(socket)) return;
    socket.destroy();
    this.#failed(address, why);
  }

  #failed(address: Address, why: string): void {
    if (this.#done) return;
    this.#attempts.push(`${address}: ${why}`);
    if (this.#waiting.length > 0) return this.#next();
    if (this.#racing.size > 0) return;
    this.#finish(
      this.#wrongPeer
        ? new WrongPeerError(this.#peer, this.#attempts)
        : new UnreachableError(this.#peer, this.#attempts),
    );
  }

  #finish(outcome: TLSSocket | Error): void {
    if (this.#done) return;
    this.#close();
    this.#onDone(outcome);
  }

  #close(): void {
    this.#done = true;
    this.#cancelDeadline();
    this.#cancelStagger();
    for (const socket of this.#racing) socket.destroy();
    this.#racing.clear();
  }
}
