/**
 * One of three processes that run `@revoada/consensus-raft` over TLS, with the WAL on a real disk and a machine that counts: what
 * is measured is consensus, not what is done with it. Driven over the channel of its parent.
 */
import { identityFromSeed } from "@revoada/attest-blake3";
import { raft, type RaftCodec } from "@revoada/consensus-raft";
import type {
  AppliedEntry,
  Consensus,
  Generation,
  LogIndex,
  MachinePosition,
  NodeId,
  ReplicaId,
  StateMachine,
  Term,
} from "@revoada/fabric";
import { nodeDisk, systemClock, systemRandom } from "@revoada/fabric/node";
import { tlsTransport } from "@revoada/transport-tls";
import { runCallers, type LoadOptions } from "../load.ts";

type Order =
  | { readonly type: "open"; readonly path: string; readonly seed: Uint8Array }
  | {
      readonly type: "start";
      readonly founding: boolean;
      readonly peers: readonly (readonly [NodeId, readonly string[]])[];
    }
  | { readonly type: "grow"; readonly replicas: readonly ReplicaId[] }
  | { readonly type: "status" }
  | { readonly type: "load"; readonly options: LoadOptions };

const empty = new Uint8Array(0);
const codec: RaftCodec<Uint8Array, Uint8Array> = {
  encodeCommand: (command) => command,
  decodeCommand: (bytes) => bytes,
  encodeResult: (result) => result,
  decodeResult: (bytes) => bytes,
};

/** Counts, and forgets what it counted. */
class CountingMachine implements StateMachine<Uint8Array, Uint8Array> {
  readonly durable = false;
  #position: MachinePosition = { index: 0 as LogIndex, term: 0 as Term };

  position(): MachinePosition {
    return this.#position;
  }

  flushedIndex(): LogIndex {
    return 0 as LogIndex;
  }

  async flush(): Promise<void> {}

  apply(entries: readonly AppliedEntry<Uint8Array>[]): readonly (Uint8Array | undefined)[] {
    for (const entry of entries) {
      const { index, term } = entry;
      const configuration = entry.kind === "configuration" ? entry.configuration : this.#position.configuration;
      this.#position = configuration === undefined ? { index, term } : { index, term, configuration };
    }
    return entries.map(() => empty);
  }

  async snapshot() {
    const position = this.#position;
    return {
      position,
      async *chunks() {
        yield Uint8Array.of(1);
      },
      dispose() {},
    };
  }

  async restore(position: MachinePosition, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    for await (const _chunk of chunks);
    this.#position = position;
  }
}

let consensus: Consensus<Uint8Array, Uint8Array>;
let transport: ReturnType<typeof tlsTransport>;
let path = "";

async function open(
  order: Extract<Order, { type: "open" }>,
): Promise<{ readonly id: NodeId; readonly addresses: readonly string[] }> {
  path = order.path;
  transport = tlsTransport({
    privateKey: order.seed,
    listen: ["127.0.0.1:0"],
    admission: () => true,
    clock: systemClock(),
    random: systemRandom(),
  });
  await transport.start();
  return { id: identityFromSeed(order.seed).id, addresses: transport.listening() };
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
    electionTimeoutMs: 1000,
    snapshotIntervalEntries: 200_000,
    ...(order.founding ? { bootstrap: (self) => ({ voters: [self], learners: [], generation: 0 as Generation }) } : {}),
  });
  await consensus.start(new CountingMachine());
  return { id: transport.localId, storeId: consensus.status().storeId };
}

async function carryOut(order: Order): Promise<unknown> {
  switch (order.type) {
    case "open":
      return open(order);
    case "start":
      return start(order);
    case "grow":
      await consensus.propose(empty);
      await consensus.changeVoters({ voters: [...order.replicas], learners: [], generation: 1 as Generation });
      return undefined;
    case "status": {
      const { role, term, commitIndex, appliedIndex } = consensus.status();
      return { role, term, commitIndex, appliedIndex, residentBytes: process.memoryUsage.rss() };
    }
    case "load": {
      const before = process.cpuUsage();
      const result = await runCallers(order.options, (payload) => consensus.propose(payload));
      const used = process.cpuUsage(before);
      return { ...result, leaderCpuSeconds: (used.user + used.system) / 1e6 };
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
