/**
 * Attacks on a node in a process of its own, from keys that it admits and from keys that it does not. After each: it runs, a good peer was
 * served throughout, what was refused is counted, and its memory has not grown.
 */
import { fork, type ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { connect as connectTcp, createServer as createTcpServer, type AddressInfo, type Socket } from "node:net";
import type { Address, NodeId, Transport } from "@revoada/fabric";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { encodeControl, kinds, writeUint32 } from "../src/core/frame.ts";
import { encodeHello } from "../src/core/greeting.ts";
import type { VictimReport } from "./fixtures/victim-process.ts";
import { credentials, credentialsNamed, foreignServer, Foreigner } from "./foreign.ts";
import { bytes, echo, Events, Nodes, portOf, text } from "./harness.ts";

const mebibyte = 2 ** 20;
const keys = { good: 10, known: 11, removed: 12, stranger: 13 } as const;

/** The id of a key, as a transport that is never started tells it. */
function idOf(byte: number): NodeId {
  return new Nodes().make(byte).localId;
}

/** The node under attack. */
class Victim implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #exited: Promise<void>;
  id = "" as NodeId;
  address: Address = "";

  constructor(...admitted: readonly NodeId[]) {
    this.#child = fork(new URL("./fixtures/victim-process.ts", import.meta.url), admitted, {
      execArgv: ["--conditions=@revoada/source", "--expose-gc"],
    });
    this.#exited = new Promise((resolve) => this.#child.once("exit", () => resolve()));
  }

  async start(): Promise<void> {
    [this.id, this.address] = await this.#next<[NodeId, Address]>();
  }

  get isAlive(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  report(): Promise<VictimReport> {
    this.#child.send("report");
    return this.#next();
  }

  async remove(id: NodeId): Promise<void> {
    this.#child.send({ remove: id });
    await this.#next();
  }

  #next<T>(): Promise<T> {
    return new Promise((resolve, reject) => {
      const onExit = (code: number | null): void => reject(new Error(`the victim ended with ${code}`));
      this.#child.once("exit", onExit);
      this.#child.once("message", (message) => {
        this.#child.off("exit", onExit);
        resolve(message as T);
      });
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.isAlive) this.#child.disconnect();
    await this.#exited;
  }
}

let victim: Victim;
let nodes: Nodes;
let good: Transport;

beforeAll(async () => {
  victim = new Victim(...[keys.good, keys.known, keys.removed].map(idOf));
  nodes = new Nodes();
  await victim.start();
  good = await nodes.start(keys.good, { listen: [], addresses: [[victim.id, [victim.address]]] });
});

afterAll(async () => {
  await nodes[Symbol.asyncDispose]();
  await victim[Symbol.asyncDispose]();
});

/** A good peer that asks without a pause until it is told to stop; every answer must be right. */
function asking(): { stop(): Promise<number> } {
  const stopping = new AbortController();
  const run = async (): Promise<number> => {
    let answers = 0;
    for (; !stopping.signal.aborted; answers++)
      expect(text(await good.request(victim.id, echo, bytes(`${answers}`)))).toBe(`${answers}`);
    return answers;
  };
  const running = run();
  return {
    stop: () => {
      stopping.abort();
      return running;
    },
  };
}

/** What was counted more after than before, in metrics whose name begins like this. */
function rise(before: VictimReport, after: VictimReport, prefix: string): number {
  const sum = ({ counted }: VictimReport): number =>
    Object.entries(counted).reduce((total, [name, count]) => total + (name.startsWith(prefix) ? count : 0), 0);
  return sum(after) - sum(before);
}

/** Runs an attack beside a good peer; the victim must come out of it as it went in. */
async function survive(
  attack: () => Promise<void>,
): Promise<{ readonly before: VictimReport; readonly after: VictimReport }> {
  // Code that is compiled and buffers that are made for the first time are not growth.
  for (let index = 0; index < 200; index++) await good.request(victim.id, echo, bytes("warm"));
  const before = await victim.report();
  const peer = asking();
  await attack();
  expect(await peer.stop()).toBeGreaterThan(0);
  const after = await victim.report();
  expect(after.residentBytes - before.residentBytes).toBeLessThanOrEqual(64 * mebibyte);
  expect(after.peers).toBeLessThanOrEqual(3);
  return { before, after };
}

function frame(body: Uint8Array): Uint8Array {
  const whole = new Uint8Array(4 + body.length);
  writeUint32(whole, 0, body.length);
  whole.set(body, 4);
  return whole;
}

/** The same numbers in every run. */
function numbers(from: number): () => number {
  let state = from;
  return () => (state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0) >>> 8;
}

const connections = 25;
const framesEach = 500;
const next = numbers(20_261_127);
const introduction = encodeControl({ kind: "protocol", index: 0, name: echo.name });

/** What is wrong with a frame, and what counts a known peer's. */
const hostileFrames: Readonly<Record<string, { readonly make: () => Uint8Array; readonly counted: string }>> = {
  oversized: {
    make: () => Uint8Array.of(1 + (next() & 0x7e), 0xff, next() & 0xff, next() & 0xff, kinds.request),
    counted: "revoada_transport_violations_total",
  },
  // Fields that their length leaves no room for.
  truncated: {
    make: () => frame(Uint8Array.of(kinds.request, ...new Uint8Array(next() % 6))),
    counted: "revoada_transport_violations_total",
  },
  random: {
    make: () => {
      const body = Uint8Array.from({ length: 1 + (next() % 40) }, () => next() & 0xff);
      // Of a known kind, most of them: an unknown one ends everything at once.
      if (next() % 4 > 0) body[0] = 16 + (next() % 14);
      return frame(body);
    },
    counted: "revoada_transport_violations_total",
  },
  // An answer that was right once, to a request that is long over.
  replayed: {
    make: () => frame(Uint8Array.of(kinds.response, 0, 0, 0, 1, 42)),
    counted: "revoada_transport_stray_answers_total",
  },
};

describe("100,000 frames", () => {
  for (const [name, { make, counted }] of Object.entries(hostileFrames)) {
    test(`${connections * framesEach} ${name} ones of a known peer are refused and counted, and a good peer is served`, async () => {
      const { before, after } = await survive(async () => {
        for (let index = 0; index < connections; index++) {
          const foreigner = new Foreigner(victim.address, credentials(keys.known));
          await foreigner.greet();
          foreigner.socket.end(Buffer.concat([introduction, ...Array.from({ length: framesEach }, make)]));
          await foreigner.closed;
        }
      });
      const expected = name === "replayed" ? connections * framesEach : connections;
      expect(rise(before, after, counted)).toBe(expected);
    });

    test(`${connections * framesEach} ${name} ones of a stranger are never looked at, and its greetings are counted`, async () => {
      const { before, after } = await survive(async () => {
        for (let index = 0; index < connections; index++) {
          const foreigner = new Foreigner(victim.address, credentials(keys.stranger));
          await foreigner.secured;
          foreigner.socket.end(
            Buffer.concat([encodeHello(randomBytes(16)), introduction, ...Array.from({ length: framesEach }, make)]),
          );
          await foreigner.closed;
        }
      });
      expect(rise(before, after, "revoada_transport_not_admitted_total")).toBe(connections);
      expect(rise(before, after, "revoada_transport_violations_total")).toBe(0);
    });
  }
});

describe("a certificate with the right name and the wrong key", () => {
  test("is a stranger's to the node that it calls on", async () => {
    const { before, after } = await survive(async () => {
      const foreigner = new Foreigner(victim.address, credentialsNamed(idOf(keys.good)));
      await foreigner.greet();
      foreigner.socket.write(introduction);
      await foreigner.closed;
    });
    expect(rise(before, after, "revoada_transport_not_admitted_total")).toBe(1);
  });

  test("is another node's to whoever dials the name, and is told nothing", async () => {
    const impostor = await foreignServer(credentialsNamed(victim.id));
    const other = await nodes.start(keys.known, { listen: [], addresses: [[victim.id, [impostor.address]]] });
    await expect(other.request(victim.id, echo, bytes("secret"))).rejects.toMatchObject({
      code: "TRANSPORT_WRONG_PEER",
    });
    expect(impostor.heard()).toBe(0);
    await impostor.close();
  });
});

/** A wire tap: passes bytes on and keeps those that go towards the victim. */
class Tap implements AsyncDisposable {
  readonly taken: Buffer[] = [];
  readonly #sockets: Socket[] = [];
  readonly #server = createTcpServer();
  far: Socket | undefined;

  async start(target: Address): Promise<Address> {
    this.#server.on("connection", (near) => {
      const far = connectTcp(portOf(target), "127.0.0.1");
      this.far = far;
      for (const socket of [near, far]) {
        socket.on("error", () => {});
        this.#sockets.push(socket);
      }
      near.on("data", (chunk: Buffer) => {
        this.taken.push(chunk);
        far.write(chunk);
      });
      near.on("close", () => far.destroy());
      far.pipe(near);
    });
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

describe("what was overheard on the wire", () => {
  test("and is sent again, in the same connection or in another, has no effect and is counted", async () => {
    await using tap = new Tap();
    const overheard = await nodes.start(keys.known, { listen: [] });
    overheard.setAddresses(victim.id, [await tap.start(victim.address)]);
    await overheard.request(victim.id, echo, bytes("pay once"));
    const events = new Events(overheard);
    const before = await victim.report();
    const session = Buffer.concat(tap.taken);
    const [last = Buffer.alloc(0)] = tap.taken.slice(-1);
    tap.far?.write(last);
    await events.disconnected(victim.id);
    const replay = connectTcp(portOf(victim.address), "127.0.0.1");
    replay.on("error", () => {});
    replay.resume();
    replay.end(session);
    await new Promise((resolve) => replay.once("close", resolve));
    const after = await victim.report();
    expect(after.handled).toBe(before.handled);
    expect(rise(before, after, "revoada_transport_violations_total")).toBe(1);
    expect(rise(before, after, "revoada_transport_refused_handshakes_total")).toBe(1);
    await overheard.shutdown();
  });
});

describe("a key that is removed", () => {
  test("loses its open connection at once, and is a stranger from then on", async () => {
    const removed = await nodes.start(keys.removed, { listen: [], addresses: [[victim.id, [victim.address]]] });
    const events = new Events(removed);
    const never = { name: "/test/never/1", channel: "gossip" } as const;
    expect(text(await removed.request(victim.id, echo, bytes("still in")))).toBe("still in");
    await removed.request(victim.id, never, bytes("")).catch(() => {});
    const { before, after } = await survive(async () => {
      await victim.remove(removed.localId);
      await events.first((event) => event.type === "disconnected" && event.channel === "consensus");
      await events.first((event) => event.type === "disconnected" && event.channel === "gossip");
      for (const protocol of [echo, never]) {
        await expect(removed.request(victim.id, protocol, bytes("back in"))).rejects.toMatchObject({
          code: "TRANSPORT_NOT_ADMITTED",
        });
      }
    });
    expect(rise(before, after, "revoada_transport_not_admitted_total")).toBe(2);
  });
});

/** A connection from another address than the good peer's. */
function elsewhere(): Socket {
  const socket = connectTcp({ port: portOf(victim.address), host: "127.0.0.1", localAddress: "127.0.0.9" });
  return socket.on("error", () => {});
}

describe("slow handshakes", () => {
  test("200 that drip and 200 that say nothing after TLS are dropped in time, and a new peer comes in meanwhile", async () => {
    const hello = Buffer.concat([Buffer.of(22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3), randomBytes(32)]);
    const { before, after } = await survive(async () => {
      const closed: Promise<unknown>[] = [];
      const drips: (() => void)[] = [];
      for (let index = 0; index < 200; index++) {
        const socket = elsewhere();
        socket.resume();
        let at = 0;
        drips.push(() => socket.writable && at < hello.length && socket.write(hello.subarray(at, ++at)));
        closed.push(new Promise((resolve) => socket.once("close", resolve)));
      }
      const dripping = setInterval(() => drips.forEach((drip) => drip()), 20);
      for (let index = 0; index < 200; index++) {
        const mute = new Foreigner(victim.address, { ...credentials(keys.known), socket: elsewhere() });
        closed.push(mute.closed);
        // As many as fit at a time, so that each gets as far as it wants to.
        if (index % 20 === 19) await Promise.race([mute.secured, mute.closed]);
      }
      const late = await nodes.start(keys.known, { listen: [], addresses: [[victim.id, [victim.address]]] });
      expect(text(await late.request(victim.id, echo, bytes("through")))).toBe("through");
      await Promise.all(closed);
      clearInterval(dripping);
      await late.shutdown();
    });
    expect(rise(before, after, "revoada_transport_refused_handshakes_total")).toBeGreaterThanOrEqual(400);
  });
});

test("after all of it the node runs, and its memory peaked within its bounds", async () => {
  expect(victim.isAlive).toBe(true);
  const { peakBytes, residentBytes } = await victim.report();
  expect(peakBytes - residentBytes).toBeLessThanOrEqual(64 * mebibyte);
});
