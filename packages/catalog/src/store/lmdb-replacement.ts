import type { StoreReplacement } from "@revoada/fabric";
import { CatalogStoreClosedError } from "../errors.ts";
import { checkStoreKey, checkTreeName } from "./check-key.ts";
import { treePrefix } from "./lmdb-base.ts";
import { batchKinds, BatchPacker } from "./lmdb-batch.ts";

/** What a replacement needs of its store. */
export interface ReplacementSurroundings {
  /** Throws where the store is closed. */
  check(): void;
  write(slabs: readonly Uint8Array<ArrayBuffer>[]): Promise<void>;
  commit(): Promise<void>;
  abandon(): void;
}

/** Bytes that are held before they are written: one transaction's worth. */
const heldBytes = 4 * 1_048_576;

/** Fills a space of its own on the disk, portion by portion; one small record puts it in force in the end. */
export class LmdbReplacement implements StoreReplacement {
  readonly #space: number;
  readonly #store: ReplacementSurroundings;
  readonly #prefixes = new Map<string, Uint8Array>();
  #packer = new BatchPacker();
  #bytes = 0;
  #over = false;

  constructor(space: number, store: ReplacementSurroundings) {
    this.#space = space;
    this.#store = store;
  }

  put(tree: string, key: Uint8Array, value: Uint8Array): void {
    this.#check();
    checkStoreKey(key);
    let prefix = this.#prefixes.get(tree);
    if (prefix === undefined) {
      checkTreeName(tree);
      prefix = treePrefix(this.#space, tree);
      this.#prefixes.set(tree, prefix);
    }
    this.#packer.add(batchKinds.put, prefix, key, value);
    this.#bytes += key.length + value.length;
  }

  async drained(): Promise<void> {
    this.#check();
    if (this.#bytes >= heldBytes) await this.#write();
  }

  async commit(): Promise<void> {
    this.#check();
    await this.#write();
    this.#over = true;
    await this.#store.commit();
  }

  async abandon(): Promise<void> {
    if (this.#over) return;
    this.#over = true;
    this.#packer = new BatchPacker();
    this.#store.abandon();
  }

  async #write(): Promise<void> {
    const { slabs } = this.#packer;
    this.#packer = new BatchPacker();
    this.#bytes = 0;
    if (slabs.length > 0) await this.#store.write(slabs);
  }

  #check(): void {
    if (this.#over) throw new CatalogStoreClosedError("replacement");
    this.#store.check();
  }
}
