import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { prescribedHomelab, prescribedSolo, type NodeId } from "@revoada/fabric";
import { describe, expect, test } from "vitest";
import { advertisedAddresses } from "../src/daemon/addresses.ts";
import { checkDeclaration, committedDeclaration, declare } from "../src/daemon/declare.ts";
import { ReleaseStack } from "../src/daemon/release-stack.ts";
import { toPlain, type NodeStatus } from "../src/daemon/status.ts";
import { knownTopologies } from "../src/daemon/topologies.ts";
import type { Paint } from "../src/cli/commands/common.ts";
import { renderStatus } from "../src/cli/commands/status.ts";
import { temporaryDirectory } from "./helpers.ts";

describe("what a node tells others of its addresses", () => {
  const hosts = (): readonly string[] => ["10.0.0.7", "[2001:db8::7]"];

  test("is where it listens, unless it was told", () => {
    expect(advertisedAddresses(undefined, ["127.0.0.1:7400"], hosts)).toEqual(["127.0.0.1:7400"]);
    expect(advertisedAddresses("node.example:7400", ["0.0.0.0:7400"], hosts)).toEqual(["node.example:7400"]);
  });

  test("has the real port where any was asked for", () => {
    expect(advertisedAddresses("node.example:0", ["127.0.0.1:41234"], hosts)).toEqual(["node.example:41234"]);
    expect(advertisedAddresses("node.example:7000", ["127.0.0.1:41234"], hosts)).toEqual(["node.example:7000"]);
  });

  test("names the host's addresses where it listens on all of them", () => {
    expect(advertisedAddresses(undefined, ["0.0.0.0:7400"], hosts)).toEqual(["10.0.0.7:7400"]);
    expect(advertisedAddresses(undefined, ["[::]:7400"], hosts)).toEqual(["10.0.0.7:7400", "[2001:db8::7]:7400"]);
    expect(advertisedAddresses(undefined, ["0.0.0.0:7400"], () => [])).toEqual(["127.0.0.1:7400"]);
  });
});

describe("a declaration", () => {
  test("is homelab on three masters and workers unless told, and comes back from its bytes", async () => {
    const declaration = await declare({});
    expect(declaration.id()).toBe("raw/homelab-3node/cluster_3m_nw");
    expect(
      committedDeclaration({ declaration: declaration.encode() }, await knownTopologies(undefined)).toJSON(),
    ).toEqual(declaration.toJSON());
  });

  test("takes a strategy from a file, and says what is wrong with it", async () => {
    const directory = temporaryDirectory();
    const path = join(directory, "slow.json");
    writeFileSync(path, JSON.stringify({ ...prescribedHomelab(), name: "slow" }));
    expect((await declare({ strategy: path })).id()).toBe("raw/slow/cluster_3m_nw");
    writeFileSync(path, JSON.stringify({ ...prescribedHomelab(), reconciliationCadenceMs: "often" }));
    await expect(declare({ strategy: path })).rejects.toMatchObject({
      code: "CONFIG_INVALID",
      message: expect.stringMatching(/slow\.json:1:\d+: strategy\.reconciliationCadenceMs: expected a number/),
    });
  });

  test("of an unknown topology or strategy names those that are known", async () => {
    await expect(declare({ topology: "star" })).rejects.toMatchObject({
      code: "TOPOLOGY_UNKNOWN",
      message: expect.stringContaining("cluster_3m_nw"),
    });
    await expect(declare({ strategy: "homelob" })).rejects.toMatchObject({
      code: "CONFIG_INVALID",
      message: expect.stringContaining("did you mean homelab?"),
    });
  });

  test("that cannot hold together is refused with its reason", async () => {
    await expect(declare({ topology: "solo" })).rejects.toMatchObject({ code: "TOPOLOGY_TOO_SMALL_FOR_QUORUM" });
    await expect(declare({ strategy: "solo", topology: "quorum_3m" })).rejects.toMatchObject({
      code: "CLUSTER_STANDALONE_TOPOLOGY",
    });
    expect((await declare({ topology: "pair", minNodes: 3 })).topology.minNodes).toBe(3);
  });

  test("has as many masters as its strategy has voters unless told", async () => {
    expect((await declare({})).topology.name).toBe("cluster_3m_nw");
    expect((await declare({ strategy: "datacenter" })).topology.name).toBe("cluster_5m_nw");
    expect((await declare({ strategy: "solo" })).topology.name).toBe("solo");
  });

  test("has the autopilot that was asked for, and nobody joins with another", async () => {
    const committed = await declare({ strategy: "datacenter", autopilot: { redundancyZones: true, minQuorum: 5 } });
    const again = committedDeclaration({ declaration: committed.encode() }, await knownTopologies(undefined));
    expect(again.strategy.autopilot).toEqual({ redundancyZones: true, minQuorum: 5 });
    await checkDeclaration({}, again);
    await checkDeclaration({ autopilot: { minQuorum: 5 } }, again);
    const mismatch = { code: "CLUSTER_DECLARATION_MISMATCH" };
    await expect(checkDeclaration({ autopilot: { minQuorum: 3 } }, again)).rejects.toMatchObject(mismatch);
    await expect(checkDeclaration({ strategy: "datacenter" }, again)).rejects.toMatchObject(mismatch);
    await expect(declare({ autopilot: { minQuorum: 5 } })).rejects.toMatchObject({
      code: "STRATEGY_BAD_NUMBER",
      message: "autopilot.minQuorum is 5, expected a whole number from 1 to 3",
    });
  });

  test("that was committed is held against what a node is told, and only that", async () => {
    const committed = await declare({});
    await checkDeclaration({}, committed);
    await checkDeclaration({ topology: "cluster_3m_nw", strategy: "homelab" }, committed);
    await checkDeclaration({ strategy: { source: "x", value: prescribedHomelab(), placeOf: () => "x" } }, committed);
    const mismatch = { code: "CLUSTER_DECLARATION_MISMATCH" };
    await expect(checkDeclaration({ topology: "quorum_3m" }, committed)).rejects.toMatchObject(mismatch);
    await expect(checkDeclaration({ minNodes: 5 }, committed)).rejects.toMatchObject(mismatch);
    await expect(
      checkDeclaration({ strategy: { source: "x", value: prescribedSolo(), placeOf: () => "x" } }, committed),
    ).rejects.toMatchObject(mismatch);
  });
});

test("a release stack gives everything back, the last first, and tells the first failure", async () => {
  const stack = new ReleaseStack();
  const released: number[] = [];
  for (const number of [1, 2, 3]) {
    stack.defer(() => {
      released.push(number);
      if (number > 1) throw new Error(`release ${number}`);
    });
  }
  await expect(stack.release()).rejects.toThrow("release 3");
  expect(released).toEqual([3, 2, 1]);
  await stack.release();
  expect(released).toEqual([3, 2, 1]);
});

test("plain values leave out what is not there and keep bytes", () => {
  const bytes = new Uint8Array([1]);
  expect(toPlain({ a: undefined, b: [null, bytes], c: { d: 1 } })).toEqual({ b: [null, bytes], c: { d: 1 } });
});

const [self, other] = ["a".repeat(64), "b".repeat(64)] as [NodeId, NodeId];
const member = { state: "active", zone: "default", addresses: ["127.0.0.1:1"], leader: false, restarting: false };
const shown: NodeStatus = {
  id: self,
  cluster: "c".repeat(64),
  declaration: "raw/homelab-3node/cluster_3m_nw",
  version: "0.1.0",
  pid: 1,
  dataDir: "/data",
  listen: ["127.0.0.1:1"],
  advertise: ["127.0.0.1:1"],
  admin: "127.0.0.1:2",
  face: { name: "raw", protocol: "pure-raft", running: true },
  role: "master",
  state: "active",
  replica: "voter",
  zone: "default",
  generation: 7,
  consensus: {
    role: "leader",
    term: 3,
    leader: self,
    leaderTerm: 3,
    commitIndex: 9,
    appliedIndex: 8,
    lastIndex: 10,
    quorum: true,
    quorumSinceMs: 100,
    storage: "ok",
    voters: [self],
    joint: false,
  },
  duties: [
    { duty: "api", kind: "everywhere-on-masters", state: "running", nodes: [self] },
    {
      duty: "controllers",
      kind: "singleton",
      state: "running",
      nodes: [self],
      token: { term: 3, index: 41 } as never,
    },
    { duty: "other", kind: "singleton", state: "waiting", nodes: [other], token: { term: 3, index: 42 } as never },
  ],
  members: [
    { ...member, id: self, status: "alive", role: "master", replica: "voter", leader: true },
    { ...member, id: other, status: "dead", role: "worker", replica: "learner", restarting: true },
  ],
  formation: { generation: 5, nodes: 2 },
  chain: { height: 5, head: "d".repeat(64), sealedHeight: 4, firstKeptHeight: 1 },
  condition: "degraded",
  mode: "read-write",
  switching: { from: "raw/x/solo", to: "raw/x/pair", withinMs: 1000, missing: "1 nodes vote, expected 3" },
  unadopted: ["consensus.electionTimeoutMs"],
  resources: 12,
  uptimeMs: 3_700_000,
};

test("a status for people says who leads, who is restarting and how it stands", () => {
  const plain: Paint = (_style, content) => content;
  const text = renderStatus(shown, plain);
  expect(text).toContain("degraded, read-write");
  expect(text).toContain("leader in term 3, leader aaaaaaaaaaaa, quorum yes");
  expect(text).toContain("switching   from raw/x/solo to raw/x/pair: 1 nodes vote, expected 3");
  expect(text).toContain("next start  takes up consensus.electionTimeoutMs");
  expect(text).toContain("up          1h1m, version 0.1.0, zone default");
  expect(text).toContain("duties      api, controllers (token 3/41)\n");
  expect(text).toMatch(/^\* {2}aaaaaaaaaaaa {2}alive +active +master +voter, leads/m);
  expect(text).toMatch(/^ {3}bbbbbbbbbbbb {2}restarting +active +worker +learner/m);
  const behind = { ...shown, consensus: { ...shown.consensus, role: "candidate", leader: other, leaderTerm: 2 } };
  expect(renderStatus(behind, plain)).toContain(
    "candidate in term 3, leader bbbbbbbbbbbb in term 2 by gossip, quorum yes",
  );
});
