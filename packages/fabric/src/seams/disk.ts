/**
 * A directory on a disk, with exactly the operations whose durability can be reasoned about.
 *
 * Paths are relative, `/`-separated, without `..`. What was written is durable only after `datasync` (file contents) and
 * `syncDirectory` (names). Failures reject with `DISK_FULL`, `DISK_READ_ONLY`, `DISK_IO` or `DISK_NOT_FOUND`.
 */
export interface Disk {
  /** Opens for reading and writing. Rejects with `DISK_NOT_FOUND` where the file is missing and `create` is not set. */
  open(path: string, options?: { readonly create?: boolean }): Promise<DiskFile>;
  /** Size in bytes, or undefined where there is no such file. */
  size(path: string): Promise<number | undefined>;
  /** Replaces `to` atomically; durable after `syncDirectory`. */
  rename(from: string, to: string): Promise<void>;
  /** Removes a file; a missing one is no error. */
  remove(path: string): Promise<void>;
  /** Names of the files directly in a directory, sorted; empty where the directory is missing. */
  list(directory: string): Promise<readonly string[]>;
  /** Creates a directory and its parents. */
  makeDirectory(path: string): Promise<void>;
  syncDirectory(path: string): Promise<void>;
  /** Bytes that can still be written, as the file system says. */
  freeBytes(): Promise<number>;
}

/** An open file. Calls on one file may overlap; the caller orders those that must be ordered. */
export interface DiskFile {
  size(): Promise<number>;
  /** Reads up to `length` bytes; fewer only at the end of the file. */
  read(offset: number, length: number): Promise<Uint8Array>;
  /** Writes all buffers one behind the other (one `writev`). A short write is continued, or rejects with `DISK_FULL`. */
  write(offset: number, buffers: readonly Uint8Array[]): Promise<void>;
  /** Makes contents and size durable (`fdatasync`). After a rejection the state of the file on the disk is unknown. */
  datasync(): Promise<void>;
  truncate(size: number): Promise<void>;
  /** Extends the file to `size` with zeros that really occupy space. */
  allocate(size: number): Promise<void>;
  close(): Promise<void>;
}
