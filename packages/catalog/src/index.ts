/**
 * The replicated resource catalog: MVCC revisions, compare-and-swap, watch and snapshots.
 *
 * `catalogMachine` is the half that every replica runs, deterministically, over a `MachineStore`; `catalog` is the half that
 * serves callers on one node. `memoryStore` keeps everything in memory; the durable store is under `@revoada/catalog/lmdb`.
 *
 * @packageDocumentation
 */
export { catalog, type CatalogFront, type CatalogOptions } from "./catalog.ts";
export {
  CatalogCompactedError,
  CatalogDutyHeldError,
  CatalogFencedError,
  CatalogFutureRevisionError,
  CatalogInvalidCommandError,
  CatalogInvalidResultError,
  CatalogInvalidTransactionError,
  CatalogLeaseLimitError,
  CatalogLeaseNotFoundError,
  CatalogNewerFormatError,
  CatalogReadOnlyError,
  CatalogRestoreSupersededError,
  CatalogSnapshotInvalidError,
  CatalogStoreBackpressureError,
  CatalogStoreClosedError,
  CatalogStoreCorruptError,
  CatalogStoreFailedError,
  CatalogTooLargeError,
  LeaseNotLeaderError,
  LeaseUndecidedError,
} from "./errors.ts";
export { catalogLimits } from "./core/limits.ts";
export { localCatalog, type LocalCatalogOptions } from "./local-catalog.ts";
export { catalogMachine, type CatalogMachine, type CatalogMachineListener, type LeaseChange } from "./machine.ts";
export { memoryStore } from "./store/memory-store.ts";
export type { WatchLimits } from "./watch-hub.ts";
