/**
 * Processes and directories of this run. Whatever ends the run, they go: each is taken back by whoever made it, and what is left
 * when the run is broken off is taken back here.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const endings = new Set<() => void>();
const directories = new Set<string>();

/** Takes note of what ends processes that this run has started. The answer takes the note back, once they have ended. */
export function noteEnding(end: () => void): () => void {
  endings.add(end);
  return () => void endings.delete(end);
}

/** Takes note of a process that this run has started. The answer takes the note back, once it has ended. */
export function noteProcess(pid: number): () => void {
  return noteEnding(() => void process.kill(pid, "SIGKILL"));
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
  for (const end of endings) {
    try {
      end();
    } catch {
      // It has ended by itself.
    }
  }
  endings.clear();
  for (const path of directories) rmSync(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
  directories.clear();
}

/** Ends the run where a person, the system or the clock says so, leaves nothing behind, and delivers what there is by then. */
export function boundRun(totalMs: number, say: (line: string) => void, deliver: () => void): () => void {
  const end = (why: string, code: number): void => {
    say(`ended early: ${why}`);
    clearLeftovers();
    try {
      deliver();
    } finally {
      process.exit(code);
    }
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
