import { InvariantError } from "@revoada/fabric";
import { readCounter, readUint32, writeCounter, writeUint32 } from "./bytes.ts";
import { decodeCanonical, encodeCanonical, isBytes, isCounter } from "./cbor.ts";
import type { Slot } from "./store-keys.ts";

const recordVersion = 1;
/** Records of keys that are attached to a lease carry its id as well. All others are written as they always were. */
const leasedVersion = 2;
const leaseBytes = 8;

/** What the catalog knows of itself, stored under one key and changed by every command. */
export interface CatalogState {
  readonly slot: Slot;
  readonly revision: number;
  /** History below this revision is gone or going. */
  readonly floor: number;
  /** The revision that the last restore made; records of a restore bear revision 0 and mean this one. */
  readonly base: number;
  /** Live keys. */
  readonly keys: number;
  /** Where sweeping goes on below the floor; the floor itself once it is done. */
  readonly swept: number;
}

const emptyState: CatalogState = { slot: 0, revision: 0, floor: 0, base: 0, keys: 0, swept: 0 };

function corrupt(what: string): InvariantError {
  return new InvariantError(`catalog: the stored ${what} cannot be read`);
}

export function encodeState(state: CatalogState): Uint8Array {
  return encodeCanonical([recordVersion, state.slot, state.revision, state.floor, state.base, state.keys, state.swept]);
}

export function decodeState(bytes: Uint8Array | undefined): CatalogState {
  if (bytes === undefined) return emptyState;
  const fields = decodeCanonical(bytes);
  if (!Array.isArray(fields) || fields.length !== 7 || !fields.every(isCounter) || fields[0] !== recordVersion) {
    throw corrupt("state");
  }
  const [, slot, revision, floor, base, keys, swept] = fields as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  if (slot > 1) throw corrupt("state");
  return { slot: slot as Slot, revision, floor, base, keys, swept };
}

/** A restore under way: chunks arrive in order, and `digest` has taken in each of them. */
export interface StageRecord {
  readonly id: Uint8Array;
  readonly expectedDigest: Uint8Array;
  readonly expectedEntries: number;
  readonly next: number;
  readonly entries: number;
  readonly digest: Uint8Array;
  readonly lastKey: Uint8Array;
}

export function encodeStage(stage: StageRecord): Uint8Array {
  const { id, expectedDigest, expectedEntries, next, entries, digest, lastKey } = stage;
  return encodeCanonical([recordVersion, id, expectedDigest, expectedEntries, next, entries, digest, lastKey]);
}

export function decodeStage(bytes: Uint8Array): StageRecord {
  const fields = decodeCanonical(bytes);
  if (!Array.isArray(fields) || fields.length !== 8) throw corrupt("stage");
  const [version, id, expectedDigest, expectedEntries, next, entries, digest, lastKey] = fields as unknown[];
  if (version !== recordVersion || !isBytes(id) || !isBytes(expectedDigest) || !isBytes(digest) || !isBytes(lastKey)) {
    throw corrupt("stage");
  }
  if (!isCounter(expectedEntries) || !isCounter(next) || !isCounter(entries)) throw corrupt("stage");
  return { id, expectedDigest, expectedEntries, next, entries, digest, lastKey };
}

/** Where the newest value of a live key stands. Revision 0 means the base. */
export interface CurrentRecord {
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  readonly place: number;
  readonly lease?: number | undefined;
}

const currentBytes = 29;

export function encodeCurrent(record: CurrentRecord): Uint8Array {
  const { lease } = record;
  const bytes = new Uint8Array(currentBytes + (lease === undefined ? 0 : leaseBytes));
  bytes[0] = lease === undefined ? recordVersion : leasedVersion;
  if (lease !== undefined) writeCounter(bytes, currentBytes, lease);
  writeCounter(bytes, 1, record.createRevision);
  writeCounter(bytes, 9, record.modRevision);
  writeCounter(bytes, 17, record.version);
  writeUint32(bytes, 25, record.place);
  return bytes;
}

export function decodeCurrent(bytes: Uint8Array): CurrentRecord {
  const isLeased = bytes[0] === leasedVersion;
  const length = currentBytes + (isLeased ? leaseBytes : 0);
  if (bytes.length !== length || (!isLeased && bytes[0] !== recordVersion)) throw corrupt("key record");
  const lease = isLeased ? readCounter(bytes, currentBytes) : undefined;
  const createRevision = readCounter(bytes, 1);
  const modRevision = readCounter(bytes, 9);
  const version = readCounter(bytes, 17);
  if (createRevision === undefined || modRevision === undefined || version === undefined) throw corrupt("key record");
  const record = { createRevision, modRevision, version, place: readUint32(bytes, 25) };
  return lease === undefined ? record : { ...record, lease };
}

/** One change of one key, as history keeps it. */
export type HistoryRecord =
  | {
      readonly type: "put";
      readonly key: Uint8Array;
      readonly createRevision: number;
      readonly version: number;
      readonly value: Uint8Array;
      readonly lease?: number | undefined;
    }
  | { readonly type: "delete"; readonly key: Uint8Array };

const putKind = 0;
const deleteKind = 1;

const historyHead = 20;

export function encodeHistory(record: HistoryRecord): Uint8Array {
  const valueLength = record.type === "put" ? record.value.length : 0;
  const lease = record.type === "put" ? record.lease : undefined;
  const head = historyHead + (lease === undefined ? 0 : leaseBytes);
  const bytes = new Uint8Array(head + record.key.length + valueLength);
  bytes[0] = lease === undefined ? recordVersion : leasedVersion;
  bytes[1] = record.type === "put" ? putKind : deleteKind;
  bytes[2] = record.key.length >>> 8;
  bytes[3] = record.key.length;
  if (record.type === "put") {
    writeCounter(bytes, 4, record.createRevision);
    writeCounter(bytes, 12, record.version);
    if (lease !== undefined) writeCounter(bytes, historyHead, lease);
    bytes.set(record.value, head + record.key.length);
  }
  bytes.set(record.key, head);
  return bytes;
}

/** Key and value are parts of the bytes, not copies. */
export function decodeHistory(bytes: Uint8Array): HistoryRecord {
  const isLeased = bytes[0] === leasedVersion;
  const head = historyHead + (isLeased ? leaseBytes : 0);
  if (bytes.length < head || (!isLeased && bytes[0] !== recordVersion)) throw corrupt("history record");
  const keyEnd = head + (bytes[2] as number) * 256 + (bytes[3] as number);
  if (keyEnd > bytes.length) throw corrupt("history record");
  const key = bytes.subarray(head, keyEnd);
  if (bytes[1] === deleteKind) return { type: "delete", key };
  const createRevision = readCounter(bytes, 4);
  const version = readCounter(bytes, 12);
  if (bytes[1] !== putKind || createRevision === undefined || version === undefined) throw corrupt("history record");
  const record = { type: "put", key, createRevision, version, value: bytes.subarray(keyEnd) } as const;
  return isLeased ? { ...record, lease: readCounter(bytes, historyHead) } : record;
}

/** What (key, revision) points to. */
export interface VersionRecord {
  readonly place: number;
  readonly deleted: boolean;
}

export function encodeVersion(record: VersionRecord): Uint8Array {
  const bytes = new Uint8Array(6);
  bytes[0] = recordVersion;
  bytes[1] = record.deleted ? deleteKind : putKind;
  writeUint32(bytes, 2, record.place);
  return bytes;
}

export function decodeVersion(bytes: Uint8Array): VersionRecord {
  if (bytes.length !== 6 || bytes[0] !== recordVersion) throw corrupt("version record");
  return { place: readUint32(bytes, 2), deleted: bytes[1] === deleteKind };
}
