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
  type Transition,
  type TopologyStrategy,
} from "@revoada/fabric";
import type { Policy } from "../policies/policy.ts";
import type { ReactorLimits } from "../reactor/limits.ts";
import { topologyReactor, type TopologyReactor } from "../reactor/reactor.ts";
import { givenUpBy } from "../reactor/given-up.ts";
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
  incarnation: number;
  store: number;
  /** When its status began, on the leader's clock. */
  sinceMs: number;
  /** When it fell behind; undefined where it keeps up. */
  behindSinceMs: number | undefined;
  readonly keys: Map<string, string>;
}

/** Options of {@link FormationModel}. */
export interface FormationModelOptions {
  readonly topology: TopologyStrategy;
  readonly strategy: FabricStrategy;
  /** Where the founder, node 1, stands. */
  readonly zone?: string;
  /** The default ones unless told. */
  readonly policies?: readonly Policy[];
  /** Over what the strategy says. */
  readonly limits?: Partial<ReactorLimits>;
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

  constructor({ strategy, zone = "z1", ...reactor }: FormationModelOptions) {
    this.#strategy = strategy;
    this.#reactor = topologyReactor(reactor);
    const founder = { id: this.#leader, storeId: storeId(1), zone, version: "1", createdMs: 0 };
    this.#formation = genesisFormation(founder);
    this.#machines.set(this.#leader, this.#newMachine(0, 1));
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
    this.#machines.set(id, this.#newMachine(1, n));
    const facts = { storeId: storeId(n), generation: 1, incarnation: 0, zone, version: "1" };
    const admission = limitedTo === undefined ? facts : { ...facts, limitedTo };
    this.commit([{ kind: "admit", transitions: [{ verb: "admit", node: id, admission }], reason: "", inputs: {} }]);
  }

  /** Names node number `n` as the next key of a node: it is heard once it is revived, over the same store. */
  succeed(id: NodeId, n: number): void {
    const { generation, store } = this.#machine(id);
    this.#machines.set(modelNode(n), { ...this.#newMachine(generation, store), status: "dead" });
    const signature = new Uint8Array(64);
    const transition = { verb: "succeed", node: modelNode(n), predecessor: id, signature } as const;
    this.commit([{ kind: "succeed", transitions: [transition], reason: "", inputs: {} }]);
  }

  /** The machine is dead, and everybody knows. */
  kill(id: NodeId): void {
    this.#become(id, "dead");
  }

  /** It says good-bye. */
  leave(id: NodeId): void {
    this.#become(id, "left");
  }

  /** It is silent for a moment: suspected, and heard again. */
  blink(id: NodeId): void {
    this.#become(id, "suspect");
    this.#become(id, "alive");
  }

  /** Its replica falls behind, or keeps up again. */
  lag(id: NodeId, isBehind: boolean): void {
    const machine = this.#machine(id);
    machine.behindSinceMs = isBehind ? (machine.behindSinceMs ?? this.#nowMs) : undefined;
  }

  /** It says this of itself, as of its version. */
  say(id: NodeId, key: string, value: string): void {
    this.#machine(id).keys.set(key, value);
  }

  /** An operator's word, or what else is committed beside the reactor. */
  order(transitions: readonly Transition[]): void {
    this.commit([{ kind: "order", transitions, reason: "", inputs: {} }]);
  }

  /** Lets time pass in which nothing is decided. */
  wait(ms: number): void {
    this.#nowMs += ms;
  }

  /** It starts again; `wiped` with an empty disk. */
  revive(id: NodeId, options: { readonly wiped?: boolean } = {}): void {
    const machine = this.#machine(id);
    this.#become(id, "alive");
    machine.generation += 1;
    machine.incarnation = 0;
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
    for (const [id, { status, generation, incarnation, store, sinceMs, keys }] of this.#machines) {
      members.set(id, {
        id,
        status,
        ...(status === "dead" ? { evidence: "closed" as const } : {}),
        generation,
        incarnation,
        addresses: [],
        keys: new Map([[memberKeys.storeId, storeId(store)], ...keys]),
        statusSinceMs: this.#nowMs - sinceMs,
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
      givenUp: givenUpBy(this.#decisions),
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
      matchIndex: new Map(
        [...voters, ...learners].map((id) => [id, this.#keepsUp(id) ? commitIndex : (1 as LogIndex)]),
      ),
      behindMs: this.#behindMs([...voters, ...learners]),
      voters: new Set(voters),
      learners: new Set(learners),
      configurationGeneration: this.#formation.generation,
      joint: false,
    };
  }

  #keepsUp(id: NodeId): boolean {
    const machine = this.#machine(id);
    return machine.status === "alive" && machine.behindSinceMs === undefined;
  }

  #behindMs(replicas: readonly NodeId[]): ReadonlyMap<NodeId, number> {
    const behind = new Map<NodeId, number>();
    for (const id of replicas) {
      const { behindSinceMs } = this.#machine(id);
      if (behindSinceMs !== undefined) behind.set(id, this.#nowMs - behindSinceMs);
    }
    return behind;
  }

  #newMachine(generation: number, store: number): Machine {
    const started = { generation, incarnation: 0, store, sinceMs: this.#nowMs };
    return { status: "alive", ...started, behindSinceMs: undefined, keys: new Map() };
  }

  #become(id: NodeId, status: MemberStatus): void {
    const machine = this.#machine(id);
    if (machine.status === status) return;
    machine.status = status;
    machine.sinceMs = this.#nowMs;
  }

  #machine(id: NodeId): Machine {
    const machine = this.#machines.get(id);
    if (machine === undefined) throw new InvalidValueError("id", id, "a node that was admitted");
    return machine;
  }
}
