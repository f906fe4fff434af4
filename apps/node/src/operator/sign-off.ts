import {
  parseClusterId,
  isFabricError,
  type Attestor,
  type ChainHead,
  type ClusterId,
  type Transition,
} from "@revoada/fabric";
import type { DroppedLine, NodeClient } from "../client.ts";
import { NodeFailedError } from "../errors.ts";
import {
  requireInForce,
  reviewRequest,
  shiftId,
  signRequest,
  type OperatorAnswer,
  type OperatorRequest,
  type ReviewedRequest,
  type WaitingLine,
} from "./request.ts";

/** What became of one signature. */
export interface SignedOutcome {
  readonly what: string;
  readonly committed: boolean;
  /** The formation's generation after a shift; absent for heads, and where it was refused. */
  readonly generation?: number;
  readonly why?: string;
}

/** The chain goes on while it is looked at: how often it is looked at again. */
const maxLooks = 5;

/** What a node has for an operator to sign, and what that comes to. Rejects with `CLUSTER_NO_OPERATORS`. */
export async function fetchRequest(
  node: NodeClient,
  expected?: ClusterId,
): Promise<{
  readonly request: OperatorRequest;
  readonly reviewed: ReviewedRequest;
  readonly dropped: readonly DroppedLine[];
}> {
  for (let look = 1; ; look += 1) {
    const { cluster, waiting, dropped } = await node.pending();
    const request = { cluster: parseClusterId(cluster, "cluster"), chain: await node.chainExport(), waiting };
    const reviewed = reviewRequest(request, expected);
    // Another seal in between: what waits is upon another head by now.
    if (reviewed.waiting.length === waiting.length || look >= maxLooks) return { request, reviewed, dropped };
  }
}

/** Brings signatures to the cluster. What cannot be committed any more is told, not thrown. */
export async function submitAnswer(node: NodeClient, answer: OperatorAnswer): Promise<readonly SignedOutcome[]> {
  const outcomes: SignedOutcome[] = [];
  const { cosignature, approvals } = answer;
  if (cosignature !== undefined) outcomes.push(await outcomeOf("the sealed head", () => node.cosign(cosignature)));
  for (const { statement, approval } of approvals)
    outcomes.push(await outcomeOf(statement.reason, () => node.approve(statement, approval)));
  return outcomes;
}

/**
 * Signs what was reviewed and brings it to the cluster. Each approval is for one head, so that shifts after the first are signed when it
 * is their turn, those only that were among `shifts`.
 */
export async function signOff(
  node: NodeClient,
  attestor: Attestor,
  reviewed: ReviewedRequest,
  shifts: readonly WaitingLine[],
): Promise<readonly SignedOutcome[]> {
  const outcomes = [...(await submitAnswer(node, signRequest(reviewed, attestor, [])))];
  for (const { statement } of shifts)
    outcomes.push(await outcomeOf(statement.reason, () => approveWaiting(node, attestor, reviewed.cluster, statement)));
  return outcomes;
}

/** Approves of a shift that waits, upon whatever head the chain has by then. Resolves with the generation after it. */
async function approveWaiting(
  node: NodeClient,
  attestor: Attestor,
  cluster: ClusterId,
  { reason, ...statement }: WaitingLine["statement"],
): Promise<number> {
  const id = shiftId({ ...statement, reason });
  return approveAnew(node, attestor, cluster, async () => {
    const now = (await fetchRequest(node, cluster)).reviewed.waiting.find(
      (line) => shiftId(line.statement) === id && line.statement.reason === reason,
    );
    if (now === undefined)
      throw new NodeFailedError("CHAIN_OTHER_APPROVAL", "it does not wait any more: another shift came first");
    return now.statement;
  });
}

/** Most signatures that one order needs: a voter is relieved first, and that may have to be said again. */
const maxSignatures = 8;

/**
 * Gives an order and approves at once of what it has wait, and of nothing else: `isPart` tells which. Resolves with what the order resolves with, or
 * with the generation after an approval where `once` says that this is all. Rejects as the order does, and with `OPERATOR_KEY_UNKNOWN`
 * before it is given where the key is not in force.
 */
export async function orderSigned<T>(
  node: NodeClient,
  attestor: Attestor,
  order: () => Promise<T>,
  isPart: (statement: WaitingLine["statement"]) => boolean,
  once?: (generation: number) => T,
): Promise<T> {
  const { cluster } = await reviewedFor(node, attestor);
  for (let signature = 0; ; signature += 1) {
    try {
      return await order();
    } catch (error) {
      if (!isFabricError(error, "CLUSTER_AWAITS_OPERATOR") || signature >= maxSignatures) throw error;
      const { waiting } = (await fetchRequest(node, cluster)).reviewed;
      const line = waiting.find(({ kind, statement }) => kind === "order" && isPart(statement));
      if (line === undefined) throw error;
      const generation = await approveWaiting(node, attestor, cluster, line.statement);
      if (once !== undefined) return once(generation);
    }
  }
}

async function reviewedFor(node: NodeClient, attestor: Attestor): Promise<ReviewedRequest> {
  const { reviewed } = await fetchRequest(node);
  requireInForce(reviewed, attestor.identity.id);
  return reviewed;
}

/**
 * Approves of transitions upon the sealed head of the node's chain, which is verified first. Resolves with the generation after them and with
 * how many blocks that awaited an operator the approval vouches for too. Rejects as the cluster refuses them.
 */
export async function approveTransitions(
  node: NodeClient,
  attestor: Attestor,
  transitions: readonly Transition[],
  reason: string,
): Promise<{ readonly cluster: ClusterId; readonly generation: number; readonly vouchedFor: number }> {
  const { cluster, unsigned } = await reviewedFor(node, attestor);
  const generation = await approveAnew(node, attestor, cluster, async () => {
    const { sealed } = (await fetchRequest(node, cluster)).reviewed;
    const head = sealed ?? { height: 0, hash: cluster as string as ChainHead["hash"] };
    return { clusterId: cluster, head, transitions, reason };
  });
  return { cluster, generation, vouchedFor: unsigned.length };
}

/** Signs once more where the chain went on in between. */
async function approveAnew(
  node: NodeClient,
  attestor: Attestor,
  cluster: ClusterId,
  statementNow: () => Promise<WaitingLine["statement"]>,
): Promise<number> {
  for (let look = 1; ; look += 1) {
    const statement = await statementNow();
    if (statement.clusterId !== cluster) throw new NodeFailedError("CHAIN_OTHER_APPROVAL", "it is of another cluster");
    try {
      return await node.approve(statement, attestor.signApproval(statement));
    } catch (error) {
      if (!isFabricError(error, "CHAIN_OTHER_APPROVAL", "TOPOLOGY_COMMAND_REFUSED") || look >= maxLooks) throw error;
    }
  }
}

async function outcomeOf(what: string, work: () => Promise<number | undefined>): Promise<SignedOutcome> {
  try {
    const generation = await work();
    return { what, committed: true, ...(generation === undefined ? {} : { generation }) };
  } catch (error) {
    if (!isFabricError(error)) throw error;
    return { what, committed: false, why: `${error.code}: ${error.message}` };
  }
}
