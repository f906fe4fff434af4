import { chmod, mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { isFabricError } from "@revoada/fabric";
import { lockDirectory, makeDirectories, type DirectoryLock } from "@revoada/fabric/node";
import { maxSocketPathBytes } from "@revoada/face-pure-raft";
import { DataUnavailableError, ForeignDirectoryError } from "../errors.ts";
import { replaceDurably, writeDurably } from "../files.ts";
import { decodeNodeFile, encodeNodeFile, type NodeFile } from "./node-file.ts";

/** The names of a data directory. */
export interface DataPaths {
  readonly directory: string;
  /** Who this node is and to which cluster it belongs. */
  readonly node: string;
  readonly key: string;
  /** The key that this node is about to go on with; there only while its key is rotated. */
  readonly nextKey: string;
  readonly joinToken: string;
  /** The genesis that this node has proposed, or promised to follow, before it had a cluster. */
  readonly expect: string;
  readonly peers: string;
  /** The log's folder, relative to the directory. */
  readonly walName: string;
  readonly store: string;
  readonly socket: string;
  /** Where the socket is when its own path would be too long for one. */
  readonly socketRecord: string;
}

export function dataPaths(directory: string): DataPaths {
  return {
    directory,
    node: join(directory, "node.rvd"),
    key: join(directory, "identity.key"),
    nextKey: join(directory, "identity.next.key"),
    joinToken: join(directory, "join-token"),
    expect: join(directory, "expect.rvd"),
    peers: join(directory, "peers"),
    walName: "wal",
    store: join(directory, "store"),
    socket: join(directory, "control.sock"),
    socketRecord: join(directory, "control-socket"),
  };
}

const ownNames = new Set([
  "node.rvd",
  "identity.key",
  "identity.next.key",
  "join-token",
  "expect.rvd",
  "peers",
  "wal",
  "store",
  "control.sock",
  "control-socket",
  "lost+found",
]);
// Leftovers of an interrupted write, and the lock's own files.
const ownPatterns = [/^lock(\.|$)/, /\.tmp$/];

/** A data directory that this process holds alone. */
export class DataDirectory implements AsyncDisposable {
  readonly paths: DataPaths;
  readonly #lock: DirectoryLock;
  #socketFolder: string | undefined;

  private constructor(paths: DataPaths, lock: DirectoryLock) {
    this.paths = paths;
    this.#lock = lock;
  }

  /**
   * Takes a directory, making it where it is missing; it ends up reachable by its owner alone.
   *
   * Rejects with `DISK_LOCKED`, `NODE_FOREIGN_DIRECTORY` for one that holds other things, or `NODE_DATA_UNAVAILABLE`.
   */
  static async open(directory: string): Promise<DataDirectory> {
    try {
      await makeDirectories(directory);
      const names = await readdir(directory);
      const foreign = names.find((name) => !ownNames.has(name) && !ownPatterns.some((pattern) => pattern.test(name)));
      // Once it is a data directory, what else an operator puts there is not our business.
      if (foreign !== undefined && !names.includes("node.rvd")) throw new ForeignDirectoryError(directory, foreign);
      if (process.platform !== "win32" && ((await stat(directory)).mode & 0o077) !== 0) await chmod(directory, 0o700);
      return new DataDirectory(dataPaths(directory), await lockDirectory(directory));
    } catch (error) {
      if (isFabricError(error)) throw error;
      throw new DataUnavailableError(directory, "use", error);
    }
  }

  /** The node file, or undefined where this directory has no node yet. */
  readNode(): Promise<NodeFile | undefined> {
    return readNodeFile(this.paths);
  }

  async writeNode(file: NodeFile): Promise<void> {
    await this.#write(this.paths.node, encodeNodeFile(file));
  }

  /** The next key becomes the key; the one before it is gone then. */
  async adoptNextKey(): Promise<void> {
    try {
      await replaceDurably(this.paths.nextKey, this.paths.key);
    } catch (error) {
      throw new DataUnavailableError(this.paths.key, "replace", error);
    }
  }

  /** The next key is not used after all. */
  async dropNextKey(): Promise<void> {
    await rm(this.paths.nextKey, { force: true });
  }

  /** What {@link writeExpect} wrote; undefined where nothing was. */
  async readExpect(): Promise<Uint8Array | undefined> {
    const { expect } = this.paths;
    try {
      return await readFile(expect);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw new DataUnavailableError(expect, "read", error);
    }
  }

  async writeExpect(bytes: Uint8Array): Promise<void> {
    await this.#write(this.paths.expect, bytes);
  }

  async writeJoinToken(token: string): Promise<void> {
    await this.#write(this.paths.joinToken, Buffer.from(`${token}\n`));
  }

  /** Where the control socket may stand: in the directory, or in a private one of the system's where the path is too long. */
  async chooseSocket(): Promise<string> {
    const { socket, socketRecord } = this.paths;
    await rm(socketRecord, { force: true });
    if (Buffer.byteLength(socket) <= maxSocketPathBytes) return socket;
    this.#socketFolder = await mkdtemp(join(tmpdir(), "revoada-"));
    const chosen = join(this.#socketFolder, "control.sock");
    await this.#write(socketRecord, Buffer.from(`${chosen}\n`));
    return chosen;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#socketFolder !== undefined) {
      await rm(this.paths.socketRecord, { force: true });
      await rm(this.#socketFolder, { recursive: true, force: true });
    }
    await this.#lock.release();
  }

  async #write(path: string, bytes: Uint8Array): Promise<void> {
    try {
      await writeDurably(path, [bytes], { mode: 0o600 });
    } catch (error) {
      throw new DataUnavailableError(path, "write", error);
    }
  }
}

/** Reads a node file without holding the directory. Rejects as {@link decodeNodeFile} throws, or `NODE_DATA_UNAVAILABLE`. */
export async function readNodeFile(paths: DataPaths): Promise<NodeFile | undefined> {
  try {
    return decodeNodeFile(await readFile(paths.node), paths.node);
  } catch (error) {
    if (isFabricError(error)) throw error;
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new DataUnavailableError(paths.node, "read", error);
  }
}

/** Where a daemon's socket is: in the data directory, or where its record says. */
export async function findSocket(directory: string): Promise<string> {
  const { socket, socketRecord } = dataPaths(directory);
  try {
    const recorded = (await readFile(socketRecord, "utf8")).trim();
    // The record lies in a directory that only its owner can write, and leads into another such.
    if (recorded !== "" && dirname(recorded) !== ".") return recorded;
  } catch {
    return socket;
  }
  return socket;
}
