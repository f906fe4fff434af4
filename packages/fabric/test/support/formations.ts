import {
  applyTransition,
  type Formation,
  type FormationCommand,
  type NodeId,
  type StoreId,
  type Transition,
} from "@revoada/fabric";

/** The store that a node of these tests votes from. */
export function storeOf(node: NodeId): StoreId {
  return node.slice(0, 32) as StoreId;
}

/** Lets a node in, in its first life unless told. */
export function admit(
  node: NodeId,
  facts: { readonly generation?: number; readonly limitedTo?: "worker" | "observer" } = {},
): Transition {
  const admission = { storeId: storeOf(node), generation: 1, incarnation: 0, zone: "", version: "1", ...facts };
  return { verb: "admit", node, admission };
}

/** The formation after transitions, one by one. */
export function apply(formation: Formation, ...transitions: readonly Transition[]): Formation {
  return transitions.reduce((before, transition) => applyTransition(before, transition, 1), formation);
}

/** A command upon a formation. */
export function commandOn(
  formation: Formation,
  proposer: NodeId,
  transitions: readonly Transition[],
  approval?: FormationCommand["approval"],
): FormationCommand {
  return {
    version: 1,
    clusterId: "" as never,
    baseGeneration: formation.generation,
    transitions,
    reason: "",
    decisionHash: "" as never,
    timeMs: 1,
    proposer,
    term: 1 as never,
    ...(approval === undefined ? {} : { approval }),
  };
}
