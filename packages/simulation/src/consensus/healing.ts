import type { Configuration, NodeId } from "@revoada/fabric";
import type { MemoryNetwork, SeededRandom, VirtualClock } from "@revoada/fabric/memory";
import type { Trace } from "../trace.ts";
import { require } from "../violation.ts";
import type { CallRecord, Clients } from "./clients.ts";
import { describeConfiguration, type ConsensusMonitor } from "./monitor.ts";
import type { Operator } from "./operator.ts";
import type { SimulatedReplica } from "./replica.ts";
import type { Setup } from "./setup.ts";

export interface HealingSurroundings {
  readonly clock: VirtualClock;
  readonly network: MemoryNetwork;
  readonly monitor: ConsensusMonitor;
  readonly trace: Trace;
  readonly setup: Setup;
  readonly random: SeededRandom;
  readonly replicas: readonly SimulatedReplica[];
  readonly clients: Clients;
  readonly operator: Operator;
  leader(): SimulatedReplica | undefined;
  readonly until: (condition: () => boolean, withinMs: number) => Promise<boolean>;
}

/** Bounds of what a healed group may take, in election timeouts. */
const serveWithin = 40;
const convergeWithin = 80;

/** Brings a group back: at first a majority is whole while one replica is not, then everything is. */
export class Healing {
  readonly #around: HealingSurroundings;

  constructor(around: HealingSurroundings) {
    this.#around = around;
  }

  async heal(): Promise<void> {
    await this.#startAll();
    const excluded = this.#excludable();
    if (excluded !== undefined) await this.#serveWithout(excluded);
    await this.#converge();
    await this.#serveEverywhere();
  }

  /** All processes end at once, with their power, and come back. */
  async restartAll(): Promise<void> {
    this.#note("stops and starts everything");
    for (const replica of this.#around.replicas) replica.crash("unsynced-lost");
    await this.#startAll();
    await this.#converge();
  }

  async #startAll(): Promise<void> {
    const { replicas, until, setup } = this.#around;
    for (const replica of replicas) if (!replica.isUp) replica.start();
    const all = await until(() => replicas.every((replica) => replica.isRunning), this.#bound(convergeWithin));
    require(all, "starts-again", () =>
      `${replicas
        .filter((replica) => !replica.isRunning)
        .map(({ name }) => name)
        .join()} did not start within ${this.#bound(convergeWithin)} ms (T ${setup.electionTimeoutMs})`);
  }

  #bound(timeouts: number): number {
    const { electionTimeoutMs, limits } = this.#around.setup;
    // A write that was asked of a disk that hung, and a transfer that was broken off, take their own time to be given up.
    return (
      timeouts * electionTimeoutMs + 2 * (limits["storageStallMs"] ?? 0) + 2 * (limits["snapshotStallMs"] ?? 0) + 5000
    );
  }

  #note(what: string): void {
    this.#around.trace.record(this.#around.clock.monotonicMs(), "world", what);
  }

  /** A replica that the others can do without: both halves of every configuration that anybody has keep a majority. */
  #excludable(): SimulatedReplica | undefined {
    const { replicas, random } = this.#around;
    if (replicas.some(({ damage, life }) => damage !== undefined || life.consensus.status().storage !== "ok"))
      return undefined;
    const known = replicas.map(({ life }) => life.consensus.status().configuration);
    const leader = this.#around.leader();
    const order = leader === undefined ? random.shuffle(replicas) : [leader, ...random.shuffle(replicas)];
    return order.find((replica) => known.every((configuration) => canSpare(configuration, replica.id)));
  }

  /** A majority that can talk to each other must serve, whatever the last one says or does not hear. */
  async #serveWithout(excluded: SimulatedReplica): Promise<void> {
    const { random, replicas, network, until } = this.#around;
    const others = replicas.filter((replica) => replica !== excluded);
    const way = random.pick(["deaf", "mute", "gone", "cut off"] as const);
    this.#note(`${excluded.name} stays ${way}`);
    for (const { id } of others) {
      if (way === "deaf" || way === "cut off") network.cut(id, excluded.id);
      if (way === "mute" || way === "cut off") network.cut(excluded.id, id);
    }
    if (way === "gone") excluded.crash("nothing-lost");
    const isServed = this.#probe(others);
    const served = await until(isServed, this.#bound(serveWithin));
    require(served, "majority-serves", () =>
      `${this.#bound(serveWithin)} ms without a write although only ${excluded.name} is ${way}: ${this.#describe()}`);
    network.heal();
    if (way === "gone") excluded.start();
    await this.#startAll();
  }

  /** Writes through one of `replicas` after another; the result tells whether one was acknowledged. */
  #probe(replicas: readonly SimulatedReplica[]): () => boolean {
    const { random, clients, clock, setup } = this.#around;
    const writes: CallRecord[] = [];
    let nextMs = 0;
    return () => {
      if (writes.some(({ outcome }) => outcome === "acknowledged")) return true;
      const running = replicas.filter((replica) => replica.isRunning);
      if (clock.monotonicMs() < nextMs || running.length === 0) return false;
      nextMs = clock.monotonicMs() + setup.electionTimeoutMs;
      writes.push(clients.write(random.pick(running), random));
      return false;
    };
  }

  async #converge(): Promise<void> {
    const whole = await this.#around.until(() => this.#isWhole(), this.#bound(convergeWithin));
    require(whole, "converges", () =>
      `not whole ${this.#bound(convergeWithin)} ms after everything was healed: ${this.#describe()}`);
    this.#note("is whole");
  }

  #isWhole(): boolean {
    const { replicas, clients } = this.#around;
    if (clients.pending > 0) return false;
    const leader = this.#around.leader();
    if (leader === undefined || replicas.some(({ damage }) => damage !== undefined)) return false;
    const { configuration, configurationIndex, commitIndex, lastIndex } = leader.life.consensus.status();
    if (configuration.outgoing !== undefined || configurationIndex > commitIndex || lastIndex !== commitIndex)
      return false;
    const members = [...configuration.voters, ...configuration.learners];
    return members.every(({ id, storeId }) => {
      const replica = replicas.find((each) => each.id === id);
      if (replica?.isRunning !== true) return false;
      const status = replica.life.consensus.status();
      return status.storeId === storeId && status.storage === "ok" && status.appliedIndex === commitIndex;
    });
  }

  /** Every member answers a write and a linearizable read of every key. */
  async #serveEverywhere(): Promise<void> {
    const { clients, random, monitor, replicas, setup, until } = this.#around;
    const { voters = [], learners = [] } = monitor.committedConfiguration ?? {};
    const members = replicas.filter(({ id }) => [...voters, ...learners].some((member) => member.id === id));
    const asked: CallRecord[] = [];
    for (const replica of members) {
      asked.push(clients.write(replica, random));
      for (let key = 0; key < setup.keys; key += 1) asked.push(clients.read(replica, key));
    }
    await until(() => clients.pending === 0, this.#bound(serveWithin));
    const failed = asked.filter(({ outcome }) => outcome !== "acknowledged");
    require(failed.length === 0, "serves-when-whole", () =>
      `${failed.length} of ${asked.length} operations failed after everything was whole: ${this.#describe()}`);
    await this.#converge();
  }

  #describe(): string {
    const { replicas } = this.#around;
    const lines = replicas.map((replica) => {
      if (!replica.isRunning) return `${replica.name} is ${replica.isUp ? "starting" : "down"}`;
      const { role, term, commitIndex, appliedIndex, lastIndex, storage, configuration } =
        replica.life.consensus.status();
      return `${replica.name} ${role} term ${term} last ${lastIndex} commit ${commitIndex} applied ${appliedIndex} storage ${storage} damage ${replica.damage} (${describeConfiguration(configuration)})`;
    });
    return `pending ${this.#around.clients.pending}; ${lines.join("; ")}`;
  }
}

function canSpare({ voters, outgoing }: Configuration, id: NodeId): boolean {
  const isMajority = (list: Configuration["voters"]): boolean =>
    list.length === 0 || list.filter((voter) => voter.id !== id).length * 2 > list.length;
  return isMajority(voters) && (outgoing === undefined || isMajority(outgoing));
}
