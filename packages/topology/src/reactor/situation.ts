import {
  parseStoreId,
  type Candidate,
  type FabricStrategy,
  type Formation,
  type Member,
  type MembershipView,
  type NodeId,
  type NodeRecord,
  type ReplicationView,
  type StoreId,
} from "@revoada/fabric";
import type { ReactorLimits } from "./limits.ts";

/** Everything that a decision may rest on. */
export interface Observation {
  readonly view: MembershipView;
  readonly formation: Formation;
  readonly replication: ReplicationView;
  readonly strategy: FabricStrategy;
  /** The node that observes; decisions are the leader's. */
  readonly leader: NodeId;
  /** The leader's clock, milliseconds since the epoch. */
  readonly nowMs: number;
  /** Nodes that were given up because they did not catch up, and the committed time of it, as far back as the log's decisions are kept. */
  readonly givenUp?: ReadonlyMap<NodeId, number>;
}

/** Keys that nodes say of themselves and the reactor reads. */
export const memberKeys = {
  storeId: "store",
  zone: "zone",
  version: "version",
  /** What a node is to be taken for in an upgrade, where that is not its version. */
  upgradeVersion: "upgrade-version",
  /** `"1"` from a node that is about to restart and wants to keep its place. */
  restarting: "restarting",
} as const;

/** True where this record still holds a place that can be relied on. */
export function isServing(record: NodeRecord): boolean {
  return (record.state === "active" || record.state === "standby") && !record.flags.includes("quarantined");
}

/** True for a dead member that said it would be back, for a while. */
export function isRestarting(member: Member, limits: ReactorLimits): boolean {
  return (
    member.status === "dead" &&
    member.keys.get(memberKeys.restarting) === "1" &&
    member.statusSinceMs < limits.restartGraceMs
  );
}

/** True where nothing says that the node is gone for good. Nodes that the view has not met yet are not doubted. */
export function isReachable(id: NodeId, { view, leader }: Observation, limits: ReactorLimits): boolean {
  const member = view.members.get(id);
  if (id === leader || member === undefined || isRestarting(member, limits)) return true;
  return member.status === "alive" || member.status === "suspect";
}

/** True where the node was heard and is alive now: what a new duty asks for. */
export function isAlive(id: NodeId, { view, leader }: Observation): boolean {
  return id === leader || view.members.get(id)?.status === "alive";
}

/** True for a replica within the trailing bound of the leader's commit index. */
export function isCaughtUp(id: NodeId, observation: Observation, limits: ReactorLimits): boolean {
  const { replication, leader } = observation;
  if (id === leader) return true;
  const match = replication.matchIndex.get(id);
  return match !== undefined && match + limits.trailingEntries >= replication.commitIndex;
}

/** True where news of a member is about the life that the formation knows, or a later one. */
export function concerns(member: Member, record: NodeRecord): boolean {
  return (
    member.generation > record.generation ||
    (member.generation === record.generation && member.incarnation >= record.incarnation)
  );
}

/** The store that a member says it votes from; undefined where it says nothing usable. */
export function storeOf(member: Member): StoreId | undefined {
  const value = member.keys.get(memberKeys.storeId);
  if (value === undefined) return undefined;
  try {
    return parseStoreId(value);
  } catch {
    return undefined;
  }
}

/**
 * True for a node that was alive for long enough to be relied on with a vote or a master's role, and that nobody has just given up. A
 * warm standby mostly has that behind it.
 */
export function isSettled(id: NodeId, observation: Observation, limits: ReactorLimits): boolean {
  if (id === observation.leader) return true;
  const member = observation.view.members.get(id);
  if (member?.status !== "alive" || member.statusSinceMs < limits.stabilizationMs) return false;
  return !isGivenUp(id, observation, limits);
}

/** True for a while after a node was given up for not catching up. */
export function isGivenUp(id: NodeId, { givenUp, nowMs }: Observation, limits: ReactorLimits): boolean {
  const sinceMs = givenUp?.get(id);
  return sinceMs !== undefined && nowMs - sinceMs < limits.retryMs;
}

/** True for a node that may be given no seat that it does not have: an operator's flag keeps it from all that is new. */
export function isBarred(record: NodeRecord): boolean {
  return record.flags.length > 0 && record.replica !== "voter";
}

/**
 * Who may hold a role: serving, reachable, and either alive and unflagged or already holding one. A key that waits for another's
 * place does not. `caughtUp` tells of the log, and of nobody whom a flag keeps from a vote.
 */
export function candidatesOf(
  formation: Formation,
  observation: Observation,
  limits: ReactorLimits,
): readonly Candidate[] {
  const candidates: Candidate[] = [];
  for (const [id, record] of formation.nodes) {
    if (record.succeeds !== undefined) continue;
    if (!isServing(record) || !isReachable(id, observation, limits)) continue;
    const holds = record.state === "active";
    if (!holds && (record.flags.length > 0 || !isAlive(id, observation))) continue;
    const isReady = record.replica !== "none" && !isBarred(record);
    candidates.push(candidateOf(id, record, isReady && isCaughtUp(id, observation, limits)));
  }
  return candidates.toSorted((a, b) => (a.id < b.id ? -1 : 1));
}

export function candidateOf(id: NodeId, record: NodeRecord, caughtUp: boolean): Candidate {
  const { zone, role, replica, limitedTo } = record;
  return {
    id,
    zone,
    ...(role === undefined ? {} : { role }),
    replica,
    caughtUp,
    ...(limitedTo === undefined ? {} : { limitedTo }),
  };
}

/** Those whom nothing keeps from a vote and from control duties: the ones that a topology chooses among. */
export function unlimited(candidates: readonly Candidate[]): readonly Candidate[] {
  return candidates.filter(({ limitedTo }) => limitedTo === undefined);
}

/** True where the log's configuration is the formation's and no change is under way. */
export function configurationFollows({ formation, replication }: Observation): boolean {
  if (replication.joint) return false;
  for (const [id, record] of formation.nodes) {
    if ((record.replica === "voter") !== replication.voters.has(id)) return false;
    if ((record.replica === "learner") !== replication.learners.has(id)) return false;
  }
  const replicas = replication.voters.size + replication.learners.size;
  return replicas === [...formation.nodes.values()].filter((record) => record.replica !== "none").length;
}
