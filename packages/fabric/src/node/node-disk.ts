import { constants } from "node:fs";
import { type FileHandle, open, readdir, rename, rm, stat, statfs } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { checkDiskNumber, DiskError, type DiskErrorCode, parseDiskPath } from "../disk-errors.ts";
import { InvalidValueError } from "../errors.ts";
import type { Disk, DiskFile } from "../seams/disk.ts";
import { makeDirectories } from "./make-directories.ts";

/** Kinds of system errors that callers can act upon; whatever else happens is `DISK_IO`. */
const codes: Readonly<Record<string, DiskErrorCode>> = {
  ENOSPC: "DISK_FULL",
  EDQUOT: "DISK_FULL",
  EROFS: "DISK_READ_ONLY",
  ENOENT: "DISK_NOT_FOUND",
};

/** Linux takes at most this many buffers in one `writev` (IOV_MAX). */
const maxBuffersPerWrite = 1024;

/** `allocate` writes zeros in pieces of this size. */
const zeros = new Uint8Array(1024 * 1024);

function diskError(path: string, what: string, cause: unknown): DiskError {
  if (cause instanceof DiskError) return cause;
  const code = (cause as { readonly code?: unknown } | null)?.code;
  const known = typeof code === "string" ? code : "unknown error";
  return new DiskError(codes[known] ?? "DISK_IO", path, `${what} failed: ${known}`, cause);
}

/** Runs one operation; what the system says becomes a `DISK_*` error that names path and operation. */
async function attempt<T>(path: string, what: string, operation: () => Promise<T>): Promise<T> {
  try {
    return await operation();
  } catch (error) {
    throw diskError(path, what, error);
  }
}

async function statOrUndefined(path: string): Promise<{ readonly size: number; isFile(): boolean } | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    const code = (error as { readonly code?: unknown }).code;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw error;
  }
}

/** Makes the names in a directory durable. */
async function syncNames(directory: string): Promise<void> {
  const handle = await open(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function writeAll(
  handle: FileHandle,
  offset: number,
  buffers: readonly Uint8Array[],
  path: string,
): Promise<void> {
  let rest = buffers.filter((buffer) => buffer.length > 0);
  let at = offset;
  while (rest.length > 0) {
    const batch = rest.slice(0, maxBuffersPerWrite);
    const { bytesWritten } = await handle.writev(batch, at);
    // A short write is how a full disk first shows; the next one then says why.
    if (bytesWritten === 0) throw new DiskError("DISK_FULL", path, `nothing more is written at ${at}`);
    at += bytesWritten;
    rest = afterWritten(rest, bytesWritten);
  }
}

function afterWritten(buffers: readonly Uint8Array[], written: number): Uint8Array[] {
  let left = written;
  let index = 0;
  for (let next = buffers[index]; next !== undefined && left >= next.length; next = buffers[index]) {
    left -= next.length;
    index += 1;
  }
  const rest = buffers.slice(index);
  const [first] = rest;
  if (left > 0 && first !== undefined) rest[0] = first.subarray(left);
  return rest;
}

async function readUpTo(handle: FileHandle, offset: number, length: number): Promise<Uint8Array> {
  const { size } = await handle.stat();
  const target = new Uint8Array(Math.max(0, Math.min(length, size - offset)));
  let filled = 0;
  while (filled < target.length) {
    const { bytesRead } = await handle.read(target, filled, target.length - filled, offset + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return filled === target.length ? target : target.slice(0, filled);
}

async function writeZeros(handle: FileHandle, size: number, path: string): Promise<void> {
  const { size: before } = await handle.stat();
  for (let at = before; at < size; at += zeros.length) {
    await writeAll(handle, at, [zeros.subarray(0, Math.min(zeros.length, size - at))], path);
  }
}

class NodeDiskFile implements DiskFile {
  readonly #handle: FileHandle;
  readonly #path: string;

  constructor(handle: FileHandle, path: string) {
    this.#handle = handle;
    this.#path = path;
  }

  size(): Promise<number> {
    return attempt(this.#path, "stat", async () => (await this.#handle.stat()).size);
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    checkDiskNumber("offset", offset);
    checkDiskNumber("length", length);
    return attempt(this.#path, "read", () => readUpTo(this.#handle, offset, length));
  }

  async write(offset: number, buffers: readonly Uint8Array[]): Promise<void> {
    checkDiskNumber("offset", offset);
    return attempt(this.#path, "write", () => writeAll(this.#handle, offset, buffers, this.#path));
  }

  datasync(): Promise<void> {
    return attempt(this.#path, "fdatasync", () => this.#handle.datasync());
  }

  async truncate(size: number): Promise<void> {
    checkDiskNumber("size", size);
    return attempt(this.#path, "truncate", () => this.#handle.truncate(size));
  }

  async allocate(size: number): Promise<void> {
    checkDiskNumber("size", size);
    return attempt(this.#path, "allocate", () => writeZeros(this.#handle, size, this.#path));
  }

  close(): Promise<void> {
    return attempt(this.#path, "close", () => this.#handle.close());
  }
}

class NodeDisk implements Disk {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  async open(path: string, options: { readonly create?: boolean } = {}): Promise<DiskFile> {
    const full = this.#file(path);
    const flags = constants.O_RDWR | constants.O_NOFOLLOW | (options.create === true ? constants.O_CREAT : 0);
    const handle = await attempt(path, "open", () => open(full, flags, 0o600));
    return new NodeDiskFile(handle, path);
  }

  size(path: string): Promise<number | undefined> {
    const full = this.#file(path);
    return attempt(path, "stat", async () => {
      const found = await statOrUndefined(full);
      return found?.isFile() === true ? found.size : undefined;
    });
  }

  async rename(from: string, to: string): Promise<void> {
    const [source, target] = [this.#file(from), this.#file(to)];
    return attempt(from, `rename to ${to}`, () => rename(source, target));
  }

  async remove(path: string): Promise<void> {
    const full = this.#file(path);
    return attempt(path, "remove", () => rm(full, { force: true }));
  }

  async list(directory: string): Promise<readonly string[]> {
    const full = this.#place(directory);
    return attempt(directory, "list", async () => {
      if ((await statOrUndefined(full)) === undefined) return [];
      const entries = await readdir(full, { withFileTypes: true });
      return entries.flatMap((entry) => (entry.isFile() ? [entry.name] : [])).toSorted();
    });
  }

  async makeDirectory(path: string): Promise<void> {
    const target = this.#place(path);
    await attempt(path, "mkdir", async () => {
      const first = await makeDirectories(target);
      if (first === undefined) return;
      // Directories may be made above the disk's own root, which no `syncDirectory` of it could reach.
      for (let made = target; ; made = dirname(made)) {
        await syncNames(dirname(made));
        if (made === first || made === dirname(made)) return;
      }
    });
  }

  async syncDirectory(path: string): Promise<void> {
    const full = this.#place(path);
    return attempt(path, "fsync", () => syncNames(full));
  }

  freeBytes(): Promise<number> {
    return attempt("", "statfs", async () => {
      const { bavail, bsize } = await statfs(this.#root);
      return bavail * bsize;
    });
  }

  #place(path: string): string {
    return join(this.#root, ...parseDiskPath(path));
  }

  #file(path: string): string {
    const parts = parseDiskPath(path);
    if (parts.length === 0) throw new InvalidValueError("path", path, "the name of a file");
    return join(this.#root, ...parts);
  }
}

/**
 * The files under a directory of this host. The directory itself must exist or be made with `makeDirectory("")`.
 *
 * New files are readable by their owner only, and symbolic links in the last place are not followed.
 */
export function nodeDisk(directory: string): Disk {
  return new NodeDisk(resolve(directory));
}
