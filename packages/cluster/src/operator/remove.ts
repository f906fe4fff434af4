import { isFabricError, shortId, type NodeId } from "@revoada/fabric";
import { CommandRefusedError } from "../errors.ts";
import type { FormationState } from "../machine/formation-machine.ts";
import { commitOrder, formationOf, pause, requireHeir, type OperatorTools } from "./tools.ts";

/**
 * On the leader: an operator's last word on a node. Its seat is given to another first where it votes, then it is taken out of the
 * formation and its key is refused for ever. Resolves once that is committed and sealed.
 */
export async function removeNode(tools: OperatorTools, node: NodeId, signal: AbortSignal): Promise<void> {
  const { sealer, logger } = tools;
  for (let asked = false; ;) {
    signal.throwIfAborted();
    const state = formationOf(tools);
    if (state.formation.tombstones.has(node)) break;
    if (!votes(tools, node, state)) {
      if (await commit(tools, node, "remove", "an operator removes")) break;
      continue;
    }
    if (!asked) asked = await relieve(tools, node, state);
    await pause(tools, signal);
  }
  // Nodes that hold no log learn of it from the sealed chain.
  await sealer.sealUpTo(formationOf(tools).head.height, { signal });
  logger.info("a node was removed", { node: shortId(node) });
}

/** By the formation, or still by the log: its configuration follows the formation. */
function votes({ consensus }: OperatorTools, node: NodeId, { formation }: FormationState): boolean {
  const { voters, outgoing } = consensus.status().configuration;
  const inLog = [...voters, ...(outgoing ?? [])].some(({ id }) => id === node);
  return inLog || formation.nodes.get(node)?.replica === "voter";
}

/** Asks a voter out of its seat. True once that is committed: the loop moves the seat then. */
async function relieve(tools: OperatorTools, node: NodeId, state: FormationState): Promise<boolean> {
  const { attestor, consensus, loop } = tools;
  const check = (): void => requireHeir(tools, node, formationOf(tools), "CLUSTER_REMOVE_REFUSED");
  check();
  if (node === attestor.identity.id) {
    const [heir] = [...consensus.status().progress]
      .filter(([id]) => state.formation.nodes.get(id)?.replica === "voter")
      .toSorted(([, a], [, b]) => b.matchIndex - a.matchIndex || a.silentMs - b.silentMs);
    if (heir !== undefined) await consensus.transferLeadership(heir[0]);
    throw new CommandRefusedError("RAFT_NOT_LEADER", "this leader was to be removed and handed over", {
      retryable: true,
    });
  }
  // Not `depart`: a node that departs is forgotten as soon as it has no seat, and would leave no tombstone.
  const now = state.formation.nodes.get(node)?.state;
  const mayBeFlagged = now === "active" || now === "standby";
  if (mayBeFlagged && !(await commit(tools, node, "quarantine", "an operator relieves", check))) return false;
  loop.kick();
  return true;
}

/** False where the formation moved on meanwhile: look again. */
async function commit(
  tools: OperatorTools,
  node: NodeId,
  verb: "remove" | "quarantine",
  what: string,
  check?: () => void,
): Promise<boolean> {
  try {
    await commitOrder(tools, [{ verb, node }], `${what} ${shortId(node)}`, check);
    return true;
  } catch (error) {
    if (!isFabricError(error, "TOPOLOGY_ILLEGAL_TRANSITION")) throw error;
    const { nodes, tombstones } = formationOf(tools).formation;
    if (nodes.has(node) || tombstones.has(node)) return false;
    throw new CommandRefusedError("CLUSTER_UNKNOWN_NODE", `${shortId(node)} is not in the formation`);
  }
}
