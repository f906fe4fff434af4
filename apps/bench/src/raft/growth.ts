import { pause } from "../host.ts";
import type { Scope } from "../scope.ts";
import { ask, RaftGroup, type GroupMember, type Restart } from "./group.ts";
import type { Held } from "./orders.ts";

const growthPayloadBytes = 256;
/** Entries between two compactions, where the log is compacted: the package's default. */
const compactedIntervalEntries = 10_000;
const callers = 1000;
const partEntries = 100_000;

/** What a member weighs, in bytes. */
export interface Weight extends Held {
  /** The most that was ever resident. */
  readonly peakBytes: number;
  /** A second after the load, as it is. */
  readonly residentBytes: number;
  /** At rest, after forced collections. */
  readonly steadyBytes: number;
}

/** What a group weighs once so many entries are in it, and how long a member takes to come back. */
export interface Growth {
  readonly entries: number;
  readonly compacted: boolean;
  readonly leader: Weight;
  /** Of both followers the larger figure each. */
  readonly follower: Weight;
  /** A follower that was killed and started again, its own resident bytes afterwards. */
  readonly restart: Restart;
  readonly restartedResidentBytes: number;
}

/** A follower that missed everything takes it from the leader's log. */
export interface CatchUp {
  readonly entries: number;
  readonly payloadBytes: number;
  readonly tookMs: number;
  readonly entriesPerSecond: number;
}

/** In parts, each of which is answered in time on a busy machine too. */
async function fill(leader: GroupMember, entries: number): Promise<void> {
  for (let left = entries; left > 0; left -= partEntries) {
    const part = Math.min(left, partEntries);
    await ask(leader, { type: "fill", entries: part, payloadBytes: growthPayloadBytes, callers });
  }
}

async function weigh({ worker }: GroupMember): Promise<Weight> {
  const { residentBytes, peakResidentBytes: peakBytes } = worker;
  const held = (await worker.ask({ type: "collect" })) as Held;
  return { peakBytes, residentBytes, steadyBytes: worker.residentBytes, ...held };
}

function larger(one: Weight, other: Weight): Weight {
  const names = Object.keys(one) as (keyof Weight)[];
  return Object.fromEntries(names.map((name) => [name, Math.max(one[name], other[name])])) as unknown as Weight;
}

async function growOnce(entries: number, compacted: boolean): Promise<Growth> {
  const timing = {
    electionTimeoutMs: 1000,
    snapshotIntervalEntries: compacted ? compactedIntervalEntries : 100_000_000,
  };
  await using group = await RaftGroup.open(timing, ["--expose-gc"]);
  await fill((await group.whole()).leader, entries);
  // Garbage of the load goes, as far as the runtime lets it go by itself.
  await pause(1000);
  const { leader, followers } = await group.whole();
  const weights = await Promise.all([leader, ...followers].map(weigh));
  const [led, one, other] = weights as [Weight, Weight, Weight];
  const victim = followers[0] as GroupMember;
  await victim.worker.kill();
  const restart = await group.restart(victim);
  const restartedResidentBytes = victim.worker.residentBytes;
  return { entries, compacted, leader: led, follower: larger(one, other), restart, restartedResidentBytes };
}

/** Memory and restart time of logs of several lengths, compacted and not. */
export async function measureGrowth({ quick, say }: Scope): Promise<readonly Growth[]> {
  const grown: Growth[] = [];
  for (const entries of quick ? [10_000, 50_000] : [10_000, 100_000, 1_000_000]) {
    for (const compacted of [true, false]) {
      const growth = await growOnce(entries, compacted);
      grown.push(growth);
      const { openMs, appliedMs } = growth.restart;
      say(
        `${entries} entries, ${compacted ? "" : "not "}compacted: leader ${Math.round(growth.leader.steadyBytes / 2 ** 20)} MiB (peak ${Math.round(growth.leader.peakBytes / 2 ** 20)}), restart ${Math.round(openMs)} + ${Math.round(appliedMs - openMs)} ms`,
      );
    }
  }
  return grown;
}

/** How fast a follower that was away takes what it missed. */
export async function measureCatchUp({ quick, say }: Scope): Promise<CatchUp> {
  const entries = quick ? 20_000 : 500_000;
  await using group = await RaftGroup.open({ electionTimeoutMs: 1000, snapshotIntervalEntries: 100_000_000 });
  const { leader, followers } = await group.whole();
  const victim = followers[0] as GroupMember;
  await victim.worker.kill();
  await fill(leader, entries);
  const { openMs, appliedMs } = await group.restart(victim);
  const tookMs = appliedMs - openMs;
  const entriesPerSecond = (entries * 1000) / tookMs;
  say(`a follower took ${entries} entries in ${Math.round(tookMs)} ms`);
  return { entries, payloadBytes: growthPayloadBytes, tookMs, entriesPerSecond };
}
