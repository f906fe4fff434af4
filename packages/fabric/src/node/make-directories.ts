import { mkdir, stat } from "node:fs/promises";
import { dirname } from "node:path";

const ownersOnly = 0o700;

/**
 * Makes a directory and those above it that are missing, each for its owner alone, and resolves with the topmost one that it made;
 * undefined where the directory was there. Rejects with what the system says.
 *
 * `mkdir` of Node with `recursive` does not return where the system says `ENOENT` of a directory whose parent is there, as procfs does.
 */
export async function makeDirectories(path: string): Promise<string | undefined> {
  const refusal = await makeOne(path);
  if (refusal === undefined) return path;
  if (refusal.code === "EEXIST" && (await stat(path)).isDirectory()) return undefined;
  if (refusal.code !== "ENOENT") throw refusal;
  const topmost = await makeDirectories(dirname(path));
  const again = await makeOne(path);
  // Somebody else may have made it meanwhile.
  if (again !== undefined && !(again.code === "EEXIST" && (await stat(path)).isDirectory())) throw again;
  return topmost ?? path;
}

async function makeOne(path: string): Promise<NodeJS.ErrnoException | undefined> {
  try {
    await mkdir(path, { mode: ownersOnly });
    return undefined;
  } catch (error) {
    return error as NodeJS.ErrnoException;
  }
}
