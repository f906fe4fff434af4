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
}

/** The number of voters that a strategy asks for. */
export function quorumSizeOf(strategy: FabricStrategy): number {
  return strategy.consensus.protocol === "raft" ? strategy.consensus.quorumSize : 1;
}
