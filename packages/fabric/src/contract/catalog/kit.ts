import type { Revision } from "../../ids.ts";
import type {
  Catalog,
  CatalogEntry,
  CatalogEvent,
  CatalogOperation,
  Compare,
  TransactionResult,
  WatchBatch,
} from "../../seams/catalog.ts";
import { bytesOf, type ContractTime, textOf } from "../case.ts";
import type { CatalogFixture } from "../catalog.ts";

/** A test body over a fixture. */
export type Body = (fixture: CatalogFixture) => Promise<void>;

/** A write of one key. */
export function put(key: string, value: string): CatalogOperation {
  return { type: "put", key: bytesOf(key), value: bytesOf(value) };
}

/** A deletion of one key, or of a range. */
export function remove(key: string, end?: string): CatalogOperation {
  return { type: "delete", key: bytesOf(key), ...(end === undefined ? {} : { end: bytesOf(end) }) };
}

/** A read of one key, or of a range. */
export function read(key: string, end?: string, limit?: number): CatalogOperation {
  return {
    type: "get",
    key: bytesOf(key),
    ...(end === undefined ? {} : { end: bytesOf(end) }),
    ...(limit === undefined ? {} : { limit }),
  };
}

/** A condition on a number of one key. */
export function where(
  key: string,
  target: "createRevision" | "modRevision" | "version",
  is: "=" | "!=" | "<" | ">",
  value: number,
): Compare {
  return { key: bytesOf(key), target, is, value };
}

/** A condition on the value of one key. */
export function valueIs(key: string, is: "=" | "!=", value: string): Compare {
  return { key: bytesOf(key), target: "value", is, value: bytesOf(value) };
}

/** Runs operations without a condition. */
export function write(
  { catalog, time }: CatalogFixture,
  ...operations: readonly CatalogOperation[]
): Promise<TransactionResult> {
  return time.run(catalog.txn({ compare: [], then: operations, else: [] }));
}

/** Runs operations under conditions. */
export function writeIf(
  { catalog, time }: CatalogFixture,
  compare: readonly Compare[],
  then: readonly CatalogOperation[],
  otherwise: readonly CatalogOperation[] = [],
): Promise<TransactionResult> {
  return time.run(catalog.txn({ compare, then, else: otherwise }));
}

/** The entry of a key, or undefined. */
export function find({ catalog, time }: CatalogFixture, key: string): Promise<CatalogEntry | undefined> {
  return time.run(catalog.get(bytesOf(key)));
}

/** `key=value` of each entry. */
export function brief(entries: readonly CatalogEntry[]): readonly string[] {
  return entries.map(({ key, value }) => `${textOf(key)}=${textOf(value)}`);
}

/** `+key=value` or `-key` of each event. */
function briefEvents(events: readonly CatalogEvent[]): readonly string[] {
  return events.map((event) =>
    event.type === "put" ? `+${textOf(event.entry.key)}=${textOf(event.entry.value)}` : `-${textOf(event.key)}`,
  );
}

/** Every key. */
export const everything: { readonly start: Uint8Array; readonly end: Uint8Array } = {
  start: Uint8Array.of(0),
  end: Uint8Array.of(255),
};

/** A watch that is read in the background until it is stopped. */
export class Watcher {
  readonly batches: WatchBatch[] = [];
  readonly #controller = new AbortController();
  readonly #time: ContractTime;
  readonly #done: Promise<void>;
  isOver = false;

  constructor(
    catalog: Catalog,
    time: ContractTime,
    request: { readonly start: Uint8Array; readonly end?: Uint8Array; readonly fromRevision?: Revision } = everything,
  ) {
    this.#time = time;
    this.#done = this.#follow(catalog.watch({ ...request, signal: this.#controller.signal }));
    this.#done.catch(() => {});
  }

  /** Everything but progress. */
  get news(): readonly Exclude<WatchBatch, { type: "progress" }>[] {
    return this.batches.filter((batch) => batch.type !== "progress");
  }

  /** `revision: events` of each batch of events. */
  get lines(): readonly string[] {
    return this.news.map((batch) =>
      batch.type === "events"
        ? `${batch.revision}: ${briefEvents(batch.events).join(" ")}`
        : `${batch.revision}: reset ${batch.reason} ${brief(batch.entries).join(" ")}`,
    );
  }

  /** Waits for this much news. */
  async until(count: number): Promise<void> {
    await this.#time.until(() => this.news.length >= count || this.isOver);
  }

  async stop(): Promise<void> {
    this.#controller.abort();
    await this.#time.run(this.#done.catch(() => {}));
  }

  async #follow(stream: AsyncIterable<WatchBatch>): Promise<void> {
    try {
      for await (const batch of stream) this.batches.push(batch);
    } finally {
      this.isOver = true;
    }
  }
}
