import { Encoder } from "cbor-x";
import { RaftBadFrameError } from "../errors.ts";

/** The version that every frame begins with. */
export const frameVersion = 1;

/** The most bytes of a group id. */
export const maxGroupBytes = 32;

const cbor = new Encoder({ useRecords: false, variableMapSize: true, tagUint8Array: false });

export function encodeFrameValue(value: readonly unknown[]): Uint8Array {
  return cbor.encode(value);
}

/** The head of a CBOR item of the major types that are used here (RFC 8949 §3), in its shortest form. */
function headOf(majorType: 2 | 4, length: number): Uint8Array {
  const type = majorType << 5;
  if (length < 24) return Uint8Array.of(type | length);
  if (length < 0x100) return Uint8Array.of(type | 24, length);
  if (length < 0x10000) return Uint8Array.of(type | 25, length >>> 8, length & 0xff);
  return Uint8Array.of(type | 26, length >>> 24, (length >>> 16) & 0xff, (length >>> 8) & 0xff, length & 0xff);
}

/** A value without its last byte, which is the head of something empty: what stands there instead follows. */
function withoutLast(value: readonly unknown[]): Uint8Array {
  const bytes = cbor.encode(value) as Uint8Array;
  return bytes.subarray(0, bytes.length - 1);
}

/** Tuples, each with its fields and, behind them, bytes that are its last element. */
export type TupleWithBytes = readonly [fields: readonly unknown[], bytes: Uint8Array | undefined];

const empty = new Uint8Array(0);

/**
 * Encodes `[...head, tuples]` as {@link encodeFrameValue} does, into memory of exactly its size: large blocks are copied once, and no
 * buffer grows around them.
 */
export function encodeFrameOfTuples(head: readonly unknown[], tuples: readonly TupleWithBytes[]): Uint8Array {
  const parts = [withoutLast([...head, []]), headOf(4, tuples.length)];
  for (const [fields, bytes] of tuples) {
    if (bytes === undefined) parts.push(cbor.encode(fields));
    else parts.push(withoutLast([...fields, empty]), headOf(2, bytes.length), bytes);
  }
  return Buffer.concat(parts);
}

/** Reads the elements of an untrusted array one by one, each with its check. Errors are `RAFT_BAD_FRAME`. */
export class TupleReader {
  readonly #values: readonly unknown[];
  readonly #what: string;
  #at = 0;

  constructor(value: unknown, what: string) {
    if (!Array.isArray(value)) throw new RaftBadFrameError(`${what} is not an array`);
    this.#values = value as readonly unknown[];
    this.#what = what;
  }

  #next(expected: string, fits: (value: unknown) => boolean): unknown {
    const value = this.#values[this.#at];
    if (!fits(value)) throw new RaftBadFrameError(`${this.#what}: element ${this.#at} is not ${expected}`);
    this.#at += 1;
    return value;
  }

  counter(): number {
    return this.#next(
      "a counter",
      (value) => typeof value === "number" && Number.isSafeInteger(value) && value >= 0,
    ) as number;
  }

  boolean(): boolean {
    return this.#next("a boolean", (value) => typeof value === "boolean") as boolean;
  }

  text(maxLength: number): string {
    return this.#next("a text", (value) => typeof value === "string" && value.length <= maxLength) as string;
  }

  bytes(maxLength: number = Infinity): Uint8Array {
    return this.#next("bytes", (value) => value instanceof Uint8Array && value.length <= maxLength) as Uint8Array;
  }

  list(maxLength: number): readonly unknown[] {
    return this.#next("a list", (value) => Array.isArray(value) && value.length <= maxLength) as readonly unknown[];
  }

  oneOf<T>(choices: readonly T[]): T {
    return choices[
      this.#next("a known choice", (value) => typeof value === "number" && choices[value] !== undefined) as number
    ] as T;
  }

  finish(): void {
    if (this.#at !== this.#values.length)
      throw new RaftBadFrameError(`${this.#what} has ${this.#values.length} elements, not ${this.#at}`);
  }
}

/** What a frame of another group or version comes to; both are dropped and counted. */
export class ForeignFrameError extends RaftBadFrameError {
  readonly reason: "version" | "group";

  constructor(reason: "version" | "group", what: string) {
    super(what);
    this.reason = reason;
  }
}

/** Opens a frame: checks version and group and returns a reader of what follows. Throws `RAFT_BAD_FRAME`. */
export function openFrame(bytes: Uint8Array, groupId: Uint8Array, what: string): TupleReader {
  let value: unknown;
  try {
    value = cbor.decode(bytes);
  } catch {
    throw new RaftBadFrameError(`${what} is not CBOR`);
  }
  const reader = new TupleReader(value, what);
  const version = reader.counter();
  if (version !== frameVersion)
    throw new ForeignFrameError("version", `${what} of version ${version}, this is ${frameVersion}`);
  const group = reader.bytes(maxGroupBytes);
  if (Buffer.compare(group, groupId) !== 0) throw new ForeignFrameError("group", `${what} of another group`);
  return reader;
}
