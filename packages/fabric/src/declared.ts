import { maxDeclarationBytes, maxSwitchMs, type Declared, type Formation, type Transition } from "./formation.ts";
import { nextFormation } from "./succession.ts";
import { IllegalTransitionError } from "./transition-errors.ts";

type SwitchTransition = Extract<Transition, { verb: "declare" | "confirm" | "revert" }>;

/** True for the transitions that change what is declared, and no node's place. */
export function isSwitch(transition: Transition): transition is SwitchTransition {
  return transition.verb === "declare" || transition.verb === "confirm" || transition.verb === "revert";
}

/** One switch at a time: declared, and then confirmed or taken back. No node's record changes. */
export function switched(formation: Formation, transition: SwitchTransition): Formation {
  if (!formation.nodes.has(transition.node))
    throw new IllegalTransitionError(transition, "the node is not in the formation");
  const { declared } = formation;
  if (declared === undefined) throw new IllegalTransitionError(transition, "nothing is declared that could change");
  const next = transition.verb === "declare" ? declaredAnew(declared, transition) : concluded(declared, transition);
  if (next === declared) return formation;
  return { ...nextFormation(formation, formation.nodes, []), declared: next };
}

function declaredAnew(declared: Declared, transition: Extract<Transition, { verb: "declare" }>): Declared {
  const { declaration, withinMs } = transition;
  if (!(declaration instanceof Uint8Array) || declaration.length < 1 || declaration.length > maxDeclarationBytes)
    throw new IllegalTransitionError(transition, `a declaration has 1 to ${maxDeclarationBytes} bytes`);
  if (!Number.isSafeInteger(withinMs) || withinMs < 1 || withinMs > maxSwitchMs)
    throw new IllegalTransitionError(transition, `${String(withinMs)} ms to stand, expected 1 to ${maxSwitchMs}`);
  if (declared.pending !== undefined) throw new IllegalTransitionError(transition, "another switch is under way");
  if (sameBytes(declared.declaration, declaration)) return declared;
  return { declaration, pending: { previous: declared.declaration, withinMs } };
}

function concluded(declared: Declared, transition: Extract<Transition, { verb: "confirm" | "revert" }>): Declared {
  if (declared.pending === undefined) throw new IllegalTransitionError(transition, "no switch is under way");
  return { declaration: transition.verb === "confirm" ? declared.declaration : declared.pending.previous };
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, position) => byte === b[position]);
}
