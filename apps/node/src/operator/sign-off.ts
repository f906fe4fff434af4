import {
  parseClusterId,
  isFabricError,
  type Attestor,
  type ChainHead,
  type ClusterId,
  type Transition,
} from "@revoada/fabric";
import type { NodeClient } from "../client.ts";
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
): Promise<{ readonly request: OperatorRequest; readonly reviewed: ReviewedRequest }> {
  for (let look = 1; ; look += 1) {
    const { cluster, waiting } = await node.pending();
    const request = { cluster: parseClusterId(cluster, "cluster"), chain: await node.chainExport(), waiting };
    const reviewed = reviewRequest(request, expected);
    // Another seal in between: what waits is upon another head by now.
    if (reviewed.waiting.length === waiting.length || look >= maxLooks) return { request, reviewed };
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
    outcomes.push(
      await outcomeOf(statement.reason, async () => {
        const id = shiftId(statement);
        return approveAnew(node, attestor, reviewed.cluster, async () => {
          const now = (await fetchRequest(node, reviewed.cluster)).reviewed.waiting.find(
            (line) => shiftId(line.statement) === id && line.statement.reason === statement.reason,
          );
          if (now === undefined)
            throw new NodeFailedError("CHAIN_OTHER_APPROVAL", "it does not wait any more: another shift came first");
          return now.statement;
        });
      }),
    );
  return outcomes;
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
  const { reviewed } = await fetchRequest(node);
  requireInForce(reviewed, attestor.identity.id);
  const { cluster, unsigned } = reviewed;
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
