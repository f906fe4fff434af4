/**
 * A seeded world in which whole nodes run: the production layers over a virtual clock, network and disk, with faults, clients, and
 * invariants that are checked at every step.
 *
 * @packageDocumentation
 */
export { describeFault, scheduleFaults, type Fault, type TimedFault } from "./cluster/faults.ts";
export { checkWrites, readHistory, type WriteRecord, type WrittenHistory } from "./cluster/history.ts";
export { Monitor } from "./cluster/monitor.ts";
export { SimulatedNode, type SimulatedWorld } from "./cluster/node.ts";
export { runSeed, type RunOptions, type RunResult } from "./cluster/run.ts";
export { addTotals, countedEvents, emptyTotals, missingEvents, type CountedEvent, type Totals } from "./cluster/totals.ts";
export { Trace } from "./trace.ts";
export { InvariantViolation } from "./violation.ts";
