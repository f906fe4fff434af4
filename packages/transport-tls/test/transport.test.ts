import { connect } from "node:net";
import { isFabricError } from "@revoada/fabric";
import { tlsTransport } from "@revoada/transport-tls";
import { describe, expect, test } from "vitest";
import {
  bulk,
  bytes,
  echo,
  Events,
  gossip,
  introduce,
  Nodes,
  portOf,
  random,
  realClock,
  seed,
  text,
  until,
} from "./harness.ts";

const code = (expected: string) => ({ code: expected });

describe("requests", () => {
  test("a request is answered by the peer's handler, which is told who asks", async () => {
    await using nodes = new Nodes();
    const [left, right] = await nodes.pair();
    right.handle(echo, {
      onRequest: async (payload, context) => {
        expect(context.peer).toBe(left.localId);
        expect(context.protocol).toEqual(echo);
        return bytes(`${text(payload)} back`);
      },
    });
    expect(text(await left.request(right.localId, echo, bytes("there and")))).toBe("there and back");
  });

  test("an answer that finds no room is TRANSPORT_CLOSED and never a refusal, for the handler has acted", async () => {
    await using nodes = new Nodes();
    const limits = { queueBytes: 16 * 1024 * 1024 };
    const left = await nodes.start(1, { limits });
    const right = await nodes.start(2, { limits });
    introduce(left, right);
    let acted = 0;
    const large = new Uint8Array(10 * 1024 * 1024);
    const held: (() => void)[] = [];
    right.handle(echo, {
      onRequest: async () => {
        await new Promise<void>((resolve) => {
          held.push(resolve);
          if (held.length === 3) for (const release of held) release();
        });
        acted += 1;
        return large;
      },
    });
    const requests = [1, 2, 3].map(() => left.request(right.localId, echo, bytes("act")));
    const outcomes = await Promise.allSettled(requests);
    const codes = outcomes.map((each) =>
      each.status === "fulfilled" ? "answered" : (each.reason as { code: string }).code,
    );
    expect([acted, codes.toSorted()]).toEqual([3, ["TRANSPORT_CLOSED", "TRANSPORT_CLOSED", "answered"]]);
  });

  test("either side may ask over a connection that the other dialled", async () => {
    await using nodes = new Nodes();
    const left = await nodes.start(1, { listen: [] });
    const right = await nodes.start(2);
    left.setAddresses(right.localId, right.listening());
    for (const node of [left, right]) node.handle(echo, { onRequest: async () => bytes(node.localId) });
    expect(text(await left.request(right.localId, echo, bytes("")))).toBe(right.localId);
    expect(text(await right.request(left.localId, echo, bytes("")))).toBe(left.localId);
    expect(left.listening()).toEqual([]);
  });

  test("64 requests in flight come back to those who asked, whatever order the answers take", async () => {
    await using nodes = new Nodes();
    const [left, right] = await nodes.pair();
    const held: (() => void)[] = [];
    right.handle(echo, {
      onRequest: async (payload) => {
        await new Promise<void>((resolve) => {
          held.push(resolve);
          if (held.length === 64) for (const release of held.toReversed()) release();
        });
        return payload;
      },
    });
    const asked = Array.from({ length: 64 }, (_, index) =>
      left.request(right.localId, echo, bytes(`question ${index}`)),
    );
    const answers = await Promise.all(asked);
    expect(answers.map(text)).toEqual(Array.from({ length: 64 }, (_, index) => `question ${index}`));
  });

  test("a payload of 16 MiB goes both ways unharmed, one of a byte more is refused", async () => {
    await using nodes = new Nodes();
    const [left, right] = await nodes.pair();
    right.handle(bulk, { onRequest: async (payload) => payload });
    const large = new Uint8Array(16 * 1024 * 1024);
    for (let index = 0; index < large.length; index += 4093) large[index] = index % 251;
    const answer = await left.request(right.localId, bulk, large);
    expect(Buffer.compare(answer, large)).toBe(0);
    const larger = new Uint8Array(large.length + 1);
    await expect(left.request(right.localId, bulk, larger)).rejects.toMatchObject(code("TRANSPORT_TOO_LARGE"));
  });

  test("an answer that is too large fails the request and leaves the connection in use", async () => {
    await using nodes = new Nodes();
    const [left, right] = await nodes.pair();
    right.handle(bulk, {
      onRequest: async (payload) => (payload.length > 0 ? payload : new Uint8Array(16 * 1024 * 1024 + 1)),
    });
    await expect(left.request(right.localId, bulk, bytes(""))).rejects.toMatchObject(code("TRANSPORT_TOO_LARGE"));
    expect(text(await left.request(right.localId, bulk, bytes("x")))).toBe("x");
  });

  test("an error of ours reaches the caller with its code, message and retryable; any other keeps its secrets", async () => {
    await using nodes = new Nodes();
    const [left, right] = await nodes.pair();
    const { FabricError } = await import("@revoada/fabric");
    right.handle(echo, {
      onRequest: async (payload) => {
        if (text(payload) === "ours")
          throw new FabricError("RAFT_NOT_LEADER", "the leader is elsewhere", { retryable: true });
        throw new Error("password is 1234");
      },
    });
    await expect(left.request(right.localId, echo, bytes("ours"))).rejects.toMatchObject({
      code: "RAFT_NOT_LEADER",
      message: "the leader is elsewhere",
      retryable: true,
    });
    const failure = await left.request(right.localId, echo, bytes("other")).catch((error: unknown) => error);
    expect(isFabricError(failure, "TRANSPORT_HANDLER_FAILED")).toBe(true);
    expect(String(failure)).not.toContain("1234");
  });

  test("a protocol that is not offered, was withdrawn, or belongs to another channel is unsupported", async () => {
    await using nodes = new Nodes();
    const [left, right] = await nodes.pair();
    await expect(left.request(right.localId, echo, bytes(""))).rejects.toMatchObject(code("TRANSPORT_UNSUPPORTED"));
    const withdraw = right.handle(echo, { onRequest: async (payload) => payload });
    expect(() => right.handle(echo, {})).toThrow(expect.objectContaining(code("TRANSPORT_DUPLICATE_PROTOCOL")));
    expect(text(await left.request(right.localId, echo, bytes("now")))).toBe("now");
    const elsewhere = { name: echo.name, channel: "gossip" } as const;
    await expect(left.request(right.localId, elsewhere, bytes(""))).rejects.toMatchObject(
      code("TRANSPORT_UNSUPPORTED"),
    );
    withdraw();
    await expect(left.request(right.localId, echo, bytes(""))).rejects.toMatchObject(code("TRANSPORT_UNSUPPORTED"));
    await expect(left.open(right.localId, echo)).rejects.toMatchObject(code("TRANSPORT_UNSUPPORTED"));
  });

  test("an aborted signal rejects the request with its reason and nothing else", async () => {
    await using nodes = new Nodes();
    const [left, right] = await nodes.pair();
    const controller = new AbortController();
    right.handle(echo, {
      onRequest: (payload) => {
        if (payload.length > 0) return Promise.resolve(payload);
        controller.abort(new Error("changed my mind"));
        return new Promise(() => {});
      },
    });
    const asked = left.request(right.localId, echo, bytes(""), { signal: controller.signal });
    await expect(asked).rejects.toThrow("changed my mind");
    await expect(left.request(right.localId, echo, bytes("a"), { signal: controller.signal })).rejects.toThrow(
      "changed my mind",
    );
    expect(text(await left.request(right.localId, echo, bytes("b")))).toBe("b");
  });
});

describe("one-way messages", () => {
  test("messages arrive in the order in which they were sent, those before the connection first", async () => {
    await using nodes = new Nodes();
    const [left, right] = await nodes.pair();
    const got: number[] = [];
    const done = new Promise<void>((resolve) => {
      right.handle(gossip, {
        onMessage: (payload) => {
          got.push(Number(text(payload)));
          if (got.length === 500) resolve();
        },
      });
    });
    const events = new Events(left);
    for (let index = 0; index < 250; index++) expect(left.send(right.localId, gossip, bytes(String(index)))).toBe(true);
    await events.connected();
    for (let index = 250; index < 500; index++)
      expect(left.send(right.localId, gossip, bytes(String(index)))).toBe(true);
    await done;
    expect(got).toEqual(Array.from({ length: 500 }, (_, index) => index));
  });

  test("send is false and never throws where the message cannot go", async () => {
    await using nodes = new Nodes();
    const left = await nodes.start(1);
    const right = nodes.make(2);
    expect(left.send(right.localId, gossip, bytes("no address"))).toBe(false);
    expect(left.send(left.localId, gossip, bytes("self"))).toBe(false);
    expect(left.send("nonsense" as never, gossip, bytes("no id"))).toBe(false);
    left.setAddresses(right.localId, ["127.0.0.1:1"]);
    expect(left.send(right.localId, gossip, new Uint8Array(16 * 1024 * 1024 + 1))).toBe(false);
    left.setAdmission(() => false);
    expect(left.send(right.localId, gossip, bytes("not admitted"))).toBe(false);
    await left.shutdown();
    expect(left.send(right.localId, gossip, bytes("closed"))).toBe(false);
  });

  test("a handler that throws on a message breaks neither the connection nor the order", async () => {
    await using nodes = new Nodes();
    const [left, right] = await nodes.pair();
    right.handle(gossip, {
      onMessage: () => {
        throw new Error("bad day");
      },
      onRequest: async (payload) => payload,
    });
    left.send(right.localId, gossip, bytes("x"));
    expect(text(await left.request(right.localId, gossip, bytes("still there")))).toBe("still there");
  });
});

describe("life cycle", () => {
  test("a port in use is refused with the address, and nothing is left listening", async () => {
    await using nodes = new Nodes();
    const first = await nodes.start(1);
    const [taken] = first.listening();
    const second = nodes.make(2, { listen: ["127.0.0.1:0", taken as string] });
    const failure = await second.start().catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: "TRANSPORT_ADDRESS_IN_USE", address: taken });
    expect(String(failure)).toContain(taken);
    expect(second.listening()).toEqual([]);
  });

  test("an address of no local interface is refused as one that cannot be listened on", async () => {
    await using nodes = new Nodes();
    const node = nodes.make(1, { listen: ["192.0.2.1:0"] });
    await expect(node.start()).rejects.toMatchObject(code("TRANSPORT_LISTEN_FAILED"));
  });

  test("listening names real ports, IPv6 in brackets, and both families are dialled", async () => {
    await using nodes = new Nodes();
    const node = await nodes.start(1, { listen: ["127.0.0.1:0", "[::1]:0"] });
    node.handle(echo, { onRequest: async (payload) => payload });
    const [v4, v6] = node.listening();
    expect(v4).toMatch(/^127\.0\.0\.1:[1-9]\d*$/);
    expect(v6).toMatch(/^\[::1\]:[1-9]\d*$/);
    for (const [byte, address] of [
      [2, v4],
      [3, v6],
    ] as const) {
      const other = await nodes.start(byte, { listen: [], addresses: [[node.localId, [address as string]]] });
      expect(text(await other.request(node.localId, echo, bytes("hi")))).toBe("hi");
    }
  });

  test("what is no key, address, limit or timeout is refused before anything is opened", async () => {
    const options = { privateKey: seed(1), listen: [], clock: realClock, random };
    const bad = code("FABRIC_INVALID_VALUE");
    expect(() => tlsTransport({ ...options, privateKey: new Uint8Array(31) })).toThrow(expect.objectContaining(bad));
    expect(() => tlsTransport({ ...options, listen: ["nowhere"] })).toThrow(expect.objectContaining(bad));
    expect(() => tlsTransport({ ...options, limits: { streams: 0 } })).toThrow(expect.objectContaining(bad));
    expect(() => tlsTransport({ ...options, limits: { queueBytes: 1 } })).toThrow(expect.objectContaining(bad));
    await using nodes = new Nodes();
    const [left, right] = await nodes.pair();
    for (const timeoutMs of [Number.NaN, -1, 2 ** 31]) {
      await expect(left.request(right.localId, echo, bytes(""), { timeoutMs })).rejects.toMatchObject(bad);
    }
  });

  test("shutdown rejects what waits, closes every socket and stays shut", async () => {
    await using nodes = new Nodes();
    const [left, right] = await nodes.pair();
    const aborted = new Promise<void>((resolve) => {
      right.handle(echo, {
        onRequest: (_payload, { signal }) => {
          signal.addEventListener("abort", () => resolve());
          void left.shutdown();
          return new Promise(() => {});
        },
      });
    });
    const events = new Events(right);
    const pending = left.request(right.localId, echo, bytes(""));
    await expect(pending).rejects.toMatchObject(code("TRANSPORT_CLOSED"));
    await left.shutdown();
    await aborted;
    expect(await events.disconnected()).toMatchObject({ peer: left.localId, channel: "consensus", reason: "closed" });
    await expect(left.request(right.localId, echo, bytes(""))).rejects.toMatchObject(code("TRANSPORT_CLOSED"));
    await expect(left.open(right.localId, echo)).rejects.toMatchObject(code("TRANSPORT_CLOSED"));
    await expect(left.start()).rejects.toMatchObject(code("TRANSPORT_CLOSED"));
    expect(left.listening()).toEqual([]);
  });

  test("a peer that goes down is seen as closed, its door as refused, and it is found again at a new address", async () => {
    await using nodes = new Nodes();
    const [left, right] = await nodes.pair();
    right.handle(echo, { onRequest: async (payload) => payload });
    await left.request(right.localId, echo, bytes(""));
    expect(await left.probe(right.localId)).toBe("open");
    const events = new Events(left);
    await right.shutdown();
    expect(await events.disconnected(right.localId)).toMatchObject({ reason: "closed" });
    expect(await left.probe(right.localId)).toBe("refused");
    await expect(left.request(right.localId, echo, bytes(""))).rejects.toMatchObject(code("TRANSPORT_UNREACHABLE"));
    const again = await nodes.start(2);
    again.handle(echo, { onRequest: async (payload) => payload });
    left.setAddresses(again.localId, again.listening());
    expect(text(await left.request(again.localId, echo, bytes("back")))).toBe("back");
  });

  test("a request made in the pause after a failed dial waits for the next dial and succeeds", async () => {
    await using nodes = new Nodes();
    const right = await nodes.start(2);
    right.handle(echo, { onRequest: async (payload) => payload });
    const [address] = right.listening();
    await right.shutdown();
    const left = await nodes.start(1, { addresses: [[right.localId, [address as string]]] });
    await expect(left.request(right.localId, echo, bytes(""))).rejects.toMatchObject(code("TRANSPORT_UNREACHABLE"));
    const again = await nodes.start(2, { listen: [address as string] });
    again.handle(echo, { onRequest: async (payload) => payload });
    expect(text(await left.request(right.localId, echo, bytes("back")))).toBe("back");
  });

  test("a restarted peer that dials in replaces the connection of its former life", async () => {
    await using nodes = new Nodes();
    const left = await nodes.start(1);
    const right = await nodes.start(2, { addresses: [[left.localId, left.listening()]] });
    left.handle(echo, { onRequest: async (payload) => payload });
    await right.request(left.localId, echo, bytes(""));
    const events = new Events(left);
    const again = await nodes.start(2, { addresses: [[left.localId, left.listening()]] });
    expect(text(await again.request(left.localId, echo, bytes("new life")))).toBe("new life");
    expect(events.seen.map((event) => event.type)).toEqual(["disconnected", "connected"]);
  });

  test("without an address a peer is not dialled, and nobody dials itself", async () => {
    await using nodes = new Nodes();
    const left = await nodes.start(1);
    const stranger = nodes.make(2).localId;
    await expect(left.request(stranger, echo, bytes(""))).rejects.toMatchObject(code("TRANSPORT_NO_ADDRESS"));
    await expect(left.probe(stranger)).rejects.toMatchObject(code("TRANSPORT_NO_ADDRESS"));
    left.setAddresses(stranger, ["not an address", "127.0.0.1:99999"]);
    await expect(left.request(stranger, echo, bytes(""))).rejects.toMatchObject(code("TRANSPORT_NO_ADDRESS"));
    left.setAddresses(left.localId, left.listening());
    await expect(left.request(left.localId, echo, bytes(""))).rejects.toMatchObject(code("TRANSPORT_SELF_DIAL"));
  });

  test("a dead address beside a live one does not stand in the way", async () => {
    await using nodes = new Nodes();
    const [left, right] = await nodes.pair();
    right.handle(echo, { onRequest: async (payload) => payload });
    left.setAddresses(right.localId, ["127.0.0.1:1", ...right.listening()]);
    expect(text(await left.request(right.localId, echo, bytes("hi")))).toBe("hi");
  });

  test("statistics tell channels, bytes and the round trip of each peer", async () => {
    await using nodes = new Nodes();
    const [left, right] = await nodes.pair();
    right.handle(echo, { onRequest: async (payload) => payload });
    right.handle(bulk, { onRequest: async (payload) => payload });
    await left.request(right.localId, echo, new Uint8Array(10_000));
    await left.request(right.localId, bulk, new Uint8Array(10_000));
    const [statistics] = left.statistics();
    expect(statistics?.peer).toBe(right.localId);
    expect([...(statistics?.connected ?? [])].sort()).toEqual(["bulk", "consensus"]);
    expect(statistics?.sentBytes).toBeGreaterThan(20_000);
    expect(statistics?.receivedBytes).toBeGreaterThan(20_000);
    expect(statistics?.roundTripMs).toBeGreaterThan(0);
    expect(statistics?.queuedBytes).toBe(0);
  });
});

describe("two that dial each other at once", () => {
  test("they settle on one connection, and nothing that was asked over either is lost", async () => {
    for (let round = 0; round < 20; round++) {
      await using nodes = new Nodes();
      const [left, right] = await nodes.pair();
      for (const node of [left, right]) node.handle(echo, { onRequest: async (payload) => payload });
      const events = [new Events(left), new Events(right)];
      const answers = await Promise.all([
        left.request(right.localId, echo, bytes("from the left")),
        right.request(left.localId, echo, bytes("from the right")),
      ]);
      expect(answers.map(text)).toEqual(["from the left", "from the right"]);
      await left.request(right.localId, echo, bytes("again"));
      await right.request(left.localId, echo, bytes("again"));
      for (const { seen } of events) expect(seen.map((event) => event.type)).toEqual(["connected"]);
    }
  });

  test("they do so among five nodes and on every channel", async () => {
    await using nodes = new Nodes();
    const all = await Promise.all([1, 2, 3, 4, 5].map((byte) => nodes.start(byte)));
    const events = all.map((node) => new Events(node));
    for (const left of all) for (const right of all) if (left !== right) introduce(left, right);
    for (const node of all) {
      for (const protocol of [echo, bulk, gossip]) node.handle(protocol, { onRequest: async (payload) => payload });
    }
    const asked = all.flatMap((left) =>
      all
        .filter((right) => right !== left)
        .flatMap((right) => [echo, bulk, gossip].map((protocol) => left.request(right.localId, protocol, bytes("x")))),
    );
    await Promise.all(asked);
    for (const { seen } of events) {
      expect(seen.filter((event) => event.type === "connected")).toHaveLength(12);
      expect(seen.filter((event) => event.type === "disconnected")).toEqual([]);
    }
  });
});

test("a connection broken off in the handshake leaves a listener that serves the next", async () => {
  await using nodes = new Nodes();
  const [left, right] = await nodes.pair();
  right.handle(echo, { onRequest: async (payload) => payload });
  const closed: boolean[] = [];
  for (let index = 0; index < 5; index++) {
    const socket = connect(portOf(right.listening()[0]), "127.0.0.1");
    socket.on("connect", () => socket.destroy());
    socket.on("close", () => closed.push(true));
  }
  await until(() => closed.length === 5);
  expect(text(await left.request(right.localId, echo, bytes("hi")))).toBe("hi");
});
