import {
  type Clock,
  FabricError,
  type HardState,
  type LogBase,
  type LogBatch,
  type LogEntry,
  type LogIndex,
  type LogStore,
  type RecoveredLog,
  type StoreId,
  type Term,
} from "@revoada/fabric";

/** Ways in which the reference can be broken on purpose. */
export type LogStoreDefect =
  | "acknowledges before it is durable"
  | "splits a batch"
  | "writes the term apart from the vote"
  | "forgets to truncate"
  | "drops what precedes a truncation"
  | "reads one too many"
  | "ignores maxBytes"
  | "forgets the base's term"
  | "forgets the base's configuration"
  | "keeps entries over a reset"
  | "keeps the old hard state over a reset"
  | "makes a new store id at each opening"
  | "goes on after a failed sync"
  | "keeps kinds to itself"
  | "reorders overlapping appends"
  | "takes a cut behind the end for one of the end"
  | "forgets the vote with a truncation"
  | "tells of configurations that are gone"
  | "drops an entry with each compaction";

interface Picture {
  readonly hardState: HardState;
  readonly base: LogBase;
  readonly entries: readonly LogEntry[];
}

const nothing: Picture = {
  hardState: { term: 0 as Term, commitIndex: 0 as LogIndex },
  base: { index: 0 as LogIndex, term: 0 as Term },
  entries: [],
};

let media = 0;

/** Something that keeps pictures of a log: the durable one is what a crash leaves. */
export class LogMedium {
  durable: Picture = nothing;
  /** Rises with each crash: a store of an older life is dead. */
  life = 0;
  failNextSync = false;
  readonly storeId: StoreId;
  readonly clock: Clock;

  constructor(clock: Clock) {
    this.clock = clock;
    media += 1;
    this.storeId = media.toString(16).padStart(32, "0") as StoreId;
  }

  crash(): void {
    this.life += 1;
  }
}

/** The smallest store that keeps the contract: a picture in memory, and syncs of a millisecond. */
export class MemoryLogStore implements LogStore {
  readonly #medium: LogMedium;
  readonly #defect: LogStoreDefect | undefined;
  readonly #life: number;
  #current: Picture;
  #failed = false;
  #last: Promise<void> = Promise.resolve();
  /** What a store that never forgets would tell. */
  static readonly #everTold: WeakMap<LogMedium, Set<LogIndex>> = new WeakMap();

  constructor(medium: LogMedium, defect?: LogStoreDefect) {
    this.#medium = medium;
    this.#defect = defect;
    this.#life = medium.life;
    this.#current = medium.durable;
  }

  async open(): Promise<RecoveredLog> {
    this.#current = this.#medium.durable;
    if (this.#defect === "makes a new store id at each opening")
      Object.assign(this.#medium, { storeId: new LogMedium(this.#medium.clock).storeId });
    const { hardState, base, entries } = this.#current;
    const lastIndex = entries.at(-1)?.index ?? base.index;
    const held = entries.filter(({ kind }) => kind === "configuration").map(({ index }) => index);
    const told = MemoryLogStore.#everTold.get(this.#medium) ?? new Set(held);
    const configurations = this.#defect === "tells of configurations that are gone" ? [...told] : held;
    return { storeId: this.#medium.storeId, hardState, base, lastIndex, integrity: "ok", configurations };
  }

  append(batch: LogBatch): Promise<void> {
    const told = MemoryLogStore.#everTold.get(this.#medium) ?? new Set();
    MemoryLogStore.#everTold.set(this.#medium, told);
    for (const { kind, index } of batch.entries) if (kind === "configuration") told.add(index);
    if (this.#failed) return Promise.reject(new FabricError("LOG_FAILED", "an earlier sync failed"));
    const before = this.#current;
    this.#current = this.#appended(before, batch);
    const half = this.#appended(before, { ...batch, entries: batch.entries.slice(0, 2) });
    if (this.#defect === "splits a batch") return this.#sync(half);
    if (this.#defect === "acknowledges before it is durable") {
      void this.#sync();
      return Promise.resolve();
    }
    return this.#sync();
  }

  async read(from: LogIndex, to: LogIndex, maxBytes: number): Promise<readonly LogEntry[]> {
    const { base, entries } = this.#current;
    const beyond = this.#defect === "reads one too many" ? 1 : 0;
    const wanted = entries.slice(from - base.index - 1, to - base.index - 1 + beyond);
    const read: LogEntry[] = [];
    let bytes = 0;
    for (const entry of wanted) {
      bytes += entry.payload.length;
      if (bytes > maxBytes && read.length > 0 && this.#defect !== "ignores maxBytes") break;
      read.push(this.#defect === "keeps kinds to itself" ? { ...entry, kind: "command" } : entry);
    }
    return read;
  }

  term(index: LogIndex): Term | undefined {
    const { base, entries } = this.#current;
    return index === base.index ? base.term : entries[index - base.index - 1]?.term;
  }

  compact(base: LogBase): Promise<void> {
    const { entries, hardState } = this.#current;
    const lost = this.#defect === "drops an entry with each compaction" ? 1 : 0;
    const kept = entries.filter(({ index }) => index > base.index + lost);
    this.#current = { hardState, base: this.#kept(base), entries: kept };
    return this.#sync();
  }

  reset(base: LogBase, hardState: HardState): Promise<void> {
    const keeps = this.#defect === "keeps entries over a reset";
    this.#current = {
      hardState: this.#defect === "keeps the old hard state over a reset" ? this.#current.hardState : hardState,
      base: this.#kept(base),
      entries: keeps ? this.#current.entries.filter(({ index }) => index > base.index) : [],
    };
    return this.#sync();
  }

  async close(): Promise<void> {
    await this.#last.catch(() => {});
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #kept(base: LogBase): LogBase {
    const { configuration, ...rest } = base;
    if (this.#defect === "forgets the base's term") return { ...base, term: 0 as Term };
    if (this.#defect === "forgets the base's configuration" || configuration === undefined) return rest;
    return base;
  }

  #appended(picture: Picture, batch: LogBatch): Picture {
    const { truncateFrom: asked = Number.POSITIVE_INFINITY } = batch;
    const end = picture.entries.at(-1)?.index ?? 0;
    const early = this.#defect === "takes a cut behind the end for one of the end" && batch.truncateFrom !== undefined;
    const truncateFrom = early ? Math.min(asked, end) : asked;
    const truncates = this.#defect !== "forgets to truncate";
    const kept = picture.entries.filter(({ index }) =>
      this.#defect === "drops what precedes a truncation" && truncateFrom < Number.POSITIVE_INFINITY
        ? index === truncateFrom - 1
        : !truncates || index < truncateFrom,
    );
    const entries =
      this.#defect === "reorders overlapping appends" && kept.length % 4 === 2
        ? [...kept.slice(0, -2), ...batch.entries, ...kept.slice(-2)]
        : [...kept, ...batch.entries];
    const forgets = this.#defect === "forgets the vote with a truncation" && batch.truncateFrom !== undefined;
    const { term, commitIndex } = picture.hardState;
    const before: HardState = forgets ? { term, commitIndex } : picture.hardState;
    return { ...picture, hardState: this.#merged(before, batch.hardState), entries };
  }

  #merged(old: HardState, next: HardState | undefined): HardState {
    if (next === undefined) return old;
    if (this.#defect !== "writes the term apart from the vote" || old.vote === undefined) return next;
    return { ...next, vote: old.vote };
  }

  #sync(first?: Picture): Promise<void> {
    const picture = this.#current;
    const previous = this.#last;
    const fails = this.#medium.failNextSync;
    if (fails) this.#medium.failNextSync = false;
    if (fails && this.#defect !== "goes on after a failed sync") this.#failed = true;
    const sync = async (): Promise<void> => {
      await previous.catch(() => {});
      if (first !== undefined && this.#life === this.#medium.life) this.#medium.durable = first;
      await new Promise<void>((resolve) => void this.#medium.clock.schedule(1, resolve));
      if (this.#life !== this.#medium.life) throw new FabricError("LOG_FAILED", "the medium is gone");
      if (fails) throw new FabricError("LOG_FAILED", "the sync failed");
      this.#medium.durable = picture;
    };
    this.#last = sync();
    this.#last.catch(() => {});
    return this.#last;
  }
}
