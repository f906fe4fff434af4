import { shortId, type Candidate, type NodeId } from "@revoada/fabric";
import type { PolicyContext } from "../policies/policy.ts";
import { recordOf } from "./desired-shape.ts";
import { migrationOf, versionOf } from "./migration.ts";
import { votersByZone } from "./ranking.ts";
import { byPreference, exchange, lostVoters, seatedVoters, takesSeat, type SeatPlan } from "./seats.ts";
import { isSettled, unlimited } from "./situation.ts";

/** A seat that should go from one living node to another, which has to replicate first. */
export interface Move {
  readonly to: NodeId;
  /** Decides on it, where the newcomer is caught up and nobody was shifted just now. */
  make(): void;
}

/**
 * The next voluntary move of a seat; undefined where all are where they should be, or something is being repaired. An upgrade comes
 * before the zones.
 */
export function nextMove(context: PolicyContext, plan: SeatPlan): Move | undefined {
  const { draft } = context;
  if (lostVoters(context).length > 0) return undefined;
  if (seatedVoters(draft.formation).length < plan.quorumSize) return undefined;
  if ([...draft.formation.nodes.values()].some(({ state }) => state === "demoting")) return undefined;
  return migrate(context, plan) ?? relocate(context, plan);
}

/** Those who could be given a vote, the best first. */
function heirs(context: PolicyContext, { candidates }: SeatPlan): readonly Candidate[] {
  const { observation, limits } = context;
  return unlimited(candidates)
    .filter(
      ({ id, replica, role }) =>
        replica !== "voter" &&
        role !== "observer" &&
        recordOf(context, id).flags.length === 0 &&
        isSettled(id, observation, limits),
    )
    .toSorted((a, b) => Number(b.caughtUp) - Number(a.caughtUp) || byPreference(a, b));
}

/** Moves the vote of the oldest version to a node of the newest, where enough of those are there to be the quorum. */
function migrate(context: PolicyContext, plan: SeatPlan): Move | undefined {
  const { draft, observation } = context;
  const migration = migrationOf(context, plan.candidates);
  if (migration === undefined || !migration.ready) return undefined;
  const version = (id: NodeId): string => versionOf(id, draft.formation, observation);
  const newer = heirs(context, plan).filter(({ id }) => version(id) === migration.wanted);
  // The leader goes last: it hands over first, and the next leader moves its seat.
  const outdated = migration.outdated.filter((id) => id !== observation.leader);
  for (const from of outdated.length > 0 ? outdated : migration.outdated) {
    const why = { fromVersion: version(from), toVersion: version(newer[0]?.id ?? from) };
    for (const to of newer) {
      const move = moveOf(context, plan, from, to, "migrate", why);
      if (move !== undefined) return move;
    }
  }
  return undefined;
}

/**
 * Moves a vote out of a zone that has at least two more of them than the newcomer's. Topologies that say who may vote beside whom place
 * votes by themselves, and so do strategies that do not place by zones.
 */
function relocate(context: PolicyContext, plan: SeatPlan): Move | undefined {
  const { observation, topology, limits, draft } = context;
  const { policy } = observation.strategy.placement;
  const spreads = policy === "zone-aware" || policy === "spread" || limits.redundancyZones;
  if (!spreads || topology.mayVote !== undefined) return undefined;
  const zones = votersByZone(context);
  const count = (zone: string): number => zones.get(zone) ?? 0;
  const migration = migrationOf(context, plan.candidates);
  const fits = ({ id }: Candidate): boolean =>
    migration === undefined || versionOf(id, draft.formation, observation) === migration.wanted;
  const newcomers = heirs(context, plan)
    .filter(fits)
    .toSorted((a, b) => count(a.zone) - count(b.zone));
  const crowded = unlimited(plan.candidates)
    .filter(({ id, replica }) => replica === "voter" && id !== observation.leader)
    .toSorted((a, b) => count(b.zone) - count(a.zone) || byPreference(b, a));
  for (const from of crowded) {
    for (const to of newcomers) {
      if (count(from.zone) - count(to.zone) < 2) break;
      const facts = { fromZoneVoters: count(from.zone), toZoneVoters: count(to.zone) };
      const move = moveOf(context, plan, from.id, to, "relocate", facts);
      if (move !== undefined) return move;
    }
  }
  return undefined;
}

function moveOf(
  context: PolicyContext,
  plan: SeatPlan,
  from: NodeId,
  to: Candidate,
  kind: "migrate" | "relocate",
  facts: Readonly<Record<string, string | number>>,
): Move | undefined {
  const { draft, observation } = context;
  const transitions = exchange(context, plan, from, to);
  if (transitions === undefined) return undefined;
  const why = kind === "migrate" ? "runs a newer version" : "stands in a zone with fewer voters";
  const reason = `${shortId(to.id)} takes the seat of ${shortId(from)}: it ${why}`;
  const { inputs } = takesSeat(context, from, to.id, transitions);
  const leads = from === observation.leader;
  return {
    to: to.id,
    make(): void {
      if (!to.caughtUp) return;
      draft.decide({
        kind,
        transitions: leads ? [{ verb: "demote", node: from }] : transitions,
        reason: leads ? `${shortId(from)} steps back for ${shortId(to.id)}, which runs a newer version` : reason,
        inputs: { ...inputs, ...facts },
        voluntary: true,
      });
    },
  };
}
