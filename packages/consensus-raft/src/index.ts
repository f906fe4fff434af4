/**
 * The replicated log: a pure Raft core, a write-ahead log and a driver with group commit.
 *
 * {@link raft} makes a replica: it elects, replicates, forwards, reads, changes its voters and drives a state machine, over the
 * transport, the disk and the clock that it is given. {@link walLogStore} is the log on a disk, which `raft` uses unless told
 * otherwise.
 *
 * @packageDocumentation
 */
export { raft } from "./driver/raft.ts";
export { raftHost, type GroupOptions, type RaftHost, type RaftHostOptions } from "./groups/host.ts";
export { groupsProtocol } from "./groups/host-frame.ts";
export type { RaftCodec, RaftLimits, RaftOptions } from "./driver/options.ts";
export type { CoreLimits } from "./core/types.ts";
export { forwardProtocol } from "./driver/forwarding.ts";
export { raftProtocol } from "./driver/outbox.ts";
export { snapshotProtocol } from "./driver/snapshot-frames.ts";
export { decodeConfiguration, encodeConfiguration } from "./core/configuration-codec.ts";
export type { Session, SessionCallOptions } from "./sessions/session.ts";
export type { SessionedConsensus } from "./sessions/sessioned-raft.ts";
export type { SessionLimits } from "./sessions/core/limits.ts";
export {
  RaftBackpressureError,
  RaftBadCommandError,
  RaftBadFrameError,
  RaftBadSnapshotError,
  RaftChangeInProgressError,
  RaftDuplicateGroupError,
  RaftLogCorruptError,
  RaftMachineBehindError,
  RaftMachineFailedError,
  RaftNewerCommandError,
  RaftNoQuorumError,
  RaftNotLeaderError,
  RaftOtherStoreError,
  RaftOutcomeUnknownError,
  RaftResultNotKeptError,
  RaftSessionExpiredError,
  RaftSessionSequenceError,
  RaftSnapshotDamagedError,
  RaftStoppedError,
  RaftTooLargeError,
  RaftTransferFailedError,
  RaftUnknownGroupError,
} from "./errors.ts";
export * from "./wal/index.ts";
