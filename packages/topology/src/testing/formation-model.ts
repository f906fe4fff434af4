import {
  applyFormationCommand,
  FabricError,
  genesisFormation,
  InvalidValueError,
  replicasOf,
  type ClusterId,
  type FabricStrategy,
  type Formation,
  type Hash,
  type LimitedRole,
  type LogIndex,
  type Member,
  type MemberStatus,
  type NodeId,
  type ReplicationView,
  type Role,
  type ShiftDecision,
  type StoreId,
  type Term,
  type TopologyStrategy,
} from "@revoada/fabric";
import { topologyReactor, type TopologyReactor } from "../reactor/reactor.ts";
import { memberKeys, type Observation } from "../reactor/situation.ts";

/** A formation that came to no rest: one decision follows another for ever. */
export class UnsettledFormationError extends FabricError {
  constructor(latest: readonly ShiftDecision[]) {
    const last = latest.map(({ kind, reason }) => `${kind} ${reason}`).join("; ");
    super("TOPOLOGY_UNSETTLED", `the formation never settles, last: ${last}`);
  }
}

/** The id of node number `n`, 1 or more: ids are in the order of their numbers. */
export function modelNode(n: number): NodeId {
  return n.toString(16).padStart(64, "0") as NodeId;
}

function storeId(n: number): StoreId {
  return n.toString(16).padStart(32, "0") as StoreId;
}

interface Machine {
  status: MemberStatus;
  generation: number;
  readonly incarnation: number;
  store: number;
}

/** Options of {@link FormationModel}. */
export interface FormationModelOptions {
  readonly topology: TopologyStrategy;
  readonly strategy: FabricStrategy;
  /** Where the founder, node 1, stands. */
  readonly zone?: string;
}

const clusterId = "c".repeat(64) as ClusterId;
const decisionHash = "d".repeat(64) as Hash;
/** Ticks without a decision after which a formation counts as settled: more than any damping lasts. */
const quietTicks = 24;
const maxTicks = 300;
const commitIndex = 1_000_000 as LogIndex;

/**
 * A model of a cluster around the reactor, for the tests of topologies: decisions commit at once and the log's configuration follows
 * them; machines live, die and come back as they are told. Node 1 founds it and leads until it cannot.
 *
 * @example
 * ```ts
 * const model = new FormationModel({ topology: myTopology(), strategy: prescribedHomelab() });
 * for (let n = 2; n <= 5; n += 1) model.admit(n);
 * model.settle();
 * model.kill(modelNode(2));
 * model.settle();
 * ```
 */
export class FormationModel {
  readonly #strategy: FabricStrategy;
  readonly #reactor: TopologyReactor;
  readonly #machines = new Map<NodeId, Machine>();
  readonly #decisions: ShiftDecision[] = [];
  #formation: Formation;
  #configuration: { readonly voters: readonly NodeId[]; readonly learners: readonly NodeId[] };
  #leader = modelNode(1);
  #nowMs = 1_000_000;

  constructor({ topology, strategy, zone = "z1" }: FormationModelOptions) {
    this.#strategy = strategy;
    this.#reactor = topologyReactor({ topology });
    const founder = { id: this.#leader, storeId: storeId(1), zone, version: "1", createdMs: 0 };
    this.#formation = genesisFormation(founder);
    this.#machines.set(this.#leader, { status: "alive", generation: 0, incarnation: 0, store: 1 });
    this.#configuration = { voters: [this.#leader], learners: [] };
  }

  /** What is committed. */
  get formation(): Formation {
    return this.#formation;
  }

  /** Everything that was decided so far, in order. */
  get decisions(): readonly ShiftDecision[] {
    return this.#decisions;
  }

  /** Who decides. */
  get leader(): NodeId {
    return this.#leader;
  }

  /** The leader's clock, milliseconds. */
  get nowMs(): number {
    return this.#nowMs;
  }

  /** Lets node number `n` in, in one of three zones unless told, and with any role unless its token is limited to one. */
  admit(n: number, zone = `z${n % 3}`, limitedTo?: LimitedRole): void {
    const id = modelNode(n);
    this.#machines.set(id, { status: "alive", generation: 1, incarnation: 0, store: n });
    const facts = { storeId: storeId(n), generation: 1, incarnation: 0, zone, version: "1" };
    const admission = limitedTo === undefined ? facts : { ...facts, limitedTo };
    this.commit([{ kind: "admit", transitions: [{ verb: "admit", node: id, admission }], reason: "", inputs: {} }]);
  }

  /** Names node number `n` as the next key of a node: it is heard once it is revived, over the same store. */
  succeed(id: NodeId, n: number): void {
    const { generation, store } = this.#machine(id);
    this.#machines.set(modelNode(n), { status: "dead", generation, incarnation: 0, store });
    const signature = new Uint8Array(64);
    const transition = { verb: "succeed", node: modelNode(n), predecessor: id, signature } as const;
    this.commit([{ kind: "succeed", transitions: [transition], reason: "", inputs: {} }]);
  }

  /** The machine is dead, and everybody knows. */
  kill(id: NodeId): void {
    this.#machine(id).status = "dead";
  }

  /** It starts again; `wiped` with an empty disk. */
  revive(id: NodeId, options: { readonly wiped?: boolean } = {}): void {
    const machine = this.#machine(id);
    machine.status = "alive";
    machine.generation += 1;
    if (options.wiped === true) machine.store += 1000;
  }

  /** Whether the machine lives. */
  isAlive(id: NodeId): boolean {
    return this.#machines.get(id)?.status === "alive";
  }

  /** Whether a majority of the voters lives. */
  hasQuorum(): boolean {
    const { voters } = this.#configuration;
    return voters.filter((id) => this.isAlive(id)).length > voters.length / 2;
  }

  /** Nodes that hold this role now. */
  rolesOf(role: Role): readonly NodeId[] {
    return [...this.#formation.nodes]
      .filter(([, record]) => record.state === "active" && record.role === role)
      .map(([id]) => id);
  }

  /** What the leader would decide on now. */
  observation(): Observation {
    const members = new Map<NodeId, Member>();
    for (const [id, { status, generation, incarnation, store }] of this.#machines) {
      members.set(id, {
        id,
        status,
        ...(status === "dead" ? { evidence: "closed" as const } : {}),
        generation,
        incarnation,
        addresses: [],
        keys: new Map([[memberKeys.storeId, storeId(store)]]),
        statusSinceMs: 60_000,
      });
    }
    const leader = this.#leader;
    return {
      view: { self: leader, members },
      formation: this.#formation,
      replication: this.#replication(),
      strategy: this.#strategy,
      leader,
      nowMs: this.#nowMs,
    };
  }

  /** What the reactor decides in this situation; nothing comes of it. */
  decide(observation: Observation = this.observation()): readonly ShiftDecision[] {
    return this.#reactor.observe(observation);
  }

  /** Commits decisions as they are. Throws what the formation refuses. */
  commit(decisions: readonly ShiftDecision[]): void {
    for (const decision of decisions) {
      const steps = applyFormationCommand(this.#formation, {
        version: 1,
        clusterId,
        baseGeneration: this.#formation.generation,
        transitions: decision.transitions,
        reason: decision.reason,
        decisionHash,
        timeMs: this.#nowMs,
        proposer: this.#leader,
        term: 1 as Term,
      });
      this.#formation = steps.at(-1)?.formation ?? this.#formation;
      this.#decisions.push(decision);
    }
  }

  /** One tick of whoever leads; false where there is no quorum. Throws `TOPOLOGY_BROKEN`. */
  tick(): boolean {
    this.#nowMs += this.#strategy.reconciliationCadenceMs;
    if (!this.hasQuorum()) return false;
    const { voters } = this.#configuration;
    if (!this.isAlive(this.#leader) || !voters.includes(this.#leader))
      this.#leader = voters.find((id) => this.isAlive(id)) as NodeId;
    this.commit(this.decide());
    this.#configuration = {
      voters: replicasOf(this.#formation, "voter"),
      learners: replicasOf(this.#formation, "learner"),
    };
    return true;
  }

  /** Ticks until nothing is decided any more, or there is no quorum. Throws `TOPOLOGY_UNSETTLED` where that never comes. */
  settle(): void {
    for (let quiet = 0, ticks = 0; quiet < quietTicks; ticks += 1) {
      if (ticks > maxTicks) throw new UnsettledFormationError(this.#decisions.slice(-6));
      const before = this.#formation;
      if (!this.tick()) return;
      quiet = before === this.#formation ? quiet + 1 : 0;
    }
  }

  #replication(): ReplicationView {
    const { voters, learners } = this.#configuration;
    return {
      commitIndex,
      matchIndex: new Map([...voters, ...learners].map((id) => [id, this.isAlive(id) ? commitIndex : (1 as LogIndex)])),
      voters: new Set(voters),
      learners: new Set(learners),
      configurationGeneration: this.#formation.generation,
      joint: false,
    };
  }

  #machine(id: NodeId): Machine {
    const machine = this.#machines.get(id);
    if (machine === undefined) throw new InvalidValueError("id", id, "a node that was admitted");
    return machine;
  }
}
