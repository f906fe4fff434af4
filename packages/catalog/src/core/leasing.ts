import {
  isFabricError,
  parseDutyName,
  type ApplyContext,
  type Lease,
  type LeaseId,
  type LogIndex,
  type StoreTransaction,
  type Term,
} from "@revoada/fabric";
import type { CatalogCommand } from "./command.ts";
import type { Change } from "./evaluate.ts";
import {
  deleteLease,
  leaseNotFound,
  readHolder,
  readLease,
  readLeaseKeys,
  readTotals,
  writeHolder,
  writeLease,
  writeTotals,
} from "./lease-records.ts";
import { catalogLimits } from "./limits.ts";
import type { CatalogState } from "./records.ts";
import type { Refusal } from "./result.ts";

/** What forbids a grant whatever the state, or undefined: the same answer before it is proposed and when it is applied. */
export function checkGrant(request: {
  readonly ttlMs: number;
  readonly duty?: string | undefined;
  readonly holder?: string | undefined;
}): Refusal | undefined {
  const { ttlMs, duty, holder = "" } = request;
  const { leaseTtlMinMs, leaseTtlMaxMs, holderLength } = catalogLimits;
  if (!Number.isSafeInteger(ttlMs) || ttlMs < leaseTtlMinMs || ttlMs > leaseTtlMaxMs)
    return {
      code: "CATALOG_LEASE_LIMIT",
      message: `a lease of ${ttlMs} ms is not within ${leaseTtlMinMs} and ${leaseTtlMaxMs} ms`,
    };
  if (holder.length > holderLength)
    return {
      code: "CATALOG_LEASE_LIMIT",
      message: `a holder of ${holder.length} characters is longer than ${holderLength}`,
    };
  if (!holder.isWellFormed()) return { code: "CATALOG_INVALID_COMMAND", message: "the holder is no text" };
  if (duty === undefined) return undefined;
  try {
    parseDutyName(duty);
    return undefined;
  } catch (error) {
    if (!isFabricError(error)) throw error;
    return { code: "CATALOG_INVALID_COMMAND", message: error.message };
  }
}

/** Grants a lease under a token above all that were granted before. */
export function grantLease(
  transaction: StoreTransaction,
  command: Extract<CatalogCommand, { type: "grant" }>,
  context: ApplyContext,
): Lease | { readonly refusal: Refusal } {
  const fault = checkGrant(command);
  if (fault !== undefined) return { refusal: fault };
  const { ttlMs, duty, holder } = command;
  const totals = readTotals(transaction);
  if (totals.count >= catalogLimits.leases)
    return { refusal: { code: "CATALOG_LEASE_LIMIT", message: `${totals.count} leases are the most that are kept` } };
  const held = duty === undefined ? undefined : readHolder(transaction, duty);
  if (held !== undefined) {
    const message = `duty ${duty} is held by ${held.holder ?? "somebody"} under ${held.token.term}/${held.token.index}`;
    return { refusal: { code: "CATALOG_DUTY_HELD", message } };
  }
  const { newest } = totals;
  // In a log both are above what they were. A catalog without one counts on from what its store holds.
  const token = {
    term: Math.max(context.term, newest.term) as Term,
    index: Math.max(context.index, newest.index + 1) as LogIndex,
  };
  const lease: Lease = {
    id: token.index as number as LeaseId,
    ttlMs,
    keys: 0,
    token,
    ...(duty === undefined ? {} : { duty }),
    ...(holder === undefined ? {} : { holder }),
  };
  writeLease(transaction, lease);
  if (duty !== undefined) writeHolder(transaction, duty, lease.id);
  writeTotals(transaction, { count: totals.count + 1, newest: token });
  return lease;
}

/** Writes changes as one revision. */
export type WriteChanges = (
  transaction: StoreTransaction,
  state: CatalogState,
  changes: readonly Change[],
) => CatalogState;

/** Ends a lease: its keys go, in one revision, and then the lease itself. */
function endLease(
  transaction: StoreTransaction,
  state: CatalogState,
  lease: Lease,
  writeChanges: WriteChanges,
): CatalogState {
  const changes = [...readLeaseKeys(transaction, lease.id)].map((key): Change => ({
    type: "delete",
    key,
    leaseBefore: lease.id,
  }));
  const after = changes.length === 0 ? state : writeChanges(transaction, state, changes);
  deleteLease(transaction, lease);
  const totals = readTotals(transaction);
  writeTotals(transaction, { ...totals, count: totals.count - 1 });
  return after;
}

/** What ending leases did. */
export interface LeaseEnd {
  readonly state: CatalogState;
  readonly ended: readonly Lease[];
}

export function revokeLease(
  transaction: StoreTransaction,
  state: CatalogState,
  id: LeaseId,
  writeChanges: WriteChanges,
): LeaseEnd | { readonly refusal: Refusal } {
  const lease = readLease(transaction, id);
  if (lease === undefined) return { refusal: leaseNotFound(id) };
  return { state: endLease(transaction, state, lease, writeChanges), ended: [lease] };
}

/**
 * Ends the leases that the leader of a term found to be over.
 *
 * Refused where the entry stands in another term than the one it was made in: a leader that has been replaced may have been
 * overtaken by renewals that its successor granted. Within the term, the leader itself sees to it that nothing is renewed between
 * its finding and the entry. Leases that do not fit into one command any more are left for the next.
 */
export function expireLeases(
  transaction: StoreTransaction,
  state: CatalogState,
  command: Extract<CatalogCommand, { type: "expire" }>,
  context: ApplyContext,
  writeChanges: WriteChanges,
): LeaseEnd | { readonly refusal: Refusal } {
  if (command.term !== context.term) {
    const message = `leases were found to be over in term ${command.term}, this is term ${context.term}`;
    return { refusal: { code: "CATALOG_EXPIRY_REFUSED", message } };
  }
  if (command.leases.length > catalogLimits.expiries) {
    const message = `${command.leases.length} leases are more than ${catalogLimits.expiries}`;
    return { refusal: { code: "CATALOG_LEASE_LIMIT", message } };
  }
  const ended: Lease[] = [];
  let now = state;
  let changes = 0;
  for (const id of command.leases) {
    const lease = readLease(transaction, id);
    if (lease === undefined) continue;
    changes += lease.keys;
    if (changes > catalogLimits.changes) break;
    now = endLease(transaction, now, lease, writeChanges);
    ended.push(lease);
  }
  return { state: now, ended };
}
