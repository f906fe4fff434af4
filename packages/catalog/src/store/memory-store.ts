import {
  InvariantError,
  type MachineStore,
  type StoreRange,
  type StoreTransaction,
  type StoreView,
} from "@revoada/fabric";
import { copyBytes } from "../core/bytes.ts";
import type { SortedEntry } from "../core/sorted-map.ts";
import { CatalogStoreClosedError } from "../errors.ts";
import { copied, LayerDraft } from "./draft.ts";
import { LayeredReader, nothingBelow, type TreeChanges } from "./layer.ts";
import { ReaderView } from "./view.ts";

/**
 * Makes a store that lives and ends with the process: trees that are copied on write, so that views and rollback are free.
 *
 * For the simulator, for tests and for clusters that keep nothing.
 */
export function memoryStore(): MachineStore {
  return new MemoryStore();
}

class MemoryStore implements MachineStore {
  readonly durable = false;
  #trees: ReadonlyMap<string, TreeChanges> = new Map();
  #closed = false;
  #transacting = false;

  get(tree: string, key: Uint8Array): Uint8Array | undefined {
    const found = this.#reader().get(tree, key);
    return found === undefined ? undefined : copyBytes(found);
  }

  *range(tree: string, range?: StoreRange): Generator<SortedEntry<Uint8Array>, void, undefined> {
    for (const entry of copied(this.#reader().range(tree, range))) {
      yield entry;
      this.#check();
    }
  }

  trees(): readonly string[] {
    return this.#reader().trees();
  }

  transact<T>(body: (transaction: StoreTransaction) => T): T {
    this.#check();
    if (this.#transacting) throw new InvariantError("store: a transaction was begun inside another one");
    const draft = new LayerDraft(this.#trees);
    this.#transacting = true;
    try {
      const result = body(draft);
      this.#trees = draft.commit();
      return result;
    } finally {
      draft.discard();
      this.#transacting = false;
    }
  }

  view(): StoreView {
    return new ReaderView(this.#reader(), () => {});
  }

  async flush(): Promise<void> {
    this.#check();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#trees = new Map();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #reader(): LayeredReader {
    this.#check();
    return new LayeredReader([this.#trees], nothingBelow);
  }

  #check(): void {
    if (this.#closed) throw new CatalogStoreClosedError("store");
  }
}
