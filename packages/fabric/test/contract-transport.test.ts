import type { NodeId, Transport } from "@revoada/fabric";
import { transportContract, type TransportFixture, virtualTime } from "@revoada/fabric/contract/transport";
import { memoryNetwork, virtualClock } from "@revoada/fabric/memory";
import { describe, test } from "vitest";
import { expectFailures, patched } from "./references/defects.ts";

const ids = ["a", "b", "c"].map((digit) => digit.repeat(64) as NodeId);

/** What a defect replaces in every transport of a fixture. */
type Defect = (transport: Transport) => Partial<Transport>;

async function memoryFixture(defect: Defect = () => ({})): Promise<TransportFixture> {
  const clock = virtualClock();
  const network = memoryNetwork({ clock, latencyMs: 1, directory: false });
  const originals = ids.map((id) => network.transport(id));
  const [left, right, stranger] = originals.map((transport) => patched(transport, defect(transport)));
  for (const transport of originals) await transport.start();
  left!.setAddresses(right!.localId, originals[1]!.listening());
  right!.setAddresses(left!.localId, originals[0]!.listening());
  return {
    left: left!,
    right: right!,
    stranger: stranger!,
    time: virtualTime(clock),
    async [Symbol.asyncDispose]() {
      for (const transport of originals) await transport.shutdown();
    },
  };
}

describe("the memory transport", () => {
  for (const { name, run } of transportContract(() => memoryFixture())) test(name, run);
});

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

const defects: Readonly<Record<string, { readonly fails: readonly string[]; readonly defect: Defect }>> = {
  "answers every request itself": {
    fails: ["a request is answered by the other side's handler", "requests in flight at once"],
    defect: () => ({ request: async () => bytes("pong") }),
  },
  "cuts payloads at 64 KiB": {
    fails: ["payloads from none to 4 MiB"],
    defect: (transport) => ({
      request: (peer, protocol, payload, options) =>
        transport.request(peer, protocol, payload.slice(0, 65_536), options),
    }),
  },
  "forgets the code of a remote error": {
    fails: ["an error that a handler throws"],
    defect: (transport) => ({
      request: (...call) =>
        transport.request(...call).catch((error: Error) => {
          throw Object.assign(error, { code: "TRANSPORT_HANDLER_FAILED" });
        }),
    }),
  },
  "waits for ever": {
    fails: ["a request without an answer rejects with TRANSPORT_TIMEOUT"],
    defect: (transport) => ({
      request: (peer, protocol, payload, options) =>
        transport.request(peer, protocol, payload, { ...options, timeoutMs: 2 ** 31 }),
    }),
  },
  "does not look at signals": {
    fails: ["a request that is aborted", "opening with an aborted signal"],
    defect: (transport) => ({
      request: (peer, protocol, payload) => transport.request(peer, protocol, payload),
      open: (peer, protocol) => transport.open(peer, protocol),
    }),
  },
  "replaces an offer in silence": {
    fails: ["a protocol is offered once at a time"],
    defect: (transport) => {
      const offers = new Map<string, () => void>();
      return {
        handle(protocol, handler) {
          offers.get(protocol.name)?.();
          const withdraw = transport.handle(protocol, handler);
          offers.set(protocol.name, withdraw);
          return withdraw;
        },
      };
    },
  },
  "sends messages in pairs, the second first": {
    fails: ["messages of one peer on one channel arrive in order"],
    defect: (transport) => {
      let held: Parameters<Transport["send"]> | undefined;
      return {
        send(...call) {
          if (held === undefined) {
            held = call;
            return true;
          }
          const first = held;
          held = undefined;
          return transport.send(...call) && transport.send(...first);
        },
      };
    },
  },
  "throws from send": {
    fails: ["send never throws"],
    defect: (transport) => ({
      send(...call) {
        if (!transport.send(...call)) throw new Error("not sent");
        return true;
      },
    }),
  },
  "claims to have sent everything": {
    fails: ["messages that no queue can hold are refused", "send never throws, and says false"],
    defect: (transport) => ({
      send(...call) {
        transport.send(...call);
        return true;
      },
    }),
  },
  "sends requests one by one and keeps the rest in memory": {
    fails: ["requests that no queue can hold are TRANSPORT_BACKPRESSURE", "requests in flight at once"],
    defect: (transport) => {
      let last: Promise<unknown> = Promise.resolve();
      return {
        request(...call) {
          const answer = last.then(() => transport.request(...call));
          last = answer.catch(() => {});
          return answer;
        },
      };
    },
  },
  "buffers streams without end": {
    fails: ["a sender cannot run ahead"],
    defect: (transport) => ({
      async open(...call) {
        const stream = await transport.open(...call);
        let last: Promise<unknown> = Promise.resolve();
        return patched(stream, {
          async send(message) {
            last = last.then(() => stream.send(message));
            last.catch(() => {});
          },
        });
      },
    }),
  },
  "does not listen to who is back": {
    fails: ["a peer that is said to be back is dialled"],
    defect: () => ({ redial: () => {} }),
  },
  "writes over a message that is still looked at": {
    fails: ["a consumer that lets each message be written over"],
    defect: (transport) => ({
      async open(...call) {
        const stream = await transport.open(...call);
        return patched(stream, {
          async *receive(options) {
            if (options?.reuse !== true) return yield* stream.receive();
            const memory = new Uint8Array(100_000);
            let length: number | undefined;
            for await (const message of stream.receive()) {
              memory.set(message);
              if (length !== undefined) yield memory.subarray(0, length);
              length = message.length;
            }
            if (length !== undefined) yield memory.subarray(0, length);
          },
        });
      },
    }),
  },
  "takes a broken stream for one that ended": {
    fails: ["a stream whose connection breaks", "an aborted stream throws"],
    defect: (transport) => ({
      async open(...call) {
        const stream = await transport.open(...call);
        return patched(stream, {
          async *receive() {
            try {
              yield* stream.receive();
            } catch {
              // The end, it says.
            }
          },
        });
      },
    }),
  },
  "binds no channel": {
    fails: ["both ends of a stream see the same 32 channel-binding bytes"],
    defect: (transport) => ({
      open: async (...call) => patched(await transport.open(...call), { channelBinding: new Uint8Array(32) }),
    }),
  },
  "admits everybody": {
    fails: [
      "a peer that the other side does not admit",
      "a new policy ends the open connections",
      "admission is asked for each channel",
    ],
    defect: () => ({ setAdmission() {} }),
  },
  "asks for admission once, at the dial": {
    fails: ["a new policy ends the open connections"],
    defect: (transport) => ({
      setAdmission(policy) {
        const letIn = new Set(
          transport.statistics().flatMap(({ peer, connected }) => connected.map((channel) => peer + channel)),
        );
        transport.setAdmission((peer, channel) => letIn.has(peer + channel) || policy(peer, channel));
      },
    }),
  },
  "talks to whoever answers": {
    fails: ["an address where another key answers is TRANSPORT_WRONG_PEER"],
    defect: (transport) => ({
      request: (peer, ...rest) => transport.request(peer === ("0".repeat(64) as NodeId) ? ids[1]! : peer, ...rest),
    }),
  },
  "never forgets an address": {
    fails: ["an empty list of addresses forgets a peer"],
    defect: (transport) => ({
      setAddresses(peer, addresses) {
        if (addresses.length > 0) transport.setAddresses(peer, addresses);
      },
    }),
  },
  "hears of no connection": {
    fails: ["connections are told of on both sides", "a peer that ends is a disconnect"],
    defect: () => ({ onEvent: () => () => {} }),
  },
  "takes every end for a timeout": {
    fails: ["a peer that ends is a disconnect with the reason closed"],
    defect: (transport) => ({
      onEvent: (listener) =>
        transport.onEvent((event) => listener(event.type === "disconnected" ? { ...event, reason: "timeout" } : event)),
    }),
  },
  "probes by its own belief": {
    fails: ["probing finds a listener open without connecting, and a gone one refused"],
    defect: () => ({ probe: async () => "open" }),
  },
  "counts nothing": { fails: ["statistics tell connections"], defect: () => ({ statistics: () => [] }) },
  "still listens after its end": {
    fails: ["a transport that was shut down refuses"],
    defect: (transport) => {
      let last: readonly string[] = [];
      return {
        listening() {
          const now = transport.listening();
          if (now.length > 0) last = now;
          return last.length === 0 ? now : last;
        },
        async shutdown() {
          transport.listening();
        },
      };
    },
  },
};

describe("a transport that is broken on purpose is found out:", () => {
  for (const [name, { fails, defect }] of Object.entries(defects)) {
    test(`it ${name}`, () =>
      expectFailures(
        transportContract(() => memoryFixture(defect)),
        fails,
      ));
  }
});
