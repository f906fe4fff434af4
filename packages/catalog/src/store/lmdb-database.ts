import { equalBytes, readUint32, writeUint32 } from "../core/bytes.ts";
import { CatalogNewerFormatError, CatalogStoreCorruptError } from "../errors.ts";
import { headerKey, openRecord, reading } from "./lmdb-base.ts";
import { checkDataFile } from "./lmdb-file.ts";
import { type LmdbDatabase, openLmdb, sealRecord } from "./lmdb-open.ts";

const magic = new TextEncoder().encode("RVDSTORE");
/** A store that was never replaced as a whole is of version 1; version 2 says which space is in force. */
const formatVersion = 2;

/** The store's own record: magic, version, and from version 2 on the space in force. */
export function storeHeader(space: number): Uint8Array {
  const header = new Uint8Array(magic.length + (space === 0 ? 2 : 6));
  header.set(magic);
  header[magic.length + 1] = space === 0 ? 1 : formatVersion;
  if (space !== 0) writeUint32(header, magic.length + 2, space);
  return header;
}

/** Opens the data file once it is sure that it is one, and a store of a format that is known. */
export function openDatabase(
  path: string,
  mapSizeBytes: number,
): { readonly database: LmdbDatabase; readonly space: number } {
  const whole = checkDataFile(path);
  let database: LmdbDatabase;
  try {
    database = openLmdb(path, mapSizeBytes);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CatalogStoreCorruptError(`${path} cannot be opened as a store: ${reason}`, { cause: error });
  }
  try {
    const space = checkHeader(database, path);
    if (!whole) checkEveryRecord(database, path);
    return { database, space };
  } catch (error) {
    void database.close();
    throw error;
  }
}

/** Returns the space in force. */
function checkHeader(database: LmdbDatabase, path: string): number {
  const record = reading(() => database.get(headerKey));
  if (record === undefined) {
    if ([...database.getKeys({ limit: 1 })].length > 0) {
      throw new CatalogStoreCorruptError(`${path} holds a database that is no store`);
    }
    database.putSync(headerKey, sealRecord(headerKey, storeHeader(0)));
    return 0;
  }
  const header = openRecord(headerKey, record);
  if (header.length < magic.length + 2 || !equalBytes(header.subarray(0, magic.length), magic)) {
    throw new CatalogStoreCorruptError(`${path} holds a database that is no store`);
  }
  const version = (header[magic.length] as number) * 256 + (header[magic.length + 1] as number);
  if (version > formatVersion) throw new CatalogNewerFormatError(`the store ${path}`, version, formatVersion);
  if (version < 2) return 0;
  if (header.length < magic.length + 6) throw new CatalogStoreCorruptError(`${path} does not say what is in force`);
  return readUint32(header, magic.length + 2);
}

/** Reads everything, which takes its time: only for files that end early. A page that is missing hides the records on it. */
function checkEveryRecord(database: LmdbDatabase, path: string): void {
  const { entryCount } = database.getStats() as { readonly entryCount: number };
  let found = 0;
  const walk = database.getRange({ start: Uint8Array.of(0) })[Symbol.iterator]();
  for (;;) {
    const next = reading(() => walk.next());
    if (next.done === true) break;
    const { key, value } = next.value;
    openRecord(key, value);
    found++;
  }
  if (found !== entryCount)
    throw new CatalogStoreCorruptError(`${path} is cut off: ${found} of ${entryCount} records are left`);
}
