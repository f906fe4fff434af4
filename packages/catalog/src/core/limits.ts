import { boundsOf } from "./bytes.ts";

/** Bounds of everything that a caller may ask of the catalog. */
export const catalogLimits = {
  /** Longest key. Each zero byte counts twice, because it is escaped where keys are ordered together with revisions. */
  keyBytes: 1_000,
  valueBytes: 1_048_576,
  /** Keys and values of both branches and the conditions together. */
  transactionBytes: 4_194_304,
  /** Of each branch, and of the conditions. */
  operations: 1_024,
  /** Keys that one transaction may change, deletions of ranges included. */
  changes: 65_536,
  /** Keys and values that the reads of one transaction may bring back. */
  resultBytes: 8_388_608,
  /** Previous values told with one transaction's results, or with one watch batch; what is beyond is left out. */
  previousBytes: 4_194_304,
  /** Payload of one staged command of a restore, unless a single entry is larger. */
  stagedBytes: 1_000_000,
  /** Records that one command sweeps out of history. */
  sweep: 4_096,
  /** Leases that are kept at a time. */
  leases: 65_536,
  /** Keys that may be attached to one lease. */
  leaseKeys: 16_384,
  leaseTtlMinMs: 1_000,
  leaseTtlMaxMs: 2_592_000_000,
  /** Characters of the text that says who holds a lease. */
  holderLength: 128,
  /** Leases that one command may let expire. */
  expiries: 256,
} as const;

/** Longest bound of a range, in bytes: no stored key is longer. */
const boundBytes = 1_024;

/** What is wrong with a key, or undefined where it is fine. */
export function keyFault(key: Uint8Array): "empty" | "too long" | undefined {
  if (key.length === 0) return "empty";
  if (key.length > catalogLimits.keyBytes) return "too long";
  let length = key.length;
  for (const byte of key) if (byte === 0) length++;
  return length > catalogLimits.keyBytes ? "too long" : undefined;
}

/** What is wrong with a range; its start may be empty only where an end is given. */
export function rangeFault(start: Uint8Array, end: Uint8Array | undefined): "empty" | "too long" | undefined {
  if (end === undefined) return keyFault(start);
  const bounds = boundsOf({ start, end });
  return bounds.start.length > boundBytes || bounds.end.length > boundBytes ? "too long" : undefined;
}
