import type { X509Certificate } from "node:crypto";
import { connect as connectTcp, createServer as createTcpServer, type AddressInfo, type Socket } from "node:net";
import type { Metrics, Transport } from "@revoada/fabric";
import { describe, expect, test } from "vitest";
import { Foreigner, credentials, foreignServer } from "./foreign.ts";
import { kinds } from "../src/core/frame.ts";
import { bytes, echo, Events, gossip, ManualClock, Nodes, portOf, text, until } from "./harness.ts";

const code = (expected: string) => ({ code: expected });

/** A TCP hop between two nodes that can stop passing bytes on without closing anything. */
class Hop implements AsyncDisposable {
  readonly #sockets: Socket[] = [];
  readonly #server = createTcpServer();
  #target = 0;

  async start(target: Transport): Promise<string> {
    this.#target = portOf(target.listening()[0]);
    this.#server.on("connection", (near) => {
      const far = connectTcp(this.#target, "127.0.0.1");
      for (const socket of [near, far]) {
        socket.on("error", () => {});
        this.#sockets.push(socket);
      }
      near.pipe(far);
      far.pipe(near);
    });
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  blackHole(): void {
    for (const socket of this.#sockets) socket.unpipe().pause();
  }

  /** Ends the half towards the target; the other half learns nothing. */
  cutTarget(): void {
    for (const socket of this.#sockets) socket.unpipe();
    for (const socket of this.#sockets.filter((_, index) => index % 2 === 1)) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** Left reaches right through a hop; both run on manual clocks. */
async function hopped(nodes: Nodes, hop: Hop) {
  const clock = new ManualClock();
  const left = await nodes.start(1, { clock, listen: [] });
  const right = await nodes.start(2, { clock });
  right.handle(echo, { onRequest: async (payload) => (payload.length > 0 ? payload : new Promise(() => {})) });
  left.setAddresses(right.localId, [await hop.start(right)]);
  await left.request(right.localId, echo, bytes("warm"));
  return { clock, left, right };
}

describe("deadlines", () => {
  test("a request without an answer is rejected at its own deadline, and others go on", async () => {
    await using nodes = new Nodes();
    const clock = new ManualClock();
    const [left, right] = await nodes.pair({ clock });
    let asked = 0;
    right.handle(echo, {
      onRequest: (payload) => (asked++, payload.length > 0 ? Promise.resolve(payload) : new Promise(() => {})),
    });
    const outcomes: string[] = [];
    const ask = (timeoutMs: number): Promise<unknown> =>
      left
        .request(right.localId, echo, bytes(""), { timeoutMs })
        .catch((error) => outcomes.push(`${timeoutMs} ${error.code}`));
    const all = [ask(3000), ask(1000), ask(2000)];
    await until(() => asked === 3);
    clock.advance(999);
    expect(text(await left.request(right.localId, echo, bytes("x")))).toBe("x");
    expect(outcomes).toEqual([]);
    clock.advance(1);
    await all[1];
    expect(outcomes).toEqual(["1000 TRANSPORT_TIMEOUT"]);
    clock.advance(1000);
    await all[2];
    clock.advance(1000);
    await Promise.all(all);
    expect(outcomes).toEqual(["1000 TRANSPORT_TIMEOUT", "2000 TRANSPORT_TIMEOUT", "3000 TRANSPORT_TIMEOUT"]);
  });

  test("a dial that nobody answers ends at its deadline", async () => {
    await using nodes = new Nodes();
    const clock = new ManualClock();
    const left = await nodes.start(1, { clock });
    const right = nodes.make(2);
    const accepted = Promise.withResolvers<Socket>();
    const silent = createTcpServer((socket) => accepted.resolve(socket));
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    left.setAddresses(right.localId, [`127.0.0.1:${(silent.address() as AddressInfo).port}`]);
    const refused = expect(left.request(right.localId, echo, bytes(""))).rejects.toMatchObject(
      code("TRANSPORT_UNREACHABLE"),
    );
    const socket = await accepted.promise;
    clock.advance(3000);
    await refused;
    socket.destroy();
    await new Promise((resolve) => silent.close(resolve));
  });

  test("an acceptor that proves its key and then says nothing ends at the handshake's deadline", async () => {
    await using nodes = new Nodes();
    const clock = new ManualClock();
    const left = await nodes.start(1, { clock });
    const right = nodes.make(2);
    const mute = await foreignServer(credentials(2));
    left.setAddresses(right.localId, [mute.address]);
    const refused = expect(left.request(right.localId, echo, bytes(""))).rejects.toMatchObject(
      code("TRANSPORT_UNREACHABLE"),
    );
    await until(() => mute.heard() > 0);
    clock.advance(3000);
    await refused;
    await mute.close();
  });

  test("a stalled inbound handshake is dropped, before TLS and before hello", async () => {
    await using nodes = new Nodes();
    const clock = new ManualClock();
    const node = await nodes.start(1, { clock });
    const before = clock.pending;
    const dripping = connectTcp(portOf(node.listening()[0]), "127.0.0.1");
    dripping.on("error", () => {});
    dripping.resume();
    const closed = new Promise((resolve) => dripping.once("close", resolve));
    const silent = new Foreigner(node.listening()[0], credentials(3));
    await silent.secured;
    // Both handshakes have a timer, the second one also for its hello.
    await until(() => clock.pending >= before + 3);
    clock.advance(3000);
    await Promise.all([closed, silent.closed]);
    expect(silent.received).toHaveLength(0);
  });

  test("of too many pending handshakes the oldest is dropped and an honest peer comes through", async () => {
    await using nodes = new Nodes();
    const node = await nodes.start(1, { limits: { pendingHandshakes: 4 } });
    node.handle(echo, { onRequest: async (payload) => payload });
    const closed: number[] = [];
    const sockets = Array.from({ length: 8 }, (_, index) => {
      const socket = connectTcp(portOf(node.listening()[0]), "127.0.0.1");
      socket.on("error", () => {});
      socket.on("close", () => closed.push(index));
      socket.resume();
      return socket;
    });
    await until(() => closed.length === 4);
    const friend = await nodes.start(2, { listen: [], addresses: [[node.localId, node.listening()]] });
    expect(text(await friend.request(node.localId, echo, bytes("hi")))).toBe("hi");
    for (const socket of sockets) socket.destroy();
  });

  test("a flood of handshakes from one address does not push out those from another", async () => {
    await using nodes = new Nodes();
    const node = await nodes.start(1, { limits: { pendingHandshakes: 4 } });
    const knock = (localAddress: string, onClose: () => void = () => {}): Socket => {
      const socket = connectTcp({ port: portOf(node.listening()[0]), host: "127.0.0.1", localAddress });
      socket.on("error", () => {});
      socket.on("close", onClose);
      return socket.resume();
    };
    let pushedOut = 0;
    let floodClosed = 0;
    const patient = knock("127.0.0.2", () => pushedOut++);
    await new Promise((resolve) => patient.once("connect", resolve));
    const flood = Array.from({ length: 20 }, () => knock("127.0.0.3", () => floodClosed++));
    await until(() => floodClosed === 17);
    expect(pushedOut).toBe(0);
    for (const socket of [patient, ...flood]) socket.destroy();
  });
});

describe("signs of life", () => {
  test("a round trip is known of a peer that only listens, without any handler's time in it", async () => {
    await using nodes = new Nodes();
    const clock = new ManualClock();
    const [left, right] = await nodes.pair({ clock });
    left.send(right.localId, echo, bytes("no answer to this"));
    await until(() => left.statistics()[0]?.connected.length === 1);
    expect(left.statistics()[0]?.roundTripMs).toBeUndefined();
    await until(() => {
      clock.advance(500);
      return left.statistics()[0]?.roundTripMs !== undefined;
    });
  });

  test("an idle connection is pinged and stays", async () => {
    await using nodes = new Nodes();
    await using hop = new Hop();
    const { clock, left, right } = await hopped(nodes, hop);
    const events = new Events(left);
    for (let beat = 0; beat < 40; beat++) {
      const heard = left.statistics()[0]?.receivedBytes ?? 0;
      clock.advance(1000);
      await until(() => (left.statistics()[0]?.receivedBytes ?? 0) > heard);
    }
    expect(events.seen).toEqual([]);
    expect(text(await left.request(right.localId, echo, bytes("still")))).toBe("still");
  });

  test("a peer that falls silent without closing is a timeout, and its requests are rejected", async () => {
    await using nodes = new Nodes();
    await using hop = new Hop();
    const { clock, left, right } = await hopped(nodes, hop);
    const events = new Events(left);
    const lost = expect(left.request(right.localId, echo, bytes(""), { timeoutMs: 60_000 })).rejects.toMatchObject(
      code("TRANSPORT_CLOSED"),
    );
    await until(() => (left.statistics()[0]?.queuedBytes ?? 0) === 0);
    hop.blackHole();
    for (let beat = 0; beat < 12; beat++) clock.advance(500);
    expect(await events.disconnected(right.localId)).toMatchObject({ reason: "timeout" });
    await lost;
  });

  test("a host that stood still itself does not blame its peers", async () => {
    await using nodes = new Nodes();
    await using hop = new Hop();
    const { clock, left, right } = await hopped(nodes, hop);
    const events = new Events(left);
    clock.advance(1000);
    clock.leap(60_000);
    clock.advance(500);
    expect(text(await left.request(right.localId, echo, bytes("awake again")))).toBe("awake again");
    expect(events.seen).toEqual([]);
  });

  test("output that the peer's side does not take is not kept for ever", async () => {
    await using nodes = new Nodes();
    await using hop = new Hop();
    const { clock, left, right } = await hopped(nodes, hop);
    const events = new Events(left);
    hop.blackHole();
    const chunk = new Uint8Array(8 * 1024 * 1024);
    expect(left.send(right.localId, echo, chunk)).toBe(true);
    while (left.send(right.localId, echo, chunk));
    expect(left.statistics()[0]?.queuedBytes).toBeLessThanOrEqual(32 * 1024 * 1024);
    await expect(left.request(right.localId, echo, chunk)).rejects.toMatchObject(code("TRANSPORT_BACKPRESSURE"));
    for (let beat = 0; beat < 24; beat++) clock.advance(500);
    expect(await events.disconnected(right.localId)).toMatchObject({ reason: "timeout" });
    await until(() => left.statistics()[0]?.queuedBytes === 0);
  });
});

test("metrics tell connections, queues and bytes of each channel at every beat", async () => {
  await using nodes = new Nodes();
  const clock = new ManualClock();
  const counts = new Map<string, number>();
  const gauges = new Map<string, number>();
  const metrics: Metrics = {
    count: (name, value = 1, labels = {}) => {
      const key = `${name} ${labels["channel"]}`;
      counts.set(key, (counts.get(key) ?? 0) + value);
    },
    gauge: (name, value, labels = {}) => void gauges.set(`${name} ${labels["channel"]}`, value),
    observe() {},
  };
  const left = await nodes.start(1, { clock, metrics });
  const right = await nodes.start(2, { clock });
  left.setAddresses(right.localId, right.listening());
  right.handle(gossip, { onRequest: async (payload) => payload });
  await left.request(right.localId, gossip, new Uint8Array(5000));
  const queued = (): number => left.statistics()[0]?.queuedBytes ?? 0;
  await until(() => queued() === 0);
  const [before] = left.statistics();
  clock.advance(500);
  expect(gauges.get("revoada_transport_connections gossip")).toBe(1);
  expect(gauges.get("revoada_transport_connections bulk")).toBe(0);
  expect(gauges.get("revoada_transport_queued_bytes gossip")).toBe(0);
  expect(counts.get("revoada_transport_sent_bytes_total gossip")).toBe(before?.sentBytes);
  expect(counts.get("revoada_transport_received_bytes_total gossip")).toBe(before?.receivedBytes);
  expect(before?.receivedBytes).toBeGreaterThan(5000);
});

describe("a frame that never ends", () => {
  const head = Uint8Array.of(0, 0x80, 0, 0, kinds.request, 0, 0, 0, 1, 0, 0);

  async function begun(nodes: Nodes) {
    const clock = new ManualClock();
    const node = await nodes.start(1, { clock });
    const events = new Events(node);
    const dripper = new Foreigner(node.listening()[0], credentials(3));
    await dripper.greet();
    dripper.socket.write(head);
    const received = (): number => node.statistics()[0]?.receivedBytes ?? 0;
    let sent = received();
    const drip = async (length: number): Promise<void> => {
      dripper.socket.write(new Uint8Array(length));
      sent += length;
      await until(() => received() >= sent || dripper.socket.destroyed || events.seen.length > 1);
    };
    await until(() => received() > sent);
    sent = received();
    return { clock, events, dripper, drip };
  }

  test("drips in byte by byte and ends the connection, although its sender is never silent", async () => {
    await using nodes = new Nodes();
    const { clock, events, dripper, drip } = await begun(nodes);
    for (let beat = 0; beat < 22 && events.seen.length === 1; beat++) {
      await drip(1);
      clock.advance(500);
    }
    expect(await events.disconnected()).toMatchObject({ reason: "timeout" });
    await dripper.closed;
  });

  test("but that grows steadily is waited for, however long it takes", async () => {
    await using nodes = new Nodes();
    const { clock, events, dripper, drip } = await begun(nodes);
    for (let beat = 0; beat < 80; beat++) {
      await drip(8 * 1024);
      clock.advance(500);
    }
    expect(events.seen.map((event) => event.type)).toEqual(["connected"]);
    dripper.socket.destroy();
  });
});

describe("a connection that nobody uses", () => {
  const limits = { idleTimeoutMs: 30_000 };

  /** Two nodes with a gossip connection that left has dialled; both are as old as `clock`. */
  async function idle(nodes: Nodes, options: { readonly canDialBack: boolean }) {
    const clock = new ManualClock();
    const [left, right] = await nodes.pair({ clock, limits });
    if (!options.canDialBack) right.setAddresses(left.localId, []);
    for (const node of [left, right]) {
      for (const protocol of [echo, gossip]) node.handle(protocol, { onRequest: async (payload) => payload });
    }
    await left.request(right.localId, gossip, bytes("once"));
    await left.request(right.localId, echo, bytes("once"));
    return { clock, left, right, events: { left: new Events(left), right: new Events(right) } };
  }

  /** Lets time pass in beats, between which pings are answered. */
  async function pass(clock: ManualClock, node: Transport, ms: number, done: () => boolean = () => false) {
    for (let passed = 0; passed < ms && !done(); passed += 1000) {
      const heard = node.statistics()[0]?.receivedBytes ?? 0;
      clock.advance(1000);
      await until(() => (node.statistics()[0]?.receivedBytes ?? 0) > heard || done());
    }
  }

  test("is let go, as ended from both sides; that of consensus stays, and the next request dials anew", async () => {
    await using nodes = new Nodes();
    const { clock, left, right, events } = await idle(nodes, { canDialBack: true });
    const gone = (): boolean => events.left.seen.length > 0 && events.right.seen.length > 0;
    await pass(clock, left, 40_000, gone);
    const expected = [{ type: "disconnected", channel: "gossip", reason: "local" }];
    expect(events.left.seen).toMatchObject(expected);
    expect(events.right.seen).toMatchObject(expected);
    expect(left.statistics()[0]?.connected).toEqual(["consensus"]);
    expect(text(await right.request(left.localId, gossip, bytes("again")))).toBe("again");
  });

  test("stays while either side uses it, however rarely", async () => {
    await using nodes = new Nodes();
    const { clock, left, right, events } = await idle(nodes, { canDialBack: true });
    for (let round = 0; round < 6; round++) {
      await pass(clock, left, 20_000);
      const node = round % 2 === 0 ? left : right;
      const other = node === left ? right : left;
      await node.request(other.localId, gossip, bytes("still here"));
    }
    expect([...events.left.seen, ...events.right.seen]).toEqual([]);
  });

  test("stays where the other side could not dial back", async () => {
    await using nodes = new Nodes();
    const { clock, left, right, events } = await idle(nodes, { canDialBack: false });
    await pass(clock, left, 70_000);
    expect([...events.left.seen, ...events.right.seen]).toEqual([]);
    expect(text(await right.request(left.localId, gossip, bytes("by the old one")))).toBe("by the old one");
  });

  test("what is asked while it is being let go arrives over the next one", async () => {
    await using nodes = new Nodes();
    const { clock, left, right, events } = await idle(nodes, { canDialBack: true });
    const got: string[] = [];
    right.handle(
      { name: "/test/words/1", channel: "gossip" },
      { onMessage: (payload) => void got.push(text(payload)) },
    );
    await pass(clock, left, 29_000);
    // The beats in which left asks right to let go, and nothing of right's answer has been read yet.
    clock.advance(2000);
    const asked = left.request(right.localId, gossip, bytes("in between"));
    expect(left.send(right.localId, { name: "/test/words/1", channel: "gossip" }, bytes("a word"))).toBe(true);
    expect(text(await asked)).toBe("in between");
    await until(() => got.length === 1);
    expect(events.left.seen.map((event) => event.type)).toEqual(["disconnected", "connected"]);
  });
});

describe("dialling again", () => {
  test("a peer that is said to be back is dialled at once, in the middle of a pause and with nothing to say", async () => {
    await using nodes = new Nodes();
    const clock = new ManualClock();
    const left = await nodes.start(1, { clock });
    const right = await nodes.start(2, { clock, addresses: [[left.localId, left.listening()]] });
    const [address = ""] = right.listening();
    left.setAddresses(right.localId, [address]);
    right.handle(echo, { onRequest: async (payload) => payload });
    await left.request(right.localId, echo, bytes("warm"));
    const events = new Events(left);
    // Not one that was lost as soon as it stood, after which there would be a pause.
    clock.advance(1000);
    await right.shutdown();
    await events.disconnected();
    await expect(left.request(right.localId, echo, bytes(""))).rejects.toMatchObject(code("TRANSPORT_UNREACHABLE"));
    await nodes.start(2, { clock, listen: [address] });
    expect(left.send(right.localId, echo, bytes("in the pause"))).toBe(false);
    left.redial(right.localId);
    await events.connected();
    expect(left.statistics()[0]?.connected).toEqual(["consensus"]);
  });

  test("after a failure there is a pause, which new addresses end at once", async () => {
    await using nodes = new Nodes();
    const clock = new ManualClock();
    const left = await nodes.start(1, { clock });
    const right = await nodes.start(2, { clock });
    right.handle(echo, { onRequest: async (payload) => payload });
    left.setAddresses(right.localId, ["127.0.0.1:1"]);
    await expect(left.request(right.localId, echo, bytes(""))).rejects.toMatchObject(code("TRANSPORT_UNREACHABLE"));
    expect(left.send(right.localId, echo, bytes("in the pause"))).toBe(false);
    const waiting = left.request(right.localId, echo, bytes("now"));
    left.setAddresses(right.localId, right.listening());
    expect(text(await waiting)).toBe("now");
  });

  test("what waits for a connection is bounded in bytes and rejected when the dial fails", async () => {
    await using nodes = new Nodes();
    const clock = new ManualClock();
    const left = await nodes.start(1, { clock, limits: { queueBytes: 16 * 1024 * 1024 } });
    const right = nodes.make(2);
    const mute = await foreignServer(credentials(2));
    left.setAddresses(right.localId, [mute.address]);
    const chunk = new Uint8Array(8 * 1024 * 1024);
    expect([1, 2, 3].map(() => left.send(right.localId, echo, chunk))).toEqual([true, true, false]);
    await expect(left.request(right.localId, echo, chunk)).rejects.toMatchObject(code("TRANSPORT_BACKPRESSURE"));
    expect(left.statistics()[0]?.queuedBytes).toBe(16 * 1024 * 1024);
    await until(() => mute.heard() > 0);
    clock.advance(3000);
    await until(() => left.statistics()[0]?.queuedBytes === 0);
    await mute.close();
  });

  test("a peer that has lost the connection insists, and the one that still believes in it gives it up", async () => {
    await using nodes = new Nodes();
    await using hop = new Hop();
    const clock = new ManualClock();
    const left = await nodes.start(1, { clock });
    const right = await nodes.start(2, { clock });
    for (const node of [left, right]) node.handle(echo, { onRequest: async (payload) => payload });
    left.setAddresses(right.localId, [await hop.start(right)]);
    await left.request(right.localId, echo, bytes("warm"));
    const events = { left: new Events(left), right: new Events(right) };
    hop.cutTarget();
    await events.right.disconnected();
    expect(events.left.seen).toEqual([]);
    right.setAddresses(left.localId, left.listening());
    expect(text(await right.request(left.localId, echo, bytes("anew")))).toBe("anew");
    expect(text(await left.request(right.localId, echo, bytes("and back")))).toBe("and back");
    expect(events.left.seen.map((event) => event.type)).toEqual(["disconnected", "connected"]);
  });

  test("one channel that is full does not hold another up", async () => {
    await using nodes = new Nodes();
    await using hop = new Hop();
    const { left, right } = await hopped(nodes, hop);
    right.handle(gossip, { onRequest: async (payload) => payload });
    hop.blackHole();
    while (left.send(right.localId, echo, new Uint8Array(8 * 1024 * 1024)));
    expect(text(await left.request(right.localId, gossip, bytes("quick")))).toBe("quick");
  });
});

test("the certificate is renewed before it expires, for those who dial and those who are dialled", async () => {
  await using nodes = new Nodes();
  const clock = new ManualClock();
  const limits = { certificateValidityMs: 60_000, pingIntervalMs: 1_000_000 };
  const node = await nodes.start(1, { clock, limits });
  const look = async (): Promise<X509Certificate> => {
    const foreigner = new Foreigner(node.listening()[0], credentials(3));
    await foreigner.secured;
    const certificate = foreigner.socket.getPeerX509Certificate() as X509Certificate;
    foreigner.socket.destroy();
    await foreigner.closed;
    return certificate;
  };
  const first = await look();
  clock.advance(39_999);
  expect((await look()).serialNumber).toBe(first.serialNumber);
  clock.advance(1);
  const second = await look();
  expect(second.serialNumber).not.toBe(first.serialNumber);
  expect(second.publicKey.equals(first.publicKey)).toBe(true);
  expect(Date.parse(second.validTo)).toBeGreaterThan(Date.parse(first.validTo));
  expect(Date.parse(first.validTo)).toBeGreaterThan(clock.wallMs());
});

test("a transport that was shut down leaves no timer behind", async () => {
  await using nodes = new Nodes();
  const clock = new ManualClock();
  const [left, right] = await nodes.pair({ clock });
  right.handle(echo, { onRequest: async (payload) => payload });
  await left.request(right.localId, echo, bytes(""));
  await left.shutdown();
  await right.shutdown();
  expect(clock.pending).toBe(0);
});
