import {
  isFabricError,
  needsApproval,
  type ApprovalStatement,
  type Attestor,
  type Clock,
  type Formation,
  type ShiftDecision,
  type Transition,
} from "@revoada/fabric";
import { CommandRefusedError } from "../errors.ts";
import type { FormationState } from "../machine/formation-machine.ts";
import { orderId, stepsOf, type WaitingOrder } from "../machine/orders.ts";

/** A shift that no failure forces, and what an operator would have to sign for it. */
export interface WaitingShift {
  readonly statement: ApprovalStatement;
  /** What decided it; `order` where an operator asked for it. */
  readonly kind: string;
  /** Since when it waits, milliseconds since the epoch: an order by the clock of the leader that took it, else since this leader decided it. */
  readonly sinceMs: number;
}

/** An order that waited and does not any more, though nobody approved of it. */
export interface DroppedShift {
  readonly statement: ApprovalStatement;
  readonly sinceMs: number;
  readonly droppedMs: number;
  readonly why: string;
}

interface Held {
  readonly transitions: readonly Transition[];
  readonly reason: string;
  readonly why: Pick<ShiftDecision, "kind" | "inputs">;
  readonly sinceMs: number;
}

/** A shift that somebody wants, and why. */
interface Shift {
  readonly transitions: readonly Transition[];
  readonly reason: string;
}

/** Most decisions that wait at once. */
const maxHeld = 64;
/** How long an order waits for an approval. */
const maxOrderMs = 7 * 86_400_000;

/**
 * What the leader would do and may not before an operator approves of it: what the reactor decided last, and what operators ordered.
 * Decisions are kept here and not in the log, because each of them may be outdated by whatever is committed next and another leader makes
 * its own. Orders are committed: nobody would give them again.
 */
export class WaitingShifts {
  readonly #attestor: Pick<Attestor, "hash" | "encodeApproval" | "readApproval">;
  readonly #clock: Clock;
  #held = new Map<string, Held>();

  constructor(attestor: Pick<Attestor, "hash" | "encodeApproval" | "readApproval">, clock: Clock) {
    this.#attestor = attestor;
    this.#clock = clock;
  }

  /** Another leader decides anew. */
  clear(): void {
    this.#held.clear();
  }

  /**
   * Has a decision wait where it needs an operator's approval, and throws `CLUSTER_AWAITS_OPERATOR` then. Returns where the cluster has no
   * operator keys, and where nothing would change. Throws `TOPOLOGY_ILLEGAL_TRANSITION`.
   */
  check(state: FormationState, shift: Shift, why: Pick<ShiftDecision, "kind" | "inputs">): void {
    if (state.formation.operators === undefined) return;
    const steps = stepsOf(state.formation, shift.transitions, state.timeMs);
    if (steps.length === 0 || !needsApproval(state.formation, steps)) return;
    const id = this.#idOf(state, shift);
    const before = this.#held.get(id);
    if (before === undefined && this.#held.size >= maxHeld)
      throw new CommandRefusedError(
        "CLUSTER_AWAITS_OPERATOR",
        `${maxHeld} shifts wait for an operator's approval already`,
      );
    const sinceMs = before?.sinceMs ?? Math.floor(this.#clock.wallMs());
    this.#held.set(id, { ...shift, why, sinceMs });
    throw awaits(shift.reason);
  }

  /**
   * Says whether an order is to be committed as one that waits. False where the cluster has no operator keys, and where nothing would
   * change. Throws `CLUSTER_AWAITS_OPERATOR` where it waits already, and `TOPOLOGY_ILLEGAL_TRANSITION`.
   */
  mustWait(state: FormationState, order: Shift): boolean {
    if (state.formation.operators === undefined) return false;
    if (stepsOf(state.formation, order.transitions, state.timeMs).length === 0) return false;
    const id = this.#idOf(state, order);
    if (state.orders.waiting.some((one) => one.id === id)) throw awaits(order.reason);
    return true;
  }

  /** True where the shift waited already when it was decided the last time. */
  has(state: FormationState, shift: Shift): boolean {
    return state.formation.operators !== undefined && this.#held.has(this.#idOf(state, shift));
  }

  /** Drops what the reactor decided earlier and no longer does. */
  keepDecided(state: FormationState, decisions: readonly ShiftDecision[]): void {
    if (this.#held.size === 0) return;
    const kept = new Set(decisions.map((decision) => this.#idOf(state, decision)));
    for (const id of this.#held.keys()) if (!kept.has(id)) this.#held.delete(id);
  }

  /** What waits now, the oldest first, as it would follow upon the head; decisions that can no longer be made are dropped. */
  list(state: FormationState): readonly WaitingShift[] {
    const { genesis, formation, head, timeMs, orders } = state;
    for (const [id, { transitions }] of this.#held)
      if (faultOf(formation, transitions, timeMs) !== undefined) this.#held.delete(id);
    const { clusterId } = genesis;
    const ordered = orders.waiting
      .map(({ id, statement, sinceMs }) => ({ id, sinceMs, ...this.#attestor.readApproval(statement) }))
      .filter(({ transitions }) => faultOf(formation, transitions, timeMs) === undefined);
    const ids = new Set<string>(ordered.map(({ id }) => id));
    const decided = [...this.#held].flatMap(([id, held]) => (ids.has(id) ? [] : [{ ...held, kind: held.why.kind }]));
    return [...ordered.map((order) => ({ ...order, kind: "order" })), ...decided]
      .toSorted((a, b) => a.sinceMs - b.sinceMs)
      .map(({ transitions, reason, kind, sinceMs }) => ({
        statement: { clusterId, head, transitions, reason },
        kind,
        sinceMs,
      }));
  }

  /** The last orders that were dropped, the oldest first. */
  dropped({ orders }: Pick<FormationState, "orders">): readonly DroppedShift[] {
    return orders.dropped.map(({ statement, ...rest }) => ({
      ...rest,
      statement: this.#attestor.readApproval(statement),
    }));
  }

  /** The orders that nobody can approve of any more, or nobody has within a week, and why. `nowMs`: absent where no clock can tell. */
  outdated(
    { formation, timeMs, orders }: FormationState,
    nowMs: number | undefined,
  ): readonly { readonly id: WaitingOrder["id"]; readonly reason: string; readonly why: string }[] {
    return orders.waiting.flatMap(({ id, statement, sinceMs }) => {
      const { transitions, reason } = this.#attestor.readApproval(statement);
      const isOld = nowMs !== undefined && nowMs - sinceMs > maxOrderMs;
      const why =
        faultOf(formation, transitions, timeMs) ?? (isOld ? "no operator approved of it within seven days" : undefined);
      return why === undefined ? [] : [{ id, reason, why }];
    });
  }

  /** Why the shift of a statement was decided; an order where it does not wait here. */
  why(state: FormationState, statement: ApprovalStatement): Pick<ShiftDecision, "kind" | "inputs"> {
    return this.#held.get(this.#idOf(state, statement))?.why ?? { kind: "order", inputs: {} };
  }

  #idOf({ genesis }: FormationState, { transitions }: Pick<Shift, "transitions">): string {
    return orderId(this.#attestor, genesis.clusterId, transitions);
  }
}

function awaits(reason: string): CommandRefusedError {
  return new CommandRefusedError("CLUSTER_AWAITS_OPERATOR", `it waits for an operator's approval: ${reason}`);
}

/** Why transitions cannot be made any more, or need not. */
function faultOf(formation: Formation, transitions: readonly Transition[], timeMs: number): string | undefined {
  try {
    return stepsOf(formation, transitions, timeMs).length > 0 ? undefined : "all of it holds already";
  } catch (error) {
    if (!isFabricError(error, "TOPOLOGY_ILLEGAL_TRANSITION")) throw error;
    return error.message;
  }
}
