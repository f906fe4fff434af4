import { test } from "vitest";
import type { Configuration, Generation, NodeId, ReplicaId, StoreId, Transport } from "@revoada/fabric";
import { consensusContract, virtualTime, type ConsensusFixture } from "@revoada/fabric/contract/consensus";
import {
  memoryDisk,
  memoryNetwork,
  seededRandom,
  virtualClock,
  type MemoryDisk,
  type VirtualHost,
} from "@revoada/fabric/memory";
import { raftHost, sharedWal, type RaftCodec, type RaftHost } from "@revoada/consensus-raft";
import { groupIdOf } from "./support/hosts.ts";
import { ListMachine, nodeId, T, textCodec } from "./support/replicas.ts";

const bytesCodec: RaftCodec<Uint8Array, Uint8Array> = {
  encodeCommand: (command) => command,
  decodeCommand: (bytes) => bytes,
  encodeResult: (result) => result,
  decodeResult: (bytes) => bytes,
};

const judged = "judged";
const beside = ["beside-1", "beside-2", "beside-3"];

interface Node {
  readonly id: NodeId;
  readonly disk: MemoryDisk;
  readonly storeId: StoreId;
  life: number;
  running: { readonly host: RaftHost; readonly transport: Transport; readonly loop: VirtualHost } | undefined;
}

/** A store id is made with the log's directory: opening the log once makes both. */
async function makeNode(n: number): Promise<Node> {
  const disk = memoryDisk({ name: `disk-${n}`, random: seededRandom(`disk-${n}`) });
  const wal = sharedWal({ disk, random: seededRandom(`store-${n}`), directory: "groups-wal" });
  const { storeId } = await wal.open();
  await wal.close();
  return { id: nodeId(n), disk, storeId, life: 0, running: undefined };
}

function memberOf(node: Node): ReplicaId {
  return { id: node.id, storeId: node.storeId };
}

/** The judged group, beside others of the same three voters that elect and beat as it does. */
async function createFixture(): Promise<ConsensusFixture> {
  const clock = virtualClock();
  const network = memoryNetwork({ clock, latencyMs: 1 });
  const nodes = await Promise.all([1, 2, 3, 4].map(makeNode));
  const founders = nodes.slice(0, 3);
  const nodeOf = (id: NodeId): Node => nodes.find((node) => node.id === id)!;
  const bootstrap: Configuration = { voters: founders.map(memberOf), learners: [], generation: 0 as Generation };
  return {
    time: virtualTime(clock),
    voters: founders.map(memberOf),
    spare: memberOf(nodes[3]!),
    replica(id) {
      const node = nodeOf(id);
      node.life += 1;
      const life = `${id}-${node.life}`;
      const loop = clock.host(life);
      const transport = network.transport(id, { clock: loop });
      void transport.start();
      const random = seededRandom(life);
      const host = raftHost({ id, transport, clock: loop, random, disk: node.disk, electionTimeoutMs: T });
      node.running = { host, transport, loop };
      const founding = founders.includes(node);
      for (const name of founding ? beside : []) {
        const group = host.group({ groupId: groupIdOf(name), codec: textCodec, bootstrap });
        void group.start(new ListMachine());
      }
      const own = founding ? { bootstrap } : {};
      return host.group({ groupId: groupIdOf(judged), codec: bytesCodec, ...own });
    },
    crash(id) {
      const node = nodeOf(id);
      network.down(id);
      node.running?.loop.stop();
      node.disk.crash();
      node.running = undefined;
      return Promise.resolve();
    },
    isolate(id) {
      network.partition(
        [id],
        nodes.filter((node) => node.id !== id).map((node) => node.id),
      );
    },
    heal() {
      network.heal();
    },
    async [Symbol.asyncDispose]() {
      for (const { running } of nodes) {
        if (running === undefined) continue;
        await clock.run(running.host.shutdown());
        await clock.run(running.transport.shutdown());
      }
    },
  };
}

for (const { name, run } of consensusContract(createFixture)) test(name, run);
