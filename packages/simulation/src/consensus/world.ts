import { memoryNetwork, seededRandom, virtualClock, type SeededRandom } from "@revoada/fabric/memory";
import type { Configuration, Generation } from "@revoada/fabric";
import { checkLinearizable } from "../linearizability/checker.ts";
import { Trace } from "../trace.ts";
import { InvariantViolation } from "../violation.ts";
import { Chaos } from "./chaos.ts";
import { Clients, planBatches, type Batch } from "./clients.ts";
import { watchCores, type WatchedCore } from "./core-steps.ts";
import { describeFault, planFaults, type TimedFault } from "./faults.ts";
import { Healing } from "./healing.ts";
import { ConsensusMonitor } from "./monitor.ts";
import { Operator } from "./operator.ts";
import type { RegisterCommand } from "./register-machine.ts";
import { SimulatedReplica } from "./replica.ts";
import { drawSetup, leastFaultKinds, type Setup } from "./setup.ts";
import { faultKindsSeen, noTotals, type ConsensusTotals } from "./totals.ts";

export interface ConsensusRunOptions {
  readonly seed: number;
  /** 1 to 7; the seed decides unless told. */
  readonly nodes?: number;
  /** Virtual minutes; 1 unless told. */
  readonly minutes?: number;
  /** Only these of the planned events happen; all of them unless told. */
  readonly only?: readonly number[];
}

export interface ConsensusRunResult {
  readonly seed: number;
  readonly traceHash: string;
  readonly totals: ConsensusTotals;
  readonly virtualMs: number;
  readonly faultKinds: number;
  /** What was planned, a line for each event; its place is its number. */
  readonly plan: readonly string[];
  /** What broke, where something did. */
  readonly violation?: { readonly invariant: string; readonly message: string; readonly latest: readonly string[] };
}

/** One run from one seed: chaos while clients work, then healing, then judgement. Never throws for a broken invariant. */
export async function runConsensusSeed(options: ConsensusRunOptions): Promise<ConsensusRunResult> {
  const world = new ConsensusWorld(options);
  return await world.run();
}

/** How many operations a run must have seen. */
const leastOperations = 1000;
/** One in so many operations must succeed in every run; one in two over all runs. */
const leastShare = 10;

interface CoreOwner {
  readonly replica: SimulatedReplica;
  readonly life: SimulatedReplica["life"];
}

class ConsensusWorld {
  readonly #options: ConsensusRunOptions;
  readonly #random: SeededRandom;
  readonly #setup: Setup;
  readonly #clock = virtualClock();
  readonly #totals = noTotals();
  readonly #trace = new Trace();
  readonly #monitor: ConsensusMonitor;
  readonly #network;
  readonly #replicas: readonly SimulatedReplica[];
  readonly #clients: Clients;
  readonly #operator: Operator;
  readonly #chaos: Chaos;
  readonly #faults: readonly TimedFault[];
  readonly #batches: readonly Batch[];
  /** Where each operation stands in the log. */
  readonly #placed = new Map<number, number>();
  #current: SimulatedReplica | undefined;
  readonly #owners = new WeakMap<WatchedCore, CoreOwner>();
  /** The latest core that stepped in each life. */
  readonly #cores = new WeakMap<SimulatedReplica["life"], WatchedCore>();

  constructor(options: ConsensusRunOptions) {
    this.#options = options;
    const random = seededRandom(options.seed);
    this.#random = random;
    const setup = drawSetup(random.fork("setup"), options);
    this.#setup = setup;
    this.#monitor = new ConsensusMonitor(this.#totals, this.#trace, () => this.#clock.monotonicMs());
    const links = random.fork("links");
    this.#network = memoryNetwork({
      clock: this.#clock,
      random: random.fork("bindings"),
      latencyMs: () => setup.latencyMs * (0.5 + links.float()),
    });
    const shared = {
      clock: this.#clock,
      network: this.#network,
      monitor: this.#monitor,
      trace: this.#trace,
      totals: this.#totals,
      setup,
      entered: (replica: SimulatedReplica): void => {
        this.#current = replica;
      },
      leader: () => this.#leader(),
    };
    this.#replicas = Array.from(
      { length: setup.nodes },
      (_, index) =>
        new SimulatedReplica(index, {
          ...shared,
          random,
          leaderHint: () => this.#leader()?.id,
          applied: (replica, at, command) => this.#applied(replica, at, command),
        }),
    );
    const around = { ...shared, replicas: this.#replicas };
    this.#clients = new Clients({ ...around, random: random.fork("clients") });
    this.#operator = new Operator(around);
    this.#chaos = new Chaos({
      ...around,
      random: random.fork("chaos"),
      operator: this.#operator,
      clients: this.#clients,
    });
    this.#faults = planFaults(setup, random.fork("faults"));
    this.#batches = planBatches(setup, random.fork("batches"));
  }

  async run(): Promise<ConsensusRunResult> {
    const unwatch = watchCores((core, event, effects) => {
      const owner = this.#ownerOf(core);
      // What is left of a process that was killed may still run to its next wait; it reaches nothing any more.
      const isAlive = owner.replica.isUp && owner.replica.life === owner.life;
      if (isAlive && this.#monitor.stepped(owner.replica.id, core, event, effects)) this.#chaos.elected(owner.replica);
    });
    try {
      await this.#play();
      return this.#result(this.#monitor.violation);
    } catch (error) {
      return this.#result(this.#monitor.violation ?? asViolation(error));
    } finally {
      unwatch();
    }
  }

  /** A core belongs to whoever ran when it took its first step. */
  #ownerOf(core: WatchedCore): CoreOwner {
    const known = this.#owners.get(core);
    if (known !== undefined) return known;
    const replica = this.#current;
    if (replica === undefined) throw new Error("a core stepped and nobody ran");
    const owner = { replica, life: replica.life };
    this.#owners.set(core, owner);
    this.#cores.set(owner.life, core);
    return owner;
  }

  async #play(): Promise<void> {
    await this.#found();
    this.#plan();
    const endMs = this.#setup.chaosMs;
    await this.#until(() => false, endMs - this.#clock.monotonicMs());
    this.#chaos.end();
    this.#trace.record(this.#clock.monotonicMs(), "world", "heals");
    if (this.#setup.durableMachines) this.#totals.durableMachines += 1;
    const healing = new Healing({
      clock: this.#clock,
      network: this.#network,
      monitor: this.#monitor,
      trace: this.#trace,
      setup: this.#setup,
      random: this.#random.fork("healing"),
      replicas: this.#replicas,
      clients: this.#clients,
      operator: this.#operator,
      chaos: this.#chaos,
      totals: this.#totals,
      leader: () => this.#leader(),
      until: (condition, withinMs) => this.#until(condition, withinMs),
    });
    await healing.heal();
    this.#judgeWrites();
    await healing.restartAll();
    await this.#until(() => false, (this.#options.minutes ?? 1) * 60_000 + 1 - this.#clock.monotonicMs());
    this.#judgeWrites();
    this.#judgeHistory();
    this.#judgeWorth();
  }

  async #found(): Promise<void> {
    const voters = [];
    for (const replica of this.#replicas) {
      const storeId = await replica.prepare();
      if (replica.index < this.#setup.founders) voters.push({ id: replica.id, storeId });
    }
    const founding: Configuration = { voters, learners: [], generation: 0 as Generation };
    this.#monitor.proposed(founding);
    for (const replica of this.#replicas) {
      if (replica.index < this.#setup.founders) replica.start(founding);
      else replica.start();
    }
  }

  #plan(): void {
    const { only } = this.#options;
    const isPlanned = (event: number): boolean => only === undefined || only.includes(event);
    this.#faults.forEach(({ atMs, fault }, event) => {
      if (!isPlanned(event)) return;
      this.#clock.schedule(atMs, () => {
        this.#trace.record(this.#clock.monotonicMs(), "world", describeFault({ atMs, fault }));
        this.#chaos.strike(fault);
      });
    });
    this.#batches.forEach((batch, position) => {
      if (isPlanned(this.#faults.length + position)) this.#clock.schedule(batch.atMs, () => this.#clients.start(batch));
    });
    const mending = this.#random.fork("mending");
    const mend = (): void => {
      this.#operator.mend(mending);
      this.#clock.schedule(this.#setup.electionTimeoutMs * 2, mend);
    };
    this.#clock.schedule(this.#setup.electionTimeoutMs, mend);
  }

  /** Goes on until `condition` holds, for at most `withinMs`; false where it did not come to hold. Throws what was broken. */
  async #until(condition: () => boolean, withinMs: number): Promise<boolean> {
    let holds = false;
    const endMs = this.#clock.monotonicMs() + Math.max(0, withinMs);
    // A callback at the very end, so that the wait ends by its condition.
    this.#clock.schedule(Math.max(0, withinMs), () => undefined);
    await this.#clock.runUntil(
      () => {
        if (this.#monitor.violation !== undefined) return true;
        holds = condition();
        return holds || this.#clock.monotonicMs() >= endMs;
      },
      { withinMs: Math.max(0, withinMs) + 1 },
    );
    if (this.#monitor.violation !== undefined) throw this.#monitor.violation;
    return holds;
  }

  /** Whoever believes to lead in the latest term. */
  #leader(): SimulatedReplica | undefined {
    let best: SimulatedReplica | undefined;
    let bestTerm = -1;
    for (const replica of this.#replicas) {
      if (!replica.isRunning) continue;
      const core = this.#cores.get(replica.life);
      if (core === undefined || !core.isLeader || core.term <= bestTerm) continue;
      best = replica;
      bestTerm = core.term;
    }
    return best;
  }

  #applied(replica: SimulatedReplica, index: number, { id }: RegisterCommand): void {
    const known = this.#placed.get(id);
    if (known === undefined) this.#placed.set(id, index);
    this.#monitor.check(
      known === undefined || known === index,
      "exactly-once",
      () => `${replica.name} applies operation ${id} at ${index}, it was applied at ${known}`,
    );
  }

  /** Acknowledged writes exactly once at the index that was told, refused ones never, unknown ones at most once; on every replica. */
  #judgeWrites(): void {
    const check = this.#monitor.check.bind(this.#monitor);
    const members = this.#replicas.filter((replica) => this.#isMember(replica));
    for (const { id, local, outcome, index } of this.#clients.records) {
      check(outcome !== "pending", "never-stuck", () => `operation ${id} was never answered`);
      if (local) continue;
      for (const replica of members) {
        const found = replica.life.machine.registers.applied.get(id);
        if (outcome === "acknowledged")
          check(
            found === index,
            "nothing-lost",
            () => `${replica.name} has operation ${id} at ${found}, told was ${index}`,
          );
        if (outcome === "refused")
          check(
            found === undefined,
            "refused-is-absent",
            () => `${replica.name} has the refused operation ${id} at ${found}`,
          );
      }
      this.#totals.checkedWrites += 1;
    }
    if (this.#monitor.violation !== undefined) throw this.#monitor.violation;
  }

  #isMember(replica: SimulatedReplica): boolean {
    const configuration = this.#monitor.committedConfiguration;
    return [...(configuration?.voters ?? []), ...(configuration?.learners ?? [])].some(({ id }) => id === replica.id);
  }

  #judgeHistory(): void {
    const history = this.#clients.history();
    const verdict = checkLinearizable(history);
    this.#totals.checkedOperations += history.length;
    if (verdict.verdict === "linearizable") return;
    const stuck = verdict.stuckAt
      .slice(0, 12)
      .map(
        ({ id, call, answer, invokedAt, respondedAt }) =>
          `${id} ${JSON.stringify(call)} [${invokedAt}, ${respondedAt}] -> ${JSON.stringify(answer)}`,
      );
    throw new InvariantViolation("linearizable", `${verdict.key} is ${verdict.verdict}, around ${stuck.join("; ")}`);
  }

  /** A run in which little happened proves little. */
  #judgeWorth(): void {
    if (this.#options.only !== undefined) return;
    const kinds = faultKindsSeen(this.#totals);
    const { operations, acknowledged } = this.#totals;
    if (kinds < leastFaultKinds)
      throw new InvariantViolation("worth-its-time", `only ${kinds} kinds of fault were seen`);
    if (operations < leastOperations) throw new InvariantViolation("worth-its-time", `only ${operations} operations`);
    if (acknowledged * leastShare < operations)
      throw new InvariantViolation("worth-its-time", `only ${acknowledged} of ${operations} operations succeeded`);
  }

  #result(violation: InvariantViolation | undefined): ConsensusRunResult {
    const batches = this.#batches.map(
      ({ atMs, withinMs, count }) => `${atMs.toFixed(0)} ms: ${count} operations within ${withinMs.toFixed(0)} ms`,
    );
    return {
      seed: this.#options.seed,
      traceHash: this.#trace.digest(),
      totals: this.#totals,
      virtualMs: this.#clock.monotonicMs(),
      faultKinds: faultKindsSeen(this.#totals),
      plan: [...this.#faults.map(describeFault), ...batches],
      ...(violation === undefined
        ? {}
        : {
            violation: {
              invariant: violation.invariant,
              message: violation.message,
              latest: this.#trace.latest(80),
            },
          }),
    };
  }
}

function asViolation(error: unknown): InvariantViolation {
  if (error instanceof InvariantViolation) return error;
  return new InvariantViolation("no-crash", error instanceof Error ? (error.stack ?? error.message) : String(error));
}
