/** The write-ahead log: segments, records and recovery. */
export {
  LogClosedError,
  LogCompactedError,
  LogCorruptError,
  LogFailedError,
  LogFullError,
  LogInvalidBatchError,
  LogNewerFormatError,
  LogOtherClusterError,
} from "./errors.ts";
export { walFormatVersion } from "./format.ts";
export type { WalFault } from "./recovery.ts";
export { walLogStore, type WalLogStore, type WalOptions } from "./wal-log-store.ts";
export type { WalRecord } from "./batch-decoder.ts";
export {
  inspectWal,
  verifyWal,
  type InspectOptions,
  type WalReport,
  type WalSegmentReport,
  type WalVerification,
} from "./inspect.ts";
export { formatWalReport } from "./report.ts";
