import { randomBytes } from "node:crypto";
import type { Address, Clock, NodeId, Protocol, Random, Transport, TransportEvent } from "@revoada/fabric";
import { tlsTransport, type TlsTransportOptions } from "@revoada/transport-tls";

/** Real time: what sockets do is waited for, never slept for. */
export const realClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  schedule(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
  nextTurn(callback) {
    setImmediate(callback);
  },
};

/** Timers that only `advance` moves; the event loop itself, which sockets need, goes on. */
export class ManualClock implements Clock {
  #nowMs = 1000;
  #timers: { readonly atMs: number; readonly callback: () => void }[] = [];

  monotonicMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return 1_800_000_000_000 + this.#nowMs;
  }

  schedule(delayMs: number, callback: () => void): () => void {
    const timer = { atMs: this.#nowMs + delayMs, callback };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  nextTurn(callback: () => void): void {
    setImmediate(callback);
  }

  get pending(): number {
    return this.#timers.length;
  }

  /** Runs what is due, in order of time. */
  advance(ms: number): void {
    const endMs = this.#nowMs + ms;
    for (;;) {
      const [next] = this.#timers.filter((timer) => timer.atMs <= endMs).sort((left, right) => left.atMs - right.atMs);
      if (next === undefined) break;
      this.#timers = this.#timers.filter((timer) => timer !== next);
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.callback();
    }
    this.#nowMs = endMs;
  }

  /** Moves time as one leap, as a process sees it that was not running. */
  leap(ms: number): void {
    this.#nowMs += ms;
  }
}

export const random: Random = {
  uint32: () => randomBytes(4).readUInt32BE(0),
  float: () => randomBytes(4).readUInt32BE(0) / 2 ** 32,
  bytes: (length) => new Uint8Array(randomBytes(length)),
};

export const echo: Protocol = { name: "/test/echo/1", channel: "consensus" };
export const bulk: Protocol = { name: "/test/bulk/1", channel: "bulk" };
export const gossip: Protocol = { name: "/test/gossip/1", channel: "gossip" };

/** A seed whose bytes are all the same, so that ids are the same in every run. */
export function seed(byte: number): Uint8Array {
  return new Uint8Array(32).fill(byte);
}

/** Transports of one test, all shut down at its end. */
export class Nodes implements AsyncDisposable {
  readonly #transports: Transport[] = [];

  make(byte: number, options: Partial<TlsTransportOptions> = {}): Transport {
    const transport = tlsTransport({
      privateKey: seed(byte),
      listen: ["127.0.0.1:0"],
      admission: () => true,
      clock: realClock,
      random,
      ...options,
    });
    this.#transports.push(transport);
    return transport;
  }

  async start(byte: number, options: Partial<TlsTransportOptions> = {}): Promise<Transport> {
    const transport = this.make(byte, options);
    await transport.start();
    return transport;
  }

  /** Two started transports that know each other's addresses. */
  async pair(options: Partial<TlsTransportOptions> = {}): Promise<readonly [Transport, Transport]> {
    const left = await this.start(1, options);
    const right = await this.start(2, options);
    introduce(left, right);
    return [left, right];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#transports.map((transport) => transport.shutdown()));
  }
}

export function introduce(left: Transport, right: Transport): void {
  left.setAddresses(right.localId, right.listening());
  right.setAddresses(left.localId, left.listening());
}

/** Every event so far, and a promise for the next that fits. */
export class Events {
  readonly seen: TransportEvent[] = [];
  readonly #waiting: { fits: (event: TransportEvent) => boolean; resolve: (event: TransportEvent) => void }[] = [];

  constructor(transport: Transport) {
    transport.onEvent((event) => {
      this.seen.push(event);
      for (const waiter of [...this.#waiting]) {
        if (!waiter.fits(event)) continue;
        this.#waiting.splice(this.#waiting.indexOf(waiter), 1);
        waiter.resolve(event);
      }
    });
  }

  /** Resolves with the first event, past or future, that fits. */
  async first(fits: (event: TransportEvent) => boolean): Promise<TransportEvent> {
    return this.seen.find(fits) ?? (await new Promise((resolve) => this.#waiting.push({ fits, resolve })));
  }

  disconnected(peer?: NodeId): Promise<TransportEvent> {
    return this.first((event) => event.type === "disconnected" && (peer === undefined || event.peer === peer));
  }

  connected(peer?: NodeId): Promise<TransportEvent> {
    return this.first((event) => event.type === "connected" && (peer === undefined || event.peer === peer));
  }
}

/** Waits, turn by turn of the event loop, until a condition holds. The test's own timeout is the bound. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

export function portOf(address: Address | undefined): number {
  return Number(address?.split(":").at(-1));
}

export function bytes(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}

export function text(payload: Uint8Array): string {
  return new TextDecoder().decode(payload);
}
