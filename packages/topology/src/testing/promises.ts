import {
  applyTransition,
  FabricError,
  mayVote,
  quorumSizeOf,
  replicasOf,
  type Formation,
  type NodeId,
  type ShiftDecision,
} from "@revoada/fabric";
import { reactorLimits, type ReactorLimits } from "../reactor/limits.ts";
import type { Observation } from "../reactor/situation.ts";

/** A reactor that breaks what every reactor promises, whatever its topology and its policies. */
export class BrokenPromiseError extends FabricError {
  /** `odd-voters`, `caught-up-first`, … */
  readonly promise: string;

  constructor(promise: string, what: string) {
    super("TOPOLOGY_PROMISE_BROKEN", `${promise}: ${what}`);
    this.promise = promise;
  }
}

function require(holds: boolean, promise: string, what: () => string): void {
  if (!holds) throw new BrokenPromiseError(promise, what());
}

/**
 * Holds what a reactor decides against what it promises: one change at a time, an odd number of voters and a living majority of them,
 * votes only for who is settled and caught up, bounded, damped, and never below the minimum. For the tests of topologies and policies.
 */
export class ReactorPromises {
  readonly #limits: Partial<ReactorLimits>;
  /** When each node was shifted of the reactor's own will for the last time, by the log's time. */
  readonly #voluntaryMs = new Map<NodeId, number>();

  /** `limits`: what the reactor was given beside its strategy. */
  constructor(limits: Partial<ReactorLimits> = {}) {
    this.#limits = limits;
  }

  /**
   * Judges what was decided in one observation, and what was decided when it was asked again. Throws `TOPOLOGY_PROMISE_BROKEN`, and what
   * the transition table refuses.
   */
  decided(observation: Observation, decisions: readonly ShiftDecision[], again: readonly ShiftDecision[]): void {
    require(JSON.stringify(decisions) === JSON.stringify(again), "idempotent", () => "one observation, two answers");
    const limits = reactorLimits(observation.strategy, this.#limits);
    require(decisions.length <= 3 * limits.maxDecisions, "bounded", () => `${decisions.length} decisions in one tick`);
    const forgotten = decisions.filter(({ kind, inputs }) => kind === "forget" && inputs["state"] === "failed");
    require(forgotten.length <= limits.maxForgotten, "bounded", () => `${forgotten.length} forgotten in one tick`);
    let { formation } = observation;
    let moves = 0;
    for (const decision of decisions) {
      const next = after(formation, decision, observation.nowMs);
      if (movesReplicas(formation, next)) moves += 1;
      this.#checkVotes(observation, limits, decision, formation, next);
      this.#checkDamping(observation, limits, decision);
      if (decision.kind === "forget" && decision.inputs["state"] === "failed") this.#checkMinimum(limits, next);
      formation = next;
    }
    require(moves <= 1, "one-change-at-a-time", () => `${moves} decisions move replicas`);
    require(moves === 0 || !observation.replication.joint, "one-change-at-a-time", () =>
      "replicas move before the log has followed");
  }

  #checkVotes(
    observation: Observation,
    limits: ReactorLimits,
    decision: ShiftDecision,
    before: Formation,
    next: Formation,
  ): void {
    const [old, now] = [replicasOf(before, "voter"), replicasOf(next, "voter")];
    if (old.join() === now.join()) return;
    const { kind } = decision;
    require(now.length % 2 === 1, "odd-voters", () => `${kind} leaves ${now.length} voters`);
    const most = Math.max(old.length, quorumSizeOf(observation.strategy));
    require(now.length <= most, "not-too-many-voters", () => `${kind} makes ${now.length} voters`);
    if (now.length < old.length)
      require(kind === "shrink" || (kind === "force-out" && now.length >= limits.minQuorum), "minimum-quorum", () =>
        `${kind} leaves ${now.length} of ${old.length} voters`);
    const living = now.filter((id) => id === observation.leader || lives(id, observation));
    require(living.length > now.length / 2, "never-below-quorum", () =>
      `${kind} leaves ${living.length} living of ${now.length} voters`);
    for (const id of now) if (!old.includes(id)) this.#checkNewcomer(observation, limits, decision, id);
  }

  #checkNewcomer(observation: Observation, limits: ReactorLimits, { kind }: ShiftDecision, id: NodeId): void {
    const { replication, view, leader, givenUp, nowMs } = observation;
    if (id === leader) return;
    const behind = replication.commitIndex - (replication.matchIndex.get(id) ?? 0);
    require(behind <= limits.trailingEntries, "caught-up-first", () => `${kind} gives ${id} a vote, ${behind} behind`);
    require(replication.learners.has(id), "caught-up-first", () =>
      `${kind} gives ${id} a vote, which does not replicate`);
    const member = view.members.get(id);
    if (kind === "form" || kind === "force-out") return;
    const aliveMs = member?.status === "alive" ? member.statusSinceMs : -1;
    require(aliveMs >= limits.stabilizationMs, "stable-first", () => `${kind} gives ${id} a vote after ${aliveMs} ms`);
    const givenUpMs = nowMs - (givenUp?.get(id) ?? -Infinity);
    require(givenUpMs >= limits.retryMs, "not-again-for-a-while", () =>
      `${kind} gives ${id} a vote, which was given up ${givenUpMs} ms ago`);
  }

  /** At most one voluntary shift of a node in an interval, counted from its last shift of any kind. */
  #checkDamping({ formation, nowMs }: Observation, { dampingMs }: ReactorLimits, decision: ShiftDecision): void {
    if (decision.inputs["voluntary"] !== true) {
      const moved = ["step-back", "relocate", "migrate"].includes(decision.kind);
      require(!moved, "damped", () => `${decision.kind} says not that it is voluntary`);
      return;
    }
    for (const id of new Set(decision.transitions.map(({ node }) => node))) {
      const restedMs = nowMs - (formation.nodes.get(id)?.lastShiftMs ?? 0);
      const sinceMs = nowMs - (this.#voluntaryMs.get(id) ?? -Infinity);
      require(Math.min(restedMs, sinceMs) >= dampingMs, "damped", () =>
        `${decision.kind} shifts ${id} ${Math.min(restedMs, sinceMs)} ms after its last shift`);
    }
  }

  /** Notes that a decision was committed, at this time of the log. */
  committed({ inputs, transitions }: ShiftDecision, timeMs: number): void {
    if (inputs["voluntary"] === true) for (const { node } of transitions) this.#voluntaryMs.set(node, timeMs);
  }

  #checkMinimum({ minQuorum }: ReactorLimits, formation: Formation): void {
    const left = [...formation.nodes.values()].filter((record) => mayVote(record)).length;
    require(left >= minQuorum, "minimum-quorum", () => `a clean-up leaves ${left} nodes that could vote`);
  }
}

function after(formation: Formation, { transitions }: ShiftDecision, nowMs: number): Formation {
  let next = formation;
  for (const transition of transitions) next = applyTransition(next, transition, nowMs);
  return next;
}

function movesReplicas(before: Formation, next: Formation): boolean {
  const text = ({ nodes }: Formation): string =>
    [...nodes]
      .flatMap(([id, { replica }]) => (replica === "none" ? [] : [id + replica]))
      .toSorted()
      .join();
  return text(before) !== text(next);
}

function lives(id: NodeId, { view }: Observation): boolean {
  const member = view.members.get(id);
  return member === undefined || member.status === "alive" || member.status === "suspect";
}
