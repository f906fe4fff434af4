import {
  InvariantError,
  type Fence,
  type FencingToken,
  type HeldDuty,
  type Lease,
  type LeaseId,
  type StoreReader,
  type StoreTransaction,
} from "@revoada/fabric";
import { copyBytes, readCounter, writeCounter } from "./bytes.ts";
import { decodeCanonical, encodeCanonical, isCounter } from "./cbor.ts";
import { decodeLease, leaseFields, type Refusal } from "./result.ts";
import { dutiesTree, leaseKeysTree, leasesKey, leasesTree, metaTree } from "./store-keys.ts";

const recordVersion = 1;
const idBytes = 8;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

function corrupt(what: string): InvariantError {
  return new InvariantError(`catalog: the stored ${what} cannot be read`);
}

function idKey(id: number): Uint8Array {
  const key = new Uint8Array(idBytes);
  writeCounter(key, 0, id);
  return key;
}

/** What is known of all leases together. `newest` is the token of the last grant, whether or not its lease still exists. */
export interface LeaseTotals {
  readonly count: number;
  readonly newest: { readonly term: number; readonly index: number };
}

export function readTotals(reader: StoreReader): LeaseTotals {
  const bytes = reader.get(metaTree, leasesKey);
  if (bytes === undefined) return { count: 0, newest: { term: 0, index: 0 } };
  const fields = decodeCanonical(bytes);
  if (!Array.isArray(fields) || fields.length !== 4 || !fields.every(isCounter) || fields[0] !== recordVersion)
    throw corrupt("lease totals");
  const [, count, term, index] = fields as [number, number, number, number];
  return { count, newest: { term, index } };
}

export function writeTotals(transaction: StoreTransaction, { count, newest }: LeaseTotals): void {
  transaction.put(metaTree, leasesKey, encodeCanonical([recordVersion, count, newest.term, newest.index]));
}

function decodeRecord(bytes: Uint8Array): Lease {
  const fields = decodeCanonical(bytes);
  const lease = Array.isArray(fields) && fields[0] === recordVersion ? decodeLease(fields[1]) : undefined;
  if (lease === undefined) throw corrupt("lease");
  return lease;
}

export function readLease(reader: StoreReader, id: number): Lease | undefined {
  const bytes = reader.get(leasesTree, idKey(id));
  return bytes === undefined ? undefined : decodeRecord(bytes);
}

/** Every lease, by id. */
export function* readLeases(reader: StoreReader): Generator<Lease, void, undefined> {
  for (const { value } of reader.range(leasesTree)) yield decodeRecord(value);
}

export function writeLease(transaction: StoreTransaction, lease: Lease): void {
  transaction.put(leasesTree, idKey(lease.id), encodeCanonical([recordVersion, leaseFields(lease)]));
}

export function deleteLease(transaction: StoreTransaction, lease: Lease): void {
  transaction.delete(leasesTree, idKey(lease.id));
  if (lease.duty !== undefined) transaction.delete(dutiesTree, encoder.encode(lease.duty));
}

function leaseKey(id: number, key: Uint8Array): Uint8Array {
  const joined = new Uint8Array(idBytes + key.length);
  writeCounter(joined, 0, id);
  joined.set(key, idBytes);
  return joined;
}

const present = Uint8Array.of(recordVersion);

/** Moves a key from the lease that it was attached to, if any, to the one that it is attached to now, if any. */
export function attachKey(
  transaction: StoreTransaction,
  key: Uint8Array,
  before: number | undefined,
  after: number | undefined,
): void {
  if (before !== undefined) transaction.delete(leaseKeysTree, leaseKey(before, key));
  if (after !== undefined) transaction.put(leaseKeysTree, leaseKey(after, key), present);
}

/** Keys that are attached to a lease, in byte order. */
export function* readLeaseKeys(reader: StoreReader, id: number): Generator<Uint8Array, void, undefined> {
  for (const { key } of reader.range(leaseKeysTree, { start: idKey(id), end: idKey(id + 1) })) {
    if (readCounter(key, 0) !== id) throw corrupt("key of a lease");
    yield copyBytes(key.subarray(idBytes));
  }
}

/** A restore brings keys without leases: all that there are keep their duties and lose their keys. */
export function detachAllKeys(transaction: StoreTransaction): void {
  transaction.clear(leaseKeysTree);
  for (const lease of [...readLeases(transaction)]) if (lease.keys > 0) writeLease(transaction, { ...lease, keys: 0 });
}

/** The lease that holds a duty; undefined where nobody does. */
export function readHolder(reader: StoreReader, duty: string): Lease | undefined {
  const bytes = reader.get(dutiesTree, encoder.encode(duty));
  if (bytes === undefined) return undefined;
  const id = readCounter(bytes, 0);
  const lease = id === undefined ? undefined : readLease(reader, id);
  if (lease === undefined) throw corrupt("duty");
  return lease;
}

export function writeHolder(transaction: StoreTransaction, duty: string, id: LeaseId): void {
  transaction.put(dutiesTree, encoder.encode(duty), idKey(id));
}

/** Every duty that somebody holds, sorted. */
export function readDuties(reader: StoreReader): readonly HeldDuty[] {
  return [...reader.range(dutiesTree)].flatMap(({ key }) => {
    const duty = decoder.decode(key);
    const lease = readHolder(reader, duty);
    return lease === undefined ? [] : [{ duty, lease: lease.id, token: lease.token, holder: lease.holder ?? "" }];
  });
}

export function leaseNotFound(id: number): Refusal {
  return { code: "CATALOG_LEASE_NOT_FOUND", message: `lease ${id} does not exist, or has ended` };
}

function show({ term, index }: FencingToken): string {
  return `${term}/${index}`;
}

/** Why a fence does not hold; undefined where it does, or where there is none. */
export function fenceRefusal(reader: StoreReader, fence: Fence | undefined): Refusal | undefined {
  if (fence === undefined) return undefined;
  const { duty, token } = fence;
  // What could not be a key of the store is no duty that anybody holds.
  const held = duty.length === 0 || duty.length > 63 ? undefined : readHolder(reader, duty);
  if (held?.token.term === token.term && held.token.index === token.index) return undefined;
  const now = held === undefined ? "nobody holds it" : `it is held under ${show(held.token)}`;
  return { code: "CATALOG_FENCED", message: `duty ${duty.slice(0, 63)} is not held under ${show(token)}: ${now}` };
}
