import { isDeepStrictEqual } from "node:util";
import { ed25519Verifier, joinChain, verifySequenceWith } from "@revoada/attest-blake3";
import { chainParts, type ClusterDeclaration } from "@revoada/cluster";
import {
  applyTransition,
  isFabricError,
  mayVote,
  quorumSizeOf,
  type ChainVerdict,
  type NodeId,
  type Term,
  type Transition,
} from "@revoada/fabric";
import type { SeededRandom } from "@revoada/fabric/memory";
import { Trace } from "../trace.ts";
import { require } from "../violation.ts";
import { Chaos } from "./chaos.ts";
import { Judge } from "./judge.ts";
import { LeaderLoop } from "./leader-loop.ts";
import { SimulatedMachine, type Detection } from "./machine.ts";
import { scenarioOf, type Scenario } from "./scenario.ts";
import { SharedLog } from "./shared-log.ts";
import { Switches } from "./switches.ts";
import type { FormationTotals } from "./totals.ts";

/** Virtual milliseconds of one step. */
const stepMs = 100;
/** Entries that clients write in a step. */
const workPerStep = 20;
/** Entries that a copy which is behind takes in within a step. */
const catchUpPerStep = 400;
/** Longer than an election with its timeouts. */
const electionMs = 400;
/** How long a healed formation may take to come to rest. */
const healWithinMs = 180_000;
/** Rest: nothing was decided for this long. */
const quietMs = 30_000;

/** Machines, what they hear of each other, a log among them, and whoever leads. */
export class FormationWorld {
  readonly trace: Trace = new Trace();
  readonly scenario: string;
  readonly machines: readonly SimulatedMachine[];
  readonly log: SharedLog;
  readonly totals: FormationTotals;
  readonly #declared: Scenario;
  readonly #random: SeededRandom;
  /** When blocks are put away; of its own, so that nothing else depends on it. */
  readonly #archiving: SeededRandom;
  /** When other shapes are declared; of its own, too, and not in every seed. */
  readonly #switching: SeededRandom | undefined;
  readonly #switches: Switches;
  readonly #judge: Judge;
  readonly #loop: LeaderLoop;
  readonly #chaos: Chaos;
  readonly #detection: Detection;
  nowMs: number = 0;
  leader: SimulatedMachine | undefined;
  #leaderlessSinceMs = 0;
  #lastTickMs = 0;
  /** What happens right after the leader has committed that many entries more. */
  #strike: { readonly happens: () => void; entries: number } | undefined;

  constructor(seed: number, random: SeededRandom, totals: FormationTotals) {
    this.totals = totals;
    this.#random = random.fork("world");
    this.#archiving = random.fork("archiving");
    this.#declared = scenarioOf(seed, random.fork("scenario"));
    const { declaration, zones } = this.#declared;
    const { topology, strategy } = declaration;
    this.machines = zones.map((zone, at) => new SimulatedMachine(zone, random.fork(`machine-${at}`)));
    this.scenario = `${topology.name}, ${zones.length} nodes in ${new Set(zones).size} zones, ${quorumSizeOf(strategy)} voters`;
    const founder = this.machines[0] as SimulatedMachine;
    founder.start(0);
    founder.generation = 0;
    founder.isMember = true;
    founder.match = 1;
    const genesis = founder.attestor.createGenesis({
      nonce: random.fork("nonce").bytes(32),
      createdMs: 1_000_000_000,
      declaration: declaration.encode(),
      storeId: founder.storeId,
      zone: founder.zone,
      version: founder.version,
      operators: [],
    });
    this.log = new SharedLog(genesis, founder.attestor, this.machines);
    this.leader = founder;
    const switching = random.fork("switching");
    this.#switching = switching.chance(0.5) ? switching.fork("moments") : undefined;
    this.#switches = new Switches(declaration, switching.fork("shapes"), totals);
    this.#judge = new Judge(() => this.#inForce().topology);
    const { failureDetectorTimeoutMs, suspicionMs } = strategy.membership;
    this.#detection = { suspectAfterMs: failureDetectorTimeoutMs, suspicionMs, closedAfterMs: 400 };
    this.#loop = new LeaderLoop({
      log: this.log,
      machines: this.machines,
      declaration: () => this.#inForce(),
      switched: (verb, before, after) => this.#switches.changed(verb, before, after, this.log.configuration),
      totals,
      afterEntry: (leader) => this.#afterEntry(leader),
      handOver: (heir) => this.#lead(heir, "is handed leadership"),
      note: (node, event) => this.note(node, event),
    });
    this.#chaos = new Chaos(this, random.fork("chaos"));
  }

  /** Everybody comes, one after the other or all at once. */
  found(): void {
    for (const machine of this.machines.slice(1)) {
      machine.start(this.nowMs);
      this.pass(this.#random.pick([0, 0, 300, 1500]));
      this.#admit(machine);
    }
    this.pass(5000);
  }

  /** Breaks things for a while. */
  chaos(forMs: number): void {
    const endMs = this.nowMs + forMs;
    while (this.nowMs < endMs) {
      this.#chaos.strike();
      if (this.#switching?.chance(0.01) === true) this.#declare();
      this.pass(stepMs);
    }
  }

  /** Nothing breaks any more: within its bound the formation is whole, and stays as it is. */
  heal(): void {
    this.#chaos.end();
    const endMs = this.nowMs + healWithinMs;
    let quietSinceMs = this.nowMs;
    let seen = this.log.state.formation;
    while (this.nowMs - quietSinceMs < quietMs) {
      require(this.nowMs < endMs, "never-stuck", () =>
        `no rest ${healWithinMs} ms after all was healed: ${this.#describe()}`);
      this.pass(stepMs);
      for (const machine of this.machines) if (this.#isOutside(machine)) this.#admit(machine);
      const { formation } = this.log.state;
      const isUnderWay = formation.declared?.pending !== undefined || !this.#loop.isLevel();
      if (formation !== seen || this.leader === undefined || isUnderWay) quietSinceMs = this.nowMs;
      seen = formation;
    }
    const { leader } = this;
    if (leader !== undefined) this.#judge.settled(this.#loop.observation(leader, this.nowMs), this.totals.switches > 0);
  }

  /** Judges the chain of the production machine by its bytes alone: what is kept, and together with what was put away. */
  verifyChain(): ChainVerdict {
    const { store, wholeStore, archives, state, clusterId } = this.log;
    const { attestor } = this.machines[0] as SimulatedMachine;
    const genesis = state.genesis.bytes;
    const parts = chainParts(store);
    require(state.base.height + parts.blocks.length === state.formation.generation, "one-block-a-shift", () =>
      `${parts.blocks.length} blocks above ${state.base.height}, generation ${state.formation.generation}`);
    const kept = attestor.exportChain({ genesis, ...parts });
    const alone = attestor.verifyChain(kept, clusterId);
    if (!alone.ok) return alone;
    const whole = attestor.readChain(attestor.exportChain({ genesis, ...chainParts(wholeStore) }));
    const joined = attestor.readChain(joinChain([...archives, kept], clusterId));
    require(isDeepStrictEqual(
      joined.filter(({ kind }) => kind !== "checkpoint"),
      whole,
    ), "archives-hold-what-is-dropped", () => `${archives.length} archives and what is kept are not the whole chain`);
    return verifySequenceWith([...archives, kept], clusterId, ed25519Verifier());
  }

  note(node: string, event: string): void {
    this.trace.record(this.nowMs, node.slice(0, 6), event);
  }

  /** Lets time pass, step by step. */
  pass(forMs: number): void {
    const endMs = this.nowMs + forMs;
    while (this.nowMs < endMs) {
      this.nowMs += stepMs;
      this.#step();
    }
  }

  /** Has something happen to whoever leads, right after so many further entries. 0: nothing any more. */
  strikeLeader(entries: number, happens: () => void): void {
    this.#strike = entries === 0 ? undefined : { happens, entries };
  }

  /** An operator's order, refused where the table, the quorum or the moment does not allow it. */
  order(transitions: readonly Transition[]): boolean {
    const { leader } = this;
    if (leader === undefined || !this.log.canCommit(leader, this.nowMs)) return false;
    try {
      let { formation } = this.log.state;
      for (const transition of transitions) formation = applyTransition(formation, transition, this.nowMs);
    } catch (error) {
      if (isFabricError(error)) return false;
      throw error;
    }
    return this.#loop.order(leader, this.nowMs, transitions);
  }

  /** True where a majority of seats would still be held by living nodes that may go on, if this one gave its own up. */
  hasHeir(id: NodeId): boolean {
    const nodes = [...this.log.state.formation.nodes];
    const seats = nodes.filter(([, { replica }]) => replica === "voter").length;
    const heirs = nodes.filter(
      ([other, record]) =>
        other !== id &&
        mayVote(record) &&
        (record.state === "active" || record.state === "standby") &&
        record.flags.length === 0 &&
        this.machines.some((machine) => machine.id === other && machine.acts(this.nowMs)),
    );
    return heirs.length >= seats;
  }

  #inForce(): ClusterDeclaration {
    return this.#switches.inForce(this.log.state.formation);
  }

  /** An operator has the cluster be of another shape. */
  #declare(): void {
    const transition = this.#switches.next(this.log.state.formation);
    if (transition !== undefined && this.order([transition])) this.note("operator", "declares another shape");
  }

  #isOutside(machine: SimulatedMachine): boolean {
    return machine.isMember && machine.isUp && !this.log.state.formation.nodes.has(machine.id);
  }

  /** Lets a machine in through whoever leads. One that was forgotten while it was away comes in anew. */
  #admit(machine: SimulatedMachine): void {
    const { id, storeId, generation, incarnation, zone, version } = machine;
    const admission = { storeId, generation, incarnation, zone, version, tokenId: this.log.tokenId };
    for (let tries = 0; tries < 50; tries += 1) {
      if (this.order([{ verb: "admit", node: id, admission }])) {
        machine.isMember = true;
        this.note(id, "is let in");
        return;
      }
      this.pass(stepMs);
    }
  }

  #step(): void {
    for (const machine of this.machines) {
      if (!machine.acts(this.nowMs)) continue;
      for (const other of this.machines)
        if (other !== machine && other.isMember) machine.listen(other, this.nowMs, this.#detection);
    }
    this.#holdElection();
    const { leader } = this;
    if (leader === undefined) return;
    this.log.catchUp(leader, this.nowMs, catchUpPerStep);
    this.log.work(leader, this.nowMs, workPerStep);
    this.#answerEvictions(leader);
    if (this.nowMs - this.#lastTickMs < this.#declared.declaration.strategy.reconciliationCadenceMs) return;
    this.#lastTickMs = this.nowMs;
    this.#loop.tick(leader, this.nowMs);
    if (this.#archiving.chance(0.02) && this.log.archive(16 + this.#archiving.below(24))) this.totals.archives += 1;
    const { formation } = this.log.state;
    this.#judge.observed(formation, this.#switches.mostVoters(formation));
  }

  #holdElection(): void {
    const { leader, log, nowMs } = this;
    if (leader !== undefined) {
      const isVoter = log.voters().includes(leader);
      if (leader.acts(nowMs) && isVoter && log.hears(leader, nowMs)) return;
      this.note(leader.id, "leads no more");
      this.leader = undefined;
      this.#leaderlessSinceMs = nowMs;
    }
    if (nowMs - this.#leaderlessSinceMs < electionMs) return;
    const able = log
      .voters()
      .filter((voter) => voter.match === log.commitIndex && voter.acts(nowMs) && log.hears(voter, nowMs));
    if (able.length > 0) this.#lead(this.#random.pick(able), "leads");
    else if (nowMs - this.#leaderlessSinceMs === 5000) this.totals.lostQuorums += 1;
  }

  #lead(machine: SimulatedMachine, how: string): void {
    this.leader = machine;
    this.log.term = (this.log.term + 1) as Term;
    this.#loop.quorumSinceMs = this.nowMs;
    this.totals.elections += 1;
    this.note(machine.id, `${how} in term ${this.log.term}`);
  }

  /** A node that lives and hears that it was taken for dead says that it is not. */
  #answerEvictions(leader: SimulatedMachine): void {
    const { formation } = this.log.state;
    for (const machine of this.machines) {
      const record = formation.nodes.get(machine.id);
      if (record === undefined) {
        if (machine.isMember) for (const other of this.machines) other.forget(machine.id);
        continue;
      }
      if (record.state !== "failed" || record.generation !== machine.generation) continue;
      const hears = machine === leader || leader.reaches(machine, this.nowMs);
      if (hears && record.incarnation >= machine.incarnation) machine.incarnation = record.incarnation + 1;
    }
  }

  #afterEntry(leader: SimulatedMachine): void {
    if (leader !== this.leader) return;
    const strike = this.#strike;
    if (strike === undefined) return;
    strike.entries -= 1;
    if (strike.entries > 0) return;
    this.#strike = undefined;
    strike.happens();
  }

  #describe(): string {
    const { formation, sealing } = this.log.state;
    const nodes = this.machines.map(({ id, match, generation, incarnation, isUp, isMember }) => {
      const record = formation.nodes.get(id);
      return `${id.slice(0, 6)} ${record?.state}(${record?.role}) ${record?.replica} ${isUp ? "up" : "down"}${isMember ? "" : ", gone"} match ${match} (${generation}, ${incarnation})/(${record?.generation}, ${record?.incarnation})`;
    });
    const { outgoing, generation } = this.log.configuration;
    return `leader ${this.leader?.id.slice(0, 6)}, commit ${this.log.commitIndex}, ${outgoing === undefined ? "" : "joint, "}configuration ${generation}, formation ${formation.generation}, ${sealing.pending === undefined ? "sealed" : "unsealed"}; ${nodes.join("; ")}`;
  }
}
