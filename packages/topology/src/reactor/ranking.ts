import type { Candidate, NodeId } from "@revoada/fabric";
import type { PolicyContext } from "../policies/policy.ts";
import { compareVersions, migrationOf, versionOf } from "./migration.ts";
import { isReachable, isServing, isSettled, type Observation } from "./situation.ts";

/** What a node is ranked by; the lower, the better, field by field. */
type Standing = readonly number[];

/**
 * Ranks those who could take a new duty: those that no operator has flagged; during an upgrade by version; those who are settled before others; by zones, the zone of a
 * lost voter first where zones are redundant, then the one with the fewest voters; then by how steady they have been; then by contact.
 */
export function ranked(context: PolicyContext, candidates: readonly Candidate[]): readonly Candidate[] {
  const standings = standingsOf(context, candidates);
  const order = candidates.toSorted(
    (a, b) =>
      compareStandings(standings.get(a.id) as Standing, standings.get(b.id) as Standing) || (a.id < b.id ? -1 : 1),
  );
  const places = new Map(order.map(({ id }, place) => [id, place]));
  return candidates.map((candidate) => ({ ...candidate, preference: places.get(candidate.id) as number }));
}

function standingsOf(context: PolicyContext, candidates: readonly Candidate[]): ReadonlyMap<NodeId, Standing> {
  const { observation, limits, draft } = context;
  const zones = votersByZone(context);
  const failedOver = limits.redundancyZones ? lostZones(context) : new Set<string>();
  const migration = migrationOf(context, candidates);
  return new Map(
    candidates.map(({ id, zone }) => [
      id,
      [
        draft.record(id)?.flags.length ?? 0,
        migration === undefined ? 0 : versionRank(migration.wanted, versionOf(id, draft.formation, observation)),
        isSettled(id, observation, limits) ? 0 : 1,
        failedOver.has(zone) ? 0 : 1,
        zones.get(zone) ?? 0,
        draft.record(id)?.incarnation ?? 0,
        -steadiness(id, context),
        silence(id, observation),
      ],
    ]),
  );
}

function versionRank(wanted: string, version: string): number {
  return compareVersions(wanted, version) === 0 ? 0 : 1;
}

function compareStandings(a: Standing, b: Standing): number {
  for (const [place, value] of a.entries()) {
    const other = b[place] as number;
    if (value !== other) return value - other;
  }
  return 0;
}

/** How many voters that can be relied on stand in each zone. */
export function votersByZone({ draft, observation, limits }: PolicyContext): Map<string, number> {
  const zones = new Map<string, number>();
  for (const [id, record] of draft.formation.nodes) {
    if (record.replica !== "voter" || !isServing(record) || !isReachable(id, observation, limits)) continue;
    zones.set(record.zone, (zones.get(record.zone) ?? 0) + 1);
  }
  return zones;
}

function lostZones({ draft, observation, limits }: PolicyContext): ReadonlySet<string> {
  const lost = [...draft.formation.nodes].filter(
    ([id, record]) => record.replica === "voter" && !(isServing(record) && isReachable(id, observation, limits)),
  );
  return new Set(lost.map(([, { zone }]) => zone));
}

/**
 * How long a node has been where it is, alive and unshifted, in doublings of a second: who was there twice as long is steadier, a
 * moment more says nothing.
 */
function steadiness(id: NodeId, { observation, draft }: PolicyContext): number {
  const { view, formation, nowMs, leader } = observation;
  const shiftMs = formation.nodes.get(id)?.lastShiftMs ?? draft.record(id)?.lastShiftMs ?? nowMs;
  const aliveMs = id === leader ? Number.MAX_SAFE_INTEGER : (view.members.get(id)?.statusSinceMs ?? 0);
  return Math.floor(Math.log2(1 + Math.max(0, Math.min(aliveMs, nowMs - shiftMs)) / 1000));
}

/** Seconds since the leader last heard its replica, 0 where it keeps none or that is not measured. */
function silence(id: NodeId, { replication }: Observation): number {
  return Math.floor((replication.silentMs?.get(id) ?? 0) / 1000);
}
