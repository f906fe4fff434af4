import {
  configurationOf,
  hasFollowed,
  isFabricError,
  shortId,
  type ApprovalStatement,
  type Attestor,
  type Clock,
  type Consensus,
  type ConsensusStatus,
  type Formation,
  type LogIndex,
  type Logger,
  type MachineStore,
  type Membership,
  type NodeId,
  type OperatorSignature,
  type ReplicationView,
  type ShiftDecision,
  type TopologyStrategy,
  type Transition,
} from "@revoada/fabric";
import { reactorLimits, topologyReactor, type Policy, type TopologyReactor } from "@revoada/topology";
import type { Sealer } from "../chain/sealer.ts";
import { CommandRefusedError } from "../errors.ts";
import { declaredKey, type InForce } from "../in-force.ts";
import { encodeDecided, encodeDecision } from "../machine/decision.ts";
import { Hindsight } from "./hindsight.ts";
import { sealEnvelope } from "../machine/envelope.ts";
import type { FormationState } from "../machine/formation-machine.ts";
import type { ClusterMachine } from "../machine/machine.ts";
import { encodeDropOrder, encodeKeepOrder } from "../machine/orders.ts";
import { openResult } from "../machine/result.ts";
import type { ClockCheck } from "./clock-check.ts";
import { SwitchWatch } from "./switch-watch.ts";
import { WaitingShifts, type DroppedShift, type WaitingShift } from "./waiting-shifts.ts";

export interface FormationLoopOptions {
  /** The declaration that is followed here; the reactor is made anew with each. */
  readonly inForce: InForce;
  readonly attestor: Attestor;
  readonly consensus: Consensus<Uint8Array, Uint8Array>;
  readonly membership: Membership;
  readonly machine: ClusterMachine;
  readonly store: MachineStore;
  readonly sealer: Sealer;
  readonly clock: Clock;
  /** What time it is for whoever leads. */
  readonly time: Pick<ClockCheck, "nowMs" | "verdict">;
  readonly logger: Logger;
  /** How the reactor decides; its default policies unless told. */
  readonly policies?: readonly Policy[];
}

/** What a command is made for. */
type Why = Pick<ShiftDecision, "kind" | "inputs">;

const order: Why = { kind: "order", inputs: {} };

/** Most rounds of observe-and-commit in one tick: a decision often opens the way for the next, and never for endlessly many. */
const maxRoundsPerTick = 8;

/** How often a command is made anew for a formation that moved on meanwhile. */
const maxCommitAttempts = 20;

/**
 * The loop that shifts the formation. It acts on the leader only: once per reconciliation tick, and at once when leadership or
 * somebody's life changes. Whatever is half done, by this leader or the one before it, is finished first.
 */
export class FormationLoop {
  readonly #options: FormationLoopOptions;
  readonly #switches: SwitchWatch;
  readonly #waiting: WaitingShifts;
  #made: { readonly topology: TopologyStrategy; readonly reactor: TopologyReactor } | undefined;
  readonly #hindsight: Hindsight;
  readonly #abort = new AbortController();
  #cancelTick: (() => void) | undefined;
  #running: Promise<void> | undefined;
  #again = false;
  #stopWatching: (() => void) | undefined;
  #term = -1;
  /** What was said last of a topology or a policy that is broken. */
  #broken: string | undefined;

  constructor(options: FormationLoopOptions) {
    this.#options = options;
    this.#switches = new SwitchWatch(options.clock, options.inForce);
    this.#hindsight = new Hindsight(options);
    this.#waiting = new WaitingShifts(options.attestor, options.clock);
  }

  start(): void {
    this.#stopWatching = this.#options.consensus.onChange((status) => {
      if (status.role === "leader") this.kick();
    });
    void this.#watchMembership();
    this.#schedule();
  }

  /** Runs a round now, or right after the one that is running. */
  kick(): void {
    if (this.#abort.signal.aborted) return;
    if (this.#running !== undefined) {
      this.#again = true;
      return;
    }
    this.#running = this.#tick()
      .catch((error: unknown) => this.#noteCut(error))
      .finally(() => {
        this.#running = undefined;
        if (this.#again) {
          this.#again = false;
          this.kick();
        }
      });
  }

  /** Most of it passes by itself. A topology or a policy that is broken does not, and nothing is decided meanwhile: that is said once. */
  #noteCut(error: unknown): void {
    const { logger } = this.#options;
    const isBroken =
      isFabricError(error, "TOPOLOGY_BROKEN", "TOPOLOGY_POLICY_BROKEN") && error.message !== this.#broken;
    if (isBroken) this.#broken = error.message;
    logger[isBroken ? "error" : "debug"]("a reconciliation was cut short", { error: String(error) });
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    this.#cancelTick?.();
    this.#stopWatching?.();
    await this.#running;
  }

  /**
   * Leader only. Commits transitions as one signed command on the formation as it is now and resolves with the generation after
   * them. Rejects with the machine's refusal, or as a proposal does, and with `CLUSTER_AWAITS_OPERATOR` where the cluster has operator
   * keys and no failure forces this, or where it was `ordered`: it waits for an approval from then on.
   */
  async commit(transitions: readonly Transition[], reason: string, why: Why = order, ordered = false): Promise<number> {
    const state = this.#state();
    // A reason may be 512 bytes long, and a character takes up to three.
    const short = reason.slice(0, 160).toWellFormed();
    if (ordered) await this.#keepOrder(state, transitions, short);
    else this.#waiting.check(state, { transitions, reason: short }, why);
    return this.#propose(state, transitions, short, why);
  }

  /** Leader only. Commits what an operator has approved of, upon the head that the statement names. Rejects as {@link commit} does. */
  async approved({ transitions, reason, head }: ApprovalStatement, approval: OperatorSignature): Promise<number> {
    const state = this.#state();
    const why = this.#waiting.why(state, { clusterId: state.genesis.clusterId, head, transitions, reason });
    return this.#propose(state, transitions, reason, why, approval);
  }

  /** Leader only. What waits for an operator's approval, as it would follow upon this state. */
  waiting(state: FormationState): readonly WaitingShift[] {
    return this.#waiting.list(state);
  }

  /** Leader only. The last orders that nobody could approve of any more, and why. */
  dropped(state: FormationState): readonly DroppedShift[] {
    return this.#waiting.dropped(state);
  }

  /** Rejects with `CLUSTER_AWAITS_OPERATOR` once the order waits, with every replica; resolves where it need not. */
  async #keepOrder(state: FormationState, transitions: readonly Transition[], reason: string): Promise<void> {
    if (!this.#waiting.mustWait(state, { transitions, reason })) return;
    const { attestor, consensus, time } = this.#options;
    const { clusterId } = state.genesis;
    const { term } = consensus.status();
    const timeMs = time.nowMs(state.timeMs);
    await this.#proposeOrder(encodeKeepOrder(attestor, { clusterId, transitions, reason, term, timeMs }));
    if (this.#waiting.mustWait(this.#state(), { transitions, reason }))
      throw new CommandRefusedError("TOPOLOGY_COMMAND_REFUSED", "the formation moved on before the order was taken");
  }

  async #proposeOrder(body: Uint8Array): Promise<void> {
    const { consensus, inForce } = this.#options;
    const timeoutMs = 20 * inForce.current.strategy.consensus.electionTimeoutMs;
    const { result } = await consensus.propose(sealEnvelope("order", body), { signal: this.#abort.signal, timeoutMs });
    openResult(result);
  }

  /** Orders that nobody can approve of any more make room, and it is said why. */
  async #dropOrders(term: number): Promise<void> {
    const state = this.#options.machine.formation.state;
    if (state === undefined || state.orders.waiting.length === 0) return;
    const { time } = this.#options;
    const timeMs = time.nowMs(state.timeMs);
    // Only a clock that the voters agree with says that a week has passed.
    const expiryMs = time.verdict()?.trusted === true ? timeMs : undefined;
    for (const { id, reason, why } of this.#waiting.outdated(state, expiryMs)) {
      await this.#proposeOrder(encodeDropOrder({ id, why, term, timeMs }));
      this.#options.logger.warn("an order that waited for an operator was dropped", { order: reason, why });
    }
  }

  #state(): FormationState {
    const { state } = this.#options.machine.formation;
    if (state === undefined) throw new CommandRefusedError("CLUSTER_NO_GENESIS", "the cluster has no genesis yet");
    return state;
  }

  async #propose(
    state: FormationState,
    transitions: readonly Transition[],
    reason: string,
    why: Why,
    approval?: OperatorSignature,
  ): Promise<number> {
    const { attestor, consensus, inForce, time } = this.#options;
    const decision = encodeDecision({ ...why, transitions, reason });
    const command = attestor.signCommand({
      version: 1,
      clusterId: state.genesis.clusterId,
      baseGeneration: state.formation.generation,
      transitions,
      reason,
      decisionHash: attestor.hash(decision),
      timeMs: time.nowMs(state.timeMs),
      proposer: attestor.identity.id,
      term: consensus.status().term,
      ...(approval === undefined ? {} : { approval }),
    });
    const timeoutMs = 20 * inForce.current.strategy.consensus.electionTimeoutMs;
    const { result } = await consensus.propose(sealEnvelope("decided", encodeDecided(command, decision)), {
      signal: this.#abort.signal,
      timeoutMs,
    });
    return openResult(result).generation;
  }

  /**
   * As {@link commit}, made anew where another command came first: for transitions that hold whatever that command was. `check` throws where they
   * do not, and is asked each time.
   */
  async commitAfterOthers(
    transitions: readonly Transition[],
    reason: string,
    { ordered = false, check }: { readonly ordered?: boolean; readonly check?: () => void } = {},
  ): Promise<number> {
    for (let attempt = 1; ; attempt += 1) {
      check?.();
      try {
        return await this.commit(transitions, reason, order, ordered);
      } catch (error) {
        if (!isFabricError(error, "TOPOLOGY_COMMAND_REFUSED") || attempt >= maxCommitAttempts) throw error;
      }
    }
  }

  #schedule(): void {
    const { clock, inForce } = this.#options;
    this.#cancelTick = clock.schedule(inForce.current.strategy.reconciliationCadenceMs, () => {
      this.kick();
      if (!this.#abort.signal.aborted) this.#schedule();
    });
  }

  async #watchMembership(): Promise<void> {
    try {
      for await (const _change of this.#options.membership.changes({ signal: this.#abort.signal })) this.kick();
    } catch (error) {
      if (!this.#abort.signal.aborted) this.#options.logger.warn("membership changes ended", { error: String(error) });
    }
  }

  #leads(): ConsensusStatus | undefined {
    const status = this.#options.consensus.status();
    return status.role === "leader" && !this.#abort.signal.aborted ? status : undefined;
  }

  async #tick(): Promise<void> {
    const status = this.#leads();
    if (status === undefined) return;
    if (status.term !== this.#term) {
      // A new leader acts on nothing before it has applied all that was committed before it.
      await this.#options.consensus.readBarrier({ signal: this.#abort.signal });
      this.#term = status.term;
      this.#waiting.clear();
    }
    for (let round = 0; round < maxRoundsPerTick; round += 1) if (!(await this.#round())) break;
    if (this.#leads()?.term === this.#term) await this.#dropOrders(this.#term);
  }

  /** One round; true where another may find more to do. */
  async #round(): Promise<boolean> {
    const status = this.#leads();
    const state = this.#options.machine.formation.state;
    if (status === undefined || state === undefined || status.term !== this.#term) return false;
    if (await this.#finishVoterChange(status, state)) return true;
    if (await this.#handOver(status, state)) return false;
    if (await this.#endSwitch(status, state)) return true;
    if (!this.#options.inForce.follows(state.formation.declared)) return false;
    return this.#shift(status, state);
  }

  /** Brings the log's configuration to the formation's: the seal of the old voters first, then one joint change. */
  async #finishVoterChange(status: ConsensusStatus, state: FormationState): Promise<boolean> {
    if (hasFollowed(status.configuration, state.formation)) return false;
    const { sealer, consensus, logger } = this.#options;
    if (state.sealing.pending !== undefined) await sealer.seal({ signal: this.#abort.signal });
    const sealed = this.#options.machine.formation.state;
    if (sealed === undefined || sealed.sealing.pending !== undefined) return true;
    const replicas = configurationOf(sealed.formation);
    logger.info("the log's configuration follows the formation", {
      generation: sealed.formation.generation,
      voters: replicas.voters.map(({ id }) => shortId(id)),
      learners: replicas.learners.map(({ id }) => shortId(id)),
    });
    await consensus.changeVoters(
      { ...replicas, generation: sealed.formation.generation },
      { signal: this.#abort.signal },
    );
    return true;
  }

  /**
   * A leader that is on its way out, or is not to be relied on, hands over to a caught-up voter before anything else is decided; so does one
   * that cannot act for the declaration in force, to one that says that it can.
   */
  async #handOver(status: ConsensusStatus, { formation }: FormationState): Promise<boolean> {
    const own = formation.nodes.get(status.id);
    if (own === undefined) return false;
    const stays = (own.state === "active" || own.state === "standby") && !own.flags.includes("quarantined");
    const { inForce } = this.#options;
    const isFit = inForce.refusal === undefined || inForce.follows(formation.declared);
    if (stays && isFit) return false;
    const heir = this.#heir(status, formation, !stays);
    if (heir === undefined) return false;
    await this.#options.consensus.transferLeadership(heir, { signal: this.#abort.signal });
    return true;
  }

  /** The best caught-up voter that serves; unless `anybody` will do, one that follows the declaration in force. */
  #heir(status: ConsensusStatus, formation: Formation, anybody: boolean): NodeId | undefined {
    const { membership, inForce } = this.#options;
    const { members } = membership.view();
    const mark = formation.declared === undefined ? undefined : inForce.mark(formation.declared.declaration);
    const follows = (id: NodeId): boolean => members.get(id)?.keys.get(declaredKey) === mark;
    return [...status.progress]
      .filter(([id]) => {
        const record = formation.nodes.get(id);
        const serves = record?.state === "active" && !record.flags.includes("quarantined");
        return serves && record.replica === "voter" && (anybody || follows(id));
      })
      .toSorted(
        ([one, a], [other, b]) =>
          // Of two that are as far, the one that is heard: a dead one would be asked again and again.
          Number(follows(other)) - Number(follows(one)) || b.matchIndex - a.matchIndex || a.silentMs - b.silentMs,
      )[0]?.[0];
  }

  /** Confirms a switch whose shape stands, or takes back one that took too long. True where either was committed. */
  async #endSwitch(status: ConsensusStatus, state: FormationState): Promise<boolean> {
    const end = this.#switches.judge(state, status);
    if (end === undefined) return false;
    const { transition, reason, inputs } = end;
    const { verb } = transition;
    this.#options.logger[verb === "confirm" ? "info" : "warn"](`a switch is over: ${reason}`, { verb });
    await this.commit([transition], reason, { kind: verb, inputs });
    return true;
  }

  #reactor(): TopologyReactor {
    const { topology } = this.#options.inForce.current;
    const { policies } = this.#options;
    if (this.#made?.topology !== topology) {
      const reactor = topologyReactor({ topology, ...(policies === undefined ? {} : { policies }) });
      this.#made = { topology, reactor };
    }
    return this.#made.reactor;
  }

  async #shift(status: ConsensusStatus, state: FormationState): Promise<boolean> {
    const { inForce, membership, time, logger } = this.#options;
    const { strategy } = inForce.current;
    const replication = replicationView(status, state.formation);
    const decisions = this.#reactor().observe({
      view: membership.view(),
      formation: state.formation,
      replication: {
        ...replication,
        behindMs: this.#hindsight.behindMs(status.term, replication, reactorLimits(strategy).trailingEntries),
      },
      strategy,
      leader: status.id,
      nowMs: time.nowMs(state.timeMs),
      givenUp: this.#hindsight.givenUp(state.formation.generation),
    });
    this.#waiting.keepDecided(state, decisions);
    let committed = 0;
    for (const decision of decisions) {
      const { kind, reason, transitions } = decision;
      const isNew = !this.#waiting.has(state, decision);
      try {
        const generation = await this.commit(transitions, reason, decision);
        committed += 1;
        logger.info("the formation shifts", { decision: kind, reason, generation });
      } catch (error) {
        if (isFabricError(error, "CLUSTER_AWAITS_OPERATOR")) {
          if (isNew) logger.warn("a shift waits for an operator's approval", { decision: kind, reason });
          continue;
        }
        // What is to wait was decided beside those before it, and may not be possible after them: it is seen in the next round.
        if (state.formation.operators !== undefined && isFabricError(error, "TOPOLOGY_ILLEGAL_TRANSITION")) continue;
        logger.info("a shift was not committed", { decision: kind, reason, error: String(error) });
        // Another leader, or news in between: what is right now is seen in the next round or by the next leader.
        return isFabricError(error, "TOPOLOGY_COMMAND_REFUSED");
      }
    }
    return committed > 0;
  }
}

/** What the reactor sees of replication: the log's configuration and how far each replica is. */
function replicationView(status: ConsensusStatus, formation: Formation): ReplicationView {
  const { configuration } = status;
  const matchIndex = new Map<NodeId, LogIndex>();
  const silentMs = new Map<NodeId, number>();
  for (const [id, progress] of status.progress) {
    matchIndex.set(id, progress.matchIndex);
    silentMs.set(id, progress.silentMs);
  }
  return {
    commitIndex: status.commitIndex,
    matchIndex,
    voters: new Set(configuration.voters.map(({ id }) => id)),
    learners: new Set(configuration.learners.map(({ id }) => id)),
    configurationGeneration: configuration.generation,
    joint: !hasFollowed(configuration, formation),
    silentMs,
    quorumMs: status.quorum ? status.quorumSinceMs : 0,
  };
}
