import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FabricError, type Logger, silentLogger } from "@revoada/fabric";
import { faceContract, realTime } from "@revoada/fabric/contract/face";
import { virtualClock } from "@revoada/fabric/memory";
import { systemClock } from "@revoada/fabric/node";
import {
  controlClient,
  type ControlClient,
  controlRegistry,
  type ControlRegistry,
  controlServer,
  type ControlServer,
  maxSocketPathBytes,
} from "@revoada/face-pure-raft";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { FrameReader, frameHead, maxFrameBytes, preface } from "../src/control/frame-reader.ts";
import { encodeWire } from "../src/wire/cbor.ts";
import { faceFixture } from "./support/contract.ts";
import {
  codeOf,
  collect,
  type LocalFace,
  machine,
  machines,
  makeFace,
  startedFace,
  streamOf,
  take,
} from "./support/fixtures.ts";

let directory: string;
let path: string;
let local: LocalFace;
let control: ControlRegistry;
let server: ControlServer;
let warnings: string[];

const logger: Logger = {
  ...silentLogger,
  warn: (message) => void warnings.push(message),
  error: (message) => void warnings.push(message),
};

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "rvd-"));
  path = join(directory, "control.sock");
  local = await startedFace();
  control = controlRegistry();
  warnings = [];
  server = await controlServer({ path, face: () => local.face, control, logger });
});

afterEach(async () => {
  await server.shutdown();
  await rm(directory, { recursive: true });
});

/** A raw connection, and what came over it until it ended. */
function raw(...chunks: readonly Uint8Array[]): Promise<Buffer> {
  return new Promise((resolve) => {
    const socket: Socket = connect(path);
    const received: Buffer[] = [];
    socket.on("data", (bytes) => received.push(bytes));
    socket.on("error", () => {});
    socket.on("close", () => resolve(Buffer.concat(received)));
    for (const chunk of chunks) socket.write(chunk);
  });
}

function frame(...fields: readonly unknown[]): Uint8Array {
  const bytes = encodeWire(fields);
  return Buffer.concat([frameHead(bytes.length), bytes]);
}

/** The client's verbs as a whole face, so that the contract can judge them. */
function clientFace(client: ControlClient): ReturnType<typeof faceFixture>["face"] {
  const { face } = local;
  return {
    manifest: face.manifest,
    leases: client.leases,
    isRunning: () => face.isRunning(),
    start: () => face.start(),
    shutdown: () => face.shutdown(),
    counts: () => face.counts(),
    [Symbol.asyncDispose]: () => face.shutdown(),
    apply: client.apply,
    get: client.get,
    list: client.list,
    delete: client.delete,
    watch: client.watch,
    snapshot: client.snapshot,
    restore: client.restore,
  };
}

describe("the face's verbs over the socket keep the contract of faces", () => {
  const create = async (): Promise<ReturnType<typeof faceFixture>> => {
    local = makeFace();
    const client = await controlClient(path);
    const fixture = { face: clientFace(client), catalog: local.catalog, dispose: () => client.close() };
    return faceFixture({ time: realTime(systemClock()), ...fixture });
  };
  for (const { name, run } of faceContract(create)) test(name, run);
});

describe("the socket", () => {
  test("is for its owner alone, and goes with its server", async () => {
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    await server.shutdown();
    expect(await codeOf(controlClient(path))).toBe("CONTROL_UNREACHABLE");
    await expect(stat(path)).rejects.toThrow("ENOENT");
  });

  test("is not taken from a server that lives", async () => {
    const options = { face: () => local.face, control, logger: silentLogger };
    expect(await codeOf(controlServer({ ...options, path }))).toBe("CONTROL_IN_USE");
    await using client = await controlClient(path);
    expect((await client.list({})).items).toEqual([]);
  });

  test("that nobody serves any more is replaced, and what is no socket is left alone", async () => {
    const stale = join(directory, "stale.sock");
    // A socket whose server is gone without a word, as after SIGKILL.
    const left = createServer();
    await new Promise<void>((resolve) => left.listen(join(directory, "moved.sock"), resolve));
    const { rename } = await import("node:fs/promises");
    await rename(join(directory, "moved.sock"), stale);
    await new Promise<void>((resolve) => left.close(() => resolve()));
    const options = { face: () => local.face, control, logger: silentLogger };
    await using again = await controlServer({ ...options, path: stale });
    await using client = await controlClient(again.path);
    expect((await client.list({})).revision).toBe(0);
    const file = join(directory, "file");
    await writeFile(file, "mine");
    expect(await codeOf(controlServer({ ...options, path: file }))).toBe("CONTROL_PATH_UNUSABLE");
    expect((await stat(file)).size).toBe(4);
  });

  test("at a path that is too long is refused by both sides, with the limit", async () => {
    const long = join(directory, "x".repeat(maxSocketPathBytes));
    const options = { face: () => local.face, control, logger: silentLogger };
    await expect(controlServer({ ...options, path: long })).rejects.toThrow(`at most ${maxSocketPathBytes}`);
    expect(await codeOf(controlClient(long))).toBe("CONTROL_PATH_TOO_LONG");
  });

  test("that does not speak the protocol is told from one that is not there", async () => {
    const other = join(directory, "other.sock");
    const stranger = createServer(
      (socket) =>
        void socket
          .resume()
          .on("error", () => {})
          .end("HTTP/1.1 400 Bad Request\r\n\r\n"),
    );
    await new Promise<void>((resolve) => stranger.listen(other, resolve));
    expect(await codeOf(controlClient(other))).toBe("CONTROL_PROTOCOL");
    await new Promise<void>((resolve) => stranger.close(() => resolve()));
    expect(await codeOf(controlClient(join(directory, "nothing.sock")))).toBe("CONTROL_UNREACHABLE");
  });
});

describe("methods", () => {
  test("answer, stream, and refuse with their own codes", async () => {
    control.register("echo", async (parameters) => ({ said: parameters }));
    control.register("count", (parameters) => streamOf([1, 2, parameters]));
    control.register("refuse", async () => {
      throw new FabricError("NODE_BUSY_LEAVING", "not now", { retryable: true });
    });
    await using client = await controlClient(path);
    expect(await client.call("echo", { list: [1, "two", null, true, 2.5] })).toEqual({
      said: { list: [1, "two", null, true, 2.5] },
    });
    expect(await collect(client.stream("count", 3))).toEqual([1, 2, 3]);
    expect(await collect(client.stream("echo", 1))).toEqual([{ said: 1 }]);
    await expect(client.call("refuse")).rejects.toMatchObject({
      code: "NODE_BUSY_LEAVING",
      message: "not now",
      retryable: true,
    });
    await expect(client.call("nothing")).rejects.toThrow(
      'no method "nothing", there are count, echo, refuse, face.apply',
    );
    expect(await codeOf(client.call("count"))).toBe("CONTROL_STREAMING_METHOD");
  });

  test("that fail for reasons of their own say nothing of them, and the log does", async () => {
    control.register("leak", async () => {
      throw new Error("the secret is 42");
    });
    await using client = await controlClient(path);
    await expect(client.call("leak")).rejects.toThrow('method "leak" failed, the log of the node says why');
    expect(warnings).toEqual(["a control method failed"]);
  });

  test("are registered once, withdrawn, and never in the place of a verb", async () => {
    const withdraw = control.register("m", async () => 1);
    expect(() => control.register("m", async () => 2)).toThrow('method "m" is registered already');
    expect(() => control.register("face.get", async () => 2)).toThrow("not beginning with face.");
    withdraw();
    expect(control.methods()).toEqual([]);
  });

  test("that were not answered in time say so, and the node hears that nobody waits", async () => {
    const clock = virtualClock();
    const heard = new Promise<unknown>((resolve) => {
      control.register("slow", (_, { signal }) => {
        return new Promise((_resolve, reject) => {
          signal.addEventListener("abort", () => {
            resolve((signal.reason as FabricError).code);
            reject(signal.reason as Error);
          });
          clock.advance(60_000);
        });
      });
    });
    await using client = await controlClient(path, { clock });
    await expect(client.call("slow")).rejects.toMatchObject({ code: "CONTROL_TIMEOUT" });
    expect(await heard).toBe("CONTROL_CLOSED");
  });

  test("stream as fast as they are read, and end when their reader leaves", async () => {
    let made = 0;
    let ended: () => void = () => {};
    const over = new Promise<void>((resolve) => {
      ended = resolve;
    });
    control.register("endless", async function* () {
      try {
        for (;;) yield made++;
      } finally {
        ended();
      }
    });
    control.register("made", async () => made);
    await using client = await controlClient(path);
    const stream = client.stream("endless")[Symbol.asyncIterator]();
    expect((await stream.next()).value).toBe(0);
    // Whoever answers this has had every opportunity to make more.
    for (let round = 0; round < 20; round++) await client.call("made");
    expect(await client.call("made")).toBeLessThanOrEqual(17);
    await stream.return?.();
    await over;
  });

  test("an answer that fits into no frame is CONTROL_TOO_LARGE, and the connection goes on", async () => {
    control.register("huge", async () => new Uint8Array(maxFrameBytes));
    await using client = await controlClient(path);
    expect(await codeOf(client.call("huge"))).toBe("CONTROL_TOO_LARGE");
    expect(await codeOf(client.call("huge", new Uint8Array(maxFrameBytes)))).toBe("CONTROL_TOO_LARGE");
    expect((await client.list({})).items).toEqual([]);
  });
});

describe("a connection that ends", () => {
  test("does not keep a server from going down whose methods never answer", async () => {
    const clock = virtualClock();
    await using stubborn = await controlServer({
      path: join(directory, "s"),
      face: () => local.face,
      control,
      logger,
      clock,
    });
    const called = new Promise<void>((resolve) => {
      control.register("stubborn", () => {
        resolve();
        return new Promise(() => {});
      });
    });
    await using client = await controlClient(stubborn.path);
    const lost = codeOf(client.call("stubborn"));
    await called;
    const down = stubborn.shutdown();
    clock.advance(1_000);
    await down;
    expect(await lost).toBe("CONTROL_CLOSED");
  });

  test("leaves a write's outcome unknown, and lets a read be tried again", async () => {
    const arrived = new Promise<void>((resolve) => {
      local.catalog.beforeTxn = resolve;
      local.catalog.range = () => new Promise(() => {});
    });
    local.catalog.txn = () => {
      local.catalog.beforeTxn?.();
      return new Promise(() => {});
    };
    const client = await controlClient(path);
    const write = codeOf(client.apply(machine("a", 1)));
    const read = client.list({}).catch((error: unknown) => error);
    const other = client.call("status").catch((error: unknown) => error);
    await arrived;
    expect(await other).toMatchObject({ code: "CONTROL_UNKNOWN_METHOD" });
    await client.close();
    expect(await write).toBe("RAFT_OUTCOME_UNKNOWN");
    expect(await read).toMatchObject({ code: "CONTROL_CLOSED", retryable: true });
    await expect(client.call("status")).rejects.toMatchObject({ code: "CONTROL_CLOSED" });
  });

  test("for the server's shutdown has its calls answered and its streams told", async () => {
    let release: () => void = () => {};
    control.register("leave", async () => {
      await new Promise<void>((resolve) => {
        release = resolve;
      });
      return "left";
    });
    await using client = await controlClient(path);
    const left = client.call("leave");
    await client.list({});
    const watching = codeOf(collect(client.watch({}, { signal: new AbortController().signal })));
    await client.list({});
    const down = server.shutdown();
    expect(await watching).toBe("CONTROL_CLOSED");
    release();
    expect(await left).toBe("left");
    await down;
  });

  test("in the middle of a restore restores nothing", async () => {
    await local.face.apply(machines("a"));
    const snapshot = await collect(local.face.snapshot());
    await local.face.apply(machines("b"));
    const client = await controlClient(path);
    const chunks = (async function* () {
      yield snapshot[0] as Uint8Array;
      await client.close();
    })();
    expect(await codeOf(client.restore(chunks))).toBe("CONTROL_CLOSED");
    await server.shutdown();
    expect(local.face.counts().resources).toBe(2);
  });
});

describe("whoever connects", () => {
  test("and breaks the protocol is cut off, while others are served", async () => {
    await using client = await controlClient(path);
    const hostile: readonly (readonly Uint8Array[])[] = [
      [Buffer.from("GET / HTTP/1.1\r\n\r\n")],
      [Uint8Array.of(...preface.subarray(0, 4), 9)],
      [preface, frameHead(maxFrameBytes + 1)],
      [preface, frameHead(2), Uint8Array.of(0x82, 0x60)],
      [preface, frame("call", -1, "status")],
      [preface, frame("call", 1.5, "status")],
      [preface, frame("call", 1, 7)],
      [preface, frame("dance", 1)],
      [preface, frame("credit", 1, 1e9)],
      [preface, frame("chunk", 1, "text")],
      [preface, frame("open", 1, "face.watch", { selector: {} }), frame("open", 1, "face.watch", { selector: {} })],
      [
        preface,
        frame("call", 1, "face.restore", {}),
        ...Array.from({ length: 40 }, () => frame("chunk", 1, new Uint8Array(9))),
      ],
    ];
    local.catalog.restore = () => new Promise(() => {});
    for (const chunks of hostile) await raw(...chunks);
    expect(warnings.filter((line) => line === "a control connection broke").length).toBe(hostile.length);
    expect((await client.list({})).items).toEqual([]);
  });

  test("and asks for too much at once is told so", async () => {
    control.register("never", (_, { signal }) => {
      return new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error)));
    });
    const client = await controlClient(path);
    const calls = Array.from({ length: 257 }, () => codeOf(client.call("never")));
    expect(await calls.at(-1)).toBe("CONTROL_BUSY");
    await client.close();
    expect(new Set(await Promise.all(calls.slice(0, -1)))).toEqual(new Set(["CONTROL_CLOSED"]));
  });

  test("and sends parameters that no verb takes is refused by name", async () => {
    await using client = await controlClient(path);
    await expect(client.call("face.get", { ref: { kind: "Machine", name: "a" }, colour: 1 })).rejects.toThrow(
      "get.colour: expected no such field",
    );
    await expect(client.call("face.apply", { format: "yaml", body: "text" })).rejects.toThrow(
      'apply.body: expected bytes, got "text"',
    );
    expect(await codeOf(take(client.stream("face.watch", { selector: 1 }), 1))).toBe("FABRIC_INVALID_VALUE");
  });
});

test("frames are cut the same way however the bytes come", () => {
  const bodies = [new Uint8Array(0), Uint8Array.of(1), new Uint8Array(300).fill(7)];
  const bytes = Buffer.concat([preface, ...bodies.flatMap((body) => [frameHead(body.length), body])]);
  for (const size of [1, 2, 3, 5, 64, bytes.length]) {
    const reader = new FrameReader();
    const frames: Uint8Array[] = [];
    for (let offset = 0; offset < bytes.length; offset += size) {
      for (const found of reader.push(new Uint8Array(bytes.subarray(offset, offset + size)))) frames.push(found);
    }
    expect(frames).toEqual(bodies);
  }
});
