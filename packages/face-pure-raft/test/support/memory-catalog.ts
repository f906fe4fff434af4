import {
  type Catalog,
  type CatalogEntry,
  type CatalogEvent,
  type CatalogOperation,
  type CatalogTransaction,
  type Compare,
  FabricError,
  type LeaseId,
  type OperationResult,
  type RangeRequest,
  type RangeResult,
  type Revision,
  type TransactionResult,
  type WatchBatch,
} from "@revoada/fabric";
import { decode, encode } from "cborg";
import { MemoryLeases } from "./memory-leases.ts";

interface Change {
  readonly revision: number;
  readonly events: readonly CatalogEvent[];
}

function order(one: Uint8Array, other: Uint8Array): number {
  return Buffer.compare(one, other);
}

function inRange(key: Uint8Array, start: Uint8Array, end: Uint8Array | undefined): boolean {
  return end === undefined ? order(key, start) === 0 : order(key, start) >= 0 && order(key, end) < 0;
}

/** A catalog that keeps everything in arrays and looks through all of it: slow, and simple enough to be believed. */
export class MemoryCatalog implements Catalog {
  readonly leases: MemoryLeases = new MemoryLeases({
    keysOf: (lease) => this.#entries(this.#revision).flatMap((entry) => (entry.lease === lease ? [entry.key] : [])),
    remove: (keys) =>
      this.#run(
        keys.map((key) => ({ type: "delete", key })),
        this.#entries(this.#revision),
        true,
      ).revision,
  });
  /** Called before each transaction is looked at, so that a test can come first. */
  beforeTxn: (() => void) | undefined;
  /** What the next transaction rejects with. */
  refusal: FabricError | undefined;
  /** Entries that a stale read sees instead of the newest. */
  staleAt: number | undefined;
  /** How old a stale read says that it is. */
  ageMs = 0;
  transactions = 0;
  #changes: Change[] = [];
  #revision = 0;
  #floor = 0;
  /** The revision of the last restore: what is older cannot be told. */
  #base = 0;
  #watchers = new Set<() => void>();
  #cached: { readonly at: number; readonly changes: unknown; readonly entries: readonly CatalogEntry[] } = {
    at: 0,
    changes: undefined,
    entries: [],
  };

  revision(): Revision {
    return this.#revision as Revision;
  }

  compactedRevision(): Revision {
    return this.#floor as Revision;
  }

  async get(key: Uint8Array, options: { readonly consistency?: string } = {}): Promise<CatalogEntry | undefined> {
    const at = options.consistency === "stale" ? (this.staleAt ?? this.#revision) : this.#revision;
    return this.#entries(at).find((entry) => order(entry.key, key) === 0);
  }

  async range(request: RangeRequest, options: { readonly consistency?: string } = {}): Promise<RangeResult> {
    const isStale = options.consistency === "stale";
    const newest = isStale ? (this.staleAt ?? this.#revision) : this.#revision;
    const { start, end, revision = newest, limit = Number.POSITIVE_INFINITY } = request;
    if (revision < this.#floor) throw new FabricError("CATALOG_COMPACTED", `revision ${revision} was compacted`);
    if (revision > this.#revision) {
      throw new FabricError("CATALOG_FUTURE_REVISION", `revision ${revision} is ahead`, { retryable: true });
    }
    const all = this.#entries(revision).filter((entry) => inRange(entry.key, start, end));
    const entries = all.slice(0, limit);
    return {
      revision: revision as Revision,
      entries,
      more: entries.length < all.length,
      count: all.length,
      ageMs: isStale ? this.ageMs : 0,
    };
  }

  async txn(transaction: CatalogTransaction): Promise<TransactionResult> {
    this.beforeTxn?.();
    this.transactions++;
    if (this.refusal !== undefined) throw this.refusal;
    const wanted = [...transaction.then, ...transaction.else].flatMap((one) =>
      one.type === "put" && one.lease !== undefined ? [one.lease] : [],
    );
    this.leases.check(wanted, transaction.fence);
    const now = this.#entries(this.#revision);
    const succeeded = transaction.compare.every((compare) => holds(compare, now));
    return this.#run(succeeded ? transaction.then : transaction.else, now, succeeded);
  }

  /** Writes without a transaction, as another client would. */
  put(key: Uint8Array, value: Uint8Array): void {
    this.#run([{ type: "put", key, value }], this.#entries(this.#revision), true);
  }

  async *watch(request: Parameters<Catalog["watch"]>[0]): AsyncGenerator<WatchBatch, void, undefined> {
    const { start, end, signal } = request;
    let next: number = request.fromRevision ?? this.#revision + 1;
    let wake = (): void => {};
    const notify = (): void => wake();
    this.#watchers.add(notify);
    signal.addEventListener("abort", notify);
    try {
      while (!signal.aborted) {
        const reason = next <= this.#base ? "restored" : next < this.#floor ? "compacted" : undefined;
        const change = this.#changes.find(({ revision, events }) => {
          return revision >= next && events.some((event) => inRange(keyOf(event), start, end));
        });
        if (reason !== undefined) {
          next = this.#revision + 1;
          const entries = this.#entries(this.#revision).filter((entry) => inRange(entry.key, start, end));
          yield { type: "reset", revision: this.revision(), reason, entries };
        } else if (change !== undefined) {
          next = change.revision + 1;
          const events = change.events.filter((event) => inRange(keyOf(event), start, end));
          yield { type: "events", revision: change.revision as Revision, events };
        } else {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      }
    } finally {
      this.#watchers.delete(notify);
      signal.removeEventListener("abort", notify);
    }
  }

  async compact(revision: Revision): Promise<void> {
    this.#floor = revision;
  }

  counts(): { readonly keys: number; readonly watchers: number; readonly history: number } {
    return { keys: this.#entries(this.#revision).length, watchers: this.#watchers.size, history: this.#changes.length };
  }

  async *snapshot(): AsyncGenerator<Uint8Array, void, undefined> {
    const body = encode(this.#entries(this.#revision).map(({ key, value }) => [key, value]));
    const bytes = encode([body.reduce((sum, byte) => (sum * 31 + byte) % 1_000_003, 7), body]);
    for (let offset = 0; offset < bytes.length; offset += 50) yield bytes.slice(offset, offset + 50);
  }

  async restore(chunks: AsyncIterable<Uint8Array>): Promise<Revision> {
    const pieces: Uint8Array[] = [];
    for await (const chunk of chunks) pieces.push(chunk);
    const entries = openSnapshot(Buffer.concat(pieces));
    this.#revision++;
    this.#base = this.#revision;
    this.#changes = [
      { revision: this.#revision, events: entries.map(([key, value]) => put(key, value, this.#revision)) },
    ];
    for (const notify of this.#watchers) notify();
    return this.revision();
  }

  #run(operations: readonly CatalogOperation[], now: readonly CatalogEntry[], succeeded: boolean): TransactionResult {
    const revision = this.#revision + 1;
    const events: CatalogEvent[] = [];
    const results = operations.map((operation): OperationResult => {
      const { key } = operation;
      const end = operation.type === "put" ? undefined : operation.end;
      const found = now.filter((entry) => inRange(entry.key, key, end));
      switch (operation.type) {
        case "get":
          return { type: "get", entries: found, more: false };
        case "delete":
          for (const previous of found) {
            events.push({ type: "delete", key: previous.key, modRevision: revision as Revision, previous });
          }
          return { type: "delete", deleted: found.length };
        case "put":
          events.push(put(key, operation.value, revision, found[0], operation.lease));
          return found[0] === undefined ? { type: "put" } : { type: "put", previous: found[0] };
      }
    });
    if (events.length > 0) {
      this.#revision = revision;
      this.#changes.push({ revision, events });
      for (const notify of this.#watchers) notify();
    }
    return { succeeded, revision: this.revision(), results };
  }

  #entries(at: number): readonly CatalogEntry[] {
    const { at: cachedAt, changes, entries } = this.#cached;
    if (cachedAt === at && changes === this.#changes) return entries;
    const fresh = this.#fold(at);
    this.#cached = { at, changes: this.#changes, entries: fresh };
    return fresh;
  }

  #fold(at: number): readonly CatalogEntry[] {
    const live = new Map<string, CatalogEntry>();
    for (const { revision, events } of this.#changes) {
      if (revision > at) break;
      for (const event of events) {
        const name = Buffer.from(keyOf(event)).toString("hex");
        if (event.type === "put") live.set(name, event.entry);
        else live.delete(name);
      }
    }
    return [...live.values()].toSorted((one, other) => order(one.key, other.key));
  }
}

function put(
  key: Uint8Array,
  value: Uint8Array,
  revision: number,
  previous?: CatalogEntry,
  lease?: LeaseId,
): CatalogEvent {
  const modRevision = revision as Revision;
  const createRevision = previous?.createRevision ?? modRevision;
  const version = (previous?.version ?? 0) + 1;
  const attached = lease === undefined ? {} : { lease };
  return { type: "put", entry: { key, value, createRevision, modRevision, version, ...attached } };
}

function keyOf(event: CatalogEvent): Uint8Array {
  return event.type === "put" ? event.entry.key : event.key;
}

function openSnapshot(bytes: Uint8Array): readonly (readonly [Uint8Array, Uint8Array])[] {
  try {
    const [sum, body] = decode(new Uint8Array(bytes)) as [number, Uint8Array];
    if (body.reduce((total, byte) => (total * 31 + byte) % 1_000_003, 7) === sum) {
      return decode(body) as [Uint8Array, Uint8Array][];
    }
  } catch {
    // Told below.
  }
  throw new FabricError("CATALOG_SNAPSHOT_INVALID", "the snapshot is not intact");
}

function holds(compare: Compare, now: readonly CatalogEntry[]): boolean {
  const entry = now.find(({ key }) => order(key, compare.key) === 0);
  if (compare.target === "value") {
    const same = entry !== undefined && order(entry.value, compare.value) === 0;
    return compare.is === "=" ? same : !same;
  }
  const found = entry?.[compare.target] ?? 0;
  switch (compare.is) {
    case "=":
      return found === compare.value;
    case "!=":
      return found !== compare.value;
    case "<":
      return found < compare.value;
    case ">":
      return found > compare.value;
  }
}
