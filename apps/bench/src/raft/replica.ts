/**
 * One of three processes that run `@revoada/consensus-raft` over TLS, with the WAL on a real disk and a machine that counts. Driven
 * over the channel of its parent.
 */
import { identityFromSeed } from "@revoada/attest-blake3";
import { raft, type RaftCodec } from "@revoada/consensus-raft";
import type { Consensus, Generation, NodeId, ReplicaId } from "@revoada/fabric";
import { nodeDisk, systemClock, systemRandom } from "@revoada/fabric/node";
import { tlsTransport } from "@revoada/transport-tls";
import { hostMs, pause } from "../host.ts";
import { runCallers } from "../load.ts";
import { takeOrders } from "../processes.ts";
import { SteadyWriter } from "../steady-writer.ts";
import { CountingMachine } from "./machine.ts";
import type { Held, Order, ReplicaStatus } from "./orders.ts";

const empty = new Uint8Array(0);
const codec: RaftCodec<Uint8Array, Uint8Array> = {
  encodeCommand: (command) => command,
  decodeCommand: (bytes) => bytes,
  encodeResult: (result) => result,
  decodeResult: (bytes) => bytes,
};

const machine = new CountingMachine();
let consensus: Consensus<Uint8Array, Uint8Array>;
let transport: ReturnType<typeof tlsTransport>;
let path = "";
let writer: SteadyWriter | undefined;
let startedMs = 0;

async function open(
  order: Extract<Order, { type: "open" }>,
): Promise<{ readonly id: NodeId; readonly addresses: readonly string[] }> {
  path = order.path;
  transport = tlsTransport({
    privateKey: order.seed,
    listen: order.listen,
    admission: () => true,
    clock: systemClock(),
    random: systemRandom(),
  });
  await transport.start();
  return { id: identityFromSeed(order.seed).id, addresses: transport.listening() };
}

async function start(
  order: Extract<Order, { type: "start" }>,
): Promise<{ readonly replica: ReplicaId; readonly openMs: number }> {
  for (const [id, addresses] of order.peers) if (id !== transport.localId) transport.setAddresses(id, addresses);
  const { electionTimeoutMs, snapshotIntervalEntries, leaseReads = false } = order.timing;
  consensus = raft({
    id: transport.localId,
    transport,
    clock: systemClock(),
    random: systemRandom(),
    disk: nodeDisk(path),
    codec,
    electionTimeoutMs,
    leaseReads,
    ...(snapshotIntervalEntries === undefined ? {} : { snapshotIntervalEntries }),
    ...(order.founding ? { bootstrap: (self) => ({ voters: [self], learners: [], generation: 0 as Generation }) } : {}),
  });
  startedMs = hostMs();
  await consensus.start(machine);
  return { replica: { id: transport.localId, storeId: consensus.status().storeId }, openMs: hostMs() - startedMs };
}

function status(): ReplicaStatus {
  const { role, term, firstIndex, lastIndex, commitIndex, appliedIndex, leader, configuration } = consensus.status();
  const voters = configuration.voters.length;
  const indexes = { firstIndex, lastIndex, commitIndex, appliedIndex };
  return { role, term, ...indexes, voters, ...(leader === undefined ? {} : { leader }) };
}

/** Appends so many commands as fast as many callers can. */
async function fill({ entries, payloadBytes, callers }: Extract<Order, { type: "fill" }>): Promise<void> {
  let left = entries;
  const caller = async (): Promise<void> => {
    const payload = new Uint8Array(payloadBytes).fill(7);
    while (left > 0) {
      left -= 1;
      await consensus.propose(payload);
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
}

/** Twice, because what the first one sees die may hold what only the second one can take. */
async function collect(): Promise<Held> {
  if (globalThis.gc === undefined) throw new Error("this process was not started with --expose-gc");
  for (let time = 1; time <= 2; time += 1) {
    globalThis.gc({ type: "major", execution: "sync", flavor: "last-resort" });
    await pause(500);
  }
  const { heapUsed, external } = process.memoryUsage();
  return { heapBytes: heapUsed, externalBytes: external };
}

async function read(): Promise<number> {
  await consensus.readBarrier();
  return machine.commands;
}

async function transfer(to: NodeId): Promise<{ readonly begunMs: number; readonly endedMs: number }> {
  const begunMs = hostMs();
  await consensus.transferLeadership(to);
  return { begunMs, endedMs: hostMs() };
}

async function grow(replicas: readonly ReplicaId[]): Promise<void> {
  await consensus.propose(empty);
  await consensus.changeVoters({ voters: replicas, learners: [], generation: 1 as Generation });
}

async function beginWrites({ payloadBytes, everyMs }: Extract<Order, { type: "begin-writes" }>): Promise<void> {
  const payload = new Uint8Array(payloadBytes).fill(7);
  writer = new SteadyWriter(() => consensus.propose(payload), everyMs);
}

function carryOut(order: Order): Promise<unknown> {
  switch (order.type) {
    case "open":
      return open(order);
    case "start":
      return start(order);
    case "grow":
      return grow(order.replicas);
    case "status":
      return Promise.resolve(status());
    case "load":
      return runCallers(order.options, order.reads ? read : (payload) => consensus.propose(payload));
    case "fill":
      return fill(order);
    case "reached":
      return machine.reached(order.index).then(() => hostMs() - startedMs);
    case "collect":
      return collect();
    case "transfer":
      return transfer(order.to);
    case "begin-writes":
      return beginWrites(order);
    case "next-write":
      return writer?.nextAfter(order.sinceMs) ?? Promise.reject(new Error("nobody writes"));
    case "end-writes":
      return Promise.resolve(writer?.stop());
  }
}

takeOrders(carryOut);
