import { fork } from "node:child_process";
import type { FormationRunOptions, FormationRunResult } from "./run.ts";

export interface FormationPoolOptions {
  readonly workers: number;
  /** Further arguments of each worker. */
  readonly arguments?: readonly string[];
  /** Asked after each result: true lets nothing new begin. */
  readonly onResult: (result: FormationRunResult) => boolean;
}

/** Hands runs out to processes until there are none left, or until a result ends it. */
export async function runFormationsInPool(
  runs: readonly FormationRunOptions[],
  options: FormationPoolOptions,
): Promise<void> {
  const queue = [...runs];
  let isOver = false;
  const work = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const child = fork(new URL("./worker.ts", import.meta.url), options.arguments ?? [], {
        execArgv: process.execArgv,
      });
      child.on("message", (message: FormationRunResult | "ready") => {
        if (message !== "ready" && options.onResult(message)) isOver = true;
        const run = isOver ? undefined : queue.shift();
        if (run === undefined) child.disconnect();
        else child.send(run);
      });
      child.on("exit", (code) => {
        if (code === 0) resolve();
        else reject(new Error(`a worker ended with ${code}`));
      });
    });
  await Promise.all(Array.from({ length: Math.min(options.workers, runs.length) }, work));
}
