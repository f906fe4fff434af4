import { sha256 } from "@noble/hashes/sha2.js";
import type { StoreTransaction } from "@revoada/fabric";
import { compareBytes, equalBytes } from "./bytes.ts";
import { decodeChunk, digestBytes, type StagedEntry } from "./command.ts";
import { catalogLimits, keyFault } from "./limits.ts";
import {
  decodeStage,
  encodeCurrent,
  encodeHistory,
  encodeStage,
  encodeVersion,
  type CatalogState,
  type StageRecord,
} from "./records.ts";
import type { CommandOutcome, Refusal } from "./result.ts";
import { historyKey, metaTree, slotTrees, stageKey, versionKey, type Slot, type SlotTrees } from "./store-keys.ts";

const noKey = new Uint8Array(0);

function refused(code: Refusal["code"], message: string): CommandOutcome {
  return { type: "refused", refusal: { code, message } };
}

/** The digest of no chunks, and then of each further one: a chain, so that order counts as well. */
export function firstDigest(): Uint8Array {
  return new Uint8Array(digestBytes);
}

export function nextDigest(digest: Uint8Array, chunk: Uint8Array): Uint8Array {
  return sha256.create().update(digest).update(chunk).digest();
}

function clearSlot(transaction: StoreTransaction, trees: SlotTrees): void {
  transaction.clear(trees.current);
  transaction.clear(trees.history);
  transaction.clear(trees.versions);
}

function spare(state: CatalogState): Slot {
  return state.slot === 0 ? 1 : 0;
}

/** Empties the spare slot, whatever an earlier restore may have left in it, and opens a new stage. */
export function beginStage(
  transaction: StoreTransaction,
  state: CatalogState,
  command: { readonly id: Uint8Array; readonly digest: Uint8Array; readonly entries: number },
): CommandOutcome {
  clearSlot(transaction, slotTrees[spare(state)]);
  const stage: StageRecord = {
    id: command.id,
    expectedDigest: command.digest,
    expectedEntries: command.entries,
    next: 0,
    entries: 0,
    digest: firstDigest(),
    lastKey: noKey,
  };
  transaction.put(metaTree, stageKey, encodeStage(stage));
  return { type: "staged" };
}

function openStage(transaction: StoreTransaction, id: Uint8Array): StageRecord | undefined {
  const bytes = transaction.get(metaTree, stageKey);
  const stage = bytes === undefined ? undefined : decodeStage(bytes);
  return stage !== undefined && equalBytes(stage.id, id) ? stage : undefined;
}

function checkEntries(entries: readonly StagedEntry[], lastKey: Uint8Array): string | undefined {
  let before = lastKey;
  for (const { key, value } of entries) {
    if (keyFault(key) !== undefined) return "a staged key is empty or too long";
    if (value.length > catalogLimits.valueBytes) return "a staged value is too large";
    if (compareBytes(before, key) >= 0) return "staged keys are out of order";
    before = key;
  }
  return undefined;
}

/** Takes the next chunk into the spare slot, in its final form: records of a restore bear revision 0. */
export function stageChunk(
  transaction: StoreTransaction,
  state: CatalogState,
  command: { readonly id: Uint8Array; readonly sequence: number; readonly chunk: Uint8Array },
): CommandOutcome {
  const stage = openStage(transaction, command.id);
  if (stage === undefined)
    return refused("CATALOG_RESTORE_SUPERSEDED", "another restore has taken the place of this one");
  if (command.sequence !== stage.next) return refused("CATALOG_INVALID_COMMAND", "a staged chunk is out of order");
  const entries = decodeChunk(command.chunk);
  if (entries === undefined) return refused("CATALOG_INVALID_COMMAND", "a staged chunk cannot be read");
  const fault = checkEntries(entries, stage.lastKey);
  if (fault !== undefined) return refused("CATALOG_INVALID_COMMAND", fault);
  const trees = slotTrees[spare(state)];
  let place = stage.entries;
  for (const { key, value } of entries) {
    transaction.put(
      trees.history,
      historyKey(0, place),
      encodeHistory({ type: "put", key, createRevision: 0, version: 1, value }),
    );
    transaction.put(trees.versions, versionKey(key, 0), encodeVersion({ place, deleted: false }));
    transaction.put(trees.current, key, encodeCurrent({ createRevision: 0, modRevision: 0, version: 1, place }));
    place++;
  }
  const next: StageRecord = {
    ...stage,
    next: stage.next + 1,
    entries: place,
    digest: nextDigest(stage.digest, command.chunk),
    lastKey: entries.at(-1)?.key ?? stage.lastKey,
  };
  transaction.put(metaTree, stageKey, encodeStage(next));
  return { type: "staged" };
}

/** Puts the spare slot in force at one new revision, all at once; nothing changes unless every entry has arrived. */
export function commitStage(
  transaction: StoreTransaction,
  state: CatalogState,
  command: { readonly id: Uint8Array },
): { readonly outcome: CommandOutcome; readonly state: CatalogState } {
  const stage = openStage(transaction, command.id);
  if (stage === undefined) {
    return { outcome: refused("CATALOG_RESTORE_SUPERSEDED", "another restore has taken the place of this one"), state };
  }
  if (stage.entries !== stage.expectedEntries || !equalBytes(stage.digest, stage.expectedDigest)) {
    return { outcome: refused("CATALOG_INVALID_COMMAND", "what was staged is not what was announced"), state };
  }
  const revision = state.revision + 1;
  clearSlot(transaction, slotTrees[state.slot]);
  transaction.delete(metaTree, stageKey);
  return {
    outcome: { type: "restored", revision },
    state: { slot: spare(state), revision, floor: revision, base: revision, keys: stage.entries, swept: revision },
  };
}
