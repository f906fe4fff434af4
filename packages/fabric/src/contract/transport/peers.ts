import type { NodeId } from "../../ids.ts";
import type { TransportChannel, TransportEvent } from "../../seams/transport.ts";
import { bytesOf, check, equal, rejects, started, textOf } from "../case.ts";
import type { TransportFixture } from "../transport.ts";
import { kitProtocol, untilAborted } from "./requests.ts";

type Body = (fixture: TransportFixture) => Promise<void>;

const echo = async (payload: Uint8Array): Promise<Uint8Array> => payload;

const nobody = "0".repeat(64) as NodeId;

/** Who is there, who may speak, and what becomes of connections. */
export const peerCases: Readonly<Record<string, Body>> = {
  "a transport that has started says where it listens": async ({ left, right, stranger }) => {
    const all = [left, right, stranger].flatMap((transport) => transport.listening());
    check(all.length >= 3, "one of them listens nowhere");
    equal(new Set(all).size, all.length, "how many addresses differ");
    for (const address of all) check(/^.+:[1-9]\d*$/.test(address), `${address} is not host:port with a real port`);
  },

  "a peer without a known address is TRANSPORT_NO_ADDRESS, and known once it is told": async (fixture) => {
    const { left, stranger, time } = fixture;
    const protocol = kitProtocol();
    stranger.handle(protocol, { onRequest: echo });
    await rejects(time.run(left.request(stranger.localId, protocol, bytesOf(""))), ["TRANSPORT_NO_ADDRESS"], "request");
    await rejects(time.run(left.open(stranger.localId, protocol)), ["TRANSPORT_NO_ADDRESS"], "open");
    left.setAddresses(stranger.localId, stranger.listening());
    equal(textOf(await time.run(left.request(stranger.localId, protocol, bytesOf("there")))), "there", "the answer");
  },

  "an empty list of addresses forgets a peer, and its open connections stay": async ({ left, right, time }) => {
    const protocol = kitProtocol("consensus");
    right.handle(protocol, { onRequest: echo });
    right.handle(kitProtocol("gossip"), { onRequest: echo });
    await time.run(left.request(right.localId, protocol, bytesOf("")));
    left.setAddresses(right.localId, []);
    equal(textOf(await time.run(left.request(right.localId, protocol, bytesOf("open")))), "open", "the answer");
    const elsewhere = left.request(right.localId, kitProtocol("gossip"), bytesOf(""));
    await rejects(time.run(elsewhere), ["TRANSPORT_NO_ADDRESS"], "a channel without a connection");
  },

  "an address where another key answers is TRANSPORT_WRONG_PEER, and that one hears nothing": async (fixture) => {
    const { left, right, time } = fixture;
    const protocol = kitProtocol();
    let heard = 0;
    right.handle(protocol, {
      onRequest: async (payload) => {
        heard += 1;
        return payload;
      },
    });
    left.setAddresses(nobody, right.listening());
    await rejects(time.run(left.request(nobody, protocol, bytesOf("secret"))), ["TRANSPORT_WRONG_PEER"], "the request");
    equal(heard, 0, "how much the other key heard");
  },

  "an address where nobody listens is TRANSPORT_UNREACHABLE": async ({ left, stranger, time }) => {
    left.setAddresses(stranger.localId, stranger.listening());
    await time.run(stranger.shutdown());
    const request = left.request(stranger.localId, kitProtocol(), bytesOf(""));
    await rejects(time.run(request), ["TRANSPORT_UNREACHABLE"], "the request");
  },

  "a peer that the other side does not admit is TRANSPORT_NOT_ADMITTED, and no handler runs": async (fixture) => {
    const { left, right, time } = fixture;
    const protocol = kitProtocol();
    let heard = 0;
    right.handle(protocol, {
      onRequest: async (payload) => {
        heard += 1;
        return payload;
      },
      onMessage: () => void (heard += 1),
    });
    right.setAdmission((peer) => peer !== left.localId);
    await rejects(
      time.run(left.request(right.localId, protocol, bytesOf(""))),
      ["TRANSPORT_NOT_ADMITTED"],
      "the request",
    );
    left.send(right.localId, protocol, bytesOf(""));
    await rejects(time.run(left.open(right.localId, protocol)), ["TRANSPORT_NOT_ADMITTED"], "open");
    equal(heard, 0, "how much was heard");
  },

  "a peer that this side does not admit is not spoken to": async ({ left, right, time }) => {
    right.handle(kitProtocol(), { onRequest: echo });
    left.setAdmission(() => false);
    await rejects(
      time.run(left.request(right.localId, kitProtocol(), bytesOf(""))),
      ["TRANSPORT_NOT_ADMITTED"],
      "the request",
    );
  },

  "admission is asked for each channel": async ({ left, right, time }) => {
    const asked = new Set<TransportChannel>();
    right.setAdmission((_peer, channel) => {
      asked.add(channel);
      return channel === "join";
    });
    for (const channel of ["join", "consensus"] as const) right.handle(kitProtocol(channel), { onRequest: echo });
    equal(textOf(await time.run(left.request(right.localId, kitProtocol("join"), bytesOf("in")))), "in", "on join");
    const other = left.request(right.localId, kitProtocol("consensus"), bytesOf(""));
    await rejects(time.run(other), ["TRANSPORT_NOT_ADMITTED"], "on consensus");
    equal([...asked].toSorted(), ["consensus", "join"], "the channels that were asked about");
  },

  "a new policy ends the open connections that it does not allow, and only those": async ({ left, right, time }) => {
    const events: TransportEvent[] = [];
    for (const channel of ["gossip", "consensus"] as const) {
      right.handle(kitProtocol(channel), { onRequest: echo });
      await time.run(left.request(right.localId, kitProtocol(channel), bytesOf("")));
    }
    left.onEvent((event) => events.push(event));
    right.setAdmission((_peer, channel) => channel === "gossip");
    await time.until(() => events.length > 0);
    equal(
      events.map(({ type, channel }) => `${type} ${channel}`),
      ["disconnected consensus"],
      "what left saw",
    );
    const refused = left.request(right.localId, kitProtocol("consensus"), bytesOf(""));
    await rejects(time.run(refused), ["TRANSPORT_NOT_ADMITTED"], "the next request");
    equal(textOf(await time.run(left.request(right.localId, kitProtocol("gossip"), bytesOf("on")))), "on", "on gossip");
    right.setAdmission(() => true);
    equal(
      textOf(await time.run(left.request(right.localId, kitProtocol("consensus"), bytesOf("back")))),
      "back",
      "let in again",
    );
  },

  "a peer that is said to be back is dialled on the channels that were lost, and on no others": async (fixture) => {
    const { left, right, time } = fixture;
    for (const channel of ["gossip", "consensus", "bulk"] as const)
      right.handle(kitProtocol(channel), { onRequest: echo });
    await time.run(left.request(right.localId, kitProtocol("gossip"), bytesOf("")));
    await time.run(left.request(right.localId, kitProtocol("consensus"), bytesOf("")));
    left.redial(right.localId);
    const events: TransportEvent[] = [];
    left.onEvent((event) => events.push(event));
    right.setAdmission((_peer, channel) => channel !== "gossip");
    await time.until(() => events.length === 1);
    right.setAdmission(() => true);
    left.redial(right.localId);
    left.redial(fixture.stranger.localId);
    await time.until(() => events.length === 2);
    equal(
      events.map(({ type, channel }) => `${type} ${channel}`),
      ["disconnected gossip", "connected gossip"],
      "what left saw",
    );
    equal(textOf(await time.run(left.request(right.localId, kitProtocol("gossip"), bytesOf("on")))), "on", "on gossip");
    equal(left.statistics()[0]?.connected.toSorted(), ["consensus", "gossip"], "the connections then");
  },

  "connections are told of on both sides, with peer and channel, and no more once nobody listens": async (fixture) => {
    const { left, right, time } = fixture;
    const [seenLeft, seenRight, unwanted]: TransportEvent[][] = [[], [], []];
    left.onEvent((event) => seenLeft?.push(event));
    right.onEvent((event) => seenRight?.push(event));
    left.onEvent((event) => unwanted?.push(event))();
    right.handle(kitProtocol("gossip"), { onRequest: echo });
    await time.run(left.request(right.localId, kitProtocol("gossip"), bytesOf("")));
    await time.until(() => seenRight?.length === 1);
    equal(seenLeft, [{ type: "connected", peer: right.localId, channel: "gossip" }], "what left saw");
    equal(seenRight, [{ type: "connected", peer: left.localId, channel: "gossip" }], "what right saw");
    equal(unwanted, [], "what a listener that left saw");
  },

  "a peer that ends is a disconnect with the reason closed, and what waits for it is TRANSPORT_CLOSED": async (
    fixture,
  ) => {
    const { left, right, time } = fixture;
    const protocol = kitProtocol();
    let asked = false;
    right.handle(protocol, {
      onRequest: (_payload, context) => {
        asked = true;
        return untilAborted(context);
      },
    });
    const events: TransportEvent[] = [];
    left.onEvent((event) => events.push(event));
    const request = started(
      rejects(left.request(right.localId, protocol, bytesOf("")), ["TRANSPORT_CLOSED"], "the request"),
    );
    await time.until(() => asked);
    await time.run(right.shutdown());
    await time.run(request);
    await time.until(() => events.length === 2);
    equal(
      events[1],
      { type: "disconnected", peer: right.localId, channel: "consensus", reason: "closed" },
      "the event",
    );
  },

  "a handler's signal aborts when the peer that asks goes away": async ({ left, right, time }) => {
    let aborted = false;
    let asked = false;
    right.handle(kitProtocol(), {
      onRequest: async (_payload, context) => {
        asked = true;
        await untilAborted(context);
        aborted = true;
        return new Uint8Array();
      },
    });
    void started(left.request(right.localId, kitProtocol(), bytesOf("")));
    await time.until(() => asked);
    await time.run(left.shutdown());
    await time.until(() => aborted);
  },

  "probing finds a listener open without connecting, and a gone one refused": async ({ left, right, time }) => {
    const events: TransportEvent[] = [];
    left.onEvent((event) => events.push(event));
    right.onEvent((event) => events.push(event));
    equal(await time.run(left.probe(right.localId)), "open", "the first probe");
    equal(events, [], "events of a probe");
    await time.run(right.shutdown());
    equal(await time.run(left.probe(right.localId)), "refused", "the second probe");
  },

  "statistics tell connections, bytes and round trips of each peer": async ({ left, right, time }) => {
    right.handle(kitProtocol(), { onRequest: async () => new Uint8Array(3000) });
    await time.run(left.request(right.localId, kitProtocol(), new Uint8Array(1000)));
    const found = left.statistics().find(({ peer }) => peer === right.localId);
    check(found !== undefined, "the peer is missing");
    equal(found.connected, ["consensus"], "its connections");
    check(found.sentBytes >= 1000, `${found.sentBytes} bytes sent, expected 1,000 or more`);
    check(found.receivedBytes >= 3000, `${found.receivedBytes} bytes received, expected 3,000 or more`);
    check((found.roundTripMs ?? -1) >= 0, "no round trip was measured");
  },

  "a transport that was shut down refuses with TRANSPORT_CLOSED, listens nowhere, and may be shut down again": async (
    fixture,
  ) => {
    const { left, right, time } = fixture;
    right.handle(kitProtocol(), { onRequest: echo });
    await time.run(left.request(right.localId, kitProtocol(), bytesOf("")));
    await time.run(left.shutdown());
    equal(left.listening(), [], "where it listens");
    await rejects(time.run(left.request(right.localId, kitProtocol(), bytesOf(""))), ["TRANSPORT_CLOSED"], "request");
    await rejects(time.run(left.open(right.localId, kitProtocol())), ["TRANSPORT_CLOSED"], "open");
    await time.run(left.shutdown());
    await time.run(Promise.resolve(left[Symbol.asyncDispose]()));
  },

  "shutting down rejects the own requests that wait with TRANSPORT_CLOSED": async ({ left, right, time }) => {
    let asked = false;
    right.handle(kitProtocol(), {
      onRequest: (_payload, context) => {
        asked = true;
        return untilAborted(context);
      },
    });
    const request = started(
      rejects(left.request(right.localId, kitProtocol(), bytesOf("")), ["TRANSPORT_CLOSED"], "the request"),
    );
    await time.until(() => asked);
    await time.run(left.shutdown());
    await time.run(request);
  },
};
