import { randomBytes } from "node:crypto";
import { open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { CliFileError, CliFileTooLargeError } from "./errors.ts";

/** The bytes of a file that somebody named, at most `limitBytes`. Rejects with `CLI_FILE_UNAVAILABLE` or `CLI_FILE_TOO_LARGE`. */
export async function readBounded(path: string, limitBytes: number, shownPath: string = path): Promise<Uint8Array> {
  try {
    const file = await open(path, "r");
    try {
      const chunks: Uint8Array[] = [];
      let total = 0;
      // A size that is asked beforehand is no bound: the file may be a pipe, or grow meanwhile.
      for await (const chunk of file.createReadStream({ autoClose: false }) as AsyncIterable<Uint8Array>) {
        total += chunk.length;
        if (total > limitBytes)
          throw new CliFileTooLargeError(shownPath, Math.max(total, (await file.stat()).size), limitBytes);
        chunks.push(chunk);
      }
      return Buffer.concat(chunks);
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof CliFileTooLargeError) throw error;
    throw new CliFileError("read", shownPath, error);
  }
}

/** Writes a file so that it appears whole and durable, or stays as it was. */
export async function writeDurably(
  path: string,
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  options: { readonly mode: number },
): Promise<void> {
  const temporary = `${path}.${randomBytes(6).toString("hex")}.tmp`;
  const file = await open(temporary, "wx", options.mode);
  try {
    try {
      // Whatever the umask is.
      await file.chmod(options.mode);
      for await (const chunk of chunks) await file.writeFile(chunk);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncFolder(dirname(path));
}

/** Puts one file in the place of another, durably. */
export async function replaceDurably(from: string, to: string): Promise<void> {
  await rename(from, to);
  await syncFolder(dirname(to));
}

async function syncFolder(path: string): Promise<void> {
  if (process.platform === "win32") return;
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
