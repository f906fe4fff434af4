import { EtcdCluster } from "../etcd/cluster.ts";
import { hostMs, pause } from "../host.ts";
import type { Scope } from "../scope.ts";
import { longestGap } from "../statistics.ts";
import { ask, RaftGroup, type GroupMember } from "./group.ts";

/** Times without writes, in milliseconds, one for each loss or transfer. */
export interface FailoverFigures {
  /** SIGKILL of the leader → the first acknowledgement of a write that began after it. */
  readonly killedMs: readonly number[];
  /** Planned transfer: until it was done. */
  readonly transferMs: readonly number[];
  /** Planned transfer: the longest time without an acknowledgement around it. */
  readonly transferGapMs: readonly number[];
  /** The same as `killedMs`, of etcd at its default timings. */
  readonly etcdKilledMs?: readonly number[];
  /** Transfers that the leader gave up, because the other one did not take over in time; they were asked for again. */
  readonly transfersRefused: number;
}

const failoverElectionTimeoutMs = 150;
/** How often each writer begins a write. */
const writeEveryMs = 5;
const writes = { type: "begin-writes", payloadBytes: 256, everyMs: writeEveryMs } as const;
/** Writers are at their pace before anything is lost. */
const settleMs = 300;

type Stopped = { readonly acknowledgedMs: readonly number[] };

async function killOnce(group: RaftGroup): Promise<number> {
  const { leader, followers } = await group.whole();
  for (const follower of followers) await ask(follower, writes);
  // Not in step with heartbeats, so that rounds differ.
  await pause(settleMs + Math.random() * failoverElectionTimeoutMs);
  const killedMs = hostMs();
  const gone = leader.worker.kill();
  const back = followers.map(
    async (member) => (await ask(member, { type: "next-write", sinceMs: killedMs })) as number,
  );
  const acknowledgedMs = await Promise.race(back);
  // The other one's answer must not be left waiting.
  await Promise.all(back);
  for (const follower of followers) await ask(follower, { type: "end-writes" });
  await gone;
  await group.restart(leader);
  return acknowledgedMs - killedMs;
}

interface Transfer {
  readonly tookMs: number;
  readonly gapMs: number;
}

/** Undefined where the leader gave it up, as it may. */
async function transferOnce(group: RaftGroup, say: Scope["say"]): Promise<Transfer | undefined> {
  const { leader, followers } = await group.whole();
  for (const member of group.members) await ask(member, writes);
  await pause(settleMs + Math.random() * failoverElectionTimeoutMs);
  const to = followers[Math.floor(Math.random() * followers.length)] as GroupMember;
  const done = await ask(leader, { type: "transfer", to: to.id }).then(
    (answer) => answer as { readonly begunMs: number; readonly endedMs: number },
    (error: unknown) => {
      say(`a transfer was given up: ${String(error).split("\n")[0]}`);
      return undefined;
    },
  );
  await pause(settleMs);
  const acknowledged: number[] = [];
  for (const member of group.members)
    acknowledged.push(...((await ask(member, { type: "end-writes" })) as Stopped).acknowledgedMs);
  if (done === undefined) return undefined;
  const { begunMs, endedMs } = done;
  return { tookMs: endedMs - begunMs, gapMs: longestGap(acknowledged, begunMs, endedMs + settleMs) };
}

async function killEtcdOnce(cluster: EtcdCluster): Promise<number> {
  const { leader, followers } = await cluster.whole();
  await cluster.ask({ type: "connect", endpoints: followers.map(({ endpoint }) => endpoint) });
  await cluster.ask(writes);
  await pause(1000 + Math.random() * 1000);
  const killedMs = hostMs();
  const gone = leader.kill();
  const acknowledgedMs = (await cluster.ask({ type: "next-write", sinceMs: killedMs })) as number;
  await cluster.ask({ type: "end-writes" });
  await gone;
  leader.start();
  return acknowledgedMs - killedMs;
}

/** As many transfers as are wanted, and how many more were given up. */
async function transferOften(
  group: RaftGroup,
  times: number,
  say: Scope["say"],
): Promise<{ readonly transfers: readonly Transfer[]; readonly refused: number }> {
  const transfers: Transfer[] = [];
  let refused = 0;
  while (transfers.length < times) {
    const transfer = await transferOnce(group, say);
    if (transfer !== undefined) transfers.push(transfer);
    else if ((refused += 1) > times) throw new Error(`${refused} transfers were given up`);
  }
  const told = transfers.map(({ tookMs, gapMs }) => `${Math.round(tookMs)} (${Math.round(gapMs)})`);
  say(`ms of a transfer, and longest without a write: ${told.join(", ")}`);
  return { transfers, refused };
}

async function repeat(
  times: number,
  what: string,
  once: () => Promise<number>,
  say: Scope["say"],
): Promise<readonly number[]> {
  const all: number[] = [];
  for (let time = 1; time <= times; time += 1) all.push(await once());
  say(`${what}: ${all.map((each) => Math.round(each)).join(", ")}`);
  return all;
}

/** Takes the leader away under load, by force and by plan, again and again. */
export async function measureFailover({ quick, etcd, say }: Scope): Promise<FailoverFigures> {
  await using stack = new AsyncDisposableStack();
  const group = stack.use(await RaftGroup.open({ electionTimeoutMs: failoverElectionTimeoutMs }));
  const killedMs = await repeat(quick ? 3 : 20, "ms from kill to write", () => killOnce(group), say);
  const { transfers, refused } = await transferOften(group, quick ? 3 : 20, say);
  const figures = {
    killedMs,
    transferMs: transfers.map(({ tookMs }) => tookMs),
    transferGapMs: transfers.map(({ gapMs }) => gapMs),
    transfersRefused: refused,
  };
  if (etcd === undefined) return figures;
  const cluster = stack.use(await EtcdCluster.open());
  const etcdKilledMs = await repeat(quick ? 1 : 5, "etcd, ms from kill to write", () => killEtcdOnce(cluster), say);
  return { ...figures, etcdKilledMs };
}
