import { quorumSizeOf, type Candidate, type Formation, type NodeId } from "@revoada/fabric";
import type { PolicyContext } from "../policies/policy.ts";
import { isSettled, memberKeys, unlimited, type Observation } from "./situation.ts";

/** An upgrade that is under way. */
export interface Migration {
  /** The version that newcomers among the voters should have. */
  readonly wanted: string;
  /** True once enough nodes are newer to be the quorum by themselves. */
  readonly ready: boolean;
  /** Voters of another version than `wanted`, the oldest first. */
  readonly outdated: readonly NodeId[];
}

/** What a node says that it runs, else what it said when it was let in. */
export function versionOf(id: NodeId, formation: Formation, { view }: Observation): string {
  const keys = view.members.get(id)?.keys;
  return (
    keys?.get(memberKeys.upgradeVersion) ?? keys?.get(memberKeys.version) ?? formation.nodes.get(id)?.version ?? ""
  );
}

/** The numbers of a version: `1.10.2-rc.1` is 1, 10, 2; what begins with no number is 0. */
function numbersOf(version: string): readonly number[] {
  const match = /^v?(\d{1,9}(?:\.\d{1,9}){0,3})/.exec(version);
  return (match?.[1] ?? "0").split(".").map(Number);
}

/** Below 0 where `a` is older than `b`, 0 where nothing tells them apart. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [numbersOf(a), numbersOf(b)];
  for (let place = 0; place < Math.max(left.length, right.length); place += 1) {
    const difference = (left[place] ?? 0) - (right[place] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/**
 * The upgrade that the versions of those who could vote amount to; undefined where all have one version, or nobody cares. Newer
 * nodes count once they are settled: until then they do not make a quorum.
 */
export function migrationOf(context: PolicyContext, candidates: readonly Candidate[]): Migration | undefined {
  const { draft, observation, limits } = context;
  if (!limits.upgradeMigration) return undefined;
  const eligible = unlimited(candidates);
  const version = ({ id }: Candidate): string => versionOf(id, draft.formation, observation);
  const order = eligible.toSorted((a, b) => compareVersions(version(a), version(b)) || (a.id < b.id ? -1 : 1));
  const [oldest, newest] = [order[0], order.at(-1)];
  if (oldest === undefined || newest === undefined || compareVersions(version(oldest), version(newest)) === 0)
    return undefined;
  const isNewest = (candidate: Candidate): boolean => compareVersions(version(candidate), version(newest)) === 0;
  const counted = eligible.filter(
    (candidate) =>
      isNewest(candidate) && (candidate.replica === "voter" || isSettled(candidate.id, observation, limits)),
  );
  const ready = counted.length >= quorumSizeOf(observation.strategy);
  const voters = order.filter(({ replica }) => replica === "voter");
  const inPower = voters[Math.floor((voters.length - 1) / 2)] ?? oldest;
  return {
    wanted: ready ? version(newest) : version(inPower),
    ready,
    outdated: ready ? voters.filter((candidate) => !isNewest(candidate)).map(({ id }) => id) : [],
  };
}
