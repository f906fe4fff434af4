import { mkdirSync } from "node:fs";
import { join } from "node:path";
import {
  type FabricError,
  InvalidValueError,
  InvariantError,
  isFabricError,
  type Logger,
  type MachineStore,
  type Metrics,
  silentLogger,
  silentMetrics,
  type StoreRange,
  type StoreReplacement,
  type StoreTransaction,
  type StoreView,
} from "@revoada/fabric";
import { type DirectoryLock, lockDirectory } from "@revoada/fabric/node";
import { copyBytes } from "../core/bytes.ts";
import type { SortedEntry } from "../core/sorted-map.ts";
import { CatalogStoreBackpressureError, CatalogStoreClosedError, CatalogStoreFailedError } from "../errors.ts";
import { copied, LayerDraft } from "./draft.ts";
import { type Layer, LayeredReader, type TreeChanges } from "./layer.ts";
import { headerKey, LmdbBase, spaceBounds, spacesIn, treePrefix } from "./lmdb-base.ts";
import { batchKinds, BatchPacker } from "./lmdb-batch.ts";
import { openDatabase, storeHeader } from "./lmdb-database.ts";
import type { LmdbDatabase } from "./lmdb-open.ts";
import { LmdbReplacement } from "./lmdb-replacement.ts";
import { checkRoom, freeBytesAt } from "./lmdb-room.ts";
import { LmdbWriter } from "./lmdb-writer.ts";
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
  /** How much room the disk has, asked before each flush; unless told, what its file system says. */
  readonly freeBytes?: () => Promise<number>;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
}

const gibibyte = 1_073_741_824;
const mebibyte = 1_048_576;
const nothing = new Uint8Array(0);
/** Records packed for the writing thread in one go before other work gets its turn. */
const packedRecords = 512;
/** Records removed in one transaction, of what is not in force any more: a flush has to wait for no more than that. */
const trimmedRecords = 4096;

/**
 * Opens a durable store over LMDB and holds it alone until it is closed.
 *
 * Transactions commit to memory, in order, and cost no system call. `flush` (and the store by itself, beyond `flushBytes`) writes
 * what has been committed since as *one* LMDB transaction, in a thread of its own and in LMDB's default mode: data pages are synced
 * before the root that points to them is written, which is synced too. What is on disk is therefore always a whole number of
 * transactions, whatever ends the process or the machine; what was not flushed is lost with the process and is in the log.
 * A flush for which the disk has no room is refused before it begins and changes nothing: once there is room, the next one succeeds.
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
    return new LmdbStore(options, lock);
  } catch (error) {
    await lock.release();
    throw error;
  }
}

/** Committed changes that are on their way to the disk, or will be. */
interface Waiting {
  readonly layer: ReadonlyMap<string, TreeChanges>;
  readonly bytes: number;
}

class LmdbStore implements MachineStore {
  readonly durable = true;
  readonly #database: LmdbDatabase;
  #space: number;
  #base: LmdbBase;
  /** The highest space that was ever seen here. */
  #lastSpace: number;
  /** Spaces to be emptied: what was replaced, and what was never put in force. */
  readonly #doomed: Set<number>;
  #trimming: Promise<void> | undefined;
  #replacing = false;
  readonly #lock: DirectoryLock;
  /** The thread is started when there is something to write. */
  readonly #startWriter: () => LmdbWriter;
  #writer: LmdbWriter | undefined;
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
  #failure: FabricError | undefined;
  readonly #path: string;
  readonly #freeBytes: () => Promise<number>;
  /** The disk was full when a flush was last begun: that is said once. */
  #isCramped = false;
  #transacting = false;
  #closing: Promise<void> | undefined;

  constructor(options: LmdbStoreOptions, lock: DirectoryLock) {
    const path = join(options.directory, "data.mdb");
    const mapSizeBytes = options.mapSizeBytes ?? 8 * gibibyte;
    const { database, space } = openDatabase(path, mapSizeBytes);
    this.#database = database;
    this.#space = space;
    this.#base = new LmdbBase(database, space, this.#walks);
    const found = [...spacesIn(database)];
    this.#lastSpace = Math.max(space, ...found);
    this.#doomed = new Set(found.filter((other) => other !== space));
    if (space !== 0 && new LmdbBase(database, 0, this.#walks).trees().length > 0) this.#doomed.add(0);
    this.#path = path;
    this.#freeBytes = options.freeBytes ?? (() => freeBytesAt(options.directory));
    this.#startWriter = () => new LmdbWriter(path, mapSizeBytes);
    this.#lock = lock;
    this.#flushBytes = options.flushBytes ?? 8 * mebibyte;
    this.#waitingBytes = options.waitingBytes ?? 256 * mebibyte;
    this.#logger = options.logger ?? silentLogger;
    this.#metrics = options.metrics ?? silentMetrics;
    this.#trim();
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
    const reader = new LayeredReader(
      this.#layers(),
      new LmdbBase(this.#database, this.#space, this.#walks, transaction),
    );
    const view: StoreView = new ReaderView(reader, () => {
      this.#views.delete(view);
      transaction.done();
    });
    this.#views.add(view);
    return view;
  }

  async replace(): Promise<StoreReplacement> {
    this.#check();
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#replacing) throw new InvariantError("store: a replacement was begun beside another one");
    this.#replacing = true;
    this.#lastSpace += 1;
    const space = this.#lastSpace;
    const end = (): void => {
      this.#replacing = false;
      this.#trim();
    };
    return new LmdbReplacement(space, {
      check: () => this.#check(),
      write: (slabs) => this.#writing().write(slabs),
      commit: () => this.#switchTo(space).finally(end),
      abandon: () => {
        this.#doomed.add(space);
        end();
      },
    });
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
      await this.#trimming;
    } finally {
      for (const walk of this.#walks) walk.return?.();
      for (const view of this.#views) view.dispose();
      await this.#writer?.close();
      await this.#database.close();
      await this.#lock.release();
    }
  }

  /** All that had been committed when this was called is durable once it resolves. */
  #flush(): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.#flushing === undefined) return this.#alone(() => this.#write());
    const under = this.#flushing;
    this.#nextFlush ??= (async () => {
      await under.catch(() => {});
      this.#nextFlush = undefined;
      await this.#flush();
    })();
    return this.#nextFlush;
  }

  /** Changes what is in force on the disk, while nobody else does. */
  #alone(work: () => Promise<void>): Promise<void> {
    this.#flushing = work().finally(() => {
      this.#flushing = undefined;
    });
    return this.#flushing;
  }

  /** One small record decides what is in force: before it is on the disk everything is as it was, afterwards all is new. */
  async #switchTo(space: number): Promise<void> {
    while (this.#flushing !== undefined) await this.#flushing.catch(() => {});
    if (this.#failure !== undefined) throw this.#failure;
    await this.#alone(async () => {
      const packer = new BatchPacker();
      packer.add(batchKinds.put, nothing, headerKey, storeHeader(space));
      try {
        await this.#writing().write(packer.slabs);
      } catch (error) {
        // Which of the two is in force is known once the store is opened again.
        this.#failure = failureOf(error);
        throw this.#failure;
      }
      this.#doomed.add(this.#space);
      this.#space = space;
      this.#database.resetReadTxn();
      this.#base = new LmdbBase(this.#database, space, this.#walks);
      this.#active = { layer: new Map(), bytes: 0 };
      this.#frozen = undefined;
    });
  }

  /** Empties spaces that are of no use, a few records at a time, until the store is closed; the next opening goes on. */
  #trim(): void {
    if (this.#trimming !== undefined || this.#doomed.size === 0 || this.#closing !== undefined) return;
    this.#trimming = this.#trimAll()
      .catch((error: unknown) => this.#logger.warn("what was replaced could not be removed", { error }))
      .finally(() => {
        this.#trimming = undefined;
      });
  }

  async #trimAll(): Promise<void> {
    for (const space of this.#doomed) {
      const { start, end } = spaceBounds(space);
      while (this.#closing === undefined && (await this.#writing().trim(start, end, trimmedRecords)) > 0);
      if (this.#closing !== undefined) return;
      this.#doomed.delete(space);
    }
  }

  #writing(): LmdbWriter {
    this.#writer ??= this.#startWriter();
    return this.#writer;
  }

  #flushInBackground(): void {
    if (this.#flushing !== undefined || this.#failure !== undefined) return;
    this.#flush().catch((error: unknown) => {
      // Whoever flushes next is told; until then the log has everything.
      if (!this.#isCramped) this.#logger.error("the store could not be flushed", { error });
    });
  }

  async #write(): Promise<void> {
    if (this.#active.layer.size === 0) return;
    await this.#findRoom();
    const frozen = this.#active;
    this.#frozen = frozen;
    this.#active = { layer: new Map(), bytes: 0 };
    try {
      await this.#writing().write(await pack(this.#space, frozen.layer));
    } catch (error) {
      // After a failed sync nobody can say what is on the disk: such a store takes nothing more until it is opened again.
      this.#failure = failureOf(error);
      throw this.#failure;
    }
    this.#metrics.count("revoada_catalog_flushed_bytes", frozen.bytes);
    // From here on reads find the layer's changes in the database, and must not look at it as it was before.
    this.#database.resetReadTxn();
    this.#frozen = undefined;
  }

  /** A full disk is no failure: nothing has been begun, and the log has everything. */
  async #findRoom(): Promise<void> {
    let records = 0;
    for (const { changes } of this.#active.layer.values()) records += changes.size;
    try {
      await checkRoom({ bytes: this.#active.bytes, records }, this.#path, this.#freeBytes);
      this.#isCramped = false;
    } catch (error) {
      if (!this.#isCramped) this.#logger.warn("the disk is full: the store waits for room", { error });
      this.#isCramped = true;
      throw error;
    }
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

function failureOf(error: unknown): FabricError {
  return isFabricError(error) ? error : new CatalogStoreFailedError("the store cannot be written", { cause: error });
}

/**
 * Packs a layer for the writing thread. It is frozen, so that there is no hurry: other work gets its turn in between.
 */
async function pack(
  space: number,
  layer: ReadonlyMap<string, TreeChanges>,
): Promise<readonly Uint8Array<ArrayBuffer>[]> {
  const packer = new BatchPacker();
  let packed = 0;
  for (const [tree, { cleared, changes }] of layer) {
    const prefix = treePrefix(space, tree);
    if (cleared) packer.add(batchKinds.clear, prefix, nothing, nothing);
    for (const { key, value } of changes.entries()) {
      packer.add(value === null ? batchKinds.remove : batchKinds.put, prefix, key, value ?? nothing);
      if (++packed % packedRecords === 0) await new Promise((resolve) => setImmediate(resolve));
    }
  }
  return packer.slabs;
}
