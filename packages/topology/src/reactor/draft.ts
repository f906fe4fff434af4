import {
  applyTransition,
  type Formation,
  type NodeId,
  type NodeRecord,
  type ShiftDecision,
  type Transition,
} from "@revoada/fabric";

/** The formation as it will be once the decisions made so far are committed. */
export class Draft {
  readonly #nowMs: number;
  readonly #decisions: ShiftDecision[] = [];
  #formation: Formation;
  #movedReplicas = false;

  constructor(formation: Formation, nowMs: number) {
    this.#formation = formation;
    this.#nowMs = nowMs;
  }

  get formation(): Formation {
    return this.#formation;
  }

  get decisions(): readonly ShiftDecision[] {
    return this.#decisions;
  }

  /** True once a decision moves a replica: the next one has to wait until the log's configuration has followed. */
  get movedReplicas(): boolean {
    return this.#movedReplicas;
  }

  record(id: NodeId): NodeRecord | undefined {
    return this.#formation.nodes.get(id);
  }

  /** Takes one decision and applies it to the draft. An empty one, or one whose effect already holds, is dropped. */
  decide(decision: ShiftDecision): void {
    let next = this.#formation;
    for (const transition of decision.transitions) next = applyTransition(next, transition, this.#nowMs);
    if (next === this.#formation) return;
    for (const { node } of decision.transitions) {
      const before = this.#formation.nodes.get(node);
      if ((before?.replica ?? "none") !== (next.nodes.get(node)?.replica ?? "none")) this.#movedReplicas = true;
    }
    this.#formation = next;
    this.#decisions.push(decision);
  }
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
