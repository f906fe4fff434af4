import { mkdirSync } from "node:fs";
import { join } from "node:path";
import {
  InvalidValueError,
  InvariantError,
  type Logger,
  type MachineStore,
  type Metrics,
  silentLogger,
  silentMetrics,
  type StoreRange,
  type StoreTransaction,
  type StoreView,
} from "@revoada/fabric";
import { type DirectoryLock, lockDirectory } from "@revoada/fabric/node";
import { open } from "lmdb";
import { copyBytes, equalBytes } from "../core/bytes.ts";
import type { SortedEntry } from "../core/sorted-map.ts";
import {
  CatalogNewerFormatError,
  CatalogStoreBackpressureError,
  CatalogStoreClosedError,
  CatalogStoreCorruptError,
  CatalogStoreFailedError,
} from "../errors.ts";
import { copied, LayerDraft } from "./draft.ts";
import { type Layer, LayeredReader, type TreeChanges } from "./layer.ts";
import { baseKey, headerKey, LmdbBase, type LmdbDatabase, openRecord, reading, sealRecord } from "./lmdb-base.ts";
import { checkDataFile } from "./lmdb-file.ts";
import { ReaderView } from "./view.ts";

/** How an LMDB store is opened. */
export interface LmdbStoreOptions {
  /** A directory of its own, made where it does not exist. */
  readonly directory: string;
  /** Address space reserved for the file, which takes no disk space; 8 GiB unless told. The file may outgrow it. */
  readonly mapSizeBytes?: number;
  /** Committed bytes in memory at which a flush begins by itself; 8 MiB unless told. */
  readonly flushBytes?: number;
  /** Committed bytes in memory beyond which transactions are refused; 256 MiB unless told. */
  readonly waitingBytes?: number;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
}

const gibibyte = 1_073_741_824;
const mebibyte = 1_048_576;
const magic = new TextEncoder().encode("RVDSTORE");
const formatVersion = 1;
const maxReaders = 1_024;

/**
 * Opens a durable store over LMDB and holds it alone until it is closed.
 *
 * Transactions commit to memory, in order, and cost no system call. `flush` (and the store by itself, beyond `flushBytes`) writes
 * what has been committed since as *one* LMDB transaction, off the main thread and in LMDB's default mode: data pages are synced
 * before the root that points to them is written, which is synced too. What is on disk is therefore always a whole number of
 * transactions, whatever ends the process or the machine; what was not flushed is lost with the process and is in the log.
 * LMDB's modes without syncing were not taken: "a system crash can then corrupt the database" (`MDB_NOSYNC`), and
 * `MDB_NOMETASYNC` still syncs at each commit (http://www.lmdb.tech/doc/group__mdb.html, `mdb_env_open`).
 *
 * Rejects with `DISK_LOCKED` where somebody holds the directory, `CATALOG_NEWER_FORMAT`, `CATALOG_STORE_CORRUPT`.
 */
export async function lmdbStore(options: LmdbStoreOptions): Promise<MachineStore> {
  for (const name of ["mapSizeBytes", "flushBytes", "waitingBytes"] as const) {
    const value = options[name];
    if (value !== undefined && !(Number.isSafeInteger(value) && value > 0)) {
      throw new InvalidValueError(name, value, "a positive number of bytes");
    }
  }
  mkdirSync(options.directory, { recursive: true, mode: 0o700 });
  const lock = await lockDirectory(options.directory);
  try {
    return new LmdbStore(openDatabase(options), lock, options);
  } catch (error) {
    await lock.release();
    throw error;
  }
}

function openDatabase(options: LmdbStoreOptions): LmdbDatabase {
  const path = join(options.directory, "data.mdb");
  const whole = checkDataFile(path);
  let database: LmdbDatabase;
  try {
    database = open<Uint8Array, Uint8Array>({
      path,
      noSubdir: true,
      keyEncoding: "binary",
      encoding: "binary",
      // One flush is one transaction that syncs within itself, on LMDB's writing thread: nothing is to overlap.
      overlappingSync: false,
      mapSize: options.mapSizeBytes ?? 8 * gibibyte,
      maxReaders,
    });
  } catch (error) {
    throw new CatalogStoreCorruptError(`${options.directory} cannot be opened as a store: ${messageOf(error)}`, {
      cause: error,
    });
  }
  try {
    checkHeader(database, options.directory);
    if (!whole) checkEveryRecord(database, path);
    return database;
  } catch (error) {
    void database.close();
    throw error;
  }
}

function checkHeader(database: LmdbDatabase, directory: string): void {
  const record = reading(() => database.get(headerKey));
  if (record === undefined) {
    if ([...database.getKeys({ limit: 1 })].length > 0) {
      throw new CatalogStoreCorruptError(`${directory} holds a database that is no store`);
    }
    const header = new Uint8Array(magic.length + 2);
    header.set(magic);
    header[magic.length + 1] = formatVersion;
    database.putSync(headerKey, sealRecord(headerKey, header));
    return;
  }
  const header = openRecord(headerKey, record);
  if (header.length < magic.length + 2 || !equalBytes(header.subarray(0, magic.length), magic)) {
    throw new CatalogStoreCorruptError(`${directory} holds a database that is no store`);
  }
  const version = (header[magic.length] as number) * 256 + (header[magic.length + 1] as number);
  if (version > formatVersion) throw new CatalogNewerFormatError(`the store ${directory}`, version, formatVersion);
}

/** Reads everything, which takes its time: only for files that end early. A page that is missing hides the records on it. */
function checkEveryRecord(database: LmdbDatabase, path: string): void {
  const { entryCount } = database.getStats() as { readonly entryCount: number };
  let found = 0;
  const walk = database.getRange({ start: Uint8Array.of(0) })[Symbol.iterator]();
  for (;;) {
    const next = reading(() => walk.next());
    if (next.done === true) break;
    const { key, value } = next.value;
    openRecord(key, value);
    found++;
  }
  if (found !== entryCount)
    throw new CatalogStoreCorruptError(`${path} is cut off: ${found} of ${entryCount} records are left`);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Committed changes that are on their way to the disk, or will be. */
interface Waiting {
  readonly layer: ReadonlyMap<string, TreeChanges>;
  readonly bytes: number;
}

class LmdbStore implements MachineStore {
  readonly durable = true;
  readonly #database: LmdbDatabase;
  readonly #base: LmdbBase;
  readonly #lock: DirectoryLock;
  readonly #flushBytes: number;
  readonly #waitingBytes: number;
  readonly #logger: Logger;
  readonly #metrics: Metrics;
  readonly #views = new Set<StoreView>();
  readonly #walks = new Set<Iterator<unknown>>();
  #active: Waiting = { layer: new Map(), bytes: 0 };
  /** What the flush under way writes, or what the one that failed did not. */
  #frozen: Waiting | undefined;
  #flushing: Promise<void> | undefined;
  /** The flush that begins when the one under way ends: everybody who asks meanwhile shares it. */
  #nextFlush: Promise<void> | undefined;
  #failure: CatalogStoreFailedError | undefined;
  #transacting = false;
  #closing: Promise<void> | undefined;

  constructor(database: LmdbDatabase, lock: DirectoryLock, options: LmdbStoreOptions) {
    this.#database = database;
    this.#base = new LmdbBase(database, this.#walks);
    this.#lock = lock;
    this.#flushBytes = options.flushBytes ?? 8 * mebibyte;
    this.#waitingBytes = options.waitingBytes ?? 256 * mebibyte;
    this.#logger = options.logger ?? silentLogger;
    this.#metrics = options.metrics ?? silentMetrics;
  }

  get(tree: string, key: Uint8Array): Uint8Array | undefined {
    const found = this.#reader().get(tree, key);
    return found === undefined ? undefined : copyBytes(found);
  }

  *range(tree: string, range?: StoreRange): Generator<SortedEntry<Uint8Array>, void, undefined> {
    for (const entry of copied(this.#reader().range(tree, range))) {
      yield entry;
      this.#check();
    }
  }

  trees(): readonly string[] {
    return this.#reader().trees();
  }

  transact<T>(body: (transaction: StoreTransaction) => T): T {
    this.#check();
    if (this.#transacting) throw new InvariantError("store: a transaction was begun inside another one");
    const waitingBytes = this.#active.bytes + (this.#frozen?.bytes ?? 0);
    if (this.#failure !== undefined) throw this.#failure;
    if (waitingBytes > this.#waitingBytes) throw new CatalogStoreBackpressureError(waitingBytes, this.#waitingBytes);
    const draft = new LayerDraft(this.#active.layer, { layers: this.#below(), base: this.#base });
    this.#transacting = true;
    try {
      const result = body(draft);
      this.#active = { layer: draft.commit(), bytes: this.#active.bytes + draft.bytes };
      if (this.#active.bytes >= this.#flushBytes) this.#flushInBackground();
      return result;
    } finally {
      draft.discard();
      this.#transacting = false;
    }
  }

  view(): StoreView {
    this.#check();
    // A read transaction that was begun before the last flush would not see what has left memory since.
    this.#database.resetReadTxn();
    const transaction = this.#database.useReadTransaction();
    const reader = new LayeredReader(this.#layers(), new LmdbBase(this.#database, this.#walks, transaction));
    const view: StoreView = new ReaderView(reader, () => {
      this.#views.delete(view);
      transaction.done();
    });
    this.#views.add(view);
    return view;
  }

  flush(): Promise<void> {
    if (this.#closing !== undefined) return Promise.reject(new CatalogStoreClosedError("store"));
    return this.#flush();
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    try {
      await this.#flush();
    } finally {
      for (const walk of this.#walks) walk.return?.();
      for (const view of this.#views) view.dispose();
      await this.#database.close();
      await this.#lock.release();
    }
  }

  /** All that had been committed when this was called is durable once it resolves. */
  #flush(): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.#flushing === undefined) {
      this.#flushing = this.#write().finally(() => {
        this.#flushing = undefined;
      });
      return this.#flushing;
    }
    const under = this.#flushing;
    this.#nextFlush ??= (async () => {
      await under.catch(() => {});
      this.#nextFlush = undefined;
      await this.#flush();
    })();
    return this.#nextFlush;
  }

  #flushInBackground(): void {
    if (this.#flushing !== undefined || this.#failure !== undefined) return;
    this.#flush().catch((error: unknown) => {
      // Whoever flushes next is told; until then the log has everything.
      this.#logger.error("the store could not be flushed", { error });
    });
  }

  async #write(): Promise<void> {
    if (this.#active.layer.size === 0) return;
    const frozen = this.#active;
    this.#frozen = frozen;
    this.#active = { layer: new Map(), bytes: 0 };
    try {
      await this.#database.batch(() => this.#queue(frozen.layer));
    } catch (error) {
      throw await this.#failed(error);
    }
    this.#metrics.count("revoada_catalog_flushed_bytes", frozen.bytes);
    // From here on reads find the layer's changes in the database, and must not look at it as it was before.
    this.#database.resetReadTxn();
    this.#frozen = undefined;
  }

  /** Queues a layer for LMDB's writing thread: one transaction, as a batch is never split. The batch's promise tells for all. */
  #queue(layer: ReadonlyMap<string, TreeChanges>): void {
    for (const [tree, { cleared, changes }] of layer) {
      if (cleared) for (const key of this.#base.keys(tree)) void this.#database.remove(key);
      for (const { key, value } of changes.entries()) {
        const full = baseKey(tree, key);
        if (value === null) void this.#database.remove(full);
        else void this.#database.put(full, sealRecord(full, value));
      }
    }
  }

  /** After a failed sync nobody can say what is on the disk: such a store takes nothing more until it is opened again. */
  async #failed(error: unknown): Promise<CatalogStoreFailedError> {
    const { commitError } = error as { readonly commitError?: PromiseLike<unknown> };
    let cause = error;
    if (commitError !== undefined) {
      try {
        await commitError;
      } catch (reason) {
        cause = reason;
      }
    }
    this.#failure = new CatalogStoreFailedError(`the store cannot be written: ${messageOf(cause)}`, { cause });
    return this.#failure;
  }

  #below(): readonly Layer[] {
    return this.#frozen === undefined ? [] : [this.#frozen.layer];
  }

  #layers(): readonly Layer[] {
    return [this.#active.layer, ...this.#below()];
  }

  #reader(): LayeredReader {
    this.#check();
    return new LayeredReader(this.#layers(), this.#base);
  }

  #check(): void {
    if (this.#closing !== undefined) throw new CatalogStoreClosedError("store");
  }
}
