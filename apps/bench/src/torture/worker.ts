/**
 * One replica as a process: `@revoada/consensus-raft` over TLS, its log on a real disk, driven over the channel of its parent. It
 * ends with its parent, and otherwise only when it is killed.
 */
import { appendFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { identityFromSeed } from "@revoada/attest-blake3";
import { raft, walLogStore } from "@revoada/consensus-raft";
import {
  isFabricError,
  type Consensus,
  type Generation,
  type Logger,
  type Metrics,
  type ReplicaId,
} from "@revoada/fabric";
import { nodeDisk, systemClock, systemRandom } from "@revoada/fabric/node";
import { tlsTransport } from "@revoada/transport-tls";
import type { Message, Order, Orders, Peers, Place, ReplicaSettings, Standing } from "./orders.ts";
import { encodeWrite, RegisterMachine, registerCodec } from "./register-machine.ts";

/** How often a replica looks whether there is something new to say of itself. */
const standingMs = 25;
/** Load is offered in small portions, this often. */
const portionMs = 10;
const maxUnanswered = 4096;

const clock = systemClock();
const random = systemRandom();
const counters: Record<string, number> = {};
let logFile = "";
let place: Place;
let settings: ReplicaSettings;
let transport: ReturnType<typeof tlsTransport>;
let machine: RegisterMachine;
let consensus: Consensus<Uint8Array, number> | undefined;
let lastStanding = "";
let acknowledged = 0;
let failed = 0;

const metrics: Metrics = {
  count(name, value = 1, labels = {}) {
    const key = [name, ...Object.values(labels)].join(" ");
    counters[key] = (counters[key] ?? 0) + value;
  },
  gauge() {},
  observe() {},
};

function logLine(level: string, message: string, fields: Readonly<Record<string, unknown>> = {}): void {
  const shown = Object.entries(fields).map(
    ([name, value]) => `${name}=${value instanceof Error ? describe(value) : String(value)}`,
  );
  appendFileSync(logFile, `${new Date().toISOString()} ${process.pid} ${level} ${[message, ...shown].join(" ")}\n`);
}

function describe(error: Error): string {
  return error.cause instanceof Error ? `${error.message} (${describe(error.cause)})` : error.message;
}

const logger: Logger = {
  debug() {},
  info: (message, fields) => logLine("info", message, fields),
  warn: (message, fields) => logLine("warn", message, fields),
  error: (message, fields) => logLine("error", message, fields),
  child: () => logger,
};

function tell(message: Message): void {
  if (process.connected) process.send?.(message, undefined, undefined, () => {});
}

function running(): Consensus<Uint8Array, number> {
  if (consensus === undefined) throw new Error("this replica was not started");
  return consensus;
}

/** Says what has changed since it was said last. */
function tellStanding(): void {
  if (consensus === undefined) return;
  const status = consensus.status();
  const { role, term, quorum, storage, firstIndex, lastIndex, durableIndex, commitIndex, appliedIndex } = status;
  const standing: Standing = {
    ...{ role, term, quorum, storage, firstIndex, lastIndex, durableIndex, commitIndex, appliedIndex },
    voters: status.configuration.voters.length,
    joint: status.configuration.outgoing !== undefined,
    counters: { ...counters },
  };
  const text = JSON.stringify(standing);
  if (text === lastStanding) return;
  lastStanding = text;
  tell({ type: "standing", standing });
}

async function open(order: { readonly place: Place }): Promise<{ readonly peers: Peers }> {
  place = order.place;
  logFile = place.logFile;
  transport = tlsTransport({
    privateKey: place.seed,
    listen: ["127.0.0.1:0"],
    admission: () => true,
    clock,
    random,
    logger,
  });
  await transport.start();
  return { peers: [[identityFromSeed(place.seed).id, transport.listening()]] };
}

function learnPeers(peers: Peers): void {
  for (const [id, addresses] of peers) if (id !== transport.localId) transport.setAddresses(id, addresses);
}

async function start(order: Orders["start"]["with"]): Promise<ReplicaId> {
  settings = order.settings;
  learnPeers(order.peers);
  machine = new RegisterMachine({ keepsHistory: settings.keepsHistory });
  const disk = nodeDisk(place.directory);
  const { electionTimeoutMs, snapshotIntervalEntries, segmentBytes, allocateBytes } = settings;
  const founding = order.founding
    ? { bootstrap: (self: ReplicaId) => ({ voters: [self], learners: [], generation: 0 as Generation }) }
    : {};
  const made = raft<Uint8Array, number>({
    ...{ id: transport.localId, transport, clock, random, disk, logger, metrics, codec: registerCodec },
    ...{ electionTimeoutMs, snapshotIntervalEntries, ...founding },
    logStore: () => walLogStore({ disk, random, clock, logger, metrics, segmentBytes, allocateBytes }),
  });
  await made.start(machine);
  consensus = made;
  made.onChange(tellStanding);
  setInterval(tellStanding, standingMs).unref();
  tellStanding();
  return { id: transport.localId, storeId: made.status().storeId };
}

/** An open loop: so many writes per second, whatever becomes of them, within a bound of those that wait. */
function offerLoad(perSecond: number): void {
  const startedMs = clock.monotonicMs();
  let offered = 0;
  const portion = (): void => {
    const due = Math.floor(((clock.monotonicMs() - startedMs) * perSecond) / 1000);
    for (; offered < due && offered - acknowledged - failed < maxUnanswered; offered += 1) {
      const command = encodeWrite({ id: offered + 1, key: offered % 64 }, settings.payloadBytes);
      running()
        .propose(command)
        .then(
          () => void (acknowledged += 1),
          () => void (failed += 1),
        );
    }
  };
  setInterval(portion, portionMs);
}

async function sample(): Promise<Orders["sample"]["answer"]> {
  if (globalThis.gc === undefined) throw new Error("this process was not started with --expose-gc");
  // What the first collection finds without an owner is let go of in between, and freed by the second.
  globalThis.gc();
  await new Promise<void>((resolve) => clock.nextTurn(resolve));
  globalThis.gc();
  const memory = process.memoryUsage();
  const used = process.cpuUsage();
  return {
    heapBytes: memory.heapUsed + memory.external,
    residentBytes: memory.rss,
    handles: process.getActiveResourcesInfo().length,
    descriptors: readdirSync(join("/proc", "self", "fd")).length,
    cpuSeconds: (used.user + used.system) / 1e6,
    commitIndex: running().status().commitIndex,
    acknowledged,
    failed,
  };
}

async function carryOut(order: Order): Promise<unknown> {
  switch (order.type) {
    case "open":
      return open(order);
    case "peers":
      return learnPeers(order.peers);
    case "start":
      return start(order);
    case "grow":
      return running().changeVoters({ voters: [...order.replicas], learners: [], generation: 1 as Generation });
    case "write": {
      const { result } = await running().propose(encodeWrite(order, settings.payloadBytes));
      return { ordinal: result };
    }
    case "read":
      await running().readBarrier();
      return machine.read(order.key);
    case "dump":
      return { ...machine.history(), appliedIndex: machine.position().index };
    case "load":
      return offerLoad(order.perSecond);
    case "sample":
      return sample();
    case "stop":
      await consensus?.shutdown();
      await transport.shutdown();
      return undefined;
  }
}

process.on("message", ({ id, order }: { readonly id: number; readonly order: Order }) => {
  carryOut(order).then(
    (result) => tell({ type: "answer", id, result }),
    (error: unknown) => {
      const message =
        error instanceof Error ? (isFabricError(error) ? error.message : String(error.stack)) : String(error);
      tell({ type: "refusal", id, code: isFabricError(error) ? error.code : "UNEXPECTED", message });
    },
  );
});
// Ctrl-C at a terminal reaches every process of the group: what happens then is for the parent to say.
process.on("SIGINT", () => {});
process.on("disconnect", () => process.exit(0));
