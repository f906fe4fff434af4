import type { Formation, NodeId, NodeRecord, ShiftDecision, TopologyStrategy } from "@revoada/fabric";
import type { ReactorLimits } from "../reactor/limits.ts";
import type { Observation } from "../reactor/situation.ts";

/** The formation as it will be once the decisions made so far are committed. Policies write into it one after the other. */
export interface PolicyDraft {
  readonly formation: Formation;
  /** What was decided so far, by this policy and those before it. */
  readonly decisions: readonly ShiftDecision[];
  /** False once a decision moves a replica, and as long as the log's configuration has not followed the formation. */
  readonly mayMoveReplicas: boolean;
  record(id: NodeId): NodeRecord | undefined;
  /**
   * Takes one decision; true where it was taken. It is not, and nothing changes, where
   *
   * - its effect holds already;
   * - it moves a replica and `mayMoveReplicas` is false;
   * - it moves votes and would leave an even number of voters, more of them than the quorum has, or voters of which no majority is
   *   reachable;
   * - it is `voluntary`, forced by nothing, and one of its nodes was shifted less than the damping interval ago;
   * - the cluster has operator keys and one has to approve of it first: it is told to operators, and the draft goes on without it;
   * - the policy has made as many decisions as one may in one observation.
   *
   * Throws `TOPOLOGY_POLICY_BROKEN` for transitions that the table does not list.
   */
  decide(decision: PolicyDecision): boolean;
}

/** A decision as a policy makes it. What is committed says in its inputs which policy that was. */
export interface PolicyDecision extends ShiftDecision {
  /** True where nothing forces it: no loss, no operator, no first shape. Such shifts are damped. */
  readonly voluntary?: boolean;
}

/** What one policy works with in one observation. */
export interface PolicyContext {
  readonly draft: PolicyDraft;
  readonly observation: Observation;
  readonly topology: TopologyStrategy;
  readonly limits: ReactorLimits;
}

/**
 * One concern of the reactor. Pure: no clock, no randomness, no state of its own; the same context gives the same decisions, and one
 * that is as the policy wants it gives none.
 *
 * @example
 * ```ts
 * const cordonSpares: Policy = {
 *   name: "cordon-spares",
 *   decide({ draft }) {
 *     for (const [node, { zone, flags }] of draft.formation.nodes)
 *       if (zone === "spare" && flags.length === 0)
 *         draft.decide({ kind: "cordon", transitions: [{ verb: "cordon", node }], reason: "a spare", inputs: { node } });
 *   },
 * };
 * topologyReactor({ topology, policies: [cordonSpares, ...defaultPolicies] });
 * ```
 */
export interface Policy {
  /** 1 to 64 lower-case letters, digits and dashes; stands in the inputs of its decisions. */
  readonly name: string;
  /** Decides by writing into `context.draft`. */
  decide(context: PolicyContext): void;
}
