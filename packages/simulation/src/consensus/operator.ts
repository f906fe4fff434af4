import type { Configuration, ConsensusStatus, Generation, ReplicaId } from "@revoada/fabric";
import type { SeededRandom } from "@revoada/fabric/memory";
import type { ConsensusMonitor } from "./monitor.ts";
import type { SimulatedReplica } from "./replica.ts";
import type { ConsensusTotals } from "./totals.ts";

export interface OperatorSurroundings {
  readonly monitor: ConsensusMonitor;
  readonly totals: ConsensusTotals;
  readonly replicas: readonly SimulatedReplica[];
  entered(replica: SimulatedReplica): void;
  leader(): SimulatedReplica | undefined;
}

function same(left: ReplicaId, right: ReplicaId): boolean {
  return left.id === right.id && left.storeId === right.storeId;
}

/** Changes voters and moves leadership, as an operator of a cluster does, and mends what lost its disk. */
export class Operator {
  readonly #around: OperatorSurroundings;
  #generation = 0;
  #changing = false;

  constructor(around: OperatorSurroundings) {
    this.#around = around;
  }

  /** The configuration in force, where nothing of it is under way as far as anybody knows. */
  settled(): Configuration | undefined {
    const { monitor, replicas } = this.#around;
    const configuration = monitor.committedConfiguration;
    if (configuration === undefined || configuration.outgoing !== undefined || this.#changing) return undefined;
    if (!monitor.knowsConfiguration) return undefined;
    const isMember = ({ id }: SimulatedReplica): boolean =>
      [...configuration.voters, ...configuration.learners].some((member) => member.id === id);
    const isUnderWay = replicas.some(
      (replica) => isMember(replica) && replica.configurationIndex > monitor.committedIndex,
    );
    return isUnderWay ? undefined : configuration;
  }

  /** True where this replica's disk may be lost: enough others hold everything, and nothing else is broken. */
  mayDamage(replica: SimulatedReplica): boolean {
    if (this.#around.replicas.some((each) => each.damage !== undefined)) return false;
    const configuration = this.settled();
    if (configuration === undefined) return false;
    const isVoter = configuration.voters.some(({ id }) => id === replica.id);
    return !isVoter || configuration.voters.length >= 3;
  }

  /** Asks the leader for another set of voters and learners. */
  reconfigure(random: SeededRandom): void {
    const leader = this.#around.leader();
    if (leader === undefined || this.#changing || this.#around.replicas.some(({ damage }) => damage !== undefined))
      return;
    const { configuration } = leader.life.consensus.status();
    if (configuration.outgoing !== undefined) return;
    const target = this.#draw(leader, configuration, random);
    if (target !== undefined) this.#change(leader, target);
  }

  #draw(
    leader: SimulatedReplica,
    { voters, learners }: Configuration,
    random: SeededRandom,
  ): Pick<Configuration, "voters" | "learners"> | undefined {
    const self = voters.find(({ id }) => id === leader.id);
    const outside = this.#around.replicas
      .filter((replica) => replica.isRunning && replica.storeId !== undefined)
      .map((replica): ReplicaId => ({ id: replica.id, storeId: replica.storeId as ReplicaId["storeId"] }))
      .filter((replica) => ![...voters, ...learners].some(({ id }) => id === replica.id));
    const newcomer = outside.length > 0 ? random.pick(outside) : undefined;
    const learner = learners.length > 0 ? random.pick(learners) : undefined;
    const voter = random.pick(voters);
    const without = (gone: ReplicaId | undefined): readonly ReplicaId[] =>
      voters.filter((each) => gone === undefined || !same(each, gone));
    const flavours = [
      "learn",
      "promote",
      "add",
      "add",
      "remove",
      "remove-leader",
      "replace",
      "replace-leader",
      "demote",
      "many",
    ] as const;
    switch (random.pick(flavours)) {
      case "learn":
        return newcomer && { voters, learners: [...learners, newcomer] };
      case "promote":
        return learner && { voters: [...voters, learner], learners: learners.filter((each) => each !== learner) };
      case "add":
        return newcomer && { voters: [...voters, newcomer], learners };
      case "remove":
        return voters.length > 1 ? { voters: without(voter), learners } : undefined;
      case "remove-leader":
        return voters.length > 1 && self ? { voters: without(self), learners } : undefined;
      case "replace":
        return newcomer && { voters: [...without(voter), newcomer], learners };
      case "replace-leader":
        return newcomer && { voters: [...without(self), newcomer], learners };
      case "demote":
        return voters.length > 1 ? { voters: without(voter), learners: [...learners, voter] } : undefined;
      case "many": {
        const all = random.shuffle([...voters, ...learners, ...outside]);
        const size = 1 + random.below(all.length);
        return { voters: all.slice(0, size), learners: all.slice(size, size + random.below(2)) };
      }
    }
  }

  /** A disk that is damaged and that nobody refills, because its replica is no member, is replaced. */
  #discard(replica: SimulatedReplica): void {
    const configuration = this.settled();
    if (configuration === undefined || !replica.isRunning) return;
    if (replica.life.consensus.status().storage !== "corrupt") return replica.settleDamage();
    if ([...configuration.voters, ...configuration.learners].some(({ id }) => id === replica.id)) return;
    replica.crash("nothing-lost");
    replica.wipe();
    replica.start();
  }

  /** Replaces stores that were lost, one at a time: in one step, or as a learner first. */
  mend(random: SeededRandom): void {
    for (const replica of this.#around.replicas) if (replica.damage === "wiped") this.#mend(replica, random);
    for (const replica of this.#around.replicas) if (replica.damage === "flipped") this.#discard(replica);
  }

  #mend(replica: SimulatedReplica, random: SeededRandom): void {
    const { monitor, totals } = this.#around;
    const { storeId } = replica;
    const lost = ({ id, storeId: other }: ReplicaId): boolean => id === replica.id && other !== storeId;
    const committed = monitor.committedConfiguration;
    if (storeId === undefined || committed === undefined) return;
    if (committed.outgoing === undefined && ![...committed.voters, ...committed.learners].some(lost)) {
      replica.damage = undefined;
      totals.rejoins += 1;
      return;
    }
    const leader = this.#around.leader();
    if (leader === undefined || this.#changing) return;
    const { configuration } = leader.life.consensus.status();
    if (configuration.outgoing !== undefined) return;
    const { voters, learners } = configuration;
    const fresh: ReplicaId = { id: replica.id, storeId };
    const isLearner = learners.some((each) => same(each, fresh));
    if (!isLearner && random.chance(0.5)) {
      this.#change(leader, { voters, learners: [...learners.filter(({ id }) => id !== replica.id), fresh] });
      return;
    }
    const others = learners.filter(({ id }) => id !== replica.id);
    if (voters.some(lost))
      this.#change(leader, { voters: voters.map((each) => (lost(each) ? fresh : each)), learners: others });
    else this.#change(leader, { voters, learners: [...others, fresh] });
  }

  #change(leader: SimulatedReplica, target: Pick<Configuration, "voters" | "learners">): void {
    const { monitor } = this.#around;
    this.#generation += 1;
    const generation = this.#generation as Generation;
    const change = { voters: target.voters, learners: target.learners, generation };
    monitor.proposed(change);
    this.#changing = true;
    this.#around.entered(leader);
    const over = (): void => {
      this.#changing = false;
    };
    leader.whileUp(leader.life.consensus.changeVoters(change)).then(over, over);
  }

  /** Hands leadership to some other voter. */
  transfer(random: SeededRandom): void {
    const leader = this.#around.leader();
    if (leader === undefined) return;
    const status: ConsensusStatus = leader.life.consensus.status();
    const others = status.configuration.voters.filter(({ id }) => id !== leader.id);
    if (others.length === 0) return;
    this.#around.entered(leader);
    leader.whileUp(leader.life.consensus.transferLeadership(random.pick(others).id)).then(
      () => {
        this.#around.totals.transfers += 1;
      },
      () => undefined,
    );
  }
}
