import { describe, test } from "vitest";
import type { LogBase, LogBatch, LogStore } from "@revoada/fabric";
import { logStoreContract, virtualTime, type LogStoreFixture } from "@revoada/fabric/contract/log-store";
import { virtualClock } from "@revoada/fabric/memory";
import {
  at,
  batch,
  entry,
  hardState,
  memoryDisk,
  openable,
  seededRandom,
  sharedWal,
  type MemoryDisk,
  type SharedWal,
} from "./wal-support.ts";

const segments = { segmentBytes: 64 << 10, allocateBytes: 16 << 10 };
let media = 0;

async function single(): Promise<LogStoreFixture> {
  const disk = memoryDisk();
  const random = seededRandom(`medium ${media++}`);
  const stores: LogStore[] = [];
  return {
    time: virtualTime(virtualClock()),
    store() {
      const store = openable(disk, { ...segments, random });
      stores.push(store);
      return store;
    },
    crash: async () => disk.crash(),
    failNextSync: () => disk.failSyncs(1),
    async [Symbol.asyncDispose]() {
      for (const store of stores) await store.close();
    },
  };
}

/** Other groups of the same log, which write whenever the one under test does. */
class Neighbours {
  readonly #wal: SharedWal;
  readonly #stores: LogStore[] = [];
  #ready = false;
  #round = 0;

  constructor(wal: SharedWal) {
    this.#wal = wal;
  }

  async open(): Promise<void> {
    if (this.#ready) return;
    for (const name of ["left", "right"]) {
      const store = this.#wal.store(Buffer.from(name));
      await store.open();
      this.#stores.push(store);
    }
    this.#ready = true;
  }

  /** Each goes its own way; what becomes of it is looked at elsewhere. */
  write(): void {
    this.#round++;
    for (const [place, store] of this.#stores.entries()) {
      let last = 0;
      while (store.term(at(last + 1)) !== undefined || (last === 0 && store.term(at(0)) === undefined)) last++;
      const work =
        this.#round % 7 === place && last > 2 && store.term(at(1)) !== undefined
          ? store.append(batch([entry(last, this.#round + 100)], { truncateFrom: last }))
          : store.append(
              batch([entry(last + 1, this.#round + 100, "n".repeat(50 * place))], {
                hardState: hardState(this.#round, 0),
              }),
            );
      work.catch(() => {});
    }
  }
}

/** A store of one group whose every step is surrounded by steps of others. */
function surrounded(store: LogStore, neighbours: Neighbours, closed: () => Promise<void>): LogStore {
  const during = <T>(work: () => Promise<T>): Promise<T> => {
    neighbours.write();
    const done = work();
    neighbours.write();
    return done;
  };
  return {
    async open() {
      await neighbours.open();
      return await store.open();
    },
    append: (one: LogBatch) => during(() => store.append(one)),
    read: (from, to, maxBytes) => store.read(from, to, maxBytes),
    term: (index) => store.term(index),
    compact: (base: LogBase) => during(() => store.compact(base)),
    reset: (base, state) => during(() => store.reset(base, state)),
    async close() {
      await store.close();
      await closed();
    },
    async [Symbol.asyncDispose]() {
      await this.close();
    },
  };
}

/** With `anew` the whole log is opened anew for each store, without it only the group. */
async function shared(anew: boolean): Promise<LogStoreFixture> {
  const disk: MemoryDisk = memoryDisk();
  const random = seededRandom(`medium ${media++}`);
  let open: { wal: SharedWal; neighbours: Neighbours } | undefined;
  const close = async (): Promise<void> => {
    const { wal } = open ?? {};
    open = undefined;
    await wal?.close();
  };
  return {
    time: virtualTime(virtualClock()),
    store() {
      if (open === undefined) {
        const wal = sharedWal({ disk, random, ...segments });
        open = { wal, neighbours: new Neighbours(wal) };
      }
      return surrounded(open.wal.store(Buffer.from("group")), open.neighbours, anew ? close : async () => {});
    },
    async crash() {
      disk.crash();
      await close();
    },
    failNextSync: () => disk.failSyncs(1),
    [Symbol.asyncDispose]: close,
  };
}

describe("the log of one group", () => {
  for (const { name, run } of logStoreContract(single)) test(name, run);
});

describe("a group among others, opened anew with the log", () => {
  for (const { name, run } of logStoreContract(() => shared(true))) test(name, run);
});

describe("a group among others that stay open", () => {
  for (const { name, run } of logStoreContract(() => shared(false))) test(name, run);
});
