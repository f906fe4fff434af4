import { InvariantError, type StoreTransaction } from "@revoada/fabric";
import { decodeHistory, decodeVersion, type CatalogState } from "./records.ts";
import { historyKey, parseHistoryKey, parseVersionKey, slotTrees, versionKey } from "./store-keys.ts";

/** Removes the version before (key, revision), which the one at `revision` has superseded. */
function dropPredecessor(transaction: StoreTransaction, state: CatalogState, key: Uint8Array, revision: number): void {
  const { history, versions } = slotTrees[state.slot];
  const before = { start: versionKey(key, 0), end: versionKey(key, revision), reverse: true, limit: 1 };
  for (const found of [...transaction.range(versions, before)]) {
    const at = parseVersionKey(found.key);
    if (at === undefined) throw new InvariantError("catalog: a stored version key cannot be read");
    transaction.delete(versions, found.key);
    transaction.delete(history, historyKey(at.revision, decodeVersion(found.value).place));
  }
}

/**
 * Sweeps up to `limit` changes on the way to the floor and returns the state with its progress.
 *
 * All that must stay readable is each key's newest version at the floor. What an earlier sweep has kept can become superfluous
 * only through a change since then, so that looking at the changes between the old floor and the new one is enough: each of them
 * makes the version before it superfluous, and a deletion below the floor itself as well.
 */
export function sweep(transaction: StoreTransaction, state: CatalogState, limit: number): CatalogState {
  if (state.swept >= state.floor) return state;
  const { history, versions } = slotTrees[state.slot];
  const range = { start: historyKey(state.swept, 0), end: historyKey(state.floor + 1, 0) };
  let done = 0;
  // A revision is swept whole, so that progress is one number; a transaction's changes are bounded.
  let last = state.swept;
  for (const { key, value } of transaction.range(history, range)) {
    const at = parseHistoryKey(key);
    if (at === undefined) throw new InvariantError("catalog: a stored history key cannot be read");
    if (done >= limit && at.revision > last) return { ...state, swept: at.revision };
    last = at.revision;
    done++;
    const record = decodeHistory(value);
    dropPredecessor(transaction, state, record.key, at.revision);
    if (record.type === "delete" && at.revision < state.floor) {
      transaction.delete(history, key);
      transaction.delete(versions, versionKey(record.key, at.revision));
    }
  }
  return { ...state, swept: state.floor };
}
