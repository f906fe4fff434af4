import { crc32 } from "node:zlib";
import { open, type RootDatabase } from "lmdb";

/*
 * Loaded by the main thread and by the writing one: it imports nothing of ours.
 */

export type LmdbDatabase = RootDatabase<Uint8Array, Uint8Array>;

/** Opens the data file; a second thread that does so shares the environment. */
export function openLmdb(path: string, mapSizeBytes: number): LmdbDatabase {
  return open<Uint8Array, Uint8Array>({
    path,
    noSubdir: true,
    keyEncoding: "binary",
    encoding: "binary",
    // One flush is one transaction that syncs within itself: nothing is to overlap.
    overlappingSync: false,
    mapSize: mapSizeBytes,
    maxReaders: 1_024,
  });
}

/** LMDB has no checksums: a record is the CRC-32 of its key and value, then the value. */
export function sealRecord(key: Uint8Array, value: Uint8Array): Uint8Array {
  const record = new Uint8Array(4 + value.length);
  new DataView(record.buffer).setUint32(0, crc32(value, crc32(key)));
  record.set(value, 4);
  return record;
}
