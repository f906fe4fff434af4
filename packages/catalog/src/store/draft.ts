import type { StoreRange, StoreReader, StoreTransaction } from "@revoada/fabric";
import { copyBytes } from "../core/bytes.ts";
import { SortedMap, type SortedEntry } from "../core/sorted-map.ts";
import { CatalogStoreClosedError } from "../errors.ts";
import { checkStoreKey, checkTreeName } from "./check-key.ts";
import { LayeredReader, nothingBelow, type Layer, type TreeChanges } from "./layer.ts";

/** Copies what a reader holds, because what a store gives away belongs to the caller. */
export function* copied(
  entries: Iterable<SortedEntry<Uint8Array>>,
): Generator<SortedEntry<Uint8Array>, void, undefined> {
  for (const { key, value } of entries) yield { key: copyBytes(key), value: copyBytes(value) };
}

interface TreeDraft extends TreeChanges {
  cleared: boolean;
  changes: SortedMap<Uint8Array | null>;
}

/**
 * A transaction over a layer: the trees that it touches are cloned, which costs nothing, and put in force together at the end.
 *
 * What was in the layer before stays as it was, so that throwing the draft away undoes everything.
 */
export class LayerDraft implements StoreTransaction {
  readonly #before: ReadonlyMap<string, TreeChanges>;
  readonly #keepDeletions: boolean;
  readonly #touched = new Map<string, TreeDraft>();
  readonly #reader: LayeredReader;
  /** Bytes put or deleted, roughly what the layer grows by. */
  #bytes = 0;
  #open = true;

  /** Without anything below, deletions need no mark. */
  constructor(
    before: ReadonlyMap<string, TreeChanges>,
    below?: { readonly layers: readonly Layer[]; readonly base: StoreReader },
  ) {
    this.#before = before;
    this.#keepDeletions = below !== undefined;
    // Trees that the draft touches hide those of the layer that they were cloned from.
    const top: Layer = {
      get: (name) => this.#touched.get(name) ?? before.get(name),
      keys: () => [...this.#touched.keys(), ...before.keys()],
    };
    this.#reader = new LayeredReader([top, ...(below?.layers ?? [])], below?.base ?? nothingBelow);
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** The layer with the draft's changes. The draft is over. */
  commit(): ReadonlyMap<string, TreeChanges> {
    this.#open = false;
    return this.#touched.size === 0 ? this.#before : new Map([...this.#before, ...this.#touched]);
  }

  /** The draft is over and leaves nothing behind. */
  discard(): void {
    this.#open = false;
  }

  get(tree: string, key: Uint8Array): Uint8Array | undefined {
    this.#check();
    const found = this.#reader.get(tree, key);
    return found === undefined ? undefined : copyBytes(found);
  }

  range(tree: string, range?: StoreRange): Iterable<SortedEntry<Uint8Array>> {
    this.#check();
    return copied(this.#reader.range(tree, range));
  }

  trees(): readonly string[] {
    this.#check();
    return this.#reader.trees();
  }

  put(tree: string, key: Uint8Array, value: Uint8Array): void {
    this.#check();
    checkStoreKey(key);
    this.#touch(tree).changes.put(copyBytes(key), copyBytes(value));
    this.#bytes += key.length + value.length + 64;
  }

  delete(tree: string, key: Uint8Array): boolean {
    this.#check();
    checkStoreKey(key);
    if (this.#reader.get(tree, key) === undefined) return false;
    const { changes } = this.#touch(tree);
    if (this.#keepDeletions) changes.put(copyBytes(key), null);
    else changes.delete(key);
    this.#bytes += key.length + 64;
    return true;
  }

  clear(tree: string): void {
    this.#check();
    const draft = this.#touch(tree);
    draft.cleared = true;
    draft.changes = new SortedMap();
  }

  #touch(tree: string): TreeDraft {
    const touched = this.#touched.get(tree);
    if (touched !== undefined) return touched;
    checkTreeName(tree);
    const before = this.#before.get(tree);
    const draft = {
      cleared: before?.cleared ?? false,
      changes: before?.changes.clone() ?? new SortedMap<Uint8Array | null>(),
    };
    this.#touched.set(tree, draft);
    return draft;
  }

  #check(): void {
    if (!this.#open) throw new CatalogStoreClosedError("transaction");
  }
}
