import type {
  Configuration,
  Consensus,
  Generation,
  Metrics,
  NodeId,
  ReplicaId,
  StoreId,
  Transport,
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
import { raftHost, type GroupOptions, type RaftHost, type RaftHostOptions } from "@revoada/consensus-raft";
import { ListMachine, nodeId, T, textCodec } from "./replicas.ts";

export type HostOptions = Partial<Omit<RaftHostOptions, "disk">> & { readonly disk?: MemoryDisk };

/** Counts by name, labels left out but `reason`, and ticks by group. */
export class Counts implements Metrics {
  readonly counts: Map<string, number> = new Map();
  readonly ticks: Map<string, number> = new Map();

  count(name: string, value = 1, labels: Readonly<Record<string, string>> = {}): void {
    const group = Buffer.from(labels["group"] ?? "", "hex").toString();
    if (name === "revoada_raft_ticks_total") this.ticks.set(group, (this.ticks.get(group) ?? 0) + value);
    const key = labels["reason"] === undefined ? name : `${name}:${labels["reason"]}`;
    this.counts.set(key, (this.counts.get(key) ?? 0) + value);
  }

  gauge(): void {}

  observe(): void {}

  of(name: string): number {
    return this.counts.get(name) ?? 0;
  }
}

/** One replica of one group. */
export interface Seat {
  readonly consensus: Consensus<string, string>;
  readonly machine: ListMachine;
}

/** One process: a host, what it stands on, and its replicas by name of the group. */
export interface Site {
  readonly n: number;
  readonly id: NodeId;
  readonly disk: MemoryDisk;
  readonly loop: VirtualHost;
  readonly transport: Transport;
  readonly host: RaftHost;
  readonly metrics: Counts;
  readonly seats: Map<string, Seat>;
}

export function groupIdOf(name: string): Uint8Array {
  return new TextEncoder().encode(name);
}

export function namesOf(count: number): readonly string[] {
  return Array.from({ length: count }, (_, at) => `group-${at}`);
}

/** Hosts on one virtual clock, one memory network and a disk each. */
export class Hosts {
  readonly clock: VirtualClock = virtualClock();
  readonly network: MemoryNetwork;
  readonly sites: Map<number, Site> = new Map();
  /** Store ids of the founders, by name of the group and node. */
  readonly #stores = new Map<string, StoreId>();
  #lives = 0;

  constructor(latencyMs = 1) {
    this.network = memoryNetwork({ clock: this.clock, latencyMs });
  }

  async open(n: number, options: HostOptions = {}): Promise<Site> {
    this.#lives += 1;
    const life = `node-${n}-${this.#lives}`;
    const id = nodeId(n);
    const loop = this.clock.host(life);
    const transport = this.network.transport(id, { clock: loop });
    const disk = options.disk ?? memoryDisk({ name: `disk-${n}`, random: seededRandom(`disk-${n}`) });
    const metrics = new Counts();
    const common = { id, transport, clock: loop, random: seededRandom(life), disk, metrics };
    const host = raftHost({ electionTimeoutMs: T, ...options, ...common });
    await this.run(transport.start());
    const site: Site = { n, id, disk, loop, transport, host, metrics, seats: new Map() };
    this.sites.set(n, site);
    return site;
  }

  site(n: number): Site {
    const site = this.sites.get(n);
    if (site === undefined) throw new Error(`host ${n} is not running`);
    return site;
  }

  seat(n: number, name: string): Seat {
    const seat = this.site(n).seats.get(name);
    if (seat === undefined) throw new Error(`host ${n} has no replica of ${name}`);
    return seat;
  }

  /** Starts one replica over what its host has on the disk. */
  async seatOf(
    n: number,
    name: string,
    options: Partial<GroupOptions<string, string>> = {},
    machine: ListMachine = new ListMachine(),
  ): Promise<Seat> {
    const site = this.site(n);
    const consensus = site.host.group<string, string>({ codec: textCodec, ...options, groupId: groupIdOf(name) });
    await this.run(consensus.start(machine));
    const seat = { consensus, machine };
    site.seats.set(name, seat);
    this.#stores.set(`${name}/${n}`, consensus.status().storeId);
    return seat;
  }

  replica(n: number, name: string): ReplicaId {
    const storeId = this.#stores.get(`${name}/${n}`);
    if (storeId === undefined) throw new Error(`host ${n} never had ${name}`);
    return { id: nodeId(n), storeId };
  }

  /** Founds groups of the given hosts, which are open, led by the first at the beginning. */
  async found(
    names: readonly string[],
    numbers: readonly number[] = [1, 2, 3],
    options: Partial<GroupOptions<string, string>> = {},
  ): Promise<void> {
    const [first = 1, ...rest] = numbers;
    for (const name of names) {
      await this.seatOf(first, name, {
        ...options,
        bootstrap: (self) => ({ voters: [self], learners: [], generation: 1 as Configuration["generation"] }),
      });
      for (const n of rest) await this.seatOf(n, name, options);
    }
    await this.run(
      Promise.all(
        names.map(async (name) => {
          const { consensus } = this.seat(first, name);
          await consensus.propose("first");
          const voters = numbers.map((n) => this.replica(n, name));
          await consensus.changeVoters({ voters, learners: [], generation: 2 as Generation });
        }),
      ),
    );
  }

  /** Hosts 1, 2 and 3 with all groups, settled. */
  async form(names: readonly string[], options: HostOptions = {}): Promise<void> {
    for (const n of [1, 2, 3]) await this.open(n, options);
    await this.found(names);
  }

  /** Ends a host as `kill -9` does; its disk keeps what was durable. */
  kill(n: number): Site {
    const site = this.site(n);
    this.network.down(site.id);
    site.loop.stop();
    site.disk.crash();
    this.sites.delete(n);
    return site;
  }

  /** Starts a host that was killed, and all replicas that it had. */
  async restart(
    dead: Site,
    options: HostOptions = {},
    groupOptions: Partial<GroupOptions<string, string>> = {},
  ): Promise<Site> {
    const site = await this.open(dead.n, { ...options, disk: dead.disk });
    for (const name of dead.seats.keys()) await this.seatOf(dead.n, name, groupOptions);
    return site;
  }

  /** The site whose replica leads, in the latest term where several think so. */
  leaderOf(name: string): Site | undefined {
    let best: { readonly site: Site; readonly term: number } | undefined;
    for (const site of this.sites.values()) {
      const status = site.seats.get(name)?.consensus.status();
      if (status?.role === "leader" && status.term > (best?.term ?? -1)) best = { site, term: status.term };
    }
    return best?.site;
  }

  async newLeaders(names: readonly string[], withinMs = 20_000): Promise<number> {
    return this.until(() => names.every((name) => this.leaderOf(name) !== undefined), withinMs);
  }

  /** Ticks that cores of these groups have had, on all hosts. */
  ticksOf(names: readonly string[]): number {
    let ticks = 0;
    for (const { metrics } of this.sites.values()) for (const name of names) ticks += metrics.ticks.get(name) ?? 0;
    return ticks;
  }

  run<V>(promise: Promise<V>, withinMs = 60_000): Promise<V> {
    return this.clock.run(promise, { withinMs });
  }

  until(condition: () => boolean, withinMs = 20_000): Promise<number> {
    return this.clock.runUntil(condition, { withinMs });
  }

  async stop(): Promise<void> {
    for (const site of this.sites.values()) {
      await this.run(site.host.shutdown());
      await this.run(site.transport.shutdown());
    }
  }
}
