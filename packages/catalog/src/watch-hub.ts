import type { CatalogEvent, Clock, MachineStore, Metrics, Revision, WatchBatch } from "@revoada/fabric";
import { inRange, type KeyRange } from "./core/bytes.ts";
import { catalogLimits } from "./core/limits.ts";
import { readHistory, readPrevious, readRange, readState, type HistoryItem } from "./core/read.ts";
import type { CatalogState } from "./core/records.ts";
import { RecentRevisions, type RevisionEvents } from "./recent-revisions.ts";
import { Watcher, type WatchSource } from "./watcher.ts";

/** Bounds of watching. None of them grows with the number of slow watchers: whoever lags reads from the store. */
export interface WatchLimits {
  /** Revisions kept decoded for all watchers together; 1,024 unless told. */
  readonly recentRevisions?: number;
  /** Bytes of them; 8 MiB unless told. */
  readonly recentBytes?: number;
  /** How far a watcher that was up to date may fall behind before it gets a reset; 65,536 revisions unless told. */
  readonly lagRevisions?: number;
  /** How often a watcher is told that nothing has happened; 5,000 ms unless told. */
  readonly progressIntervalMs?: number;
}

export interface WatchHubOptions {
  readonly store: MachineStore;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly limits?: WatchLimits | undefined;
}

/** Records looked through in one go before other work gets its turn. */
const scanRecords = 4_096;

function sizeOf(event: CatalogEvent): number {
  const own = event.type === "put" ? event.entry.key.length + event.entry.value.length : event.key.length;
  return own + (event.previous?.value.length ?? 0) + 128;
}

/** Where watchers get their batches from: the newest revisions in memory, older ones from the store's history. */
export class WatchHub implements WatchSource {
  readonly clock: Clock;
  readonly lagRevisions: number;
  readonly #store: MachineStore;
  readonly #metrics: Metrics;
  readonly #recent: RecentRevisions;
  readonly #progressIntervalMs: number;
  readonly #watchers = new Set<Watcher>();
  #state: CatalogState;
  #cancelProgress: (() => void) | undefined;

  constructor(options: WatchHubOptions) {
    const {
      recentRevisions = 1_024,
      recentBytes = 8_388_608,
      lagRevisions = 65_536,
      progressIntervalMs = 5_000,
    } = options.limits ?? {};
    this.#store = options.store;
    this.clock = options.clock;
    this.#metrics = options.metrics;
    this.lagRevisions = lagRevisions;
    this.#progressIntervalMs = progressIntervalMs;
    this.#recent = new RecentRevisions({ count: recentRevisions, bytes: recentBytes });
    this.#state = readState(options.store);
  }

  get state(): CatalogState {
    return this.#state;
  }

  get count(): number {
    return this.#watchers.size;
  }

  /** Commands have been committed: takes in what they changed and wakes those whom it concerns. */
  committed(): void {
    const before = this.#state;
    this.#state = readState(this.#store);
    if (before.slot !== this.#state.slot || this.#state.revision < before.revision) this.#recent.clear();
    else if (this.#watchers.size > 0) this.#takeIn(before.revision + 1);
    for (const watcher of this.#watchers) watcher.advance();
  }

  /** The store was replaced: what was decoded may be void, and history may have gone back. */
  restored(): void {
    const before = this.#state;
    this.#state = readState(this.#store);
    this.#recent.clear();
    const turnedBack = this.#state.revision < before.revision;
    for (const watcher of this.#watchers) {
      if (turnedBack) watcher.replaced();
      watcher.advance();
    }
  }

  watch(range: KeyRange, fromRevision: number | undefined, signal: AbortSignal): AsyncIterator<WatchBatch, undefined> {
    const watcher = new Watcher(this, range, fromRevision ?? this.#state.revision + 1, signal, () => {
      this.#watchers.delete(watcher);
      this.#metrics.gauge("revoada_catalog_watchers", this.#watchers.size);
      if (this.#watchers.size === 0) this.#stopProgress();
    });
    if (signal.aborted) return watcher;
    this.#watchers.add(watcher);
    this.#metrics.gauge("revoada_catalog_watchers", this.#watchers.size);
    if (this.#cancelProgress === undefined) this.#scheduleProgress();
    return watcher;
  }

  close(): void {
    this.#stopProgress();
    for (const watcher of [...this.#watchers]) void watcher.return();
  }

  /** Everything in a range, as a reset tells it. */
  entries(range: KeyRange): Extract<WatchBatch, { type: "reset" }>["entries"] {
    return readRange(this.#store, this.#state, range).entries;
  }

  /**
   * Looks for the next changes in a range from a revision on. Without any, says how far it has looked: the newest revision, or
   * less where it stopped to let others work.
   */
  scan(range: KeyRange, from: number): { readonly batch?: WatchBatch; readonly next: number } {
    const { revision } = this.#state;
    let at = from;
    for (let looked = 0; at <= revision && looked < scanRecords; at++) {
      const held = this.#recent.at(at);
      if (held === undefined) return this.#scanHistory(range, at);
      looked += held.events.length;
      const events = held.events.filter((event) => inRange(keyOf(event), range));
      if (events.length > 0) return { batch: { type: "events", revision: held.revision, events }, next: at + 1 };
    }
    return { next: at };
  }

  #scanHistory(range: KeyRange, from: number): { readonly batch?: WatchBatch; readonly next: number } {
    let looked = 0;
    const found: HistoryItem[] = [];
    for (const item of readHistory(this.#store, this.#state, from)) {
      const first = found[0];
      if (first !== undefined && item.revision !== first.revision) break;
      if (first === undefined && looked >= scanRecords) return { next: item.revision };
      looked++;
      if (inRange(keyOf(item.event), range)) found.push(item);
    }
    const first = found[0];
    if (first === undefined) return { next: this.#state.revision + 1 };
    const revision = first.revision as Revision;
    return { batch: { type: "events", revision, events: this.#withPrevious(found) }, next: revision + 1 };
  }

  /** Adds the values that changes replaced, as long as they stay within bounds. */
  #withPrevious(items: readonly HistoryItem[]): readonly CatalogEvent[] {
    let bytes = 0;
    return items.map(({ event, revision }) => {
      if (bytes > catalogLimits.previousBytes) return event;
      const previous = readPrevious(this.#store, this.#state, keyOf(event), revision);
      bytes += previous?.value.length ?? 0;
      return previous === undefined || bytes > catalogLimits.previousBytes ? event : { ...event, previous };
    });
  }

  #takeIn(from: number): void {
    let items: HistoryItem[] = [];
    const push = (): void => {
      if (items.length === 0) return;
      const events = this.#withPrevious(items);
      const bytes = events.reduce((sum, event) => sum + sizeOf(event), 0);
      const taken: RevisionEvents = { revision: (items[0] as HistoryItem).revision as Revision, events, bytes };
      this.#recent.push(taken);
      items = [];
    };
    for (const item of readHistory(this.#store, this.#state, from)) {
      if (items.length > 0 && items[0]?.revision !== item.revision) push();
      items.push(item);
    }
    push();
  }

  #scheduleProgress(): void {
    this.#cancelProgress = this.clock.schedule(this.#progressIntervalMs, () => {
      for (const watcher of this.#watchers) watcher.tellProgress();
      this.#scheduleProgress();
    });
  }

  #stopProgress(): void {
    this.#cancelProgress?.();
    this.#cancelProgress = undefined;
  }
}

function keyOf(event: CatalogEvent): Uint8Array {
  return event.type === "put" ? event.entry.key : event.key;
}
