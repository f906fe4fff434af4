/**
 * One of three processes that run a group alone or many groups on one host, over TLS, with the log on a real disk and machines that
 * count. Driven over the channel of its parent.
 */
import { identityFromSeed } from "@revoada/attest-blake3";
import { raft, raftHost, type RaftCodec } from "@revoada/consensus-raft";
import type { Consensus, Generation, NodeId, Protocol, ReplicaId } from "@revoada/fabric";
import { nodeDisk, systemClock, systemRandom } from "@revoada/fabric/node";
import { tlsTransport } from "@revoada/transport-tls";
import { runCallers, type LoadResult } from "../load.ts";
import { takeOrders } from "../processes.ts";
import { CountingMachine } from "../raft/machine.ts";
import type { GroupStatus, Order, Usage } from "./orders.ts";

const codec: RaftCodec<Uint8Array, Uint8Array> = {
  encodeCommand: (command) => command,
  decodeCommand: (bytes) => bytes,
  encodeResult: (result) => result,
  decodeResult: (bytes) => bytes,
};

let transport: ReturnType<typeof tlsTransport>;
let path = "";
let sentFrames = 0;
let groups: readonly Consensus<Uint8Array, Uint8Array>[] = [];

/** What is one way is what idle groups send. */
function countFrames(): void {
  const send = transport.send.bind(transport);
  transport.send = (peer: NodeId, protocol: Protocol, payload: Uint8Array): boolean => {
    sentFrames += 1;
    return send(peer, protocol, payload);
  };
}

async function open(order: Extract<Order, { type: "open" }>): Promise<unknown> {
  path = order.path;
  transport = tlsTransport({
    privateKey: order.seed,
    listen: ["127.0.0.1:0"],
    admission: () => true,
    clock: systemClock(),
    random: systemRandom(),
  });
  countFrames();
  await transport.start();
  return { id: identityFromSeed(order.seed).id, addresses: transport.listening() };
}

async function start(order: Extract<Order, { type: "start" }>): Promise<readonly ReplicaId[]> {
  const { kind, founding, peers, electionTimeoutMs } = order;
  const id = transport.localId;
  for (const [peer, addresses] of peers) if (peer !== id) transport.setAddresses(peer, addresses);
  const common = {
    id,
    transport,
    clock: systemClock(),
    random: systemRandom(),
    disk: nodeDisk(path),
    electionTimeoutMs,
  };
  const own = {
    codec,
    ...(founding
      ? { bootstrap: (self: ReplicaId) => ({ voters: [self], learners: [], generation: 0 as Generation }) }
      : {}),
  };
  if ("alone" in kind) {
    groups = [raft({ ...common, ...own })];
  } else {
    const host = raftHost(common);
    groups = Array.from({ length: kind.groups }, (_, at) => host.group({ ...own, groupId: Uint8Array.of(at + 1) }));
  }
  await Promise.all(groups.map((group) => group.start(new CountingMachine())));
  return groups.map((group) => ({ id, storeId: group.status().storeId }));
}

async function arrangeOne(
  group: Consensus<Uint8Array, Uint8Array>,
  voters: readonly ReplicaId[],
  leader: NodeId,
): Promise<void> {
  const { role, configuration } = group.status();
  if (role !== "leader") return;
  if (configuration.voters.length < voters.length) {
    await group.propose(new Uint8Array(0));
    await group.changeVoters({ voters, learners: [], generation: 1 as Generation });
  }
  if (leader !== transport.localId) await group.transferLeadership(leader);
}

async function arrange({ replicas, over }: Extract<Order, { type: "arrange" }>): Promise<void> {
  // On a busy machine a leader may lose its place meanwhile.
  const arranged = groups.map((group, at) => arrangeOne(group, replicas[at] ?? [], over[at % over.length] as NodeId));
  await Promise.allSettled(arranged);
}

function statuses(): readonly GroupStatus[] {
  return groups.map((group) => {
    const { role, leader, configuration, commitIndex, appliedIndex } = group.status();
    const voters = configuration.voters.length;
    return { role, voters, commitIndex, appliedIndex, ...(leader === undefined ? {} : { leader }) };
  });
}

function usage(): Usage {
  const { user, system } = process.cpuUsage();
  const sentBytes = transport.statistics().reduce((sum, peer) => sum + peer.sentBytes, 0);
  return { cpuSeconds: (user + system) / 1e6, sentBytes, sentFrames };
}

function load(options: Extract<Order, { type: "load" }>["options"]): Promise<LoadResult> {
  const led = groups.filter((group) => group.status().role === "leader");
  return runCallers(options, (payload, caller) => {
    const group = led[caller % led.length];
    return group === undefined ? Promise.reject(new Error("no group is led here")) : group.propose(payload);
  });
}

function carryOut(order: Order): Promise<unknown> {
  switch (order.type) {
    case "open":
      return open(order);
    case "start":
      return start(order);
    case "arrange":
      return arrange(order);
    case "statuses":
      return Promise.resolve(statuses());
    case "usage":
      return Promise.resolve(usage());
    case "load":
      return load(order.options);
  }
}

takeOrders(carryOut);
