import { createConnection } from "node:net";
import { discoveryContract, realTime } from "@revoada/fabric/contract/discovery";
import { systemClock } from "@revoada/fabric/node";
import { describe, expect, test } from "vitest";
import { addressOf, group, idOf, listening, seedOf, source, Sources, untilFound } from "./kit.ts";

const invalid = expect.objectContaining({ code: "DISCOVERY_INVALID_OPTIONS" });

describe("discovery over libp2p", () => {
  const cases = discoveryContract(async () => {
    const sources = new Sources();
    const other = await sources.start(1);
    const made = source(2, { peers: other.listening() });
    return {
      time: realTime(systemClock()),
      source: made,
      expected: { id: idOf(1), addresses: [addressOf(1)] },
      async [Symbol.asyncDispose]() {
        await made.shutdown();
        await sources[Symbol.asyncDispose]();
      },
    };
  });
  for (const { name, run } of cases) test(name, run);

  test("nodes that know one of them find each other through the DHT, and that one finds all", async () => {
    await using sources = new Sources();
    const first = await sources.start(1);
    const peers = first.listening();
    const others = [
      await sources.start(2, { peers }),
      await sources.start(3, { peers }),
      await sources.start(4, { peers }),
    ];
    await untilFound(first, 2, 3, 4);
    for (const [at, other] of others.entries()) {
      const rest = [1, 2, 3, 4].filter((name) => name !== at + 2);
      const hints = await untilFound(other, ...rest);
      for (const { id, addresses } of hints) {
        const name = [1, 2, 3, 4].find((each) => idOf(each) === id) ?? 0;
        expect(addresses).toEqual([addressOf(name)]);
      }
    }
  });

  test("a peer that is given by host and port alone is found, whoever it is", async () => {
    await using sources = new Sources();
    const first = await sources.start(1);
    const [, port] = /\/tcp\/(\d+)\//.exec(first.listening()[0] ?? "") ?? [];
    const second = await sources.start(2, { peers: [`127.0.0.1:${port}`] });
    await untilFound(second, 1);
  });

  test("a peer that is not there yet is found once it is", async () => {
    await using sources = new Sources();
    const before = await sources.start(1);
    const peers = before.listening();
    const [, port] = /\/tcp\/(\d+)\//.exec(peers[0] ?? "") ?? [];
    await before.shutdown();
    const { logger, said } = listening();
    const second = await sources.start(2, { peers, logger });
    await said("a peer was not reached, it is tried again");
    await sources.start(1, { listen: [`127.0.0.1:${port}`] });
    await untilFound(second, 1);
  });

  test("whoever does not know the group gets no further than the first byte, and hears nothing", async () => {
    await using sources = new Sources();
    const first = await sources.start(1);
    const { logger, said } = listening();
    const peers = first.listening();
    const outsider = await sources.start(9, { group: new Uint8Array(32).fill(8), peers, logger });
    await said("a peer was not reached, it is tried again");
    const friend = await sources.start(2, { peers });
    await untilFound(first, 2);
    await untilFound(friend, 1);
    await outsider.shutdown();
    const heard: unknown[] = [];
    for await (const hint of outsider.hints({ signal: new AbortController().signal })) heard.push(hint);
    expect(heard).toEqual([]);
  });

  test("whoever is not welcome is not listened to, although it knows the group", async () => {
    await using sources = new Sources();
    const first = await sources.start(1, { isWelcome: (id) => id !== idOf(9) });
    const { logger, said } = listening();
    const peers = first.listening();
    const removed = await sources.start(9, { peers, logger });
    await Promise.race([said("a peer was not reached, it is tried again"), said("a peer did not say where it is")]);
    await sources.start(2, { peers });
    await untilFound(first, 2);
    await removed.shutdown();
    await first.shutdown();
    const named = new Set<string | undefined>();
    for await (const { id } of first.hints({ signal: new AbortController().signal })) named.add(id);
    expect([...named]).toEqual([idOf(2)]);
  });

  test("random bytes and silence at its door change nothing", async () => {
    await using sources = new Sources();
    const first = await sources.start(1);
    const [, port] = /\/tcp\/(\d+)\//.exec(first.listening()[0] ?? "") ?? [];
    const sockets = Array.from({ length: 8 }, (_, index) => {
      const socket = createConnection({ host: "127.0.0.1", port: Number(port) });
      socket.on("error", () => {});
      if (index % 2 === 0) socket.write(Buffer.alloc(4096, index + 1));
      return socket;
    });
    const second = await sources.start(2, { peers: first.listening() });
    await untilFound(second, 1);
    await untilFound(first, 2);
    for (const socket of sockets) socket.destroy();
  });

  test("says nothing of a node whose transport listens nowhere yet, and tells once it does", async () => {
    await using sources = new Sources();
    let addresses: readonly string[] = [];
    const { logger, said } = listening();
    const first = await sources.start(1, { addresses: () => addresses });
    const second = await sources.start(2, { peers: first.listening(), logger });
    await untilFound(first, 2);
    addresses = [addressOf(1)];
    await untilFound(second, 1);
    await said("a peer said where it is");
  });

  test("a port that is in use is DISCOVERY_LISTEN_FAILED, and nothing is left running", async () => {
    await using sources = new Sources();
    const first = await sources.start(1);
    const [, port] = /\/tcp\/(\d+)\//.exec(first.listening()[0] ?? "") ?? [];
    const second = source(2, { listen: [`127.0.0.1:${port}`] });
    await expect(second.start()).rejects.toMatchObject({ code: "DISCOVERY_LISTEN_FAILED" });
    await second.shutdown();
  });

  test("options that cannot work are refused", async () => {
    expect(() => source(1, { group: group.subarray(1) })).toThrow(invalid);
    expect(() => source(1, { listen: [] })).toThrow(invalid);
    expect(() => source(1, { listen: ["nowhere"] })).toThrow(invalid);
    expect(() => source(1, { peers: ["/ip4/10.0.0.1/udp/1"] })).toThrow(invalid);
    expect(() => source(1, { peers: Array.from({ length: 65 }, () => "10.0.0.1:1") })).toThrow(invalid);
    const short = source(1, { privateKey: seedOf(1).subarray(1) });
    await expect(short.start()).rejects.toEqual(invalid);
    await short.shutdown();
  });
});
