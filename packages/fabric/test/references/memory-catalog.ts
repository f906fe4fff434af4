import { crc32 } from "node:zlib";
import {
  type Catalog,
  type CatalogEntry,
  type CatalogEvent,
  type CatalogOperation,
  type CatalogTransaction,
  type Compare,
  type Clock,
  FabricError,
  type Fence,
  type LeaseId,
  type Leases,
  LeasesUnsupportedError,
  noLeases,
  type OperationResult,
  type RangeRequest,
  type RangeResult,
  type Revision,
  type TransactionResult,
  type WatchBatch,
} from "@revoada/fabric";
import { type LeaseDefect, MemoryLeases } from "./memory-leases.ts";

/** Ways in which the reference can be broken on purpose. */
export type CatalogDefect =
  | LeaseDefect
  | "makes a revision for nothing"
  | "goes on counting versions after a deletion"
  | "lets every comparison hold"
  | "takes a missing key for a match"
  | "gives keys as they came"
  | "counts what it returns"
  | "answers the past with the present"
  | "answers what has not been"
  | "answers below the floor"
  | "loses keys when it compacts"
  | "tells events one by one"
  | "forgets what was before"
  | "tells everybody everything"
  | "tells no history"
  | "tells the first event twice"
  | "is silent about gaps"
  | "restores damaged snapshots"
  | "restores into the past"
  | "tells nobody of a restore"
  | "snapshots as it goes"
  | "takes values of any size"
  | "takes two writes of a key"
  | "never ends a watch"
  | "writes through refused transactions";

type Table = ReadonlyMap<string, CatalogEntry>;

interface Committed {
  readonly revision: Revision;
  readonly events: readonly CatalogEvent[];
}

const keyOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const within = (key: Uint8Array, start: Uint8Array, end: Uint8Array | undefined): boolean => {
  const order = Buffer.compare(key, start);
  return end === undefined ? order === 0 : order >= 0 && Buffer.compare(key, end) < 0;
};

/** The smallest catalog that keeps the contract: one process, every revision in a list. */
export class MemoryCatalog implements Catalog {
  readonly #defect: CatalogDefect | undefined;
  #base: Table = new Map();
  #floor = 0;
  #history: Committed[] = [];
  #now: Table = new Map();
  #revision = 0;
  /** The revision of the last restore: history does not reach across it. */
  #restoredAt = 0;
  #wakers: (() => void)[] = [];
  #watchers = 0;
  readonly #leases: MemoryLeases | undefined;
  readonly leases: Leases;

  /** Has leases where it is given a clock to count them by. */
  constructor(defect?: CatalogDefect, clock?: Clock) {
    this.#defect = defect;
    const host = {
      keysOf: (lease: LeaseId) => this.#select(this.#now, Uint8Array.of(0), undefined, lease).map(({ key }) => key),
      remove: async (keys: readonly Uint8Array[]) => {
        await this.txn({ compare: [], then: keys.map((key) => ({ type: "delete", key })), else: [] });
      },
      revision: () => this.revision(),
    };
    this.#leases = clock === undefined ? undefined : new MemoryLeases(host, clock, defect);
    this.leases = this.#leases ?? noLeases;
  }

  revision(): Revision {
    return this.#revision as Revision;
  }

  compactedRevision(): Revision {
    return this.#floor as Revision;
  }

  async get(key: Uint8Array): Promise<CatalogEntry | undefined> {
    return this.#now.get(keyOf(key));
  }

  async range(request: RangeRequest): Promise<RangeResult> {
    const { start, end, limit = Number.POSITIVE_INFINITY, keysOnly = false, revision } = request;
    const found = this.#select(this.#picture(revision), start, end);
    const entries = found.slice(0, limit).map((entry) => (keysOnly ? { ...entry, value: new Uint8Array() } : entry));
    return {
      revision: revision ?? this.revision(),
      entries,
      more: found.length > entries.length,
      count: this.#defect === "counts what it returns" ? entries.length : found.length,
      ageMs: 0,
    };
  }

  async txn({ compare, then, else: otherwise, fence }: CatalogTransaction): Promise<TransactionResult> {
    this.#checkLeases([...then, ...otherwise], fence);
    const succeeded = compare.every((condition) => this.#holds(condition));
    const operations = succeeded ? then : otherwise;
    this.#check(operations);
    const revision = this.#revision + 1;
    const table = new Map(this.#now);
    const events: CatalogEvent[] = [];
    const results = operations.map((operation) => this.#run(operation, table, revision as Revision, events));
    if (events.length > 0 || this.#defect === "makes a revision for nothing") {
      this.#now = table;
      this.#commit({ revision: revision as Revision, events });
    }
    return { succeeded, revision: this.revision(), results };
  }

  async *watch(request: {
    readonly start: Uint8Array;
    readonly end?: Uint8Array;
    readonly fromRevision?: Revision;
    readonly signal: AbortSignal;
  }): AsyncGenerator<WatchBatch> {
    const { start, end, signal } = request;
    let next = request.fromRevision ?? this.#revision + 1;
    if (this.#defect === "tells no history") next = Math.max(next, this.#revision + 1);
    const wake = (): void => this.#wake();
    if (this.#defect !== "never ends a watch") signal.addEventListener("abort", wake);
    this.#watchers += 1;
    try {
      while (!signal.aborted || this.#defect === "never ends a watch") {
        const reason = this.#gap(next);
        if (reason !== undefined) {
          yield { type: "reset", revision: this.revision(), reason, entries: this.#select(this.#now, start, end) };
          next = this.#revision + 1;
          continue;
        }
        const found = this.#history.find(({ revision }) => revision >= next);
        if (found === undefined) await new Promise<void>((resolve) => this.#wakers.push(resolve));
        else {
          next = found.revision + 1;
          yield* this.#told(found, start, end);
        }
      }
    } finally {
      this.#watchers -= 1;
      signal.removeEventListener("abort", wake);
    }
  }

  async compact(revision: Revision, { fence }: { readonly fence?: Fence } = {}): Promise<void> {
    this.#checkLeases([], fence);
    if (revision > this.#revision) throw new FabricError("CATALOG_FUTURE_REVISION", `${revision} is still to come`);
    if (revision <= this.#floor) return;
    this.#base = this.#picture(revision);
    this.#floor = revision;
    this.#history = this.#history.filter((committed) => committed.revision > revision);
    if (this.#defect === "loses keys when it compacts") this.#now = new Map([...this.#now].slice(1));
  }

  counts(): { readonly keys: number; readonly watchers: number; readonly history: number } {
    return { keys: this.#now.size, watchers: this.#watchers, history: this.#history.length };
  }

  async *snapshot(): AsyncGenerator<Uint8Array> {
    const text = (): string => JSON.stringify([...this.#now.values()].map(encodeEntry));
    let body = text();
    const sum = crc32(body).toString(16).padStart(8, "0");
    yield new TextEncoder().encode(sum);
    for (let offset = 0; offset < body.length; offset += 500) {
      if (this.#defect === "snapshots as it goes") body = text();
      yield new TextEncoder().encode(body.slice(offset, offset + 500));
    }
  }

  async restore(chunks: AsyncIterable<Uint8Array>): Promise<Revision> {
    const parts: Uint8Array[] = [];
    for await (const chunk of chunks) parts.push(chunk);
    const entries = this.#decoded(Buffer.concat(parts).toString("latin1"));
    const step = this.#defect === "restores into the past" ? 0 : 1;
    this.#revision += step;
    this.#now = new Map(entries.map((entry) => [keyOf(entry.key), entry]));
    this.#base = this.#now;
    this.#floor = this.#revision;
    this.#history = [];
    if (this.#defect !== "tells nobody of a restore") this.#restoredAt = this.#revision;
    this.#wake();
    return this.revision();
  }

  #decoded(text: string): readonly CatalogEntry[] {
    const [sum, body] = [text.slice(0, 8), text.slice(8)];
    const whole = crc32(body).toString(16).padStart(8, "0") === sum;
    try {
      if (!whole && this.#defect !== "restores damaged snapshots") throw new Error("wrong checksum");
      return (JSON.parse(whole ? body : "[]") as string[][]).map(decodeEntry);
    } catch (cause) {
      throw new FabricError("CATALOG_BAD_SNAPSHOT", "the snapshot is damaged", { cause });
    }
  }

  #commit(committed: Committed): void {
    this.#revision = committed.revision;
    this.#history.push(committed);
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#wakers.splice(0)) wake();
  }

  #gap(next: number): "compacted" | "restored" | undefined {
    if (next <= this.#restoredAt) return "restored";
    if (next < this.#floor && this.#defect !== "is silent about gaps") return "compacted";
    return undefined;
  }

  *#told({ revision, events }: Committed, start: Uint8Array, end: Uint8Array | undefined): Generator<WatchBatch> {
    const mine = events.filter((event) => {
      const { key } = event.type === "put" ? event.entry : event;
      return this.#defect === "tells everybody everything" || within(key, start, end);
    });
    const told =
      this.#defect === "forgets what was before" ? mine.map(({ previous: _previous, ...event }) => event) : mine;
    if (told.length === 0) return;
    if (this.#defect === "tells events one by one")
      for (const event of told) yield { type: "events", revision, events: [event] };
    else yield { type: "events", revision, events: told };
    if (this.#defect === "tells the first event twice" && revision === 1)
      yield { type: "events", revision, events: told };
  }

  #checkLeases(operations: readonly CatalogOperation[], fence: Fence | undefined): void {
    const wanted = operations.flatMap((one) => (one.type === "put" && one.lease !== undefined ? [one.lease] : []));
    if (wanted.length === 0 && fence === undefined) return;
    if (this.#leases === undefined) throw new LeasesUnsupportedError();
    this.#leases.check(wanted, fence);
  }

  #select(table: Table, start: Uint8Array, end: Uint8Array | undefined, lease?: LeaseId): readonly CatalogEntry[] {
    const found = [...table.values()].filter((entry) =>
      lease === undefined ? within(entry.key, start, end) : entry.lease === lease,
    );
    if (this.#defect === "gives keys as they came") return found;
    return found.toSorted((left, right) => Buffer.compare(left.key, right.key));
  }

  #picture(revision: Revision | undefined): Table {
    if (revision === undefined || this.#defect === "answers the past with the present") return this.#now;
    if (revision > this.#revision && this.#defect !== "answers what has not been") {
      throw new FabricError("CATALOG_FUTURE_REVISION", `${revision} is still to come`);
    }
    if (revision < this.#floor && this.#defect !== "answers below the floor") {
      throw new FabricError("CATALOG_COMPACTED", `${revision} is below ${this.#floor}`);
    }
    const table = new Map(this.#base);
    for (const committed of this.#history) {
      if (committed.revision > revision) break;
      for (const event of committed.events) {
        if (event.type === "put") table.set(keyOf(event.entry.key), event.entry);
        else table.delete(keyOf(event.key));
      }
    }
    return table;
  }

  #check(operations: readonly CatalogOperation[]): void {
    const written = operations.flatMap((operation) => (operation.type === "put" ? [operation] : []));
    const bytes = written.reduce((sum, { value }) => sum + value.length, 0);
    const large =
      operations.length > 1024 || bytes > 4 * 1024 * 1024 || written.some(({ value }) => value.length > 1024 * 1024);
    if (large && this.#defect !== "takes values of any size")
      throw new FabricError("CATALOG_TOO_LARGE", `${bytes} bytes`);
    const twice = new Set(written.map(({ key }) => keyOf(key))).size < written.length;
    if (!twice || this.#defect === "takes two writes of a key") return;
    if (this.#defect === "writes through refused transactions") this.#revision += 1;
    throw new FabricError("CATALOG_INVALID_TRANSACTION", "one key is written twice");
  }

  #holds(compare: Compare): boolean {
    if (this.#defect === "lets every comparison hold") return true;
    const entry = this.#now.get(keyOf(compare.key));
    if (entry === undefined && this.#defect === "takes a missing key for a match") return true;
    if (compare.target === "value") {
      const same = entry !== undefined && Buffer.compare(entry.value, compare.value) === 0;
      return compare.is === "=" ? same : !same;
    }
    const actual: number = entry?.[compare.target] ?? 0;
    switch (compare.is) {
      case "=":
        return actual === compare.value;
      case "!=":
        return actual !== compare.value;
      case "<":
        return actual < compare.value;
      case ">":
        return actual > compare.value;
    }
  }

  #run(
    operation: CatalogOperation,
    table: Map<string, CatalogEntry>,
    revision: Revision,
    events: CatalogEvent[],
  ): OperationResult {
    if (operation.type === "get") {
      const found = this.#select(table, operation.key, operation.end);
      const entries = found.slice(0, operation.limit ?? found.length);
      return { type: "get", entries, more: entries.length < found.length };
    }
    if (operation.type === "delete") {
      const found = this.#select(table, operation.key, operation.end);
      for (const previous of found) {
        table.delete(keyOf(previous.key));
        events.push({ type: "delete", key: previous.key, modRevision: revision, previous });
      }
      return { type: "delete", deleted: found.length };
    }
    const key = keyOf(operation.key);
    const previous = table.get(key);
    const remembered = this.#defect === "goes on counting versions after a deletion" ? this.#lastVersion(key) : 0;
    const entry: CatalogEntry = {
      key: operation.key.slice(),
      value: operation.value.slice(),
      createRevision: previous?.createRevision ?? revision,
      modRevision: revision,
      version: (previous?.version ?? remembered) + 1,
      ...(operation.lease === undefined ? {} : { lease: operation.lease }),
    };
    table.set(key, entry);
    events.push({ type: "put", entry, ...(previous === undefined ? {} : { previous }) });
    return { type: "put", ...(previous === undefined ? {} : { previous }) };
  }

  #lastVersion(key: string): number {
    const events = this.#history.flatMap((committed) => committed.events);
    const last = events.findLast((event) => event.type === "put" && keyOf(event.entry.key) === key);
    return last?.type === "put" ? last.entry.version : 0;
  }
}

function encodeEntry({ key, value, createRevision, modRevision, version }: CatalogEntry): readonly string[] {
  return [keyOf(key), keyOf(value), String(createRevision), String(modRevision), String(version)];
}

function decodeEntry([
  key = "",
  value = "",
  created = "",
  changed = "",
  version = "",
]: readonly string[]): CatalogEntry {
  return {
    key: new Uint8Array(Buffer.from(key, "hex")),
    value: new Uint8Array(Buffer.from(value, "hex")),
    createRevision: Number(created) as Revision,
    modRevision: Number(changed) as Revision,
    version: Number(version),
  };
}
