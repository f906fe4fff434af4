import type { CatalogOperation, CatalogTransaction, Compare } from "@revoada/fabric";
import { decodeCanonical, encodeCanonical, isBytes, isCounter } from "./cbor.ts";

/** A change of the catalog as it stands in the replicated log. */
export type CatalogCommand =
  | { readonly type: "txn"; readonly transaction: CatalogTransaction }
  /** Raises the floor and sweeps up to `sweep` records out of history. */
  | { readonly type: "compact"; readonly revision: number; readonly sweep: number }
  | {
      readonly type: "restore-begin";
      readonly id: Uint8Array;
      readonly digest: Uint8Array;
      readonly entries: number;
    }
  /** `chunk` is a canonical list of [key, value], keys rising within it and from one chunk to the next. */
  | { readonly type: "restore-chunk"; readonly id: Uint8Array; readonly sequence: number; readonly chunk: Uint8Array }
  | { readonly type: "restore-commit"; readonly id: Uint8Array };

/** The numbers are the wire format and never change their meaning. */
const commandVersion = 1;
const kinds = { txn: 1, compact: 2, "restore-begin": 3, "restore-chunk": 4, "restore-commit": 5 } as const;
const operationKinds = { put: 0, delete: 1, get: 2 } as const;
const targets = ["createRevision", "modRevision", "version", "value"] as const;
const relations = ["=", "!=", "<", ">"] as const;

/** Length of the identity of a restore. */
export const stageIdBytes = 16;
export const digestBytes = 32;

function operationFields(operation: CatalogOperation): readonly unknown[] {
  const kind = operationKinds[operation.type];
  switch (operation.type) {
    case "put":
      return [kind, operation.key, operation.value];
    case "delete":
      return [kind, operation.key, operation.end ?? null];
    case "get":
      return [kind, operation.key, operation.end ?? null, operation.limit ?? null];
  }
}

function transactionFields({ compare, then, else: otherwise }: CatalogTransaction): readonly unknown[] {
  return [
    compare.map((one) => [one.key, targets.indexOf(one.target), relations.indexOf(one.is), one.value]),
    then.map(operationFields),
    otherwise.map(operationFields),
  ];
}

function commandFields(command: CatalogCommand): readonly unknown[] {
  switch (command.type) {
    case "txn":
      return transactionFields(command.transaction);
    case "compact":
      return [command.revision, command.sweep];
    case "restore-begin":
      return [command.id, command.digest, command.entries];
    case "restore-chunk":
      return [command.id, command.sequence, command.chunk];
    case "restore-commit":
      return [command.id];
  }
}

export function encodeCommand(command: CatalogCommand): Uint8Array {
  return encodeCanonical([commandVersion, kinds[command.type], ...commandFields(command)]);
}

function decodeCompare(value: unknown): Compare | undefined {
  if (!Array.isArray(value) || value.length !== 4) return undefined;
  const [key, targetIndex, relationIndex, operand] = value as unknown[];
  const target = targets[targetIndex as number];
  const is = relations[relationIndex as number];
  if (!isBytes(key) || target === undefined || is === undefined) return undefined;
  if (target !== "value") return isCounter(operand) ? { key, target, is, value: operand } : undefined;
  if (!isBytes(operand) || (is !== "=" && is !== "!=")) return undefined;
  return { key, target, is, value: operand };
}

function decodeOperation(value: unknown): CatalogOperation | undefined {
  if (!Array.isArray(value)) return undefined;
  const [kind, key, second, third] = value as unknown[];
  if (!isBytes(key)) return undefined;
  if (kind === operationKinds.put) {
    return value.length === 3 && isBytes(second) ? { type: "put", key, value: second } : undefined;
  }
  if (second !== null && !isBytes(second)) return undefined;
  const end = second === null ? {} : { end: second };
  if (kind === operationKinds.delete) return value.length === 3 ? { type: "delete", key, ...end } : undefined;
  if (kind !== operationKinds.get || value.length !== 4) return undefined;
  if (third !== null && !isCounter(third)) return undefined;
  return { type: "get", key, ...end, ...(third === null ? {} : { limit: third }) };
}

/** Decodes each item of a list; undefined where one of them is not what it should be. */
function decodeList<T>(value: unknown, decodeItem: (item: unknown) => T | undefined): readonly T[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const items: T[] = [];
  for (const item of value as unknown[]) {
    const decoded = decodeItem(item);
    if (decoded === undefined) return undefined;
    items.push(decoded);
  }
  return items;
}

function decodeTransaction(fields: readonly unknown[]): CatalogCommand | undefined {
  if (fields.length !== 3) return undefined;
  const compare = decodeList(fields[0], decodeCompare);
  const then = decodeList(fields[1], decodeOperation);
  const otherwise = decodeList(fields[2], decodeOperation);
  if (compare === undefined || then === undefined || otherwise === undefined) return undefined;
  return { type: "txn", transaction: { compare, then, else: otherwise } };
}

function isBytesOf(value: unknown, length: number): value is Uint8Array {
  return isBytes(value) && value.length === length;
}

/** Reads the bytes of a command; undefined where they are none that this release knows. Limits are not checked here. */
export function decodeCommand(bytes: Uint8Array): CatalogCommand | undefined {
  const all = decodeCanonical(bytes);
  if (!Array.isArray(all) || all[0] !== commandVersion) return undefined;
  const [first, second, third] = (all as unknown[]).slice(2);
  const count = all.length - 2;
  switch (all[1]) {
    case kinds.txn:
      return decodeTransaction((all as unknown[]).slice(2));
    case kinds.compact:
      return count === 2 && isCounter(first) && isCounter(second)
        ? { type: "compact", revision: first, sweep: second }
        : undefined;
    case kinds["restore-begin"]:
      return count === 3 && isBytesOf(first, stageIdBytes) && isBytesOf(second, digestBytes) && isCounter(third)
        ? { type: "restore-begin", id: first, digest: second, entries: third }
        : undefined;
    case kinds["restore-chunk"]:
      return count === 3 && isBytesOf(first, stageIdBytes) && isCounter(second) && isBytes(third)
        ? { type: "restore-chunk", id: first, sequence: second, chunk: third }
        : undefined;
    case kinds["restore-commit"]:
      return count === 1 && isBytesOf(first, stageIdBytes) ? { type: "restore-commit", id: first } : undefined;
    default:
      return undefined;
  }
}

/** One key and its value, as a restore stages them. */
export interface StagedEntry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

export function encodeChunk(entries: readonly StagedEntry[]): Uint8Array {
  return encodeCanonical(entries.map(({ key, value }) => [key, value]));
}

export function decodeChunk(bytes: Uint8Array): readonly StagedEntry[] | undefined {
  return decodeList(decodeCanonical(bytes), (item) => {
    if (!Array.isArray(item) || item.length !== 2) return undefined;
    const [key, value] = item as unknown[];
    return isBytes(key) && isBytes(value) ? { key, value } : undefined;
  });
}
