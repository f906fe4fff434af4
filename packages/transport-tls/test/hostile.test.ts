import { connect as connectTcp, createServer as createTcpServer, type AddressInfo } from "node:net";
import { randomBytes } from "node:crypto";
import { fork } from "node:child_process";
import type { NodeId, Transport } from "@revoada/fabric";
import { describe, expect, test } from "vitest";
import { encodeControl, kinds, writeUint32 } from "../src/core/frame.ts";
import { decodeGreeting, encodeHello } from "../src/core/greeting.ts";
import { credentials, foreignServer, Foreigner, otherCredentials } from "./foreign.ts";
import { bulk, bytes, echo, Events, gossip, Nodes, portOf, text, until } from "./harness.ts";

const code = (expected: string) => ({ code: expected });

async function stillServes(nodes: Nodes, node: Transport): Promise<void> {
  const friend = await nodes.start(200, { listen: [], addresses: [[node.localId, node.listening()]] });
  expect(text(await friend.request(node.localId, echo, bytes("hello")))).toBe("hello");
}

async function victim(nodes: Nodes, options: Parameters<Nodes["start"]>[1] = {}): Promise<Transport> {
  const node = await nodes.start(1, options);
  node.handle(echo, { onRequest: async (payload) => payload, onMessage: () => {} });
  return node;
}

function frame(body: Uint8Array): Uint8Array {
  const whole = new Uint8Array(4 + body.length);
  writeUint32(whole, 0, body.length);
  whole.set(body, 4);
  return whole;
}

describe("who answers a dial", () => {
  test("another key than the one dialled is left before a byte is written", async () => {
    await using nodes = new Nodes();
    const left = await nodes.start(1);
    const right = nodes.make(2);
    const impostor = await foreignServer(credentials(3));
    left.setAddresses(right.localId, [impostor.address]);
    await expect(left.request(right.localId, echo, bytes("secret"))).rejects.toMatchObject(
      code("TRANSPORT_WRONG_PEER"),
    );
    expect(impostor.heard()).toBe(0);
    await impostor.close();
  });

  for (const kind of ["rsa", "ec"] as const) {
    test(`a certificate over an ${kind} key is no identity, whatever it says`, async () => {
      await using nodes = new Nodes();
      const left = await nodes.start(1);
      const right = nodes.make(2);
      const impostor = await foreignServer(otherCredentials(kind));
      left.setAddresses(right.localId, [impostor.address]);
      await expect(left.request(right.localId, echo, bytes("secret"))).rejects.toMatchObject(
        code("TRANSPORT_WRONG_PEER"),
      );
      expect(impostor.heard()).toBe(0);
      await impostor.close();
    });
  }

  test("a wrong key at one address does not keep the right one at another from being found", async () => {
    await using nodes = new Nodes();
    const left = await nodes.start(1);
    const right = await nodes.start(2);
    right.handle(echo, { onRequest: async (payload) => payload });
    const impostor = await foreignServer(credentials(3));
    left.setAddresses(right.localId, [impostor.address, ...right.listening()]);
    expect(text(await left.request(right.localId, echo, bytes("hi")))).toBe("hi");
    await impostor.close();
  });

  test("plain bytes instead of TLS are unreachable, not a crash", async () => {
    await using nodes = new Nodes();
    const left = await nodes.start(1);
    const right = nodes.make(2);
    const server = createTcpServer((socket) => {
      socket.on("error", () => {});
      socket.resume();
      socket.end("HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    left.setAddresses(right.localId, [`127.0.0.1:${(server.address() as AddressInfo).port}`]);
    await expect(left.request(right.localId, echo, bytes(""))).rejects.toMatchObject(code("TRANSPORT_UNREACHABLE"));
    await new Promise((resolve) => server.close(resolve));
  });

  test("an acceptor that answers nonsense to hello is unreachable", async () => {
    await using nodes = new Nodes();
    const left = await nodes.start(1);
    const right = nodes.make(2);
    const odd = await foreignServer(credentials(2), (socket) => void socket.write(randomBytes(300)));
    left.setAddresses(right.localId, [odd.address]);
    await expect(left.request(right.localId, echo, bytes(""))).rejects.toMatchObject(code("TRANSPORT_UNREACHABLE"));
    await odd.close();
  });
});

describe("who dials in", () => {
  const strangers: readonly (readonly [string, () => object, string?])[] = [
    ["no certificate", () => ({})],
    ["an RSA certificate", () => otherCredentials("rsa")],
    ["an EC certificate", () => otherCredentials("ec")],
    ["this node's own key", () => credentials(1)],
    ["an unknown channel", () => credentials(3), "revoada/other/1"],
    ["TLS 1.2", () => ({ ...credentials(3), maxVersion: "TLSv1.2" })],
  ];
  for (const [name, options, alpn] of strangers) {
    test(`${name} ends in a closed connection, with nothing said and the others served`, async () => {
      await using nodes = new Nodes();
      const asked: NodeId[] = [];
      const node = await victim(nodes, {
        admission: (peer) => {
          asked.push(peer);
          return true;
        },
      });
      const events = new Events(node);
      const foreigner = new Foreigner(node.listening()[0], options(), alpn);
      await foreigner.closed;
      expect(foreigner.received).toHaveLength(0);
      expect(asked).toEqual([]);
      expect(events.seen).toEqual([]);
      await stillServes(nodes, node);
    });
  }

  test("plain garbage on the port disturbs nobody", async () => {
    await using nodes = new Nodes();
    const node = await victim(nodes);
    for (let index = 0; index < 10; index++) {
      const socket = connectTcp(portOf(node.listening()[0]), "127.0.0.1");
      socket.on("error", () => {});
      socket.resume();
      socket.write(randomBytes(2000));
      await new Promise((resolve) => socket.once("close", resolve));
    }
    await stillServes(nodes, node);
  });

  test("a key that is not admitted is told so, and nothing of what it says is handled", async () => {
    await using nodes = new Nodes();
    const asked: string[] = [];
    const [left, right] = await nodes.pair();
    let handled = 0;
    right.handle(echo, { onRequest: async (payload) => (handled++, payload), onMessage: () => void handled++ });
    right.setAdmission((peer, channel) => {
      asked.push(`${peer === left.localId} ${channel}`);
      return channel === "join";
    });
    await expect(left.request(right.localId, echo, bytes("x"))).rejects.toMatchObject(code("TRANSPORT_NOT_ADMITTED"));
    const join = { name: "/test/join/1", channel: "join" } as const;
    right.handle(join, { onRequest: async (payload) => payload });
    expect(text(await left.request(right.localId, join, bytes("let me in")))).toBe("let me in");
    const foreigner = new Foreigner(right.listening()[0], credentials(9));
    await foreigner.greet();
    foreigner.socket.write(encodeControl({ kind: "protocol", index: 0, name: echo.name }));
    await foreigner.closed;
    expect(handled).toBe(0);
    expect(asked).toContain("true consensus");
    expect(asked).toContain("true join");
  });

  test("a dialler that speaks only versions of the future is told that there is none in common", async () => {
    await using nodes = new Nodes();
    const node = await victim(nodes);
    const foreigner = new Foreigner(node.listening()[0], credentials(3));
    const hello = encodeHello(randomBytes(16));
    hello.set([2, 3], 9);
    await foreigner.greet(hello);
    await foreigner.closed;
    expect(decodeGreeting(foreigner.received.subarray(4))).toMatchObject({ verdict: { kind: "version-mismatch" } });
  });

  test("a policy that throws admits nobody", async () => {
    await using nodes = new Nodes();
    const [left, right] = await nodes.pair();
    right.setAdmission(() => {
      throw new Error("policy is broken");
    });
    await expect(left.request(right.localId, echo, bytes("x"))).rejects.toMatchObject(code("TRANSPORT_NOT_ADMITTED"));
  });

  test("nobody is admitted where no policy was given", async () => {
    await using nodes = new Nodes();
    const left = await nodes.start(1);
    const right = await nodes.start(2, { admission: undefined as never });
    left.setAddresses(right.localId, right.listening());
    await expect(left.request(right.localId, echo, bytes("x"))).rejects.toMatchObject(code("TRANSPORT_NOT_ADMITTED"));
  });

  test("setAdmission ends the open connections that it no longer allows, and only those", async () => {
    await using nodes = new Nodes();
    const [left, right] = await nodes.pair();
    for (const protocol of [echo, gossip]) right.handle(protocol, { onRequest: async (payload) => payload });
    await left.request(right.localId, echo, bytes(""));
    await left.request(right.localId, gossip, bytes(""));
    const events = { left: new Events(left), right: new Events(right) };
    right.setAdmission((_peer, channel) => channel !== "consensus");
    expect(await events.right.disconnected()).toMatchObject({ channel: "consensus", reason: "local" });
    expect(await events.left.disconnected()).toMatchObject({ channel: "consensus", reason: "closed" });
    expect(text(await left.request(right.localId, gossip, bytes("still")))).toBe("still");
    await expect(left.request(right.localId, echo, bytes(""))).rejects.toMatchObject(code("TRANSPORT_NOT_ADMITTED"));
    await expect(right.request(left.localId, echo, bytes(""))).rejects.toMatchObject(code("TRANSPORT_NOT_ADMITTED"));
  });
});

describe("what an admitted peer sends", () => {
  const violations: readonly (readonly [string, Uint8Array])[] = [
    ["an oversized frame", Uint8Array.of(0x7f, 0xff, 0xff, 0xff, 1)],
    ["an empty frame", Uint8Array.of(0, 0, 0, 0)],
    ["an unknown kind", frame(Uint8Array.of(99))],
    ["a protocol number that was never introduced", frame(Uint8Array.of(kinds.request, 0, 0, 0, 1, 0, 5))],
    ["a pong to no ping", encodeControl({ kind: "pong", token: 77 })],
    ["a stay that nobody asked for", encodeControl({ kind: "stay" })],
    ["a second greeting", frame(Uint8Array.of(3))],
    ["a protocol number out of order", encodeControl({ kind: "protocol", index: 3, name: "/a/1" })],
  ];
  for (const [name, poison] of violations) {
    test(`${name} ends the connection as an error, is counted, and leaves the others served`, async () => {
      await using nodes = new Nodes();
      const counted: string[] = [];
      const metrics = { count: (metric: string) => void counted.push(metric), gauge() {}, observe() {} };
      const node = await victim(nodes, { metrics });
      const events = new Events(node);
      const foreigner = new Foreigner(node.listening()[0], credentials(3));
      await foreigner.greet();
      foreigner.socket.write(poison);
      await foreigner.closed;
      expect(await events.disconnected()).toMatchObject({ reason: "error" });
      expect(counted).toContain("revoada_transport_violations_total");
      await stillServes(nodes, node);
    });
  }

  test("2,000 random frames crash nothing and leave a good peer served", async () => {
    await using nodes = new Nodes();
    const node = await victim(nodes, { limits: { backoffMinMs: 1, violationWaitMs: 1 } });
    let seedState = 20_261_123;
    const next = (): number => (seedState = (Math.imul(seedState, 1_103_515_245) + 12_345) >>> 0) >>> 8;
    for (let round = 0; round < 40; round++) {
      const foreigner = new Foreigner(node.listening()[0], credentials(3));
      await foreigner.greet();
      foreigner.socket.write(encodeControl({ kind: "protocol", index: 0, name: echo.name }));
      const frames: Uint8Array[] = [];
      for (let index = 0; index < 50; index++) {
        const body = Uint8Array.from({ length: 1 + (next() % 40) }, () => next() & 0xff);
        body[0] = 16 + (next() % 12);
        frames.push(frame(body));
      }
      foreigner.socket.end(Buffer.concat(frames));
      await foreigner.closed;
    }
    await stillServes(nodes, node);
  });

  test("stream bytes without credit end the connection", async () => {
    await using nodes = new Nodes();
    const node = await victim(nodes);
    node.handle(bulk, { onStream: () => new Promise(() => {}) });
    const events = new Events(node);
    const foreigner = new Foreigner(node.listening()[0], credentials(3), "revoada/bulk/1");
    await foreigner.greet();
    foreigner.socket.write(encodeControl({ kind: "protocol", index: 0, name: bulk.name }));
    foreigner.socket.write(encodeControl({ kind: "stream-open", id: 1, protocol: 0, creditBytes: 1000 }));
    const segment = new Uint8Array(14 + 65_536);
    writeUint32(segment, 0, segment.length - 4);
    segment.set([kinds.streamData, 0, 0, 0, 1, 3], 4);
    writeUint32(segment, 10, 65_536);
    for (let index = 0; index < 20; index++) foreigner.socket.write(segment);
    expect(await events.disconnected()).toMatchObject({ channel: "bulk", reason: "error" });
  });

  test("a peer that asks and never reads costs bounded memory and is dropped", async () => {
    await using nodes = new Nodes();
    const node = await victim(nodes, { limits: { queueBytes: 16 * 1024 * 1024 } });
    const events = new Events(node);
    const foreigner = new Foreigner(node.listening()[0], credentials(3));
    await foreigner.greet();
    foreigner.socket.pause();
    foreigner.socket.write(encodeControl({ kind: "protocol", index: 0, name: echo.name }));
    const request = new Uint8Array(11 + 1024 * 1024);
    writeUint32(request, 0, request.length - 4);
    request.set([kinds.request, 0, 0, 0, 1, 0, 0], 4);
    const isDropped = (): boolean => events.seen.some((event) => event.type === "disconnected");
    let most = 0;
    const pump = (): void => {
      while (!isDropped() && foreigner.socket.write(request));
    };
    foreigner.socket.on("drain", pump);
    pump();
    await until(() => {
      for (const { queuedBytes } of node.statistics()) most = Math.max(most, queuedBytes);
      // Refusals are small: a flood of tiny requests is what fills the slack in the end.
      foreigner.socket.write(frame(Uint8Array.of(kinds.request, 0, 0, 0, 1, 0, 0)));
      for (let index = 0; index < 2000; index++) {
        foreigner.socket.write(frame(Uint8Array.of(kinds.ping, 0, 0, 0, 1)));
      }
      return isDropped();
    });
    expect(await events.disconnected()).toMatchObject({ reason: "timeout" });
    expect(most).toBeLessThanOrEqual(18 * 1024 * 1024);
    foreigner.socket.destroy();
    await stillServes(nodes, node);
  });
});

test("killing a peer's process closes the connection, and its door answers refused", async () => {
  await using nodes = new Nodes();
  const left = await nodes.start(1, { listen: [] });
  const child = fork(new URL("./fixtures/peer-process.ts", import.meta.url), {
    execArgv: ["--conditions=@revoada/source"],
  });
  const [id, address] = await new Promise<[NodeId, string]>((resolve) =>
    child.once("message", (message) => resolve(message as [NodeId, string])),
  );
  left.setAddresses(id, [address]);
  expect(text(await left.request(id, echo, bytes("alive")))).toBe("alive");
  const events = new Events(left);
  const pending = left.request(id, { name: "/test/never/1", channel: "consensus" }, bytes(""));
  const lost = expect(pending).rejects.toMatchObject(code("TRANSPORT_CLOSED"));
  const exited = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  expect(await events.disconnected(id)).toMatchObject({ reason: "closed" });
  await lost;
  // The kernel closes a dead process's sockets one by one: the listening one perhaps after the connection.
  await exited;
  expect(await left.probe(id)).toBe("refused");
});
