import { pause } from "../host.ts";
import type { Scope } from "../scope.ts";
import { ask, RaftGroup, type GroupMember, type Restart } from "./group.ts";

const growthPayloadBytes = 256;
/** Entries between two compactions, where the log is compacted: the package's default. */
const compactedIntervalEntries = 10_000;
const callers = 1000;

/** What a group weighs once so many entries are in it, and how long a member takes to come back. */
export interface Growth {
  readonly entries: number;
  readonly compacted: boolean;
  readonly leaderResidentBytes: number;
  /** Of the larger follower. */
  readonly followerResidentBytes: number;
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

async function fill(leader: GroupMember, entries: number): Promise<void> {
  await ask(leader, { type: "fill", entries, payloadBytes: growthPayloadBytes, callers });
}

async function growOnce(entries: number, compacted: boolean): Promise<Growth> {
  await using group = await RaftGroup.open({
    electionTimeoutMs: 1000,
    snapshotIntervalEntries: compacted ? compactedIntervalEntries : 100_000_000,
  });
  const { leader, followers } = await group.whole();
  await fill(leader, entries);
  await group.whole();
  // Garbage of the load goes, as far as the runtime lets it go by itself.
  await pause(1000);
  const leaderResidentBytes = leader.worker.residentBytes;
  const followerResidentBytes = Math.max(...followers.map(({ worker }) => worker.residentBytes));
  const victim = followers[0] as GroupMember;
  await victim.worker.kill();
  const restart = await group.restart(victim);
  const restartedResidentBytes = victim.worker.residentBytes;
  return { entries, compacted, leaderResidentBytes, followerResidentBytes, restart, restartedResidentBytes };
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
        `${entries} entries, ${compacted ? "" : "not "}compacted: leader ${Math.round(growth.leaderResidentBytes / 2 ** 20)} MiB, restart ${Math.round(openMs)} + ${Math.round(appliedMs - openMs)} ms`,
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
