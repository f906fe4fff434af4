import { test } from "vitest";
import type { Configuration, Consensus, Generation, NodeId, ReplicaId, Transport } from "@revoada/fabric";
import { consensusContract, virtualTime, type ConsensusFixture } from "@revoada/fabric/contract/consensus";
import {
  memoryDisk,
  memoryNetwork,
  seededRandom,
  virtualClock,
  type MemoryDisk,
  type VirtualHost,
} from "@revoada/fabric/memory";
import { raft, walLogStore, type RaftCodec } from "@revoada/consensus-raft";
import { nodeId, T } from "./support/replicas.ts";

const bytesCodec: RaftCodec<Uint8Array, Uint8Array> = {
  encodeCommand: (command) => command,
  decodeCommand: (bytes) => bytes,
  encodeResult: (result) => result,
  decodeResult: (bytes) => bytes,
};

interface Node {
  readonly member: ReplicaId;
  readonly disk: MemoryDisk;
  life: number;
  running:
    | {
        readonly consensus: Consensus<Uint8Array, Uint8Array>;
        readonly transport: Transport;
        readonly host: VirtualHost;
      }
    | undefined;
}

/** A store id is made with its directory: opening the log once makes both. */
async function makeNode(n: number): Promise<Node> {
  const disk = memoryDisk({ name: `disk-${n}`, random: seededRandom(`disk-${n}`) });
  const log = walLogStore({ disk, random: seededRandom(`store-${n}`) });
  const { storeId } = await log.open();
  await log.close();
  return { member: { id: nodeId(n), storeId }, disk, life: 0, running: undefined };
}

async function createFixture(): Promise<ConsensusFixture> {
  const clock = virtualClock();
  const network = memoryNetwork({ clock, latencyMs: 1 });
  const nodes = await Promise.all([1, 2, 3, 4].map(makeNode));
  const byId = new Map(nodes.map((node) => [node.member.id, node]));
  const members = nodes.map((node) => node.member);
  const voters = members.slice(0, 3);
  const bootstrap: Configuration = { voters, learners: [], generation: 0 as Generation };
  const nodeOf = (id: NodeId): Node => byId.get(id)!;
  return {
    time: virtualTime(clock),
    voters,
    spare: members[3]!,
    replica(id) {
      const node = nodeOf(id);
      node.life += 1;
      const host = clock.host(`${id}-${node.life}`);
      const transport = network.transport(id, { clock: host });
      void transport.start();
      const options = {
        id,
        transport,
        clock: host,
        random: seededRandom(`${id}-${node.life}`),
        disk: node.disk,
        codec: bytesCodec,
      };
      const founding = voters.includes(node.member) ? { bootstrap } : {};
      const consensus = raft({ ...options, ...founding, electionTimeoutMs: T });
      node.running = { consensus, transport, host };
      return consensus;
    },
    crash(id) {
      const node = nodeOf(id);
      network.down(id);
      node.running?.host.stop();
      node.disk.crash();
      node.running = undefined;
      return Promise.resolve();
    },
    isolate(id) {
      network.partition(
        [id],
        members.filter((member) => member.id !== id).map((member) => member.id),
      );
    },
    heal() {
      network.heal();
    },
    async [Symbol.asyncDispose]() {
      for (const { running } of nodes) {
        if (running === undefined) continue;
        await clock.run(running.consensus.shutdown());
        await clock.run(running.transport.shutdown());
      }
    },
  };
}

for (const { name, run } of consensusContract(createFixture)) test(name, run);
