import { quorumSizeOf, type FabricStrategy } from "@revoada/fabric";

/** Bounds and patience of the reactor. Times are milliseconds. */
export interface ReactorLimits {
  /** Caught-up learners kept ready beside the voters. */
  readonly warmStandbys: number;
  /** How many entries a replica may be behind the commit index and still count as caught up. */
  readonly trailingEntries: number;
  /** How long a node must have been alive without a break before it is given a vote or a master's role. */
  readonly stabilizationMs: number;
  /** Least time between two voluntary shifts of one node. */
  readonly dampingMs: number;
  /** How long a node that said it would be back keeps its place while it is gone. */
  readonly restartGraceMs: number;
  /** Whether failed nodes are ever forgotten without an operator's word. */
  readonly cleanupDeadNodes: boolean;
  /** How long a failed node without a seat stays in the formation. */
  readonly forgetAfterMs: number;
  /** Clean-up never leaves fewer nodes that could vote, and nobody is forced out where fewer voters would be left. */
  readonly minQuorum: number;
  /** Whether each voter's zone has a hot spare, which is the first to take the seat. */
  readonly redundancyZones: boolean;
  /** Whether newer versions wait until they can be the quorum, and then are. */
  readonly upgradeMigration: boolean;
  /** How long a replica may take to catch up before the next one is tried. */
  readonly catchUpMs: number;
  /** How long a node that was given up is passed over. */
  readonly retryMs: number;
  /** How long a demoting node keeps a vote that nobody takes over. */
  readonly demotingMs: number;
  /** Most decisions of one policy in one observation. */
  readonly maxDecisions: number;
  /** Most nodes that are forgotten in one observation. */
  readonly maxForgotten: number;
}

/** Where neither a strategy nor anybody else says otherwise. `stabilizationMs` and `minQuorum` depend on the strategy: see {@link reactorLimits}. */
export const defaultReactorLimits: ReactorLimits = {
  warmStandbys: 2,
  trailingEntries: 4096,
  stabilizationMs: 10_000,
  dampingMs: 5000,
  restartGraceMs: 10_000,
  cleanupDeadNodes: true,
  forgetAfterMs: 72 * 3600 * 1000,
  minQuorum: 3,
  redundancyZones: false,
  upgradeMigration: true,
  catchUpMs: 30_000,
  retryMs: 300_000,
  demotingMs: 30_000,
  maxDecisions: 32,
  maxForgotten: 4,
};

/**
 * The limits of a strategy: what it says of its autopilot, else the defaults. A node counts as steady once it has been alive for as
 * long as a silent suspect would live: until then nobody could tell it from a dead one.
 */
export function reactorLimits(strategy: FabricStrategy, overrides: Partial<ReactorLimits> = {}): ReactorLimits {
  const { maxTrailingEntries, deadNodeMs, ...same } = strategy.autopilot ?? {};
  return {
    ...defaultReactorLimits,
    stabilizationMs: strategy.membership.suspicionMs,
    minQuorum: Math.min(defaultReactorLimits.minQuorum, quorumSizeOf(strategy)),
    ...(maxTrailingEntries === undefined ? {} : { trailingEntries: maxTrailingEntries }),
    ...(deadNodeMs === undefined ? {} : { forgetAfterMs: deadNodeMs }),
    ...same,
    ...overrides,
  };
}
