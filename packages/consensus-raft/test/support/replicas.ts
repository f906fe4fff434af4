import {
  type AppliedEntry,
  type Configuration,
  type Consensus,
  type LogIndex,
  type MachinePosition,
  type MachineSnapshot,
  type NodeId,
  type ReplicaId,
  type StateMachine,
  type Term,
  type Transport,
} from "@revoada/fabric";
import {
  memoryDisk,
  memoryNetwork,
  seededRandom,
  virtualClock,
  type MemoryDisk,
  type MemoryNetwork,
  type VirtualClock,
  type VirtualHost,
} from "@revoada/fabric/memory";
import { raft, type RaftCodec, type RaftOptions } from "@revoada/consensus-raft";

export const T = 150;

export const textCodec: RaftCodec<string, string> = {
  encodeCommand: (command) => new TextEncoder().encode(command),
  decodeCommand: (bytes) => new TextDecoder().decode(bytes),
  encodeResult: (result) => new TextEncoder().encode(result),
  decodeResult: (bytes) => new TextDecoder().decode(bytes),
};

export function nodeId(n: number): NodeId {
  return n.toString(16).padStart(64, "0") as NodeId;
}

/** Remembers every command in order; a result is its number and text. With `durable`, survives what the test keeps. */
export class ListMachine implements StateMachine<string, string> {
  readonly durable: boolean;
  commands: string[] = [];
  applied: AppliedEntry<string>[] = [];
  #position: MachinePosition = { index: 0 as LogIndex, term: 0 as Term };
  #flushed = 0;
  restored = 0;

  constructor(durable = false) {
    this.durable = durable;
  }

  position(): MachinePosition {
    return this.#position;
  }

  /** Sets where it stands, as one that was read from a disk does. */
  place(position: MachinePosition): void {
    this.#position = position;
    this.#flushed = this.durable ? position.index : 0;
  }

  flushedIndex(): LogIndex {
    return this.#flushed as LogIndex;
  }

  flush(): Promise<void> {
    this.#flushed = this.durable ? this.#position.index : 0;
    return Promise.resolve();
  }

  apply(entries: readonly AppliedEntry<string>[]): readonly (string | undefined)[] {
    return entries.map((entry) => {
      if (entry.index !== this.#position.index + 1)
        throw new Error(`entry ${entry.index} after ${this.#position.index}`);
      const configuration = entry.kind === "configuration" ? entry.configuration : this.#position.configuration;
      this.#position = {
        index: entry.index,
        term: entry.term,
        ...(configuration === undefined ? {} : { configuration }),
      };
      this.applied.push(entry);
      if (entry.kind !== "command") return undefined;
      this.commands.push(entry.command);
      return `${this.commands.length}:${entry.command}`;
    });
  }

  snapshot(): Promise<MachineSnapshot> {
    const bytes = new TextEncoder().encode(JSON.stringify(this.commands));
    const position = this.#position;
    return Promise.resolve({
      position,
      async *chunks() {
        for (let at = 0; at < bytes.length; at += 1000) yield bytes.subarray(at, at + 1000);
      },
      dispose() {},
    });
  }

  async restore(position: MachinePosition, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const parts: Uint8Array[] = [];
    for await (const chunk of chunks) parts.push(chunk);
    this.commands = JSON.parse(Buffer.concat(parts).toString()) as string[];
    this.#position = position;
    this.restored += 1;
  }
}

export interface Member {
  readonly n: number;
  readonly id: NodeId;
  readonly disk: MemoryDisk;
  readonly host: VirtualHost;
  readonly transport: Transport;
  readonly consensus: Consensus<string, string>;
  readonly machine: ListMachine;
}

export type MemberOptions = Partial<RaftOptions<string, string>> & {
  readonly machine?: ListMachine;
  readonly disk?: MemoryDisk;
  /** Puts something between the replica and its transport. */
  readonly wrap?: (transport: Transport) => Transport;
};

/** Replicas on one virtual clock, one memory network and a disk each. */
export class World {
  readonly clock: VirtualClock = virtualClock();
  readonly network: MemoryNetwork;
  readonly members: Map<number, Member> = new Map();
  #lives = 0;

  constructor() {
    this.network = memoryNetwork({ clock: this.clock, latencyMs: 1 });
  }

  /** The store ids of nodes are random; a bootstrap names them, so tests fix them by the node's number. */
  async start(n: number, options: MemberOptions = {}): Promise<Member> {
    this.#lives += 1;
    const id = nodeId(n);
    const host = this.clock.host(`node-${n}-${this.#lives}`);
    const transport = this.network.transport(id, { clock: host });
    const disk = options.disk ?? memoryDisk({ name: `disk-${n}`, random: seededRandom(`disk-${n}`) });
    const machine = options.machine ?? new ListMachine();
    const consensus = raft<string, string>({
      codec: textCodec,
      electionTimeoutMs: T,
      ...options,
      id,
      transport: options.wrap?.(transport) ?? transport,
      clock: host,
      random: seededRandom(`node-${n}-${this.#lives}`),
      disk,
    });
    await this.clock.run(transport.start());
    await this.clock.run(consensus.start(machine));
    const member = { n, id, disk, host, transport, consensus, machine };
    this.members.set(n, member);
    return member;
  }

  member(n: number): Member {
    const member = this.members.get(n);
    if (member === undefined) throw new Error(`node ${n} is not running`);
    return member;
  }

  /** Starts one node alone and takes the others in, as voters. */
  async form(numbers: readonly number[], options: (n: number) => MemberOptions = () => ({})): Promise<Member> {
    const [first = 1, ...rest] = numbers;
    const leader = await this.start(first, {
      bootstrap: (self) => ({ voters: [self], learners: [], generation: 1 as Configuration["generation"] }),
      ...options(first),
    });
    await this.until(() => leader.consensus.status().role === "leader");
    for (const n of rest) await this.start(n, options(n));
    const voters = numbers.map((n) => this.replica(n));
    if (rest.length > 0) {
      await this.run(
        leader.consensus.changeVoters({
          voters: [this.replica(first)],
          learners: voters.slice(1),
          generation: 2 as Configuration["generation"],
        }),
      );
      await this.run(
        leader.consensus.changeVoters({ voters, learners: [], generation: 3 as Configuration["generation"] }),
      );
      await this.until(() => numbers.every((n) => this.member(n).consensus.status().configuration.generation === 3));
    }
    return leader;
  }

  replica(n: number): ReplicaId {
    const { id, storeId } = this.member(n).consensus.status();
    return { id, storeId };
  }

  /** Ends a node as `kill -9` does; its disk keeps what was durable. */
  kill(n: number): Member {
    const member = this.member(n);
    this.network.down(member.id);
    member.host.stop();
    member.disk.crash();
    this.members.delete(n);
    return member;
  }

  leader(): Member | undefined {
    const leaders = [...this.members.values()].filter((member) => member.consensus.status().role === "leader");
    return leaders.toSorted((left, right) => right.consensus.status().term - left.consensus.status().term)[0];
  }

  async newLeader(other?: Member): Promise<Member> {
    await this.until(() => this.leader() !== undefined && this.leader() !== other);
    return this.leader()!;
  }

  run<V>(promise: Promise<V>, withinMs = 20_000): Promise<V> {
    return this.clock.run(promise, { withinMs });
  }

  async until(condition: () => boolean, withinMs = 20_000): Promise<void> {
    await this.clock.runUntil(condition, { withinMs });
  }

  async stop(): Promise<void> {
    for (const member of this.members.values()) {
      await this.run(member.consensus.shutdown());
      await this.run(member.transport.shutdown());
    }
  }
}
