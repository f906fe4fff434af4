import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NodeId, ReplicaId } from "@revoada/fabric";
import type { LoadOptions, LoadResult } from "../load.ts";
import { Worker } from "../processes.ts";

export interface RaftResult extends LoadResult {
  readonly leaderCpuSeconds: number;
}

/** Runs each load on the leader of three processes of `@revoada/consensus-raft` over TLS, with fsync. */
export async function runRaft(loads: readonly LoadOptions[]): Promise<readonly RaftResult[]> {
  const directory = await mkdtemp(join(tmpdir(), "revoada-bench-raft-"));
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  const script = new URL("./replica.ts", import.meta.url);
  const workers = [0, 1, 2].map(() => stack.use(new Worker(script)));
  const peers = await Promise.all(
    workers.map(async (worker, index): Promise<readonly [NodeId, readonly string[]]> => {
      const path = join(directory, `node-${index}`);
      await mkdir(path);
      const { id, addresses } = (await worker.ask({
        type: "open",
        path,
        seed: new Uint8Array(32).fill(index + 1),
      })) as {
        id: NodeId;
        addresses: readonly string[];
      };
      return [id, addresses];
    }),
  );
  const replicas = await Promise.all(
    workers.map(
      async (worker, index) => (await worker.ask({ type: "start", founding: index === 0, peers })) as ReplicaId,
    ),
  );
  const leader = workers[0] as Worker;
  await leader.ask({ type: "grow", replicas });
  const results: RaftResult[] = [];
  for (const options of loads) results.push((await leader.ask({ type: "load", options })) as RaftResult);
  return results;
}
