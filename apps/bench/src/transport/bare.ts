/**
 * What a careful afternoon with `node:tls` gives: the same certificates, TLS 1.3, a length and a number before each payload, and all
 * frames of a turn in one write. No identities, channels, bounds, deadlines or checks.
 */
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { connect, createServer, type TLSSocket } from "node:tls";
import { identityFromSeed } from "@revoada/attest-blake3";
import { credentialsOf, type Credentials } from "./certificate.ts";
import type { Endpoint } from "./endpoint.ts";
import type { Place } from "./orders.ts";

const headerBytes = 8;

/** Cuts what comes into frames and hands each out with its number. */
class Frames {
  #rest: Buffer | undefined;

  push(chunk: Buffer, take: (id: number, payload: Buffer) => void): void {
    const bytes = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]);
    let offset = 0;
    while (bytes.length - offset >= headerBytes) {
      const end = offset + headerBytes + bytes.readUInt32BE(offset);
      if (end > bytes.length) break;
      take(bytes.readUInt32BE(offset + 4), bytes.subarray(offset + headerBytes, end));
      offset = end;
    }
    this.#rest = offset < bytes.length ? bytes.subarray(offset) : undefined;
  }
}

/** Gathers the frames of a turn into one write. */
class Gathered {
  readonly #socket: TLSSocket;
  #parts: Uint8Array[] = [];

  constructor(socket: TLSSocket) {
    this.#socket = socket;
  }

  add(id: number, payload: Uint8Array): void {
    const header = Buffer.allocUnsafe(headerBytes);
    header.writeUInt32BE(payload.length, 0);
    header.writeUInt32BE(id, 4);
    if (this.#parts.length === 0) process.nextTick(() => this.#flush());
    this.#parts.push(header, payload);
  }

  #flush(): void {
    const parts = this.#parts;
    this.#parts = [];
    this.#socket.write(Buffer.concat(parts));
  }
}

function answer(socket: TLSSocket): void {
  const frames = new Frames();
  const out = new Gathered(socket);
  const handle = async (payload: Uint8Array): Promise<Uint8Array> => payload;
  socket.on("data", (chunk: Buffer) =>
    frames.push(chunk, (id, payload) => void handle(payload).then((response) => out.add(id, response))),
  );
}

function takeIn(socket: TLSSocket): void {
  let bytes = 0;
  socket.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
  });
  socket.once("end", () => {
    const count = Buffer.alloc(8);
    count.writeBigUInt64BE(BigInt(bytes));
    socket.end(count);
  });
}

/** Two programs over `node:tls`, on one port, told apart by ALPN: an echo and a sink. */
export class BareEndpoint implements Endpoint {
  readonly #seed: Uint8Array;
  readonly #pending = new Map<number, (payload: Buffer) => void>();
  #credentials: Credentials | undefined;
  #port = 0;
  #out: Gathered | undefined;
  #connecting: Promise<Gathered> | undefined;
  #last = 0;

  constructor(seed: Uint8Array) {
    this.#seed = seed;
  }

  async open(): Promise<Place> {
    this.#credentials = await credentialsOf(this.#seed);
    const server = createServer(
      {
        ...this.#credentials,
        minVersion: "TLSv1.3",
        requestCert: true,
        rejectUnauthorized: false,
        ALPNProtocols: ["bare/echo", "bare/sink"],
        allowHalfOpen: true,
        noDelay: true,
      },
      (socket) => {
        socket.on("error", () => {});
        if (socket.alpnProtocol === "bare/echo") answer(socket);
        else takeIn(socket);
      },
    );
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    return { id: identityFromSeed(this.#seed).id, addresses: [`127.0.0.1:${port}`] };
  }

  async meet(peers: readonly Place[]): Promise<void> {
    this.#port = Number(peers[0]?.addresses[0]?.split(":").at(-1));
  }

  async request(payload: Uint8Array): Promise<Uint8Array> {
    const out = this.#out ?? (await (this.#connecting ??= this.#connectEcho()));
    return new Promise((resolve) => {
      const id = (this.#last = (this.#last + 1) >>> 0);
      this.#pending.set(id, resolve);
      out.add(id, payload);
    });
  }

  async bulk(messageBytes: number, forMs: number): Promise<number> {
    const socket = await this.#connect("bare/sink");
    const message = new Uint8Array(messageBytes).fill(7);
    const endMs = performance.now() + forMs;
    while (performance.now() < endMs) if (!socket.write(message)) await once(socket, "drain");
    socket.end();
    const [count] = (await once(socket, "data")) as [Buffer];
    return Number(count.readBigUInt64BE());
  }

  async #connectEcho(): Promise<Gathered> {
    const socket = await this.#connect("bare/echo");
    const frames = new Frames();
    socket.on("data", (chunk: Buffer) =>
      frames.push(chunk, (id, payload) => {
        const resolve = this.#pending.get(id);
        this.#pending.delete(id);
        resolve?.(payload);
      }),
    );
    this.#out = new Gathered(socket);
    return this.#out;
  }

  async #connect(protocol: string): Promise<TLSSocket> {
    const socket = connect({
      ...this.#credentials,
      host: "127.0.0.1",
      port: this.#port,
      minVersion: "TLSv1.3",
      rejectUnauthorized: false,
      checkServerIdentity: () => undefined,
      ALPNProtocols: [protocol],
    });
    await once(socket, "secureConnect");
    socket.setNoDelay(true);
    socket.on("error", () => {});
    return socket;
  }
}
