/**
 * A seeded world in which whole nodes run: the production layers over a virtual clock, network and disk, with faults, clients, and
 * invariants that are checked at every step.
 *
 * @packageDocumentation
 */
export { describeFault, scheduleFaults, type Fault, type TimedFault } from "./faults.ts";
export { checkWrites, readHistory, type WriteRecord, type WrittenHistory } from "./history.ts";
export { Monitor } from "./monitor.ts";
export { SimulatedNode, type SimulatedWorld } from "./node.ts";
export { runSeed, type RunOptions, type RunResult } from "./run.ts";
export { addTotals, countedEvents, emptyTotals, missingEvents, type CountedEvent, type Totals } from "./totals.ts";
export { Trace } from "./trace.ts";
export { InvariantViolation } from "./violation.ts";
