import type { SessionLimits } from "@revoada/consensus-raft";
import type { SeededRandom } from "@revoada/fabric/memory";
import { chooseKinds, faultKindsFor, type FaultKind } from "./faults.ts";

/** What one seed decides before anything happens. */
export interface Setup {
  readonly nodes: number;
  /** How many of them found the group; the others wait to be let in. */
  readonly founders: number;
  readonly electionTimeoutMs: number;
  readonly chaosMs: number;
  readonly kinds: readonly FaultKind[];
  readonly faults: number;
  readonly latencyMs: number;
  readonly syncMs: number;
  readonly leaseReads: boolean;
  readonly durableMachines: boolean;
  readonly asynchronousApply: boolean;
  readonly slowSnapshots: boolean;
  readonly snapshotIntervalEntries: number;
  readonly segmentBytes: number;
  readonly allocateBytes: number;
  readonly walCacheBytes: number;
  readonly keys: number;
  readonly operations: number;
  /** Share of local linearizable reads among the operations. */
  readonly readShare: number;
  /** Clients prefer a node that believes to lead. */
  readonly leaderBias: number;
  /** Clients read at whoever was elected just now. */
  readonly eagerReaders: boolean;
  /** The operator asks whoever was elected just now for other voters. */
  readonly hastyOperator: boolean;
  /** What the group is healed from. */
  readonly healsFrom: "anything" | "half-heard-leader" | "unsettled-leaders";
  readonly limits: Readonly<Record<string, number>>;
  /** Tables that are small enough for sessions to expire; undefined for a log without sessions. */
  readonly sessions: SessionLimits | undefined;
}

export interface SetupOptions {
  readonly nodes?: number;
  readonly minutes?: number;
}

/** How many kinds of fault a run must have seen. */
export const leastFaultKinds = 5;

/** What is left of each run for healing and for judging. */
const healMs = 14_000;

/** Draws a setup: each seed tries a random subset of faults, of a size and at timings of its own (swarm testing). */
export function drawSetup(random: SeededRandom, options: SetupOptions = {}): Setup {
  const nodes = options.nodes ?? random.pick([1, 2, 3, 3, 3, 3, 4, 5, 5, 5, 6, 7]);
  const minutes = options.minutes ?? 1;
  const electionTimeoutMs = 150 + random.below(351);
  const feasible = faultKindsFor(nodes);
  const shuffled = random.shuffle(feasible);
  const kinds = chooseKinds(shuffled, 8 + random.below(feasible.length - 7), leastFaultKinds);
  const founders = nodes <= 2 ? nodes : Math.max(1, nodes - random.below(3));
  const segmentBytes = random.pick([16, 32, 64, 256]) * 1024;
  const chaosMs = minutes * 60_000 - healMs;
  const setup: Setup = {
    nodes,
    founders,
    electionTimeoutMs,
    chaosMs,
    kinds,
    // A pair loses its quorum with either of the two, so that it bears less.
    faults: Math.round((nodes === 2 ? 8 + random.below(6) : 14 + random.below(14)) * minutes),
    latencyMs: random.pick([0.2, 1, 5, electionTimeoutMs / 12]),
    syncMs: random.pick([0.2, 1, 4, electionTimeoutMs / 6]),
    leaseReads: random.chance(0.5),
    durableMachines: random.chance(0.4),
    asynchronousApply: random.chance(0.5),
    slowSnapshots: random.chance(0.5),
    snapshotIntervalEntries: random.pick([10, 20, 50, 100, 200]),
    segmentBytes,
    allocateBytes: Math.min(segmentBytes, random.pick([4, 8, 16]) * 1024),
    walCacheBytes: random.pick([0, 512, 16 * 1024 * 1024]),
    keys: 4 + random.below(9),
    operations: Math.round((1010 + random.below(150)) * minutes),
    readShare: random.pick([0.1, 0.3, 0.5]),
    leaderBias: random.pick([0, 0.3, 0.7]),
    eagerReaders: random.chance(0.7),
    hastyOperator: random.chance(0.4),
    healsFrom: random.pick(["anything", "half-heard-leader", "unsettled-leaders"]),
    limits: drawLimits(random, electionTimeoutMs),
    sessions: drawSessions(random.fork("sessions")),
  };
  return { ...setup, ...bearable(setup) };
}

/** What an entry takes of a message, about. */
const entryBytes = 64;

/**
 * Links and disks that are fast enough, under these limits, for twice what is asked: where one entry is under way at a time and takes
 * 50 ms, most of what is asked never happens, and little is learned.
 */
function bearable({ limits, latencyMs, syncMs, chaosMs, operations }: Setup): Pick<Setup, "latencyMs" | "syncMs"> {
  const { maxMessageBytes = Infinity, maxInFlightMessages = Infinity, maxInFlightBytes = Infinity } = limits;
  const perMessage = Math.max(1, Math.floor(maxMessageBytes / entryBytes));
  const perRound = Math.max(1, Math.min(maxInFlightMessages * perMessage, maxInFlightBytes / entryBytes));
  const mostMs = (perRound * chaosMs) / operations / 2;
  const factor = Math.min(1, mostMs / (syncMs + 2 * latencyMs));
  return { latencyMs: latencyMs * factor, syncMs: syncMs * factor };
}

function drawSessions(random: SeededRandom): SessionLimits | undefined {
  if (!random.chance(0.35)) return undefined;
  const [maxInFlight, maxResultBytes] = [random.pick([1, 2, 16]), random.pick([64, 4096])];
  // One window of largest results is the least.
  const maxBytes = 64 + maxInFlight * (maxResultBytes + 40);
  return {
    maxSessions: random.pick([3, 6, 20]),
    maxInFlight,
    maxResultBytes,
    maxBytes: maxBytes * random.pick([2, 8, 1000]),
  };
}

/** Bounds that are tiny or large, so that every path around them is taken. */
function drawLimits(random: SeededRandom, electionTimeoutMs: number): Readonly<Record<string, number>> {
  return {
    maxMessageBytes: random.pick([64, 1024, 1024 * 1024]),
    maxInFlightMessages: random.pick([1, 4, 256]),
    maxInFlightBytes: random.pick([256, 8 * 1024 * 1024]),
    maxApplyEntries: random.pick([1, 7, 4096]),
    maxApplyBytes: random.pick([64, 8 * 1024 * 1024]),
    cacheBytes: random.pick([1, 2048, 16 * 1024 * 1024]),
    maxUncommittedBytes: random.pick([2048, 64 * 1024 * 1024]),
    maxForwardsInFlight: random.pick([1, 64]),
    trailingEntries: random.pick([0, 5, 50]),
    snapshotChunkBytes: random.pick([200, 2000, 1024 * 1024]),
    storageStallMs: Math.round((2 + random.float() * 6) * electionTimeoutMs),
    snapshotStallMs: Math.round((6 + random.below(10)) * electionTimeoutMs),
    snapshotRequestTimeoutMs: Math.round((2 + random.below(6)) * electionTimeoutMs),
    proposalTimeoutMs: Math.round((6 + random.below(20)) * electionTimeoutMs),
  };
}
