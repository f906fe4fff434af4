import { planRecovery, type RecoveryPlan } from "@revoada/cluster";
import type { NodeId } from "@revoada/fabric";
import { couldAgree, livingAmong } from "./living.ts";
import { openStoppedNode } from "./stopped-node.ts";

/** What recovering from a lost majority came to, or would. */
export interface RecoveryReport {
  readonly outcome: "possible" | "majority lives" | "done";
  readonly done: boolean;
  readonly node: NodeId;
  readonly voters: readonly NodeId[];
  /** Other voters that answered the door. */
  readonly living: readonly NodeId[];
  readonly lost: readonly NodeId[];
  readonly lastIndex: number;
  readonly commitIndex: number;
  /** The block of the chain that tells it. */
  readonly height: number;
}

/**
 * Lets the stopped node of a data directory go on alone, or says what that would mean. Refuses, as an outcome, where enough voters answer
 * to agree without it. Rejects with `CLUSTER_OFFLINE_REFUSED` where there is nothing to go on with.
 */
export async function recoverNode(
  directory: string,
  options: { readonly dryRun: boolean; readonly evenIfAMajorityLives: boolean },
): Promise<RecoveryReport> {
  await using node = await openStoppedNode(directory);
  const plan = await planRecovery(node.offline);
  const { configuration } = plan;
  const others = [...configuration.voters, ...(configuration.outgoing ?? [])]
    .map(({ id }) => id)
    .filter((id) => id !== plan.node);
  const living = await livingAmong(node, [...new Set(others)]);
  const facts = factsOf(plan, living);
  // This node counts: started, it would be one of them.
  const majorityLives = couldAgree(configuration, new Set([...living, plan.node]));
  if (majorityLives && !options.evenIfAMajorityLives) return { ...facts, outcome: "majority lives", done: false };
  if (options.dryRun) return { ...facts, outcome: "possible", done: false };
  await node.log.append(plan.batch);
  return { ...facts, outcome: "done", done: true };
}

function factsOf(plan: RecoveryPlan, living: readonly NodeId[]): Omit<RecoveryReport, "outcome" | "done"> {
  const { node, voters, lost, lastIndex, commitIndex, formation } = plan;
  return { node, voters, living, lost, lastIndex, commitIndex, height: formation.generation + 1 };
}
