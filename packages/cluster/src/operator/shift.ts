import { applyTransition, shortId, type NodeId, type Transition } from "@revoada/fabric";
import { CommandRefusedError } from "../errors.ts";
import type { FormationState } from "../machine/formation-machine.ts";
import { commitOrder, formationOf, requireHeir, type OperatorTools } from "./tools.ts";

/** What an operator may ask of a node's place. */
export const shiftVerbs: readonly ["promote", "demote", "reassign", "cordon", "quarantine", "restore", "drain"] = [
  "promote",
  "demote",
  "reassign",
  "cordon",
  "quarantine",
  "restore",
  "drain",
];

/** `drain` cordons and demotes; the others are transitions of the table. */
export type ShiftVerb = (typeof shiftVerbs)[number];

/** Roles that an operator may give. */
export const shiftRoles: readonly ["master", "worker", "observer"] = ["master", "worker", "observer"];

export interface ShiftOrder {
  readonly verb: ShiftVerb;
  readonly node: NodeId;
  /** For `promote` and `reassign`, and only for these. */
  readonly role?: (typeof shiftRoles)[number];
  /** Says what would be committed, and commits nothing. */
  readonly dryRun: boolean;
}

/** What an order came to. */
export interface ShiftOutcome {
  /** What was committed, or would be: empty where all holds already. */
  readonly transitions: readonly Transition[];
  /** The formation's generation after it; that of now for a dry run. */
  readonly generation: number;
}

/**
 * On the leader: commits what an operator asks of a node's place, or says what it would be.
 *
 * Rejects with `CLUSTER_SHIFT_REFUSED` where a vote would be lost that nobody living could cast instead, with
 * `TOPOLOGY_ILLEGAL_TRANSITION` where the table lists no such step, and with `CLUSTER_UNKNOWN_NODE`.
 */
export async function shiftNode(tools: OperatorTools, order: ShiftOrder): Promise<ShiftOutcome> {
  const state = formationOf(tools);
  if (!state.formation.nodes.has(order.node))
    throw new CommandRefusedError("CLUSTER_UNKNOWN_NODE", `${shortId(order.node)} is not in the formation`);
  const transitions = effective(transitionsOf(order, state), state);
  const takesVote = order.verb === "demote" || order.verb === "quarantine" || order.verb === "drain";
  const check = (): void => {
    if (takesVote) requireHeir(tools, order.node, formationOf(tools), "CLUSTER_SHIFT_REFUSED");
  };
  check();
  if (order.dryRun || transitions.length === 0) return { transitions, generation: state.formation.generation };
  const generation = await commitOrder(tools, transitions, `an operator: ${order.verb} ${shortId(order.node)}`, check);
  tools.loop.kick();
  return { transitions, generation };
}

function transitionsOf({ verb, node, role }: ShiftOrder, { formation }: FormationState): readonly Transition[] {
  switch (verb) {
    case "promote":
    case "reassign":
      if (role === undefined) throw new CommandRefusedError("CLUSTER_SHIFT_REFUSED", `${verb} needs a role`);
      return [{ verb, node, role }];
    case "drain": {
      const isActive = formation.nodes.get(node)?.state === "active";
      return isActive
        ? [
            { verb: "cordon", node },
            { verb: "demote", node },
          ]
        : [{ verb: "cordon", node }];
    }
    default:
      return [{ verb, node }];
  }
}

/** Those that change something. Throws `TOPOLOGY_ILLEGAL_TRANSITION` for the first that the table does not list. */
function effective(transitions: readonly Transition[], state: FormationState): readonly Transition[] {
  let { formation } = state;
  return transitions.filter((transition) => {
    const next = applyTransition(formation, transition, state.timeMs);
    const changes = next !== formation;
    formation = next;
    return changes;
  });
}
