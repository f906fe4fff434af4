/**
 * The replicated log: a pure Raft core, a write-ahead log and a driver with group commit.
 *
 * @packageDocumentation
 */
export { RaftCore } from "./core/raft-core.ts";
