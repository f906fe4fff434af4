import {
  applyFormationCommand,
  genesisFormation,
  quorumSizeOf,
  replicasOf,
  type FabricStrategy,
  type Formation,
  type LogIndex,
  type Member,
  type MemberStatus,
  type NodeId,
  type ReplicationView,
  type ShiftDecision,
  type StoreId,
  type TopologyStrategy,
} from "@revoada/fabric";
import { memberKeys, topologyReactor, type Observation, type TopologyReactor } from "@revoada/topology";

export function nodeId(n: number): NodeId {
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
}

/** A model of a cluster around the reactor: decisions commit at once and the log's configuration follows them. */
export class World {
  readonly topology: TopologyStrategy;
  readonly strategy: FabricStrategy;
  readonly reactor: TopologyReactor;
  readonly machines = new Map<NodeId, Machine>();
  readonly log: ShiftDecision[] = [];
  formation: Formation;
  configuration: { voters: readonly NodeId[]; learners: readonly NodeId[] };
  leader: NodeId;
  nowMs = 1_000_000;

  constructor(topology: TopologyStrategy, strategy: FabricStrategy) {
    this.topology = topology;
    this.strategy = strategy;
    this.reactor = topologyReactor({ topology });
    this.leader = nodeId(1);
    this.formation = genesisFormation({ id: this.leader, storeId: storeId(1), zone: "z1", version: "1", createdMs: 0 });
    this.machines.set(this.leader, { status: "alive", generation: 0, incarnation: 0, store: 1 });
    this.configuration = { voters: [this.leader], learners: [] };
  }

  admit(n: number, zone = `z${n % 3}`): void {
    const id = nodeId(n);
    this.machines.set(id, { status: "alive", generation: 1, incarnation: 0, store: n });
    this.commit([
      {
        kind: "admit",
        transitions: [
          {
            verb: "admit",
            node: id,
            admission: { storeId: storeId(n), generation: 1, incarnation: 0, zone, version: "1" },
          },
        ],
        reason: "",
        inputs: {},
      },
    ]);
  }

  kill(id: NodeId): void {
    const machine = this.machines.get(id);
    if (machine !== undefined) machine.status = "dead";
  }

  revive(id: NodeId, options: { wiped?: boolean } = {}): void {
    const machine = this.machines.get(id) as Machine;
    machine.status = "alive";
    machine.generation += 1;
    if (options.wiped === true) machine.store += 1000;
  }

  alive(id: NodeId): boolean {
    return this.machines.get(id)?.status === "alive";
  }

  hasQuorum(): boolean {
    const up = this.configuration.voters.filter((id) => this.alive(id)).length;
    return up > this.configuration.voters.length / 2;
  }

  observation(): Observation {
    const members = new Map<NodeId, Member>();
    for (const [id, machine] of this.machines) {
      members.set(id, {
        id,
        status: machine.status,
        ...(machine.status === "dead" ? { evidence: "closed" as const } : {}),
        generation: machine.generation,
        incarnation: machine.incarnation,
        addresses: [],
        keys: new Map([[memberKeys.storeId, storeId(machine.store)]]),
        statusSinceMs: 60_000,
      });
    }
    const match = new Map<NodeId, LogIndex>();
    for (const id of [...this.configuration.voters, ...this.configuration.learners]) {
      match.set(id, (this.alive(id) ? 1_000_000 : 1) as LogIndex);
    }
    const replication: ReplicationView = {
      commitIndex: 1_000_000 as LogIndex,
      matchIndex: match,
      voters: new Set(this.configuration.voters),
      learners: new Set(this.configuration.learners),
      configurationGeneration: this.formation.generation,
      joint: false,
    };
    const { formation, strategy, leader, nowMs } = this;
    return { view: { self: leader, members }, formation, replication, strategy, leader, nowMs };
  }

  commit(decisions: readonly ShiftDecision[]): void {
    for (const decision of decisions) {
      const steps = applyFormationCommand(this.formation, {
        version: 1,
        clusterId: "c" as never,
        baseGeneration: this.formation.generation,
        transitions: decision.transitions,
        reason: decision.reason,
        decisionHash: "h" as never,
        timeMs: this.nowMs,
        proposer: this.leader,
        term: 1 as never,
      });
      this.formation = steps.at(-1)?.formation ?? this.formation;
      this.log.push(decision);
    }
  }

  /** One reconciliation tick of whoever leads; false where nobody can. */
  tick(): boolean {
    this.nowMs += quorumSizeOf(this.strategy) === 0 ? 0 : this.strategy.reconciliationCadenceMs;
    if (!this.hasQuorum()) return false;
    if (!this.alive(this.leader) || !this.configuration.voters.includes(this.leader))
      this.leader = this.configuration.voters.find((id) => this.alive(id)) as NodeId;
    this.commit(this.reactor.observe(this.observation()));
    this.configuration = {
      voters: replicasOf(this.formation, "voter"),
      learners: replicasOf(this.formation, "learner"),
    };
    return true;
  }

  /** Ticks until two in a row decide nothing; throws where that does not come. */
  settle(): void {
    for (let quiet = 0, ticks = 0; quiet < 24; ticks += 1) {
      if (ticks > 300)
        throw new Error(
          `never settles, last: ${this.log
            .slice(-6)
            .map((d) => `${d.kind} ${d.reason}`)
            .join("; ")}`,
        );
      const before = this.formation;
      if (!this.tick()) return;
      quiet = before === this.formation ? quiet + 1 : 0;
    }
  }

  rolesOf(role: string): readonly NodeId[] {
    return [...this.formation.nodes]
      .filter(([, record]) => record.state === "active" && record.role === role)
      .map(([id]) => id);
  }
}
