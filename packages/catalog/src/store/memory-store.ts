import {
  InvariantError,
  type MachineStore,
  type StoreRange,
  type StoreReplacement,
  type StoreTransaction,
  type StoreView,
} from "@revoada/fabric";
import { copyBytes } from "../core/bytes.ts";
import { SortedMap, type SortedEntry } from "../core/sorted-map.ts";
import { CatalogStoreClosedError } from "../errors.ts";
import { checkStoreKey, checkTreeName } from "./check-key.ts";
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

  async replace(): Promise<StoreReplacement> {
    this.#check();
    return new MemoryReplacement((trees) => {
      this.#check();
      this.#trees = trees;
    });
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

const slabBytes = 65_536;

/** Trees that are filled beside those in force, and then take their place: the old ones are the garbage collector's. */
class MemoryReplacement implements StoreReplacement {
  readonly #install: (trees: ReadonlyMap<string, TreeChanges>) => void;
  readonly #trees = new Map<string, SortedMap<Uint8Array | null>>();
  #slab = new Uint8Array(0);
  #at = 0;
  #over = false;

  constructor(install: (trees: ReadonlyMap<string, TreeChanges>) => void) {
    this.#install = install;
  }

  put(tree: string, key: Uint8Array, value: Uint8Array): void {
    this.#check();
    checkStoreKey(key);
    let changes = this.#trees.get(tree);
    if (changes === undefined) {
      checkTreeName(tree);
      changes = new SortedMap();
      this.#trees.set(tree, changes);
    }
    changes.put(this.#copied(key), this.#copied(value));
  }

  /** Copies into slabs: a million small buffers of their own would keep the garbage collector busy for longer than anybody may wait. */
  #copied(bytes: Uint8Array): Uint8Array {
    if (bytes.length > slabBytes / 4) return copyBytes(bytes);
    if (this.#at + bytes.length > this.#slab.length) {
      this.#slab = new Uint8Array(slabBytes);
      this.#at = 0;
    }
    const copy = this.#slab.subarray(this.#at, this.#at + bytes.length);
    copy.set(bytes);
    this.#at += bytes.length;
    return copy;
  }

  async drained(): Promise<void> {
    this.#check();
  }

  async commit(): Promise<void> {
    this.#check();
    this.#over = true;
    this.#install(new Map([...this.#trees].map(([name, changes]) => [name, { cleared: false, changes }])));
  }

  async abandon(): Promise<void> {
    this.#over = true;
    this.#trees.clear();
  }

  #check(): void {
    if (this.#over) throw new CatalogStoreClosedError("replacement");
  }
}
