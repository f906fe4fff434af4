/**
 * One of two processes that run the one machine, filled with a catalog, over `@revoada/consensus-raft` and TLS, and watch how long
 * their event loop stands still. Driven over the channel of its parent.
 */
import { PerformanceObserver } from "node:perf_hooks";
import { blake3Attestor, identityFromSeed } from "@revoada/attest-blake3";
import { catalogMachine, localCatalog, memoryStore } from "@revoada/catalog";
import { lmdbStore } from "@revoada/catalog/lmdb";
import { ClusterMachine } from "@revoada/cluster";
import { raft, type RaftCodec } from "@revoada/consensus-raft";
import {
  silentMetrics,
  type ClusterId,
  type Consensus,
  type Generation,
  type MachineStore,
  type Metrics,
  type NodeId,
  type ReplicaId,
} from "@revoada/fabric";
import { nodeDisk, systemClock, systemRandom } from "@revoada/fabric/node";
import { tlsTransport } from "@revoada/transport-tls";

export type StoreKind = "memory" | "lmdb";

/** What a replica is told to do. */
export type Order =
  | { readonly type: "open"; readonly path: string; readonly seed: Uint8Array; readonly store: StoreKind }
  | { readonly type: "fill"; readonly from: number; readonly to: number }
  | {
      readonly type: "start";
      readonly founding: boolean;
      readonly peers: readonly (readonly [NodeId, readonly string[]])[];
    }
  | { readonly type: "compact" }
  | { readonly type: "grow"; readonly replicas: readonly ReplicaId[] }
  | { readonly type: "load"; readonly on: boolean }
  | { readonly type: "phase"; readonly name: string }
  | { readonly type: "phases" }
  | { readonly type: "status" };

/** How long a phase took, and for how long the event loop stood still at most. */
export interface Phase {
  readonly name: string;
  readonly ms: number;
  /** The longest time between two turns of the event loop, and what lay beneath it in 99 of 100 turns that a timer asked for. */
  readonly longestStallMs: number;
  readonly p99StallMs: number;
  /** CPU time of the main thread alone in one turn: what the host gave to others meanwhile is not in it. */
  readonly longestTurnCpuMs: number;
  /** The longest pause of the garbage collector, part of a turn. */
  readonly longestCollectionMs: number;
  readonly term: number;
  readonly residentMiB: number;
}

const clusterId = "ab".repeat(32) as ClusterId;
const codec: RaftCodec<Uint8Array, Uint8Array> = {
  encodeCommand: (command) => command,
  decodeCommand: (bytes) => bytes,
  encodeResult: (result) => result,
  decodeResult: (bytes) => bytes,
};
/** A command for the catalog that is refused while nothing is formed: an entry that costs the machine little. */
const small = Uint8Array.of(1, 5, 0);
const intervalEntries = 2000;

const phases: Phase[] = [];
let phaseName = "";
let phaseSinceMs = 0;

const tickMs = 1;
let stallsMs: number[] = [];
let longestTurnCpuMs = 0;
let longestCollectionMs = 0;

/** CPU time of the thread that calls it. */
function threadCpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

let tickedMs = performance.now();
let tickedCpuMs = threadCpuMs();
setInterval(() => {
  const nowMs = performance.now();
  const cpuMs = threadCpuMs();
  stallsMs.push(nowMs - tickedMs - tickMs);
  longestTurnCpuMs = Math.max(longestTurnCpuMs, cpuMs - tickedCpuMs);
  tickedMs = nowMs;
  tickedCpuMs = cpuMs;
}, tickMs).unref();
new PerformanceObserver((list) => {
  for (const { duration } of list.getEntries()) longestCollectionMs = Math.max(longestCollectionMs, duration);
}).observe({ entryTypes: ["gc"] });

function beginPhase(name: string): void {
  if (phaseName !== "") {
    const sorted = Float64Array.from(stallsMs).toSorted();
    phases.push({
      name: phaseName,
      ms: performance.now() - phaseSinceMs,
      longestStallMs: Math.max(0, sorted.at(-1) ?? 0),
      p99StallMs: Math.max(0, sorted[Math.floor(sorted.length * 0.99)] ?? 0),
      longestTurnCpuMs,
      longestCollectionMs,
      term: consensus?.status().term ?? 0,
      residentMiB: process.memoryUsage.rss() / 1_048_576,
    });
  }
  stallsMs = [];
  longestTurnCpuMs = 0;
  longestCollectionMs = 0;
  phaseName = name;
  phaseSinceMs = performance.now();
}

/** On the receiving side the driver's own counters tell where one phase ends. */
const metrics: Metrics = {
  ...silentMetrics,
  count(name, _value, labels) {
    if (name !== "revoada_raft_snapshots_total" || labels?.["kind"] === undefined) return;
    const { kind } = labels;
    if (kind === "received") beginPhase("install");
    if (kind === "installed") beginPhase("after");
  },
};

let consensus: Consensus<Uint8Array, Uint8Array> | undefined;
let transport: ReturnType<typeof tlsTransport>;
let store: MachineStore;
let seed: Uint8Array;
let path = "";
let loading = false;

function running(): Consensus<Uint8Array, Uint8Array> {
  if (consensus === undefined) throw new Error("the replica was not started");
  return consensus;
}

async function open(
  order: Extract<Order, { type: "open" }>,
): Promise<{ readonly id: NodeId; readonly addresses: readonly string[] }> {
  ({ path, seed } = order);
  store = order.store === "memory" ? memoryStore() : await lmdbStore({ directory: `${path}/store` });
  transport = tlsTransport({
    privateKey: seed,
    listen: ["127.0.0.1:0"],
    admission: () => true,
    clock: systemClock(),
    random: systemRandom(),
  });
  await transport.start();
  return { id: identityFromSeed(seed).id, addresses: transport.listening() };
}

/** Keys and values as a Kubernetes store has them, but smaller. */
async function fill(from: number, to: number): Promise<void> {
  using catalog = localCatalog({ store: withoutFlush(store) });
  const value = new Uint8Array(64).fill(7);
  const perWrite = 100;
  for (let at = from; at < to; at += perWrite) {
    const then = Array.from({ length: Math.min(perWrite, to - at) }, (_unused, offset) => ({
      type: "put" as const,
      key: new TextEncoder().encode(`/registry/pods/default/pod-${String(at + offset).padStart(9, "0")}`),
      value,
    }));
    await catalog.txn({ compare: [], then, else: [] });
    if (at % 10_000 === 0) await store.flush();
  }
  await store.flush();
}

/** The catalog without a cluster flushes at each write, which filling need not. */
function withoutFlush(inner: MachineStore): MachineStore {
  return {
    durable: false,
    get: (tree, key) => inner.get(tree, key),
    range: (tree, range) => inner.range(tree, range),
    trees: () => inner.trees(),
    transact: (body) => inner.transact(body),
    view: () => inner.view(),
    replace: () => inner.replace(),
    flush: async () => {},
    close: async () => {},
    [Symbol.asyncDispose]: async () => {},
  };
}

async function start(order: Extract<Order, { type: "start" }>): Promise<ReplicaId> {
  for (const [id, addresses] of order.peers) if (id !== transport.localId) transport.setAddresses(id, addresses);
  consensus = raft({
    id: transport.localId,
    transport,
    clock: systemClock(),
    random: systemRandom(),
    disk: nodeDisk(path),
    codec,
    metrics,
    electionTimeoutMs: 300,
    snapshotIntervalEntries: intervalEntries,
    limits: { trailingEntries: 10 },
    ...(order.founding ? { bootstrap: (self) => ({ voters: [self], learners: [], generation: 0 as Generation }) } : {}),
  });
  const attestor = blake3Attestor(identityFromSeed(seed));
  await consensus.start(new ClusterMachine({ store, attestor, clusterId, catalog: catalogMachine() }));
  return { id: transport.localId, storeId: consensus.status().storeId };
}

/** Writes until the machine's state is durable without the first entries of the log. */
async function compact(): Promise<void> {
  const { firstIndex } = running().status();
  for (let at = 0; at < intervalEntries; at += 100)
    await Promise.all(Array.from({ length: 100 }, () => running().propose(small)));
  while (running().status().firstIndex === firstIndex) await new Promise((resolve) => setTimeout(resolve, 20));
}

/** A few writes all the time: what goes on must go on. */
async function load(): Promise<void> {
  for (;;) {
    if (!loading) return;
    await running().propose(small);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

async function carryOut(order: Order): Promise<unknown> {
  switch (order.type) {
    case "open":
      return open(order);
    case "fill":
      return fill(order.from, order.to);
    case "start":
      return start(order);
    case "compact":
      return compact();
    case "grow": {
      const [self, ...others] = order.replicas;
      if (self === undefined) throw new Error("nobody to grow by");
      return running().changeVoters({ voters: [self], learners: others, generation: 1 as Generation });
    }
    case "load":
      loading = order.on;
      if (loading) void load().catch((error: unknown) => process.stderr.write(`${String(error)}\n`));
      return undefined;
    case "phase":
      return beginPhase(order.name);
    case "phases":
      beginPhase("");
      return phases.splice(0);
    case "status": {
      const { role, term, appliedIndex, firstIndex } = running().status();
      return { role, term, appliedIndex, firstIndex };
    }
  }
}

process.on("message", (message: { readonly id: number; readonly order: Order }) => {
  carryOut(message.order).then(
    (result) => process.send?.({ id: message.id, result }),
    (error: unknown) =>
      process.send?.({
        id: message.id,
        error: error instanceof Error ? (error.stack ?? error.message) : String(error),
      }),
  );
});
