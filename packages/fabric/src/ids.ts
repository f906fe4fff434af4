import { InvalidValueError } from "./errors.ts";

declare const brand: unique symbol;
/** A primitive that cannot be mixed up with another of the same representation. */
export type Branded<T, Name extends string> = T & { readonly [brand]: Name };

/** An ed25519 public key, 64 lower-case hex characters. */
export type NodeId = Branded<string, "NodeId">;
/** Random, made with a data directory; 32 lower-case hex characters. A wiped disk is another store. */
export type StoreId = Branded<string, "StoreId">;
/** The BLAKE3 hash of a cluster's genesis, 64 lower-case hex characters. */
export type ClusterId = Branded<string, "ClusterId">;
/** A BLAKE3 hash, 64 lower-case hex characters. */
export type Hash = Branded<string, "Hash">;
/** The BLAKE3 hash of a blob, 64 lower-case hex characters. */
export type ContentHash = Branded<string, "ContentHash">;
/** Position in the replicated log; the first entry is 1 and 0 stands for "before the log". */
export type LogIndex = Branded<number, "LogIndex">;
/** Raft term, from 1; 0 stands for "before the first election". */
export type Term = Branded<number, "Term">;
/** The catalog's version: one step per committed transaction. */
export type Revision = Branded<number, "Revision">;
/** The formation's version: one step per transition. */
export type Generation = Branded<number, "Generation">;

const hex64 = /^[0-9a-f]{64}$/;
const hex32 = /^[0-9a-f]{32}$/;

function checkHex<T extends string>(pattern: RegExp, length: number, value: unknown, path: string): T {
  if (typeof value === "string" && pattern.test(value)) return value as T;
  throw new InvalidValueError(path, value, `${length} lower-case hex characters`);
}

/** Checks an untrusted node id. Throws `FABRIC_INVALID_VALUE`. */
export function parseNodeId(value: unknown, path = "nodeId"): NodeId {
  return checkHex<NodeId>(hex64, 64, value, path);
}

/** Checks an untrusted store id. Throws `FABRIC_INVALID_VALUE`. */
export function parseStoreId(value: unknown, path = "storeId"): StoreId {
  return checkHex<StoreId>(hex32, 32, value, path);
}

/** Checks an untrusted cluster id. Throws `FABRIC_INVALID_VALUE`. */
export function parseClusterId(value: unknown, path = "clusterId"): ClusterId {
  return checkHex<ClusterId>(hex64, 64, value, path);
}

/** Checks an untrusted hash. Throws `FABRIC_INVALID_VALUE`. */
export function parseHash(value: unknown, path = "hash"): Hash {
  return checkHex<Hash>(hex64, 64, value, path);
}

/** Checks an untrusted blob hash. Throws `FABRIC_INVALID_VALUE`. */
export function parseContentHash(value: unknown, path = "contentHash"): ContentHash {
  return checkHex<ContentHash>(hex64, 64, value, path);
}

function checkCounter<T extends number>(value: unknown, path: string): T {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value as T;
  throw new InvalidValueError(path, value, "an integer from 0 to 2^53 - 1");
}

/** Checks an untrusted log index. Throws `FABRIC_INVALID_VALUE`. */
export function parseLogIndex(value: unknown, path = "index"): LogIndex {
  return checkCounter<LogIndex>(value, path);
}

/** Checks an untrusted term. Throws `FABRIC_INVALID_VALUE`. */
export function parseTerm(value: unknown, path = "term"): Term {
  return checkCounter<Term>(value, path);
}

/** Checks an untrusted revision. Throws `FABRIC_INVALID_VALUE`. */
export function parseRevision(value: unknown, path = "revision"): Revision {
  return checkCounter<Revision>(value, path);
}

/** Checks an untrusted generation. Throws `FABRIC_INVALID_VALUE`. */
export function parseGeneration(value: unknown, path = "generation"): Generation {
  return checkCounter<Generation>(value, path);
}

/** The first 12 characters, for tables and log lines; never for comparing. */
export function shortId(id: string): string {
  return id.slice(0, 12);
}
