import { isFabricError, type Duplex } from "@revoada/fabric";
import { describe, expect, test } from "vitest";
import { bulk, bytes, Nodes, text, until } from "./harness.ts";

/** A pair with one stream open between them: the opener's end and the acceptor's. */
async function streamPair(nodes: Nodes, options: Parameters<Nodes["pair"]>[0] = {}) {
  const [left, right] = await nodes.pair(options);
  const accepted = Promise.withResolvers<Duplex>();
  const done = Promise.withResolvers<void>();
  right.handle(bulk, {
    onStream: (stream) => {
      accepted.resolve(stream);
      return done.promise;
    },
  });
  const near = await left.open(right.localId, bulk);
  return { left, right, near, far: await accepted.promise, done };
}

async function collect(stream: Duplex): Promise<string[]> {
  const got: string[] = [];
  for await (const message of stream.receive()) got.push(text(message));
  return got;
}

describe("streams", () => {
  test("messages arrive in order both ways and end when the sender closes", async () => {
    await using nodes = new Nodes();
    const { near, far } = await streamPair(nodes);
    const words = Array.from({ length: 300 }, (_, index) => `word ${index}`);
    const talk = async (stream: Duplex): Promise<void> => {
      for (const word of words) await stream.send(bytes(word));
      await stream.close();
    };
    const [heardFar, heardNear] = await Promise.all([collect(far), collect(near), talk(near), talk(far)]);
    expect(heardFar).toEqual(words);
    expect(heardNear).toEqual(words);
    await expect(near.send(bytes("late"))).rejects.toMatchObject({ code: "TRANSPORT_CLOSED" });
  });

  test("messages of every awkward length come out whole", async () => {
    await using nodes = new Nodes();
    const { near, far } = await streamPair(nodes);
    const lengths = [0, 1, 65_535, 65_536, 65_537, 131_072, 1_048_576, 3_000_001, 16 * 1024 * 1024, 0];
    const sending = (async () => {
      for (const [index, length] of lengths.entries()) await near.send(new Uint8Array(length).fill(index + 1));
      await near.close();
    })();
    const got: [number, boolean][] = [];
    for await (const message of far.receive()) {
      const value = got.length + 1;
      got.push([message.length, message.every((byte) => byte === value)]);
    }
    await sending;
    expect(got).toEqual(lengths.map((length) => [length, true]));
    await expect(near.send(new Uint8Array(16 * 1024 * 1024 + 1))).rejects.toMatchObject({ code: "TRANSPORT_CLOSED" });
    await expect(far.send(new Uint8Array(16 * 1024 * 1024 + 1))).rejects.toMatchObject({ code: "TRANSPORT_TOO_LARGE" });
  });

  test("a consumer that is done with each message gets the next ones in the same memory, and any other consumer does not", async () => {
    const memories = async (reuse: boolean, bytesEach: number): Promise<Set<ArrayBufferLike>> => {
      await using nodes = new Nodes();
      const { near, far } = await streamPair(nodes);
      const sending = (async () => {
        for (let value = 1; value <= 20; value++) await near.send(new Uint8Array(bytesEach).fill(value));
        await near.close();
      })();
      const seen = new Set<ArrayBufferLike>();
      let expected = 0;
      for await (const message of far.receive({ reuse })) {
        expected += 1;
        expect(message.length).toBe(bytesEach);
        expect(message.every((byte) => byte === expected)).toBe(true);
        seen.add(message.buffer);
      }
      await sending;
      expect(expected).toBe(20);
      return seen;
    };
    // Of more than one segment, and of one.
    for (const bytesEach of [300_000, 65_536]) {
      expect((await memories(true, bytesEach)).size).toBeLessThan(20);
      expect((await memories(false, bytesEach)).size).toBe(20);
    }
  });

  test("the channel binding is 32 bytes, equal on both ends and another for another connection", async () => {
    await using nodes = new Nodes();
    const first = await streamPair(nodes);
    expect(first.near.channelBinding).toHaveLength(32);
    expect([...first.near.channelBinding]).toEqual([...first.far.channelBinding]);
    await using others = new Nodes();
    const second = await streamPair(others);
    expect([...second.near.channelBinding]).not.toEqual([...first.near.channelBinding]);
  });

  test("a sender is held back at the window until the consumer takes something", async () => {
    await using nodes = new Nodes();
    const { near, far, left, right } = await streamPair(nodes, { limits: { streamWindowBytes: 256 * 1024 } });
    const message = new Uint8Array(32 * 1024);
    let sent = 0;
    const sending = (async () => {
      for (let index = 0; index < 64; index++) {
        await near.send(message);
        sent += 1;
      }
      await near.close();
    })();
    // A request on the same connection comes back after everything that the window let through.
    right.handle({ name: "/test/fence/1", channel: "bulk" }, { onRequest: async (payload) => payload });
    await left.request(right.localId, { name: "/test/fence/1", channel: "bulk" }, bytes(""));
    expect(sent).toBe(7);
    let taken = 0;
    for await (const part of far.receive()) taken += part.length;
    await sending;
    expect(taken).toBe(64 * message.length);
  });

  test("a message larger than the window passes, and another stream is not held up by one that nobody reads", async () => {
    await using nodes = new Nodes();
    const [left, right] = await nodes.pair({ limits: { streamWindowBytes: 256 * 1024 } });
    const streams: Duplex[] = [];
    right.handle(bulk, { onStream: async (stream) => void streams.push(stream) });
    const unread = await left.open(right.localId, bulk);
    const read = await left.open(right.localId, bulk);
    const stuck = Promise.all(Array.from({ length: 4 }, () => unread.send(new Uint8Array(4 * 1024 * 1024)))).catch(
      () => {},
    );
    await read.send(new Uint8Array(8 * 1024 * 1024).fill(7));
    await read.close();
    const [, second] = streams;
    let length = 0;
    for await (const message of (second as Duplex).receive()) length += message.length;
    expect(length).toBe(8 * 1024 * 1024);
    unread.abort();
    await stuck;
  });

  test("behind a message larger than the window a window of the next one is sent before anybody consumes, and no more", async () => {
    await using nodes = new Nodes();
    const windowBytes = 256 * 1024;
    const { near, far, left, right } = await streamPair(nodes, { limits: { streamWindowBytes: windowBytes } });
    const messages = [1, 2, 3].map((value) => new Uint8Array(2 ** 20 + value).fill(value));
    let sent = 0;
    const sending = messages.map((message) => near.send(message).then(() => (sent += 1)));
    await until(() => sent === 1);
    const fence = { name: "/test/fence/1", channel: "bulk" } as const;
    right.handle(fence, { onRequest: async (payload) => payload });
    await left.request(right.localId, fence, bytes(""));
    const beyond = (right.statistics()[0]?.receivedBytes ?? 0) - 2 ** 20;
    expect(beyond).toBeGreaterThan(windowBytes / 2);
    expect(beyond).toBeLessThan(windowBytes + 1024);
    expect(sent).toBe(1);
    const received: Uint8Array[] = [];
    const closing = near.close();
    for await (const message of far.receive()) received.push(Uint8Array.from(message));
    await Promise.all([...sending, closing]);
    expect(received.map((message) => message.length)).toEqual(messages.map((message) => message.length));
    for (const [at, message] of received.entries()) expect(message.every((byte) => byte === at + 1)).toBe(true);
  });

  test("large messages beyond the memory set aside wait for each other and all arrive", async () => {
    await using nodes = new Nodes();
    const [left, right] = await nodes.pair({
      limits: { streamWindowBytes: 256 * 1024, largeMessageBytes: 17 * 1024 * 1024 },
    });
    const arrived: number[] = [];
    right.handle(bulk, {
      onStream: async (stream) => {
        for await (const message of stream.receive()) arrived.push(message.length);
      },
    });
    const size = 12 * 1024 * 1024;
    await Promise.all(
      Array.from({ length: 4 }, async () => {
        const stream = await left.open(right.localId, bulk);
        await stream.send(new Uint8Array(size));
        await stream.close();
        for await (const _ of stream.receive()) expect.unreachable();
      }),
    );
    await until(() => arrived.length === 4);
    expect(arrived).toEqual([size, size, size, size]);
  });

  test("an abort breaks both directions at once and rejects what was not sent", async () => {
    await using nodes = new Nodes();
    const { near, far } = await streamPair(nodes);
    const stuck = Array.from({ length: 5 }, () => near.send(new Uint8Array(1024 * 1024)));
    const reading = collect(near);
    far.abort(new Error("enough"));
    await expect(reading).rejects.toMatchObject({ code: "TRANSPORT_CLOSED" });
    const outcomes = await Promise.allSettled(stuck);
    expect(
      outcomes.some((outcome) => outcome.status === "rejected" && isFabricError(outcome.reason, "TRANSPORT_CLOSED")),
    ).toBe(true);
    await expect(far.send(bytes("x"))).rejects.toMatchObject({ code: "TRANSPORT_CLOSED" });
    await expect(collect(far)).rejects.toMatchObject({ code: "TRANSPORT_CLOSED" });
    await near.close();
  });

  test("a stream handler that throws aborts the stream, one that returns closes its side", async () => {
    await using nodes = new Nodes();
    const [left, right] = await nodes.pair();
    let fail = true;
    right.handle(bulk, {
      onStream: async (stream) => {
        if (fail) throw new Error("no");
        for await (const message of stream.receive()) await stream.send(message);
      },
    });
    await expect(collect(await left.open(right.localId, bulk))).rejects.toMatchObject({ code: "TRANSPORT_CLOSED" });
    fail = false;
    const stream = await left.open(right.localId, bulk);
    await stream.send(bytes("one"));
    await stream.close();
    expect(await collect(stream)).toEqual(["one"]);
  });

  test("too many streams are refused with backpressure, and ended ones make room", async () => {
    await using nodes = new Nodes();
    const [left, right] = await nodes.pair({ limits: { streams: 2 } });
    right.handle(bulk, { onStream: async (stream) => void (await collect(stream)) });
    const first = await left.open(right.localId, bulk);
    await left.open(right.localId, bulk);
    await expect(left.open(right.localId, bulk)).rejects.toMatchObject({ code: "TRANSPORT_BACKPRESSURE" });
    await first.close();
    await collect(first);
    await expect(left.open(right.localId, bulk)).resolves.toBeDefined();
  });

  test("a stream ends with TRANSPORT_CLOSED when its connection does", async () => {
    await using nodes = new Nodes();
    const { right, near } = await streamPair(nodes);
    const ended = expect(collect(near)).rejects.toMatchObject({ code: "TRANSPORT_CLOSED" });
    await right.shutdown();
    await ended;
    await expect(near.send(bytes("x"))).rejects.toMatchObject({ code: "TRANSPORT_CLOSED" });
  });
});
