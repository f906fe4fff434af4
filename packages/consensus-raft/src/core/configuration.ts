import type { Configuration, Generation, NodeId, ReplicaId, StoreId } from "@revoada/fabric";
import { InvalidValueError } from "@revoada/fabric";
import type { IndexedConfiguration } from "./types.ts";

/** The most replicas that one configuration may name. */
export const maxReplicas = 1024;

/** Calls `visit` for each replica of a configuration; one that stands in two lists is visited twice. */
function eachReplica(configuration: Configuration, visit: (replica: ReplicaId) => void): void {
  for (const replica of configuration.outgoing ?? []) visit(replica);
  for (const replica of configuration.voters) visit(replica);
  for (const replica of configuration.learners) visit(replica);
}

/**
 * All nodes of a configuration with the store to talk to. Where a node stands in it with two, its disk was wiped and the newer
 * one counts: the outgoing half is the oldest, a learner is about to replace a voter.
 */
export function replicasOf(configuration: Configuration): ReadonlyMap<NodeId, StoreId> {
  const replicas = new Map<NodeId, StoreId>();
  eachReplica(configuration, (replica) => replicas.set(replica.id, replica.storeId));
  return replicas;
}

function holds(list: readonly ReplicaId[], id: NodeId, storeId: StoreId): boolean {
  for (const replica of list) if (replica.id === id) return replica.storeId === storeId;
  return false;
}

/** True where this very store votes, in the incoming or the outgoing half. */
export function isVoter(configuration: Configuration, id: NodeId, storeId: StoreId): boolean {
  return holds(configuration.voters, id, storeId) || holds(configuration.outgoing ?? [], id, storeId);
}

export function isLearner(configuration: Configuration, id: NodeId, storeId: StoreId): boolean {
  return !isVoter(configuration, id, storeId) && holds(configuration.learners, id, storeId);
}

/** The largest value that a majority of `voters` has reached. An empty half decides nothing: Infinity. */
function majorityValue(voters: readonly ReplicaId[], valueOf: (replica: ReplicaId) => number): number {
  if (voters.length === 0) return Infinity;
  if (voters.length === 1) return valueOf(voters[0] as ReplicaId);
  const values: number[] = [];
  for (const voter of voters) {
    const value = valueOf(voter);
    let at = values.length;
    // Insertion sort, descending: there are three to nine of them, and this runs for every acknowledgement.
    while (at > 0 && (values[at - 1] as number) < value) at -= 1;
    values.splice(at, 0, value);
  }
  return values[Math.floor(voters.length / 2)] as number;
}

/** The largest value that a quorum has reached: in a joint configuration, a majority of each half. */
export function quorumValue(configuration: Configuration, valueOf: (replica: ReplicaId) => number): number {
  const incoming = majorityValue(configuration.voters, valueOf);
  if (configuration.outgoing === undefined) return incoming;
  return Math.min(incoming, majorityValue(configuration.outgoing, valueOf));
}

export type VoteResult = "won" | "lost" | "pending";
/** What a voter answered; undefined while it has not. */
export type VoteOf = (voter: ReplicaId) => boolean | undefined;

function majorityVote(voters: readonly ReplicaId[], voteOf: VoteOf): VoteResult {
  if (voters.length === 0) return "won";
  const needed = Math.floor(voters.length / 2) + 1;
  let granted = 0;
  let open = 0;
  for (const voter of voters) {
    const vote = voteOf(voter);
    if (vote === undefined) open += 1;
    else if (vote) granted += 1;
  }
  if (granted >= needed) return "won";
  return granted + open >= needed ? "pending" : "lost";
}

/** How an election stands. In a joint configuration both halves must be won. */
export function voteResult(configuration: Configuration, voteOf: VoteOf): VoteResult {
  const incoming = majorityVote(configuration.voters, voteOf);
  const outgoing = configuration.outgoing === undefined ? "won" : majorityVote(configuration.outgoing, voteOf);
  if (incoming === "lost" || outgoing === "lost") return "lost";
  return incoming === "won" && outgoing === "won" ? "won" : "pending";
}

function sameMembers(left: readonly ReplicaId[], right: readonly ReplicaId[]): boolean {
  if (left.length !== right.length) return false;
  for (const replica of left) if (!holds(right, replica.id, replica.storeId)) return false;
  return true;
}

/** True where both name the same voters, whatever their order. */
function sameVoters(left: Configuration, right: Configuration): boolean {
  return sameMembers(left.voters, right.voters);
}

/** True where both are equal in every respect but the order of members. */
export function sameConfiguration(left: Configuration, right: Configuration): boolean {
  return (
    left.generation === right.generation &&
    sameVoters(left, right) &&
    sameMembers(left.outgoing ?? [], right.outgoing ?? []) &&
    sameMembers(left.learners, right.learners)
  );
}

/** The configuration that stands alone once a joint one is left. */
export function leaveJoint(configuration: Configuration): Configuration {
  return { voters: configuration.voters, learners: configuration.learners, generation: configuration.generation };
}

/** The first step from `current` to `target`: joint where voters differ, else the target itself. */
export function firstStep(current: Configuration, target: Configuration): Configuration {
  if (sameVoters(current, target)) return target;
  return { ...target, outgoing: current.voters };
}

/** Refuses a configuration that could not work. Throws `FABRIC_INVALID_VALUE`. */
export function checkConfiguration(configuration: Configuration, path = "configuration"): Configuration {
  if (configuration.voters.length === 0)
    throw new InvalidValueError(`${path}.voters`, configuration.voters, "at least one voter");
  const { voters, learners, outgoing } = configuration;
  if (outgoing?.length === 0) throw new InvalidValueError(`${path}.outgoing`, outgoing, "at least one voter");
  checkDistinct(voters, `${path}.voters`);
  checkDistinct(learners, `${path}.learners`);
  checkDistinct(outgoing ?? [], `${path}.outgoing`);
  for (const learner of learners) {
    if (holds(voters, learner.id, learner.storeId))
      throw new InvalidValueError(path, learner.id, "a voter or a learner, not both");
  }
  const size = replicasOf(configuration).size;
  if (size > maxReplicas) throw new InvalidValueError(path, size, `at most ${maxReplicas} replicas`);
  if (!Number.isSafeInteger(configuration.generation) || configuration.generation < 0) {
    throw new InvalidValueError(`${path}.generation`, configuration.generation, "an integer from 0 to 2^53 - 1");
  }
  return configuration;
}

function checkDistinct(replicas: readonly ReplicaId[], path: string): void {
  const seen = new Set<NodeId>();
  for (const replica of replicas) {
    if (seen.has(replica.id)) throw new InvalidValueError(path, replica.id, "each node once");
    seen.add(replica.id);
  }
}

/**
 * The configurations that the log has brought, oldest first. The last one is in force, committed or not: a configuration is
 * active from its append on (dissertation §4.1), and one whose entry is truncated was never in force.
 */
export class ConfigurationHistory {
  #known: IndexedConfiguration[];

  constructor(known: readonly IndexedConfiguration[]) {
    this.#known = [...known];
  }

  get current(): Configuration | undefined {
    return this.#known.at(-1)?.configuration;
  }

  /** The index of the entry that brought the current one; 0 where none did. */
  get currentIndex(): number {
    return this.#known.at(-1)?.index ?? 0;
  }

  /** The one that the current one superseded, as far as it is remembered. */
  get previous(): Configuration | undefined {
    return this.#known.at(-2)?.configuration;
  }

  at(index: number): Configuration | undefined {
    return this.#known.findLast((known) => known.index <= index)?.configuration;
  }

  push(index: number, configuration: Configuration): void {
    this.#known.push({ index, configuration });
  }

  /** Undoes what came with entries from `index` on. True where that changed the current one. */
  truncate(index: number): boolean {
    const before = this.#known.length;
    while (this.#known.length > 0 && (this.#known.at(-1) as IndexedConfiguration).index >= index) this.#known.pop();
    return this.#known.length !== before;
  }

  /** Forgets what was superseded at or before `index`. */
  compact(index: number): void {
    const keepFrom = this.#known.findLastIndex((known) => known.index <= index);
    if (keepFrom > 0) this.#known = this.#known.slice(keepFrom);
  }

  reset(index: number, configuration: Configuration | undefined): void {
    this.#known = configuration === undefined ? [] : [{ index, configuration }];
  }
}

/** A configuration by its parts, for bootstraps and tests. */
export function configurationOf(
  voters: readonly ReplicaId[],
  learners: readonly ReplicaId[] = [],
  generation: Generation = 0 as Generation,
): Configuration {
  return { voters, learners, generation };
}
