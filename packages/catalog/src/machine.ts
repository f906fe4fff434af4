import {
  InvariantError,
  type ApplyContext,
  type CatalogTransaction,
  type Lease,
  type StoreReader,
  type StoreTransaction,
  type SubMachine,
} from "@revoada/fabric";
import { checkTransaction, writes } from "./core/check-transaction.ts";
import { decodeCommand, type CatalogCommand } from "./core/command.ts";
import { sweep } from "./core/compaction.ts";
import { evaluate, revisionAfter, type Change } from "./core/evaluate.ts";
import { attachKey, detachAllKeys, fenceRefusal, readLease, writeLease } from "./core/lease-records.ts";
import { expireLeases, grantLease, revokeLease, type LeaseEnd } from "./core/leasing.ts";
import { catalogLimits } from "./core/limits.ts";
import { readState } from "./core/read.ts";
import { encodeCurrent, encodeHistory, encodeState, encodeVersion, type CatalogState } from "./core/records.ts";
import { beginStage, commitStage, stageChunk } from "./core/restoring.ts";
import { encodeOutcome, type CommandOutcome, type Refusal } from "./core/result.ts";
import { allTrees, historyKey, metaTree, slotTrees, stateKey, versionKey } from "./core/store-keys.ts";

/** Hears of what happened to the catalog's trees, after it is committed. */
export interface CatalogMachineListener {
  /** Commands that changed the catalog have been committed. */
  committed(): void;
  /** The store was replaced as a whole. */
  restored(): void;
  /** Leases were granted or have ended. Called before `committed`. */
  leasesChanged?(change: LeaseChange): void;
}

/** What became of leases in one committed batch. */
export interface LeaseChange {
  readonly granted: readonly Lease[];
  readonly ended: readonly Lease[];
}

/** The half of the catalog that every replica runs, deterministically, plus the wire to the half that serves callers. */
export interface CatalogMachine extends SubMachine {
  readonly name: "catalog";
  /** Calls the listener until the returned function is called. */
  subscribe(listener: CatalogMachineListener): () => void;
}

function refused(refusal: Refusal): CommandOutcome {
  return { type: "refused", refusal };
}

const readOnly: CommandOutcome = refused({
  code: "CATALOG_READ_ONLY",
  message: "the catalog takes no writes while the cluster forms",
});

function writeState(transaction: StoreTransaction, state: CatalogState): void {
  transaction.put(metaTree, stateKey, encodeState(state));
}

/** Writes the changes of one transaction as one revision. */
function writeChanges(transaction: StoreTransaction, state: CatalogState, changes: readonly Change[]): CatalogState {
  const { current, history, versions } = slotTrees[state.slot];
  const revision = state.revision + 1;
  let keys = state.keys;
  const attached = new Map<number, number>();
  const count = (lease: number | undefined, by: number): void => {
    if (lease !== undefined) attached.set(lease, (attached.get(lease) ?? 0) + by);
  };
  for (const [place, change] of changes.entries()) {
    const { key, leaseBefore } = change;
    const lease = change.type === "put" ? change.lease : undefined;
    if (lease !== leaseBefore) {
      attachKey(transaction, key, leaseBefore, lease);
      count(leaseBefore, -1);
      count(lease, 1);
    }
    transaction.put(history, historyKey(revision, place), encodeHistory(change));
    transaction.put(versions, versionKey(key, revision), encodeVersion({ place, deleted: change.type === "delete" }));
    if (change.type === "delete") {
      transaction.delete(current, key);
      keys--;
      continue;
    }
    const { createRevision, version } = change;
    transaction.put(current, key, encodeCurrent({ createRevision, modRevision: revision, version, place, lease }));
    if (version === 1) keys++;
  }
  for (const [id, by] of attached) countKeys(transaction, id, by);
  return { ...state, revision, keys };
}

function countKeys(transaction: StoreTransaction, id: number, by: number): void {
  if (by === 0) return;
  const lease = readLease(transaction, id);
  if (lease === undefined) throw new InvariantError(`catalog: a key is attached to lease ${id}, which does not exist`);
  writeLease(transaction, { ...lease, keys: lease.keys + by });
}

function applyTransaction(
  transaction: StoreTransaction,
  state: CatalogState,
  command: CatalogTransaction,
): CommandOutcome {
  const fault = checkTransaction(command);
  if (fault !== undefined) return refused(fault);
  const evaluation = evaluate(transaction, state, command);
  if ("refusal" in evaluation) return refused(evaluation.refusal);
  const { succeeded, results, changes } = evaluation;
  const revision = revisionAfter(state, evaluation);
  if (changes.length > 0) writeState(transaction, writeChanges(transaction, state, changes));
  return { type: "txn", result: { succeeded, revision, results } };
}

/** A floor that holds already is no error: what was asked for is so. */
function applyCompaction(
  transaction: StoreTransaction,
  state: CatalogState,
  command: Extract<CatalogCommand, { type: "compact" }>,
): CommandOutcome {
  const fenced = fenceRefusal(transaction, command.fence);
  if (fenced !== undefined) return refused(fenced);
  if (command.revision > state.revision) {
    const message = `revision ${command.revision} is ahead of the newest one, ${state.revision}`;
    return refused({ code: "CATALOG_FUTURE_REVISION", message, numbers: [command.revision, state.revision] });
  }
  const raised = { ...state, floor: Math.max(state.floor, command.revision) };
  const swept = sweep(transaction, raised, Math.min(command.sweep, catalogLimits.sweep));
  writeState(transaction, swept);
  return { type: "compacted", floor: swept.floor, done: swept.swept >= swept.floor };
}

/** What the commands of one batch did to leases, told once the batch is committed. */
class LeaseNews {
  readonly granted: Lease[] = [];
  readonly ended: Lease[] = [];
}

function applyGrant(
  transaction: StoreTransaction,
  command: Extract<CatalogCommand, { type: "grant" }>,
  context: ApplyContext,
  news: LeaseNews,
): CommandOutcome {
  const granted = grantLease(transaction, command, context);
  if ("refusal" in granted) return refused(granted.refusal);
  news.granted.push(granted);
  return { type: "granted", lease: granted };
}

function settleEnd(
  transaction: StoreTransaction,
  before: CatalogState,
  end: LeaseEnd | { readonly refusal: Refusal },
  news: LeaseNews,
): CommandOutcome {
  if ("refusal" in end) return refused(end.refusal);
  if (end.state !== before) writeState(transaction, end.state);
  news.ended.push(...end.ended);
  return { type: "ended", leases: end.ended.map(({ id }) => id), revision: end.state.revision };
}

function applyRestoreCommit(
  transaction: StoreTransaction,
  state: CatalogState,
  command: Extract<CatalogCommand, { type: "restore-commit" }>,
): CommandOutcome {
  const committed = commitStage(transaction, state, command);
  if (committed.state !== state) {
    writeState(transaction, committed.state);
    detachAllKeys(transaction);
  }
  return committed.outcome;
}

function applyCommand(
  transaction: StoreTransaction,
  command: CatalogCommand,
  context: ApplyContext,
  news: LeaseNews,
): CommandOutcome {
  if (!context.writable && (command.type !== "txn" || writes(command.transaction))) return readOnly;
  const state = readState(transaction);
  switch (command.type) {
    case "txn":
      return applyTransaction(transaction, state, command.transaction);
    case "compact":
      return applyCompaction(transaction, state, command);
    case "restore-begin":
      return beginStage(transaction, state, command);
    case "restore-chunk":
      return stageChunk(transaction, state, command);
    case "restore-commit":
      return applyRestoreCommit(transaction, state, command);
    case "grant":
      return applyGrant(transaction, command, context, news);
    case "revoke":
      return settleEnd(transaction, state, revokeLease(transaction, state, command.lease, writeChanges), news);
    case "expire":
      return settleEnd(transaction, state, expireLeases(transaction, state, command, context, writeChanges), news);
  }
}

/**
 * Makes the deterministic half of the catalog: what applies commands to the store.
 *
 * A command that cannot be carried out, or cannot be read, has a refusal as its result and changes nothing.
 */
export function catalogMachine(): CatalogMachine {
  const listeners = new Set<CatalogMachineListener>();
  let changed = false;
  let news = new LeaseNews();
  return {
    name: "catalog",
    trees: allTrees,
    apply(transaction, bytes, context) {
      const command = decodeCommand(bytes);
      if (command === undefined) {
        return encodeOutcome(refused({ code: "CATALOG_INVALID_COMMAND", message: "the bytes are no catalog command" }));
      }
      changed = true;
      return encodeOutcome(applyCommand(transaction, command, context, news));
    },
    committed() {
      if (!changed) return;
      changed = false;
      const told = news;
      news = new LeaseNews();
      if (told.granted.length > 0 || told.ended.length > 0) {
        for (const listener of listeners) listener.leasesChanged?.(told);
      }
      for (const listener of listeners) listener.committed();
    },
    restored(_store: StoreReader) {
      changed = false;
      news = new LeaseNews();
      for (const listener of listeners) listener.restored();
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
