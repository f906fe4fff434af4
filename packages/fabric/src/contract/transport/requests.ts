import { FabricError } from "../../errors.ts";
import type { NodeId } from "../../ids.ts";
import type { PeerContext, Protocol } from "../../seams/transport.ts";
import { bytesOf, check, ContractViolation, equal, rejects, started, textOf, throws } from "../case.ts";
import type { TransportFixture } from "../transport.ts";

/** A protocol of the kit's own. */
export function kitProtocol(channel: Protocol["channel"] = "consensus", name = `/contract/${channel}/1`): Protocol {
  return { name, channel };
}

type Body = (fixture: TransportFixture) => Promise<void>;

const echo = async (payload: Uint8Array): Promise<Uint8Array> => payload;

/** Resolves when its signal aborts: a handler that never answers by itself. */
export function untilAborted({ signal }: PeerContext): Promise<Uint8Array> {
  return new Promise((resolve) => {
    signal.addEventListener("abort", () => resolve(new Uint8Array()), { once: true });
  });
}

/** Requests and one-way messages. */
export const requestCases: Readonly<Record<string, Body>> = {
  "a request is answered by the other side's handler, which knows who asks": async ({ left, right, time }) => {
    const protocol = kitProtocol();
    const seen: string[] = [];
    right.handle(protocol, {
      onRequest: async (payload, context) => {
        seen.push(context.peer, context.protocol.name, textOf(payload));
        return bytesOf("pong");
      },
    });
    const answer = await time.run(left.request(right.localId, protocol, bytesOf("ping")));
    equal(textOf(answer), "pong", "the answer");
    equal(seen, [left.localId, protocol.name, "ping"], "what the handler saw");
  },

  "both sides may ask, whoever dialled": async ({ left, right, time }) => {
    const protocol = kitProtocol();
    left.handle(protocol, { onRequest: async () => bytesOf("from left") });
    right.handle(protocol, { onRequest: async () => bytesOf("from right") });
    equal(textOf(await time.run(left.request(right.localId, protocol, bytesOf("")))), "from right", "right's answer");
    equal(textOf(await time.run(right.request(left.localId, protocol, bytesOf("")))), "from left", "left's answer");
  },

  "requests in flight at once each get their own answer, in whatever order they are answered": async (fixture) => {
    const { left, right, time } = fixture;
    const protocol = kitProtocol();
    const held: (() => void)[] = [];
    right.handle(protocol, {
      onRequest: (payload) => new Promise((resolve) => held.push(() => resolve(bytesOf(`re: ${textOf(payload)}`)))),
    });
    const names = Array.from({ length: 64 }, (_, index) => `request ${index}`);
    const answers = started(Promise.all(names.map((name) => left.request(right.localId, protocol, bytesOf(name)))));
    await time.until(() => held.length === names.length);
    for (const release of held.toReversed()) release();
    equal(
      (await time.run(answers)).map(textOf),
      names.map((name) => `re: ${name}`),
      "the answers",
    );
  },

  "payloads from none to 4 MiB come and go unchanged": async ({ left, right, time }) => {
    const protocol = kitProtocol("bulk");
    right.handle(protocol, { onRequest: echo });
    for (const length of [0, 1, 65_535, 65_536, 4 * 1024 * 1024]) {
      const payload = new Uint8Array(length);
      for (let index = 0; index < length; index += 1) payload[index] = (index * 31) & 0xff;
      equal(await time.run(left.request(right.localId, protocol, payload)), payload, `${length} bytes`);
    }
  },

  "a payload that the caller changes afterwards arrives as it was": async ({ left, right, time }) => {
    const protocol = kitProtocol();
    right.handle(protocol, { onRequest: echo });
    const payload = bytesOf("as it was");
    const answer = left.request(right.localId, protocol, payload);
    await time.run(answer);
    payload.fill(0);
    equal(textOf(await answer), "as it was", "the answer");
  },

  "an error that a handler throws reaches the caller with code, message and retryable": async (fixture) => {
    const { left, right, time } = fixture;
    const protocol = kitProtocol();
    const thrown = [true, false].map(
      (retryable, index) => new FabricError(`KIT_ERROR_${index}`, `error ${index} of the kit`, { retryable }),
    );
    for (const error of thrown) {
      const withdraw = right.handle(protocol, { onRequest: () => Promise.reject(error) });
      const got = await rejects(
        time.run(left.request(right.localId, protocol, bytesOf(""))),
        [error.code],
        "the request",
      );
      check(got.message.includes(error.message), `the message is "${got.message}", expected "${error.message}" in it`);
      equal(got.retryable, error.retryable, `${error.code}.retryable`);
      withdraw();
    }
  },

  "a handler that throws something else fails its own request and no other": async ({ left, right, time }) => {
    const protocol = kitProtocol();
    right.handle(protocol, {
      onRequest: async (payload) => {
        if (payload.length === 0) throw new TypeError("not one of ours");
        return payload;
      },
    });
    const bad = left.request(right.localId, protocol, bytesOf(""));
    const good = left.request(right.localId, protocol, bytesOf("good"));
    await rejects(time.run(bad), [], "the request whose handler threw");
    equal(textOf(await time.run(good)), "good", "the other answer");
  },

  "a protocol that is not offered is TRANSPORT_UNSUPPORTED, in each of its ways": async ({ left, right, time }) => {
    const missing = kitProtocol("consensus", "/contract/missing/1");
    const half = kitProtocol("consensus", "/contract/half/1");
    right.handle(half, { onMessage() {} });
    for (const protocol of [missing, half]) {
      await rejects(
        time.run(left.request(right.localId, protocol, bytesOf(""))),
        ["TRANSPORT_UNSUPPORTED"],
        `request ${protocol.name}`,
      );
      await rejects(time.run(left.open(right.localId, protocol)), ["TRANSPORT_UNSUPPORTED"], `open ${protocol.name}`);
    }
  },

  "a protocol is offered once at a time: a second offer throws, a withdrawn one makes room": async (fixture) => {
    const { left, right, time } = fixture;
    const protocol = kitProtocol();
    const withdraw = right.handle(protocol, { onRequest: async () => bytesOf("first") });
    throws(() => right.handle(protocol, { onRequest: echo }), ["TRANSPORT_DUPLICATE_PROTOCOL"], "the second offer");
    withdraw();
    await rejects(
      time.run(left.request(right.localId, protocol, bytesOf(""))),
      ["TRANSPORT_UNSUPPORTED"],
      "a withdrawn protocol",
    );
    right.handle(protocol, { onRequest: async () => bytesOf("second") });
    withdraw();
    equal(textOf(await time.run(left.request(right.localId, protocol, bytesOf("")))), "second", "the answer");
  },

  "a request without an answer rejects with TRANSPORT_TIMEOUT at its deadline": async ({ left, right, time }) => {
    const protocol = kitProtocol();
    let asked = false;
    right.handle(protocol, {
      onRequest: (_payload, context) => {
        asked = true;
        return untilAborted(context);
      },
    });
    const request = left.request(right.localId, protocol, bytesOf(""), { timeoutMs: 300 });
    await rejects(time.run(request), ["TRANSPORT_TIMEOUT"], "the request");
    check(asked, "the handler was never asked");
  },

  "a request that is aborted rejects at once with the signal's reason": async ({ left, right, time }) => {
    const protocol = kitProtocol();
    let asked = 0;
    right.handle(protocol, {
      onRequest: (_payload, context) => {
        asked += 1;
        return untilAborted(context);
      },
    });
    const controller = new AbortController();
    const reason = new Error("changed my mind");
    const outcome = left.request(right.localId, protocol, bytesOf(""), { signal: controller.signal }).then(
      () => "an answer",
      (error: unknown) => error,
    );
    await time.until(() => asked === 1);
    controller.abort(reason);
    check((await time.run(outcome)) === reason, "the request under way did not reject with the reason");
    const late = left
      .request(right.localId, protocol, bytesOf(""), { signal: controller.signal })
      .catch((error: unknown) => error);
    check((await time.run(late)) === reason, "a request with an aborted signal did not reject with the reason");
    equal(asked, 1, "how often the handler was asked");
  },

  "messages of one peer on one channel arrive in order": async ({ left, right, time }) => {
    const protocol = kitProtocol("gossip");
    const got: number[] = [];
    right.handle(protocol, {
      onMessage: (payload, context) => {
        equal(context.peer, left.localId, "the sender");
        got.push(payload[0] as number);
      },
    });
    for (let number = 1; number <= 100; number += 1) {
      check(left.send(right.localId, protocol, Uint8Array.of(number)), `message ${number} was dropped at once`);
    }
    await time.until(() => got.at(-1) === 100);
    equal(
      got,
      got.toSorted((one, other) => one - other),
      "the order",
    );
  },

  "send never throws, and says false once the transport is shut down": async ({ left, right, stranger, time }) => {
    const protocol = kitProtocol("gossip");
    const send = (to: NodeId, text: string): boolean => {
      try {
        return left.send(to, protocol, bytesOf(text));
      } catch (error) {
        throw new ContractViolation(`send threw ${String(error)}`);
      }
    };
    send(stranger.localId, "nobody knows where");
    send(right.localId, "nobody listens to this");
    await time.run(left.shutdown());
    equal(send(right.localId, "too late"), false, "send after shutdown");
  },

  "a message handler that throws does not stop what comes after": async ({ left, right, time }) => {
    const protocol = kitProtocol("gossip");
    const got: number[] = [];
    right.handle(protocol, {
      onMessage: (payload) => {
        got.push(payload[0] as number);
        if (payload[0] === 1) throw new Error("on purpose");
      },
      onRequest: echo,
    });
    for (const number of [1, 2]) left.send(right.localId, protocol, Uint8Array.of(number));
    await time.until(() => got.length === 2);
    equal(
      textOf(await time.run(left.request(right.localId, protocol, bytesOf("still there")))),
      "still there",
      "the answer",
    );
  },
};
