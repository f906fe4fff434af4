import { FabricError } from "@revoada/fabric";
import type { Refusal } from "./core/result.ts";
import {
  CatalogCompactedError,
  CatalogDutyHeldError,
  CatalogFencedError,
  CatalogFutureRevisionError,
  CatalogInvalidCommandError,
  CatalogInvalidTransactionError,
  CatalogLeaseLimitError,
  CatalogLeaseNotFoundError,
  CatalogReadOnlyError,
  CatalogRestoreSupersededError,
  CatalogTooLargeError,
  LeaseNotLeaderError,
} from "./errors.ts";

/** The error that callers get for a refusal. A code that this release does not know stays what it is. */
export function errorOf({ code, message, numbers = [0, 0] }: Refusal): FabricError {
  switch (code) {
    case "CATALOG_READ_ONLY":
      return new CatalogReadOnlyError();
    case "CATALOG_TOO_LARGE":
      return new CatalogTooLargeError(message);
    case "CATALOG_INVALID_TRANSACTION":
      return new CatalogInvalidTransactionError(message);
    case "CATALOG_COMPACTED":
      return new CatalogCompactedError(...numbers);
    case "CATALOG_FUTURE_REVISION":
      return new CatalogFutureRevisionError(...numbers);
    case "CATALOG_INVALID_COMMAND":
      return new CatalogInvalidCommandError(message);
    case "CATALOG_RESTORE_SUPERSEDED":
      return new CatalogRestoreSupersededError();
    case "CATALOG_LEASE_NOT_FOUND":
      return new CatalogLeaseNotFoundError(message);
    case "CATALOG_LEASE_LIMIT":
      return new CatalogLeaseLimitError(message);
    case "CATALOG_DUTY_HELD":
      return new CatalogDutyHeldError(message);
    case "CATALOG_FENCED":
      return new CatalogFencedError(message);
    case "RAFT_NOT_LEADER":
      return new LeaseNotLeaderError(message);
    default:
      return new FabricError(code, message);
  }
}
