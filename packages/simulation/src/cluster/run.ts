import { ed25519Verifier, joinChain, verifySequenceWith } from "@revoada/attest-blake3";
import { ClusterDeclaration, controllersDuty } from "@revoada/cluster";
import { isFabricError, prescribedHomelab, replicasOf, type FabricStrategy, type WatchBatch } from "@revoada/fabric";
import {
  memoryNetwork,
  seededRandom,
  virtualClock,
  type SeededRandom,
  type VirtualClock,
} from "@revoada/fabric/memory";
import { cluster3mnw } from "@revoada/topology";
import { checkFencedWrites, DutyWorkload } from "./duty-workload.ts";
import { describeFault, scheduleFaults, type Fault } from "./faults.ts";
import { checkWrites, readHistory } from "./history.ts";
import { Monitor } from "./monitor.ts";
import { SimulatedNode, type SimulatedWorld } from "./node.ts";
import { Archives } from "./archives.ts";
import { Operators } from "./operators.ts";
import { emptyTotals, type Totals } from "./totals.ts";
import { Trace } from "../trace.ts";
import { InvariantViolation, require } from "../violation.ts";
import { badWeather } from "./weather.ts";
import { Workload } from "./workload.ts";

export interface RunOptions {
  readonly seed: number;
  /** 3 to 7; 5 unless told. */
  readonly nodes?: number;
  /** Virtual length of the chaos phase; 60 s unless told. */
  readonly chaosMs?: number;
}

export interface RunResult {
  readonly seed: number;
  readonly traceHash: string;
  readonly totals: Totals;
  readonly virtualMs: number;
  readonly comparedStates: number;
  readonly committedEntries: number;
  /** What broke, where something did. */
  readonly violation?: { readonly invariant: string; readonly message: string; readonly latest: readonly string[] };
}

/** How long a healed cluster may take to be whole again. */
const healWithinMs = 60_000;

/** Small bounds, so that short runs compact, install snapshots and shift more often than a long life would. */
function strategyOf(random: SeededRandom): FabricStrategy {
  const homelab = prescribedHomelab();
  const consensus = {
    protocol: "raft" as const,
    quorumSize: 3,
    electionTimeoutMs: 150 + random.below(150),
    snapshotIntervalEntries: 100 + random.below(200),
  };
  return { ...homelab, name: "simulated", consensus };
}

/** One run from one seed: form, break things while clients work, heal, and check that nothing was lost. Never throws for a broken invariant. */
export async function runSeed(options: RunOptions): Promise<RunResult> {
  const run = new Run(options);
  try {
    await run.play();
    return run.result();
  } catch (error) {
    const invariant = error instanceof InvariantViolation ? error.invariant : "no-crash";
    const message =
      error instanceof Error
        ? error instanceof InvariantViolation
          ? error.message
          : (error.stack ?? error.message)
        : String(error);
    return { ...run.result(), violation: { invariant, message, latest: run.latest() } };
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

class Run {
  readonly #seed: number;
  readonly #chaosMs: number;
  readonly #random: SeededRandom;
  readonly #clock: VirtualClock = virtualClock();
  readonly #totals = emptyTotals();
  readonly #trace = new Trace();
  readonly #monitor: Monitor;
  readonly #network;
  readonly #world: SimulatedWorld;
  readonly #nodes: SimulatedNode[];
  readonly #archives: Archives;
  readonly #operators: Operators;
  /** The place whose machine may be a worker only, where there is one. */
  readonly #limited: number | undefined;
  #machines = 0;
  readonly #workload: Workload;
  readonly #duties: DutyWorkload;
  #failure: Error | undefined;

  constructor({ seed, nodes = 5, chaosMs = 60_000 }: RunOptions) {
    this.#seed = seed;
    this.#chaosMs = chaosMs;
    this.#random = seededRandom(seed);
    this.#monitor = new Monitor(this.#totals, this.#trace, () => this.#clock.monotonicMs());
    const network = this.#random.fork("network");
    this.#network = memoryNetwork({
      clock: this.#clock,
      random: network.fork("bindings"),
      latencyMs: () => 0.2 + network.float() * 2,
    });
    const declaration = ClusterDeclaration.create(
      strategyOf(this.#random.fork("strategy")),
      { name: "raw", kind: { protocol: "pure-raft" } },
      cluster3mnw(),
    );
    const onViolation = (error: unknown): void => {
      this.#failure ??= asError(error);
    };
    this.#duties = new DutyWorkload(this.#totals, onViolation);
    this.#world = {
      clock: this.#clock,
      network: this.#network,
      declaration,
      monitor: this.#monitor,
      trace: this.#trace,
      random: this.#random,
      duties: (node) => [this.#duties.duty(node), controllersDuty()],
    };
    this.#nodes = Array.from({ length: nodes }, (_, index) => new SimulatedNode(index, this.#world));
    this.#introduce();
    // Whoever may not vote must not be one of those who have to.
    this.#limited = nodes >= 5 && this.#random.fork("limits").chance(0.5) ? nodes - 1 : undefined;
    this.#archives = new Archives({
      clock: this.#clock,
      random: this.#random.fork("archives"),
      nodes: this.#nodes,
      totals: this.#totals,
      note: (node, event) => this.#note(node, event),
    });
    this.#operators = new Operators({
      clock: this.#clock,
      random: this.#random.fork("operators"),
      totals: this.#totals,
      nodes: this.#nodes,
      replace: (index) => new SimulatedNode(index, this.#world, (this.#machines += 1)),
      note: (node, event) => this.#note(node, event),
      restart: (node) => {
        this.#introduce();
        this.#revive(node);
      },
      onFailure: onViolation,
    });
    this.#workload = new Workload(this.#clock, this.#nodes, this.#random.fork("workload"), this.#totals, {
      clients: 6,
      keys: 8,
      thinkMs: 120,
      onViolation,
    });
  }

  async play(): Promise<void> {
    await this.#form();
    this.#workload.start();
    await this.#chaos();
    await this.#heal();
    await this.#judge();
    if (this.#random.fork("ruin").chance(0.35)) await this.#loseMajority();
  }

  /** Everybody may be found, under whatever key they have by now. */
  #introduce(): void {
    for (const node of this.#nodes) node.knowPeers(this.#nodes.map(({ id }) => id));
  }

  result(): RunResult {
    const compared = this.#monitor.compared();
    return {
      seed: this.#seed,
      traceHash: this.#trace.digest(),
      totals: this.#totals,
      virtualMs: this.#clock.monotonicMs(),
      comparedStates: compared.states,
      committedEntries: compared.entries,
    };
  }

  latest(): readonly string[] {
    return this.#trace.latest(60);
  }

  async #form(): Promise<void> {
    const [founder, ...others] = this.#nodes as [SimulatedNode, ...SimulatedNode[]];
    await this.#clock.run(founder.found());
    const token = await this.#clock.run(founder.cluster().createToken({ ttlMs: 3_600_000, uses: others.length }));
    for (const node of others) {
      if (node.index !== this.#limited) await this.#clock.run(node.join(token));
      else await this.#clock.run(this.#operators.admit(node, "worker"));
      if (node.index === this.#limited) this.#totals.limitedNodes += 1;
    }
    await this.#clock.runUntil(() => this.#isWhole(), { withinMs: 30_000 });
    this.#note("world", "formed");
  }

  async #chaos(): Promise<void> {
    const faults = scheduleFaults(this.#nodes.length, this.#chaosMs, this.#random.fork("faults"));
    for (const { atMs, fault } of faults) this.#clock.schedule(atMs, () => this.#strike(fault));
    const mayVote = this.#nodes.filter(({ index }) => index !== this.#limited).length;
    this.#archives.schedule(this.#chaosMs);
    this.#operators.schedule(this.#chaosMs, { mayRemove: ({ index }) => mayVote >= 4 && index !== this.#limited });
    const end = this.#clock.monotonicMs() + this.#chaosMs;
    while (this.#clock.monotonicMs() < end) {
      await this.#clock.advanceAsync(50);
      this.#observeAll();
    }
  }

  #strike(fault: Fault): void {
    this.#note(
      "world",
      describeFault(fault, (index) => (this.#nodes[index] as SimulatedNode).id),
    );
    switch (fault.kind) {
      case "crash":
        // The first crash is meant for whoever leads: its death moves a seat.
        return this.#crash(fault.downMs === 9000 ? this.#leader() : this.#node(fault.node), fault.downMs, fault.disk);
      case "partition":
        return this.#partition(fault.minority, fault.forMs);
      case "one-way": {
        const [from, to] = [this.#node(fault.from).id, this.#node(fault.to).id];
        this.#totals.oneWayCuts += 1;
        this.#network.cut(from, to);
        this.#clock.schedule(fault.forMs, () => this.#network.heal(from, to));
        return;
      }
      case "weather":
        this.#network.shape(badWeather(fault, this.#random.fork(`weather-${this.#clock.monotonicMs()}`), this.#totals));
        this.#clock.schedule(fault.forMs, () => this.#network.shape(undefined));
        return;
      case "stall":
        if (!this.#node(fault.node).isUp()) return;
        this.#totals.stalls += 1;
        return this.#node(fault.node).host().stall(fault.forMs);
      case "clock-jump":
        if (!this.#node(fault.node).isUp()) return;
        this.#totals.clockJumps += 1;
        return this.#node(fault.node).host().jumpWall(fault.byMs);
      case "sync-failure": {
        // A failed sync ends trust in the log until it is opened again: the process is restarted, as an operator's supervisor does.
        const node = this.#node(fault.node);
        if (!node.isUp()) return;
        this.#totals.syncFailures += 1;
        node.disk.failSyncs(1);
        this.#clock.schedule(fault.downMs, () => this.#crash(node, 300, "nothing-lost"));
      }
    }
  }

  #partition(minority: readonly number[], forMs: number): void {
    const inside = minority.map((index) => this.#node(index).id);
    const outside = this.#nodes.map(({ id }) => id).filter((id) => !inside.includes(id));
    this.#totals.partitions += 1;
    this.#network.partition(inside, outside);
    this.#clock.schedule(forMs, () => this.#network.heal());
  }

  #crash(node: SimulatedNode, downMs: number, disk: "nothing-lost" | "unsynced-lost" | "random"): void {
    if (!node.isUp()) return;
    // What tears is a write that is under way: such a power cut waits for one, though not for ever.
    if (disk === "random") {
      const strike = (): void => this.#crashNow(node, downMs, disk);
      const cancel = this.#clock.schedule(1000, strike);
      node.atNextSync(() => {
        cancel();
        strike();
      });
      return;
    }
    this.#crashNow(node, downMs, disk);
  }

  #crashNow(node: SimulatedNode, downMs: number, disk: "nothing-lost" | "unsynced-lost" | "random"): void {
    if (!node.isUp()) return;
    this.#totals.crashes += 1;
    node.crash(disk);
    this.#note(node.id, "crashed");
    this.#clock.schedule(downMs, () => this.#revive(node));
  }

  #revive(node: SimulatedNode): void {
    if (node.isUp() || !node.belongs) return;
    this.#totals.restarts += 1;
    this.#note(node.id, "restarts");
    node.restart().catch((error: unknown) => {
      if (!isFabricError(error, "DISK_IO", "LOG_FAILED")) {
        this.#failure ??= asError(error);
        return;
      }
      // The disk failed while the log was being opened: a supervisor starts the process again.
      node.crash("nothing-lost");
      this.#clock.schedule(500, () => this.#revive(node));
    });
  }

  async #heal(): Promise<void> {
    this.#network.heal();
    this.#network.shape(undefined);
    this.#workload.stop();
    this.#duties.stop();
    this.#operators.clear();
    this.#note("world", "healed");
    // Restarts that are under way finish first; what is still down afterwards is started.
    await this.#clock.advanceAsync(12_000);
    for (const node of this.#nodes) if (!node.isUp()) this.#revive(node);
    this.#observeAll();
    try {
      const isOver = (): boolean => this.#workload.isQuiet() && this.#operators.isQuiet() && this.#archives.isQuiet();
      await this.#clock.runUntil(() => isOver() && this.#isWhole() && this.#isLevel() && this.#dutiesStand(), {
        withinMs: healWithinMs,
      });
    } catch {
      require(false, "converges", () =>
        `not whole ${healWithinMs} ms after everything was healed: ${this.#describe()}`);
    }
    this.#note("world", "whole");
  }

  /** Every replica holds what was acknowledged, all hold the same, and their chain verifies. Resolves with the revision. */
  async #compare(): Promise<number> {
    const leader = this.#leader();
    const revision = leader.catalog().revision();
    const hashes = new Set<string>();
    for (const node of this.#nodes) {
      if (!node.cluster().running().holdsReplica()) continue;
      const history = readHistory(node.id, await this.#watchAll(node, revision));
      checkWrites(node.id, this.#workload.writes, history);
      checkFencedWrites(node.id, history, this.#duties.grants, (number) => this.#monitor.fencedAt(number));
      hashes.add((await node.cluster().stateHash()).hash);
      const broken = node.cluster().check();
      require(broken === undefined, broken?.name ?? "", () => broken?.message ?? "");
    }
    require(hashes.size === 1, "equal-state", () => `${hashes.size} different states at the end`);
    const { clusterId } = leader.cluster().running().origin.genesis;
    const kept = leader.cluster().exportChain();
    const files = this.#archives.upTo(leader.cluster().running().machine.formation.state?.base.height ?? 0);
    for (const verdict of [
      leader.attestor.verifyChain(kept, clusterId),
      verifySequenceWith([...files, kept], clusterId, ed25519Verifier()),
    ])
      require(verdict.ok, "chain-verifies", () =>
        verdict.ok ? "" : `${verdict.fault.reason} at ${verdict.fault.height}: ${verdict.fault.message}`);
    return revision;
  }

  async #judge(): Promise<void> {
    this.#observeAll();
    const revision = await this.#compare();
    const served = this.#totals.acknowledged / Math.max(this.#workload.writes.length, 1);
    require(served >= 0.5, "not-vacuous", () => `only ${Math.round(served * 100)} % of the writes were acknowledged`);
    this.#countShifts(this.#leader());
    if (this.#chaosMs >= 60_000) this.#requireSubstance();
    this.#note("world", `judged at revision ${revision}`);
  }

  /** A seed that tried little proves little. */
  #requireSubstance(): void {
    const {
      operations,
      membershipChanges,
      crashes,
      partitions,
      oneWayCuts,
      droppedMessages,
      stalls,
      clockJumps,
      syncFailures,
    } = this.#totals;
    require(operations >= 1000, "not-vacuous", () => `only ${operations} operations were tried`);
    require(membershipChanges >= 2, "not-vacuous", () => "the voters never changed");
    const seen = [crashes, partitions, oneWayCuts, droppedMessages, stalls, clockJumps, syncFailures].filter(
      (count) => count > 0,
    ).length;
    require(seen >= 5, "not-vacuous", () => `only ${seen} kinds of fault were seen`);
  }

  /**
   * All but one of those who vote are lost for ever, with everybody else; the last one goes on alone, and others come in. Everything was
   * applied everywhere, so nothing may be missing afterwards, and nobody who was given up may come back.
   */
  async #loseMajority(): Promise<void> {
    await this.#clock.runUntil(() => this.#isLevel(), { withinMs: healWithinMs });
    this.#observeAll();
    const formation = this.#leader().cluster().formation();
    const survivor = this.#random.pick(this.#nodes.filter(({ id }) => formation.nodes.get(id)?.replica === "voter"));
    const lost = this.#nodes.filter((node) => node !== survivor);
    this.#note(survivor.id, "is the only one left");
    for (const node of lost) node.crash("nothing-lost");
    await this.#clock.run(survivor.recoverAlone());
    this.#revive(survivor);
    this.#nodes.splice(0, this.#nodes.length, survivor);
    await this.#settle("the survivor leads", () => survivor.isUp() && this.#leader().id === survivor.id);
    const newcomers = lost.slice(0, 2).map(({ index }) => new SimulatedNode(index, this.#world, (this.#machines += 1)));
    for (const node of newcomers) {
      await this.#clock.run(this.#operators.admit(node), { withinMs: healWithinMs });
      this.#nodes.push(node);
    }
    // One of the lost is found again, with its disk: it is nobody any more.
    const [back] = lost as [SimulatedNode];
    this.#introduce();
    this.#revive(back);
    await this.#settle("three vote again", () => this.#isWhole() && this.#isLevel() && this.#dutiesStand());
    const { tombstones, nodes } = survivor.cluster().formation();
    for (const { id } of lost)
      require(tombstones.has(id) && !nodes.has(id), "tombstones-hold", () => `${id} was lost and has no tombstone`);
    this.#totals.recoveries += 1;
    if (back.isUp()) back.crash("nothing-lost");
    await this.#compare();
    this.#note("world", "recovered");
  }

  async #settle(what: string, isSo: () => boolean): Promise<void> {
    try {
      await this.#clock.runUntil(isSo, { withinMs: healWithinMs });
    } catch {
      require(false, "converges", () => `${healWithinMs} ms and not: ${what}: ${this.#describe()}`);
    }
    this.#observeAll();
  }

  #countShifts(node: SimulatedNode): void {
    const running = node.cluster().running();
    const files = this.#archives.upTo(running.machine.formation.state?.base.height ?? 0);
    const whole = joinChain([...files, node.cluster().exportChain()], running.origin.genesis.clusterId);
    const records = node.attestor.readChain(whole);
    for (const { kind, bytes } of records) {
      if (kind === "seal") this.#totals.seals += 1;
      if (kind !== "block") continue;
      const text = Buffer.from(bytes).toString("latin1");
      if (text.includes("takes the seat of")) this.#totals.promotions += 1;
      if (text.includes(" is back")) this.#totals.readmissions += 1;
    }
  }

  async #watchAll(node: SimulatedNode, revision: number): Promise<readonly WatchBatch[]> {
    const abort = new AbortController();
    const batches: WatchBatch[] = [];
    const collect = async (): Promise<void> => {
      const watch = node
        .catalog()
        .watch({ start: Uint8Array.of(0), end: Uint8Array.of(255), fromRevision: 1 as never, signal: abort.signal });
      for await (const batch of watch) {
        batches.push(batch);
        if (batch.revision >= revision) break;
      }
    };
    await this.#clock.run(collect());
    abort.abort();
    return batches;
  }

  #node(index: number): SimulatedNode {
    return this.#nodes[index % this.#nodes.length] as SimulatedNode;
  }

  #leader(): SimulatedNode {
    const leaders = this.#nodes.filter(
      (node) => node.isUp() && node.cluster().running().consensus.status().role === "leader",
    );
    const newest = leaders.toSorted(
      (a, b) => b.cluster().running().consensus.status().term - a.cluster().running().consensus.status().term,
    )[0];
    return newest ?? this.#node(0);
  }

  #isWhole(): boolean {
    const up = this.#nodes.filter((node) => node.isUp());
    if (up.length < this.#nodes.length) return false;
    const leader = up.find((node) => node.cluster().running().consensus.status().role === "leader");
    const state = leader?.cluster().running().machine.formation.state;
    if (state === undefined) return false;
    const records = [...state.formation.nodes.values()];
    const masters = records.filter((record) => record.state === "active" && record.role === "master").length;
    const voters = replicasOf(state.formation, "voter");
    return (
      records.length === this.#nodes.length &&
      records.every((record) => record.state === "active") &&
      masters === 3 &&
      voters.length === 3 &&
      state.sealed.height === state.head.height
    );
  }

  /** Every master does what all masters do, and each singleton runs on the one that holds it and on no other. */
  #dutiesStand(): boolean {
    const leader = this.#leader();
    const { nodes } = leader.cluster().formation();
    const held = leader.catalog().leases.duties();
    return this.#nodes.every((node) => {
      const reports = node.isUp() ? node.cluster().duties() : [];
      return reports.every(({ duty, kind, state }) => {
        const holder = held.find((one) => one.duty === duty)?.holder;
        const isDue = kind === "singleton" ? holder === node.id : nodes.get(node.id)?.role === "master";
        return isDue === (state === "running") && (kind !== "singleton" || holder !== undefined);
      });
    });
  }

  /** Every replica of the formation has applied all that there is. */
  #isLevel(): boolean {
    const formation = this.#leader().cluster().formation();
    const replicas = this.#nodes.filter((node) => formation.nodes.get(node.id)?.replica !== "none");
    const statuses = replicas.map((node) => node.cluster().running().consensus.status());
    return statuses.every(
      (status) => status.appliedIndex === statuses[0]?.appliedIndex && status.lastIndex === status.appliedIndex,
    );
  }

  #describe(): string {
    return this.#nodes
      .map((node) => {
        if (!node.isUp()) return `${node.index}: down`;
        const { consensus, machine } = node.cluster().running();
        const status = consensus.status();
        const own = machine.formation.state?.formation.nodes.get(node.id);
        return `${node.index}: ${status.role} term ${status.term} applied ${status.appliedIndex}/${status.commitIndex}/${status.lastIndex} ${own?.state}(${own?.role}) ${own?.replica} ${status.storage}`;
      })
      .join("; ");
  }

  #observeAll(): void {
    if (this.#failure !== undefined) throw this.#failure;
    for (const node of this.#nodes) {
      if (!node.isUp()) continue;
      const status = node.cluster().running().consensus.status();
      this.#monitor.observe(node.id, status);
    }
  }

  #note(node: string, event: string): void {
    this.#trace.record(this.#clock.monotonicMs(), node.slice(-8), event);
  }
}
