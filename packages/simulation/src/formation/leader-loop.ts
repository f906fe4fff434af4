import {
  configurationOf,
  hasFollowed,
  replicasOf,
  sameReplicas,
  type Configuration,
  type Formation,
  type Hash,
  type LogIndex,
  type NodeId,
  type ReplicationView,
  type ShiftDecision,
  type TopologyStrategy,
  type Transition,
} from "@revoada/fabric";
import { SwitchWatch, type ClusterDeclaration } from "@revoada/cluster";
import { givenUpBy, reactorLimits, topologyReactor, type Observation, type TopologyReactor } from "@revoada/topology";
import { ReactorPromises } from "@revoada/topology/testing";
import type { SimulatedMachine } from "./machine.ts";
import type { SharedLog } from "./shared-log.ts";
import type { FormationEvent, FormationTotals } from "./totals.ts";

const maxRoundsPerTick = 8;

/** What each kind of decision counts as. */
const counted: Readonly<Record<string, FormationEvent>> = {
  evict: "evictions",
  readmit: "readmissions",
  replace: "replacements",
  form: "firstShapes",
  grow: "grownQuorums",
  "give-up": "givenUp",
  "force-out": "forcedOut",
  "step-back": "stepsBack",
  relocate: "relocations",
  migrate: "migrations",
  standbys: "standbys",
};

export interface LoopParts {
  readonly log: SharedLog;
  readonly machines: readonly SimulatedMachine[];
  /** What the formation is held to now. */
  readonly declaration: () => ClusterDeclaration;
  /** What is declared has changed. */
  readonly switched: (verb: Transition["verb"] | undefined, before: Formation, after: Formation) => void;
  readonly totals: FormationTotals;
  /** Called after each entry of a leader that others depend on: it may be the last thing that this leader does. */
  readonly afterEntry: (leader: SimulatedMachine) => void;
  readonly handOver: (heir: SimulatedMachine) => void;
  readonly note: (node: string, event: string) => void;
}

/** What the leader does about the formation: the order of steps is that of the production loop, each of them may be cut short. */
export class LeaderLoop {
  readonly #parts: LoopParts;
  readonly #switches: SwitchWatch;
  #made: { readonly topology: TopologyStrategy; readonly reactor: TopologyReactor } | undefined;
  #nowMs = 0;
  readonly #promises = new ReactorPromises();
  readonly #decisions: ShiftDecision[] = [];
  readonly #behindSince = new Map<NodeId, number>();
  #observedTerm = -1;
  /** Since when the leader of now has had a quorum. */
  quorumSinceMs = 0;
  /** In which term the formation's voters were decided last. */
  #votersTerm = -1;
  #jointTerm = -1;

  constructor(parts: LoopParts) {
    this.#parts = parts;
    const inForce = {
      get current(): ClusterDeclaration {
        return parts.declaration();
      },
      follows: () => true,
      refusal: undefined,
    };
    this.#switches = new SwitchWatch({ monotonicMs: () => this.#nowMs }, inForce);
  }

  /** As in production, another topology has another reactor. */
  #reactor(): TopologyReactor {
    const { topology } = this.#parts.declaration();
    if (this.#made?.topology !== topology) this.#made = { topology, reactor: topologyReactor({ topology }) };
    return this.#made.reactor;
  }

  tick(leader: SimulatedMachine, nowMs: number): void {
    for (let round = 0; round < maxRoundsPerTick; round += 1) if (!this.#round(leader, nowMs)) return;
  }

  /** Commits an order, or what an operator's command comes to. False where it was refused or not taken in. */
  order(leader: SimulatedMachine, nowMs: number, transitions: readonly Transition[]): boolean {
    return this.#commit(leader, nowMs, { kind: "order", transitions, reason: "an operator", inputs: {} });
  }

  /** What the leader sees. */
  observation(leader: SimulatedMachine, nowMs: number): Observation {
    const { log } = this.#parts;
    const { strategy } = this.#parts.declaration();
    const { formation, timeMs } = log.state;
    return {
      view: { self: leader.id, members: leader.members(nowMs) },
      formation,
      replication: this.#replication(leader, nowMs),
      strategy,
      leader: leader.id,
      nowMs: Math.max(wallMs(leader, nowMs), timeMs),
      givenUp: givenUpBy(this.#decisions),
    };
  }

  /** True where the log and the seals have followed the formation. */
  isLevel(): boolean {
    const { log } = this.#parts;
    return log.state.sealing.pending === undefined && hasFollowed(log.configuration, log.state.formation);
  }

  #round(leader: SimulatedMachine, nowMs: number): boolean {
    const { log } = this.#parts;
    if (!leader.acts(nowMs) || !log.canCommit(leader, nowMs)) return false;
    if (!hasFollowed(log.configuration, log.state.formation)) return this.#finishVoterChange(leader, nowMs);
    if (log.state.sealing.pending !== undefined && !this.#seal(leader, nowMs)) return false;
    const own = log.state.formation.nodes.get(leader.id);
    if (own === undefined || (own.state !== "active" && own.state !== "standby")) {
      const heir = log.voters().find((voter) => this.#isHeir(voter, leader, nowMs));
      if (heir !== undefined) {
        this.#parts.handOver(heir);
        return false;
      }
    }
    return this.#shift(leader, nowMs);
  }

  #isHeir(voter: SimulatedMachine, leader: SimulatedMachine, nowMs: number): boolean {
    const { log } = this.#parts;
    const isActive = log.state.formation.nodes.get(voter.id)?.state === "active";
    return voter !== leader && isActive && leader.reaches(voter, nowMs) && voter.match === log.commitIndex;
  }

  #finishVoterChange(leader: SimulatedMachine, nowMs: number): boolean {
    const { log, totals, note } = this.#parts;
    if (log.state.sealing.pending !== undefined && !this.#seal(leader, nowMs)) return false;
    const { formation } = log.state;
    const target: Configuration = { ...configurationOf(formation), generation: formation.generation };
    log.checkFollows(target);
    const { voters, outgoing } = log.configuration;
    const isChange = !sameReplicas(voters, target.voters);
    if (outgoing !== undefined) {
      // Somebody before this leader began a joint change: that one is finished as it is.
      const { outgoing: _old, ...begun } = log.configuration;
      if (!log.configure(leader, nowMs, begun)) return false;
      if (this.#jointTerm !== log.term) totals.inheritedJointChanges += 1;
      note(leader.id, `finishes the joint change of term ${this.#jointTerm}`);
      return true;
    }
    if (isChange) {
      if (this.#votersTerm !== log.term) totals.inheritedChanges += 1;
      if (!log.configure(leader, nowMs, { ...target, outgoing: voters })) return false;
      this.#jointTerm = log.term;
      this.#parts.afterEntry(leader);
      if (!leader.acts(nowMs) || !log.canCommit(leader, nowMs)) return false;
      totals.voterChanges += 1;
    }
    return log.configure(leader, nowMs, target);
  }

  /** The leader's signature and those of a majority of the voters in force before. */
  #seal(leader: SimulatedMachine, nowMs: number): boolean {
    const { log, machines } = this.#parts;
    const { head, sealed, sealing } = log.state;
    if (head.height <= sealed.height) return true;
    const signers = machines.filter(
      (machine) =>
        sealing.voters.includes(machine.id) &&
        (machine === leader || leader.reaches(machine, nowMs)) &&
        !machine.isSlow,
    );
    const needed = Math.floor(sealing.voters.length / 2) + 1;
    if (!signers.includes(leader) || signers.length < needed) return false;
    const chosen = [leader, ...signers.filter((machine) => machine !== leader)].slice(0, needed);
    const signatures = chosen
      .map(({ attestor }) => attestor.signHead(log.clusterId, head))
      .toSorted((a, b) => (a.signer < b.signer ? -1 : 1));
    const seal = leader.attestor.encodeSeal({ head, leader: leader.id, signatures });
    if (!log.commit(leader, nowMs, "seal", seal)) return false;
    this.#parts.afterEntry(leader);
    return log.state.sealed.height >= head.height;
  }

  #shift(leader: SimulatedMachine, nowMs: number): boolean {
    if (this.#endSwitch(leader, nowMs)) return true;
    const observation = this.observation(leader, nowMs);
    const decisions = this.#reactor().observe(observation);
    this.#promises.decided(observation, decisions, this.#reactor().observe(observation));
    for (const decision of decisions) {
      if (!this.#commit(leader, nowMs, decision)) return false;
      this.#parts.afterEntry(leader);
      if (!leader.acts(nowMs)) return false;
    }
    return decisions.length > 0;
  }

  #endSwitch(leader: SimulatedMachine, nowMs: number): boolean {
    const { log } = this.#parts;
    this.#nowMs = nowMs;
    const status = { id: leader.id, term: log.term, configuration: log.configuration };
    const end = this.#switches.judge(log.state, status);
    if (end === undefined) return false;
    const { transition, reason, inputs } = end;
    if (!this.#commit(leader, nowMs, { kind: transition.verb, transitions: [transition], reason, inputs }))
      return false;
    this.#parts.afterEntry(leader);
    return leader.acts(nowMs);
  }

  #commit(leader: SimulatedMachine, nowMs: number, decision: ShiftDecision): boolean {
    const { log, totals, note } = this.#parts;
    const { formation, timeMs } = log.state;
    const command = leader.attestor.signCommand({
      version: 1,
      clusterId: log.clusterId,
      baseGeneration: formation.generation,
      transitions: decision.transitions,
      reason: decision.reason.slice(0, 160),
      decisionHash: "d".repeat(64) as Hash,
      timeMs: Math.max(wallMs(leader, nowMs), timeMs),
      proposer: leader.id,
      term: log.term,
    });
    const voters = replicasOf(formation, "voter").join();
    if (!log.commit(leader, nowMs, "formation", command)) return false;
    if (log.state.formation === formation) {
      totals.refusedCommands += 1;
      note(leader.id, `refused: ${decision.kind} ${decision.reason}`);
      return false;
    }
    if (replicasOf(log.state.formation, "voter").join() !== voters) this.#votersTerm = log.term;
    const verb = decision.transitions[0]?.verb;
    if (log.state.formation.declared !== formation.declared) this.#parts.switched(verb, formation, log.state.formation);
    this.#decisions.push(decision);
    this.#promises.committed(decision, log.state.timeMs);
    this.#count(decision);
    note(leader.id, `${decision.kind}: ${decision.reason}`);
    return true;
  }

  #count({ kind, inputs }: ShiftDecision): void {
    const { totals } = this.#parts;
    totals.decisions += 1;
    const event = counted[kind];
    if (event !== undefined) totals[event] += 1;
    if (kind === "forget" && inputs["state"] === "failed") totals.forgotten += 1;
  }

  #replication(leader: SimulatedMachine, nowMs: number): ReplicationView {
    const { log, machines } = this.#parts;
    const { strategy } = this.#parts.declaration();
    const { formation } = log.state;
    const { configuration } = log;
    const replicas = machines.filter((machine) => log.isReplica(machine));
    const { trailingEntries } = reactorLimits(strategy);
    if (this.#observedTerm !== log.term) this.#behindSince.clear();
    this.#observedTerm = log.term;
    for (const { id, match } of machines) {
      const isBehind = match + trailingEntries < log.commitIndex && replicas.some((replica) => replica.id === id);
      if (!isBehind) this.#behindSince.delete(id);
      else if (!this.#behindSince.has(id)) this.#behindSince.set(id, nowMs);
    }
    return {
      commitIndex: log.commitIndex as LogIndex,
      matchIndex: new Map(replicas.map(({ id, match }) => [id, match as LogIndex])),
      voters: new Set(configuration.voters.map(({ id }) => id)),
      learners: new Set(configuration.learners.map(({ id }) => id)),
      configurationGeneration: configuration.generation,
      joint: !hasFollowed(configuration, formation),
      silentMs: new Map(replicas.map(({ id }) => [id, leader.silentMs(id, nowMs)])),
      behindMs: new Map([...this.#behindSince].map(([id, sinceMs]) => [id, nowMs - sinceMs])),
      quorumMs: nowMs - this.quorumSinceMs,
    };
  }
}

/** The leader's clock is as wrong as clocks are. */
function wallMs({ skewMs }: SimulatedMachine, nowMs: number): number {
  return 1_000_000_000 + nowMs + skewMs;
}
