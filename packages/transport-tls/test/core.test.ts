import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { formatAddress, parseAddress } from "../src/address.ts";
import { backoffMs } from "../src/core/backoff.ts";
import {
  dataHeaderBytes,
  decodeFrame,
  encodeControl,
  type Frame,
  maxFrameBytes,
  peekSegment,
  writeDataHeader,
} from "../src/core/frame.ts";
import { FrameReader } from "../src/core/frame-reader.ts";
import { decodeGreeting, encodeAnswer, encodeHello, encodeInsist, type Verdict } from "../src/core/greeting.ts";
import { messageCost, segmentBytes } from "../src/core/segment.ts";
import { type DialStage, settle } from "../src/core/settle.ts";
import { ReceiveWindow } from "../src/core/window.ts";

const violation = expect.objectContaining({ code: "TRANSPORT_PROTOCOL_VIOLATION" });
const uint32 = fc.nat({ max: 0xffff_ffff });
const failure = fc.record({
  code: fc.constantFrom("RAFT_NOT_LEADER", "TRANSPORT_CLOSED"),
  message: fc.string({ unit: "grapheme", maxLength: 200 }),
  retryable: fc.boolean(),
});
type Control = Parameters<typeof encodeControl>[0];
const control: fc.Arbitrary<Control> = fc.oneof(
  fc.record({
    kind: fc.constant("protocol" as const),
    index: fc.nat({ max: 65_535 }),
    name: fc.constantFrom("/a/1", "/revoada/raft/1"),
  }),
  fc.record({ kind: fc.constant("failure" as const), id: uint32, failure }),
  fc.record({ kind: fc.constant("stream-abort" as const), id: uint32, failure }),
  fc.record({
    kind: fc.constant("stream-open" as const),
    id: uint32,
    protocol: fc.nat({ max: 65_535 }),
    creditBytes: uint32,
  }),
  fc.record({ kind: fc.constant("stream-credit" as const), id: uint32, creditBytes: uint32 }),
  fc.record({ kind: fc.constant("stream-end" as const), id: uint32 }),
  fc.record({ kind: fc.constant("ping" as const), token: uint32 }),
  fc.record({ kind: fc.constant("pong" as const), token: uint32 }),
  fc.record({ kind: fc.constantFrom("retire" as const, "stay" as const) }),
);

describe("frames", () => {
  test("what is encoded is decoded, however the bytes are cut", () => {
    fc.assert(
      fc.property(
        fc.array(control, { maxLength: 20 }),
        fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }),
        (frames, cuts) => {
          const stream = Buffer.concat(frames.map((frame) => encodeControl(frame)));
          const decoded: Frame[] = [];
          const reader = new FrameReader(maxFrameBytes, (body) => {
            decoded.push(decodeFrame(body.slice()));
            return "done";
          });
          for (let offset = 0, turn = 0; offset < stream.length; turn++) {
            const length = cuts[turn % cuts.length] as number;
            reader.push(stream.subarray(offset, offset + length));
            offset += length;
          }
          expect(decoded).toEqual(frames);
        },
      ),
    );
  });

  test("random bytes decode to a frame or are a violation, never anything else", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), fc.integer({ min: 10, max: 32 }), (bytes, kind) => {
        const body = Uint8Array.of(kind, ...bytes);
        try {
          expect(decodeFrame(body).kind).toBeTypeOf("string");
        } catch (error) {
          expect(error).toEqual(violation);
        }
      }),
      { numRuns: 5000 },
    );
  });

  test("the bytes of version 1 are as they always were", () => {
    const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
    expect(hex(encodeControl({ kind: "protocol", index: 1, name: "/a/1" }))).toBe("000000071000012f612f31");
    expect(hex(encodeControl({ kind: "stream-open", id: 3, protocol: 1, creditBytes: 65_536 }))).toBe(
      "0000000b1500000003000100010000",
    );
    expect(hex(encodeControl({ kind: "failure", id: 2, failure: { code: "AB", message: "x", retryable: true } }))).toBe(
      "0000000a13000000020102414278",
    );
    expect(hex(encodeControl({ kind: "ping", token: 9 }))).toBe("000000051a00000009");
    expect(hex(encodeControl({ kind: "retire" }))).toBe("000000011c");
    expect(hex(encodeControl({ kind: "stay" }))).toBe("000000011d");
    const session = new Uint8Array(16).fill(0xaa);
    expect(hex(encodeHello(session))).toBe(`00000017015256544c0101${"aa".repeat(16)}`);
    expect(hex(encodeAnswer({ kind: "not-admitted" }, session))).toBe(`00000017025256544c0101${"aa".repeat(16)}`);
    expect(hex(encodeInsist())).toBe("0000000103");
  });

  test("a length of zero or beyond the limit is a violation as soon as it is read", () => {
    for (const prefix of [
      [0, 0, 0, 0],
      [0xff, 0xff, 0xff, 0xff],
      [0, 0, 1, 1],
    ]) {
      const reader = new FrameReader(256, () => expect.unreachable());
      reader.push(Uint8Array.from(prefix.slice(0, 3)));
      expect(() => reader.push(Uint8Array.from(prefix.slice(3)))).toThrow(violation);
    }
  });

  test("the end of a frame in pieces goes where it was told to go, however it is cut, and other frames are as ever", () => {
    const payload = Uint8Array.from({ length: 300 }, (_, index) => index % 251);
    const makeSegment = (totalBytes: number | undefined): Uint8Array => {
      const headerBytes = dataHeaderBytes(totalBytes !== undefined);
      const made = new Uint8Array(headerBytes + payload.length);
      writeDataHeader(made, 0, 7, totalBytes, true, payload.length);
      made.set(payload, headerBytes);
      return made;
    };
    const parts = [encodeControl({ kind: "ping", token: 5 }), makeSegment(undefined), makeSegment(payload.length)];
    const stream = Buffer.concat([...parts, ...parts]);
    const boundaries = new Set<number>();
    for (let length = 0, at = 0; at < parts.length * 2; at++)
      boundaries.add((length += (parts[at % parts.length] as Uint8Array).length));
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 20 }), (cuts) => {
        const places: Uint8Array[] = [];
        const seen: unknown[] = [];
        const reader = new FrameReader(maxFrameBytes, () => "done");
        reader.redirect(
          maxFrameBytes,
          (body, placed) => {
            const frame = decodeFrame(body, placed);
            if (placed !== undefined) expect(placed).toBe(places.at(-1));
            seen.push(
              frame.kind === "stream-data" ? [frame.id, frame.last, Uint8Array.from(frame.payload)] : frame.kind,
            );
            return "done";
          },
          (head, bodyBytes) => {
            const peeked = peekSegment(head, bodyBytes);
            if (peeked === undefined) return undefined;
            expect(peeked).toMatchObject({ id: 7, payloadBytes: payload.length });
            expect([undefined, payload.length]).toContain(peeked.totalBytes);
            places.push(new Uint8Array(peeked.payloadBytes));
            return places.at(-1);
          },
        );
        for (let offset = 0, turn = 0; offset < stream.length; turn++) {
          const end = offset + (cuts[turn % cuts.length] as number);
          // As Node hands it out, and gone as soon as nobody keeps it.
          const chunk = Buffer.from(stream.subarray(offset, end));
          expect(reader.push(chunk)).toBe("done");
          chunk.fill(0xff);
          offset = end;
          expect(reader.partialBytes > 0).toBe(offset < stream.length && !boundaries.has(offset));
        }
        const each = ["ping", [7, true, payload], [7, true, payload]];
        expect(seen).toEqual([...each, ...each]);
        expect(reader.frames).toBe(6);
      }),
    );
  });

  test("a chunk is kept only where a frame lies whole in it and its sink keeps it", () => {
    const verdicts: ("done" | "keeps")[] = [];
    const reader = new FrameReader(maxFrameBytes, () => verdicts.shift() as "done" | "keeps");
    const [ping, open] = [
      encodeControl({ kind: "ping", token: 5 }),
      encodeControl({ kind: "stream-open", id: 1, protocol: 0, creditBytes: 9 }),
    ];
    const stream = Buffer.concat([ping, open, ping]);
    const cut = ping.length + 6;
    verdicts.push("keeps", "keeps", "done", "done", "keeps", "done");
    expect(reader.push(stream.subarray(0, cut))).toBe("keeps");
    // The frame that is kept was put together from two chunks, so neither is needed for it.
    expect(reader.push(stream.subarray(cut))).toBe("done");
    expect(reader.push(stream)).toBe("keeps");
    expect(verdicts).toEqual([]);
  });

  test("a claimed length takes no memory before its bytes have come", () => {
    const taken: number[] = [];
    const reader = new FrameReader(
      maxFrameBytes,
      () => "done",
      (bytes) => {
        taken.push(bytes);
        return new Uint8Array(bytes);
      },
    );
    reader.push(Uint8Array.of(0x01, 0, 0, 0, 17));
    expect(Math.max(...taken)).toBeLessThanOrEqual(1024 * 1024);
  });
});

describe("greetings", () => {
  test("hello, every answer and insist come back as they were said", () => {
    const session = Uint8Array.from({ length: 16 }, (_, index) => index);
    const binding = new Uint8Array(32).fill(7);
    expect(decodeGreeting(encodeHello(session).subarray(4))).toEqual({ kind: "hello", lowest: 1, highest: 1, session });
    expect(decodeGreeting(encodeInsist().subarray(4))).toEqual({ kind: "insist" });
    const verdicts: Verdict[] = [
      { kind: "welcome" },
      { kind: "not-admitted" },
      { kind: "version-mismatch" },
      { kind: "duplicate-pending" },
      { kind: "duplicate-live", binding },
    ];
    for (const verdict of verdicts) {
      expect(decodeGreeting(encodeAnswer(verdict, session).subarray(4))).toEqual({ kind: "answer", verdict, session });
    }
  });

  test("what a greeting holds does not lie in the bytes that it came in", () => {
    const session = Uint8Array.from({ length: 16 }, (_, index) => index);
    const verdict: Verdict = { kind: "duplicate-live", binding: new Uint8Array(32).fill(7) };
    const received = Buffer.from(encodeAnswer(verdict, session).subarray(4));
    const decoded = decodeGreeting(received);
    received.fill(0xff);
    expect(decoded).toEqual({ kind: "answer", verdict, session });
  });

  test("anything else is a violation", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        fc.pre(!(bytes.length === 1 && bytes[0] === 3));
        expect(() => decodeGreeting(bytes)).toThrow(violation);
      }),
    );
  });
});

describe("settling", () => {
  test("two dials that meet never both win and never both lose", () => {
    const stages: DialStage[] = ["connecting", "greeting"];
    for (const lower of stages) {
      // The higher one has said hello to the lower, so its own dial is greeting; and the other way round.
      const atLower = settle({ localIsLower: true, dial: lower, live: undefined });
      const atHigher = settle({ localIsLower: false, dial: "greeting", live: undefined });
      if (lower === "greeting") expect([atLower, atHigher]).toEqual(["duplicate-pending", "hold"]);
      else expect(atLower).toBe("welcome");
    }
  });

  test("a connection in use yields to a restarted peer and to whoever dialled it before, and is named otherwise", () => {
    const meet = (dialledHere: boolean, sameSession: boolean) =>
      settle({ localIsLower: true, dial: "none", live: { dialledHere, sameSession } });
    expect(meet(true, false)).toBe("welcome");
    expect(meet(false, true)).toBe("welcome");
    expect(meet(true, true)).toBe("duplicate-live");
  });
});

describe("flow control", () => {
  test("whatever is sent and consumed, the sender can always go on once all is consumed", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 400_000 }), { maxLength: 60 }), (lengths) => {
        const window = new ReceiveWindow(256 * 1024);
        let credit = window.windowBytes;
        for (const length of lengths) {
          const cost = messageCost(length);
          const shortfall = window.shortfall(cost);
          window.grant(shortfall);
          credit += shortfall;
          expect(credit).toBeGreaterThanOrEqual(cost);
          credit -= cost;
          window.receive(cost);
          credit += window.consume(cost);
          expect(window.heldBytes).toBe(0);
          expect(credit).toBeGreaterThanOrEqual(messageCost(segmentBytes));
        }
      }),
    );
  });

  test("bytes beyond the credit are a violation", () => {
    const window = new ReceiveWindow(1000);
    window.receive(1000);
    expect(() => window.receive(1)).toThrow(violation);
  });
});

test("the pause between dials doubles, is capped and is drawn from its upper half", () => {
  const limits = { minMs: 50, maxMs: 1000 };
  expect([1, 2, 3, 6, 100].map((failures) => backoffMs(failures, limits, 0))).toEqual([25, 50, 100, 500, 500]);
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 1000 }),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      (failures, jitter) => {
        const pause = backoffMs(failures, limits, jitter);
        expect(pause).toBeGreaterThanOrEqual(25);
        expect(pause).toBeLessThanOrEqual(1000);
      },
    ),
  );
});

test("addresses are host:port with IPv6 in brackets, and nothing else", () => {
  for (const address of ["127.0.0.1:0", "[::1]:7000", "[fe80::1%eth0]:1", "node-1.example:65535"]) {
    const { host, port } = parseAddress(address) as { host: string; port: number };
    expect(formatAddress(host, port)).toBe(address);
  }
  for (const address of [
    "",
    "host",
    "host:",
    ":1",
    "::1:80",
    "host:65536",
    "host:1x",
    "[::1]",
    "[host]:1",
    "a b:1",
    7,
    undefined,
  ]) {
    expect(parseAddress(address)).toBeUndefined();
  }
});
