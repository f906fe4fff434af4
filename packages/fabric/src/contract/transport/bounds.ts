import { isFabricError } from "../../errors.ts";
import { bytesOf, check, equal, rejects, started, textOf } from "../case.ts";
import type { TransportFixture } from "../transport.ts";
import { kitProtocol, untilAborted } from "./requests.ts";

type Body = (fixture: TransportFixture) => Promise<void>;

/** 16 MiB, the largest payload. */
const maxPayloadBytes = 16 * 1024 * 1024;

/** More than any queue may hold: 1 GiB in pieces that share one buffer. */
const floodCount = 4096;
const floodBytes = 256 * 1024;

/** Limits on queues and payloads. */
export const boundCases: Readonly<Record<string, Body>> = {
  "messages that no queue can hold are refused, not buffered": async ({ left, right, time }) => {
    const protocol = kitProtocol("gossip");
    right.handle(protocol, { onMessage() {}, onRequest: async (payload) => payload });
    await time.run(left.request(right.localId, protocol, bytesOf("")));
    const message = new Uint8Array(floodBytes);
    let taken = 0;
    // All of it in one turn: nothing can leave meanwhile.
    while (taken < floodCount && left.send(right.localId, protocol, message)) taken += 1;
    check(taken < floodCount, "1 GiB of messages was taken in one turn");
    check(taken > 0, "not one message was taken");
    await time.until(() => left.send(right.localId, protocol, bytesOf("small")));
  },

  "requests that no queue can hold are TRANSPORT_BACKPRESSURE, and the others are answered": async (fixture) => {
    const { left, right, time } = fixture;
    const protocol = kitProtocol("bulk");
    right.handle(protocol, { onRequest: async (payload) => Uint8Array.of(payload.length & 0xff) });
    await time.run(left.request(right.localId, protocol, bytesOf("")));
    const payload = new Uint8Array(4 * floodBytes);
    const outcomes = Promise.allSettled(
      Array.from({ length: 256 }, () => left.request(right.localId, protocol, payload, { timeoutMs: 60_000 })),
    );
    const settled = await time.run(outcomes);
    const refused = settled.filter(({ status }) => status === "rejected") as PromiseRejectedResult[];
    check(refused.length > 0, "256 MiB of requests was taken in one turn");
    check(refused.length < settled.length, "no request was taken");
    for (const { reason } of refused) {
      check(isFabricError(reason, "TRANSPORT_BACKPRESSURE"), `expected TRANSPORT_BACKPRESSURE, got ${String(reason)}`);
    }
    equal(
      textOf(await time.run(left.request(right.localId, protocol, bytesOf("")))).length,
      1,
      "an answer after the flood",
    );
  },

  "a payload of 16 MiB passes, a larger one is refused in every way of sending": async ({ left, right, time }) => {
    const protocol = kitProtocol("bulk");
    const sizes: number[] = [];
    right.handle(protocol, {
      onRequest: async (payload) => {
        sizes.push(payload.length);
        return new Uint8Array();
      },
      onMessage: (payload) => void sizes.push(payload.length),
      onStream: (_stream, context) => untilAborted(context).then(() => {}),
    });
    await time.run(left.request(right.localId, protocol, new Uint8Array(maxPayloadBytes)));
    const tooLarge = new Uint8Array(maxPayloadBytes + 1);
    await rejects(time.run(left.request(right.localId, protocol, tooLarge)), [], "the request");
    equal(left.send(right.localId, protocol, tooLarge), false, "send");
    const stream = await time.run(left.open(right.localId, protocol));
    await rejects(time.run(stream.send(tooLarge)), [], "the stream");
    await time.run(left.request(right.localId, protocol, bytesOf("")));
    equal(sizes, [maxPayloadBytes, 0], "the sizes that arrived");
  },

  "a stream that nobody reads does not hold up another channel": async ({ left, right, time }) => {
    right.handle(kitProtocol("bulk"), { onStream: (_stream, context) => untilAborted(context).then(() => {}) });
    right.handle(kitProtocol("consensus"), { onRequest: async (payload) => payload });
    const stream = await time.run(left.open(right.localId, kitProtocol("bulk")));
    for (let sent = 0; sent < 16; sent += 1) void started(stream.send(new Uint8Array(floodBytes)));
    const answer = left.request(right.localId, kitProtocol("consensus"), bytesOf("through"));
    equal(textOf(await time.run(answer)), "through", "the answer");
  },
};
