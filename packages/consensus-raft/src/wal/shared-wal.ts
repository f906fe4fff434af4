import { InvalidValueError, type RecoveredLog, type StoreId } from "@revoada/fabric";
import { checkOptions } from "./check-batch.ts";
import { LogClosedError, LogForgottenError, LogTooManyGroupsError } from "./errors.ts";
import { maxGroupIdBytes } from "./format.ts";
import { GroupLog } from "./group-log.ts";
import type { LogImage } from "./log-image.ts";
import type { WalFault } from "./recovery.ts";
import { WalStore, type WalLogStore } from "./store.ts";
import { WalEngine, type EngineOptions } from "./wal-engine.ts";
import { engineOptions, type WalOptions } from "./wal-log-store.ts";

/** What a log of many groups needs and how it is sized. Bytes are those of all groups together. */
export interface SharedWalOptions extends Omit<WalOptions, "groupId"> {
  /** At most 32 bytes that name the cluster. A log that bears other ones is refused. */
  readonly clusterId?: Uint8Array;
  /** How many groups there may be, dropped ones not counted; 10,000 by default. */
  readonly maxGroups?: number;
}

/** A group that a log of many holds. */
export interface SharedWalGroup extends RecoveredLog {
  readonly groupId: Uint8Array;
}

/** What {@link SharedWal.open} finds. */
export interface RecoveredWal {
  /** One for all groups: a wiped disk is another store for each of them. */
  readonly storeId: StoreId;
  readonly groups: readonly SharedWalGroup[];
  /** What was not as it had been written. */
  readonly faults: readonly WalFault[];
}

/**
 * One write-ahead log for the logs of many groups.
 *
 * Whatever any group appends while a flush is in flight is the next one: a single write and a single sync, however many groups there
 * are. A step of one group is all or nothing; those of several groups are independent.
 */
export interface SharedWal extends AsyncDisposable {
  /**
   * Opens the log, if it is not open, and tells what it holds. The first `open` of a store does the same. After a failed write or
   * sync it is opened anew, and so is every store.
   */
  open(): Promise<RecoveredWal>;
  /**
   * The log of the group with this id of 1 to 32 bytes: a new one where the log does not know it. One store of a group is open at a time; to
   * open another, close the first.
   *
   * Its `open` rejects with what `walLogStore` rejects with, with `LOG_TOO_MANY_GROUPS`, and with `LOG_FORGOTTEN` where the group was
   * dropped. Closing it closes nothing but itself.
   */
  store(groupId: Uint8Array): WalLogStore;
  /**
   * Drops a group for good: its entries, its vote, everything but the fact. Its store must be closed. A dropped id is refused from then on:
   * a replica that forgot its votes must come back under another name.
   */
  forget(groupId: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

/** Segments that may hold nothing that is needed, beside as much again as is live. */
const slackSegments = 4;

/** A log of many groups in one directory. Throws `FABRIC_INVALID_VALUE` where an option is out of range. */
export function sharedWal(options: SharedWalOptions): SharedWal {
  const { clusterId, maxGroups = 10_000, ...rest } = options;
  checkOptions({ ...rest, ...(clusterId === undefined ? {} : { groupId: clusterId }) });
  if (!Number.isSafeInteger(maxGroups) || maxGroups < 1)
    throw new InvalidValueError("maxGroups", maxGroups, "an integer above 0");
  return new Shared(engineOptions(rest, true, clusterId ?? new Uint8Array(0)), maxGroups);
}

class Shared implements SharedWal {
  readonly #options: EngineOptions;
  readonly #maxGroups: number;
  #engine: WalEngine | undefined;
  #opening: Promise<WalEngine> | undefined;
  /** Stores that are open over the engine. */
  #open: Map<LogImage, GroupLog> = new Map();
  /** Groups without a store whose entries are being moved: opening one waits. */
  readonly #moved: Map<LogImage, Promise<void>> = new Map();
  #moving: Promise<void> | undefined;
  #closed = false;

  constructor(options: EngineOptions, maxGroups: number) {
    this.#options = options;
    this.#maxGroups = maxGroups;
  }

  async open(): Promise<RecoveredWal> {
    const { image, storeId, faults } = await this.#current();
    const groups: SharedWalGroup[] = [];
    for (const group of image.groups.values()) {
      if (group.forgotten || group.sections === 0) continue;
      const { id: groupId, hardState, base, lastIndex, suspect } = group;
      groups.push({ groupId, storeId, hardState, base, lastIndex, integrity: suspect ? "corrupt" : "ok" });
    }
    return { storeId, groups, faults };
  }

  store(groupId: Uint8Array): WalLogStore {
    const id = checkGroupId(groupId);
    return new WalStore({
      acquire: () => this.#acquire(id),
      release: async (log) => {
        log.detach();
        await log.drained();
        this.#release(log);
      },
    });
  }

  async forget(groupId: Uint8Array): Promise<void> {
    const log = await this.#acquire(checkGroupId(groupId));
    try {
      await log.forget();
    } finally {
      log.detach();
      this.#release(log);
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#opening?.catch(() => {});
    for (const log of this.#open.values()) log.detach();
    await this.#moving;
    await this.#engine?.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** The open log; opens it, and opens it anew after a failure. */
  #current(): Promise<WalEngine> {
    if (this.#closed) return Promise.reject(new LogClosedError("closed"));
    const engine = this.#engine;
    if (this.#opening === undefined && engine !== undefined && engine.failure === undefined)
      return Promise.resolve(engine);
    this.#opening ??= this.#openEngine().finally(() => (this.#opening = undefined));
    return this.#opening;
  }

  async #openEngine(): Promise<WalEngine> {
    await this.#moving;
    await this.#engine?.close();
    this.#engine = undefined;
    const engine = await WalEngine.open(this.#options);
    engine.onRolled = () => {
      if (this.#engine === engine) this.#moving ??= this.#makeSpace(engine).finally(() => (this.#moving = undefined));
    };
    this.#engine = engine;
    this.#open = new Map();
    return engine;
  }

  async #acquire(id: Uint8Array): Promise<GroupLog> {
    const engine = await this.#current();
    const known = engine.image.find(id);
    if (known?.forgotten === true) throw new LogForgottenError(id);
    if (known !== undefined) await this.#moved.get(known);
    // Whoever waited, waited for others that may have come first.
    const image = engine.image.find(id) ?? this.#create(engine, id);
    if (this.#open.has(image)) throw new LogClosedError("open already");
    engine.throwIfUnusable();
    const log = new GroupLog(engine, image);
    this.#open.set(image, log);
    return log;
  }

  #create(engine: WalEngine, id: Uint8Array): LogImage {
    let groups = 0;
    for (const image of engine.image.groups.values()) if (!image.forgotten) groups++;
    if (groups >= this.#maxGroups) throw new LogTooManyGroupsError(this.#maxGroups);
    const image = engine.image.add(id);
    image.suspect = engine.image.strangersSuspect;
    return image;
  }

  #release(log: GroupLog): void {
    if (this.#open.get(log.image) !== log) return;
    this.#open.delete(log.image);
    // Nothing was ever written of it.
    if (log.image.sections === 0) log.engine.image.remove(log.image);
  }

  /**
   * Moves live entries out of the oldest segments while these hold more than they should: the log takes at most twice what is live, and a
   * few segments.
   */
  async #makeSpace(engine: WalEngine): Promise<void> {
    const { image, options } = engine;
    try {
      for (;;) {
        await engine.removeSegments();
        const [oldest] = image.segments;
        if (oldest === undefined || image.segments.length <= slackSegments || engine.failure !== undefined) return;
        let used = 0;
        let largest = options.segmentBytes;
        for (const segment of image.segments) {
          used += segment.usedBytes;
          largest = Math.max(largest, segment.usedBytes);
        }
        let live = 0;
        for (const group of image.groups.values()) live += group.liveBytes;
        if (used <= 2 * live + slackSegments * largest) return;
        for (const group of [...image.groups.values()]) await this.#moveOut(engine, group, oldest);
        if (oldest.pins > 0) return;
      }
    } catch (error) {
      // On a full or failed disk the segments stay for now; the next one that is begun tries again.
      options.logger.warn("the oldest segment could not be emptied", { error });
    }
  }

  async #moveOut(engine: WalEngine, group: LogImage, oldest: unknown): Promise<void> {
    const extents = group.extents.filter((extent) => extent.segment === oldest);
    if (extents.length === 0) return;
    const open = this.#open.get(group);
    const log = open ?? new GroupLog(engine, group);
    const move = async (): Promise<void> => {
      for (const { first, end } of extents) await log.moveOut(first, end);
    };
    const moving = move().finally(() => {
      this.#moved.delete(group);
      if (open === undefined) log.detach();
    });
    if (open === undefined)
      this.#moved.set(
        group,
        moving.catch(() => {}),
      );
    await moving;
  }
}

function checkGroupId(groupId: Uint8Array): Uint8Array {
  if (groupId.length < 1 || groupId.length > maxGroupIdBytes)
    throw new InvalidValueError("groupId", groupId, `1 to ${maxGroupIdBytes} bytes`);
  return groupId.slice();
}
