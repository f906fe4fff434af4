/**
 * Seeded worlds in which production code runs over a virtual clock, network and disk, with faults, clients, and invariants that
 * are checked at every step: the replicated log alone ({@link runConsensusSeed}), whole nodes ({@link runSeed}), gossip among
 * thousands ({@link runGossipSeed}), and what a leader does about its formation ({@link runFormationSeed}).
 *
 * @packageDocumentation
 */
export { clusterBugs, type ClusterBug } from "./cluster/bugs.ts";
export { checkFencedWrites, fencedValue, parseFencedWrite, type FencedWrite } from "./cluster/duty-workload.ts";
export { describeFault, scheduleFaults, type Fault, type TimedFault } from "./cluster/faults.ts";
export { checkWrites, readHistory, type WriteRecord, type WrittenHistory } from "./cluster/history.ts";
export { Monitor } from "./cluster/monitor.ts";
export { SimulatedNode, type SimulatedWorld } from "./cluster/node.ts";
export { runSeed, type RunOptions, type RunResult } from "./cluster/run.ts";
export {
  addTotals,
  countedEvents,
  emptyTotals,
  missingEvents,
  type CountedEvent,
  type Totals,
} from "./cluster/totals.ts";
export { formatEvents, parseEvents } from "./consensus/events.ts";
export { mutations, plant, type Mutation, type Patch } from "./consensus/mutations.ts";
export { shrinkEvents, type Shrunk, type ShrinkOptions } from "./consensus/shrink.ts";
export {
  consensusEvents,
  noTotals,
  sumTotals,
  unseenEvents,
  type ConsensusEvent,
  type ConsensusTotals,
} from "./consensus/totals.ts";
export { runConsensusSeed, type ConsensusRunOptions, type ConsensusRunResult } from "./consensus/world.ts";
export { formationBugs, type FormationBug } from "./formation/bugs.ts";
export { runFormationSeed, type FormationRunOptions, type FormationRunResult } from "./formation/run.ts";
export {
  formationEvents,
  noFormationTotals,
  sumFormationTotals,
  unseenFormationEvents,
  type FormationEvent,
  type FormationTotals,
} from "./formation/totals.ts";
export { idealRounds } from "./gossip/ideal.ts";
export { GossipNode } from "./gossip/node.ts";
export {
  measureIdle,
  measureSpread,
  runGossipSeed,
  settledWorld,
  type GossipIdle,
  type GossipRunOptions,
  type GossipRunResult,
  type Spread,
} from "./gossip/run.ts";
export { paperSignatures, realSignatures, type Signatures } from "./gossip/signatures.ts";
export { gossipEvents, unseenGossipEvents, type GossipTotals } from "./gossip/totals.ts";
export {
  fairWeather,
  GossipWorld,
  type GossipSighting,
  type GossipWorldOptions,
  type Weather,
} from "./gossip/world.ts";
export { checkLinearizable, type CheckOptions, type Verdict } from "./linearizability/checker.ts";
export { applyCall, emptyValue, type Call, type Operation } from "./linearizability/operation.ts";
export { Trace } from "./trace.ts";
export { InvariantViolation } from "./violation.ts";
