import { formatResourceRef, type ResourceWatchEvent, type Revision } from "@revoada/fabric";

type Reset = Extract<ResourceWatchEvent, { type: "reset" }>;

/** Where a watch stands that may have to go on at another replica: what it has told, so that nothing is told twice or left out. */
export class WatchPosition {
  #next: Revision;
  /** What was told of revision `#next`: a stream may break in the middle of a revision. */
  #told = new Set<string>();
  #reset: Reset | undefined;

  constructor(next: Revision) {
    this.#next = next;
  }

  /** The revision to go on from; parts of it may have been told already. */
  get next(): Revision {
    return this.#next;
  }

  /** The last reset, where nothing shows yet that its state was told to the end. */
  get openReset(): Reset | undefined {
    return this.#reset;
  }

  /** Takes note of an event; false where it was told before. */
  take(event: ResourceWatchEvent): boolean {
    if (event.type === "reset") {
      this.#reset = event;
      this.#moveTo((event.revision + 1) as Revision);
      return true;
    }
    if (event.revision < this.#next) return this.#reset !== undefined && event.type === "added";
    this.#reset = undefined;
    if (event.revision > this.#next) this.#moveTo(event.revision);
    const name = formatResourceRef(event.ref);
    if (this.#told.has(name)) return false;
    this.#told.add(name);
    return true;
  }

  #moveTo(revision: Revision): void {
    this.#next = revision;
    this.#told = new Set();
  }
}
