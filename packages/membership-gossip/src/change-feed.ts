import type { Member, MembershipChange, MembershipView, NodeId } from "@revoada/fabric";

/** Where a feed gets its pictures from. */
export interface ChangeSource {
  view(): MembershipView;
  member(id: NodeId): Member | undefined;
}

const pendingMax = 1_024;

/**
 * One consumer's stream of changes.
 *
 * It holds ids and not changes, so that a consumer that is slow sees each member once, as it is by then. Where even the ids
 * would be too many, they give way to one snapshot.
 */
export class ChangeFeed implements AsyncIterableIterator<MembershipChange> {
  readonly #source: ChangeSource;
  readonly #pending = new Set<NodeId>();
  readonly #signal: AbortSignal;
  readonly #ended: (feed: ChangeFeed) => void;
  readonly #waiting: ((result: IteratorResult<MembershipChange>) => void)[] = [];
  readonly #onAbort = (): void => this.end();
  #snapshotDue = true;
  #done = false;

  constructor(source: ChangeSource, signal: AbortSignal, ended: (feed: ChangeFeed) => void) {
    this.#source = source;
    this.#signal = signal;
    this.#ended = ended;
    if (signal.aborted) this.end();
    else signal.addEventListener("abort", this.#onAbort, { once: true });
  }

  /** Something about this member is another now. */
  touch(id: NodeId): void {
    if (this.#done || this.#snapshotDue) return;
    this.#pending.add(id);
    if (this.#pending.size > pendingMax) {
      this.#pending.clear();
      this.#snapshotDue = true;
    }
    this.#flush();
  }

  #flush(): void {
    while (this.#waiting.length > 0) {
      const change = this.#take();
      if (change === undefined) return;
      this.#waiting.shift()?.({ done: false, value: change });
    }
  }

  #take(): MembershipChange | undefined {
    if (this.#snapshotDue) {
      this.#snapshotDue = false;
      this.#pending.clear();
      return Object.freeze({ type: "snapshot", view: this.#source.view() });
    }
    const { value: id } = this.#pending.values().next();
    if (id === undefined) return undefined;
    this.#pending.delete(id);
    const member = this.#source.member(id);
    return Object.freeze(member === undefined ? { type: "forgotten", id } : { type: "changed", member });
  }

  async next(): Promise<IteratorResult<MembershipChange>> {
    if (this.#done) return { done: true, value: undefined };
    if (this.#waiting.length === 0) {
      const change = this.#take();
      if (change !== undefined) return { done: false, value: change };
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  async return(): Promise<IteratorResult<MembershipChange>> {
    this.end();
    return { done: true, value: undefined };
  }

  /** Ends the stream; whoever waits is told so. */
  end(): void {
    if (this.#done) return;
    this.#done = true;
    this.#pending.clear();
    this.#signal.removeEventListener("abort", this.#onAbort);
    for (const resolve of this.#waiting.splice(0)) resolve({ done: true, value: undefined });
    this.#ended(this);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
