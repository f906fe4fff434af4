/** Several groups over three hosts, hit in every way while they rest and wake, from seeds; then healed, and judged. */
import { describe, expect, test } from "vitest";
import type { Generation, NodeId } from "@revoada/fabric";
import { lcg } from "./support/cluster.ts";
import { Hosts, namesOf, type Site } from "./support/hosts.ts";
import { nodeId, T } from "./support/replicas.ts";

const numbers = [1, 2, 3] as const;

/** What is known of one proposal: whether it was acknowledged, and what came of a definite refusal. */
interface Asked {
  readonly command: string;
  readonly group: string;
  outcome: "open" | "acknowledged" | "refused" | "unknown";
}

/** Refusals after which a command must not have taken effect. */
const definite = new Set(["RAFT_NO_QUORUM", "RAFT_BACKPRESSURE", "RAFT_STOPPED", "RAFT_NOT_LEADER"]);

class Chaos {
  readonly hosts = new Hosts();
  readonly names: readonly string[];
  readonly totals = { acknowledged: 0, unknown: 0, kills: 0, cuts: 0, losses: 0, stalls: 0, changes: 0, transfers: 0 };
  rests = 0;
  elections = 0;
  readonly #random: () => number;
  readonly #leased: boolean;
  readonly #asked: Asked[] = [];
  /** Who led which group in which term: there must be one. */
  readonly #leaders = new Map<string, NodeId>();
  readonly #dead = new Map<number, Site>();
  /** Commands that a read should have seen and did not. */
  readonly #missed: string[] = [];
  reads = 0;
  #generation = 10;
  #ticks = 0;

  constructor(seed: number, groups: number) {
    this.#random = lcg(seed);
    for (let skip = 0; skip < 5; skip += 1) this.#random();
    this.#leased = seed % 2 === 0;
    this.names = namesOf(groups);
  }

  get #options(): { readonly leaseReads: boolean } {
    return { leaseReads: this.#leased };
  }

  #pick<V>(list: readonly V[]): V {
    return list[Math.floor(this.#random() * list.length)] as V;
  }

  async form(): Promise<void> {
    for (const n of numbers) await this.hosts.open(n);
    await this.hosts.found(this.names, numbers, this.#options);
  }

  #alive(): readonly Site[] {
    return [...this.hosts.sites.values()];
  }

  #propose(): void {
    const site = this.#pick(this.#alive());
    const group = this.#pick(this.names);
    const asked: Asked = { command: `${group}/${this.#asked.length}`, group, outcome: "open" };
    this.#asked.push(asked);
    site.seats
      .get(group)
      ?.consensus.propose(asked.command)
      .then(
        () => void (asked.outcome = "acknowledged"),
        (error: { readonly code: string }) => void (asked.outcome = definite.has(error.code) ? "refused" : "unknown"),
      );
  }

  /** Whatever was acknowledged before a read began is seen by it. */
  #read(): void {
    const site = this.#pick(this.#alive());
    const group = this.#pick(this.names);
    const seat = site.seats.get(group);
    if (seat === undefined) return;
    const before = this.#acknowledged(group);
    seat.consensus.readBarrier().then(
      () => {
        this.reads += 1;
        const seen = new Set(seat.machine.commands);
        this.#missed.push(...before.filter((command) => !seen.has(command)));
      },
      () => {},
    );
  }

  #acknowledged(group: string): readonly string[] {
    return this.#asked
      .filter((asked) => asked.group === group && asked.outcome === "acknowledged")
      .map(({ command }) => command);
  }

  #change(): void {
    const group = this.#pick(this.names);
    const leader = this.hosts.leaderOf(group);
    const all = numbers.map((n) => this.hosts.replica(n, group));
    // Between three voters, and two beside a learner.
    const learner = this.#pick(all);
    const shrinks = this.#random() < 0.5;
    this.#generation += 1;
    leader?.seats
      .get(group)
      ?.consensus.changeVoters({
        voters: shrinks ? all.filter((each) => each !== learner) : all,
        learners: shrinks ? [learner] : [],
        generation: this.#generation as Generation,
      })
      .then(
        () => void (this.totals.changes += 1),
        () => {},
      );
  }

  #transfer(): void {
    const group = this.#pick(this.names);
    this.hosts
      .leaderOf(group)
      ?.seats.get(group)
      ?.consensus.transferLeadership(nodeId(this.#pick(numbers)))
      .then(
        () => void (this.totals.transfers += 1),
        () => {},
      );
  }

  #kill(): void {
    if (this.#dead.size > 0) return;
    const n = this.#pick(numbers);
    this.#dead.set(n, this.hosts.kill(n));
    this.totals.kills += 1;
  }

  async #revive(): Promise<void> {
    for (const dead of this.#dead.values()) await this.hosts.restart(dead, {}, this.#options);
    this.#dead.clear();
  }

  #lose(): void {
    const share = this.#random() / 2;
    this.hosts.network.shape(() => (this.#random() < share ? { drop: true } : {}));
    this.totals.losses += 1;
  }

  #disturb(): void {
    const dice = this.#random();
    const one = this.#pick(numbers);
    if (dice < 0.1) this.#kill();
    else if (dice < 0.25) {
      this.hosts.network.cut(nodeId(one), nodeId(this.#pick(numbers)));
      this.totals.cuts += 1;
    } else if (dice < 0.35) this.#lose();
    else if (dice < 0.45) {
      this.hosts.sites.get(one)?.loop.stall(this.#random() * 4 * T);
      this.totals.stalls += 1;
    } else if (dice < 0.65) this.#change();
    else if (dice < 0.85) this.#transfer();
  }

  /** One round: work, something bad, and time, in which groups rest where they can. */
  async round(): Promise<void> {
    const proposals = this.#pick([0, 0, 1, 3, 8]);
    for (let at = 0; at < proposals; at += 1) this.#propose();
    this.#read();
    this.#disturb();
    const steps = this.#pick([1, 4, 12, 24]);
    for (let step = 0; step < steps; step += 1) {
      await this.hosts.clock.advanceAsync(T / 4);
      this.#watch();
    }
    if (this.#random() < 0.4) {
      this.hosts.network.heal();
      this.hosts.network.shape(undefined);
    }
    if (this.#random() < 0.4) await this.#revive();
  }

  /** No two replicas of a group lead in one term. */
  #watch(): void {
    for (const site of this.#alive()) {
      for (const [name, { consensus }] of site.seats) {
        const { role, term } = consensus.status();
        if (role !== "leader") continue;
        const known = this.#leaders.get(`${name}@${term}`);
        if (known === undefined) this.elections += 1;
        expect(known ?? site.id, `${name} in term ${term}`).toBe(site.id);
        this.#leaders.set(`${name}@${term}`, site.id);
      }
    }
    const ticks = this.hosts.ticksOf(this.names);
    if (ticks === this.#ticks) this.rests += 1;
    this.#ticks = ticks;
  }

  /** Everything passes again: all groups are led, agree, hold what was acknowledged, nothing refused and nothing twice, and rest. */
  async heal(): Promise<void> {
    const { hosts, names } = this;
    hosts.network.heal();
    hosts.network.shape(undefined);
    await this.#revive();
    await hosts.newLeaders(names);
    for (const name of names) {
      for (let tries = 0; !(await this.#writes(name)); tries += 1) expect(tries).toBeLessThan(50);
    }
    await hosts.until(
      () =>
        names.every((name) => {
          const statuses = numbers.map((n) => hosts.seat(n, name).consensus.status());
          const last = Math.max(...statuses.map(({ lastIndex }) => lastIndex));
          return statuses.every(({ appliedIndex }) => appliedIndex === last);
        }),
      60_000,
    );
    expect(this.#missed).toEqual([]);
    for (const name of names) this.#judge(name);
    await hosts.clock.advanceAsync(30 * T);
    const ticks = names.map((name) => hosts.ticksOf([name]));
    await hosts.clock.advanceAsync(10 * T);
    expect(names.map((name) => hosts.ticksOf([name]))).toEqual(ticks);
    await hosts.stop();
  }

  async #writes(name: string): Promise<boolean> {
    try {
      await this.hosts.run(this.hosts.seat(1, name).consensus.propose("healed"));
      return true;
    } catch {
      return false;
    }
  }

  #judge(name: string): void {
    const [first = [], ...others] = numbers.map((n) => this.hosts.seat(n, name).machine.commands);
    for (const other of others) expect(other).toEqual(first);
    const counted = first.filter((command) => command.includes("/"));
    expect(new Set(counted).size, `${name}: nothing twice`).toBe(counted.length);
    expect(counted.filter((command) => !command.startsWith(`${name}/`))).toEqual([]);
    const held = new Set(counted);
    for (const { command, group, outcome } of this.#asked) {
      if (group !== name) continue;
      if (outcome === "acknowledged") expect(held.has(command), `${command} was acknowledged`).toBe(true);
      if (outcome === "refused") expect(held.has(command), `${command} was refused`).toBe(false);
      if (outcome === "acknowledged") this.totals.acknowledged += 1;
      if (outcome === "unknown") this.totals.unknown += 1;
    }
  }
}

describe("groups of three hosts in trouble", () => {
  const totals = new Map<string, number>();
  for (let seed = 1; seed <= 10; seed += 1) {
    const reads = seed % 2 === 0 ? "by lease" : "by read index";
    test(`seed ${seed}, reads ${reads}: one leader per term, nothing acknowledged is lost, all converge and rest`, async () => {
      const chaos = new Chaos(seed, 4);
      await chaos.form();
      for (let round = 0; round < 25; round += 1) await chaos.round();
      await chaos.heal();
      const { rests, elections, reads: answered } = chaos;
      for (const [name, count] of Object.entries({ ...chaos.totals, rests, elections, reads: answered }))
        totals.set(name, (totals.get(name) ?? 0) + count);
    });
  }

  test("all of that was seen to happen", () => {
    expect([...totals].filter(([, count]) => count === 0)).toEqual([]);
    expect(totals.size).toBe(11);
  });
});
