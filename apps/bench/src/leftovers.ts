/**
 * Processes and directories of this run. Whatever ends the run, they go: each is taken back by whoever made it, and what is left
 * when the run is broken off is taken back here.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const pids = new Set<number>();
const directories = new Set<string>();

/** Takes note of a process that this run has started. The answer takes the note back, once it has ended. */
export function noteProcess(pid: number): () => void {
  pids.add(pid);
  return () => void pids.delete(pid);
}

/** A directory of its own in the system's temporary one, removed on disposal. */
export class TemporaryDirectory implements AsyncDisposable {
  readonly path: string;

  constructor(name: string) {
    this.path = mkdtempSync(join(tmpdir(), `revoada-bench-${name}-`));
    directories.add(this.path);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
    directories.delete(this.path);
  }
}

/** Ends every process and removes every directory that is left. */
function clearLeftovers(): void {
  for (const pid of pids) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It has ended by itself.
    }
  }
  pids.clear();
  for (const path of directories) rmSync(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
  directories.clear();
}

/** Ends the run where a person, the system or the clock says so, and leaves nothing behind. */
export function boundRun(totalMs: number, say: (line: string) => void): () => void {
  const end = (why: string, code: number): void => {
    say(`ended early: ${why}`);
    clearLeftovers();
    process.exit(code);
  };
  const onInterrupt = (): void => end("interrupted", 130);
  const onTerminate = (): void => end("terminated", 143);
  process.once("SIGINT", onInterrupt);
  process.once("SIGTERM", onTerminate);
  const timer = setTimeout(() => end(`it took longer than ${Math.round(totalMs / 1000)} s`, 1), totalMs);
  return () => {
    clearTimeout(timer);
    process.off("SIGINT", onInterrupt);
    process.off("SIGTERM", onTerminate);
    clearLeftovers();
  };
}
