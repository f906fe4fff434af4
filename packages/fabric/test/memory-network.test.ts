import {
  type Clock,
  FabricError,
  isFabricError,
  type NodeId,
  type Protocol,
  type Transport,
  type TransportEvent,
} from "@revoada/fabric";
import {
  memoryAddress,
  type MemoryNetwork,
  memoryNetwork,
  type MemoryNetworkOptions,
  seededRandom,
  type VirtualClock,
  virtualClock,
} from "@revoada/fabric/memory";
import { systemClock } from "@revoada/fabric/node";
import { describe, expect, test } from "vitest";

const ids = ["a", "b", "c", "d"].map((digit) => digit.repeat(64) as NodeId) as [NodeId, NodeId, NodeId, NodeId];
const [a, b, c] = ids;
const protocol: Protocol = { name: "/test/1", channel: "consensus" };

const bytes = (...values: readonly number[]): Uint8Array => Uint8Array.from(values);

interface Net {
  readonly clock: VirtualClock;
  readonly network: MemoryNetwork;
  readonly of: (id: NodeId) => Transport;
  /** `time event` of what a node saw. */
  readonly seen: (id: NodeId) => readonly string[];
}

/** Three transports that echo requests and count messages. */
async function net(
  options: Partial<MemoryNetworkOptions> = {},
  clocks: Readonly<Record<string, Clock>> = {},
): Promise<Net> {
  const clock = virtualClock();
  const network = memoryNetwork({ clock, latencyMs: 1, ...options });
  const transports = new Map<NodeId, Transport>();
  const seen = new Map<NodeId, string[]>();
  for (const id of [a, b, c]) {
    const own = clocks[id];
    const transport = network.transport(id, own === undefined ? {} : { clock: own });
    transport.handle(protocol, { onRequest: async (payload) => payload });
    const lines: string[] = [];
    transport.onEvent((event: TransportEvent) =>
      lines.push(
        `${clock.monotonicMs()} ${event.type} ${event.peer.slice(0, 1)}${event.type === "disconnected" ? ` ${event.reason}` : ""}`,
      ),
    );
    seen.set(id, lines);
    transports.set(id, transport);
    await transport.start();
  }
  return { clock, network, of: (id) => transports.get(id)!, seen: (id) => seen.get(id)! };
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    return isFabricError(error) ? error.code : String(error);
  }
  return "resolved";
}

describe("links", () => {
  test("take as long as they are said to, there and back", async () => {
    const { clock, of } = await net({ latencyMs: (from) => (from === a ? 10 : 3) });
    await clock.run(of(a).request(b, protocol, bytes(1)));
    expect(clock.monotonicMs()).toBe(26);
    await clock.run(of(a).request(b, protocol, bytes(1)));
    expect(clock.monotonicMs()).toBe(39);
    expect(of(a).statistics()[0]?.roundTripMs).toBeCloseTo(26 * 0.875 + 13 * 0.125);
  });

  test("that are cut hold what was sent on open connections until they are healed, in order", async () => {
    const { clock, network, of } = await net();
    const got: number[] = [];
    of(b).handle({ ...protocol, name: "/count/1" }, { onMessage: (payload) => void got.push(payload[0]!) });
    await clock.run(of(a).request(b, protocol, bytes(0)));
    network.partition([a], [b, c]);
    for (const value of [1, 2, 3]) expect(of(a).send(b, { ...protocol, name: "/count/1" }, bytes(value))).toBe(true);
    await clock.advanceAsync(1000);
    expect(got).toEqual([]);
    expect(of(a).statistics()[0]?.queuedBytes).toBeGreaterThan(0);
    network.heal();
    of(a).send(b, { ...protocol, name: "/count/1" }, bytes(4));
    await clock.advanceAsync(10);
    expect(got).toEqual([1, 2, 3, 4]);
    expect(of(a).statistics()[0]?.queuedBytes).toBe(0);
    expect(network.statistics().held).toBe(3);
  });

  test("that stay cut end their connections with timeout on both sides, and the rest goes on", async () => {
    const { clock, network, of, seen } = await net();
    await clock.run(of(a).request(b, protocol, bytes(0)));
    await clock.run(of(b).request(c, protocol, bytes(0)));
    const cutMs = clock.monotonicMs();
    network.partition([a], [b, c]);
    const lost = codeOf(of(a).request(b, protocol, bytes(0), { timeoutMs: 60_000 }));
    expect(await clock.run(lost)).toBe("TRANSPORT_CLOSED");
    await clock.advanceAsync(10);
    expect(seen(a).at(-1)).toBe(`${cutMs + 5000} disconnected b timeout`);
    expect(seen(b).at(-1)).toBe(`${cutMs + 5000} disconnected a timeout`);
    expect(seen(c)).toHaveLength(1);
    expect(await clock.run(of(b).request(c, protocol, bytes(7)))).toEqual(bytes(7));
  });

  test("that are cut cannot be dialled, and a probe is unreachable, not refused", async () => {
    const { clock, network, of } = await net();
    network.partition([a], [b]);
    expect(await clock.run(codeOf(of(a).request(b, protocol, bytes(0))))).toBe("TRANSPORT_UNREACHABLE");
    expect(await clock.run(of(a).probe(b))).toBe("unreachable");
    network.heal(a, b);
    expect(await clock.run(of(a).probe(b))).toBe("open");
    expect(await clock.run(of(a).request(b, protocol, bytes(1)))).toEqual(bytes(1));
  });

  test("that are cut one way end both sides' connections too, and can be dialled from neither side", async () => {
    const { clock, network, of, seen } = await net();
    await clock.run(of(a).request(b, protocol, bytes(0)));
    network.cut(a, b);
    await clock.advanceAsync(6000);
    expect(seen(a).at(-1)).toContain("disconnected b timeout");
    expect(seen(b).at(-1)).toContain("disconnected a timeout");
    expect(await clock.run(codeOf(of(a).request(b, protocol, bytes(0))))).toBe("TRANSPORT_UNREACHABLE");
    expect(await clock.run(codeOf(of(b).request(a, protocol, bytes(0))))).toBe("TRANSPORT_UNREACHABLE");
    await clock.advanceAsync(20_000);
    for (const id of [a, b])
      expect(
        of(id)
          .statistics()
          .flatMap(({ connected }) => connected),
      ).toEqual([]);
  });

  test("that heal in time keep their connections", async () => {
    const { clock, network, of, seen } = await net();
    await clock.run(of(a).request(b, protocol, bytes(0)));
    network.partition([a], [b]);
    const late = of(a).request(b, protocol, bytes(9));
    await clock.advanceAsync(4000);
    network.heal();
    expect(await clock.run(late)).toEqual(bytes(9));
    await clock.advanceAsync(10_000);
    expect(seen(a)).toHaveLength(1);
  });
});

describe("nodes", () => {
  test("that are down are seen closed by their peers, refused by dials and probes, and may come back", async () => {
    const { clock, network, of, seen } = await net();
    await clock.run(of(a).request(b, protocol, bytes(0)));
    const waiting = codeOf(of(b).request(c, { ...protocol, name: "/never/1" }, bytes(0)));
    network.down(b);
    await clock.advanceAsync(5);
    expect(seen(a).at(-1)).toMatch(/disconnected b closed$/);
    expect(seen(b).filter((line) => line.includes("disconnected"))).toEqual([]);
    expect(await clock.run(waiting)).toBe("TRANSPORT_CLOSED");
    expect(await clock.run(codeOf(of(a).request(b, protocol, bytes(0))))).toBe("TRANSPORT_UNREACHABLE");
    expect(await clock.run(of(a).probe(b))).toBe("refused");
    const again = network.transport(b);
    again.handle(protocol, { onRequest: async () => bytes(42) });
    await again.start();
    expect(await clock.run(of(a).request(b, protocol, bytes(0)))).toEqual(bytes(42));
  });

  test("that are down behind a cut link are silent, not closed", async () => {
    const { clock, network, of, seen } = await net();
    await clock.run(of(a).request(b, protocol, bytes(0)));
    network.partition([a], [b]);
    network.down(b);
    await clock.advanceAsync(6000);
    expect(seen(a).at(-1)).toMatch(/disconnected b timeout$/);
    expect(await clock.run(of(a).probe(b))).toBe("unreachable");
  });

  test("that go down before they hear of a connection that they dialled are seen closed by the other side", async () => {
    const { clock, network, of, seen } = await net({ latencyMs: 10 });
    of(a).send(b, protocol, bytes(1));
    await clock.advanceAsync(15);
    expect(seen(b)).toEqual(["10 connected a"]);
    expect(seen(a)).toEqual([]);
    network.down(a);
    await clock.advanceAsync(15);
    expect(seen(b)).toEqual(["10 connected a", "25 disconnected a closed"]);
  });

  test("that go down before their dial arrives are not taken for connected", async () => {
    const { clock, network, of, seen } = await net({ latencyMs: 10 });
    of(a).send(b, protocol, bytes(1));
    await clock.advanceAsync(5);
    network.down(a);
    await clock.advanceAsync(50);
    expect(seen(b)).toEqual([]);
  });

  test("what a killed process had sent still arrives", async () => {
    const { clock, network, of } = await net();
    const got: number[] = [];
    of(b).handle({ ...protocol, name: "/count/1" }, { onMessage: (payload) => void got.push(payload[0]!) });
    await clock.run(of(a).request(b, protocol, bytes(0)));
    of(a).send(b, { ...protocol, name: "/count/1" }, bytes(1));
    network.down(a);
    await clock.advanceAsync(5);
    expect(got).toEqual([1]);
  });

  test("whose event loop stands still answer late, and their kernel still says that somebody listens", async () => {
    const clock = virtualClock();
    const host = clock.host("b");
    const network = memoryNetwork({ clock, latencyMs: 1 });
    const [left, right] = [network.transport(a), network.transport(b, { clock: host })];
    for (const transport of [left, right]) await transport.start();
    right.handle(protocol, { onRequest: async (payload) => payload });
    await clock.run(left.request(b, protocol, bytes(0)));
    const stalledMs = clock.monotonicMs();
    host.stall(2000);
    const answer = left.request(b, protocol, bytes(1));
    expect(await clock.run(left.probe(b))).toBe("open");
    await clock.run(answer);
    expect(clock.monotonicMs()).toBe(stalledMs + 2001);
  });

  test("run one transport at a time under an id", async () => {
    const { network } = await net();
    expect(await codeOf(network.transport(a).start())).toBe("TRANSPORT_ADDRESS_IN_USE");
  });

  test("that dial each other at once settle on one connection", async () => {
    const { clock, of, seen } = await net({ latencyMs: 5 });
    const both = Promise.all([of(a).request(b, protocol, bytes(1)), of(b).request(a, protocol, bytes(2))]);
    expect(await clock.run(both)).toEqual([bytes(1), bytes(2)]);
    expect(seen(a)).toHaveLength(1);
    expect(seen(b)).toHaveLength(1);
  });

  test("never talk to themselves", async () => {
    const { clock, of } = await net();
    expect(await clock.run(codeOf(of(a).request(a, protocol, bytes(0))))).toBe("TRANSPORT_SELF_DIAL");
    expect(of(a).send(a, protocol, bytes(0))).toBe(false);
  });
});

describe("addresses", () => {
  test("are known from a directory unless there is none, and what was set goes before it", async () => {
    const { clock, of } = await net();
    expect(of(a).listening()).toEqual([memoryAddress(a)]);
    of(a).setAddresses(b, [memoryAddress(c)]);
    expect(await clock.run(codeOf(of(a).request(b, protocol, bytes(0))))).toBe("TRANSPORT_WRONG_PEER");
    of(a).setAddresses(b, ["nobody:1", memoryAddress(b)]);
    expect(await clock.run(of(a).request(b, protocol, bytes(1)))).toEqual(bytes(1));
    const strict = await net({ directory: false });
    expect(await strict.clock.run(codeOf(strict.of(a).request(b, protocol, bytes(0))))).toBe("TRANSPORT_NO_ADDRESS");
    expect(await strict.clock.run(codeOf(strict.of(a).probe(b)))).toBe("TRANSPORT_NO_ADDRESS");
  });
});

describe("a shaper", () => {
  test("loses requests, which then time out, and messages, which leave gaps", async () => {
    const { clock, network, of } = await net();
    const got: number[] = [];
    of(b).handle({ ...protocol, name: "/count/1" }, { onMessage: (payload) => void got.push(payload[0]!) });
    let count = 0;
    network.shape(({ kind, protocol: name, from, to, bytes: size }) => {
      expect([from, to, size > 0]).toEqual([a, b, true]);
      if (kind === "request") return { drop: name === protocol.name };
      count += 1;
      return { drop: count % 2 === 0 };
    });
    expect(await clock.run(codeOf(of(a).request(b, protocol, bytes(0), { timeoutMs: 50 })))).toBe("TRANSPORT_TIMEOUT");
    for (let value = 1; value <= 6; value += 1) of(a).send(b, { ...protocol, name: "/count/1" }, bytes(value));
    await clock.advanceAsync(10);
    expect(got).toEqual([1, 3, 5]);
    expect(network.statistics().dropped).toBe(4);
    network.shape(undefined);
    expect(await clock.run(of(a).request(b, protocol, bytes(1)))).toEqual(bytes(1));
  });

  test("delays, doubles and reorders messages; delayed ones hold back those behind them unless told", async () => {
    const { clock, network, of } = await net();
    const got: number[] = [];
    const counting = { ...protocol, name: "/count/1" };
    of(b).handle(counting, { onMessage: (payload) => void got.push(payload[0]!) });
    await clock.run(of(a).request(b, protocol, bytes(0)));
    const verdicts = [{ delayMs: 50 }, {}, { copies: 2 }, { delayMs: 100, unordered: true }, {}, { copies: 0 }];
    network.shape(() => verdicts.shift());
    for (let value = 1; value <= 6; value += 1) of(a).send(b, counting, bytes(value));
    await clock.advanceAsync(49);
    expect(got).toEqual([]);
    await clock.advanceAsync(200);
    expect(got).toEqual([1, 2, 3, 3, 5, 4]);
  });

  test("that loses a part of a stream breaks it on both sides", async () => {
    const { clock, network, of } = await net();
    let there: Promise<string> | undefined;
    of(b).handle(
      { ...protocol, name: "/stream/1" },
      {
        async onStream(stream) {
          const drain = async (): Promise<void> => {
            for await (const _message of stream.receive());
          };
          there = codeOf(drain());
          await there;
        },
      },
    );
    const stream = await clock.run(of(a).open(b, { ...protocol, name: "/stream/1" }));
    await clock.run(stream.send(bytes(1)));
    network.shape(({ kind }) => ({ drop: kind === "stream" }));
    void stream.send(bytes(2)).catch(() => {});
    await clock.advanceAsync(5);
    expect(await clock.run(there!)).toBe("TRANSPORT_CLOSED");
    expect(await clock.run(codeOf(stream.send(bytes(3))))).toBe("TRANSPORT_CLOSED");
  });
});

describe("the whole network", () => {
  test("does the same again from the same seed, in the same order", async () => {
    const trace = async (seed: number): Promise<readonly string[]> => {
      const random = seededRandom(seed);
      const { clock, network, of } = await net({ latencyMs: () => random.below(20) });
      network.shape(() => ({ drop: random.chance(0.1), delayMs: random.below(30) }));
      const lines: string[] = [];
      const asks = Array.from({ length: 60 }, async (_, index) => {
        const [from, to] = random.shuffle([a, b, c]) as [NodeId, NodeId, NodeId];
        const outcome = await codeOf(of(from).request(to, protocol, bytes(index), { timeoutMs: 200 }));
        lines.push(`${clock.monotonicMs()} ${index} ${outcome}`);
      });
      await clock.run(Promise.all(asks));
      return lines;
    };
    const first = await trace(1);
    expect(await trace(1)).toEqual(first);
    expect(await trace(2)).not.toEqual(first);
    expect(new Set(first.map((line) => line.split(" ")[2]))).toEqual(new Set(["resolved", "TRANSPORT_TIMEOUT"]));
  });

  test("runs over the system's clock as well", async () => {
    const clock = systemClock();
    const network = memoryNetwork({ clock, latencyMs: 1 });
    await using left = network.transport(a);
    await using right = network.transport(b);
    for (const transport of [left, right]) await transport.start();
    right.handle(protocol, {
      onRequest: async () => {
        throw new FabricError("TEST_REFUSED", "no", { retryable: true });
      },
    });
    await expect(left.request(b, protocol, bytes(1))).rejects.toMatchObject({ code: "TEST_REFUSED", retryable: true });
  });
});
