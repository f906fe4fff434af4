import { connect, type ConnectionOptions, createServer, type Server, type TLSSocket } from "node:tls";
import { readFileSync } from "node:fs";
import { randomBytes } from "node:crypto";
import type { Address } from "@revoada/fabric";
import { loadPrivateKey, selfSigned } from "../src/certificate.ts";
import { encodeHello } from "../src/core/greeting.ts";
import { portOf, seed } from "./harness.ts";

/** Credentials of a node with this seed, as somebody would make them who does not use this package. */
export function credentials(byte: number): { readonly key: string; readonly cert: string } {
  return selfSigned(loadPrivateKey(seed(byte)), Date.now() - 60_000, 3_600_000, randomBytes(16));
}

/** An RSA certificate that any TLS stack would take for a self-signed one. */
export function rsaCredentials(): { readonly key: string; readonly cert: string } {
  const read = (name: string): string => readFileSync(new URL(`./fixtures/${name}`, import.meta.url), "utf8");
  return { key: read("rsa-key.pem"), cert: read("rsa-cert.pem") };
}

/** A TLS client that does as it pleases. */
export class Foreigner {
  readonly socket: TLSSocket;
  readonly secured: Promise<void>;
  readonly closed: Promise<void>;
  received: Buffer = Buffer.alloc(0);

  constructor(address: Address | undefined, options: ConnectionOptions, alpn = "revoada/consensus/1") {
    const socket = connect({
      host: "127.0.0.1",
      port: portOf(address),
      ALPNProtocols: [alpn],
      rejectUnauthorized: false,
      checkServerIdentity: () => undefined,
      ...options,
    });
    this.socket = socket;
    socket.on("error", () => {});
    this.secured = new Promise((resolve) => socket.once("secureConnect", () => resolve()));
    this.closed = new Promise((resolve) => socket.once("close", () => resolve()));
    socket.on("data", (chunk: Buffer) => {
      this.received = Buffer.concat([this.received, chunk]);
    });
  }

  /** Says hello as a dialler would and waits for the answer. */
  async greet(): Promise<void> {
    await this.secured;
    this.socket.write(encodeHello(randomBytes(16)));
    await new Promise<void>((resolve) => {
      const look = (): void => {
        if (this.received.length < 27) return;
        this.socket.off("data", look);
        resolve();
      };
      this.socket.on("data", look);
      look();
    });
  }
}

/** A TLS server that answers under other credentials, and what it was sent. */
export async function foreignServer(
  options: { readonly key: string; readonly cert: string },
  onSecure: (socket: TLSSocket) => void = () => {},
): Promise<{ readonly address: Address; readonly server: Server; readonly heard: () => number; close(): Promise<void> }> {
  let heard = 0;
  const sockets = new Set<TLSSocket>();
  const server = createServer(
    { ...options, requestCert: true, rejectUnauthorized: false, ALPNProtocols: ["revoada/consensus/1"] },
    (socket) => {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("data", (chunk: Buffer) => {
        heard += chunk.length;
      });
      onSecure(socket);
    },
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address() as { readonly port: number };
  return {
    address: `127.0.0.1:${address.port}`,
    server,
    heard: () => heard,
    close: () => {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
