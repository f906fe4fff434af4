import type { Assignment, Candidate } from "../formation.ts";
import type { NodeId } from "../ids.ts";

/** A way in which an assignment is not the shape. */
export interface TopologyViolation {
  readonly code: string;
  readonly message: string;
}

/**
 * What shape a cluster takes. Pure: same input, same output; no clock, no randomness, no state.
 *
 * A strategy decides roles only. Which of the nodes vote follows from roles and the strategy's `quorumSize`: masters first,
 * arbiters filling up.
 */
export interface TopologyStrategy {
  readonly name: string;
  /** How many eligible nodes the first shape needs. */
  readonly minNodes: number;
  /** How many masters the shape has with `eligible` nodes. */
  targetMasters(eligible: number): number;
  /** The shape for these nodes. Keeps nodes in their roles where the shape allows. Nodes left out stand by. */
  assign(eligible: readonly Candidate[]): Assignment;
  /** The shape after `lost` are gone; `survivors` are the eligible ones. Never gives a lost node a role. */
  reactToLoss(current: Assignment, lost: ReadonlySet<NodeId>, survivors: readonly Candidate[]): Assignment;
  /** Empty where the assignment is the shape. */
  validate(assignment: Assignment): readonly TopologyViolation[];
}
