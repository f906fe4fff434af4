import type {
  CatalogEntry,
  CatalogOperation,
  CatalogTransaction,
  Compare,
  OperationResult,
  Revision,
  StoreReader,
} from "@revoada/fabric";
import { boundsOf, compareBytes, equalBytes, type KeyRange } from "./bytes.ts";
import { fenceRefusal, leaseNotFound, readLease } from "./lease-records.ts";
import { catalogLimits } from "./limits.ts";
import { currentKeys, entryOf, readCurrent, readEntry } from "./read.ts";
import type { CatalogState } from "./records.ts";
import type { Refusal } from "./result.ts";
import { SortedMap } from "./sorted-map.ts";

/** A change that a transaction makes. `createRevision` is as stored: 0 for a key that a restore made. */
export type Change =
  | {
      readonly type: "put";
      readonly key: Uint8Array;
      readonly value: Uint8Array;
      readonly createRevision: number;
      readonly version: number;
      readonly lease?: number | undefined;
      /** The lease that the key was attached to before. */
      readonly leaseBefore?: number | undefined;
    }
  | { readonly type: "delete"; readonly key: Uint8Array; readonly leaseBefore?: number | undefined };

export interface Evaluation {
  readonly succeeded: boolean;
  readonly results: readonly OperationResult[];
  readonly changes: readonly Change[];
}

function relates(left: number, is: Compare["is"], right: number): boolean {
  switch (is) {
    case "=":
      return left === right;
    case "!=":
      return left !== right;
    case "<":
      return left < right;
    case ">":
      return left > right;
  }
}

/** A missing key has number 0 and no value: a condition on its value never holds, as in etcd. */
function holds(reader: StoreReader, state: CatalogState, compare: Compare): boolean {
  if (compare.target === "value") {
    const entry = readEntry(reader, state, compare.key);
    return entry !== undefined && equalBytes(entry.value, compare.value) === (compare.is === "=");
  }
  const record = readCurrent(reader, state, compare.key);
  const entry = record === undefined ? undefined : entryOf(state, compare.key, record, compare.key);
  return relates(entry?.[compare.target] ?? 0, compare.is, compare.value);
}

/** Runs a branch in order against the store and what the branch itself has changed, and collects the changes. */
class BranchRun {
  readonly #reader: StoreReader;
  readonly #state: CatalogState;
  readonly #pending = new SortedMap<Change>();
  readonly #changes: Change[] = [];
  readonly #results: OperationResult[] = [];
  /** How many keys each lease gets; those that it loses are not set off. */
  readonly #attached = new Map<number, number>();
  #resultBytes = 0;
  #previousBytes = 0;

  constructor(reader: StoreReader, state: CatalogState) {
    this.#reader = reader;
    this.#state = state;
  }

  get changes(): readonly Change[] {
    return this.#changes;
  }

  get results(): readonly OperationResult[] {
    return this.#results;
  }

  run(operation: CatalogOperation): Refusal | undefined {
    switch (operation.type) {
      case "put":
        return this.#put(operation);
      case "delete":
        return this.#delete({ start: operation.key, end: operation.end });
      case "get":
        return this.#get({ start: operation.key, end: operation.end }, operation.limit ?? Number.POSITIVE_INFINITY);
    }
  }

  #add(change: Change): void {
    this.#pending.put(change.key, change);
    this.#changes.push(change);
  }

  #put({ key, value, lease }: Extract<CatalogOperation, { type: "put" }>): Refusal | undefined {
    const record = readCurrent(this.#reader, this.#state, key);
    const fault = lease === undefined || lease === record?.lease ? undefined : this.#attach(lease);
    if (fault !== undefined) return fault;
    const created = this.#state.revision + 1;
    this.#add({
      type: "put",
      key,
      value,
      createRevision: record?.createRevision ?? created,
      version: (record?.version ?? 0) + 1,
      lease,
      leaseBefore: record?.lease,
    });
    const previous = record === undefined ? undefined : readEntry(this.#reader, this.#state, key);
    this.#previousBytes += previous?.value.length ?? 0;
    const told = previous !== undefined && this.#previousBytes <= catalogLimits.previousBytes;
    this.#results.push(told ? { type: "put", previous } : { type: "put" });
    return undefined;
  }

  #attach(id: number): Refusal | undefined {
    const lease = readLease(this.#reader, id);
    if (lease === undefined) return leaseNotFound(id);
    const attached = (this.#attached.get(id) ?? 0) + 1;
    this.#attached.set(id, attached);
    if (lease.keys + attached <= catalogLimits.leaseKeys) return undefined;
    return { code: "CATALOG_LEASE_LIMIT", message: `lease ${id} would have more than ${catalogLimits.leaseKeys} keys` };
  }

  #delete(range: KeyRange): Refusal | undefined {
    let deleted = 0;
    for (const { key, record } of currentKeys(this.#reader, this.#state, range)) {
      if (this.#pending.get(key) !== undefined) continue;
      if (this.#changes.length >= catalogLimits.changes) {
        return { code: "CATALOG_TOO_LARGE", message: `more than ${catalogLimits.changes} keys would change` };
      }
      this.#add({ type: "delete", key, leaseBefore: record.lease });
      deleted++;
    }
    this.#results.push({ type: "delete", deleted });
    return undefined;
  }

  #get(range: KeyRange, limit: number): Refusal | undefined {
    const entries: CatalogEntry[] = [];
    let more = false;
    for (const entry of this.#entries(range)) {
      if (entries.length >= limit) {
        more = true;
        break;
      }
      this.#resultBytes += entry.key.length + entry.value.length;
      if (this.#resultBytes > catalogLimits.resultBytes) {
        return { code: "CATALOG_TOO_LARGE", message: `the results are larger than ${catalogLimits.resultBytes} bytes` };
      }
      entries.push(entry);
    }
    this.#results.push({ type: "get", entries, more });
    return undefined;
  }

  /** The range as it is after the operations that came before, in key order. */
  *#entries(range: KeyRange): Generator<CatalogEntry, void, undefined> {
    const pending = this.#pending.entries(boundsOf(range));
    let next = pending.next();
    for (const { key } of currentKeys(this.#reader, this.#state, range)) {
      while (next.done !== true && compareBytes(next.value.key, key) < 0) {
        if (next.value.value.type === "put") yield this.#entryOf(next.value.value);
        next = pending.next();
      }
      if (next.done !== true && compareBytes(next.value.key, key) === 0) continue;
      const entry = readEntry(this.#reader, this.#state, key);
      if (entry !== undefined) yield entry;
    }
    for (; next.done !== true; next = pending.next()) {
      if (next.value.value.type === "put") yield this.#entryOf(next.value.value);
    }
  }

  #entryOf(change: Extract<Change, { type: "put" }>): CatalogEntry {
    const { createRevision, version, lease } = change;
    return entryOf(
      this.#state,
      change.key,
      { createRevision, modRevision: this.#state.revision + 1, version, place: 0, lease },
      change.value,
    );
  }
}

/** Decides what a checked transaction answers and changes, without changing anything. */
export function evaluate(
  reader: StoreReader,
  state: CatalogState,
  transaction: CatalogTransaction,
): Evaluation | { readonly refusal: Refusal } {
  const fenced = fenceRefusal(reader, transaction.fence);
  if (fenced !== undefined) return { refusal: fenced };
  const succeeded = transaction.compare.every((compare) => holds(reader, state, compare));
  const run = new BranchRun(reader, state);
  for (const operation of succeeded ? transaction.then : transaction.else) {
    const refusal = run.run(operation);
    if (refusal !== undefined) return { refusal };
  }
  return { succeeded, results: run.results, changes: run.changes };
}

/** The revision after an evaluation: one step where anything changed. */
export function revisionAfter(state: CatalogState, { changes }: Evaluation): Revision {
  return (changes.length === 0 ? state.revision : state.revision + 1) as Revision;
}
