import type { ArchiveSink, Disk } from "@revoada/fabric";
import { ArchiveExistsError } from "../errors.ts";

const namePattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$/;

/**
 * Keeps archived segments as files of a directory: written under another name, flushed, renamed, and the directory flushed. `place` is how the
 * directory is shown.
 */
export function fileArchive(disk: Disk, place: string): ArchiveSink {
  return {
    place,
    async put(name, bytes, { signal }) {
      if (!namePattern.test(name)) throw new ArchiveExistsError(place, name, "is no name of a file");
      await disk.makeDirectory("");
      if ((await disk.size(name)) !== undefined) {
        if (!same(await read(disk, name, signal), bytes))
          throw new ArchiveExistsError(place, name, "is there already, with other bytes");
        // Its name may not have been durable when whoever wrote it was stopped.
        await disk.syncDirectory("");
        return;
      }
      const temporary = `${name}.part`;
      await disk.remove(temporary);
      await write(disk, temporary, bytes, signal);
      await disk.rename(temporary, name);
      await disk.syncDirectory("");
    },
    get: (name, { signal }) => read(disk, name, signal),
  };
}

async function write(disk: Disk, path: string, bytes: Uint8Array, signal: AbortSignal): Promise<void> {
  const file = await disk.open(path, { create: true });
  try {
    signal.throwIfAborted();
    await file.write(0, [bytes]);
    await file.datasync();
  } finally {
    await file.close();
  }
}

async function read(disk: Disk, path: string, signal: AbortSignal): Promise<Uint8Array> {
  const file = await disk.open(path);
  try {
    signal.throwIfAborted();
    return await file.read(0, await file.size());
  } finally {
    await file.close();
  }
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}
