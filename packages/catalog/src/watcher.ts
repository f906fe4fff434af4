import type { Clock, Revision, WatchBatch } from "@revoada/fabric";
import type { KeyRange } from "./core/bytes.ts";
import type { CatalogState } from "./core/records.ts";

/** What a watcher needs of the hub. */
export interface WatchSource {
  readonly clock: Clock;
  readonly state: CatalogState;
  readonly lagRevisions: number;
  scan(range: KeyRange, from: number): { readonly batch?: WatchBatch; readonly next: number };
  entries(range: KeyRange): Extract<WatchBatch, { type: "reset" }>["entries"];
}

type Step = IteratorResult<WatchBatch, undefined>;
const ended: Step = { done: true, value: undefined };

/**
 * One consumer of changes: a position in history, and nothing that is queued.
 *
 * Batches are made when they are asked for, so that a consumer that does not ask costs nothing; one that was up to date and
 * then fell too far behind gets a reset instead of a long history.
 */
export class Watcher implements AsyncIterator<WatchBatch, undefined> {
  readonly #source: WatchSource;
  readonly #range: KeyRange;
  readonly #signal: AbortSignal;
  readonly #onEnd: () => void;
  /** The next revision to look at. */
  #next: number;
  /** Up to where the consumer knows what happened. */
  #told: number;
  /** True once it has seen all that there was: from then on it may not lag. */
  #live = false;
  #replaced = false;
  #progressDue = false;
  #ended = false;
  /** Wakes the call that waits. */
  #wake: (() => void) | undefined;
  /** Calls of `next` run one after the other. */
  #tail: Promise<unknown> = Promise.resolve();
  readonly #onAbort = (): void => this.#end();

  constructor(source: WatchSource, range: KeyRange, fromRevision: number, signal: AbortSignal, onEnd: () => void) {
    this.#source = source;
    this.#range = range;
    this.#next = fromRevision;
    this.#told = fromRevision - 1;
    this.#signal = signal;
    this.#onEnd = onEnd;
    if (signal.aborted) this.#ended = true;
    else signal.addEventListener("abort", this.#onAbort, { once: true });
  }

  next(): Promise<Step> {
    const step = this.#tail.then(() => this.#step());
    this.#tail = step.catch(() => {});
    return step;
  }

  async return(): Promise<Step> {
    this.#end();
    return ended;
  }

  /** History has moved on: wakes the consumer where that concerns it, and else moves along with it. */
  advance(): void {
    if (this.#wake === undefined) return;
    // A change that matters is found again when the batch is made: looking is cheap, as it is in memory.
    if (this.#resetReason() !== undefined) this.#wake();
    else {
      const { batch, next } = this.#source.scan(this.#range, this.#next);
      if (batch !== undefined || next <= this.#source.state.revision) this.#wake();
      else this.#next = next;
    }
  }

  /** The state was replaced by one that is older than what this consumer has seen. */
  replaced(): void {
    if (this.#next > this.#source.state.revision + 1) this.#replaced = true;
  }

  /** Lets a consumer that waits know how far nothing has happened. */
  tellProgress(): void {
    if (this.#wake === undefined || this.#next - 1 <= this.#told) return;
    this.#progressDue = true;
    this.#wake();
  }

  async #step(): Promise<Step> {
    try {
      while (!this.#ended) {
        const batch = this.#take();
        if (batch !== undefined) return { done: false, value: batch };
        if (this.#next <= this.#source.state.revision) await this.#turn();
        else await this.#wait();
      }
      return ended;
    } catch (error) {
      this.#end();
      throw error;
    }
  }

  #take(): WatchBatch | undefined {
    const reason = this.#resetReason();
    if (reason !== undefined) return this.#reset(reason);
    const { batch, next } = this.#source.scan(this.#range, this.#next);
    // A start in the future is waited for.
    this.#next = Math.max(this.#next, next);
    if (next > this.#source.state.revision) this.#live = true;
    if (batch !== undefined) {
      this.#told = this.#next - 1;
      return batch;
    }
    if (!this.#progressDue) return undefined;
    this.#progressDue = false;
    if (this.#next - 1 <= this.#told || this.#next - 1 > this.#source.state.revision) return undefined;
    this.#told = this.#next - 1;
    return { type: "progress", revision: this.#told as Revision };
  }

  #resetReason(): Extract<WatchBatch, { type: "reset" }>["reason"] | undefined {
    const { base, floor, revision } = this.#source.state;
    if (this.#replaced) return "restored";
    // A restore's own revision has no events: it can only be told as a whole.
    if (base > 0 && this.#next <= base) return "restored";
    if (this.#next < floor) return "compacted";
    return this.#live && revision - this.#next >= this.#source.lagRevisions ? "overflow" : undefined;
  }

  #reset(reason: Extract<WatchBatch, { type: "reset" }>["reason"]): WatchBatch {
    const revision = this.#source.state.revision as Revision;
    this.#replaced = false;
    this.#progressDue = false;
    this.#next = revision + 1;
    this.#told = revision;
    this.#live = true;
    return { type: "reset", revision, reason, entries: this.#source.entries(this.#range) };
  }

  #wait(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#wake = undefined;
        resolve();
      };
    });
  }

  #turn(): Promise<void> {
    return new Promise((resolve) => this.#source.clock.nextTurn(resolve));
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#signal.removeEventListener("abort", this.#onAbort);
    this.#wake?.();
    this.#onEnd();
  }
}
