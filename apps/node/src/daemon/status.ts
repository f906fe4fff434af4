import type { Cluster, ClusterHealth, DutyReport } from "@revoada/cluster";
import type { Formation, Member, NodeId, NodeRecord, PlainValue } from "@revoada/fabric";

/** One node as `status` shows it: what the formation has committed and what gossip hints at. */
export interface MemberStatusLine {
  readonly id: NodeId;
  /** What gossip says; `unknown` where it says nothing. */
  readonly status: "alive" | "suspect" | "dead" | "left" | "unknown";
  /** What the formation says; `joining` where it does not know the node. */
  readonly state: string;
  readonly role?: string;
  readonly replica: string;
  readonly zone: string;
  readonly addresses: readonly string[];
  readonly leader: boolean;
  readonly restarting: boolean;
}

/** What `status` answers. Field names are stable. */
export interface NodeStatus {
  readonly id: NodeId;
  readonly cluster: string;
  readonly declaration: string;
  readonly version: string;
  readonly pid: number;
  readonly dataDir: string;
  readonly listen: readonly string[];
  readonly advertise: readonly string[];
  readonly admin: string;
  readonly face: { readonly name: string; readonly protocol: string; readonly running: boolean };
  readonly role?: string;
  readonly state: string;
  readonly replica: string;
  readonly zone: string;
  /** Counts this node's starts. */
  readonly generation: number;
  readonly consensus: {
    readonly role: string;
    readonly term: number;
    readonly leader?: NodeId;
    /** In which term `leader` leads; older than `term` where only gossip says who leads. */
    readonly leaderTerm?: number;
    readonly commitIndex: number;
    readonly appliedIndex: number;
    readonly lastIndex: number;
    readonly quorum: boolean;
    /** How long `quorum` has been what it is. */
    readonly quorumSinceMs: number;
    readonly storage: string;
    /** Who votes by the log's own configuration; it follows the formation in one joint change. */
    readonly voters: readonly NodeId[];
    readonly joint: boolean;
  };
  /** What masters do: what this node does about it, and who does it. */
  readonly duties: readonly DutyReport[];
  readonly members: readonly MemberStatusLine[];
  readonly formation: { readonly generation: number; readonly nodes: number };
  readonly chain: ClusterHealth["chain"];
  /** How many shifts wait for an operator's approval; only on a leader whose cluster has operator keys. */
  readonly waitingShifts?: number;
  readonly condition: ClusterHealth["condition"];
  readonly mode: ClusterHealth["mode"];
  /** Present while the cluster is on its way to another declaration. */
  readonly switching?: ClusterHealth["switching"];
  /** How this node's wall clock stands to the voters', where it leads and they have told. */
  readonly clock?: ClusterHealth["clock"];
  /** Settings of the strategy in force that this node takes up with its next start. */
  readonly unadopted: readonly string[];
  /** Why this node does not go by the declaration in force; absent where it does. */
  readonly refusal?: string;
  readonly resources: number;
  readonly uptimeMs: number;
}

/** What the daemon knows beside its cluster. */
export interface NodeFacts {
  readonly version: string;
  readonly dataDir: string;
  readonly admin: string;
  readonly advertise: readonly string[];
  readonly uptimeMs: number;
}

/** The gossip key by which a node says that it is about to restart, so that nobody mistakes its silence. */
export const restartingKey = "restarting";

/** Puts a node's status together. */
export function describeStatus(cluster: Cluster, facts: NodeFacts): NodeStatus {
  const health = cluster.health();
  const running = cluster.running();
  const formation = cluster.formation();
  const consensus = running.consensus.status();
  const leadership =
    consensus.leader === undefined ? running.likelyLeadership() : { leader: consensus.leader, term: consensus.term };
  const leader = leadership?.leader;
  const { refusal } = running.inForce;
  const record = formation.nodes.get(health.node);
  return {
    id: health.node,
    cluster: health.clusterId,
    declaration: health.id,
    version: facts.version,
    pid: process.pid,
    dataDir: facts.dataDir,
    listen: running.transport.listening(),
    advertise: facts.advertise,
    admin: facts.admin,
    face: health.face,
    ...(record?.role === undefined ? {} : { role: record.role }),
    state: record?.state ?? "joining",
    replica: record?.replica ?? "none",
    zone: running.origin.zone,
    generation: running.origin.generation,
    consensus: {
      role: consensus.role,
      term: consensus.term,
      ...(leadership === undefined ? {} : { leader: leadership.leader, leaderTerm: leadership.term }),
      commitIndex: consensus.commitIndex,
      appliedIndex: consensus.appliedIndex,
      lastIndex: consensus.lastIndex,
      quorum: consensus.quorum,
      quorumSinceMs: Math.round(consensus.quorumSinceMs),
      storage: consensus.storage,
      voters: consensus.configuration.voters.map(({ id }) => id),
      joint: consensus.configuration.outgoing !== undefined,
    },
    duties: cluster.duties(),
    members: describeMembers(formation, running.membership.view().members, leader),
    formation: { generation: formation.generation, nodes: formation.nodes.size },
    chain: health.chain,
    ...waitingOf(cluster),
    condition: health.condition,
    mode: health.mode,
    ...(health.switching === undefined ? {} : { switching: health.switching }),
    ...(health.clock === undefined ? {} : { clock: health.clock }),
    unadopted: health.unadopted,
    ...(refusal === undefined ? {} : { refusal }),
    resources: health.resources,
    uptimeMs: Math.round(facts.uptimeMs),
  };
}

function waitingOf(cluster: Cluster): { readonly waitingShifts?: number } {
  const waitingShifts = cluster.waitingShifts();
  return waitingShifts === undefined ? {} : { waitingShifts };
}

function describeMembers(
  formation: Formation,
  members: ReadonlyMap<NodeId, Member>,
  leader: NodeId | undefined,
): readonly MemberStatusLine[] {
  const ids = [...new Set([...formation.nodes.keys(), ...members.keys()])].toSorted();
  return ids.map((id) => {
    const [record, member] = [formation.nodes.get(id), members.get(id)];
    return {
      id,
      status: member?.status ?? "unknown",
      state: record?.state ?? "joining",
      ...(record?.role === undefined ? {} : { role: record.role }),
      replica: record?.replica ?? "none",
      zone: record?.zone ?? member?.keys.get("zone") ?? "",
      addresses: member?.addresses ?? [],
      leader: id === leader,
      restarting: member?.keys.get(restartingKey) === "1",
    };
  });
}

/** One node of the formation, as `formation` shows it. */
export interface FormationLine extends Omit<NodeRecord, "flags"> {
  readonly id: NodeId;
  readonly flags: readonly string[];
}

/** What `formation` answers. */
export interface FormationReport {
  readonly generation: number;
  readonly nodes: readonly FormationLine[];
  readonly tombstones: readonly NodeId[];
}

export function describeFormation(formation: Formation): FormationReport {
  return {
    generation: formation.generation,
    nodes: [...formation.nodes].map(([id, record]) => ({ id, ...record })).toSorted((a, b) => (a.id < b.id ? -1 : 1)),
    tombstones: [...formation.tombstones].toSorted(),
  };
}

/** A report as a plain value: fields that are not there are left out. */
export function toPlain(value: unknown): PlainValue {
  if (value instanceof Uint8Array || value === null) return value;
  if (Array.isArray(value)) return value.map(toPlain);
  if (typeof value === "object") {
    const entries = Object.entries(value).filter(([, inner]) => inner !== undefined);
    return Object.fromEntries(entries.map(([key, inner]) => [key, toPlain(inner)]));
  }
  return value as PlainValue;
}
