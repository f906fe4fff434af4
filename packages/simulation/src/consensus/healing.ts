import type { Configuration, ConsensusStatus, NodeId } from "@revoada/fabric";
import type { MemoryNetwork, SeededRandom, VirtualClock } from "@revoada/fabric/memory";
import type { Trace } from "../trace.ts";
import { require } from "../violation.ts";
import type { Chaos } from "./chaos.ts";
import type { CallRecord, Clients } from "./clients.ts";
import { describeConfiguration, type ConsensusMonitor } from "./monitor.ts";
import type { Operator } from "./operator.ts";
import type { SimulatedReplica } from "./replica.ts";
import type { Setup } from "./setup.ts";
import type { ConsensusTotals } from "./totals.ts";

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
  readonly chaos: Chaos;
  readonly totals: ConsensusTotals;
  leader(): SimulatedReplica | undefined;
  readonly until: (condition: () => boolean, withinMs: number) => Promise<boolean>;
}

/** Bounds of what a healed group may take, in election timeouts. */
const serveWithin = 40;
const convergeWithin = 80;

/** How one replica is lost to the others. "Half heard" is who can talk to one of them only. */
type Silence = "deaf" | "mute" | "gone" | "cut off" | "half heard";
const silences: readonly Silence[] = ["deaf", "mute", "gone", "cut off", "half heard"];

/** Brings a group back: at first a majority is whole while one replica is not, then everything is. */
export class Healing {
  readonly #around: HealingSurroundings;

  constructor(around: HealingSurroundings) {
    this.#around = around;
  }

  async heal(): Promise<void> {
    await this.#startAll();
    const { healsFrom } = this.#around.setup;
    if (healsFrom === "unsettled-leaders") await this.#healFromUnsettledLeaders();
    else await this.#healFromSilence(healsFrom === "half-heard-leader");
    await this.#converge();
    await this.#serveEverywhere();
  }

  async #healFromSilence(halfHeard: boolean): Promise<void> {
    await this.#around.until(() => this.#around.leader() !== undefined, 10 * this.#around.setup.electionTimeoutMs);
    const excluded = this.#excludable();
    if (excluded === undefined) return;
    await this.#serveWithout(excluded, halfHeard ? "half heard" : this.#around.random.pick(silences), undefined);
  }

  /**
   * A leader that is cut off has entries that nobody else has; meanwhile terms rise, because whoever is elected dies before anybody
   * hears from it. Then the cut is healed, and one that was elected is gone.
   */
  async #healFromUnsettledLeaders(): Promise<void> {
    const { clients, network, replicas, random, setup, until, chaos, totals } = this.#around;
    const T = setup.electionTimeoutMs;
    await until(() => this.#around.leader() !== undefined, 10 * T);
    const leader = this.#around.leader();
    const excluded = this.#excludable(leader);
    if (leader === undefined || excluded === undefined || !this.#canSpare([leader]))
      return this.#healFromSilence(false);
    this.#note(`${leader.name} is cut off, and nobody leads for long`);
    network.partition(
      [leader.id],
      replicas.filter((replica) => replica !== leader).map(({ id }) => id),
    );
    for (let number = 0; number < 3; number += 1) clients.write(leader, random);
    const before = totals.shortReigns;
    const end = chaos.shortenReigns(1, T / 4);
    await until(() => totals.shortReigns - before >= 4, this.#bound(serveWithin));
    end();
    require(totals.shortReigns > before, "majority-elects", () =>
      `nobody was elected although only ${leader.name} is cut off: ${this.#describe()}`);
    totals.unsettledLeaders += 1;
    // What the others sent it meanwhile is lost with its connections: it has heard of none of their terms.
    leader.crash("nothing-lost");
    network.heal();
    await this.#startAll();
    await this.#serveWithout(excluded, "gone", leader);
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

  /**
   * A log whose limits allow one small message at a time may have got more than it could commit, and what is new waits behind that.
   * So the time counts anew for as long as what was there at first gets to more replicas, or is committed.
   */
  async #within(timeouts: number, condition: () => boolean): Promise<boolean> {
    const { replicas, until } = this.#around;
    const statuses = (): readonly ConsensusStatus[] =>
      replicas.filter(({ isRunning }) => isRunning).map(({ life }) => life.consensus.status());
    const backlogEnd = Math.max(0, ...statuses().map(({ lastIndex }) => lastIndex));
    const workedOff = (): number =>
      statuses().reduce(
        (sum, { lastIndex, commitIndex }) => sum + Math.min(lastIndex, backlogEnd) + Math.min(commitIndex, backlogEnd),
        0,
      );
    for (let most = workedOff(); ; most = Math.max(most, workedOff())) {
      const before = most;
      const isOver = (): boolean => condition() || workedOff() > before;
      if (!(await until(isOver, this.#bound(timeouts)))) return false;
      if (condition()) return true;
    }
  }

  #note(what: string): void {
    this.#around.trace.record(this.#around.clock.monotonicMs(), "world", what);
  }

  /** A replica that the others can do without, the leader first: all halves of all configurations that anybody has keep a majority. */
  #excludable(needed?: SimulatedReplica): SimulatedReplica | undefined {
    const { replicas, random } = this.#around;
    if (replicas.some(({ damage, life }) => damage !== undefined || life.consensus.status().storage !== "ok"))
      return undefined;
    const leader = this.#around.leader();
    const order = leader === undefined ? random.shuffle(replicas) : [leader, ...random.shuffle(replicas)];
    return order.find((replica) => replica !== needed && this.#canSpare([replica]));
  }

  #canSpare(gone: readonly SimulatedReplica[]): boolean {
    return this.#around.replicas.every(
      (replica) =>
        !replica.isRunning ||
        canSpare(
          replica.life.consensus.status().configuration,
          gone.map(({ id }) => id),
        ),
    );
  }

  /** Others that may be gone as well, so that the rest is a bare majority: then everybody's vote counts. */
  #superfluous(excluded: SimulatedReplica, needed: SimulatedReplica | undefined): readonly SimulatedReplica[] {
    const gone: SimulatedReplica[] = [];
    for (const replica of this.#around.random.shuffle(this.#around.replicas)) {
      if (replica === excluded || replica === needed) continue;
      if (this.#canSpare([excluded, ...gone, replica])) gone.push(replica);
    }
    return gone;
  }

  /** A majority that can talk to each other must serve, whatever the last one says or does not hear. */
  async #serveWithout(excluded: SimulatedReplica, way: Silence, needed: SimulatedReplica | undefined): Promise<void> {
    const { random, replicas, network, totals } = this.#around;
    const gone =
      way === "half heard" || needed !== undefined || random.chance(0.5) ? this.#superfluous(excluded, needed) : [];
    const others = replicas.filter((replica) => replica !== excluded && !gone.includes(replica));
    this.#note(`${excluded.name} stays ${way}, and ${gone.map(({ name }) => name).join() || "nobody"} is gone`);
    const friend = way === "half heard" ? random.pick(others) : undefined;
    if (friend !== undefined) totals.halfHeardLeaders += 1;
    for (const other of others) {
      if (other === friend) continue;
      if (way !== "mute" && way !== "gone") network.cut(other.id, excluded.id);
      if (way !== "deaf" && way !== "gone") network.cut(excluded.id, other.id);
    }
    for (const replica of gone) replica.crash("nothing-lost");
    if (way === "gone") excluded.crash("nothing-lost");
    const isServed = this.#probe(others);
    const served = await this.#within(serveWithin, isServed);
    require(served, "majority-serves", () =>
      `${this.#bound(serveWithin)} ms without a write although only ${excluded.name} is ${way}: ${this.#describe()}`);
    network.heal();
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
    const whole = await this.#within(convergeWithin, () => this.#isWhole());
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
    const { clients, random, monitor, replicas, setup } = this.#around;
    const { voters = [], learners = [] } = monitor.committedConfiguration ?? {};
    const members = replicas.filter(({ id }) => [...voters, ...learners].some((member) => member.id === id));
    const asked: CallRecord[] = [];
    for (const replica of members) {
      asked.push(clients.write(replica, random));
      for (let key = 0; key < setup.keys; key += 1) asked.push(clients.read(replica, key));
    }
    await this.#within(serveWithin, () => clients.pending === 0);
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

function canSpare({ voters, outgoing }: Configuration, gone: readonly NodeId[]): boolean {
  const isMajority = (list: Configuration["voters"]): boolean =>
    list.length === 0 || list.filter(({ id }) => !gone.includes(id)).length * 2 > list.length;
  return isMajority(voters) && (outgoing === undefined || isMajority(outgoing));
}
