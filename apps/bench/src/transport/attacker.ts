/**
 * Whoever means no good: a client of its own over `node:tls`, as fast as one process can.
 */
import { randomBytes } from "node:crypto";
import { connect as connectTcp, type Socket } from "node:net";
import { connect, type TLSSocket } from "node:tls";
import { credentialsOf, type Credentials } from "./certificate.ts";
import type { Attack, AttackResult, Place } from "./orders.ts";

const framesPerConnection = 500;
const concurrent = 4;

/** hello: kind 1, "RVTL", lowest and highest version, 16 bytes of session. */
function hello(): Buffer {
  return Buffer.concat([Buffer.of(0, 0, 0, 23, 1), Buffer.from("RVTL"), Buffer.of(1, 1), randomBytes(16)]);
}

/** Well-formed lengths around bodies of a known kind and random content. */
function randomFrames(): Buffer {
  const frames: Buffer[] = [];
  for (let index = 0; index < framesPerConnection; index += 1) {
    const body = randomBytes(1 + ((index * 31) % 60));
    body[0] = 16 + ((body[0] as number) % 12);
    frames.push(Buffer.of(0, 0, 0, body.length), body);
  }
  return Buffer.concat(frames);
}

function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.on("error", () => {});
    socket.resume();
    socket.once("close", () => resolve());
  });
}

/** Goes on until it is told to stop. */
export class Attacker {
  readonly #seed: Uint8Array;
  #credentials: Credentials | undefined;
  #stopped = false;
  #running: Promise<unknown> = Promise.resolve();
  #connections = 0;
  #frames = 0;

  constructor(seed: Uint8Array) {
    this.#seed = seed;
  }

  async begin(victim: Place, attack: Attack): Promise<void> {
    this.#credentials ??= await credentialsOf(this.#seed);
    this.#stopped = false;
    this.#connections = 0;
    this.#frames = 0;
    const port = Number(victim.addresses[0]?.split(":").at(-1));
    const run = async (number: number): Promise<void> => {
      while (!this.#stopped) {
        this.#connections += 1;
        if (attack === "member") await this.#babble(port);
        else if (number % 2 === 0) await this.#knock(port);
        else await this.#mumble(port);
      }
    };
    this.#running = Promise.all(Array.from({ length: concurrent }, (_, number) => run(number)));
  }

  async end(): Promise<AttackResult> {
    this.#stopped = true;
    await this.#running;
    return { connections: this.#connections, frames: this.#frames };
  }

  /** A proven key, admitted or not: hello, and frames without waiting for the answer. */
  async #babble(port: number): Promise<void> {
    const socket = this.#secure(port);
    socket.once("secureConnect", () => {
      socket.write(hello());
      socket.end(randomFrames());
      this.#frames += framesPerConnection;
    });
    await closed(socket);
  }

  async #knock(port: number): Promise<void> {
    const socket = this.#secure(port);
    socket.once("secureConnect", () => socket.write(hello()));
    this.#frames += 1;
    await closed(socket);
  }

  /** Bytes that are no TLS. */
  async #mumble(port: number): Promise<void> {
    const socket = connectTcp(port, "127.0.0.1");
    socket.write(randomBytes(4096));
    this.#frames += 1;
    await closed(socket);
  }

  #secure(port: number): TLSSocket {
    return connect({
      ...this.#credentials,
      host: "127.0.0.1",
      port,
      minVersion: "TLSv1.3",
      rejectUnauthorized: false,
      checkServerIdentity: () => undefined,
      ALPNProtocols: ["revoada/consensus/1"],
    });
  }
}
