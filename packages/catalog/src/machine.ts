import {
  type ApplyContext,
  type CatalogTransaction,
  type StoreReader,
  type StoreTransaction,
  type SubMachine,
} from "@revoada/fabric";
import { checkTransaction, writes } from "./core/check-transaction.ts";
import { decodeCommand, type CatalogCommand } from "./core/command.ts";
import { sweep } from "./core/compaction.ts";
import { evaluate, revisionAfter, type Change } from "./core/evaluate.ts";
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
  for (const [place, change] of changes.entries()) {
    const { key } = change;
    transaction.put(history, historyKey(revision, place), encodeHistory(change));
    transaction.put(versions, versionKey(key, revision), encodeVersion({ place, deleted: change.type === "delete" }));
    if (change.type === "delete") {
      transaction.delete(current, key);
      keys--;
      continue;
    }
    const { createRevision, version } = change;
    transaction.put(current, key, encodeCurrent({ createRevision, modRevision: revision, version, place }));
    if (version === 1) keys++;
  }
  return { ...state, revision, keys };
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
  if (command.revision > state.revision) {
    const message = `revision ${command.revision} is ahead of the newest one, ${state.revision}`;
    return refused({ code: "CATALOG_FUTURE_REVISION", message, numbers: [command.revision, state.revision] });
  }
  const raised = { ...state, floor: Math.max(state.floor, command.revision) };
  const swept = sweep(transaction, raised, Math.min(command.sweep, catalogLimits.sweep));
  writeState(transaction, swept);
  return { type: "compacted", floor: swept.floor, done: swept.swept >= swept.floor };
}

function applyCommand(transaction: StoreTransaction, command: CatalogCommand, context: ApplyContext): CommandOutcome {
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
    case "restore-commit": {
      const committed = commitStage(transaction, state, command);
      if (committed.state !== state) writeState(transaction, committed.state);
      return committed.outcome;
    }
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
  return {
    name: "catalog",
    trees: allTrees,
    apply(transaction, bytes, context) {
      const command = decodeCommand(bytes);
      if (command === undefined) {
        return encodeOutcome(refused({ code: "CATALOG_INVALID_COMMAND", message: "the bytes are no catalog command" }));
      }
      changed = true;
      return encodeOutcome(applyCommand(transaction, command, context));
    },
    committed() {
      if (!changed) return;
      changed = false;
      for (const listener of listeners) listener.committed();
    },
    restored(_store: StoreReader) {
      changed = false;
      for (const listener of listeners) listener.restored();
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
