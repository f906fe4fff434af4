import type {
  CatalogEntry,
  Lease,
  LeaseId,
  LogIndex,
  OperationResult,
  Revision,
  Term,
  TransactionResult,
} from "@revoada/fabric";
import { decodeCanonical, encodeCanonical, isBytes, isCounter } from "./cbor.ts";

/** Why a command was not carried out. `numbers` are those of the message, for the error that callers get. */
export interface Refusal {
  readonly code:
    | "CATALOG_READ_ONLY"
    | "CATALOG_TOO_LARGE"
    | "CATALOG_INVALID_TRANSACTION"
    | "CATALOG_COMPACTED"
    | "CATALOG_FUTURE_REVISION"
    | "CATALOG_INVALID_COMMAND"
    | "CATALOG_RESTORE_SUPERSEDED"
    | "CATALOG_LEASE_NOT_FOUND"
    | "CATALOG_LEASE_LIMIT"
    | "CATALOG_DUTY_HELD"
    | "CATALOG_FENCED"
    | "CATALOG_EXPIRY_REFUSED"
    | "RAFT_NOT_LEADER";
  readonly message: string;
  readonly numbers?: readonly [number, number];
}

export type CommandOutcome =
  | { readonly type: "refused"; readonly refusal: Refusal }
  | { readonly type: "txn"; readonly result: TransactionResult }
  | { readonly type: "compacted"; readonly floor: number; readonly done: boolean }
  | { readonly type: "staged" }
  | { readonly type: "restored"; readonly revision: number }
  | { readonly type: "granted"; readonly lease: Lease }
  /** These leases have ended. */
  | { readonly type: "ended"; readonly leases: readonly LeaseId[]; readonly revision: number }
  /** What a leader answers, without an entry of the log: how long the lease has. */
  | { readonly type: "counted"; readonly remainingMs: number };

const resultVersion = 1;
const kinds = { refused: 0, txn: 1, compacted: 2, staged: 3, restored: 4, granted: 5, ended: 6, counted: 7 } as const;

function entryFields({ key, value, createRevision, modRevision, version, lease }: CatalogEntry): readonly unknown[] {
  const fields = [key, value, createRevision, modRevision, version];
  return lease === undefined ? fields : [...fields, lease];
}

export function leaseFields({ id, ttlMs, keys, token, duty, holder }: Lease): readonly unknown[] {
  return [id, ttlMs, keys, token.term, token.index, duty ?? null, holder ?? null];
}

export function decodeLease(value: unknown): Lease | undefined {
  if (!Array.isArray(value) || value.length !== 7) return undefined;
  const [duty, holder] = (value as unknown[]).slice(5);
  const numbers = (value as unknown[]).slice(0, 5);
  if (!numbers.every(isCounter)) return undefined;
  if ((duty !== null && typeof duty !== "string") || (holder !== null && typeof holder !== "string")) return undefined;
  const [id, ttlMs, keys, term, index] = numbers as [number, number, number, number, number];
  return {
    id: id as LeaseId,
    ttlMs,
    keys,
    token: { term: term as Term, index: index as LogIndex },
    ...(duty === null ? {} : { duty }),
    ...(holder === null ? {} : { holder }),
  };
}

function resultFields(result: OperationResult): readonly unknown[] {
  switch (result.type) {
    case "put":
      return [0, result.previous === undefined ? null : entryFields(result.previous)];
    case "delete":
      return [1, result.deleted];
    case "get":
      return [2, result.entries.map(entryFields), result.more];
  }
}

function outcomeFields(outcome: CommandOutcome): readonly unknown[] {
  switch (outcome.type) {
    case "refused": {
      const { code, message, numbers } = outcome.refusal;
      return [code, message, numbers ?? null];
    }
    case "txn":
      return [outcome.result.succeeded, outcome.result.revision, outcome.result.results.map(resultFields)];
    case "compacted":
      return [outcome.floor, outcome.done];
    case "staged":
      return [];
    case "restored":
      return [outcome.revision];
    case "granted":
      return [leaseFields(outcome.lease)];
    case "ended":
      return [outcome.leases, outcome.revision];
    case "counted":
      return [outcome.remainingMs];
  }
}

export function encodeOutcome(outcome: CommandOutcome): Uint8Array {
  return encodeCanonical([resultVersion, kinds[outcome.type], ...outcomeFields(outcome)]);
}

function decodeEntry(value: unknown): CatalogEntry | undefined {
  if (!Array.isArray(value) || value.length < 5 || value.length > 6) return undefined;
  const [key, bytes, createRevision, modRevision, version, lease] = value as unknown[];
  if (!isBytes(key) || !isBytes(bytes) || !isCounter(version)) return undefined;
  if (!isCounter(createRevision) || !isCounter(modRevision)) return undefined;
  if (value.length === 6 && !isCounter(lease)) return undefined;
  return {
    key,
    value: bytes,
    createRevision: createRevision as Revision,
    modRevision: modRevision as Revision,
    version,
    ...(lease === undefined ? {} : { lease: lease as LeaseId }),
  };
}

function decodeResult(value: unknown): OperationResult | undefined {
  if (!Array.isArray(value)) return undefined;
  const [kind, first, second] = value as unknown[];
  if (kind === 0) {
    if (first === null) return { type: "put" };
    const previous = decodeEntry(first);
    return previous === undefined ? undefined : { type: "put", previous };
  }
  if (kind === 1) return isCounter(first) ? { type: "delete", deleted: first } : undefined;
  if (kind !== 2 || !Array.isArray(first) || typeof second !== "boolean") return undefined;
  const entries = (first as unknown[]).map(decodeEntry);
  return entries.includes(undefined) ? undefined : { type: "get", entries: entries as CatalogEntry[], more: second };
}

function decodeTransactionResult(fields: readonly unknown[]): CommandOutcome | undefined {
  const [succeeded, revision, list] = fields;
  if (typeof succeeded !== "boolean" || !isCounter(revision) || !Array.isArray(list)) return undefined;
  const results = (list as unknown[]).map(decodeResult);
  if (results.includes(undefined)) return undefined;
  return { type: "txn", result: { succeeded, revision: revision as Revision, results: results as OperationResult[] } };
}

function decodeRefusal(fields: readonly unknown[]): CommandOutcome | undefined {
  const [code, message, numbers] = fields;
  if (typeof code !== "string" || typeof message !== "string") return undefined;
  const pair =
    Array.isArray(numbers) && numbers.length === 2 && numbers.every(isCounter)
      ? (numbers as [number, number])
      : undefined;
  const refusal = { code: code as Refusal["code"], message, ...(pair === undefined ? {} : { numbers: pair }) };
  return { type: "refused", refusal };
}

/** Reads the bytes of a result; undefined where they are none. */
export function decodeOutcome(bytes: Uint8Array): CommandOutcome | undefined {
  const all = decodeCanonical(bytes);
  if (!Array.isArray(all) || all[0] !== resultVersion) return undefined;
  const fields = (all as unknown[]).slice(2);
  switch (all[1]) {
    case kinds.refused:
      return decodeRefusal(fields);
    case kinds.txn:
      return decodeTransactionResult(fields);
    case kinds.compacted:
      return isCounter(fields[0]) && typeof fields[1] === "boolean"
        ? { type: "compacted", floor: fields[0], done: fields[1] }
        : undefined;
    case kinds.staged:
      return { type: "staged" };
    case kinds.restored:
      return isCounter(fields[0]) ? { type: "restored", revision: fields[0] } : undefined;
    default:
      return decodeLeaseOutcome(all[1], fields);
  }
}

function decodeLeaseOutcome(kind: unknown, [first, second]: readonly unknown[]): CommandOutcome | undefined {
  if (kind === kinds.granted) {
    const lease = decodeLease(first);
    return lease === undefined ? undefined : { type: "granted", lease };
  }
  if (kind === kinds.ended) {
    if (!Array.isArray(first) || !(first as unknown[]).every(isCounter) || !isCounter(second)) return undefined;
    return { type: "ended", leases: first as LeaseId[], revision: second };
  }
  return kind === kinds.counted && isCounter(first) ? { type: "counted", remainingMs: first } : undefined;
}
