import type { CatalogOperation, CatalogTransaction, Compare, Fence, LeaseId, LogIndex, Term } from "@revoada/fabric";
import { decodeCanonical, encodeCanonical, isBytes, isCounter } from "./cbor.ts";

/** A change of the catalog as it stands in the replicated log. */
export type CatalogCommand =
  | { readonly type: "txn"; readonly transaction: CatalogTransaction }
  /** Raises the floor and sweeps up to `sweep` records out of history. */
  | { readonly type: "compact"; readonly revision: number; readonly sweep: number; readonly fence?: Fence }
  | {
      readonly type: "restore-begin";
      readonly id: Uint8Array;
      readonly digest: Uint8Array;
      readonly entries: number;
    }
  /** `chunk` is a canonical list of [key, value], keys rising within it and from one chunk to the next. */
  | { readonly type: "restore-chunk"; readonly id: Uint8Array; readonly sequence: number; readonly chunk: Uint8Array }
  | { readonly type: "restore-commit"; readonly id: Uint8Array }
  | { readonly type: "grant"; readonly ttlMs: number; readonly duty?: string; readonly holder?: string }
  | { readonly type: "revoke"; readonly lease: LeaseId }
  /** Of the leader of `term`, for leases whose time is up by its clock. */
  | { readonly type: "expire"; readonly term: number; readonly leases: readonly LeaseId[] };

/** The numbers are the wire format and never change their meaning. */
const commandVersion = 1;
const kinds = {
  txn: 1,
  compact: 2,
  "restore-begin": 3,
  "restore-chunk": 4,
  "restore-commit": 5,
  grant: 6,
  revoke: 7,
  expire: 8,
} as const;
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
      return operation.lease === undefined
        ? [kind, operation.key, operation.value]
        : [kind, operation.key, operation.value, operation.lease];
    case "delete":
      return [kind, operation.key, operation.end ?? null];
    case "get":
      return [kind, operation.key, operation.end ?? null, operation.limit ?? null];
  }
}

/** What follows the other fields of a command under a fence; nothing without one. */
function fenceFields(fence: Fence | undefined): readonly unknown[] {
  return fence === undefined ? [] : [[fence.duty, fence.token.term, fence.token.index]];
}

function transactionFields({ compare, then, else: otherwise, fence }: CatalogTransaction): readonly unknown[] {
  return [
    compare.map((one) => [one.key, targets.indexOf(one.target), relations.indexOf(one.is), one.value]),
    then.map(operationFields),
    otherwise.map(operationFields),
    ...fenceFields(fence),
  ];
}

function commandFields(command: CatalogCommand): readonly unknown[] {
  switch (command.type) {
    case "txn":
      return transactionFields(command.transaction);
    case "compact":
      return [command.revision, command.sweep, ...fenceFields(command.fence)];
    case "restore-begin":
      return [command.id, command.digest, command.entries];
    case "restore-chunk":
      return [command.id, command.sequence, command.chunk];
    case "restore-commit":
      return [command.id];
    case "grant":
      return [command.ttlMs, command.duty ?? null, command.holder ?? null];
    case "revoke":
      return [command.lease];
    case "expire":
      return [command.term, command.leases];
  }
}

/** True where a release without leases would not know the command. */
export function usesLeases(command: CatalogCommand): boolean {
  switch (command.type) {
    case "txn": {
      const { then, else: otherwise, fence } = command.transaction;
      return (
        fence !== undefined || [...then, ...otherwise].some((one) => one.type === "put" && one.lease !== undefined)
      );
    }
    case "compact":
      return command.fence !== undefined;
    case "restore-begin":
    case "restore-chunk":
    case "restore-commit":
      return false;
    case "grant":
    case "revoke":
    case "expire":
      return true;
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
    if (!isBytes(second)) return undefined;
    if (value.length === 3) return { type: "put", key, value: second };
    return value.length === 4 && isCounter(third)
      ? { type: "put", key, value: second, lease: third as LeaseId }
      : undefined;
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

function decodeFence(value: unknown): Fence | undefined {
  if (!Array.isArray(value) || value.length !== 3) return undefined;
  const [duty, term, index] = value as unknown[];
  if (typeof duty !== "string" || !isCounter(term) || !isCounter(index)) return undefined;
  return { duty, token: { term: term as Term, index: index as LogIndex } };
}

function decodeTransaction(fields: readonly unknown[]): CatalogCommand | undefined {
  if (fields.length < 3 || fields.length > 4) return undefined;
  const fence = fields.length === 4 ? decodeFence(fields[3]) : undefined;
  if (fields.length === 4 && fence === undefined) return undefined;
  const compare = decodeList(fields[0], decodeCompare);
  const then = decodeList(fields[1], decodeOperation);
  const otherwise = decodeList(fields[2], decodeOperation);
  if (compare === undefined || then === undefined || otherwise === undefined) return undefined;
  return { type: "txn", transaction: { compare, then, else: otherwise, ...(fence === undefined ? {} : { fence }) } };
}

function decodeCompaction([revision, sweep, fenced]: readonly unknown[], count: number): CatalogCommand | undefined {
  if (!isCounter(revision) || !isCounter(sweep)) return undefined;
  if (count === 2) return { type: "compact", revision, sweep };
  const fence = count === 3 ? decodeFence(fenced) : undefined;
  return fence === undefined ? undefined : { type: "compact", revision, sweep, fence };
}

function decodeLeaseCommand(kind: unknown, fields: readonly unknown[]): CatalogCommand | undefined {
  const [first, second, third] = fields;
  if (!isCounter(first)) return undefined;
  if (kind === kinds.revoke) return fields.length === 1 ? { type: "revoke", lease: first as LeaseId } : undefined;
  if (kind === kinds.expire) {
    const leases =
      fields.length === 2 ? decodeList(second, (id) => (isCounter(id) ? (id as LeaseId) : undefined)) : undefined;
    return leases === undefined ? undefined : { type: "expire", term: first, leases };
  }
  if (kind !== kinds.grant || fields.length !== 3) return undefined;
  if ((second !== null && typeof second !== "string") || (third !== null && typeof third !== "string"))
    return undefined;
  return {
    type: "grant",
    ttlMs: first,
    ...(second === null ? {} : { duty: second }),
    ...(third === null ? {} : { holder: third }),
  };
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
      return decodeCompaction([first, second, third], count);
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
      return decodeLeaseCommand(all[1], (all as unknown[]).slice(2));
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
