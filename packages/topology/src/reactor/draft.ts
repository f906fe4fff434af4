import {
  applyTransition,
  FabricError,
  isFabricError,
  needsApproval,
  quorumSizeOf,
  replicasOf,
  type Formation,
  type NodeId,
  type NodeRecord,
  type ShiftDecision,
  type Transition,
} from "@revoada/fabric";
import type { PolicyDecision, PolicyDraft } from "../policies/policy.ts";
import type { ReactorLimits } from "./limits.ts";
import { configurationFollows, isReachable, type Observation } from "./situation.ts";

/** A policy asked for what no policy may; nothing of the whole observation is decided. */
export class BrokenPolicyError extends FabricError {
  constructor(policy: string, what: string, cause?: unknown) {
    super("TOPOLOGY_POLICY_BROKEN", `policy ${policy} ${what}`, cause === undefined ? {} : { cause });
  }
}

interface Step {
  readonly transition: Transition;
  readonly formation: Formation;
}

/** The draft of one observation. What every policy must keep to is held here, whoever wrote the policy. */
export class Draft implements PolicyDraft {
  readonly #observation: Observation;
  readonly #limits: ReactorLimits;
  readonly #follows: boolean;
  readonly #decisions: ShiftDecision[] = [];
  readonly #withheld: ShiftDecision[] = [];
  #formation: Formation;
  #movedReplicas = false;
  #withheldMove = false;
  #policy = "";
  #left = 0;

  constructor(observation: Observation, limits: ReactorLimits) {
    this.#formation = observation.formation;
    this.#observation = observation;
    this.#limits = limits;
    this.#follows = configurationFollows(observation);
  }

  get formation(): Formation {
    return this.#formation;
  }

  get decisions(): readonly ShiftDecision[] {
    return this.#decisions;
  }

  /**
   * What an operator has to approve of first. The draft goes on without it, so that nothing that needs no operator waits for one.
   */
  get withheld(): readonly ShiftDecision[] {
    return this.#withheld;
  }

  get mayMoveReplicas(): boolean {
    return this.#follows && !this.#movedReplicas;
  }

  record(id: NodeId): NodeRecord | undefined {
    return this.#formation.nodes.get(id);
  }

  /** From here on decisions are those of this policy. */
  enter(policy: string): void {
    this.#policy = policy;
    this.#left = this.#limits.maxDecisions;
  }

  decide({ voluntary, ...decision }: PolicyDecision): boolean {
    if (this.#left === 0) return false;
    const steps = this.#steps(decision.transitions);
    const next = steps.at(-1)?.formation ?? this.#formation;
    if (next === this.#formation) return false;
    const moves = decision.transitions.some(({ node }) => replicaOf(this.#formation, node) !== replicaOf(next, node));
    if (moves && !this.mayMoveReplicas) return false;
    if (moves && !this.#keepsQuorum(next)) return false;
    if (voluntary === true && decision.transitions.some(({ node }) => !this.#isRested(node))) return false;
    const inputs = { ...decision.inputs, policy: this.#policy, ...(voluntary === true ? { voluntary } : {}) };
    if (this.#formation.operators !== undefined && needsApproval(this.#formation, steps)) {
      this.#withhold({ ...decision, inputs }, moves);
      return false;
    }
    this.#left -= 1;
    this.#movedReplicas ||= moves;
    this.#formation = next;
    this.#decisions.push({ ...decision, inputs });
    return true;
  }

  /** One at a time where replicas move, as for those that are made: a policy that is refused one may try the next best. */
  #withhold(decision: ShiftDecision, moves: boolean): void {
    if ((moves && this.#withheldMove) || this.#withheld.length >= this.#limits.maxDecisions) return;
    this.#withheldMove ||= moves;
    this.#withheld.push(decision);
  }

  /** The transitions that change something, each with the formation after it. */
  #steps(transitions: readonly Transition[]): readonly Step[] {
    const steps: Step[] = [];
    let formation = this.#formation;
    try {
      for (const transition of transitions) {
        const next = applyTransition(formation, transition, this.#observation.nowMs);
        if (next !== formation) steps.push({ transition, formation: next });
        formation = next;
      }
    } catch (error) {
      if (!isFabricError(error)) throw error;
      throw new BrokenPolicyError(this.#policy, `asked for what the table does not list: ${error.message}`, error);
    }
    return steps;
  }

  /** Votes move only to where an odd number of them, not too many, and a majority that can be reached are left. */
  #keepsQuorum(next: Formation): boolean {
    const [before, after] = [replicasOf(this.#formation, "voter"), replicasOf(next, "voter")];
    if (before.join() === after.join()) return true;
    if (after.length % 2 === 0) return false;
    if (after.length > Math.max(before.length, quorumSizeOf(this.#observation.strategy))) return false;
    // The next key of a node is the same machine: it is reached as the one before it was.
    const reached = after.filter((id) => isReachable(id, this.#observation, this.#limits));
    return reached.length > after.length / 2;
  }

  #isRested(id: NodeId): boolean {
    const record = this.#observation.formation.nodes.get(id);
    return record !== undefined && this.#observation.nowMs - record.lastShiftMs >= this.#limits.dampingMs;
  }
}

function replicaOf(formation: Formation, id: NodeId): NodeRecord["replica"] {
  return formation.nodes.get(id)?.replica ?? "none";
}

/** The transition that gives a node this role and, where told, this replica, from the state that it is in. */
export function giveRole(
  id: NodeId,
  record: NodeRecord,
  role: NonNullable<NodeRecord["role"]>,
  replica?: NodeRecord["replica"],
): Transition {
  const extra = replica === undefined ? {} : { replica };
  if (record.state === "standby") return { verb: "promote", node: id, role, ...extra };
  return { verb: "reassign", node: id, role, ...extra };
}
