import { verifyWal } from "@revoada/consensus-raft";
import { seededRandom } from "@revoada/fabric/memory";
import { nodeDisk } from "@revoada/fabric/node";
import { percentile } from "../statistics.ts";
import { Clients } from "./clients.ts";
import { Group } from "./group.ts";
import { judge } from "./judge.ts";
import type { Dump, ReplicaSettings } from "./orders.ts";

export interface KillOptions {
  /** Must exist; what is left in there is for the caller to remove. */
  readonly directory: string;
  /** Times that the leader is killed, and times that all three are killed at once. */
  readonly kills: number;
  readonly all: number;
  readonly clients: number;
  readonly seed: number;
  readonly settings?: Partial<ReplicaSettings>;
  readonly signal: AbortSignal;
  readonly report: (line: string) => void;
}

export interface KillFigures {
  readonly kills: number;
  readonly all: number;
  readonly operations: number;
  readonly acknowledged: number;
  readonly unknown: number;
  readonly refused: number;
  /** Milliseconds from the signal until a write that began after it was acknowledged, for each loss of the leader. */
  readonly leaderLossMs: readonly number[];
  /** The same for the loss of all: it holds the start of the processes. */
  readonly allLossMs: readonly number[];
  /** What is wrong; empty where nothing is. */
  readonly findings: readonly string[];
}

/** At most so many operations between two kills, drawn anew each time, so that kills meet every moment. */
const maxBetweenKills = 60;
const progressEvery = 10;

/** Kills the leader again and again under load, and everybody, and judges what is left: twice, with a full stop in between. */
export async function torturedByKills(options: KillOptions): Promise<KillFigures> {
  const { directory, signal, report } = options;
  const random = seededRandom(options.seed);
  await using group = new Group({ directory, signal, ...(options.settings && { settings: options.settings }) });
  await group.form();
  using clients = new Clients(group, () => random.float());
  clients.start(options.clients);
  const order = planned(options, () => random.float());
  const leaderLossMs: number[] = [];
  const allLossMs: number[] = [];
  for (const [at, loss] of order.entries()) {
    await group.whole();
    await clients.acknowledgedMore(1 + Math.floor(random.float() * maxBetweenKills));
    const leader = await group.until("a leader", () => group.leader());
    const victims = loss === "all" ? group.members : [leader];
    const lostMs = performance.now();
    const killed = group.kill(victims);
    if (loss === "all") {
      await killed;
      await group.start(victims);
      allLossMs.push((await clients.writesBack(lostMs)) - lostMs);
    } else {
      leaderLossMs.push((await clients.writesBack(lostMs)) - lostMs);
      await killed;
      await group.start(victims);
    }
    if ((at + 1) % progressEvery === 0 || at + 1 === order.length)
      report(
        `${at + 1}/${order.length} kills, ${clients.count("acknowledged")} operations acknowledged, ${clients.count("unknown")} unknown, ${clients.count("refused")} refused`,
      );
  }
  await group.whole();
  await clients.stop();
  const findings = [...clients.surprises, ...(await judgeTwice(group, clients))];
  return {
    kills: leaderLossMs.length,
    all: allLossMs.length,
    operations: clients.operations.length,
    acknowledged: clients.count("acknowledged"),
    unknown: clients.count("unknown"),
    refused: clients.count("refused"),
    leaderLossMs,
    allLossMs,
    findings,
  };
}

/** The losses of all, spread at random among those of the leader. */
function planned(options: KillOptions, random: () => number): readonly ("leader" | "all")[] {
  const order: ("leader" | "all")[] = [];
  let [leader, all] = [options.kills, options.all];
  while (leader + all > 0) {
    if (random() * (leader + all) < all) {
      order.push("all");
      all -= 1;
    } else {
      order.push("leader");
      leader -= 1;
    }
  }
  return order;
}

/** Judges what every replica holds once nothing moves any more, and again from disk after a full stop and start. */
export async function judgeTwice(group: Group, clients: Clients): Promise<readonly string[]> {
  const healed = judgeDumps(group, clients, await group.settled()).map((line) => `after healing: ${line}`);
  await Promise.all(group.members.map((member) => member.stop()));
  const logs = await verifyLogs(group);
  await group.start(group.members);
  const restarted = judgeDumps(group, clients, await group.settled());
  return [...healed, ...logs, ...restarted.map((line) => `after a full stop and start: ${line}`)];
}

function judgeDumps(group: Group, clients: Clients, dumps: readonly Dump[]): readonly string[] {
  return judge(
    clients.operations,
    dumps.map((dump, index) => ({ ...dump, name: group.members[index]?.name ?? "" })),
  );
}

/** The logs of stopped replicas, as an operator would check them. */
async function verifyLogs(group: Group): Promise<readonly string[]> {
  const found = await Promise.all(
    group.members.map(async ({ name, place }) => {
      const { ok, report } = await verifyWal(nodeDisk(place.directory));
      return ok ? [] : [`the log of ${name} is ${report.verdict}`];
    }),
  );
  return found.flat();
}

/** One line of a distribution in milliseconds. */
export function spread(values: readonly number[]): string {
  const sorted = values.toSorted((a, b) => a - b);
  const [p50, p90, p99] = [0.5, 0.9, 0.99].map((share) => Math.round(percentile(sorted, share)));
  return `p50 ${p50} ms, p90 ${p90} ms, p99 ${p99} ms, worst ${Math.round(sorted.at(-1) ?? Number.NaN)} ms`;
}
