import { generateKeyPairSync, type KeyObject, randomBytes, sign, X509Certificate } from "node:crypto";
import { connect, type ConnectionOptions, createServer, type Server, type TLSSocket } from "node:tls";
import type { Address } from "@revoada/fabric";
import { loadPrivateKey, selfSigned } from "../src/certificate.ts";
import { encodeHello } from "../src/core/greeting.ts";
import { portOf, seed } from "./harness.ts";

/** Credentials of a node with this seed, as somebody would make them who does not use this package. */
export function credentials(byte: number): { readonly key: string; readonly cert: string } {
  return selfSigned(loadPrivateKey(seed(byte)), Date.now() - 60_000, 3_600_000, randomBytes(16));
}

/** A self-signed certificate over a key of another kind, which TLS itself has nothing against. */
export function otherCredentials(kind: "rsa" | "ec"): { readonly key: string; readonly cert: string } {
  const pair =
    kind === "rsa"
      ? generateKeyPairSync("rsa", { modulusLength: 2048 })
      : generateKeyPairSync("ec", { namedCurve: "P-256" });
  // sha256WithRSAEncryption and ecdsa-with-SHA256.
  const algorithm = Buffer.from(kind === "rsa" ? "300d06092a864886f70d01010b0500" : "300a06082a8648ce3d040302", "hex");
  return madeByHand("x", pair, algorithm, "sha256");
}

/** A sound certificate over a key of one's own that bears somebody else's name. */
export function credentialsNamed(name: string): { readonly key: string; readonly cert: string } {
  return madeByHand(name, generateKeyPairSync("ed25519"), Buffer.from("300506032b6570", "hex"), null);
}

function madeByHand(
  commonName: string,
  { privateKey, publicKey }: { readonly privateKey: KeyObject; readonly publicKey: KeyObject },
  algorithm: Buffer,
  digest: string | null,
): { readonly key: string; readonly cert: string } {
  const text = Buffer.from(commonName);
  const attribute = Buffer.concat([Buffer.from("0603550403", "hex"), der(0x0c, text)]);
  const name = der(0x30, der(0x31, der(0x30, attribute)));
  const validity = der(0x30, der(0x17, Buffer.from("200101000000Z")), der(0x17, Buffer.from("490101000000Z")));
  const spki = publicKey.export({ format: "der", type: "spki" });
  const body = der(0x30, Buffer.from("a003020102020101", "hex"), algorithm, name, validity, name, spki);
  const signature = der(0x03, Buffer.of(0), sign(digest, body, privateKey));
  const cert = new X509Certificate(der(0x30, body, algorithm, signature)).toString();
  return { key: privateKey.export({ format: "pem", type: "pkcs8" }) as string, cert };
}

function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  return Buffer.concat([Buffer.of(tag, 0x82, content.length >>> 8, content.length & 0xff), content]);
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
  async greet(hello: Uint8Array = encodeHello(randomBytes(16))): Promise<void> {
    await this.secured;
    this.socket.write(hello);
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
): Promise<{
  readonly address: Address;
  readonly server: Server;
  readonly heard: () => number;
  close(): Promise<void>;
}> {
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
