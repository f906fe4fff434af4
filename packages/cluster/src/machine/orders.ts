import {
  applyTransition,
  FieldReader,
  InvalidValueError,
  type ApplyContext,
  type ApprovalStatement,
  type Attestor,
  type ClusterId,
  type Formation,
  type FormationStep,
  type Hash,
  type Transition,
} from "@revoada/fabric";
import { decodeCanonical, encodeCanonical } from "../codec.ts";
import { checkTime } from "../time.ts";
import { MachineRefusal } from "./result.ts";

type Approvals = Pick<Attestor, "hash" | "encodeApproval" | "readApproval">;

/** An operator's order that waits for an approval. */
export interface WaitingOrder {
  readonly id: Hash;
  /** What would be approved of, upon genesis: which head it follows is seen when somebody signs. Canonical bytes. */
  readonly statement: Uint8Array;
  /** The clock of the leader that took it, milliseconds since the epoch. */
  readonly sinceMs: number;
}

/** An order that nobody can approve of any more. */
export interface DroppedOrder {
  readonly statement: Uint8Array;
  readonly sinceMs: number;
  readonly droppedMs: number;
  readonly why: string;
}

/** The orders that wait, the oldest first, and the last ones that were dropped. Orders that were approved of are neither. */
export interface Orders {
  readonly waiting: readonly WaitingOrder[];
  readonly dropped: readonly DroppedOrder[];
}

export const noOrders: Orders = { waiting: [], dropped: [] };

/** Most orders that wait at once. */
export const maxOrders = 64;
/** How many orders that were dropped are remembered. */
const maxDropped = 16;
/** What all that waits may take together. */
const maxBytes = 262_144;
const maxWhyLength = 256;

/** The transitions that change something, each with the formation after it. Throws `TOPOLOGY_ILLEGAL_TRANSITION`. */
export function stepsOf(
  formation: Formation,
  transitions: readonly Transition[],
  timeMs: number,
): readonly FormationStep[] {
  let current = formation;
  return transitions.flatMap((transition, ordinal) => {
    const next = applyTransition(current, transition, timeMs);
    if (next === current) return [];
    current = next;
    return [{ ordinal, transition, formation: next }];
  });
}

/** What an order would have approved, upon genesis. */
function statementOf(clusterId: ClusterId, transitions: readonly Transition[], reason: string): ApprovalStatement {
  return { clusterId, head: { height: 0, hash: clusterId as string as Hash }, transitions, reason };
}

/** One shift is one whatever the head is that it would follow; reasons may tell figures that change. */
export function orderId(
  attestor: Pick<Approvals, "hash" | "encodeApproval">,
  clusterId: ClusterId,
  transitions: readonly Transition[],
): Hash {
  return attestor.hash(attestor.encodeApproval(statementOf(clusterId, transitions, "")));
}

/** Has an order wait; the same again is no second one. It holds in its term only. */
export function encodeKeepOrder(
  attestor: Pick<Approvals, "encodeApproval">,
  order: {
    readonly clusterId: ClusterId;
    readonly transitions: readonly Transition[];
    readonly reason: string;
    readonly term: number;
    readonly timeMs: number;
  },
): Uint8Array {
  const { clusterId, transitions, reason, term, timeMs } = order;
  const statement = attestor.encodeApproval(statementOf(clusterId, transitions, reason));
  return encodeCanonical({ version: 1, type: "keep", term, timeMs, statement });
}

/** Drops an order that waits, and says why; one that does not wait is no fault. It holds in its term only. */
export function encodeDropOrder(drop: {
  readonly id: Hash;
  readonly why: string;
  readonly term: number;
  readonly timeMs: number;
}): Uint8Array {
  return encodeCanonical({ version: 1, type: "drop", ...drop, why: drop.why.slice(0, maxWhyLength).toWellFormed() });
}

/** The orders after a command. Throws what refuses it. */
export function ordersAfter(
  attestor: Approvals,
  state: { readonly formation: Formation; readonly timeMs: number; readonly orders: Orders },
  bytes: Uint8Array,
  context: ApplyContext,
): Orders {
  const fields = new FieldReader(decodeCanonical(bytes, "order"), "order");
  if (fields.number("version") !== 1) throw new InvalidValueError("order.version", bytes, "version 1");
  const type = fields.oneOf("type", ["keep", "drop"]);
  const term = fields.number("term");
  if (term !== context.term)
    throw new MachineRefusal("CLUSTER_STALE_TERM", `the order is of term ${term}, its entry of term ${context.term}`);
  if (state.formation.operators === undefined)
    throw new MachineRefusal("CLUSTER_NO_OPERATORS", "the cluster was founded without operator keys");
  const given = fields.number("timeMs");
  if (!Number.isSafeInteger(given)) throw new InvalidValueError("order.timeMs", given, "whole milliseconds");
  checkTime(given);
  const timeMs = Math.max(given, state.timeMs);
  return type === "keep"
    ? kept(attestor, state, fields, context.clusterId, timeMs)
    : dropped(state.orders, fields, timeMs);
}

function kept(
  attestor: Approvals,
  {
    formation,
    timeMs: now,
    orders,
  }: { readonly formation: Formation; readonly timeMs: number; readonly orders: Orders },
  fields: FieldReader,
  clusterId: ClusterId,
  sinceMs: number,
): Orders {
  const given = fields.take("statement");
  fields.finish();
  if (!(given instanceof Uint8Array)) throw new InvalidValueError("order.statement", given, "bytes");
  const { transitions, reason, clusterId: named } = attestor.readApproval(given);
  if (named !== clusterId) throw new MachineRefusal("CLUSTER_OTHER_COMMAND", `the order is of cluster ${named}`);
  const statement = attestor.encodeApproval(statementOf(clusterId, transitions, reason));
  const id = orderId(attestor, clusterId, transitions);
  if (orders.waiting.some((order) => order.id === id)) return orders;
  if (stepsOf(formation, transitions, now).length === 0) return orders;
  const bytes = orders.waiting.reduce((sum, order) => sum + order.statement.length, statement.length);
  if (orders.waiting.length >= maxOrders || bytes > maxBytes)
    throw new MachineRefusal(
      "CLUSTER_AWAITS_OPERATOR",
      `${orders.waiting.length} orders wait for an operator's approval already: sign for some of them first`,
    );
  return { ...orders, waiting: [...orders.waiting, { id, statement, sinceMs }] };
}

function dropped(orders: Orders, fields: FieldReader, droppedMs: number): Orders {
  const id = fields.string("id", { maxLength: 64 });
  const why = fields.string("why", { maxLength: maxWhyLength });
  fields.finish();
  const order = orders.waiting.find((one) => one.id === id);
  if (order === undefined) return orders;
  const { statement, sinceMs } = order;
  return {
    waiting: orders.waiting.filter((one) => one !== order),
    dropped: [...orders.dropped, { statement, sinceMs, droppedMs, why }].slice(-maxDropped),
  };
}

/** The orders once these transitions have been approved of: whoever gave that order has what was asked for. */
export function ordersAfterApproval(
  attestor: Pick<Approvals, "hash" | "encodeApproval">,
  clusterId: ClusterId,
  orders: Orders,
  transitions: readonly Transition[],
): Orders {
  if (orders.waiting.length === 0) return orders;
  const id = orderId(attestor, clusterId, transitions);
  const waiting = orders.waiting.filter((order) => order.id !== id);
  return waiting.length === orders.waiting.length ? orders : { ...orders, waiting };
}
