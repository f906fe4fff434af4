import type { Formation, ReplicaKind } from "./formation.ts";
import type { NodeId } from "./ids.ts";
import type { Configuration, ReplicaId } from "./seams/consensus.ts";

/** Ids of the nodes with this kind of replica, sorted. */
export function replicasOf(formation: Formation, kind: ReplicaKind): readonly NodeId[] {
  return [...formation.nodes]
    .filter(([, record]) => record.replica === kind)
    .map(([id]) => id)
    .toSorted();
}

/** The voters and learners that the log should have by a formation, each with its store, in order of their ids. */
export function configurationOf(formation: Formation): Pick<Configuration, "voters" | "learners"> {
  const of = (kind: ReplicaKind): readonly ReplicaId[] =>
    [...formation.nodes]
      .filter(([, record]) => record.replica === kind)
      .map(([id, { storeId }]) => ({ id, storeId }))
      .toSorted((a, b) => (a.id < b.id ? -1 : 1));
  return { voters: of("voter"), learners: of("learner") };
}

/** True where both lists hold the same replicas over the same stores, in whatever order. */
export function sameReplicas(a: readonly ReplicaId[], b: readonly ReplicaId[]): boolean {
  const text = (replicas: readonly ReplicaId[]): string =>
    replicas
      .map(({ id, storeId }) => `${id}:${storeId}`)
      .toSorted()
      .join();
  return text(a) === text(b);
}

/** True where the log's configuration is what the formation asks for, and no joint change is under way. */
export function hasFollowed({ voters, learners, outgoing }: Configuration, formation: Formation): boolean {
  const wanted = configurationOf(formation);
  return outgoing === undefined && sameReplicas(voters, wanted.voters) && sameReplicas(learners, wanted.learners);
}
