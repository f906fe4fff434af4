import {
  applyTransition,
  isFabricError,
  needsApproval,
  type ApprovalStatement,
  type Attestor,
  type Clock,
  type Formation,
  type FormationStep,
  type ShiftDecision,
  type Transition,
} from "@revoada/fabric";
import { CommandRefusedError } from "../errors.ts";
import type { FormationState } from "../machine/formation-machine.ts";

/** A shift that no failure forces, and what an operator would have to sign for it. */
export interface WaitingShift {
  readonly statement: ApprovalStatement;
  /** What decided it; `order` where an operator asked for it. */
  readonly kind: string;
  /** Since when this leader has it wait, milliseconds since the epoch. */
  readonly sinceMs: number;
}

interface Held {
  readonly transitions: readonly Transition[];
  readonly reason: string;
  readonly why: Pick<ShiftDecision, "kind" | "inputs">;
  readonly sinceMs: number;
  readonly ordered: boolean;
}

/** Most shifts that wait at once. */
const maxHeld = 64;

/** The transitions that change something, each with the formation after it. Throws `TOPOLOGY_ILLEGAL_TRANSITION`. */
function stepsOf(formation: Formation, transitions: readonly Transition[], timeMs: number): readonly FormationStep[] {
  let current = formation;
  return transitions.flatMap((transition, ordinal) => {
    const next = applyTransition(current, transition, timeMs);
    if (next === current) return [];
    current = next;
    return [{ ordinal, transition, formation: next }];
  });
}

/**
 * What this leader would do and may not before an operator approves of it: what the reactor decided last, and the orders given since this
 * node leads. They are kept here and not in the log, because each of them may be outdated by whatever is committed next.
 */
export class WaitingShifts {
  readonly #attestor: Pick<Attestor, "hash" | "encodeApproval">;
  readonly #clock: Clock;
  #held = new Map<string, Held>();

  constructor(attestor: Pick<Attestor, "hash" | "encodeApproval">, clock: Clock) {
    this.#attestor = attestor;
    this.#clock = clock;
  }

  /** Another leader decides anew, and is ordered anew. */
  clear(): void {
    this.#held.clear();
  }

  /**
   * Has a shift wait where it needs an operator's approval, or where it was `ordered`, and throws `CLUSTER_AWAITS_OPERATOR` then. Returns
   * where the cluster has no operator keys, and where nothing would change. Throws `TOPOLOGY_ILLEGAL_TRANSITION`.
   */
  check(
    state: FormationState,
    shift: { readonly transitions: readonly Transition[]; readonly reason: string },
    why: Pick<ShiftDecision, "kind" | "inputs">,
    ordered: boolean,
  ): void {
    if (state.formation.operators === undefined) return;
    const steps = stepsOf(state.formation, shift.transitions, state.timeMs);
    if (steps.length === 0 || (!ordered && !needsApproval(state.formation, steps))) return;
    const id = this.#idOf(state, shift);
    const before = this.#held.get(id);
    if (before === undefined && this.#held.size >= maxHeld)
      throw new CommandRefusedError(
        "CLUSTER_AWAITS_OPERATOR",
        `${maxHeld} shifts wait for an operator's approval already`,
      );
    const sinceMs = before?.sinceMs ?? Math.floor(this.#clock.wallMs());
    this.#held.set(id, { ...shift, why, sinceMs, ordered: ordered || before?.ordered === true });
    throw new CommandRefusedError("CLUSTER_AWAITS_OPERATOR", `it waits for an operator's approval: ${shift.reason}`);
  }

  /** True where the shift waited already when it was decided the last time. */
  has(state: FormationState, shift: { readonly transitions: readonly Transition[]; readonly reason: string }): boolean {
    return state.formation.operators !== undefined && this.#held.has(this.#idOf(state, shift));
  }

  /** Drops what the reactor decided earlier and no longer does. */
  keepDecided(state: FormationState, decisions: readonly ShiftDecision[]): void {
    if (this.#held.size === 0) return;
    const kept = new Set(decisions.map((decision) => this.#idOf(state, decision)));
    for (const [id, { ordered }] of this.#held) if (!ordered && !kept.has(id)) this.#held.delete(id);
  }

  /** What waits now, the oldest first, as it would follow upon the head; what can no longer be done is dropped. */
  list({ genesis, formation, head, timeMs }: FormationState): readonly WaitingShift[] {
    for (const [id, { transitions }] of this.#held)
      if (!isPossible(formation, transitions, timeMs)) this.#held.delete(id);
    const { clusterId } = genesis;
    return [...this.#held.values()]
      .toSorted((a, b) => a.sinceMs - b.sinceMs)
      .map(({ transitions, reason, why, sinceMs }) => ({
        statement: { clusterId, head, transitions, reason },
        kind: why.kind,
        sinceMs,
      }));
  }

  /** Why the shift of a statement was decided; an order where it does not wait here. */
  why(state: FormationState, statement: ApprovalStatement): Pick<ShiftDecision, "kind" | "inputs"> {
    return this.#held.get(this.#idOf(state, statement))?.why ?? { kind: "order", inputs: {} };
  }

  /** One shift is one whatever the head is that it would follow; reasons may tell figures that change. */
  #idOf({ genesis }: FormationState, { transitions }: { readonly transitions: readonly Transition[] }): string {
    const { clusterId } = genesis;
    const head = { height: 0, hash: clusterId as string as ApprovalStatement["head"]["hash"] };
    return this.#attestor.hash(this.#attestor.encodeApproval({ clusterId, head, transitions, reason: "" }));
  }
}

function isPossible(formation: Formation, transitions: readonly Transition[], timeMs: number): boolean {
  try {
    return stepsOf(formation, transitions, timeMs).length > 0;
  } catch (error) {
    if (!isFabricError(error, "TOPOLOGY_ILLEGAL_TRANSITION")) throw error;
    return false;
  }
}
