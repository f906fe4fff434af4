import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import type { AppliedEntry, Configuration, Generation, LogIndex, MachinePosition } from "@revoada/fabric";
import type { MachineSnapshot, NodeId, ReplicaId, StateMachine, Term } from "@revoada/fabric";
import { memoryDisk, memoryNetwork, seededRandom, virtualClock } from "@revoada/fabric/memory";
import { raft } from "@revoada/consensus-raft";

/** A counter: commands add to it, results say where it stands. */
class Counter implements StateMachine<number, number> {
  readonly durable = false;
  value = 0;
  #position: MachinePosition = { index: 0 as LogIndex, term: 0 as Term };
  position = (): MachinePosition => this.#position;
  flushedIndex = (): LogIndex => 0 as LogIndex;
  flush = async (): Promise<void> => {};

  apply(entries: readonly AppliedEntry<number>[]): readonly (number | undefined)[] {
    return entries.map((entry) => {
      const configuration = entry.kind === "configuration" ? entry.configuration : this.#position.configuration;
      this.#position = { index: entry.index, term: entry.term, ...(configuration && { configuration }) };
      return entry.kind === "command" ? (this.value += entry.command) : undefined;
    });
  }
  async snapshot(): Promise<MachineSnapshot> {
    const chunks = Readable.from([toBytes(this.value)]);
    return { position: this.#position, chunks: () => chunks, dispose: () => {} };
  }
  async restore(position: MachinePosition, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    this.value = toNumber(await buffer(chunks));
    this.#position = position;
  }
}

const toBytes = (value: number): Uint8Array => Buffer.from(String(value));
const toNumber = (bytes: Uint8Array): number => Number(Buffer.from(bytes).toString());
const codec = { encodeCommand: toBytes, decodeCommand: toNumber, encodeResult: toBytes, decodeResult: toNumber };
const clock = virtualClock();
const network = memoryNetwork({ clock });

const nodes = [1, 2, 3].map((n) => {
  const transport = network.transport(n.toString(16).padStart(64, "0") as NodeId);
  const common = { id: transport.localId, transport, clock, random: seededRandom(n), disk: memoryDisk(), codec };
  const alone = (self: ReplicaId): Configuration => ({ voters: [self], learners: [], generation: 0 as Generation });
  return { transport, counter: new Counter(), log: raft(n === 1 ? { ...common, bootstrap: alone } : common) };
});
for (const { transport, log, counter } of nodes) await clock.run(transport.start().then(() => log.start(counter)));

const [first, second] = nodes as [(typeof nodes)[0], (typeof nodes)[0]];
await clock.runUntil(() => first.log.status().role === "leader");
const voters = nodes.map(({ log }) => log.status());
await clock.run(first.log.changeVoters({ voters, learners: [], generation: 1 as Generation }));
for (let at = 0; at < 10; at += 1) await clock.run((at % 2 === 0 ? first : second).log.propose(1));
await clock.run(Promise.all(nodes.map(({ log }) => log.readBarrier())));
console.log(`three counters: ${nodes.map(({ counter }) => counter.value).join(", ")}`);
for (const { log, transport } of nodes) await clock.run(log.shutdown().then(() => transport.shutdown()));
