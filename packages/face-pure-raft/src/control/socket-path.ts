import { chmod, lstat, unlink } from "node:fs/promises";
import { connect, type Server } from "node:net";
import { ControlInUseError, ControlPathTooLongError, ControlPathUnusableError } from "./errors.ts";

/** What fits into `sun_path` with its closing zero: 108 bytes on Linux (unix(7)), 104 on macOS. */
export const maxSocketPathBytes: number = process.platform === "darwin" ? 103 : 107;

/** Throws `CONTROL_PATH_TOO_LONG`. */
export function checkSocketPath(path: string): void {
  const bytes = Buffer.byteLength(path);
  if (bytes > maxSocketPathBytes) throw new ControlPathTooLongError(path, bytes, maxSocketPathBytes);
}

/** The code of a system error, if it is one. */
export function systemCode(error: unknown): string | undefined {
  return error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
}

/**
 * Listens at a path with mode 0600. A socket that nobody serves any more is replaced; one that is served is `CONTROL_IN_USE`, and what is no
 * socket is left alone with `CONTROL_PATH_UNUSABLE`.
 */
export async function listenAt(server: Server, path: string): Promise<void> {
  checkSocketPath(path);
  await removeStale(path);
  try {
    await listening(server, path);
    await chmod(path, 0o600);
  } catch (error) {
    server.close();
    if (systemCode(error) === "EADDRINUSE") throw new ControlInUseError(path);
    throw unusable(path, error);
  }
}

function listening(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.once("listening", () => {
      server.off("error", reject);
      resolve();
    });
    // The socket is made within this call: no moment passes in which others may connect. Worker threads may not set the mask.
    const mask = setMask(0o177);
    try {
      server.listen(path);
    } finally {
      if (mask !== undefined) setMask(mask);
    }
  });
}

function setMask(mask: number): number | undefined {
  try {
    return process.umask(mask);
  } catch (error) {
    if (systemCode(error) === "ERR_WORKER_UNSUPPORTED_OPERATION") return undefined;
    throw error;
  }
}

async function removeStale(path: string): Promise<void> {
  const found = await lstat(path).catch((error: unknown) => {
    if (systemCode(error) === "ENOENT") return undefined;
    throw unusable(path, error);
  });
  if (found === undefined) return;
  if (!found.isSocket()) throw new ControlPathUnusableError(path, "something else stands there");
  if (await isServed(path)) throw new ControlInUseError(path);
  await unlink(path).catch((error: unknown) => {
    if (systemCode(error) !== "ENOENT") throw unusable(path, error);
  });
}

/** Only a refusal by the kernel proves that nobody listens. */
function isServed(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", (error) => {
      const code = systemCode(error);
      if (code === "ECONNREFUSED" || code === "ENOENT") resolve(false);
      // A full queue of connections is somebody's.
      else if (code === "EAGAIN") resolve(true);
      else reject(unusable(path, error));
    });
  });
}

function unusable(path: string, error: unknown): ControlPathUnusableError {
  return new ControlPathUnusableError(path, error instanceof Error ? error.message : "unknown cause", { cause: error });
}
