import type { PlainValue } from "@revoada/fabric";
import { describeValue } from "@revoada/fabric";

/** Largest text or sequence of envelopes that is decoded. */
export const maxDocumentBytes: number = 3 * 1024 * 1024;
/** Deepest nesting of lists and maps. */
export const maxDepth = 64;
/** Most documents in one body. */
export const maxDocuments = 4096;

/** Names through which plain JavaScript objects can be bent. */
const refusedKeys: ReadonlySet<string> = new Set(["__proto__", "constructor", "prototype"]);

/** Why a text cannot stand in a document, undefined where it can. */
export function textFault(text: string): string | undefined {
  return text.isWellFormed() ? undefined : `${describeValue(text)} holds half of a surrogate pair`;
}

/** Why a key cannot stand in a document, undefined where it can. */
export function keyFault(key: string): string | undefined {
  return refusedKeys.has(key) ? `the key ${describeValue(key)} is refused` : textFault(key);
}

/** Why a number cannot stand in a document, undefined where it can: what would come back as another is refused. */
export function numberFault(value: number): string | undefined {
  if (!Number.isFinite(value)) return `${value} is not a number that every format can say`;
  if (Math.abs(value) > Number.MAX_SAFE_INTEGER) return "a number beyond 2^53 - 1 would be rounded, write it as text";
  return undefined;
}

/** A value that was refused, and why; adapters add source and position. */
export class PlainFault extends Error {}

/** What a format can say beyond what JSON can. */
export interface PlainOptions {
  readonly bytes: boolean;
}

/** A copy of an unknown value as a plain one: bounded depth, no prototypes, no numbers that a format would change. */
export function toPlain(value: unknown, options: PlainOptions, depth = 0): PlainValue {
  if (value === null || typeof value === "boolean") return value;
  if (typeof value === "string") return checked(value, textFault(value));
  // Minus zero comes back from JSON and YAML as zero.
  if (typeof value === "number") return checked(value + 0, numberFault(value));
  if (value instanceof Uint8Array) {
    return checked(new Uint8Array(value), options.bytes ? undefined : "bytes have no form in this format");
  }
  if (typeof value !== "object") throw new PlainFault(`${describeValue(value)} is not plain data`);
  if (depth >= maxDepth) throw new PlainFault(`more than ${maxDepth} levels`);
  if (Array.isArray(value)) return value.map((item) => toPlain(item, options, depth + 1));
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== null && prototype !== Object.prototype)
    throw new PlainFault("an instance of a class is not plain data");
  const plain: Record<string, PlainValue> = {};
  for (const [key, item] of Object.entries(value)) {
    plain[checked(key, keyFault(key))] = toPlain(item, options, depth + 1);
  }
  return plain;
}

function checked<T>(value: T, fault: string | undefined): T {
  if (fault !== undefined) throw new PlainFault(fault);
  return value;
}

/** True for what JSON calls an object. */
export function isPlainObject(value: PlainValue | undefined): value is Readonly<Record<string, PlainValue>> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array);
}
