/** How the log is agreed upon. `quorumSize` is the number of voters. */
export type ConsensusStrategy =
  | {
      readonly protocol: "raft";
      readonly quorumSize: number;
      /** Base of the election timeout; each node draws uniformly from [T, 2T). */
      readonly electionTimeoutMs: number;
      /** Committed entries between two compactions of the log. */
      readonly snapshotIntervalEntries: number;
    }
  /** A quorum of one: no redundancy, asked for by name. */
  | { readonly protocol: "standalone"; readonly electionTimeoutMs: number; readonly snapshotIntervalEntries: number };

/** How nodes learn of each other. */
export interface MembershipStrategy {
  /** Suspicion level (phi) from which a silent node is a suspect. */
  readonly phiThreshold: number;
  readonly gossipCadenceMs: number;
  /** The earliest silence at which phi may suspect. */
  readonly failureDetectorTimeoutMs: number;
  /** How long a silent suspect lives. */
  readonly suspicionMs: number;
}

export interface ContentStrategy {
  readonly syncCadenceMs: number;
  readonly gcRetentionMs: number;
}

export interface AttestationStrategy {
  readonly sealIntervalMs: number;
  readonly requireOperatorSignature: boolean;
}

/** Where masters and voters should stand. */
export type PlacementStrategy =
  | { readonly policy: "zone-aware"; readonly minZones: number }
  | { readonly policy: "rack-aware"; readonly minRacks: number }
  | { readonly policy: "latency-aware"; readonly maxP99Ms: number }
  | { readonly policy: "spread" }
  | { readonly policy: "none" };

/**
 * How the leader deals with the seats of the log and with those who are gone. What is left out has its default; names follow
 * Consul's autopilot where it has one. Times are milliseconds.
 */
export interface AutopilotStrategy {
  /** How long a node must have been alive without a break before it is given a vote or a master's role. Default: `suspicionMs`. */
  readonly stabilizationMs?: number;
  /** How many entries a replica may be behind and still count as caught up. Default: 4096. */
  readonly maxTrailingEntries?: number;
  /** How many caught-up nodes replicate beside the voters, ready to take a seat. Default: 2. */
  readonly warmStandbys?: number;
  /** Fewer nodes that could vote are never left by a clean-up, nor fewer voters by forcing one out. Default: 3, or all voters where they are fewer. */
  readonly minQuorum?: number;
  /** False keeps failed nodes in the formation until an operator removes them. Default: true. */
  readonly cleanupDeadNodes?: boolean;
  /** How long a failed node without a seat stays in the formation. Default: 72 hours. */
  readonly deadNodeMs?: number;
  /** True keeps a hot spare in the zone of each voter, and fails over inside a zone first. Default: false. */
  readonly redundancyZones?: boolean;
  /** False gives votes to nodes of any version as they come. Default: true. */
  readonly upgradeMigration?: boolean;
  /** Least time between two voluntary shifts of one node. Default: 5 s. */
  readonly dampingMs?: number;
  /** How long a replica may take to catch up before another is tried. Default: 30 s. */
  readonly catchUpMs?: number;
  /** How long a node that was given up is passed over. Default: 5 min. */
  readonly retryMs?: number;
  /** How long a node that steps back keeps a vote that nobody takes over. Default: 30 s. */
  readonly demotingMs?: number;
}

/** *How* a fabric converges: one plain value, proven by `proveLiveness` before anything runs by it. */
export interface FabricStrategy {
  readonly name: string;
  readonly consensus: ConsensusStrategy;
  readonly membership: MembershipStrategy;
  readonly content: ContentStrategy;
  readonly attestation: AttestationStrategy;
  readonly placement: PlacementStrategy;
  /** How often the leader compares the formation with what it should be. */
  readonly reconciliationCadenceMs: number;
  /** Absent: all defaults. */
  readonly autopilot?: AutopilotStrategy;
}

/** The number of voters that a strategy asks for. */
export function quorumSizeOf(strategy: FabricStrategy): number {
  return strategy.consensus.protocol === "raft" ? strategy.consensus.quorumSize : 1;
}
