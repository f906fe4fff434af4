import { closeSync, fstatSync, ftruncateSync, openSync, readSync } from "node:fs";
import { CatalogStoreCorruptError } from "../errors.ts";

/*
 * The meta pages of LMDB's data format 2, as the `lmdb` package writes it (liblmdb/mdb.c, MDB_page and MDB_meta), little endian:
 * a page header of 24 bytes with flags at 18, then magic, version, address, map size, two tree records of 48 bytes (the first
 * one beginning with the page size, each ending with its root), the last page's number and the transaction's.
 */
const metaFlag = 0x08;
const flagsAt = 18;
const magicAt = 24;
const versionAt = 28;
const pageSizeAt = 48;
const rootsAt = [48 + 40, 96 + 40] as const;
const lastPageAt = 144;
const transactionAt = 152;
const metaBytes = 160;
const magic = 0xbeefc0de;
const dataVersion = 2;
/** A tree that is empty has no root. */
const noPage = 0xffff_ffff_ffff_ffffn;

interface Meta {
  readonly pageSize: number;
  readonly lastPage: bigint;
  readonly transaction: bigint;
}

/**
 * Checks a data file before LMDB maps it, because LMDB trusts what it finds: a file that is none, or is cut off, would end the
 * process with a signal where an error is called for. A file that is missing or empty is a new one.
 *
 * False where the file ends before the last page that it says to have. Pages that are free may never have been written, so that
 * this need not be a fault; whether it is one, reading everything tells.
 */
export function checkDataFile(path: string): boolean {
  let file: number;
  try {
    file = openSync(path, "r+");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return true;
    throw new CatalogStoreCorruptError(`${path} cannot be opened: ${(error as Error).message}`, { cause: error });
  }
  try {
    const { size } = fstatSync(file);
    if (size === 0) return true;
    const first = readMeta(file, path, 0);
    const second = readMeta(file, path, first.pageSize);
    if (second.pageSize !== first.pageSize) throw corrupt(path, "its meta pages differ in page size");
    const newest = first.transaction > second.transaction ? first : second;
    const needed = (newest.lastPage + 1n) * BigInt(newest.pageSize);
    if (needed <= BigInt(size)) return true;
    // What is missing must read as nothing, and not as a fault of the memory map.
    ftruncateSync(file, Number(needed));
    return false;
  } finally {
    closeSync(file);
  }
}

function corrupt(path: string, reason: string): CatalogStoreCorruptError {
  return new CatalogStoreCorruptError(`${path} is no intact store: ${reason}`);
}

function readMeta(file: number, path: string, offset: number): Meta {
  const bytes = new Uint8Array(metaBytes);
  if (readSync(file, bytes, 0, metaBytes, offset) !== metaBytes) throw corrupt(path, "it is cut off");
  const view = new DataView(bytes.buffer);
  if ((view.getUint16(flagsAt, true) & metaFlag) === 0 || view.getUint32(magicAt, true) !== magic) {
    throw corrupt(path, "it does not begin as one");
  }
  const version = view.getUint32(versionAt, true) & 0xffff;
  if (version !== dataVersion) throw corrupt(path, `its data format is ${version}, not ${dataVersion}`);
  const pageSize = view.getUint32(pageSizeAt, true);
  if (pageSize < 512 || pageSize > 65_536 || (pageSize & (pageSize - 1)) !== 0)
    throw corrupt(path, `its page size is ${pageSize}`);
  const lastPage = view.getBigUint64(lastPageAt, true);
  if (lastPage < 1n || lastPage > 1n << 36n) throw corrupt(path, `its last page is ${lastPage}`);
  for (const at of rootsAt) {
    const root = view.getBigUint64(at, true);
    if (root !== noPage && (root < 2n || root > lastPage)) throw corrupt(path, `a root lies at page ${root}`);
  }
  return { pageSize, lastPage, transaction: view.getBigUint64(transactionAt, true) };
}
