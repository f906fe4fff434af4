import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Runs `work` in a directory of its own that is removed afterwards, or kept where `keep` says so. */
export async function inScratch<T>(
  name: string,
  work: (directory: string) => Promise<T>,
  keep: (result: T | undefined) => boolean = () => false,
): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), `revoada-${name}-`));
  let result: T | undefined;
  try {
    result = await work(directory);
    return result;
  } finally {
    if (keep(result)) process.stderr.write(`kept: ${directory}\n`);
    else await rm(directory, { recursive: true, force: true });
  }
}

/**
 * Runs a bounded program: aborts `work` on Ctrl-C, on SIGTERM and after `maxMinutes`, lets it clean up, and makes its verdict the
 * exit status.
 */
export async function bounded(maxMinutes: number, work: (signal: AbortSignal) => Promise<boolean>): Promise<void> {
  const controller = new AbortController();
  const stop = (why: string): void => controller.abort(new Error(why));
  const timer = setTimeout(() => stop(`it took longer than ${maxMinutes} minutes`), maxMinutes * 60_000);
  const interrupted = (signal: NodeJS.Signals): void => stop(`stopped by ${signal}`);
  process.on("SIGINT", interrupted);
  process.on("SIGTERM", interrupted);
  try {
    const good = await work(controller.signal);
    process.exitCode = good ? 0 : 1;
  } catch (error) {
    process.stderr.write(`error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    process.exitCode = controller.signal.aborted ? 130 : 1;
  } finally {
    clearTimeout(timer);
    process.off("SIGINT", interrupted);
    process.off("SIGTERM", interrupted);
  }
}

/** A whole number within bounds from the command line, or an error that names the option. */
export function wholeNumber(name: string, text: string, range: { readonly from: number; readonly to: number }): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < range.from || value > range.to)
    throw new RangeError(
      `--${name} takes a whole number from ${range.from} to ${range.to}, not ${JSON.stringify(text)}`,
    );
  return value;
}
