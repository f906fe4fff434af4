import { describeValue } from "@revoada/fabric";
import { NotCanonicalError, UnknownVersionError } from "../errors.ts";
import type { CanonicalLimits, CanonicalValue } from "./canonical.ts";
import { copyBytes, decodeViews } from "./canonical.ts";
import { hexOf } from "./hash.ts";

const encoder = new TextEncoder();
// One line for people and terminals: no control characters, no line or paragraph separators.
const controlCharacters = /[\p{Cc}\u2028\u2029]/u;

/** True where a text has at most so many bytes in UTF-8, which has at most three for each UTF-16 unit. */
function fitsInto(text: string, maxBytes: number): boolean {
  return text.length * 3 <= maxBytes || encoder.encode(text).length <= maxBytes;
}

/** What a record is: the first text of its bytes, so that bytes signed as one thing are never taken for another. */
export type RecordKind =
  | "genesis"
  | "command"
  | "block"
  | "seal"
  | "seal-statement"
  | "token"
  | "token-proof"
  | "succession"
  | "approval"
  | "cosign-statement"
  | "cosignature"
  | "state"
  | "checkpoint"
  | "hop"
  | "proof"
  | "export"
  | "export-statement";

/** The domain separation string of a kind of record; it ends with the version. */
export function domainOf(kind: RecordKind): string {
  return `revoada/${kind}/1`;
}

/** Opens the bytes of a record: a canonical list whose first item is its domain. */
export function openRecord(bytes: Uint8Array, kind: RecordKind, limits: CanonicalLimits): FieldList {
  const value = decodeViews(bytes, limits);
  const domain: unknown = Array.isArray(value) ? (value as readonly unknown[])[0] : undefined;
  if (!Array.isArray(value) || typeof domain !== "string") throw new NotCanonicalError(`the bytes are not a ${kind}`);
  if (domain !== domainOf(kind)) {
    const prefix = `revoada/${kind}/`;
    if (domain.startsWith(prefix) && /^[1-9][0-9]{0,8}$/.test(domain.slice(prefix.length))) {
      throw new UnknownVersionError(
        `a ${kind} of version ${domain.slice(prefix.length)}, this program knows version 1`,
      );
    }
    throw new NotCanonicalError(`expected a ${kind}, got ${describeValue(domain)}`);
  }
  return new FieldList((value as readonly CanonicalValue[]).slice(1), kind);
}

/** Takes the items of a decoded list one by one, each checked; what is missing or left over is refused. */
export class FieldList {
  readonly #items: readonly CanonicalValue[];
  readonly #what: string;
  #next = 0;

  constructor(value: CanonicalValue, what: string) {
    if (!Array.isArray(value)) throw new NotCanonicalError(`${what}: expected a list, got ${describeValue(value)}`);
    this.#items = value as readonly CanonicalValue[];
    this.#what = what;
  }

  #take(name: string, expected: string, fits: (value: CanonicalValue) => boolean): CanonicalValue {
    const value = this.#items[this.#next];
    if (value === undefined || !fits(value)) this.#refuse(name, expected);
    this.#next += 1;
    return value;
  }

  #refuse(name: string, expected: string): never {
    const value = this.#items[this.#next];
    throw new NotCanonicalError(`${this.#what}.${name}: expected ${expected}, got ${describeValue(value)}`);
  }

  /** An integer from `least` to 2^53 - 1. */
  counter(name: string, least = 0): number {
    const fits = (value: CanonicalValue): boolean =>
      typeof value === "number" && Number.isSafeInteger(value) && value >= least;
    return this.#take(name, `an integer from ${least}`, fits) as number;
  }

  bytes(name: string, length: { readonly least: number; readonly most: number }): Uint8Array {
    // A copy: what is kept must not change with, or keep alive, the buffer that it came in.
    return copyBytes(this.view(name, length));
  }

  /** As {@link FieldList.bytes}, without a copy: for what is read on and not kept. */
  view(name: string, length: { readonly least: number; readonly most: number }): Uint8Array {
    const value = this.#items[this.#next];
    if (!(value instanceof Uint8Array) || value.length < length.least || value.length > length.most)
      this.#refuse(name, `${length.least} to ${length.most} bytes`);
    this.#next += 1;
    return value;
  }

  optionalBytes(name: string, length: { readonly least: number; readonly most: number }): Uint8Array | undefined {
    return this.#skipNull() ? undefined : this.bytes(name, length);
  }

  optionalView(name: string, length: { readonly least: number; readonly most: number }): Uint8Array | undefined {
    return this.#skipNull() ? undefined : this.view(name, length);
  }

  /** An id of `length` bytes, in hex. */
  id<T extends string>(name: string, length: number): T {
    return hexOf(this.view(name, { least: length, most: length })) as string as T;
  }

  optionalId<T extends string>(name: string, length: number): T | undefined {
    return this.#skipNull() ? undefined : this.id<T>(name, length);
  }

  /** One line of text of at most `maxBytes` in UTF-8. */
  text(name: string, maxBytes: number): string {
    const fits = (value: CanonicalValue): boolean =>
      typeof value === "string" && !controlCharacters.test(value) && fitsInto(value, maxBytes);
    return this.#take(name, `one line of at most ${maxBytes} bytes`, fits) as string;
  }

  oneOf<T extends string>(name: string, choices: readonly T[]): T {
    const fits = (value: CanonicalValue): boolean => (choices as readonly CanonicalValue[]).includes(value);
    return this.#take(name, `one of ${choices.join(", ")}`, fits) as T;
  }

  optionalOneOf<T extends string>(name: string, choices: readonly T[]): T | undefined {
    return this.#skipNull() ? undefined : this.oneOf(name, choices);
  }

  list(name: string, count: { readonly least: number; readonly most: number }): readonly CanonicalValue[] {
    const fits = (value: CanonicalValue): boolean =>
      Array.isArray(value) && value.length >= count.least && value.length <= count.most;
    return this.#take(name, `a list of ${count.least} to ${count.most}`, fits) as readonly CanonicalValue[];
  }

  optionalList(
    name: string,
    count: { readonly least: number; readonly most: number },
  ): readonly CanonicalValue[] | undefined {
    return this.#skipNull() ? undefined : this.list(name, count);
  }

  /** True where items are left: for fields that stand at the end of a record, or do not stand there at all. */
  hasMore(): boolean {
    return this.#next < this.#items.length;
  }

  /** Refuses items that nobody asked for. */
  finish(): void {
    const extra = this.#items.length - this.#next;
    if (extra > 0) throw new NotCanonicalError(`${this.#what}: ${extra} fields too many`);
  }

  #skipNull(): boolean {
    if (this.#items[this.#next] !== null) return false;
    this.#next += 1;
    return true;
  }
}

/** A list of different ids, checked. */
export function idList<T extends string>(
  values: readonly CanonicalValue[],
  length: number,
  what: string,
): readonly T[] {
  const fields = new FieldList(values, what);
  const ids = values.map((_, index) => fields.id<T>(String(index), length));
  if (new Set(ids).size !== ids.length) throw new NotCanonicalError(`${what}: one id stands twice`);
  return ids;
}
