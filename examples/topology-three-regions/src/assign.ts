import type { Assignment, Candidate, NodeId, Role } from "@revoada/fabric";
import { mastersOf, regionOf, type Shares } from "./regions.ts";

/**
 * Masters are kept where they are. Missing ones are taken from the region that lacks most of its share, so that a region beyond its
 * share helps out only where the others have nobody left. It may then hold more masters than votes: see `mayVote`.
 */
export function assignRegions(shares: Shares, eligible: readonly Candidate[]): Assignment {
  const candidates = [...new Map(eligible.map((candidate) => [candidate.id, candidate])).values()].toSorted(byId);
  const target = Math.min(candidates.length, mastersOf(shares));
  const held = new Map<string, number>();
  const masters = new Set<NodeId>();
  const take = ({ id, zone }: Candidate): void => {
    masters.add(id);
    held.set(regionOf(zone), (held.get(regionOf(zone)) ?? 0) + 1);
  };
  for (const holder of candidates.filter(({ role }) => role === "master").toSorted(byVoteThenId))
    if (masters.size < target) take(holder);
  const lacking = ({ zone }: Candidate): number => (shares.get(regionOf(zone)) ?? 0) - (held.get(regionOf(zone)) ?? 0);
  while (masters.size < target) {
    const [next] = candidates
      .filter(({ id, role }) => !masters.has(id) && role !== "arbiter")
      .toSorted((a, b) => lacking(b) - lacking(a) || rank(a) - rank(b) || byId(a, b));
    if (next === undefined) break;
    take(next);
  }
  return new Map(candidates.map((candidate) => [candidate.id, roleOf(candidate, masters)]));
}

function roleOf({ id, role }: Candidate, masters: ReadonlySet<NodeId>): Role {
  if (masters.has(id)) return "master";
  return role === "arbiter" || role === "observer" ? role : "worker";
}

/** The founder, those that are caught up, workers, others. */
function rank({ role, replica, caughtUp }: Candidate): number {
  if (role === "bootstrap") return 0;
  if (replica !== "none" && caughtUp) return 1;
  return role === "worker" ? 2 : 3;
}

function byId(a: Candidate, b: Candidate): number {
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0;
}

function byVoteThenId(a: Candidate, b: Candidate): number {
  return Number(b.replica === "voter") - Number(a.replica === "voter") || byId(a, b);
}
