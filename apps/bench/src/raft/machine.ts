import type { AppliedEntry, LogIndex, MachinePosition, MachineSnapshot, StateMachine, Term } from "@revoada/fabric";

const empty = new Uint8Array(0);

/** Counts, and forgets what it counted: what is measured is consensus, not what is done with it. */
export class CountingMachine implements StateMachine<Uint8Array, Uint8Array> {
  readonly durable = false;
  #position: MachinePosition = { index: 0 as LogIndex, term: 0 as Term };
  #commands = 0;
  #waiting: { readonly index: number; readonly resolve: () => void }[] = [];

  /** What a local read reads. */
  get commands(): number {
    return this.#commands;
  }

  position(): MachinePosition {
    return this.#position;
  }

  flushedIndex(): LogIndex {
    return 0 as LogIndex;
  }

  async flush(): Promise<void> {}

  /** Resolves once everything up to `index` has been applied. */
  reached(index: number): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push({ index, resolve });
      this.#tell();
    });
  }

  apply(entries: readonly AppliedEntry<Uint8Array>[]): readonly (Uint8Array | undefined)[] {
    let { configuration } = this.#position;
    for (const entry of entries) {
      if (entry.kind === "command") this.#commands += 1;
      if (entry.kind === "configuration") ({ configuration } = entry);
    }
    const last = entries.at(-1);
    if (last === undefined) return [];
    const { index, term } = last;
    this.#position = configuration === undefined ? { index, term } : { index, term, configuration };
    this.#tell();
    return entries.map(() => empty);
  }

  #tell(): void {
    if (this.#waiting.length === 0) return;
    const { index } = this.#position;
    for (const waiting of this.#waiting) if (waiting.index <= index) waiting.resolve();
    this.#waiting = this.#waiting.filter((waiting) => waiting.index > index);
  }

  async snapshot(): Promise<MachineSnapshot> {
    const position = this.#position;
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setFloat64(0, this.#commands);
    return {
      position,
      async *chunks() {
        yield bytes;
      },
      dispose() {},
    };
  }

  async restore(position: MachinePosition, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    for await (const chunk of chunks) {
      this.#commands = new DataView(chunk.buffer, chunk.byteOffset, chunk.byteLength).getFloat64(0);
    }
    this.#position = position;
    this.#tell();
  }
}
