import type { Formation, FormationCommand, NodeRecord, Transition } from "./formation.ts";
import { shortId, type NodeId } from "./ids.ts";
import { NotAnOperatorError, UnapprovedShiftError } from "./transition-errors.ts";

/** A transition that changed something, and the formation after it. */
interface Step {
  readonly transition: Transition;
  readonly formation: Formation;
}

/** True where a voter's seat may be given to another without asking: the node failed, is on its way out, or was quarantined. */
function hasLostItsSeat(record: NodeRecord | undefined): boolean {
  if (record === undefined || record.flags.includes("quarantined")) return true;
  return record.state !== "active" && record.state !== "standby";
}

function votersOf(formation: Formation): ReadonlySet<NodeId> {
  return new Set([...formation.nodes].filter(([, { replica }]) => replica === "voter").map(([id]) => id));
}

/** What an operator is asked about, whatever else the command does. A demotion may be a step of a switch that one approved of. */
function isVoluntary({ verb }: Transition, isSwitching: boolean): boolean {
  switch (verb) {
    case "demote":
      return !isSwitching;
    case "remove":
    case "restore":
    case "succeed":
    case "declare":
    case "enrol":
    case "revoke":
      return true;
    case "admit":
    case "promote":
    case "reassign":
    case "seat":
    case "settle":
    case "depart":
    case "evict":
    case "forget":
    case "cordon":
    case "quarantine":
    case "inherit":
    case "recover":
    case "confirm":
    case "revert":
      return false;
  }
}

/** A role with control duties or a vote, for a node that has no seat once the command is done: one in passing does not count. */
function givesDuty({ transition }: Step, after: Formation): boolean {
  if (transition.verb !== "promote" && transition.verb !== "reassign") return false;
  if (transition.role !== "master" && transition.role !== "arbiter") return false;
  return after.nodes.get(transition.node)?.replica !== "voter";
}

/** Seats that are added, and those that are taken from voters who could go on. */
function movesSeats(before: Formation, after: Formation, steps: readonly Step[]): boolean {
  const seating = steps.filter(
    ({ transition: { verb } }) => verb === "promote" || verb === "reassign" || verb === "seat",
  );
  const [old, now] = [votersOf(before), votersOf(after)];
  const gained = new Set(seating.map(({ transition }) => transition.node).filter((id) => now.has(id) && !old.has(id)));
  const lost = [...old].filter((id) => !now.has(id));
  const taken = lost.filter((id) => !hasLostItsSeat(after.nodes.get(id)));
  return gained.size > lost.length || taken.length > 0;
}

/**
 * True where a command does what no failure forces, which needs an operator's approval where the cluster has operator keys.
 *
 * It follows from the formation and the transitions alone, so that leaders, replicas and verifiers agree and nobody has to be believed:
 * forced is what relieves nodes that failed, leave or were quarantined, and gives their seats, one for one, to others. To let nodes in, to
 * have them replicate without a vote, to give them work and to finish what was begun moves no seat and needs nobody's approval. While a switch
 * to another declaration is under way, roles and seats are dealt anew without a further approval: an operator approved of the switch, and
 * there is none without. What else an operator is asked about is asked then, too. `steps`: the transitions that changed something, in order.
 */
export function needsApproval(before: Formation, steps: readonly Step[]): boolean {
  const isSwitching = before.declared?.pending !== undefined;
  if (steps.some(({ transition }) => isVoluntary(transition, isSwitching))) return true;
  return !isSwitching && dealsRolesOrSeats(before, steps);
}

/**
 * True where a command gives roles or moves seats as no failure forces. Under a switch it needs no approval of its own; whether it is a step
 * towards the declaration is for those to judge who can read it.
 */
export function dealsRolesOrSeats(before: Formation, steps: readonly Step[]): boolean {
  const after = steps.at(-1)?.formation ?? before;
  return steps.some((step) => givesDuty(step, after)) || movesSeats(before, after, steps);
}

/** Throws `TOPOLOGY_UNAPPROVED_SHIFT` or `TOPOLOGY_NOT_AN_OPERATOR`. */
export function checkApproved(before: Formation, command: FormationCommand, steps: readonly Step[]): void {
  const { approval } = command;
  if (approval !== undefined) {
    if (before.operators?.has(approval.operator) === true) return;
    throw new NotAnOperatorError(approval.operator);
  }
  if (before.operators === undefined || !needsApproval(before, steps)) return;
  const what = command.transitions.map(({ verb, node }) => `${verb} ${shortId(node)}`).slice(0, 4);
  throw new UnapprovedShiftError(what.join(", "));
}
