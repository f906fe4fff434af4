import { EtcdCluster, EtcdProgram } from "../etcd/cluster.ts";
import type { Scope } from "../scope.ts";
import { takeTurns, type Comparison, type Program } from "../turns.ts";
import { comparedTiming } from "./commits.ts";
import { RaftGroup, RaftProgram } from "./group.ts";

const withinMs = 110_000;

/** Linearizable reads per second: a barrier, then the local machine, with and without leases; etcd's range of one key beside it. */
export async function measureReads({ quick, etcd, say }: Scope): Promise<readonly Comparison[]> {
  await using stack = new AsyncDisposableStack();
  const group = stack.use(await RaftGroup.open(comparedTiming));
  const leased = stack.use(await RaftGroup.open({ ...comparedTiming, leaseReads: true }));
  const programs: Program[] = [
    new RaftProgram("leader", group, "leader", true),
    new RaftProgram("follower", group, "follower", true),
    new RaftProgram("leader, lease", leased, "leader", true),
    new RaftProgram("follower, lease", leased, "follower", true),
  ];
  if (etcd !== undefined) programs.push(new EtcdProgram(stack.use(await EtcdCluster.open()), true));
  const timing = quick ? { warmUpMs: 200, measureMs: 500 } : { warmUpMs: 400, measureMs: 1200 };
  const loads = [1, 100, 1000].map((callers) => ({ callers, payloadBytes: 0, ...timing }));
  return await takeTurns(programs, loads, { rounds: quick ? 1 : 3, withinMs }, say);
}
