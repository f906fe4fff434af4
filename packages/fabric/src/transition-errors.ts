import { FabricError } from "./errors.ts";
import type { NodeRecord, Transition } from "./formation.ts";
import { shortId } from "./ids.ts";

/** A transition that the table does not list for the state that the node is in. Nothing was changed. */
export class IllegalTransitionError extends FabricError {
  readonly transition: Transition;

  constructor(transition: Transition, why: string) {
    super("TOPOLOGY_ILLEGAL_TRANSITION", `cannot ${transition.verb} ${shortId(transition.node)}: ${why}`);
    this.transition = transition;
  }
}

/** A formation command that is refused whole: another formation than the one that it was made for, or a result that must not be. */
export class FormationRefusedError extends FabricError {
  constructor(message: string) {
    super("TOPOLOGY_COMMAND_REFUSED", message);
  }
}

/** Says that the table lists nothing for the state that the node is in. */
export function notFrom(transition: Transition, current: NodeRecord): IllegalTransitionError {
  const role = current.role === undefined ? "" : `(${current.role})`;
  return new IllegalTransitionError(transition, `its state is ${current.state}${role}`);
}
