import type { NodeId } from "@revoada/fabric";
import fc from "fast-check";
import { expect, test } from "vitest";
import { MessageBuffers } from "../src/message-buffers.ts";
import { PeerStream, type StreamCarrier } from "../src/stream.ts";

const windowBytes = 256 * 1024;

/** Two ends of one stream with a wire between them that delivers when told to. */
function joined() {
  const wire: (() => void)[] = [];
  const outcome: { released: number; aborted: number; largeBytes: number } = { released: 0, aborted: 0, largeBytes: 0 };
  const carrier = (other: () => PeerStream): StreamCarrier => ({
    peer: "00".repeat(32) as NodeId,
    binding: new Uint8Array(32),
    windowBytes,
    queueBytes: 32 * 1024 * 1024,
    buffers: new MessageBuffers(),
    writeSegment: (_id, totalBytes, last, payload) =>
      void wire.push(() => void other().onData(totalBytes, last, payload)),
    writeCredit: (_id, creditBytes) => void wire.push(() => other().onCredit(creditBytes)),
    writeEnd: () => void wire.push(() => other().onEnd()),
    writeAbort: () => void (outcome.aborted += 1),
    ready(stream) {
      while (stream.sendable) stream.pump();
    },
    reserveLarge(_stream, bytes, granted) {
      outcome.largeBytes += bytes;
      wire.push(granted);
    },
    freeLarge: (bytes) => void (outcome.largeBytes -= bytes),
    release: () => void (outcome.released += 1),
  });
  const near: PeerStream = new PeerStream(
    carrier(() => far),
    1,
    windowBytes,
  );
  const far: PeerStream = new PeerStream(
    carrier(() => near),
    1,
    windowBytes,
  );
  const deliver = (): void => {
    for (let step = wire.shift(); step !== undefined; step = wire.shift()) step();
  };
  return { near, far, deliver, outcome };
}

test("every mix of message sizes comes through whole, however late the consumer, and gives all memory back", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.oneof(fc.integer({ min: 0, max: 300_000 }), fc.integer({ min: 0, max: 2_000_000 })), {
        maxLength: 25,
      }),
      fc.array(fc.nat({ max: 4 }), { minLength: 1, maxLength: 10 }),
      async (lengths, pauses) => {
        const { near, far, deliver, outcome } = joined();
        const got: number[] = [];
        const sent = lengths.map((length) => near.send(new Uint8Array(length)));
        const closed = near.close();
        const messages = far.receive();
        for (let turn = 0; got.length < lengths.length; turn++) {
          deliver();
          // A few at a time, so that messages begin while others still wait to be taken.
          for (
            let count = 0;
            count <= (pauses[turn % pauses.length] as number) && got.length < lengths.length;
            count++
          ) {
            const next = messages.next();
            deliver();
            got.push(((await next).value as Uint8Array).length);
          }
        }
        deliver();
        expect(got).toEqual(lengths);
        await Promise.all([...sent, closed]);
        expect((await messages.next()).done).toBe(true);
        expect(outcome).toEqual({ released: 0, aborted: 0, largeBytes: 0 });
        await far.close();
        deliver();
        expect(outcome.released).toBe(2);
      },
    ),
    { numRuns: 60 },
  );
});
