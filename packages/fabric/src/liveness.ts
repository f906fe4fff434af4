import { describeValue, FabricError } from "./errors.ts";
import { autopilotNumbers } from "./strategy-parse.ts";
import { quorumSizeOf, type FabricStrategy, type PlacementStrategy } from "./strategy.ts";

/** A number of a strategy that is no number at all, negative, or not whole where it counts whole things. */
export class StrategyNumberError extends FabricError {
  readonly path: string;

  constructor(path: string, value: unknown, expected: string) {
    super("STRATEGY_BAD_NUMBER", `${path} is ${describeValue(value)}, expected ${expected}`);
    this.path = path;
  }
}

/** A cadence of zero: the loop that it paces would never rest, or never run. */
export class ZeroCadenceError extends FabricError {
  readonly path: string;

  constructor(path: string) {
    super("STRATEGY_ZERO_CADENCE", `${path} is 0, expected at least 1`);
    this.path = path;
  }
}

/** A failure detector as slow as the loop that acts on it: decisions would be made on news that cannot have arrived. */
export class DetectorOutpacedError extends FabricError {
  constructor(failureDetectorTimeoutMs: number, reconciliationCadenceMs: number) {
    super(
      "STRATEGY_DETECTOR_OUTPACED",
      `failure-detector timeout ${failureDetectorTimeoutMs} ms is not below the reconciliation cadence ${reconciliationCadenceMs} ms`,
    );
  }
}

/** Gossip that is no faster than the detector: one late round would already be a suspicion. */
export class GossipTooSlowError extends FabricError {
  constructor(gossipCadenceMs: number, failureDetectorTimeoutMs: number) {
    super(
      "STRATEGY_GOSSIP_TOO_SLOW",
      `gossip cadence ${gossipCadenceMs} ms is not below the failure-detector timeout ${failureDetectorTimeoutMs} ms`,
    );
  }
}

/** A suspicion shorter than the detector's timeout: a suspect would be dead before it could be heard. */
export class SuspicionTooShortError extends FabricError {
  constructor(suspicionMs: number, failureDetectorTimeoutMs: number) {
    super(
      "STRATEGY_SUSPICION_TOO_SHORT",
      `suspicion of ${suspicionMs} ms is shorter than the failure-detector timeout ${failureDetectorTimeoutMs} ms`,
    );
  }
}

/** An even number of voters tolerates no more losses than the odd number below it and can tie. */
export class EvenQuorumError extends FabricError {
  constructor(quorumSize: number) {
    super("STRATEGY_EVEN_QUORUM", `${quorumSize} voters, expected an odd number`);
  }
}

/** Fewer than three voters survive no loss; a quorum of one must be asked for by name. */
export class QuorumTooSmallError extends FabricError {
  constructor(quorumSize: number) {
    super("STRATEGY_QUORUM_TOO_SMALL", `${quorumSize} voters, expected at least 3 (or protocol "standalone" for one)`);
  }
}

/**
 * Refuses a strategy that cannot converge, and returns it otherwise.
 *
 * Numbers are checked one by one first, then against each other. One error class and code per condition
 * (`STRATEGY_BAD_NUMBER`, `STRATEGY_ZERO_CADENCE`, `STRATEGY_DETECTOR_OUTPACED`, `STRATEGY_GOSSIP_TOO_SLOW`,
 * `STRATEGY_SUSPICION_TOO_SHORT`, `STRATEGY_EVEN_QUORUM`, `STRATEGY_QUORUM_TOO_SMALL`), with the numbers in the message.
 */
export function proveLiveness(strategy: FabricStrategy): FabricStrategy {
  const { consensus, membership, content, attestation } = strategy;
  requireCadence("consensus.electionTimeoutMs", consensus.electionTimeoutMs);
  requireCadence("consensus.snapshotIntervalEntries", consensus.snapshotIntervalEntries);
  requireCadence("membership.gossipCadenceMs", membership.gossipCadenceMs);
  requireCadence("membership.failureDetectorTimeoutMs", membership.failureDetectorTimeoutMs);
  requireCadence("membership.suspicionMs", membership.suspicionMs);
  requireCadence("content.syncCadenceMs", content.syncCadenceMs);
  requireCadence("content.gcRetentionMs", content.gcRetentionMs);
  requireCadence("attestation.sealIntervalMs", attestation.sealIntervalMs);
  requireCadence("reconciliationCadenceMs", strategy.reconciliationCadenceMs);
  if (!Number.isFinite(membership.phiThreshold) || membership.phiThreshold <= 0) {
    throw new StrategyNumberError("membership.phiThreshold", membership.phiThreshold, "a number above 0");
  }
  provePlacement(strategy.placement);
  proveQuorum(strategy);
  proveAutopilot(strategy);
  if (membership.failureDetectorTimeoutMs >= strategy.reconciliationCadenceMs) {
    throw new DetectorOutpacedError(membership.failureDetectorTimeoutMs, strategy.reconciliationCadenceMs);
  }
  if (membership.gossipCadenceMs >= membership.failureDetectorTimeoutMs) {
    throw new GossipTooSlowError(membership.gossipCadenceMs, membership.failureDetectorTimeoutMs);
  }
  if (membership.suspicionMs < membership.failureDetectorTimeoutMs) {
    throw new SuspicionTooShortError(membership.suspicionMs, membership.failureDetectorTimeoutMs);
  }
  return strategy;
}

/** Longest cadence: what a timer of the platform can hold (2^31 − 1 ms, almost 25 days). */
const maxCadence = 2 ** 31 - 1;

function requireCadence(path: string, value: number): void {
  if (value === 0) throw new ZeroCadenceError(path);
  requireCount(path, value);
}

function requireCount(path: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 1 || value > maxCadence) {
    throw new StrategyNumberError(path, value, `a whole number from 1 to ${maxCadence}`);
  }
}

function provePlacement(placement: PlacementStrategy): void {
  switch (placement.policy) {
    case "zone-aware":
      return requireCount("placement.minZones", placement.minZones);
    case "rack-aware":
      return requireCount("placement.minRacks", placement.minRacks);
    case "latency-aware":
      return requireCount("placement.maxP99Ms", placement.maxP99Ms);
    case "spread":
    case "none":
      return;
  }
}

/** Most voters: beyond this each commit waits for ever more acknowledgements while tolerating nothing useful. */
const maxVoters = 9;

function proveQuorum({ consensus }: FabricStrategy): void {
  if (consensus.protocol === "standalone") return;
  const { quorumSize } = consensus;
  if (!Number.isSafeInteger(quorumSize) || quorumSize < 0 || quorumSize > maxVoters) {
    throw new StrategyNumberError("consensus.quorumSize", quorumSize, `an odd whole number from 3 to ${maxVoters}`);
  }
  if (quorumSize < 3) throw new QuorumTooSmallError(quorumSize);
  if (quorumSize % 2 === 0) throw new EvenQuorumError(quorumSize);
}

/** Most replicas that are kept warm: each costs the leader what a voter does. */
const maxWarmStandbys = 16;

function proveAutopilot(strategy: FabricStrategy): void {
  const { autopilot } = strategy;
  if (autopilot === undefined) return;
  const names = Object.keys(autopilotNumbers) as (keyof typeof autopilotNumbers)[];
  for (const name of names) {
    const [value, least] = [autopilot[name], autopilotNumbers[name]];
    const most = name === "warmStandbys" ? maxWarmStandbys : name === "minQuorum" ? quorumSizeOf(strategy) : maxCadence;
    if (value === undefined || (Number.isSafeInteger(value) && value >= least && value <= most)) continue;
    throw new StrategyNumberError(`autopilot.${name}`, value, `a whole number from ${least} to ${most}`);
  }
}
