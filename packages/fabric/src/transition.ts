import { isSwitch, switched } from "./declared.ts";
import { describeValue } from "./errors.ts";
import type { Formation, FormationCommand, NodeFlag, NodeRecord, ReplicaKind, Transition } from "./formation.ts";
import { checkApproved } from "./approval.ts";
import { shortId, type Generation, type NodeId, type StoreId } from "./ids.ts";
import { isOperatorStep, withOperator } from "./operators.ts";
import { replicasOf } from "./replicas.ts";
import { inherited, nextFormation, recovered, refuseTombstone, successor, successorsOf } from "./succession.ts";
import {
  FormationRefusedError,
  IllegalTransitionError,
  NotAnOperatorError,
  notFrom,
  UnapprovedShiftError,
} from "./transition-errors.ts";

export { dealsRolesOrSeats, needsApproval } from "./approval.ts";
export { maxOperators } from "./operators.ts";
export { FormationRefusedError, IllegalTransitionError, NotAnOperatorError, UnapprovedShiftError };

/** Most transitions in one command. */
export const maxTransitionsPerCommand = 256;

/**
 * The formation that genesis makes: the founder alone, as bootstrap and only voter, at generation 0, held to the declaration of genesis.
 */
export function genesisFormation(founder: {
  readonly id: NodeId;
  readonly storeId: StoreId;
  readonly zone: string;
  readonly version: string;
  readonly createdMs: number;
  readonly declaration?: Uint8Array;
  readonly operators?: readonly NodeId[];
}): Formation {
  const record: NodeRecord = {
    state: "active",
    role: "bootstrap",
    replica: "voter",
    storeId: founder.storeId,
    generation: 0,
    incarnation: 0,
    zone: founder.zone,
    version: founder.version,
    flags: [],
    lastShiftMs: founder.createdMs,
  };
  const generation = 0 as Generation;
  const { declaration, operators: keys = [] } = founder;
  return {
    generation,
    nodes: new Map([[founder.id, record]]),
    tombstones: new Set(),
    ...(declaration === undefined ? {} : { declared: { declaration } }),
    ...(keys.length === 0 ? {} : { operators: new Map(keys.map((key) => [key, generation])) }),
  };
}

/**
 * Applies one transition by the guarded table and returns the next formation, one generation higher.
 *
 * A transition whose effect already holds returns `formation` itself. Throws `TOPOLOGY_ILLEGAL_TRANSITION` for every cell that
 * the table leaves empty. Pure and total: every replica and every verifier of a chain gets the same result.
 */
export function applyTransition(formation: Formation, transition: Transition, timeMs: number): Formation {
  if (transition.verb === "inherit") return inherited(formation, transition, timeMs);
  if (transition.verb === "recover") return recovered(formation, transition, timeMs);
  if (isSwitch(transition)) return switched(formation, transition);
  if (isOperatorStep(transition)) return withOperator(formation, transition);
  const current = formation.nodes.get(transition.node);
  const next =
    transition.verb === "remove" ? removedRecord(formation, transition, current) : step(formation, transition, current);
  if (next === current) return formation;
  const nodes = new Map(formation.nodes);
  const gone = next === undefined ? [transition.node, ...successorsOf(formation, transition.node)] : [];
  for (const id of gone) nodes.delete(id);
  if (next !== undefined) nodes.set(transition.node, { ...next, lastShiftMs: timeMs });
  return nextFormation(formation, nodes, transition.verb === "remove" ? gone : []);
}

/** True for the one command that may be proposed by a node that does not vote: the act of going on without a lost majority. */
export function isRecovery(command: Pick<FormationCommand, "transitions">): boolean {
  return command.transitions[0]?.verb === "recover";
}

/** True where nothing limits what a node may become and no other key holds its place: it may be given a vote and any role. */
export function mayVote(record: NodeRecord): boolean {
  return record.limitedTo === undefined && record.succeeds === undefined;
}

/** One transition of a command that changed something: its place in the command and the formation after it. */
export interface FormationStep {
  readonly ordinal: number;
  readonly transition: Transition;
  readonly formation: Formation;
}

/**
 * Applies a whole command or nothing. Refuses with `TOPOLOGY_COMMAND_REFUSED` where the base generation moved on or the result
 * would have no voter or an even number of them, with `TOPOLOGY_ILLEGAL_TRANSITION` for the first transition that is,
 * `TOPOLOGY_UNAPPROVED_SHIFT` where an operator's approval is needed and none is there, and `TOPOLOGY_NOT_AN_OPERATOR` where it is of a
 * key that is not in force. Whether the approval's signature is right is for whoever knows the chain's head.
 */
export function applyFormationCommand(formation: Formation, command: FormationCommand): readonly FormationStep[] {
  if (command.baseGeneration !== formation.generation) {
    throw new FormationRefusedError(
      `made for generation ${command.baseGeneration}, the formation is at ${formation.generation}`,
    );
  }
  if (command.transitions.length === 0 || command.transitions.length > maxTransitionsPerCommand) {
    throw new FormationRefusedError(
      `${command.transitions.length} transitions, expected 1 to ${maxTransitionsPerCommand}`,
    );
  }
  checkRecovery(command);
  const steps: FormationStep[] = [];
  let current = formation;
  for (const [ordinal, transition] of command.transitions.entries()) {
    const next = applyTransition(current, transition, command.timeMs);
    if (next === current) continue;
    steps.push({ ordinal, transition, formation: next });
    current = next;
  }
  const voters = replicasOf(current, "voter").length;
  if (voters % 2 === 0) throw new FormationRefusedError(`${voters} voters would be left, expected an odd number`);
  checkApproved(formation, command, steps);
  return steps;
}

/** Whoever goes on alone says so itself, and nothing else in the same breath. */
function checkRecovery({ transitions, proposer }: FormationCommand): void {
  const recovery = transitions.find(({ verb }) => verb === "recover");
  if (recovery === undefined) return;
  if (transitions.length > 1) throw new FormationRefusedError("a recovery stands alone in its command");
  if (recovery.node !== proposer)
    throw new FormationRefusedError(`${shortId(proposer)} proposes that ${shortId(recovery.node)} goes on alone`);
}

type Outcome = NodeRecord | undefined;
type StepTransition = Exclude<
  Transition,
  { verb: "remove" | "inherit" | "recover" | "declare" | "confirm" | "revert" | "enrol" | "revoke" }
>;

function step(formation: Formation, transition: StepTransition, current: Outcome): Outcome {
  if (transition.verb === "admit") return admitted(formation, transition, current);
  if (transition.verb === "succeed") return successor(formation, transition, current);
  if (current === undefined) throw new IllegalTransitionError(transition, "the node is not in the formation");
  switch (transition.verb) {
    case "promote":
      return promoted(formation, transition, current);
    case "reassign":
      return reassigned(formation, transition, current);
    case "seat":
      return seated(formation, transition, transition.replica, current);
    case "demote":
      if (current.state === "demoting") return current;
      if (current.state === "active") return { ...current, state: "demoting" };
      throw notFrom(transition, current);
    case "settle":
      if (current.state !== "demoting") throw notFrom(transition, current);
      refuseVoter(transition, current);
      return withoutRole(current, "standby");
    case "depart":
      if (current.state === "departing") return current;
      if (current.state === "failed") throw notFrom(transition, current);
      return withoutRole(current, "departing");
    case "evict":
      return current.state === "failed" ? current : withoutRole(current, "failed");
    case "forget":
      if (current.state !== "departing" && current.state !== "failed") throw notFrom(transition, current);
      refuseVoter(transition, current);
      return undefined;
    case "cordon":
      return flagged(transition, current, "cordoned");
    case "quarantine":
      return flagged(transition, current, "quarantined");
    case "restore":
      refuseFlags(transition, current);
      return current.flags.length === 0 ? current : { ...current, flags: [] };
    default:
      return unknownVerb(transition);
  }
}

/** The switch above is exhaustive for well-typed input; decoded input may still lie. */
function unknownVerb(transition: never): never {
  const { verb } = transition as { verb?: unknown };
  throw new FormationRefusedError(`unknown verb ${describeValue(verb)}`);
}

function refuseVoter(transition: Transition, current: NodeRecord): void {
  if (current.replica === "voter") throw new IllegalTransitionError(transition, "it still votes");
}

function refuseFlags(transition: Transition, current: NodeRecord): void {
  if (current.state === "demoting" || current.state === "departing") throw notFrom(transition, current);
}

function withoutRole(current: NodeRecord, state: NodeRecord["state"]): NodeRecord {
  const { role: _role, ...rest } = current;
  return { ...rest, state };
}

function admitted(formation: Formation, transition: Extract<Transition, { verb: "admit" }>, current: Outcome): Outcome {
  refuseTombstone(formation, transition);
  const { tokenId: _tokenId, limitedTo, ...facts } = transition.admission;
  if (current === undefined) {
    const limits = limitedTo === undefined ? {} : { limitedTo };
    return { state: "standby", replica: "none", ...facts, flags: [], lastShiftMs: 0, ...limits };
  }
  if (current.state === "standby" || current.state === "active") return current;
  if (current.state !== "failed") throw notFrom(transition, current);
  const newer =
    facts.generation > current.generation ||
    (facts.generation === current.generation && facts.incarnation > current.incarnation);
  if (!newer) {
    throw new IllegalTransitionError(
      transition,
      `it failed at (${current.generation}, ${current.incarnation}), (${facts.generation}, ${facts.incarnation}) is not newer`,
    );
  }
  return { ...withoutRole(current, "standby"), ...facts };
}

type RoleTransition = Extract<Transition, { verb: "promote" | "reassign" }>;

function promoted(formation: Formation, transition: RoleTransition, current: NodeRecord): NodeRecord {
  if (current.state === "active" && current.role === transition.role)
    return withReplica(formation, transition, current);
  if (current.state !== "standby") throw notFrom(transition, current);
  refuseRole(transition, current);
  return withReplica(formation, transition, { ...current, state: "active", role: transition.role });
}

function reassigned(formation: Formation, transition: RoleTransition, current: NodeRecord): NodeRecord {
  if (current.state !== "active") throw notFrom(transition, current);
  if (current.role === transition.role) return withReplica(formation, transition, current);
  if (current.role === "master" || current.role === "arbiter") {
    throw new IllegalTransitionError(transition, `a ${current.role} is demoted first`);
  }
  refuseRole(transition, current);
  return withReplica(formation, transition, { ...current, role: transition.role });
}

function refuseRole(transition: RoleTransition, current: NodeRecord): void {
  if (transition.role === "bootstrap")
    throw new IllegalTransitionError(transition, "bootstrap is the founder's role alone");
  if (current.limitedTo !== undefined && transition.role !== current.limitedTo)
    throw new IllegalTransitionError(transition, `its token lets it be ${current.limitedTo} only`);
  refuseWaiting(transition, current);
  refuseFlagged(transition, current);
}

/** A key that waits for another's place holds nothing of its own: there would be two seats over one disk. */
function refuseWaiting(transition: Transition, current: NodeRecord): void {
  if (current.succeeds !== undefined)
    throw new IllegalTransitionError(transition, `it waits for the place of ${shortId(current.succeeds)}`);
}

function refuseFlagged(transition: Transition, current: NodeRecord): void {
  if (current.flags.length > 0) throw new IllegalTransitionError(transition, `it is ${current.flags.join(" and ")}`);
}

/** A replica that comes with a role is bound by the same rules as one that is seated by itself. */
function withReplica(formation: Formation, transition: RoleTransition, next: NodeRecord): NodeRecord {
  return transition.replica === undefined ? next : seated(formation, transition, transition.replica, next);
}

function seated(formation: Formation, transition: Transition, replica: ReplicaKind, current: NodeRecord): NodeRecord {
  if (current.replica === replica) return current;
  if (replica === "voter") {
    if (current.state !== "active") throw notFrom(transition, current);
    if (current.limitedTo !== undefined)
      throw new IllegalTransitionError(transition, `its token lets it be ${current.limitedTo}, without a vote`);
    refuseWaiting(transition, current);
    refuseFlagged(transition, current);
  }
  if (
    replica === "learner" &&
    current.state !== "active" &&
    current.state !== "standby" &&
    current.state !== "demoting"
  ) {
    throw notFrom(transition, current);
  }
  if (current.replica === "voter" && replicasOf(formation, "voter").length === 1) {
    throw new IllegalTransitionError(transition, "it is the only voter");
  }
  return { ...current, replica };
}

function flagged(transition: Transition, current: NodeRecord, flag: NodeFlag): NodeRecord {
  refuseFlags(transition, current);
  if (current.flags.includes(flag)) return current;
  return { ...current, flags: [...current.flags, flag].toSorted() };
}

function removedRecord(formation: Formation, transition: Transition, current: Outcome): Outcome {
  if (current === undefined) {
    if (formation.tombstones.has(transition.node)) return current;
    throw new IllegalTransitionError(transition, "the node is not in the formation");
  }
  refuseVoter(transition, current);
  return undefined;
}
