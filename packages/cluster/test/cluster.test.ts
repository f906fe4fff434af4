import { Cluster, sealEnvelope, type ClusterLayers } from "@revoada/cluster";
import { describe, expect, test } from "vitest";
import { ClusterKit, rawFace } from "./doubles/cluster-kit.ts";
import { nodeId, storeId } from "./doubles/keys.ts";
import { PlannedFailure } from "./doubles/ledger.ts";
import { TestStore } from "./doubles/test-store.ts";

const notStarted = expect.objectContaining({ code: "CLUSTER_NOT_STARTED" });
const alreadyStarted = expect.objectContaining({ code: "CLUSTER_ALREADY_STARTED" });

/** Nothing is held, nothing is scheduled, and nobody listens. */
async function expectNothingLeft(kit: ClusterKit): Promise<void> {
  expect(kit.founder.ledger.held()).toEqual([]);
  await kit.clock.advanceAsync(60_000);
  expect(kit.clock.pending()).toBe(0);
}

describe("a cluster", () => {
  test("that was constructed is stopped and has taken nothing", () => {
    const { founder, clock } = new ClusterKit();
    expect(founder.cluster.isRunning()).toBe(false);
    expect(founder.ledger.events).toEqual([]);
    expect(clock.pending()).toBe(0);
  });

  test("brings its face to running at start and returns it at shutdown", async () => {
    const kit = await ClusterKit.founded();
    const { cluster, faces } = kit.founder;
    expect([cluster.isRunning(), faces.map((face) => face.isRunning())]).toEqual([true, [true, true]]);
    expect(cluster.face()).toBe(faces[0]);
    await kit.run(cluster.shutdown());
    expect([cluster.isRunning(), faces.map((face) => face.isRunning())]).toEqual([false, [false, false]]);
    await expectNothingLeft(kit);
  });

  test("says its id before, during and after a run", async () => {
    const kit = new ClusterKit();
    const { cluster } = kit.founder;
    const ids = [cluster.id()];
    await kit.run(cluster.start());
    ids.push(cluster.id());
    await kit.run(cluster.shutdown());
    ids.push(cluster.id());
    expect(new Set(ids)).toEqual(new Set(["raw/homelab-3node/cluster_3m_nw"]));
  });

  test("refuses to start twice, and goes on running", async () => {
    const kit = await ClusterKit.founded();
    await expect(kit.founder.cluster.start()).rejects.toThrow(alreadyStarted);
    expect(kit.founder.cluster.isRunning()).toBe(true);
    expect(kit.founder.starts).toBe(1);
  });

  test("refuses to start while it is starting", async () => {
    const kit = new ClusterKit();
    const first = kit.founder.cluster.start();
    await expect(kit.founder.cluster.start()).rejects.toThrow(alreadyStarted);
    await kit.run(first);
    expect(kit.founder.cluster.isRunning()).toBe(true);
  });

  test("that never started refuses to shut down, and so does one that is down again", async () => {
    const kit = new ClusterKit();
    await expect(kit.founder.cluster.shutdown()).rejects.toThrow(notStarted);
    await kit.run(kit.founder.cluster.start());
    await kit.run(kit.founder.cluster.shutdown());
    await expect(kit.founder.cluster.shutdown()).rejects.toThrow(notStarted);
  });

  test("runs from startWith and from a builder", async () => {
    const kit = new ClusterKit();
    const cluster = await kit.run(Cluster.startWith(kit.declaration, kit.founder.layers));
    expect(cluster.isRunning()).toBe(true);
    await kit.run(cluster.shutdown());
    const { strategy, topology } = kit.declaration;
    const builder = Cluster.builder().strategy(strategy).face(rawFace).topology(topology).layers(kit.founder.layers);
    const built = await kit.run(builder.start());
    expect(built.isRunning()).toBe(true);
    await kit.run(built.shutdown());
    await expectNothingLeft(kit);
  });

  test("takes its layers in order, and gives them back in the opposite one, the face first", async () => {
    const kit = await ClusterKit.founded();
    const { ledger, cluster } = kit.founder;
    const layers = [
      "store",
      "transport",
      "consensus",
      "membership",
      "catalog",
      "local face",
      "remote face",
      "served face",
    ];
    const taken = ledger.events.filter((event) => layers.some((layer) => event === `${layer} taken`));
    expect(taken).toEqual(layers.map((layer) => `${layer} taken`));
    const started = ledger.events.filter((event) => event.endsWith(" started"));
    expect(started).toEqual(
      ["transport", "membership", "consensus", "local face", "remote face"].map((layer) => `${layer} started`),
    );
    const before = ledger.events.length;
    await kit.run(cluster.shutdown());
    const given = ledger.events
      .slice(before)
      .filter((event) => layers.some((layer) => event === `${layer} given back`));
    const order = [
      "served face",
      "remote face",
      "local face",
      "catalog",
      "membership",
      "consensus",
      "transport",
      "store",
    ];
    expect(given).toEqual(order.map((layer) => `${layer} given back`));
    expect(ledger.events.indexOf("local face shut down")).toBeLessThan(ledger.events.indexOf("catalog given back"));
  });

  test("starts again after a shutdown, with all that it knew", async () => {
    const kit = await ClusterKit.founded();
    const { cluster } = kit.founder;
    const { head } = cluster.chainHeads() ?? {};
    for (let round = 0; round < 3; round += 1) {
      await kit.run(cluster.shutdown());
      await kit.run(cluster.start());
      expect(cluster.isRunning()).toBe(true);
      expect(cluster.chainHeads()?.head).toEqual(head);
    }
    await kit.run(cluster.shutdown());
    await expectNothingLeft(kit);
  });

  test("that is told to start while it shuts down starts once it is down", async () => {
    const kit = await ClusterKit.founded();
    const { cluster, ledger } = kit.founder;
    const down = cluster.shutdown();
    expect(cluster.isRunning()).toBe(false);
    const up = cluster.start();
    await kit.run(Promise.all([down, up]));
    const { events } = ledger;
    expect(events.indexOf("store given back")).toBeLessThan(events.lastIndexOf("store taken"));
    expect(cluster.isRunning()).toBe(true);
  });

  test("is safe to dispose of: running, stopped, never started, or twice", async () => {
    const kit = await ClusterKit.founded();
    const { cluster } = kit.founder;
    await kit.run(cluster[Symbol.asyncDispose]());
    expect(cluster.isRunning()).toBe(false);
    await kit.run(cluster[Symbol.asyncDispose]());
    await expectNothingLeft(kit);
    const fresh = new ClusterKit();
    await fresh.founder.cluster[Symbol.asyncDispose]();
    expect(fresh.founder.ledger.events).toEqual([]);
  });

  test("is safe to dispose of while it starts, and while it shuts down", async () => {
    const kit = new ClusterKit();
    const { cluster } = kit.founder;
    const start = cluster.start();
    await kit.run(cluster[Symbol.asyncDispose]());
    await kit.run(start);
    expect(cluster.isRunning()).toBe(false);
    await expectNothingLeft(kit);
    await kit.run(cluster.start());
    const down = cluster.shutdown();
    await kit.run(cluster[Symbol.asyncDispose]());
    expect(kit.founder.ledger.held()).toEqual([]);
    await down;
  });
});

describe("a start that fails gives back all that it had taken, and the next one works", () => {
  test.each([
    "origin read",
    "store taken",
    "transport taken",
    "catalog layer made",
    "consensus taken",
    "/revoada/chain/1 taken",
    "membership taken",
    "/revoada/seal/1 taken",
    "/revoada/admit/1 taken",
    "catalog taken",
    "local face taken",
    "remote face taken",
    "transport started",
    "membership started",
    "/revoada/depart/1 taken",
    "consensus started",
    "local face started",
    "remote face started",
    "served face taken",
  ])("where it fails at: %s", async (step) => {
    const kit = new ClusterKit();
    const { cluster, ledger } = kit.founder;
    ledger.failing.add(step);
    await expect(kit.run(cluster.start())).rejects.toThrow(PlannedFailure);
    expect(cluster.isRunning()).toBe(false);
    expect(ledger.held()).toEqual([]);
    await kit.clock.advanceAsync(60_000);
    expect(kit.clock.pending()).toBe(0);
    await expect(cluster.get({ kind: "Pod", name: "a" })).rejects.toThrow(notStarted);
    ledger.failing.clear();
    await kit.run(cluster.start());
    expect(cluster.isRunning()).toBe(true);
    await kit.run(cluster.shutdown());
    expect(ledger.held()).toEqual([]);
  });

  test("where genesis is not taken", async () => {
    const kit = new ClusterKit();
    const { cluster, ledger } = kit.founder;
    kit.log.onPropose = () => {
      throw new PlannedFailure("genesis");
    };
    await expect(kit.run(cluster.start())).rejects.toThrow(PlannedFailure);
    expect([cluster.isRunning(), ledger.held()]).toEqual([false, []]);
    kit.log.onPropose = () => undefined;
    await kit.run(cluster.start());
    expect(cluster.chainHeads()).toBeDefined();
  });

  test("where the admission that it was given does not hold", async () => {
    const kit = new ClusterKit();
    const { cluster, ledger } = kit.founder;
    kit.founder.joined = {
      genesis: kit.genesis,
      declaration: kit.genesis.declaration,
      chain: Uint8Array.of(0x81, 0x82, 0, 0x41, 1),
      peers: [],
      recoveries: [],
    };
    await expect(kit.run(cluster.start())).rejects.toThrow(expect.objectContaining({ code: "CHAIN_INVALID" }));
    expect([cluster.isRunning(), ledger.held()]).toEqual([false, []]);
  });
});

test("a shutdown in which one layer fails still gives back every other, says so, and leaves the cluster startable", async () => {
  const kit = await ClusterKit.founded();
  const { cluster, ledger } = kit.founder;
  ledger.failing.add("catalog given back").add("membership given back");
  await expect(kit.run(cluster.shutdown())).rejects.toThrow("catalog given back was told to fail");
  expect([cluster.isRunning(), ledger.held()]).toEqual([false, []]);
  ledger.failing.clear();
  await kit.run(cluster.start());
  expect(cluster.isRunning()).toBe(true);
});

describe("the founder makes genesis", () => {
  test("again where a crash came after the log's beginning and before its commit", async () => {
    const kit = new ClusterKit();
    kit.log.onPropose = () => {
      throw new PlannedFailure("the process");
    };
    await expect(kit.run(kit.founder.cluster.start())).rejects.toThrow(PlannedFailure);
    expect(kit.log.entries.map(({ kind }) => kind)).toEqual(["noop"]);
    kit.log.onPropose = () => undefined;
    kit.founder.founding = false;
    await kit.run(kit.founder.cluster.start());
    expect(kit.founder.cluster.formation().nodes.get(nodeId("a"))).toMatchObject({
      role: "bootstrap",
      storeId: storeId("a"),
    });
  });

  test("once: where the log held it and had not applied it yet, the second one is refused and no failure", async () => {
    const kit = await ClusterKit.founded();
    await kit.run(kit.founder.cluster.shutdown());
    const { length } = kit.log.entries;
    // As where the store lost what it had not flushed, and the log still holds it.
    kit.founder.store = new TestStore();
    kit.log.appliesLate = true;
    await kit.run(kit.founder.cluster.start());
    expect(kit.log.entries.slice(length)).toMatchObject([
      { kind: "command", command: sealEnvelope("genesis", kit.genesis.bytes) },
    ]);
    expect(kit.founder.cluster.chainHeads()?.head).toEqual({ height: 0, hash: kit.genesis.clusterId });
  });
});

describe("the verbs", () => {
  test("go to the face", async () => {
    const kit = await ClusterKit.founded();
    const { cluster, faces } = kit.founder;
    const { signal } = new AbortController();
    await cluster.apply({ format: "json", body: new Uint8Array() });
    await cluster.get({ kind: "Pod", name: "b" });
    await cluster.list({ kind: "Pod" });
    await cluster.delete({ kind: "Pod", name: "b" });
    for await (const _event of cluster.watch({ kind: "Pod" }, { signal }));
    for await (const _chunk of cluster.snapshot());
    await cluster.restore(cluster.snapshot());
    expect(faces[0]?.calls).toEqual(["apply", "get b", "list", "delete", "watch", "snapshot", "restore"]);
    expect(faces[1]?.calls).toEqual([]);
  });

  test("go to the remote face on a node that holds no replica", async () => {
    const kit = await ClusterKit.founded();
    const node = await kit.joined("b");
    await node.cluster.get({ kind: "Pod", name: "b" });
    expect(node.faces.map(({ calls }) => calls)).toEqual([[], ["get b"]]);
  });

  test("of a stopped cluster all say that it is not started", async () => {
    const { cluster } = new ClusterKit().founder;
    const ref = { kind: "Pod", name: "b" };
    const { signal } = new AbortController();
    const rejecting: readonly (() => Promise<unknown>)[] = [
      () => cluster.apply({ format: "json", body: new Uint8Array() }),
      () => cluster.get(ref),
      () => cluster.list({ kind: "Pod" }),
      () => cluster.delete(ref),
      () => cluster.restore((async function* () {})()),
      () => cluster.createToken({ ttlMs: 1, uses: 1 }),
      () => cluster.leave({ timeoutMs: 1 }),
      () => cluster.handOver({ timeoutMs: 1 }),
    ];
    for (const call of rejecting) await expect(call()).rejects.toThrow(notStarted);
    const throwing: readonly (() => unknown)[] = [
      () => cluster.watch({ kind: "Pod" }, { signal }),
      () => cluster.snapshot(),
      () => cluster.face(),
      () => cluster.health(),
      () => cluster.check(),
      () => cluster.formation(),
      () => cluster.exportChain(),
      () => cluster.chainHeads(),
      () => cluster.running(),
      () => cluster.stateHash(),
    ];
    for (const call of throwing) expect(call).toThrow(notStarted);
  });
});

test("health is plain data from every layer, and no invariant is broken", async () => {
  const kit = await ClusterKit.founded();
  const { cluster } = kit.founder;
  const health = cluster.health();
  expect(JSON.parse(JSON.stringify(health))).toEqual(health);
  expect(health).toMatchObject({
    id: "raw/homelab-3node/cluster_3m_nw",
    clusterId: kit.genesis.clusterId,
    node: nodeId("a"),
    face: { name: "raw", protocol: "pure-raft", running: true },
    strategy: "homelab-3node",
    topology: "cluster_3m_nw",
    running: true,
    condition: "forming",
    mode: "read-only",
    resources: 4,
    subscribers: 5,
    members: { alive: 1, suspect: 0, dead: 0, left: 0 },
    states: { active: 1, standby: 0, failed: 0 },
    consensus: { role: "leader", term: 1, leader: nodeId("a"), quorum: true, storage: "ok" },
    chain: { height: 0, head: kit.genesis.clusterId, sealedHeight: 0 },
  });
  expect(cluster.check()).toBeUndefined();
});

test("a layer that is not asked for is not made: without a remote face and a way to serve, a cluster runs", async () => {
  const kit = new ClusterKit();
  const { remoteFace: _remote, serveFace: _serve, ...few } = kit.founder.layers;
  const cluster = new Cluster(kit.declaration, few satisfies ClusterLayers);
  await kit.run(cluster.start());
  expect(kit.founder.faces).toHaveLength(1);
  await kit.run(cluster.shutdown());
  await expectNothingLeft(kit);
});
