import { BareProgram } from "../bare/bare.ts";
import { EtcdCluster, EtcdProgram } from "../etcd/cluster.ts";
import type { LoadOptions } from "../load.ts";
import type { Scope } from "../scope.ts";
import { takeTurns, type Comparison, type Program } from "../turns.ts";
import { RaftGroup, RaftProgram } from "./group.ts";

/** The election timeout of comparisons, etcd's default: all three processes and their callers share the machine's cores. */
export const comparedTiming: { readonly electionTimeoutMs: number; readonly snapshotIntervalEntries: number } = {
  electionTimeoutMs: 1000,
  snapshotIntervalEntries: 200_000,
};

/** The matrix takes four minutes on a quiet machine. */
const withinMs = 300_000;

/** Every load of the matrix. */
function commitLoads(quick: boolean): readonly LoadOptions[] {
  const timing = quick ? { warmUpMs: 200, measureMs: 600 } : { warmUpMs: 500, measureMs: 1200 };
  const payloads = quick ? [256] : [64, 256, 4096];
  const callers = quick ? [1, 100, 1000] : [1, 10, 100, 1000];
  return payloads.flatMap((payloadBytes) => callers.map((count) => ({ callers: count, payloadBytes, ...timing })));
}

/** Commits per second and what they cost: the bare program, this package, and etcd where it is there, taking turns. */
export async function measureCommits({ quick, etcd, say }: Scope): Promise<readonly Comparison[]> {
  await using stack = new AsyncDisposableStack();
  const bare = stack.use(await BareProgram.open());
  const group = stack.use(await RaftGroup.open(comparedTiming));
  const programs: Program[] = [
    bare,
    new RaftProgram("leader", group, "leader"),
    new RaftProgram("follower", group, "follower"),
  ];
  if (etcd !== undefined) programs.push(new EtcdProgram(stack.use(await EtcdCluster.open())));
  return await takeTurns(programs, commitLoads(quick), { rounds: quick ? 1 : 3, withinMs }, say);
}
