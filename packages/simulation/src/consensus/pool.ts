import { fork, type ChildProcess } from "node:child_process";
import type { ConsensusRunOptions, ConsensusRunResult } from "./world.ts";

export interface PoolOptions {
  readonly workers: number;
  /** Further arguments of each worker. */
  readonly arguments?: readonly string[];
  /** Asked after each result: true lets nothing new begin. */
  readonly onResult: (result: ConsensusRunResult) => boolean;
}

/** A run makes much that dies soon: a young generation of this size is collected seldom, and little of it is alive then. */
const youngGeneration = "--max-semi-space-size=64";

/** Hands runs out to processes until there are none left, or until a result ends it. */
export async function runInPool(runs: readonly ConsensusRunOptions[], options: PoolOptions): Promise<void> {
  const queue = [...runs];
  let over = false;
  const work = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const child: ChildProcess = fork(new URL("./worker.ts", import.meta.url), options.arguments ?? [], {
        execArgv: [...process.execArgv, youngGeneration],
      });
      const next = (): void => {
        const run = over ? undefined : queue.shift();
        if (run === undefined) child.disconnect();
        else child.send(run);
      };
      child.on("message", (message: ConsensusRunResult | "ready") => {
        if (message !== "ready" && options.onResult(message)) over = true;
        next();
      });
      child.on("exit", (code) => {
        if (code === 0) resolve();
        else reject(new Error(`a worker ended with ${code}`));
      });
    });
  await Promise.all(Array.from({ length: Math.min(options.workers, runs.length) }, work));
}
