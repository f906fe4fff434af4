import { readFileSync } from "node:fs";
import { join } from "node:path";
import { blake3Attestor, identityFromSeed } from "@revoada/attest-blake3";
import { silentLogger, silentMetrics, type JoinToken, type Logger, type NodeId, type Transport } from "@revoada/fabric";
import { memoryNetwork, seededRandom, virtualClock } from "@revoada/fabric/memory";
import { systemClock, systemRandom } from "@revoada/fabric/node";
import { tlsTransport } from "@revoada/transport-tls";
import { describe, expect, onTestFinished, test } from "vitest";
import type { NodeConfig } from "../src/config/config.ts";
import { startNode, type RunningNode } from "../src/daemon/daemon.ts";
import { Finding } from "../src/daemon/finding.ts";
import { temporaryDirectory } from "./helpers.ts";

const group = new Uint8Array(32).fill(7);
const seedOf = (name: number): Uint8Array => new Uint8Array(32).fill(name);
const idOf = (name: number): NodeId => identityFromSeed(seedOf(name)).id;

function configOf(more: Partial<NodeConfig>): NodeConfig {
  return { dataDir: "/nowhere", bootstrap: false, adminListen: "127.0.0.1:0", logLevel: "silent", ...more };
}

/** A transport on loopback that was started. */
async function transportOf(name: number): Promise<Transport> {
  const transport = tlsTransport({
    privateKey: seedOf(name),
    listen: ["127.0.0.1:0"],
    clock: systemClock(),
    random: systemRandom(),
  });
  await transport.start();
  onTestFinished(() => transport.shutdown());
  return transport;
}

/** What a node finds, and what its transport is told of it. */
async function finding(
  name: number,
  more: Partial<NodeConfig>,
  known: (id: NodeId) => readonly string[] = () => [],
): Promise<{
  readonly finding: Finding;
  readonly all: ReadonlyMap<NodeId, readonly string[]>;
  told(id: NodeId): Promise<readonly string[]>;
}> {
  const transport = await transportOf(name);
  const told = new Map<NodeId, readonly string[]>();
  const waiting = new Map<NodeId, () => void>();
  const setAddresses = transport.setAddresses.bind(transport);
  transport.setAddresses = (id, addresses) => {
    setAddresses(id, addresses);
    told.set(id, addresses);
    waiting.get(id)?.();
  };
  const made = new Finding({
    config: configOf(more),
    seed: seedOf(name),
    transport,
    known,
    clock: systemClock(),
    random: systemRandom(),
    logger: silentLogger,
    metrics: silentMetrics,
  });
  onTestFinished(() => made[Symbol.asyncDispose]());
  return {
    finding: made,
    all: told,
    async told(id) {
      while (!told.has(id)) await new Promise<void>((resolve) => void waiting.set(id, resolve));
      return told.get(id) ?? [];
    },
  };
}

describe("finding others", () => {
  test("asks a seed without a node who is there, and tells the transport, what was found before what is known", async () => {
    const [address = ""] = (await transportOf(2)).listening();
    const { finding: made, told } = await finding(1, { seeds: [address] }, (id) => (id === idOf(2) ? ["old:1"] : []));
    expect(made.isLooking).toBe(true);
    await made.meet(group);
    expect(await told(idOf(2))).toEqual([address, "old:1"]);
    expect(made.addressesOf(idOf(2))).toEqual([address, "old:1"]);
  });

  test("takes a seed with a node at its word, which is only where to knock", async () => {
    const { finding: made, told } = await finding(1, { seeds: [`${idOf(3)}@127.0.0.1:1`] });
    await made.meet(group);
    expect(await told(idOf(3))).toEqual(["127.0.0.1:1"]);
  });

  test("goes on where it already looks, and looks elsewhere for another group", async () => {
    const first = await finding(1, { libp2pListen: "127.0.0.1:0" });
    await first.finding.meet(group);
    await first.finding.meet(Uint8Array.from(group));
    await first.finding.meet(new Uint8Array(32).fill(8));
    expect(first.finding.addressesOf(idOf(2))).toEqual([]);
  });

  test("looks by what new settings name, and as before where these can never work", async () => {
    const { finding: made, told } = await finding(1, {});
    await made.meet(group);
    expect(made.isLooking).toBe(false);
    await made.reconfigure(configOf({ seeds: [`${idOf(3)}@127.0.0.1:1`] }));
    expect(made.isLooking).toBe(true);
    expect(await told(idOf(3))).toEqual(["127.0.0.1:1"]);
    await expect(made.reconfigure(configOf({ libp2pListen: "no address" }))).rejects.toThrow();
    expect(made.addressesOf(idOf(3))).toEqual(["127.0.0.1:1"]);
    await made.reconfigure(configOf({}));
    expect(made.isLooking).toBe(false);
  });

  test("leaves those alone who are alive, or do not belong here, or were removed", async () => {
    const seeds = [2, 3, 4, 5].map((name) => `${idOf(name)}@127.0.0.1:${name}`);
    const { finding: made, told, all } = await finding(1, { seeds });
    const members = new Map([[idOf(2), { status: "alive" }]]);
    made.shun((id) => id === idOf(4));
    made.follow({ view: () => ({ self: idOf(1), members }) as never }, (id) => id !== idOf(3));
    await made.meet(group);
    await told(idOf(5));
    expect([...all.keys()]).toEqual([idOf(5)]);
  });

  test("starts nothing where the configuration names nothing", async () => {
    const clock = virtualClock();
    const network = memoryNetwork({ clock, random: seededRandom("none"), directory: false });
    const quiet = new Finding({
      config: configOf({}),
      seed: seedOf(1),
      transport: network.transport(idOf(1)),
      known: () => ["known:1"],
      clock,
      random: seededRandom("none"),
      logger: silentLogger,
      metrics: silentMetrics,
    });
    await quiet.meet(group);
    expect([quiet.isLooking, quiet.addressesOf(idOf(2))]).toEqual([false, ["known:1"]]);
    await quiet[Symbol.asyncDispose]();
  });

  test("warns who looks on the network from an address that only this host reaches", async () => {
    const warnings: string[] = [];
    const logger: Logger = { ...silentLogger, warn: (message) => void warnings.push(message), child: () => logger };
    const transport = await transportOf(1);
    const made = new Finding({
      config: configOf({ libp2pListen: "127.0.0.1:1", discover: ["mdns"] }),
      seed: seedOf(1).subarray(1),
      transport,
      known: () => [],
      clock: systemClock(),
      random: systemRandom(),
      logger,
      metrics: silentMetrics,
    });
    // A key that is none ends the start before anything is said to the machine's own network.
    await expect(made.meet(group)).rejects.toMatchObject({ code: "FABRIC_INVALID_VALUE" });
    expect(warnings).toHaveLength(1);
    await made[Symbol.asyncDispose]();
  });
});

describe("a newcomer whose token does not tell where its cluster is", () => {
  async function start(name: string, more: Partial<NodeConfig>, logger = silentLogger): Promise<RunningNode> {
    const config = configOf({ dataDir: join(temporaryDirectory(), name), listen: "127.0.0.1:0", ...more });
    const node = await startNode({ config, logger, signal: new AbortController().signal });
    onTestFinished(() => node.stop());
    return node;
  }

  /** The founder's first token, changed. */
  function tokenOf(founder: RunningNode, change: Partial<JoinToken>): string {
    const attestor = blake3Attestor(identityFromSeed(seedOf(1)));
    const text = readFileSync(join(founder.status().dataDir, "join-token"), "latin1");
    return attestor.encodeToken({ ...attestor.decodeToken(text), ...change });
  }

  test("is let in where a seed tells where its cluster is", async () => {
    const founder = await start("a", { bootstrap: true });
    const { advertise, cluster } = founder.status();
    const stale = tokenOf(founder, { addresses: ["127.0.0.1:1"] });
    const newcomer = await start("b", { join: stale, seeds: ["127.0.0.1:1", ...advertise] });
    expect(newcomer.status().cluster).toBe(cluster);
  });

  test("is let in where it finds its cluster by libp2p, with a token that names no address at all", async () => {
    const places: string[] = [];
    const logger: Logger = {
      ...silentLogger,
      info: (_, fields) => void places.push(...((fields?.["listening"] as readonly string[] | undefined) ?? [])),
      child: () => logger,
    };
    const founder = await start("a", { bootstrap: true, libp2pListen: "127.0.0.1:0" }, logger);
    expect(places).toHaveLength(1);
    const newcomer = await start("b", {
      join: tokenOf(founder, { addresses: [] }),
      libp2pListen: "127.0.0.1:0",
      libp2pPeers: places,
    });
    expect(newcomer.status().cluster).toBe(founder.status().cluster);
  });
});
