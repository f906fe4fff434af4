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
 * A strategy decides roles. Which of the nodes vote follows from roles and the fabric strategy's `quorumSize`: masters first,
 * arbiters filling up, and nobody whom `mayVote` refuses.
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
  /**
   * False where this node must not take a seat beside `voters`, of `seats` in all; absent: anybody may. It is asked of newcomers
   * only, dead voters that keep their seats among `voters`: a seat that nobody may take stays with whoever has it, and the first
   * shape waits until every seat can be taken.
   */
  mayVote?(candidate: Candidate, voters: readonly Candidate[], seats: number): boolean;
  /** Empty where the assignment is the shape. */
  validate(assignment: Assignment): readonly TopologyViolation[];
}

/** What a package is told when its topology is made. */
export interface TopologyPackageOptions {
  /** The name that the topology bears in the declaration: the package's own, with its parameters as they were asked for. */
  readonly name: string;
  /** How many eligible nodes the first shape needs; absent: as the topology sees fit. */
  readonly minNodes?: number;
  /** What stands behind the `?` of the name. They are part of the declaration; who joins later adopts them. */
  readonly parameters: ReadonlyMap<string, string>;
}

/**
 * What a package exports whose name may be given as a topology, as in `revoada up --topology @example/three-regions?eu=2&us=2&ap=1`.
 *
 * @example
 * ```ts
 * export const topology: TopologyPackage["topology"] = ({ name, minNodes = 3, parameters }) => ...;
 * ```
 */
export interface TopologyPackage {
  /** Makes the topology. Throws `FABRIC_INVALID_VALUE` for parameters that it cannot honour. */
  topology(options: TopologyPackageOptions): TopologyStrategy;
}
