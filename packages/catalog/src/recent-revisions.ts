import type { CatalogEvent, Revision } from "@revoada/fabric";

/** All changes of one revision. */
export interface RevisionEvents {
  readonly revision: Revision;
  readonly events: readonly CatalogEvent[];
  readonly bytes: number;
}

/** The newest revisions, decoded once for all watchers; bounded in number and bytes. */
export class RecentRevisions {
  readonly #maxCount: number;
  readonly #maxBytes: number;
  /** Oldest first. */
  readonly #items = new Map<number, RevisionEvents>();
  #bytes = 0;

  constructor(limits: { readonly count: number; readonly bytes: number }) {
    this.#maxCount = limits.count;
    this.#maxBytes = limits.bytes;
  }

  push(item: RevisionEvents): void {
    this.#items.set(item.revision, item);
    this.#bytes += item.bytes;
    for (const [revision, { bytes }] of this.#items) {
      if (this.#items.size <= this.#maxCount && this.#bytes <= this.#maxBytes) return;
      this.#items.delete(revision);
      this.#bytes -= bytes;
    }
  }

  /** The changes of a revision, or undefined where they are not held. */
  at(revision: number): RevisionEvents | undefined {
    return this.#items.get(revision);
  }

  clear(): void {
    this.#items.clear();
    this.#bytes = 0;
  }
}
