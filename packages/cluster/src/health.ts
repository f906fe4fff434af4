import {
  replicasOf,
  type ConsensusRole,
  type ConsensusStatus,
  type Face,
  type Formation,
  type MembershipView,
  type MemberStatus,
  type NodeId,
  type NodeState,
} from "@revoada/fabric";
import type { ClusterDeclaration } from "./declaration.ts";
import { declarationId, type InForce } from "./in-force.ts";
import type { ClockVerdict } from "./loop/clock-check.ts";
import { missingOf } from "./loop/switch-watch.ts";
import type { FormationState } from "./machine/formation-machine.ts";
import { hasPlace } from "./place.ts";

/** `forming`: the first shape does not stand yet; `degraded`: fewer nodes than the shape needs; `no-quorum`: writes cannot commit. */
export type ClusterCondition = "forming" | "healthy" | "degraded" | "no-quorum";

/** A cluster's health as plain data. */
export interface ClusterHealth {
  readonly id: string;
  readonly clusterId: string;
  readonly node: NodeId;
  readonly face: { readonly name: string; readonly protocol: string; readonly running: boolean };
  readonly strategy: string;
  readonly topology: string;
  /** Present while the cluster is on its way to another declaration, which is the one that the fields above are of. */
  readonly switching?: {
    readonly from: string;
    readonly to: string;
    readonly withinMs: number;
    /** What the new shape still lacks, as far as this node sees. */
    readonly missing?: string;
  };
  /** How the wall clock of this node stands to the voters', where it leads and they have told. */
  readonly clock?: ClockVerdict;
  /** Settings of the strategy in force that this node takes up with its next start; mostly none. */
  readonly unadopted: readonly string[];
  readonly running: boolean;
  readonly condition: ClusterCondition;
  readonly mode: "read-write" | "read-only";
  readonly resources: number;
  readonly subscribers: number;
  /** How many nodes gossip has in each status. */
  readonly members: Readonly<Record<MemberStatus, number>>;
  /** How many nodes the formation has in each state. */
  readonly states: Readonly<Record<NodeState, number>>;
  readonly consensus: {
    readonly role: ConsensusRole;
    readonly term: number;
    readonly leader?: NodeId;
    readonly commitIndex: number;
    readonly appliedIndex: number;
    readonly quorum: boolean;
    readonly quorumSinceMs: number;
    readonly storage: ConsensusStatus["storage"];
  };
  readonly chain: {
    readonly height: number;
    readonly head: string;
    readonly sealedHeight: number;
    /** The first block that is kept: those below it are archived and dropped. */
    readonly firstKeptHeight: number;
    /** The highest sealed height that an operator vouches for; only where the cluster has operator keys and this node a replica. */
    readonly operatorSignedHeight?: number;
  };
}

export interface HealthInput {
  readonly declaration: ClusterDeclaration;
  readonly node: NodeId;
  readonly clusterId: string;
  readonly running: boolean;
  readonly face: Face;
  readonly status: ConsensusStatus;
  readonly view: MembershipView;
  readonly formation: Formation;
  readonly state: FormationState | undefined;
  readonly inForce: InForce;
  readonly unadopted: readonly string[];
  readonly clock: ClockVerdict | undefined;
}

function countBy<K extends string>(keys: readonly K[], values: Iterable<K>): Record<K, number> {
  const counts = Object.fromEntries(keys.map((key) => [key, 0])) as Record<K, number>;
  for (const value of values) counts[value] += 1;
  return counts;
}

/** What a condition follows from. */
interface ConditionInput {
  readonly declaration: Pick<ClusterDeclaration, "topology">;
  readonly formation: Pick<Formation, "nodes">;
  readonly state: Pick<FormationState, "formed"> | undefined;
  readonly status: Pick<ConsensusStatus, "id" | "role" | "quorum">;
}

/** How the cluster is, as one node sees it. */
export function conditionOf(input: ConditionInput): ClusterCondition {
  const { state, status, formation, declaration } = input;
  const formed = state?.formed ?? [...formation.nodes.values()].some((record) => record.role === "master");
  if (!formed) return "forming";
  // A node without a place in the log cannot know of a quorum; it is as healthy as what it follows.
  if (!status.quorum && hasPlace(status, formation)) return "no-quorum";
  const active = [...formation.nodes.values()].filter((record) => record.state === "active").length;
  const standing = [...formation.nodes.values()].filter((record) => record.state === "standby").length;
  return active + standing < declaration.topology.minNodes ? "degraded" : "healthy";
}

function switchingOf(input: HealthInput): Pick<ClusterHealth, "switching"> {
  const { formation, inForce, state, status } = input;
  const { declared } = formation;
  if (declared?.pending === undefined) return {};
  const { previous, withinMs } = declared.pending;
  const isJudged = state !== undefined && inForce.follows(declared);
  const missing = isJudged ? missingOf(inForce.current, state, status) : inForce.refusal;
  return {
    switching: {
      from: declarationId(previous),
      to: declarationId(declared.declaration),
      withinMs,
      ...(missing === undefined ? {} : { missing }),
    },
  };
}

/** Puts together what every layer says of itself. */
export function describeHealth(input: HealthInput): ClusterHealth {
  const { declaration, face, status, view, formation, state } = input;
  const counts = face.counts();
  const condition = conditionOf(input);
  return {
    id: declaration.id(),
    clusterId: input.clusterId,
    node: input.node,
    face: { name: declaration.face.name, protocol: declaration.face.kind.protocol, running: face.isRunning() },
    strategy: declaration.strategy.name,
    topology: declaration.topology.name,
    ...switchingOf(input),
    unadopted: input.unadopted,
    ...(input.clock === undefined ? {} : { clock: input.clock }),
    running: input.running,
    condition,
    mode: condition === "forming" ? "read-only" : "read-write",
    resources: counts.resources,
    subscribers: counts.subscribers,
    members: countBy(
      ["alive", "suspect", "dead", "left"],
      [...view.members.values()].map((member) => member.status),
    ),
    states: countBy(
      ["joining", "standby", "active", "demoting", "departing", "failed"],
      [...formation.nodes.values()].map((record) => record.state as NodeState),
    ),
    consensus: {
      role: status.role,
      term: status.term,
      ...(status.leader === undefined ? {} : { leader: status.leader }),
      commitIndex: status.commitIndex,
      appliedIndex: status.appliedIndex,
      quorum: status.quorum,
      quorumSinceMs: status.quorumSinceMs,
      storage: status.storage,
    },
    chain: {
      height: state?.head.height ?? 0,
      head: state?.head.hash ?? input.clusterId,
      sealedHeight: state?.sealed.height ?? 0,
      firstKeptHeight: (state?.base.height ?? 0) + 1,
      ...(state?.formation.operators === undefined
        ? {}
        : { operatorSignedHeight: Math.min(state.operatorSigned.height, state.sealed.height) }),
    },
  };
}

/** A promise of the architecture that does not hold here and now. */
export interface BrokenInvariant {
  readonly name: string;
  readonly message: string;
}

/** The first invariant that does not hold, or undefined. */
export function findBrokenInvariant(input: HealthInput): BrokenInvariant | undefined {
  const { status, state, formation, inForce } = input;
  if (inForce.refusal !== undefined) return { name: "declaration-followed", message: inForce.refusal };
  const voters = replicasOf(formation, "voter");
  if (voters.length % 2 === 0 && formation.nodes.size > 0) {
    return { name: "odd-voters", message: `the formation has ${voters.length} voters` };
  }
  if (status.appliedIndex > status.commitIndex) {
    return {
      name: "applied-within-committed",
      message: `applied ${status.appliedIndex} beyond committed ${status.commitIndex}`,
    };
  }
  if (state !== undefined && state.sealed.height > state.head.height) {
    return { name: "seal-within-chain", message: `sealed ${state.sealed.height} beyond height ${state.head.height}` };
  }
  if (state !== undefined && state.head.height !== state.formation.generation) {
    return {
      name: "one-block-per-shift",
      message: `${state.head.height} blocks for generation ${state.formation.generation}`,
    };
  }
  const { configuration } = status;
  const settled = configuration.outgoing === undefined && configuration.generation === formation.generation;
  const configured = configuration.voters.map(({ id }) => id).toSorted();
  if (settled && status.role !== "outsider" && configured.join() !== voters.join()) {
    return {
      name: "configuration-is-formation",
      message: `the log has ${configured.length} voters, the formation ${voters.length}`,
    };
  }
  return status.storage === "ok" ? undefined : { name: "storage", message: `the log's storage is ${status.storage}` };
}
