import type {
  MachineStore,
  StoreRange,
  StoreReader,
  StoreReplacement,
  StoreTransaction,
  StoreView,
} from "@revoada/fabric";

type Trees = Map<string, Map<string, Uint8Array>>;

const hex = (key: Uint8Array): string => Buffer.from(key).toString("hex");
const bytesOf = (key: string): Uint8Array => new Uint8Array(Buffer.from(key, "hex"));

function copyOf(trees: Trees): Trees {
  return new Map([...trees].map(([name, tree]) => [name, new Map(tree)]));
}

/** A process that dies: what is thrown where it does, and not an error of ours. */
export class ProcessDied extends Error {}

class Reader implements StoreReader {
  protected source: Trees;

  constructor(source: Trees) {
    this.source = source;
  }

  get(tree: string, key: Uint8Array): Uint8Array | undefined {
    const value = this.source.get(tree)?.get(hex(key));
    return value === undefined ? undefined : new Uint8Array(value);
  }

  *range(
    tree: string,
    { start, end, reverse, limit }: StoreRange = {},
  ): Generator<{ key: Uint8Array; value: Uint8Array }> {
    const from = start === undefined ? "" : hex(start);
    const to = end === undefined ? "g" : hex(end);
    const entries = [...(this.source.get(tree) ?? [])]
      .filter(([key]) => key >= from && key < to)
      .toSorted(([a], [b]) => (a < b ? -1 : 1));
    if (reverse === true) entries.reverse();
    for (const [key, value] of entries.slice(0, limit)) yield { key: bytesOf(key), value: new Uint8Array(value) };
  }

  trees(): readonly string[] {
    return [...this.source]
      .filter(([, tree]) => tree.size > 0)
      .map(([name]) => name)
      .toSorted();
  }
}

class Transaction extends Reader implements StoreTransaction {
  readonly #beforeWrite: () => void;

  constructor(source: Trees, beforeWrite: () => void) {
    super(source);
    this.#beforeWrite = beforeWrite;
  }

  put(tree: string, key: Uint8Array, value: Uint8Array): void {
    this.#beforeWrite();
    if (key.length < 1 || key.length > 1024) throw new RangeError(`a key of ${key.length} bytes`);
    this.#tree(tree).set(hex(key), new Uint8Array(value));
  }

  delete(tree: string, key: Uint8Array): boolean {
    this.#beforeWrite();
    return this.#tree(tree).delete(hex(key));
  }

  clear(tree: string): void {
    this.#beforeWrite();
    this.#tree(tree).clear();
  }

  #tree(name: string): Map<string, Uint8Array> {
    const tree = this.source.get(name) ?? new Map<string, Uint8Array>();
    this.source.set(name, tree);
    return tree;
  }
}

/** An ordered store in memory that keeps what it flushed through a crash and can be made to fail at any write. */
export class TestStore extends Reader implements MachineStore {
  readonly durable = true;
  /** Writes made inside transactions, over the store's life. */
  writes = 0;
  closed = 0;
  /** Throws to make the write that has this number fail. */
  beforeWrite: (write: number) => void = () => undefined;
  #flushed: Trees = new Map();

  constructor(trees: Trees = new Map()) {
    super(trees);
  }

  transact<T>(body: (transaction: StoreTransaction) => T): T {
    const draft = copyOf(this.source);
    const result = body(
      new Transaction(draft, () => {
        this.writes += 1;
        this.beforeWrite(this.writes);
      }),
    );
    this.source = draft;
    return result;
  }

  view(): StoreView {
    return Object.assign(new Reader(this.source), { dispose: () => undefined });
  }

  async replace(): Promise<StoreReplacement> {
    const count = (): void => {
      this.writes += 1;
      this.beforeWrite(this.writes);
    };
    const draft: Trees = new Map();
    const transaction = new Transaction(draft, count);
    return {
      put: (tree, key, value) => transaction.put(tree, key, value),
      drained: () => Promise.resolve(),
      abandon: () => Promise.resolve(),
      commit: async () => {
        count();
        this.source = draft;
        this.#flushed = draft;
      },
    };
  }

  async flush(): Promise<void> {
    this.#flushed = this.source;
  }

  async close(): Promise<void> {
    this.closed += 1;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Everything that it holds, as plain data. */
  contents(): Readonly<Record<string, readonly (readonly [string, string])[]>> {
    return Object.fromEntries(
      this.trees().map((tree) => [
        tree,
        [...this.range(tree)].map(({ key, value }) => [hex(key), hex(value)] as const),
      ]),
    );
  }

  /** Another store with the same contents, as a process finds it that is started again. */
  reopened(): TestStore {
    return new TestStore(copyOf(this.source));
  }

  /** As {@link reopened}, after a crash that lost what was not flushed. */
  afterCrash(): TestStore {
    return new TestStore(copyOf(this.#flushed));
  }
}
