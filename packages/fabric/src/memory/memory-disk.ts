import { checkDiskNumber, DiskError, parseDiskPath } from "../disk-errors.ts";
import { InvalidValueError } from "../errors.ts";
import type { Random } from "../seams/clock.ts";
import type { Disk, DiskFile } from "../seams/disk.ts";
import { NameJournal } from "./name-journal.ts";
import { type CrashOutcome, SectorFile } from "./sector-file.ts";
import { seededRandom } from "./seeded-random.ts";

/** One call that a disk is about to carry out. */
export interface DiskOperation {
  readonly kind:
    | "open"
    | "size"
    | "rename"
    | "remove"
    | "list"
    | "makeDirectory"
    | "syncDirectory"
    | "freeBytes"
    | "read"
    | "write"
    | "datasync"
    | "truncate"
    | "allocate";
  readonly path: string;
  /** Bytes to be written, for `write` and `allocate`. */
  readonly bytes?: number;
}

export interface MemoryDiskOptions {
  /** Appears in error messages. */
  readonly name?: string;
  /** What the disk holds at most; 1 TiB unless told. */
  readonly capacityBytes?: number;
  /** Decides which unsynced sectors survive a `random` crash. */
  readonly random?: Random;
  /**
   * Called before each operation takes effect. A promise delays it; a throw makes it fail; a `crash()` in it happens just before
   * the operation.
   */
  readonly onOperation?: (operation: DiskOperation) => void | Promise<void>;
}

/** How many operations of a kind were carried out. */
export interface MemoryDiskStatistics {
  readonly writes: number;
  readonly writtenBytes: number;
  readonly datasyncs: number;
  readonly directorySyncs: number;
}

/** A disk in memory that keeps apart what is durable and what a crash takes, and fails when told. */
export interface MemoryDisk extends Disk {
  readonly name: string;
  /**
   * Ends everything that has files open (their handles fail from here on) and leaves what a crash would leave.
   *
   * `unsynced-lost` (the default): contents without `datasync` and names without `syncDirectory` are gone. `nothing-lost`: a killed
   * process, the page cache stays. `random`: each unsynced sector survives or not, a new size may be kept without its bytes, and
   * of the unsynced names a prefix survives, as on a journaling file system.
   */
  crash(outcome?: CrashOutcome): void;
  /** Another disk that holds what a crash would leave now; this one goes on. */
  image(outcome?: CrashOutcome, options?: MemoryDiskOptions): MemoryDisk;
  /** Makes the next `count` syncs of contents fail; what they should have covered is in limbo, as after a real `EIO`. */
  failSyncs(count?: number): void;
  /** Makes the next `count` writes fail after having written a part. */
  failWrites(count?: number): void;
  setReadOnly(readOnly: boolean): void;
  setCapacity(capacityBytes: number): void;
  /** Flips the bits of `mask` in one stored byte, durable and cached. */
  corrupt(path: string, offset: number, mask?: number): void;
  statistics(): MemoryDiskStatistics;
}

const defaultCapacityBytes = 2 ** 40;

interface DiskState {
  readonly names: NameJournal;
  /** Rises with each crash; handles of an older one are dead. */
  life: number;
}

class InMemoryDisk implements MemoryDisk {
  readonly name: string;
  readonly #state: DiskState;
  readonly #random: Random;
  readonly #onOperation: MemoryDiskOptions["onOperation"];
  #capacityBytes: number;
  #readOnly = false;
  #syncFailures = 0;
  #writeFailures = 0;
  #statistics = { writes: 0, writtenBytes: 0, datasyncs: 0, directorySyncs: 0 };

  constructor(options: MemoryDiskOptions, names: NameJournal) {
    this.name = options.name ?? "memory";
    this.#state = { names, life: 0 };
    this.#random = options.random ?? seededRandom(this.name);
    this.#onOperation = options.onOperation;
    this.#capacityBytes = checkDiskNumber("capacityBytes", options.capacityBytes ?? defaultCapacityBytes);
  }

  async open(path: string, options: { readonly create?: boolean } = {}): Promise<DiskFile> {
    const key = filePath(path);
    await this.#before({ kind: "open", path });
    const { names } = this.#state;
    const found = names.file(key);
    if (found !== undefined) return this.#handle(path, found);
    if (options.create !== true) throw this.#error("DISK_NOT_FOUND", path, "no such file");
    this.#refuseReadOnly(path);
    if (names.isDirectory(key)) throw this.#error("DISK_IO", path, "is a directory");
    if (!names.isDirectory(parentOf(key))) throw this.#error("DISK_NOT_FOUND", path, "its directory is missing");
    const made = new SectorFile();
    names.link(key, made);
    return this.#handle(path, made);
  }

  async size(path: string): Promise<number | undefined> {
    const key = filePath(path);
    await this.#before({ kind: "size", path });
    return this.#state.names.file(key)?.size;
  }

  async rename(from: string, to: string): Promise<void> {
    const [fromKey, toKey] = [filePath(from), filePath(to)];
    await this.#before({ kind: "rename", path: from });
    this.#refuseReadOnly(from);
    const { names } = this.#state;
    if (names.file(fromKey) === undefined) throw this.#error("DISK_NOT_FOUND", from, "no such file");
    if (!names.isDirectory(parentOf(toKey))) throw this.#error("DISK_NOT_FOUND", to, "its directory is missing");
    if (names.isDirectory(toKey)) throw this.#error("DISK_IO", to, "is a directory");
    names.rename(fromKey, toKey);
  }

  async remove(path: string): Promise<void> {
    const key = filePath(path);
    await this.#before({ kind: "remove", path });
    if (this.#state.names.file(key) === undefined) return;
    this.#refuseReadOnly(path);
    this.#state.names.unlink(key);
  }

  async list(directory: string): Promise<readonly string[]> {
    const key = directoryPath(directory);
    await this.#before({ kind: "list", path: directory });
    return this.#state.names.list(key);
  }

  async makeDirectory(path: string): Promise<void> {
    const parts = parseDiskPath(path);
    await this.#before({ kind: "makeDirectory", path });
    for (let depth = 1; depth <= parts.length; depth += 1) {
      const key = parts.slice(0, depth).join("/");
      if (this.#state.names.isDirectory(key)) continue;
      this.#refuseReadOnly(path);
      if (this.#state.names.file(key) !== undefined) throw this.#error("DISK_IO", path, `${key} is a file`);
      this.#state.names.makeDirectory(key);
    }
  }

  async syncDirectory(path: string): Promise<void> {
    const key = directoryPath(path);
    await this.#before({ kind: "syncDirectory", path });
    if (!this.#state.names.isDirectory(key)) throw this.#error("DISK_NOT_FOUND", path, "no such directory");
    this.#statistics.directorySyncs += 1;
    this.#state.names.sync(key);
  }

  async freeBytes(): Promise<number> {
    await this.#before({ kind: "freeBytes", path: "" });
    return this.#freeBytes();
  }

  crash(outcome: CrashOutcome = "unsynced-lost"): void {
    this.#state.life += 1;
    // A killed process leaves the page cache as it is: what was not synced stays at risk.
    if (outcome !== "nothing-lost") this.#state.names.crash(outcome, this.#random);
  }

  image(outcome: CrashOutcome = "unsynced-lost", options: MemoryDiskOptions = {}): MemoryDisk {
    return new InMemoryDisk({ name: this.name, ...options }, this.#state.names.afterCrash(outcome, this.#random));
  }

  failSyncs(count = 1): void {
    this.#syncFailures = count;
  }

  failWrites(count = 1): void {
    this.#writeFailures = count;
  }

  setReadOnly(readOnly: boolean): void {
    this.#readOnly = readOnly;
  }

  setCapacity(capacityBytes: number): void {
    this.#capacityBytes = checkDiskNumber("capacityBytes", capacityBytes);
  }

  corrupt(path: string, offset: number, mask = 1): void {
    const file = this.#state.names.file(filePath(path));
    if (file === undefined) throw this.#error("DISK_NOT_FOUND", path, "no such file");
    if (offset >= file.size) throw new InvalidValueError("offset", offset, `less than the size, ${file.size}`);
    file.corrupt(checkDiskNumber("offset", offset), mask);
  }

  statistics(): MemoryDiskStatistics {
    return { ...this.#statistics };
  }

  #handle(path: string, file: SectorFile): DiskFile {
    const { life } = this.#state;
    let open = true;
    const check = (): void => {
      if (life !== this.#state.life) throw this.#error("DISK_IO", path, "the disk crashed since it was opened");
      if (!open) throw this.#error("DISK_IO", path, "the file is closed");
    };
    const before = async (operation: DiskOperation): Promise<void> => {
      check();
      await this.#before(operation);
      check();
    };
    return {
      size: async () => {
        await before({ kind: "size", path });
        return file.size;
      },
      read: async (offset, length) => {
        checkRange(offset, length);
        await before({ kind: "read", path });
        return file.read(offset, length);
      },
      write: async (offset, buffers) => {
        const bytes = joined(buffers);
        checkRange(offset, bytes.length);
        await before({ kind: "write", path, bytes: bytes.length });
        this.#write(path, file, offset, bytes);
      },
      datasync: async () => {
        check();
        // What is covered is decided at the call, and durable only at the end.
        const sync = file.beginSync();
        await this.#datasync(path, sync, check);
      },
      truncate: async (size) => {
        checkDiskNumber("size", size);
        await before({ kind: "truncate", path });
        this.#refuseReadOnly(path);
        file.resize(size);
      },
      allocate: async (size) => {
        checkDiskNumber("size", size);
        await before({ kind: "allocate", path, bytes: Math.max(0, size - file.size) });
        this.#allocate(path, file, size);
      },
      close: async () => {
        open = false;
      },
    };
  }

  async #datasync(path: string, sync: { commit(): void; fail(): void }, check: () => void): Promise<void> {
    try {
      await this.#before({ kind: "datasync", path });
      check();
      if (this.#syncFailures > 0) {
        this.#syncFailures -= 1;
        throw this.#error("DISK_IO", path, "the sync failed");
      }
    } catch (error) {
      sync.fail();
      throw error;
    }
    this.#statistics.datasyncs += 1;
    sync.commit();
  }

  #write(path: string, file: SectorFile, offset: number, bytes: Uint8Array): void {
    this.#refuseReadOnly(path);
    if (this.#writeFailures > 0) {
      this.#writeFailures -= 1;
      file.write(offset, bytes.subarray(0, bytes.length >> 1));
      throw this.#error("DISK_IO", path, "the write failed");
    }
    const room = Math.max(0, this.#freeBytes());
    const fits = Math.min(bytes.length, Math.max(0, Math.max(file.size, file.size + room) - offset));
    this.#statistics.writes += 1;
    this.#statistics.writtenBytes += fits;
    if (fits > 0) file.write(offset, bytes.subarray(0, fits));
    if (fits < bytes.length) {
      throw this.#error("DISK_FULL", path, `${fits} of ${bytes.length} bytes were written at ${offset}`);
    }
  }

  #allocate(path: string, file: SectorFile, size: number): void {
    this.#refuseReadOnly(path);
    if (size <= file.size) return;
    const reached = Math.min(size, file.size + Math.max(0, this.#freeBytes()));
    file.resize(reached);
    if (reached < size) throw this.#error("DISK_FULL", path, `allocated up to ${reached} of ${size} bytes`);
  }

  #freeBytes(): number {
    return this.#capacityBytes - this.#state.names.usedBytes();
  }

  #refuseReadOnly(path: string): void {
    if (this.#readOnly) throw this.#error("DISK_READ_ONLY", path, "the disk is read-only");
  }

  async #before(operation: DiskOperation): Promise<void> {
    if (this.#onOperation === undefined) return;
    const { life } = this.#state;
    await this.#onOperation(operation);
    if (life !== this.#state.life) throw this.#error("DISK_IO", operation.path, "the disk crashed meanwhile");
  }

  #error(code: "DISK_FULL" | "DISK_READ_ONLY" | "DISK_IO" | "DISK_NOT_FOUND", path: string, what: string): DiskError {
    return new DiskError(code, path, `${what} (disk ${this.name})`);
  }
}

function directoryPath(path: string): string {
  return parseDiskPath(path).join("/");
}

function filePath(path: string): string {
  const key = directoryPath(path);
  if (key === "") throw new InvalidValueError("path", path, "the name of a file");
  return key;
}

function parentOf(key: string): string {
  return key.slice(0, Math.max(0, key.lastIndexOf("/")));
}

function checkRange(offset: number, length: number): void {
  checkDiskNumber("offset", offset);
  checkDiskNumber("length", length);
}

function joined(buffers: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const buffer of buffers) length += buffer.length;
  const all = new Uint8Array(length);
  let at = 0;
  for (const buffer of buffers) {
    all.set(buffer, at);
    at += buffer.length;
  }
  return all;
}

/** An empty disk in memory. */
export function memoryDisk(options: MemoryDiskOptions = {}): MemoryDisk {
  return new InMemoryDisk(options, new NameJournal());
}

/** Disks by name, each made when first asked for and kept: what the machines of one test stand on. */
export function memoryDisks(options: Omit<MemoryDiskOptions, "name"> = {}): (name: string) => MemoryDisk {
  const disks = new Map<string, MemoryDisk>();
  return (name) => {
    const disk = disks.get(name) ?? memoryDisk({ ...options, name });
    disks.set(name, disk);
    return disk;
  };
}
