import { stat, statfs } from "node:fs/promises";
import { CatalogStoreFailedError } from "../errors.ts";

const pageBytes = 4096;
/** For the root, free lists and what the file system itself needs. */
const spareBytes = 1_048_576;

/** What is about to be written. */
export interface Batch {
  readonly bytes: number;
  readonly records: number;
}

/**
 * The most that a transaction can make the file grow: the records, rounded up to pages, and a copy of each page that they touch, of
 * which there are no more than the file has (LMDB never writes to a page that is in force).
 */
function neededBytes({ bytes, records }: Batch, fileBytes: number): number {
  return 2 * bytes + Math.min(fileBytes, 2 * records * pageBytes) + spareBytes;
}

/** The room that is left on the file system of a directory. */
export async function freeBytesAt(directory: string): Promise<number> {
  const { bavail, bsize } = await statfs(directory);
  return bavail * bsize;
}

/**
 * Rejects with `CATALOG_STORE_FAILED`, retryable, where a transaction may not fit. A write that LMDB begins and cannot finish is told by the same
 * error as one that a failing disk has lost, so a full disk is better met before.
 */
export async function checkRoom(batch: Batch, path: string, freeBytes: () => Promise<number>): Promise<void> {
  const [{ size }, free] = await Promise.all([stat(path), freeBytes()]);
  const needed = neededBytes(batch, size);
  if (free >= needed) return;
  throw new CatalogStoreFailedError(`the disk has ${free} bytes left, a flush may need ${needed}`, { retryable: true });
}
