/**
 * Waits for the lock of a directory, says so, checks that nobody else is inside, and then does as it is told: `wait` for the
 * end of its input, or `die` without releasing.
 */
import { open, unlink } from "node:fs/promises";
import { join } from "node:path";
import { isFabricError } from "@revoada/fabric";
import { type DirectoryLock, lockDirectory } from "@revoada/fabric/node";

const [directory = "", plan = "wait"] = process.argv.slice(2);

async function taken(): Promise<DirectoryLock> {
  for (;;) {
    try {
      return await lockDirectory(directory);
    } catch (error) {
      if (!isFabricError(error, "DISK_LOCKED")) throw error;
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }
}

const lock = await taken();
const inside = join(directory, "inside");
await (await open(inside, "wx")).close();
await unlink(inside);
process.stdout.write("held\n");
if (plan === "die") process.kill(process.pid, "SIGKILL");
for await (const _chunk of process.stdin);
await lock.release();
