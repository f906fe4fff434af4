import { crc32 } from "node:zlib";
import type { StoreRange, StoreReader } from "@revoada/fabric";
import type { Database, Transaction } from "lmdb";
import { concatBytes, readUint32 } from "../core/bytes.ts";
import type { SortedEntry } from "../core/sorted-map.ts";
import { CatalogStoreCorruptError, CatalogStoreFailedError } from "../errors.ts";

/** Keys of the store's own records begin with 0, where those of trees have the length of the tree's name. */
export const headerKey: Uint8Array = Uint8Array.of(0, 1);

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** All trees share one database: a key is the length of the tree's name, the name, and the key in the tree. */
export function treePrefix(tree: string): Uint8Array {
  const bytes = new Uint8Array(1 + tree.length);
  bytes[0] = tree.length;
  encoder.encodeInto(tree, bytes.subarray(1));
  return bytes;
}

function baseKey(tree: string, key: Uint8Array): Uint8Array {
  return concatBytes(treePrefix(tree), key);
}

const nothing = new Uint8Array(0);

/** Above every key of a tree: names are ASCII, so that the last byte can be raised. */
function treeEnd(tree: string): Uint8Array {
  const end = treePrefix(tree);
  end[end.length - 1] = (end[end.length - 1] as number) + 1;
  return end;
}

/** The value of a record that passes its check. */
export function openRecord(key: Uint8Array, record: Uint8Array): Uint8Array {
  const value = record.subarray(4);
  if (record.length < 4 || readUint32(record, 0) !== crc32(value, crc32(key))) {
    throw new CatalogStoreCorruptError(`the record of a key of ${key.length} bytes fails its check`);
  }
  return value;
}

/** Runs one native read; what LMDB finds wrong with its pages is told as corruption. */
export function reading<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    if (/MDB_CORRUPTED|MDB_PAGE_NOTFOUND|MDB_INVALID|wrong type/.test(message)) {
      throw new CatalogStoreCorruptError(`the store cannot be read: ${message}`, { cause: error });
    }
    throw new CatalogStoreFailedError(`the store cannot be read: ${message}`, { cause: error });
  }
}

/** Reads what has been flushed: as of now, or as of a read transaction. */
export class LmdbBase implements StoreReader {
  readonly #database: Database<Uint8Array, Uint8Array>;
  readonly #options: { readonly transaction?: Transaction };
  /** Walks that have not come to their end: each holds a native cursor, which must not outlive the database. */
  readonly #walks: Set<Iterator<unknown>>;

  constructor(database: Database<Uint8Array, Uint8Array>, walks: Set<Iterator<unknown>>, transaction?: Transaction) {
    this.#database = database;
    this.#walks = walks;
    this.#options = transaction === undefined ? {} : { transaction };
  }

  get(tree: string, key: Uint8Array): Uint8Array | undefined {
    const full = baseKey(tree, key);
    const record = reading(() => this.#database.get(full, this.#options));
    return record === undefined ? undefined : openRecord(full, record);
  }

  *range(tree: string, range: StoreRange = {}): Generator<SortedEntry<Uint8Array>, void, undefined> {
    const start = baseKey(tree, range.start ?? nothing);
    const end = range.end === undefined ? treeEnd(tree) : baseKey(tree, range.end);
    if (Buffer.compare(start, end) >= 0) return;
    const found = this.#database.getRange({
      ...this.#options,
      ...(range.reverse === true
        ? { start: end, exclusiveStart: true, end: start, inclusiveEnd: true, reverse: true }
        : { start, end }),
      ...(range.limit === undefined ? {} : { limit: range.limit }),
    });
    const walk = reading(() => found[Symbol.iterator]());
    this.#walks.add(walk);
    try {
      for (;;) {
        const next = reading(() => walk.next());
        if (next.done === true) return;
        const { key, value } = next.value;
        yield { key: key.subarray(1 + tree.length), value: openRecord(key, value) };
      }
    } finally {
      this.#walks.delete(walk);
      walk.return?.();
    }
  }

  /** From name to name by seeking. */
  trees(): readonly string[] {
    const names: string[] = [];
    for (let start: Uint8Array = Uint8Array.of(1); ;) {
      const from = start;
      const [key] = reading(() => [...this.#database.getKeys({ ...this.#options, start: from, limit: 1 })]);
      if (key === undefined) return names.toSorted();
      const name = decoder.decode(key.subarray(1, 1 + (key[0] as number)));
      names.push(name);
      start = treeEnd(name);
    }
  }
}
