import { topology as threeRegions } from "@example/three-regions";
import { ClusterDeclaration } from "@revoada/cluster";
import {
  prescribedHomelab,
  prescribedSolo,
  type AutopilotStrategy,
  type FabricStrategy,
  type TopologyStrategy,
} from "@revoada/fabric";
import type { SeededRandom } from "@revoada/fabric/memory";
import { cluster3mnw, meshAllPeers, pair, phalanx, quorum, quorum3m, solo } from "@revoada/topology";

/** What a seed is about: a declaration, and the nodes that it is for. */
export interface Scenario {
  readonly declaration: ClusterDeclaration;
  /** Where each node stands; the first founds the cluster. 1 to 9. */
  readonly zones: readonly string[];
}

/** The topologies, by turns, with the number of voters that goes with each. */
export const shapes: readonly (() => { readonly topology: TopologyStrategy; readonly voters: number })[] = [
  () => ({ topology: solo(), voters: 1 }),
  () => ({ topology: pair({ minNodes: 3 }), voters: 3 }),
  () => ({ topology: quorum3m(), voters: 3 }),
  () => ({ topology: cluster3mnw(), voters: 3 }),
  () => ({ topology: meshAllPeers({ minNodes: 3 }), voters: 3 }),
  () => ({ topology: phalanx({ minNodes: 3 }), voters: 3 }),
  () => ({ topology: regions({ eu: "1", us: "1", ap: "1" }), voters: 3 }),
  () => ({ topology: regions({ eu: "2", us: "2", ap: "1" }), voters: 5 }),
  () => ({ topology: quorum({ masters: 5, workers: true }), voters: 5 }),
];

function regions(shares: Readonly<Record<string, string>>): TopologyStrategy {
  return threeRegions({ name: "@example/three-regions", parameters: new Map(Object.entries(shares)) });
}

/** Every topology with every number of nodes from 1 to 9, by turns; the rest is drawn. */
export function scenarioOf(seed: number, random: SeededRandom): Scenario {
  const { topology, voters } = (shapes[seed % shapes.length] as (typeof shapes)[number])();
  const nodes = 1 + (Math.floor(seed / shapes.length) % 9);
  const zoneNames = topology.mayVote === undefined ? ["a", "b", "c", "d"] : ["eu.a", "us.a", "ap.a", "eu.b", "us.b"];
  const zones = Array.from({ length: nodes }, (_, at) =>
    random.chance(0.7) ? (zoneNames[at % 3] as string) : random.pick(zoneNames),
  );
  const face = { name: "raw", kind: { protocol: "pure-raft" as const } };
  return { declaration: ClusterDeclaration.create(strategyOf(voters, random), face, topology), zones };
}

/** Patience is short, so that a minute of chaos sees it end. */
function strategyOf(voters: number, random: SeededRandom): FabricStrategy {
  const autopilot: AutopilotStrategy = {
    maxTrailingEntries: 200,
    catchUpMs: 5000,
    retryMs: 20_000,
    demotingMs: 5000,
    dampingMs: 3000,
    warmStandbys: random.below(4),
    deadNodeMs: 8000 + random.below(60_000),
    minQuorum: random.pick([1, Math.min(3, voters), voters]),
    redundancyZones: random.chance(0.3),
    upgradeMigration: random.chance(0.8),
    cleanupDeadNodes: random.chance(0.8),
  };
  if (voters === 1) return { ...prescribedSolo(), autopilot };
  const homelab = prescribedHomelab();
  const consensus = {
    protocol: "raft" as const,
    quorumSize: voters,
    electionTimeoutMs: 150,
    snapshotIntervalEntries: 1000,
  };
  return { ...homelab, name: "simulated", consensus, autopilot };
}
