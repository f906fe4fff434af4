import { randomBytes } from "node:crypto";
import { link, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { connect, createServer, type Server } from "node:net";
import { join, resolve } from "node:path";
import { DiskError } from "../disk-errors.ts";
import { FabricError } from "../errors.ts";
import { ownIdentity, type ProcessIdentity, stateOf } from "./process-identity.ts";

/** Another process, or another part of this one, holds the directory. */
export class DirectoryLockedError extends FabricError {
  readonly directory: string;
  /** The process that holds it, in the numbering of its own container. */
  readonly pid: number;

  constructor(directory: string, pid: number) {
    super("DISK_LOCKED", `${directory} is in use by process ${pid}`, { retryable: true });
    this.directory = directory;
    this.pid = pid;
  }
}

/** A directory that is ours until released. */
export interface DirectoryLock extends AsyncDisposable {
  readonly directory: string;
  /** May be called twice. */
  release(): Promise<void>;
}

/** What stands in the lock file. */
interface Holder extends ProcessIdentity {
  readonly nonce: string;
  /** True where it listens on a socket, for those who cannot look its process up. */
  readonly listens: boolean;
}

/** Stands for a record that cannot be read: no process has this number. */
const nobody = 0;

/** What fits into `sun_path` (unix(7)), with room to spare. */
const maxSocketPathBytes = 100;

const lockName = "lock";
const claimPrefix = "lock.successor-of.";

/** Contenders that find the ground moving start again, this often at most. */
const maxAttempts = 100;

const socketName = (nonce: string): string => `lock.${nonce}.socket`;

/**
 * Takes a directory for this process, or rejects with `DISK_LOCKED`.
 *
 * The lock is a file that names its holder, made by `link`, which is atomic. A holder that has died (its number may be in use
 * again: its start time tells) is succeeded by whoever links a claim with *its* nonce in the name, and only that one may replace
 * the lock file. A claimant that dies in turn is succeeded in the same way, so that at no point two can believe to hold it.
 * A holder in another container cannot be looked up; it is asked through a socket, which its kernel closes with it.
 */
export async function lockDirectory(directory: string): Promise<DirectoryLock> {
  const place = resolve(directory);
  const nonce = randomBytes(16).toString("hex");
  const record = join(place, `lock.${nonce}`);
  const server = await listen(join(place, socketName(nonce)));
  const own: Holder = { ...(await ownIdentity()), nonce, listens: server !== undefined };
  try {
    await writeRecord(record, own);
    for (let attempt = 0; attempt < maxAttempts; attempt += 1) {
      if (await tryTake(place, record, own)) return new HeldLock(place, own.nonce, server);
    }
    throw new DiskError("DISK_IO", place, `the lock changed hands ${maxAttempts} times while it was asked for`);
  } catch (error) {
    await endServer(server);
    if (error instanceof FabricError) throw error;
    const code = (error as { readonly code?: unknown }).code;
    const kind = code === "ENOSPC" ? "DISK_FULL" : code === "EROFS" ? "DISK_READ_ONLY" : "DISK_IO";
    throw new DiskError(code === "ENOENT" ? "DISK_NOT_FOUND" : kind, place, `locking failed: ${String(code)}`, error);
  } finally {
    await rm(record, { force: true });
  }
}

class HeldLock implements DirectoryLock {
  readonly directory: string;
  readonly #nonce: string;
  readonly #server: Server | undefined;
  #released: Promise<void> | undefined;

  constructor(directory: string, nonce: string, server: Server | undefined) {
    this.directory = directory;
    this.#nonce = nonce;
    this.#server = server;
  }

  release(): Promise<void> {
    this.#released ??= this.#release();
    return this.#released;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }

  async #release(): Promise<void> {
    const found = await readHolder(join(this.directory, lockName));
    // Nobody replaces the lock of a living process, but an operator may have removed it, and another taken it since.
    if (found?.nonce === this.#nonce) await rm(join(this.directory, lockName), { force: true });
    await endServer(this.#server);
  }
}

/** True where the lock is ours; false where something changed meanwhile and it is worth another try. */
async function tryTake(place: string, record: string, own: Holder): Promise<boolean> {
  const lock = join(place, lockName);
  if (await linkNew(record, lock)) return true;
  const line: string[] = [];
  let holder = await readHolder(lock);
  while (holder !== undefined) {
    if (await isAlive(place, holder, own)) throw new DirectoryLockedError(place, holder.pid);
    line.push(holder.nonce);
    const claim = join(place, claimPrefix + holder.nonce);
    if (await linkNew(record, claim)) return succeed(place, record, claim, line);
    holder = await readHolder(claim);
  }
  return false;
}

/** Replaces a dead holder's lock, once it is sure that the claim was not for one whose successor has come and tidied up. */
async function succeed(place: string, record: string, claim: string, line: readonly string[]): Promise<boolean> {
  const lock = join(place, lockName);
  const now = await readHolder(lock);
  if (now === undefined || !line.includes(now.nonce)) {
    await rm(claim, { force: true });
    return false;
  }
  await rename(record, lock);
  for (const nonce of line) {
    await rm(join(place, claimPrefix + nonce), { force: true });
    await rm(join(place, socketName(nonce)), { force: true });
  }
  await removeLeftRecords(place, line);
  return true;
}

/** Records of contenders that died before they were done. */
async function removeLeftRecords(place: string, line: readonly string[]): Promise<void> {
  const names = new Set(line.map((nonce) => `lock.${nonce}`));
  for (const name of await readdir(place)) if (names.has(name)) await rm(join(place, name), { force: true });
}

async function isAlive(place: string, holder: Holder, own: Holder): Promise<boolean> {
  if (holder.pid === nobody) return false;
  const state = await stateOf(holder, own);
  if (state !== "unknown") return state === "alive";
  return holder.listens ? answers(join(place, socketName(holder.nonce))) : true;
}

/** False only where the kernel says that nobody listens. */
function answers(path: string): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      done(true);
    });
    socket.once("error", (error: Error & { readonly code?: string }) => {
      done(error.code !== "ECONNREFUSED" && error.code !== "ENOENT");
    });
  });
}

/** Undefined where the file system takes no sockets, or the path is longer than a socket's may be. */
function listen(path: string): Promise<Server | undefined> {
  if (Buffer.byteLength(path) > maxSocketPathBytes) return Promise.resolve(undefined);
  return new Promise((done) => {
    const server = createServer((socket) => socket.destroy());
    server.once("error", () => done(undefined));
    server.listen(path, () => {
      server.unref();
      done(server);
    });
  });
}

function endServer(server: Server | undefined): Promise<void> {
  return new Promise((done) => {
    if (server === undefined) done();
    else server.close(() => done());
  });
}

async function writeRecord(path: string, holder: Holder): Promise<void> {
  const file = await open(path, "wx", 0o600);
  try {
    await file.writeFile(`${JSON.stringify(holder)}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** True where `path` did not exist and now is `record`. */
async function linkNew(record: string, path: string): Promise<boolean> {
  try {
    await link(record, path);
    return true;
  } catch (error) {
    if ((error as { readonly code?: unknown }).code === "EEXIST") return false;
    throw error;
  }
}

/** Undefined where there is no such file. One that says nothing, as after a power cut, is a holder that no process can be. */
async function readHolder(path: string): Promise<Holder | undefined> {
  try {
    const text = await readFile(path, "utf8");
    return parseHolder(text) ?? { pid: nobody, nonce: `broken-${(await stat(path)).ino}`, listens: false };
  } catch (error) {
    if ((error as { readonly code?: unknown }).code === "ENOENT") return undefined;
    throw error;
  }
}

function parseHolder(text: string): Holder | undefined {
  if (text.length > 4096) return undefined;
  try {
    const found = JSON.parse(text) as Partial<Record<keyof Holder, unknown>> | null;
    if (found === null || !Number.isSafeInteger(found.pid) || (found.pid as number) < 1) return undefined;
    return /^[0-9a-f]{32}$/.test(String(found.nonce)) ? (found as Holder) : undefined;
  } catch {
    return undefined;
  }
}
