import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LoadOptions, LoadResult } from "../load.ts";
import { Worker } from "../processes.ts";

export interface BareResult extends LoadResult {
  readonly leaderCpuSeconds: number;
}

/** Runs the bare program once for each load, in three fresh processes. */
export async function runBare(loads: readonly LoadOptions[]): Promise<readonly BareResult[]> {
  const directory = await mkdtemp(join(tmpdir(), "revoada-bench-bare-"));
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  const script = new URL("./replica.ts", import.meta.url);
  const workers = [0, 1, 2].map(() => stack.use(new Worker(script)));
  const [leader, ...followers] = workers as [Worker, Worker, Worker];
  await Promise.all(
    workers.map((worker, index) => worker.ask({ type: "open", path: join(directory, `log-${index}`) })),
  );
  const ports = await Promise.all(followers.map((follower) => follower.ask({ type: "follow" })));
  await leader.ask({ type: "lead", ports });
  const results: BareResult[] = [];
  for (const options of loads) results.push((await leader.ask({ type: "load", options })) as BareResult);
  return results;
}
