import {
  isFabricError,
  mayVote,
  replicasOf,
  shortId,
  type Attestor,
  type Clock,
  type Consensus,
  type Logger,
  type Membership,
  type NodeId,
  type NodeRecord,
  type Transition,
} from "@revoada/fabric";
import type { Sealer } from "../chain/sealer.ts";
import { unlessAborted } from "../deadline.ts";
import { CommandRefusedError } from "../errors.ts";
import type { InForce } from "../in-force.ts";
import type { FormationLoop } from "../loop/formation-loop.ts";
import type { FormationState } from "../machine/formation-machine.ts";
import type { ClusterMachine } from "../machine/machine.ts";

/** What the leader needs to carry out an operator's order. */
export interface OperatorTools {
  readonly attestor: Attestor;
  readonly consensus: Consensus<Uint8Array, Uint8Array>;
  readonly membership: Membership;
  readonly machine: ClusterMachine;
  readonly loop: FormationLoop;
  readonly inForce: InForce;
  readonly sealer: Sealer;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** How often a request that could not be decided is made again, and how often a seat is looked after that has to move first. */
const pauseMs = 100;
/** Passing: another leader, or nobody yet, decides it in a moment. */
const passingCodes = [
  "RAFT_NO_QUORUM",
  "RAFT_NOT_LEADER",
  "RAFT_OUTCOME_UNKNOWN",
  "TOPOLOGY_COMMAND_REFUSED",
  "CLUSTER_NOT_A_VOTER",
  "CLUSTER_STALE_TERM",
] as const;

/** The committed formation. Throws `CLUSTER_NO_GENESIS`. */
export function formationOf({ machine }: Pick<OperatorTools, "machine">): FormationState {
  const { state } = machine.formation;
  if (state === undefined) throw new CommandRefusedError("CLUSTER_NO_GENESIS", "the cluster has no genesis yet");
  return state;
}

export function pause({ clock }: Pick<OperatorTools, "clock">, signal: AbortSignal): Promise<void> {
  return unlessAborted(new Promise<void>((resolve) => void clock.schedule(pauseMs, resolve)), signal);
}

/** Says who is alive, as far as this node hears. */
export function livingOf({
  membership,
  attestor,
}: Pick<OperatorTools, "membership" | "attestor">): (id: NodeId) => boolean {
  const view = membership.view();
  return (id) => {
    const status = view.members.get(id)?.status;
    return id === attestor.identity.id || status === "alive" || status === "suspect";
  };
}

/** True where a node keeps a vote that it has, or may be given one. Who is cordoned keeps it and is given none; who is quarantined is on the way out. */
export function mayHoldSeat(record: NodeRecord): boolean {
  const isSteady = record.state === "active" || record.state === "standby";
  const isFree = record.replica === "voter" ? !record.flags.includes("quarantined") : record.flags.length === 0;
  return isSteady && isFree && mayVote(record);
}

/**
 * Refuses what would take a vote away that nobody living could cast instead. `code` is what the order is refused with.
 */
export function requireHeir(
  { membership, attestor }: OperatorTools,
  node: NodeId,
  state: FormationState,
  code: string,
): void {
  const { formation } = state;
  if (formation.nodes.get(node)?.replica !== "voter") return;
  const voters = replicasOf(formation, "voter");
  const lives = livingOf({ membership, attestor });
  const heirs = [...formation.nodes].filter(([id, record]) => id !== node && mayHoldSeat(record) && lives(id));
  if (heirs.length >= voters.length) return;
  throw new CommandRefusedError(
    code,
    `${shortId(node)} votes, and ${heirs.length} other living nodes cannot hold ${voters.length} seats: let another node join first`,
  );
}

/**
 * Commits transitions that hold whatever was committed before them, as long as `check` throws nothing, which is asked anew where another command came
 * first. Rejects with `TOPOLOGY_ILLEGAL_TRANSITION` where they do not,
 * retryable where another leader has to be asked, and with `CLUSTER_AWAITS_OPERATOR` where the cluster has operator keys: what an operator
 * orders waits until one signs for it.
 */
export async function commitOrder(
  { loop }: OperatorTools,
  transitions: readonly Transition[],
  reason: string,
  check: () => void = () => undefined,
): Promise<number> {
  try {
    return await loop.commitAfterOthers(transitions, reason, { ordered: true, check });
  } catch (error) {
    if (!isFabricError(error, ...passingCodes)) throw error;
    const why = `the order was not committed: ${error.message}`;
    throw new CommandRefusedError("RAFT_NO_QUORUM", why, { retryable: true, cause: error });
  }
}
