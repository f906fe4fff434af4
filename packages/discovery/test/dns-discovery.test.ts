import { discoveryContract, realTime } from "@revoada/fabric/contract/discovery";
import { type AddressHint, type Discovery } from "@revoada/fabric";
import { systemClock, systemRandom } from "@revoada/fabric/node";
import { dnsDiscovery } from "@revoada/discovery";
import { describe, expect, test } from "vitest";
import { Complaints } from "./complaints.ts";
import { NameServer, type Reply } from "./name-server.ts";

const [clock, random] = [systemClock(), systemRandom()];
const noSuchName = 3;

const a = (name: string, data: string) => ({ type: "A", name, ttl: 5, data }) as const;
const aaaa = (name: string, data: string) => ({ type: "AAAA", name, ttl: 5, data }) as const;
const srv = (name: string, target: string, port: number, priority = 10, weight = 1) =>
  ({ type: "SRV", name, ttl: 5, data: { target, port, priority, weight } }) as const;

/** A source that asks one server, with short pauses. */
async function asking(
  name: string,
  reply: (name: string, type: string) => Reply,
): Promise<{
  readonly server: NameServer;
  readonly source: Discovery;
  readonly complaints: Complaints;
  [Symbol.asyncDispose](): Promise<void>;
}> {
  const server = new NameServer(reply);
  const complaints = new Complaints();
  const source = dnsDiscovery({
    name,
    defaultPort: 7400,
    servers: [await server.listen()],
    pace: { everyMs: 20, retryMs: 5, maxRetryMs: 20 },
    clock,
    random,
    logger: complaints,
  });
  return {
    server,
    source,
    complaints,
    async [Symbol.asyncDispose]() {
      await source.shutdown();
      await server[Symbol.asyncDispose]();
    },
  };
}

/** The addresses of the first hints. */
async function first(source: Discovery, count: number): Promise<readonly string[]> {
  const seen: string[] = [];
  const controller = new AbortController();
  await source.start();
  for await (const { addresses } of source.hints({ signal: controller.signal })) {
    seen.push(...addresses);
    if (seen.length >= count) break;
  }
  return seen.toSorted();
}

const hosts: Readonly<Record<string, readonly [string, string]>> = {
  "one.example": ["10.0.0.1", "fd00::1"],
  "two.example": ["10.0.0.2", "fd00::2"],
};

function zone(name: string, type: string): Reply {
  const found = hosts[name];
  if (name === "_revoada._tcp.example")
    return type === "SRV" ? [srv(name, "one.example", 7401), srv(name, "two.example", 7402)] : [];
  if (found === undefined) return noSuchName;
  return type === "A" ? [a(name, found[0])] : [aaaa(name, found[1])];
}

describe("discovery by DNS", () => {
  const cases = discoveryContract(async () => {
    const { source, ...kit } = await asking("one.example:7400", zone);
    return {
      time: realTime(clock),
      source,
      expected: { addresses: ["10.0.0.1:7400"] },
      [Symbol.asyncDispose]: () => kit[Symbol.asyncDispose](),
    };
  });
  for (const { name, run } of cases) test(name, run);

  test("finds the addresses of a host, of both families, each a hint of its own", async () => {
    await using kit = await asking("one.example", zone);
    expect(await first(kit.source, 2)).toEqual(["10.0.0.1:7400", "[fd00::1]:7400"]);
  });

  test("finds a host that has addresses of one family alone", async () => {
    await using kit = await asking("four.example:99", (name, type) =>
      type === "A" ? [a(name, "10.0.0.4")] : noSuchName,
    );
    expect(await first(kit.source, 1)).toEqual(["10.0.0.4:99"]);
  });

  test("finds the instances of a service, at their own ports", async () => {
    await using kit = await asking("_revoada._tcp.example", zone);
    expect(await first(kit.source, 4)).toEqual(["10.0.0.1:7401", "10.0.0.2:7402", "[fd00::1]:7401", "[fd00::2]:7402"]);
  });

  test("finds an instance although another one's name leads nowhere", async () => {
    await using kit = await asking("_revoada._tcp.example", (name, type) =>
      type === "SRV" ? [srv(name, "gone.example", 1, 1), srv(name, "one.example", 2, 2)] : zone(name, type),
    );
    expect(await first(kit.source, 2)).toEqual(["10.0.0.1:2", "[fd00::1]:2"]);
  });

  test("tries a name again that does not resolve, and says why once", async () => {
    let isThere = false;
    await using kit = await asking("late.example", (name, type) => {
      if (kit.server.questions.length > 8) isThere = true;
      if (!isThere) return noSuchName;
      return type === "A" ? [a(name, "10.0.0.9")] : [];
    });
    expect(await first(kit.source, 1)).toEqual(["10.0.0.9:7400"]);
    expect(kit.complaints.warnings).toEqual(["late.example: there is no such name"]);
  });

  test("takes no address that is not one host's, and says that there is none", async () => {
    let isHonest = false;
    await using kit = await asking("odd.example", (name, type) => {
      if (kit.server.questions.length > 4) isHonest = true;
      if (type !== "A") return [];
      return isHonest
        ? [a(name, "10.0.0.7")]
        : [a(name, "224.0.0.251"), a(name, "0.0.0.0"), a(name, "255.255.255.255")];
    });
    expect(await first(kit.source, 1)).toEqual(["10.0.0.7:7400"]);
    expect(kit.complaints.warnings).toEqual(["odd.example: no usable address"]);
  });

  test("outlives answers that are none, and looks on", async () => {
    const junk = [new Uint8Array(0), new Uint8Array(3), new Uint8Array(512).fill(255), Buffer.from("hello")];
    await using kit = await asking("junk.example", (name, type) => {
      const bytes = junk.shift();
      if (bytes !== undefined) return bytes;
      return type === "A" ? [a(name, "10.0.0.8")] : [];
    });
    expect(await first(kit.source, 1)).toEqual(["10.0.0.8:7400"]);
  }, 15_000);

  test("that is shut down waits for no server", async () => {
    const kit = await asking("silent.example", () => "silence");
    const hints: AddressHint[] = [];
    const reading = (async () => {
      for await (const hint of kit.source.hints({ signal: new AbortController().signal })) hints.push(hint);
    })();
    await kit.source.start();
    await kit[Symbol.asyncDispose]();
    await reading;
    expect([hints, kit.complaints.warnings]).toEqual([[], []]);
  });
});
