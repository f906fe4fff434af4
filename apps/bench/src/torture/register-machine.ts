import { createHash } from "node:crypto";
import type { RaftCodec } from "@revoada/consensus-raft";
import type { AppliedEntry, LogIndex, MachinePosition, MachineSnapshot, StateMachine, Term } from "@revoada/fabric";

/** Sets a register to a value that no other write ever sets: the number of the write itself, from 1 on. */
export interface Write {
  readonly id: number;
  readonly key: number;
}

/** What a write is told: how many writes the machine has taken with it. */
export type Ordinal = number;

/** Registers are numbered from 0. */
export const registerCount = 64;

const commandVersion = 1;
const commandHeaderBytes = 8;
const hashBytes = 32;
const snapshotVersion = 1;
const snapshotHeaderBytes = 8 + hashBytes + 4 * registerCount;
const chunkBytes = 256 * 1024;

/** A command of `bytes` bytes, zeros behind what it says. */
export function encodeWrite(write: Write, bytes: number = commandHeaderBytes): Uint8Array {
  const command = new Uint8Array(Math.max(bytes, commandHeaderBytes));
  const view = new DataView(command.buffer);
  view.setUint8(0, commandVersion);
  view.setUint8(1, write.key);
  view.setUint32(4, write.id);
  return command;
}

function decodeWrite(bytes: Uint8Array): Write {
  if (bytes.length < commandHeaderBytes || bytes[0] !== commandVersion) throw new Error("these bytes are no write");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const [key, id] = [view.getUint8(1), view.getUint32(4)];
  if (key >= registerCount || id === 0) throw new Error(`no write: register ${key}, value ${id}`);
  return { key, id };
}

function encodeOrdinal(ordinal: Ordinal): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, ordinal);
  return bytes;
}

function decodeOrdinal(bytes: Uint8Array): Ordinal {
  if (bytes.length !== 4) throw new Error(`an ordinal of ${bytes.length} bytes`);
  return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0);
}

/** Commands travel as their callers encoded them: the machine decodes. */
export const registerCodec: RaftCodec<Uint8Array, Ordinal> = {
  encodeCommand: (command) => command,
  decodeCommand: (bytes) => bytes,
  encodeResult: encodeOrdinal,
  decodeResult: decodeOrdinal,
};

/** Every write that a machine ever took, in order. */
export interface History {
  readonly ids: Uint32Array;
  readonly keys: Uint8Array;
  /** In hexadecimal: the hash over the hash before and the write, from zeros on. */
  readonly hash: string;
}

/** The hash after one more write. */
export function nextHash(hash: Uint8Array, write: Write): Uint8Array {
  return createHash("sha256").update(hash).update(encodeWrite(write)).digest();
}

/** Registers, and on wish the whole history of what was ever written to them. What was applied is gone after a restart. */
export class RegisterMachine implements StateMachine<Uint8Array, Ordinal> {
  readonly durable = false;
  readonly #keepsHistory: boolean;
  #position: MachinePosition = { index: 0 as LogIndex, term: 0 as Term };
  #count = 0;
  #hash: Uint8Array = new Uint8Array(hashBytes);
  #registers = new Uint32Array(registerCount);
  #ids: Uint32Array;
  #keys: Uint8Array;

  constructor(options: { readonly keepsHistory: boolean }) {
    this.#keepsHistory = options.keepsHistory;
    this.#ids = new Uint32Array(options.keepsHistory ? 1024 : 0);
    this.#keys = new Uint8Array(this.#ids.length);
  }

  position(): MachinePosition {
    return this.#position;
  }

  flushedIndex(): LogIndex {
    return 0 as LogIndex;
  }

  async flush(): Promise<void> {}

  /** The last value of a register, 0 where there was none, and how many writes the machine had taken then. */
  read(key: number): { readonly value: number; readonly ordinal: Ordinal } {
    return { value: this.#registers[key] ?? 0, ordinal: this.#count };
  }

  history(): History {
    return {
      ids: this.#ids.slice(0, this.#keepsHistory ? this.#count : 0),
      keys: this.#keys.slice(0, this.#keepsHistory ? this.#count : 0),
      hash: Buffer.from(this.#hash).toString("hex"),
    };
  }

  apply(entries: readonly AppliedEntry<Uint8Array>[]): readonly (Ordinal | undefined)[] {
    return entries.map((entry) => {
      const { index, term } = entry;
      const configuration = entry.kind === "configuration" ? entry.configuration : this.#position.configuration;
      this.#position = configuration === undefined ? { index, term } : { index, term, configuration };
      return entry.kind === "command" ? this.#write(decodeWrite(entry.command)) : undefined;
    });
  }

  #write(write: Write): Ordinal {
    if (this.#keepsHistory) {
      if (this.#count === this.#ids.length) this.#grow(2 * this.#count);
      this.#ids[this.#count] = write.id;
      this.#keys[this.#count] = write.key;
    }
    this.#count += 1;
    this.#registers[write.key] = write.id;
    this.#hash = nextHash(this.#hash, write);
    return this.#count;
  }

  #grow(length: number): void {
    const [ids, keys] = [this.#ids, this.#keys];
    this.#ids = new Uint32Array(length);
    this.#keys = new Uint8Array(length);
    this.#ids.set(ids);
    this.#keys.set(keys);
  }

  async snapshot(): Promise<MachineSnapshot> {
    const bytes = this.#encode();
    return {
      position: this.#position,
      async *chunks() {
        for (let at = 0; at < bytes.length; at += chunkBytes) yield bytes.subarray(at, at + chunkBytes);
      },
      dispose() {},
    };
  }

  #encode(): Uint8Array {
    const kept = this.#keepsHistory ? this.#count : 0;
    const bytes = new Uint8Array(snapshotHeaderBytes + 5 * kept);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, snapshotVersion);
    view.setUint32(4, this.#count);
    bytes.set(this.#hash, 8);
    this.#registers.forEach((value, key) => view.setUint32(8 + hashBytes + 4 * key, value));
    for (let at = 0; at < kept; at += 1) view.setUint32(snapshotHeaderBytes + 4 * at, this.#ids[at] as number);
    bytes.set(this.#keys.subarray(0, kept), snapshotHeaderBytes + 4 * kept);
    return bytes;
  }

  async restore(position: MachinePosition, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const parts: Uint8Array[] = [];
    for await (const chunk of chunks) parts.push(Uint8Array.from(chunk));
    const bytes = Buffer.concat(parts);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    if (bytes.length < snapshotHeaderBytes || view.getUint32(0) !== snapshotVersion)
      throw new Error("these bytes are no snapshot of registers");
    const count = view.getUint32(4);
    const kept = this.#keepsHistory ? count : 0;
    if (bytes.length !== snapshotHeaderBytes + 5 * kept)
      throw new Error(`a snapshot of ${count} writes in ${bytes.length} bytes`);
    this.#position = position;
    this.#count = count;
    this.#hash = Uint8Array.from(bytes.subarray(8, 8 + hashBytes));
    this.#registers = Uint32Array.from({ length: registerCount }, (_, key) => view.getUint32(8 + hashBytes + 4 * key));
    this.#ids = Uint32Array.from({ length: Math.max(kept, 1024) }, (_, at) =>
      at < kept ? view.getUint32(snapshotHeaderBytes + 4 * at) : 0,
    );
    this.#keys = new Uint8Array(this.#ids.length);
    this.#keys.set(bytes.subarray(snapshotHeaderBytes + 4 * kept));
  }
}
