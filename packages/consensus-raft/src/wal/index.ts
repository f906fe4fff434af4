/** The write-ahead log: segments, records and recovery. */
export {
  LogClosedError,
  LogCompactedError,
  LogCorruptError,
  LogFailedError,
  LogForgottenError,
  LogFullError,
  LogInvalidBatchError,
  LogNewerFormatError,
  LogOtherClusterError,
  LogTooManyGroupsError,
} from "./errors.ts";
export { walFormatVersion } from "./format.ts";
export type { WalFault } from "./recovery.ts";
export { walLogStore, type WalOptions } from "./wal-log-store.ts";
export type { WalLogStore } from "./store.ts";
export {
  sharedWal,
  type RecoveredWal,
  type SharedWal,
  type SharedWalGroup,
  type SharedWalOptions,
} from "./shared-wal.ts";
export type { WalRecord } from "./batch-decoder.ts";
export {
  inspectWal,
  verifyWal,
  type InspectOptions,
  type WalGroupReport,
  type WalReport,
  type WalSegmentReport,
  type WalVerification,
} from "./inspect.ts";
export { formatWalReport } from "./report.ts";
export { planWalRepair, repairWal, type RepairOptions, type WalRepair, type WalRepairedGroup } from "./repair.ts";
