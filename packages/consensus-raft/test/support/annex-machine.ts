import type { AnnexRecord, AnnexStateMachine, AppliedEntry, MachinePosition, MachineSnapshot } from "@revoada/fabric";
import { ListMachine } from "./replicas.ts";

type Kept = AnnexRecord & { readonly value: Uint8Array };

/** Durable as far as the test keeps the object, with its annex beside its commands, also in snapshots. */
export class AnnexListMachine extends ListMachine implements AnnexStateMachine<string, string> {
  readonly keepsAnnex = true;
  readonly #records = new Map<string, Kept>();

  constructor() {
    super(true);
  }

  annex(): Iterable<Kept> {
    return this.#records.values();
  }

  applyWithAnnex(
    entries: readonly AppliedEntry<string>[],
    annexOf: (results: readonly (string | undefined)[]) => readonly AnnexRecord[],
  ): readonly (string | undefined)[] {
    const results = this.apply(entries);
    this.#keep(annexOf(results));
    return results;
  }

  #keep(records: readonly AnnexRecord[]): void {
    for (const { key, value } of records) {
      const name = Buffer.from(key).toString("hex");
      if (value === undefined) this.#records.delete(name);
      else this.#records.set(name, { key, value });
    }
  }

  override async snapshot(): Promise<MachineSnapshot> {
    const { position } = await super.snapshot();
    const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
    const records = [...this.#records.values()].map(({ key, value }) => [hex(key), hex(value)]);
    const bytes = Buffer.from(JSON.stringify({ commands: this.commands, records }));
    return {
      position,
      async *chunks() {
        yield bytes;
      },
      dispose() {},
    };
  }

  override async restore(position: MachinePosition, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const parts: Uint8Array[] = [];
    for await (const chunk of chunks) parts.push(chunk);
    const { commands, records } = JSON.parse(Buffer.concat(parts).toString()) as {
      commands: string[];
      records: [string, string][];
    };
    const own = (async function* () {
      yield Buffer.from(JSON.stringify(commands));
    })();
    await super.restore(position, own);
    this.#records.clear();
    this.#keep(records.map(([key, value]) => ({ key: Buffer.from(key, "hex"), value: Buffer.from(value, "hex") })));
  }
}
