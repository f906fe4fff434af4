import { catalogMachine, memoryStore } from "@revoada/catalog";
import { isDeepStrictEqual } from "node:util";
import {
  ChainArchiver,
  ClusterMachine,
  encodeTokenCommand,
  sealEnvelope,
  type CommandKind,
  type FormationState,
} from "@revoada/cluster";
import {
  silentLogger,
  type Attestor,
  type Configuration,
  type Generation,
  type Genesis,
  type LogIndex,
  type MachineStore,
  type NodeId,
  type ReplicaId,
  type Term,
} from "@revoada/fabric";
import { require } from "../violation.ts";
import type { SimulatedMachine } from "./machine.ts";

/**
 * The log of the world, reduced to what a formation depends on: who may commit, how far each copy is, and which configuration is in force.
 * What is committed goes through the production machine.
 */
export class SharedLog {
  readonly machine: ClusterMachine;
  readonly store: MachineStore = memoryStore();
  /** The same entries, but for drops: what the whole chain is, and what a drop must not change. */
  readonly whole: ClusterMachine;
  readonly wholeStore: MachineStore = memoryStore();
  /** What was put away, in order. */
  readonly archives: Uint8Array[] = [];
  readonly #archiver: ChainArchiver;
  /** The token that lets everybody in. */
  readonly tokenId: string;
  readonly #genesis: Genesis;
  readonly #machines: readonly SimulatedMachine[];
  configuration: Configuration;
  term = 1 as Term;
  /** Entries of clients and of the formation alike. */
  commitIndex = 1;
  #index = 0;

  constructor(genesis: Genesis, attestor: Attestor, machines: readonly SimulatedMachine[]) {
    this.#genesis = genesis;
    this.#machines = machines;
    const { clusterId } = genesis;
    this.machine = new ClusterMachine({ store: this.store, attestor, clusterId, catalog: catalogMachine() });
    this.whole = new ClusterMachine({ store: this.wholeStore, attestor, clusterId, catalog: catalogMachine() });
    this.#archiver = new ChainArchiver({
      attestor,
      machine: this.machine,
      store: this.store,
      holdsReplica: () => true,
      logger: silentLogger,
      pause: () => Promise.resolve(),
      propose: () => Promise.reject(new Error("segments are only planned here")),
    });
    const founder = { id: genesis.founder, storeId: genesis.storeId };
    this.configuration = { voters: [founder], learners: [], generation: 0 as Generation };
    this.#apply({ kind: "configuration", configuration: this.configuration });
    this.#apply({ kind: "command", command: sealEnvelope("genesis", genesis.bytes) });
    const { record } = attestor.createToken({
      clusterId,
      addresses: [],
      voters: [genesis.founder],
      expiresMs: genesis.createdMs + 365 * 24 * 3600 * 1000,
      uses: 1000,
      random: new Uint8Array(48).fill(7),
      recoveries: [],
    });
    this.tokenId = record.tokenId;
    const token = encodeTokenCommand({ version: 1, type: "create", record });
    this.#apply({ kind: "command", command: sealEnvelope("token", token) });
  }

  get state(): FormationState {
    const { state } = this.machine.formation;
    if (state === undefined) throw new Error("genesis was refused");
    return state;
  }

  get clusterId(): Genesis["clusterId"] {
    return this.#genesis.clusterId;
  }

  /** True where every majority that counts would take an entry of this leader in at this moment. */
  canCommit(leader: SimulatedMachine, nowMs: number): boolean {
    return this.#majorities().every((voters) => {
      const takers = this.#takers(voters, leader, nowMs);
      return takers.length > voters.length / 2;
    });
  }

  /** True where a leader hears majorities, whether or not they keep up. */
  hears(leader: SimulatedMachine, nowMs: number): boolean {
    return this.#majorities().every((voters) => {
      const heard = this.#present(voters).filter((voter) => voter === leader || leader.reaches(voter, nowMs));
      return heard.length > voters.length / 2;
    });
  }

  /** Machines that vote, with the disk that they vote from. */
  voters(): readonly SimulatedMachine[] {
    return this.#present(this.#majorities().flat());
  }

  /** Commits a command; false, and nothing happened, where no majority takes it in. */
  commit(leader: SimulatedMachine, nowMs: number, kind: CommandKind, body: Uint8Array): boolean {
    if (!this.#append(leader, nowMs)) return false;
    this.#apply({ kind: "command", command: sealEnvelope(kind, body) });
    return true;
  }

  /** One entry of a joint change. Both majorities must take it in. */
  configure(leader: SimulatedMachine, nowMs: number, configuration: Configuration): boolean {
    const before = this.configuration;
    this.configuration = configuration;
    if (!this.#append(leader, nowMs)) {
      this.configuration = before;
      return false;
    }
    this.#apply({ kind: "configuration", configuration });
    return true;
  }

  /** Entries of clients. */
  work(leader: SimulatedMachine, nowMs: number, entries: number): void {
    if (!this.canCommit(leader, nowMs)) return;
    const before = this.commitIndex;
    this.commitIndex += entries;
    for (const machine of this.#machines)
      if (machine.match === before && this.#keepsUp(machine, leader, nowMs)) machine.match = this.commitIndex;
  }

  /** Copies that are behind take in what they can. */
  catchUp(leader: SimulatedMachine, nowMs: number, entries: number): void {
    for (const machine of this.#machines)
      if (this.#keepsUp(machine, leader, nowMs)) machine.match = Math.min(this.commitIndex, machine.match + entries);
  }

  isReplica(machine: SimulatedMachine): boolean {
    const { voters, outgoing = [], learners } = this.configuration;
    return [...voters, ...outgoing, ...learners].some((replica) => isOf(machine, replica));
  }

  #keepsUp(machine: SimulatedMachine, leader: SimulatedMachine, nowMs: number): boolean {
    if (!this.isReplica(machine)) return false;
    return machine === leader || (leader.reaches(machine, nowMs) && !machine.isSlow);
  }

  #majorities(): readonly (readonly ReplicaId[])[] {
    const { voters, outgoing } = this.configuration;
    return outgoing === undefined ? [voters] : [voters, outgoing];
  }

  #present(replicas: readonly ReplicaId[]): readonly SimulatedMachine[] {
    return this.#machines.filter((machine) => replicas.some((replica) => isOf(machine, replica)));
  }

  #takers(voters: readonly ReplicaId[], leader: SimulatedMachine, nowMs: number): readonly SimulatedMachine[] {
    return this.#present(voters).filter(
      (voter) => voter.match === this.commitIndex && this.#keepsUp(voter, leader, nowMs),
    );
  }

  #append(leader: SimulatedMachine, nowMs: number): boolean {
    if (!this.canCommit(leader, nowMs)) return false;
    this.work(leader, nowMs, 1);
    return true;
  }

  /**
   * Puts sealed blocks away and drops them. It happens beside whatever else is committed, and takes no time: what it must not do is to change anything.
   * False where too few may go, or where nobody who votes could say so: the archiver speaks for the founder.
   */
  archive(keepBlocks: number): boolean {
    const founder = this.state.formation.nodes.get(this.#genesis.founder);
    const planned = founder?.replica === "voter" ? this.#archiver.plan({ keepBlocks, partial: true }) : undefined;
    if (planned === undefined) return false;
    this.#index += 1;
    const entry = { index: this.#index as LogIndex, term: this.term };
    const before = this.state;
    const [result] = this.machine.apply([{ ...entry, kind: "command", command: planned.command }]);
    this.whole.apply([{ ...entry, kind: "noop" }]);
    const { base, ...rest } = this.state;
    require(base.height === planned.last, "drops-what-is-archived", () =>
      `dropped up to ${base.height}, archived up to ${planned.last}: ${Buffer.from(result ?? []).toString("latin1")}`);
    const { base: _, ...expected } = before;
    require(isDeepStrictEqual(rest, expected), "a-drop-changes-nothing", () =>
      `the state after ${base.height} differs`);
    this.archives.push(planned.file);
    return true;
  }

  #apply(
    entry:
      | { readonly kind: "command"; readonly command: Uint8Array }
      | { readonly kind: "configuration"; readonly configuration: Configuration },
  ): void {
    this.#index += 1;
    const applied = { ...entry, index: this.#index as LogIndex, term: this.term };
    const [result] = this.machine.apply([applied]);
    const [same] = this.whole.apply([applied]);
    require(isDeepStrictEqual(result, same), "a-drop-changes-nothing", () =>
      `entry ${this.#index} is answered otherwise where nothing was dropped`);
  }

  /** A configuration that is about to be in force is the formation's, at the generation that it carries. */
  checkFollows(configuration: Configuration): void {
    const { formation } = this.state;
    const text = (replicas: readonly ReplicaId[]): string =>
      replicas
        .map(({ id, storeId }) => id + storeId)
        .toSorted()
        .join();
    const of = (kind: "voter" | "learner"): readonly ReplicaId[] =>
      [...formation.nodes].flatMap(([id, { replica, storeId }]) => (replica === kind ? [{ id, storeId }] : []));
    const isSame =
      text(configuration.voters) === text(of("voter")) && text(configuration.learners) === text(of("learner"));
    require(configuration.generation === formation.generation && isSame, "configuration-is-formation", () =>
      `the configuration of generation ${configuration.generation} is not the formation at ${formation.generation}`);
  }
}

function isOf(machine: SimulatedMachine, { id, storeId }: { readonly id: NodeId; readonly storeId: string }): boolean {
  return machine.id === id && machine.storeId === storeId;
}
