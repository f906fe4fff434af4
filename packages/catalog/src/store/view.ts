import type { StoreRange, StoreReader, StoreView } from "@revoada/fabric";
import { copyBytes } from "../core/bytes.ts";
import type { SortedEntry } from "../core/sorted-map.ts";
import { CatalogStoreClosedError } from "../errors.ts";
import { copied } from "./draft.ts";

/** A view over a reader that does not change; `release` is called once. */
export class ReaderView implements StoreView {
  #reader: StoreReader | undefined;
  readonly #release: () => void;

  constructor(reader: StoreReader, release: () => void) {
    this.#reader = reader;
    this.#release = release;
  }

  get(tree: string, key: Uint8Array): Uint8Array | undefined {
    const found = this.#open().get(tree, key);
    return found === undefined ? undefined : copyBytes(found);
  }

  *range(tree: string, range?: StoreRange): Generator<SortedEntry<Uint8Array>, void, undefined> {
    for (const entry of copied(this.#open().range(tree, range))) {
      yield entry;
      // Native cursors must not be moved once what they belong to is gone.
      this.#open();
    }
  }

  trees(): readonly string[] {
    return this.#open().trees();
  }

  dispose(): void {
    if (this.#reader === undefined) return;
    this.#reader = undefined;
    this.#release();
  }

  #open(): StoreReader {
    if (this.#reader === undefined) throw new CatalogStoreClosedError("view");
    return this.#reader;
  }
}
