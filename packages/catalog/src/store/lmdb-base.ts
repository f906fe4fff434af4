import { crc32 } from "node:zlib";
import type { StoreRange, StoreReader } from "@revoada/fabric";
import type { Database, Transaction } from "lmdb";
import { concatBytes, readUint32, writeUint32 } from "../core/bytes.ts";
import type { SortedEntry } from "../core/sorted-map.ts";
import { CatalogStoreCorruptError, CatalogStoreFailedError } from "../errors.ts";

/** Keys of the store's own records begin with 0, where those of trees have the length of the tree's name. */
export const headerKey: Uint8Array = Uint8Array.of(0, 1);

const nothing = new Uint8Array(0);
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/**
 * What the keys of a space begin with. A store has one space in force; others are being filled or removed. Space 0 is the one that
 * a store begins with, and its keys begin with nothing: the first byte is the length of a tree's name there.
 */
function spacePrefix(space: number): Uint8Array {
  if (space === 0) return nothing;
  const bytes = new Uint8Array(6);
  bytes[1] = 2;
  writeUint32(bytes, 2, space);
  return bytes;
}

/** Below the first key of a space, and above its last one. */
export function spaceBounds(space: number): { readonly start: Uint8Array; readonly end: Uint8Array } {
  if (space === 0) return { start: Uint8Array.of(1), end: Uint8Array.of(0xff) };
  return { start: spacePrefix(space), end: spacePrefix(space + 1) };
}

/** Every space but 0 whose keys are found in the database. */
export function* spacesIn(database: Database<Uint8Array, Uint8Array>): Generator<number, void, undefined> {
  for (let space = 1; ;) {
    const [key] = reading(() => [
      ...database.getKeys({ start: spacePrefix(space), end: Uint8Array.of(0, 3), limit: 1 }),
    ]);
    if (key === undefined) return;
    const found = readUint32(key, 2);
    yield found;
    space = found + 1;
  }
}

/** All trees of a space share the database: a key is the space's prefix, the length of the tree's name, the name, and the key. */
export function treePrefix(space: number, tree: string): Uint8Array {
  const before = spacePrefix(space);
  const bytes = new Uint8Array(before.length + 1 + tree.length);
  bytes.set(before);
  bytes[before.length] = tree.length;
  encoder.encodeInto(tree, bytes.subarray(before.length + 1));
  return bytes;
}

/** Above every key of a tree: names are ASCII, so that the last byte can be raised. */
function treeEnd(space: number, tree: string): Uint8Array {
  const end = treePrefix(space, tree);
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

  readonly #space: number;

  constructor(
    database: Database<Uint8Array, Uint8Array>,
    space: number,
    walks: Set<Iterator<unknown>>,
    transaction?: Transaction,
  ) {
    this.#database = database;
    this.#space = space;
    this.#walks = walks;
    this.#options = transaction === undefined ? {} : { transaction };
  }

  get(tree: string, key: Uint8Array): Uint8Array | undefined {
    const full = concatBytes(treePrefix(this.#space, tree), key);
    const record = reading(() => this.#database.get(full, this.#options));
    return record === undefined ? undefined : openRecord(full, record);
  }

  *range(tree: string, range: StoreRange = {}): Generator<SortedEntry<Uint8Array>, void, undefined> {
    const prefix = treePrefix(this.#space, tree);
    const start = concatBytes(prefix, range.start ?? nothing);
    const end = range.end === undefined ? treeEnd(this.#space, tree) : concatBytes(prefix, range.end);
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
        yield { key: key.subarray(prefix.length), value: openRecord(key, value) };
      }
    } finally {
      this.#walks.delete(walk);
      walk.return?.();
    }
  }

  /** From name to name by seeking. */
  trees(): readonly string[] {
    const names: string[] = [];
    const { start: first, end } = spaceBounds(this.#space);
    const nameAt = spacePrefix(this.#space).length;
    for (let start = first; ;) {
      const from = start;
      const [key] = reading(() => [...this.#database.getKeys({ ...this.#options, start: from, end, limit: 1 })]);
      if (key === undefined) return names.toSorted();
      const name = decoder.decode(key.subarray(nameAt + 1, nameAt + 1 + (key[nameAt] as number)));
      names.push(name);
      start = treeEnd(this.#space, name);
    }
  }
}
