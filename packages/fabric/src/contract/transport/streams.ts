import type { Duplex } from "../../seams/transport.ts";
import { bytesOf, check, collect, equal, rejects, started, textOf } from "../case.ts";
import type { TransportFixture } from "../transport.ts";
import { kitProtocol } from "./requests.ts";

type Body = (fixture: TransportFixture) => Promise<void>;

/** Opens a stream and gives both of its ends. */
async function openPair(fixture: TransportFixture): Promise<{ readonly ours: Duplex; readonly theirs: Duplex }> {
  const { left, right, time } = fixture;
  const protocol = kitProtocol("bulk");
  let theirs: Duplex | undefined;
  right.handle(protocol, {
    onStream: (stream, { signal }) => {
      theirs = stream;
      return new Promise((resolve) => {
        signal.addEventListener("abort", () => resolve(), { once: true });
      });
    },
  });
  const ours = await time.run(left.open(right.localId, protocol));
  await time.until(() => theirs !== undefined);
  return { ours, theirs: theirs as unknown as Duplex };
}

/** Streams. */
export const streamCases: Readonly<Record<string, Body>> = {
  "a stream carries messages both ways, in order, and ends where each side closes": async (fixture) => {
    const { ours, theirs } = await openPair(fixture);
    equal(ours.peer, fixture.right.localId, "the opener's peer");
    equal(theirs.peer, fixture.left.localId, "the other side's peer");
    const names = Array.from({ length: 50 }, (_, index) => `message ${index}`);
    const exchange = async (from: Duplex, to: Duplex): Promise<readonly string[]> => {
      const received = started(collect(to.receive()));
      for (const name of names) await from.send(bytesOf(name));
      await from.close();
      return (await received).map(textOf);
    };
    equal(await fixture.time.run(exchange(ours, theirs)), names, "what arrived there");
    equal(await fixture.time.run(exchange(theirs, ours)), names, "what arrived here");
  },

  "a consumer that lets each message be written over sees it as it was sent until it asks for the next": async (
    fixture,
  ) => {
    const { ours, theirs } = await openPair(fixture);
    const { time } = fixture;
    const messages = ours.receive({ reuse: true })[Symbol.asyncIterator]();
    const look = (message: Uint8Array | undefined): readonly unknown[] => [
      message?.length,
      message?.[0],
      message?.at(-1),
    ];
    const [held, others] = [
      [70_000, 70_000],
      [70_000, 70_001, 5, 70_000, 70_000],
    ];
    const sent = [...held, ...others].map((length, at) => [length, at + 1, at + 1]);
    const send = async (lengths: readonly number[], from: number): Promise<void> => {
      for (const [at, length] of lengths.entries()) await theirs.send(new Uint8Array(length).fill(from + at));
    };
    await time.run(send(held, 1));
    const first = await time.run(messages.next());
    await time.run(send(others, 1 + held.length));
    await time.run(theirs.close());
    const seen = [look(first.value)];
    for (let next = await time.run(messages.next()); next.done !== true; next = await time.run(messages.next()))
      seen.push(look(next.value));
    equal(seen, sent, "length, first and last byte of each message");
  },

  "empty and large messages keep their bounds": async (fixture) => {
    const { ours, theirs } = await openPair(fixture);
    const lengths = [0, 1, 0, 3 * 1024 * 1024, 70_000, 0];
    const received = started(collect(theirs.receive()));
    const sent = async (): Promise<void> => {
      for (const length of lengths) await ours.send(new Uint8Array(length).fill(length & 0xff));
      await ours.close();
    };
    await fixture.time.run(sent());
    const got = await fixture.time.run(received);
    equal(
      got.map(({ length }) => length),
      lengths,
      "the lengths",
    );
    check(
      got.every((message) => message.every((byte) => byte === (message.length & 0xff))),
      "bytes were changed",
    );
  },

  "both ends of a stream see the same 32 channel-binding bytes, and another connection has others": async (fixture) => {
    const { left, stranger, time } = fixture;
    const { ours, theirs } = await openPair(fixture);
    equal(ours.channelBinding.length, 32, "the length");
    equal(ours.channelBinding, theirs.channelBinding, "the other end's bytes");
    left.setAddresses(stranger.localId, stranger.listening());
    stranger.handle(kitProtocol("bulk"), { onStream: async () => {} });
    const other = await time.run(left.open(stranger.localId, kitProtocol("bulk")));
    const same = other.channelBinding.every((byte, index) => byte === ours.channelBinding[index]);
    check(!same, "two connections share their channel binding");
  },

  "a sender cannot run ahead of a consumer that does not read, and nothing is lost when it does": async (fixture) => {
    const { left, right, time } = fixture;
    const barrier = kitProtocol("consensus");
    right.handle(barrier, { onRequest: async (payload) => payload });
    const { ours, theirs } = await openPair(fixture);
    const message = new Uint8Array(256 * 1024);
    const count = 512;
    let sent = 0;
    const send = async (): Promise<void> => {
      for (; sent < count; sent += 1) await ours.send(message);
      await ours.close();
    };
    const sending = started(send());
    // Requests on another channel go back and forth meanwhile: time enough for a sender that nothing holds.
    for (let round = 0; round < 50; round += 1) await time.run(left.request(right.localId, barrier, bytesOf("")));
    await time.until(() => sent > 0);
    check(sent < count, `${sent} messages of 256 KiB were taken while nobody read`);
    const received = await time.run(collect(theirs.receive()));
    await time.run(sending);
    equal(received.length, count, "how many arrived");
  },

  "an aborted stream throws TRANSPORT_CLOSED at its reader and its writer on both sides": async (fixture) => {
    const { ours, theirs } = await openPair(fixture);
    const reading = started(rejects(collect(theirs.receive()), ["TRANSPORT_CLOSED"], "reading there"));
    ours.abort(new Error("enough"));
    await fixture.time.run(reading);
    await rejects(fixture.time.run(theirs.send(bytesOf("late"))), ["TRANSPORT_CLOSED"], "sending there");
    await rejects(fixture.time.run(ours.send(bytesOf("late"))), ["TRANSPORT_CLOSED"], "sending here");
    await rejects(fixture.time.run(collect(ours.receive())), ["TRANSPORT_CLOSED"], "reading here");
  },

  "a stream whose connection breaks throws TRANSPORT_CLOSED, so that an end is never taken for a close": async (
    fixture,
  ) => {
    const { ours, theirs } = await openPair(fixture);
    await fixture.time.run(theirs.send(bytesOf("before")));
    const reading = started(rejects(collect(ours.receive()), ["TRANSPORT_CLOSED"], "reading"));
    await fixture.time.run(fixture.right.shutdown());
    await fixture.time.run(reading);
    await rejects(fixture.time.run(ours.send(bytesOf("late"))), ["TRANSPORT_CLOSED"], "sending");
  },

  "nothing can be sent after close, and closing twice is no error": async (fixture) => {
    const { ours, theirs } = await openPair(fixture);
    await fixture.time.run(ours.close());
    await fixture.time.run(ours.close());
    await rejects(fixture.time.run(ours.send(bytesOf("late"))), ["TRANSPORT_CLOSED"], "sending");
    await fixture.time.run(theirs.send(bytesOf("the other way goes on")));
    await fixture.time.run(theirs.close());
    equal((await fixture.time.run(collect(ours.receive()))).map(textOf), ["the other way goes on"], "what arrived");
  },

  "opening with an aborted signal rejects with its reason": async ({ left, right, time }) => {
    right.handle(kitProtocol("bulk"), { onStream: async () => {} });
    const reason = new Error("changed my mind");
    const opening = left.open(right.localId, kitProtocol("bulk"), { signal: AbortSignal.abort(reason) });
    check((await time.run(opening.catch((error: unknown) => error))) === reason, "it did not reject with the reason");
  },
};
