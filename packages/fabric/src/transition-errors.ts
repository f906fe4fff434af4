import { FabricError } from "./errors.ts";
import type { NodeRecord, Transition } from "./formation.ts";
import { shortId, type NodeId } from "./ids.ts";

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

/** A shift that no failure forces, in a cluster whose operators sign for such shifts, and none has. */
export class UnapprovedShiftError extends FabricError {
  constructor(what: string) {
    super("TOPOLOGY_UNAPPROVED_SHIFT", `no failure forces this, and no operator has approved of it: ${what}`);
  }
}

/** An approval by a key that is not in force as an operator's. */
export class NotAnOperatorError extends FabricError {
  constructor(operator: NodeId) {
    super("TOPOLOGY_NOT_AN_OPERATOR", `${shortId(operator)} is not an operator key in force`);
  }
}

/** Says that the table lists nothing for the state that the node is in. */
export function notFrom(transition: Transition, current: NodeRecord): IllegalTransitionError {
  const role = current.role === undefined ? "" : `(${current.role})`;
  return new IllegalTransitionError(transition, `its state is ${current.state}${role}`);
}
