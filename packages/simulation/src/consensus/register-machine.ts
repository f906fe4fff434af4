import type {
  AnnexRecord,
  AnnexStateMachine,
  AppliedEntry,
  LogIndex,
  MachinePosition,
  MachineSnapshot,
  Term,
} from "@revoada/fabric";
import type { RaftCodec } from "@revoada/consensus-raft";
import { applyCall, emptyValue, type Call } from "../linearizability/operation.ts";

/** What goes through the log: one call of one client on one register. */
export interface RegisterCommand {
  readonly id: number;
  readonly key: string;
  readonly call: Call;
}

const letters = { get: "g", put: "p", "compare-and-swap": "c", append: "a" } as const;

function encodeCommand({ id, key, call }: RegisterCommand): Uint8Array {
  const expected = call.kind === "compare-and-swap" ? call.expected : "";
  const value = call.kind === "get" ? "" : call.value;
  return Buffer.from(`${id}|${letters[call.kind]}|${key}|${expected}|${value}`, "latin1");
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}

function decodeCommand(bytes: Uint8Array): RegisterCommand {
  const [id = "", letter = "", key = "", expected = "", value = ""] = textOf(bytes).split("|");
  return { id: Number(id), key, call: callOf(letter, expected, value) };
}

function callOf(letter: string, expected: string, value: string): Call {
  switch (letter) {
    case "g":
      return { kind: "get" };
    case "p":
      return { kind: "put", value };
    case "a":
      return { kind: "append", value };
    case "c":
      return { kind: "compare-and-swap", expected, value };
    default:
      throw new Error(`a command of an unknown kind: ${JSON.stringify(letter)}`);
  }
}

/** Commands and answers as bytes. Values hold neither `|` nor anything beyond Latin-1. */
export const registerCodec: RaftCodec<RegisterCommand, string> = {
  encodeCommand,
  decodeCommand,
  encodeResult: (result) => Buffer.from(result, "latin1"),
  decodeResult: textOf,
};

/** FNV-1a over UTF-16 code units. */
function hashText(text: string, start: number = 0x81_1c_9d_c5): number {
  let hash = start;
  for (let at = 0; at < text.length; at += 1) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01_00_01_93);
  return hash >>> 0;
}

type KeptRecord = AnnexRecord & { readonly value: Uint8Array };

/** Registers, and which operation was applied where. All of it is replicated, and all of it is in the hash. */
export class Registers {
  readonly #values = new Map<string, string>();
  /** Operation id → index at which it took effect. */
  readonly applied: Map<number, number> = new Map();
  /** What the log asks a durable machine to keep beside them. */
  readonly #annex = new Map<string, KeptRecord>();
  #hash = 0;

  /** Equal for equal states, and kept up to date change by change. */
  get hash(): number {
    return this.#hash;
  }

  get(key: string): string {
    return this.#values.get(key) ?? emptyValue;
  }

  /** Applies a command; undefined where this very operation was applied before. */
  apply({ id, key, call }: RegisterCommand, index: number): string | undefined {
    if (this.applied.has(id)) return undefined;
    this.#note(id, index);
    const before = this.get(key);
    const { state, answer } = applyCall(before, call);
    if (state !== before) this.#set(key, before, state);
    return answer;
  }

  get annex(): Iterable<KeptRecord> {
    return this.#annex.values();
  }

  keep(records: readonly AnnexRecord[]): void {
    for (const { key, value } of records) {
      const name = textOf(key);
      if (value === undefined) this.#annex.delete(name);
      else this.#annex.set(name, { key, value });
    }
  }

  copy(): Registers {
    const copy = new Registers();
    for (const [key, value] of this.#values) copy.#values.set(key, value);
    for (const [id, index] of this.applied) copy.applied.set(id, index);
    for (const [name, record] of this.#annex) copy.#annex.set(name, record);
    copy.#hash = this.#hash;
    return copy;
  }

  encode(): Uint8Array {
    const values = [...this.#values].toSorted(([left], [right]) => (left < right ? -1 : 1));
    const annex = [...this.#annex.values()].map(({ key, value }) => [textOf(key), textOf(value)]);
    const text = JSON.stringify({ values, annex });
    const bytes = Buffer.alloc(4 + text.length + 8 * this.applied.size);
    bytes.writeUInt32LE(text.length, 0);
    bytes.write(text, 4, "latin1");
    let at = 4 + text.length;
    for (const [id, index] of this.applied) {
      bytes.writeUInt32LE(id, at);
      bytes.writeUInt32LE(index, at + 4);
      at += 8;
    }
    return bytes;
  }

  static decode(bytes: Buffer): Registers {
    const registers = new Registers();
    const length = bytes.readUInt32LE(0);
    const { values, annex } = JSON.parse(bytes.toString("latin1", 4, 4 + length)) as {
      readonly values: readonly (readonly [string, string])[];
      readonly annex: readonly (readonly [string, string])[];
    };
    for (const [key, value] of values) registers.#set(key, emptyValue, value);
    registers.keep(
      annex.map(([key, value]) => ({ key: Buffer.from(key, "latin1"), value: Buffer.from(value, "latin1") })),
    );
    for (let at = 4 + length; at < bytes.length; at += 8)
      registers.#note(bytes.readUInt32LE(at), bytes.readUInt32LE(at + 4));
    return registers;
  }

  #note(id: number, index: number): void {
    this.applied.set(id, index);
    this.#hash = (this.#hash ^ Math.imul(id + 1, 0x9e_37_79_b9) ^ Math.imul(index, 0x85_eb_ca_6b)) >>> 0;
  }

  #set(key: string, before: string, value: string): void {
    this.#values.set(key, value);
    const keyHash = hashText(key);
    if (before !== emptyValue) this.#hash ^= hashText(before, keyHash);
    this.#hash = (this.#hash ^ hashText(value, keyHash)) >>> 0;
  }
}

/** What survives the end of a process: registers and position change together, or not at all. */
interface Saved {
  readonly registers: Registers;
  readonly position: MachinePosition;
}

const nothing: MachinePosition = { index: 0 as LogIndex, term: 0 as Term };

/** What of a durable machine outlives its process. One belongs to each disk. */
export class MachineDisk {
  #flushed: Saved = { registers: new Registers(), position: nothing };
  #latest: Saved = this.#flushed;

  /** What the next process finds. */
  load(): Saved {
    return { registers: this.#flushed.registers.copy(), position: this.#flushed.position };
  }

  get flushedIndex(): LogIndex {
    return this.#flushed.position.index;
  }

  /** Notes the newest state, which a crash may or may not keep. */
  wrote(state: Saved): void {
    this.#latest = state;
  }

  flush(): void {
    this.#flushed = { registers: this.#latest.registers.copy(), position: this.#latest.position };
    this.#latest = this.#flushed;
  }

  /** Ends the process: what was not flushed is kept or lost, whole transactions at a time. */
  crash(keepsUnflushed: boolean): void {
    if (keepsUnflushed) this.flush();
    else this.#latest = this.#flushed;
  }
}

/** What the world around a machine decides, and is told. */
export interface MachineSurroundings {
  /** Where its state survives restarts; undefined for a machine that does not. */
  readonly disk: MachineDisk | undefined;
  /** How long applying takes now; undefined for an answer in the same turn. */
  applyDelayMs(): number | undefined;
  /** Between two chunks of a snapshot. */
  chunkDelayMs(): number | undefined;
  wait(delayMs: number): Promise<void>;
  /** An entry came that is not the one after `position`. */
  onGap(index: number, position: number): void;
  onApplied(entry: AppliedEntry<RegisterCommand>, hash: number): void;
  onRestored(position: MachinePosition, hash: number): void;
}

const chunkBytes = 512;

type Entries = readonly AppliedEntry<RegisterCommand>[];
type Results = readonly (string | undefined)[];

/** A machine of registers whose every step is told to the world. */
export class RegisterMachine implements AnnexStateMachine<RegisterCommand, string> {
  readonly durable: boolean;
  readonly keepsAnnex = true;
  readonly #around: MachineSurroundings;
  #registers: Registers;
  #position: MachinePosition;

  constructor(around: MachineSurroundings) {
    this.#around = around;
    this.durable = around.disk !== undefined;
    const saved = around.disk?.load() ?? { registers: new Registers(), position: nothing };
    this.#registers = saved.registers;
    this.#position = saved.position;
  }

  get registers(): Registers {
    return this.#registers;
  }

  position(): MachinePosition {
    return this.#position;
  }

  flushedIndex(): LogIndex {
    return this.#around.disk?.flushedIndex ?? (0 as LogIndex);
  }

  async flush(): Promise<void> {
    await this.#pause(this.#around.chunkDelayMs());
    this.#around.disk?.flush();
  }

  annex(): Iterable<KeptRecord> {
    return this.#registers.annex;
  }

  apply(entries: Entries): Results | Promise<Results> {
    return this.#applySoon(entries, () => []);
  }

  applyWithAnnex(entries: Entries, annexOf: (results: Results) => readonly AnnexRecord[]): Results | Promise<Results> {
    return this.#applySoon(entries, annexOf);
  }

  #applySoon(entries: Entries, annexOf: (results: Results) => readonly AnnexRecord[]): Results | Promise<Results> {
    const delayMs = this.#around.applyDelayMs();
    if (delayMs === undefined) return this.#applyNow(entries, annexOf);
    return this.#around.wait(delayMs).then(() => this.#applyNow(entries, annexOf));
  }

  #applyNow(entries: Entries, annexOf: (results: Results) => readonly AnnexRecord[]): Results {
    const results = entries.map((entry) => {
      const { index, term } = entry;
      if (index !== this.#position.index + 1) {
        this.#around.onGap(index, this.#position.index);
        throw new Error(`entry ${index} follows ${this.#position.index}`);
      }
      const configuration = entry.kind === "configuration" ? entry.configuration : this.#position.configuration;
      this.#position = { index, term, ...(configuration && { configuration }) };
      const result = entry.kind === "command" ? (this.#registers.apply(entry.command, index) ?? "repeated") : undefined;
      this.#around.onApplied(entry, this.#registers.hash);
      return result;
    });
    this.#registers.keep(annexOf(results));
    this.#around.disk?.wrote({ registers: this.#registers, position: this.#position });
    return results;
  }

  async snapshot(): Promise<MachineSnapshot> {
    const bytes = this.#registers.encode();
    const pause = (): Promise<void> => this.#pause(this.#around.chunkDelayMs());
    return {
      position: this.#position,
      async *chunks() {
        for (let at = 0; at < bytes.length; at += chunkBytes) {
          await pause();
          yield bytes.subarray(at, at + chunkBytes);
        }
      },
      dispose: () => undefined,
    };
  }

  async restore(position: MachinePosition, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const parts: Uint8Array[] = [];
    for await (const chunk of chunks) parts.push(chunk);
    this.#registers = Registers.decode(Buffer.concat(parts));
    this.#position = position;
    this.#around.disk?.wrote({ registers: this.#registers, position });
    this.#around.disk?.flush();
    this.#around.onRestored(position, this.#registers.hash);
  }

  async #pause(delayMs: number | undefined): Promise<void> {
    if (delayMs !== undefined) await this.#around.wait(delayMs);
  }
}
