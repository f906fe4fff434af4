import type { Formation, Transition } from "./formation.ts";
import type { Generation } from "./ids.ts";
import { nextFormation } from "./succession.ts";
import { IllegalTransitionError } from "./transition-errors.ts";

/** Most operator keys in force at once. */
export const maxOperators = 64;

type OperatorStep = Extract<Transition, { verb: "enrol" | "revoke" }>;

/** True for the transitions that change who signs for the operators, and no node's place. */
export function isOperatorStep(transition: Transition): transition is OperatorStep {
  return transition.verb === "enrol" || transition.verb === "revoke";
}

/**
 * The formation with one operator key more or one less. A key that was revoked leaves a tombstone: its old signatures could be shown
 * again otherwise. The last one stays, because nobody could ever approve of another.
 */
export function withOperator(formation: Formation, transition: OperatorStep): Formation {
  const { operators } = formation;
  if (operators === undefined)
    throw new IllegalTransitionError(transition, "the cluster was founded without operator keys");
  return transition.verb === "enrol"
    ? enrolled(formation, operators, transition)
    : revoked(formation, operators, transition);
}

type Operators = NonNullable<Formation["operators"]>;

function enrolled(formation: Formation, operators: Operators, transition: OperatorStep): Formation {
  const { node: key } = transition;
  if (operators.has(key)) return formation;
  if (formation.tombstones.has(key)) throw new IllegalTransitionError(transition, "it was revoked or removed for ever");
  if (formation.nodes.has(key)) throw new IllegalTransitionError(transition, "it is the key of a node");
  if (operators.size >= maxOperators)
    throw new IllegalTransitionError(transition, `${maxOperators} operator keys are in force, the most there can be`);
  const next = nextFormation(formation, formation.nodes, []);
  return { ...next, operators: new Map([...operators, [key, next.generation]]) };
}

function revoked(formation: Formation, operators: Operators, transition: OperatorStep): Formation {
  const { node: key } = transition;
  if (!operators.has(key)) {
    if (formation.tombstones.has(key)) return formation;
    throw new IllegalTransitionError(transition, "it is no operator's key");
  }
  if (operators.size === 1) throw new IllegalTransitionError(transition, "it is the last operator key in force");
  const left = new Map<typeof key, Generation>([...operators].filter(([each]) => each !== key));
  return { ...nextFormation(formation, formation.nodes, [key]), operators: left };
}
