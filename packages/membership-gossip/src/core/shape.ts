import { decode } from "cborg";
import type { NodeId } from "@revoada/fabric";
import { toHex } from "./bytes.ts";
import { Refusal } from "./refusal.ts";

const strictOptions = {
  strict: true,
  allowIndefinite: false,
  allowUndefined: false,
  allowInfinity: false,
  allowNaN: false,
  allowBigInt: false,
  rejectDuplicateMapKeys: true,
} as const;

/** Decodes hostile bytes into plain values, with no memory beyond what the bytes themselves pay for. */
export function decodeStrictly(bytes: Uint8Array, maxBytes: number): readonly unknown[] {
  if (bytes.length > maxBytes) throw new Refusal("oversize", `${bytes.length} bytes where ${maxBytes} are allowed`);
  let value: unknown;
  try {
    value = decode(bytes, strictOptions);
  } catch (error) {
    throw new Refusal("malformed", error instanceof Error ? error.message : "undecodable");
  }
  return asList(value, Number.MAX_SAFE_INTEGER);
}

/** A list of at most `maxLength` elements. */
export function asList(value: unknown, maxLength: number): readonly unknown[] {
  if (!Array.isArray(value)) throw new Refusal("malformed", "not a list");
  if (value.length > maxLength)
    throw new Refusal("oversize", `a list of ${value.length} where ${maxLength} are allowed`);
  return value;
}

/** A list of exactly `length` elements. */
export function asTuple(value: unknown, length: number): readonly unknown[] {
  const list = asList(value, length);
  if (list.length !== length) throw new Refusal("malformed", `a list of ${list.length} where ${length} are due`);
  return list;
}

/** An integer from 0 to 2^53 - 1. */
export function asCounter(value: unknown): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0)
    throw new Refusal("malformed", "not a counter");
  return value;
}

/** Bytes of exactly `length`. */
export function asBytes(value: unknown, length: number): Uint8Array {
  if (!(value instanceof Uint8Array) || value.length !== length) throw new Refusal("malformed", `not ${length} bytes`);
  return value;
}

/** A node id from its 32 bytes. */
export function asNodeId(value: unknown): NodeId {
  return toHex(asBytes(value, 32)) as NodeId;
}

/** A text of at most `maxLength` UTF-16 units. */
export function asText(value: unknown, maxLength: number): string {
  if (typeof value !== "string") throw new Refusal("malformed", "not a text");
  if (value.length > maxLength)
    throw new Refusal("oversize", `a text of ${value.length} where ${maxLength} are allowed`);
  return value;
}
