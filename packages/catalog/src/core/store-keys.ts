import { readCounter, readUint32, writeCounter, writeUint32 } from "./bytes.ts";

/**
 * Where the catalog keeps what, in the one store.
 *
 * Everything but `meta` exists twice: a restore fills the slot that is not in use and is put in force by changing one number.
 */
export const metaTree = "catalog/meta";

export type Slot = 0 | 1;

export interface SlotTrees {
  /** Live keys → where their newest value stands. */
  readonly current: string;
  /** (revision, place) → what was written. */
  readonly history: string;
  /** (key, revision) → place, so that a key can be read as it was. */
  readonly versions: string;
}

export const slotTrees: Readonly<Record<Slot, SlotTrees>> = {
  0: { current: "catalog/0/current", history: "catalog/0/history", versions: "catalog/0/versions" },
  1: { current: "catalog/1/current", history: "catalog/1/history", versions: "catalog/1/versions" },
};

/** Lease id → record. */
export const leasesTree = "catalog/leases";
/** (lease id, key) → nothing, for the keys of the slot in use. */
export const leaseKeysTree = "catalog/lease-keys";
/** Duty → the id of the lease that holds it. */
export const dutiesTree = "catalog/duties";

export const allTrees: readonly string[] = [
  metaTree,
  ...Object.values(slotTrees[0]),
  ...Object.values(slotTrees[1]),
  leasesTree,
  leaseKeysTree,
  dutiesTree,
];

export const stateKey: Uint8Array = new TextEncoder().encode("state");
export const stageKey: Uint8Array = new TextEncoder().encode("stage");
export const leasesKey: Uint8Array = new TextEncoder().encode("leases");

/** Key of a history record: 8 bytes of revision, 4 bytes of place within it. */
export function historyKey(revision: number, place: number): Uint8Array {
  const key = new Uint8Array(12);
  writeCounter(key, 0, revision);
  writeUint32(key, 8, place);
  return key;
}

export function parseHistoryKey(key: Uint8Array): { readonly revision: number; readonly place: number } | undefined {
  if (key.length !== 12) return undefined;
  const revision = readCounter(key, 0);
  return revision === undefined ? undefined : { revision, place: readUint32(key, 8) };
}

/**
 * Key of a version: the catalog key, escaped so that no key is a prefix of another one's, then 8 bytes of revision.
 *
 * 0x00 becomes 0x00 0xff and 0x00 0x01 ends the key, which keeps the order of the plain keys.
 */
export function versionKey(key: Uint8Array, revision: number): Uint8Array {
  let zeros = 0;
  for (const byte of key) if (byte === 0) zeros++;
  const encoded = new Uint8Array(key.length + zeros + 10);
  let at = 0;
  for (const byte of key) {
    encoded[at++] = byte;
    if (byte === 0) encoded[at++] = 0xff;
  }
  encoded[at + 1] = 1;
  writeCounter(encoded, at + 2, revision);
  return encoded;
}

/** The range start that stands before all versions of keys from `key` on; `key` may be empty. */
export function versionBound(key: Uint8Array): Uint8Array {
  const whole = versionKey(key, 0);
  // Without terminator and revision what is left is a lower bound of the key itself and of all that follow it.
  return whole.subarray(0, whole.length - 10);
}

export function parseVersionKey(
  encoded: Uint8Array,
): { readonly key: Uint8Array; readonly revision: number } | undefined {
  const key = new Uint8Array(encoded.length);
  let length = 0;
  for (let at = 0; at < encoded.length; at++) {
    const byte = encoded[at] as number;
    if (byte !== 0) {
      key[length++] = byte;
      continue;
    }
    const mark = encoded[++at];
    if (mark === 0xff) {
      key[length++] = 0;
      continue;
    }
    if (mark !== 1 || encoded.length !== at + 9) return undefined;
    const revision = readCounter(encoded, at + 1);
    return revision === undefined ? undefined : { key: key.slice(0, length), revision };
  }
  return undefined;
}
