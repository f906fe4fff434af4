import { mayVote, type NodeId, type Transition } from "@revoada/fabric";
import type { ClusterDeclaration } from "../declaration.ts";
import { CommandRefusedError } from "../errors.ts";
import { declarationId, readDeclaration, sameDeclaration } from "../in-force.ts";
import { switchFault } from "../machine/declared.ts";
import type { FormationState } from "../machine/formation-machine.ts";
import type { ShiftOutcome } from "./shift.ts";
import { commitOrder, formationOf, livingOf, type OperatorTools } from "./tools.ts";

/** An operator's word that the cluster is to be of another declaration. */
export interface SwitchOrder {
  readonly verb: "declare";
  /** Where the word was given. */
  readonly node: NodeId;
  /** Canonical bytes. */
  readonly declaration: Uint8Array;
  /** How long the new shape is given to stand before the earlier one is declared again. */
  readonly withinMs: number;
  /** Says whether it would be committed, and commits nothing. */
  readonly dryRun: boolean;
}

/**
 * On the leader: commits another declaration, or says that it would.
 *
 * Rejects with what is incoherent in the declaration, with `TOPOLOGY_UNKNOWN` where the leader does not know its topology, and with
 * `CLUSTER_SWITCH_REFUSED` where another switch is under way, where too few nodes are there, or where something would change that does not
 * while a cluster lives.
 */
export async function switchDeclaration(tools: OperatorTools, order: SwitchOrder): Promise<ShiftOutcome> {
  const next = await tools.inForce.understand(order.declaration);
  const state = formationOf(tools);
  const { declared, generation } = state.formation;
  if (declared === undefined) throw refused("the cluster has no declaration to switch from");
  const { node, declaration, withinMs } = order;
  const transition: Transition = { verb: "declare", node, declaration, withinMs };
  const isSame = sameDeclaration(declared.declaration, declaration);
  // Whoever orders the same again did not hear that it was committed.
  if (isSame && declared.pending?.withinMs === withinMs && !order.dryRun)
    return { transitions: [transition], generation };
  if (declared.pending !== undefined)
    throw refused(`a switch to ${declarationId(declared.declaration)} is under way: one at a time`);
  if (isSame) return { transitions: [], generation };
  const before = readDeclaration(declared.declaration);
  const fault = switchFault(before, next);
  if (fault !== undefined) throw refused(fault);
  requireNodes(tools, next, state);
  if (order.dryRun) return { transitions: [transition], generation };
  const after = await commitOrder(tools, [transition], `an operator: from ${before.id()} to ${next.id()}`);
  tools.loop.kick();
  return { transitions: [transition], generation: after };
}

/** Whoever could hold any role and lives: what the first shape is made of, too. */
function requireNodes(tools: OperatorTools, { topology }: ClusterDeclaration, { formation }: FormationState): void {
  const lives = livingOf(tools);
  const eligible = [...formation.nodes].filter(
    ([id, record]) =>
      mayVote(record) &&
      (record.state === "active" || record.state === "standby") &&
      !record.flags.includes("quarantined") &&
      lives(id),
  );
  const short = topology.minNodes - eligible.length;
  if (short <= 0) return;
  throw refused(
    `topology ${topology.name} needs ${topology.minNodes} nodes, ${eligible.length} living ones may hold any role: ${short} more must join first`,
  );
}

function refused(why: string): CommandRefusedError {
  return new CommandRefusedError("CLUSTER_SWITCH_REFUSED", why);
}
