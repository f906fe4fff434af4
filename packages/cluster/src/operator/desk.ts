import {
  FieldReader,
  InvalidValueError,
  isFabricError,
  parseNodeId,
  shortId,
  type NodeId,
  type Transition,
  type Transport,
} from "@revoada/fabric";
import { decodeCanonical, encodeCanonical } from "../codec.ts";
import { deadlineOf } from "../deadline.ts";
import { CommandRefusedError } from "../errors.ts";
import { protocols } from "../protocols.ts";
import { removeNode } from "./remove.ts";
import { shiftNode, shiftRoles, shiftVerbs, type ShiftOrder, type ShiftOutcome } from "./shift.ts";
import { switchDeclaration, type SwitchOrder } from "./switch.ts";
import { formationOf, pause, type OperatorTools } from "./tools.ts";

export interface DeskOptions extends OperatorTools {
  readonly transport: Transport;
  /** Who leads, as far as this node knows. */
  readonly leader: () => NodeId | undefined;
}

/** An operator's order about one node, or, given at one, about the whole cluster. */
export type OperatorOrder = ShiftOrder | SwitchOrder | { readonly verb: "remove"; readonly node: NodeId };

/** How long a leader works on one request of another node before it says how far it got. */
const serveTimeoutMs = 60_000;

/**
 * Takes operators' orders on any node that votes, and has whoever leads carry them out. What is committed is attested like every
 * shift of a role.
 */
export class OperatorDesk {
  readonly #options: DeskOptions;
  readonly #withdraw: () => void;
  readonly #abort = new AbortController();

  constructor(options: DeskOptions) {
    this.#options = options;
    this.#withdraw = options.transport.handle(protocols.operator, {
      onRequest: (payload, { peer }) => this.#serve(payload, peer),
    });
  }

  stop(): void {
    this.#withdraw();
    this.#abort.abort(new CommandRefusedError("CLUSTER_NOT_STARTED", "the node is stopping"));
  }

  /**
   * Takes a node out for ever. Resolves once that is committed and sealed; where the node was removed already, at once.
   *
   * Rejects with `CLUSTER_UNKNOWN_NODE`, `CLUSTER_REMOVE_REFUSED` where the node's seat can be given to nobody or the node is
   * this one, and with the signal's reason.
   */
  async remove(node: NodeId, options: { readonly signal: AbortSignal }): Promise<void> {
    if (node === this.#options.attestor.identity.id) {
      throw new CommandRefusedError(
        "CLUSTER_REMOVE_REFUSED",
        "a node does not remove itself: it leaves, or another removes it",
      );
    }
    await this.#order({ verb: "remove", node }, options.signal);
  }

  /** Asks for a shift of one node. Rejects as {@link shiftNode} does, and with the signal's reason. */
  shift(order: ShiftOrder, options: { readonly signal: AbortSignal }): Promise<ShiftOutcome> {
    return this.#order(order, options.signal);
  }

  /** Asks for another declaration. Rejects as {@link switchDeclaration} does, and with the signal's reason. */
  switch(order: Omit<SwitchOrder, "verb" | "node">, options: { readonly signal: AbortSignal }): Promise<ShiftOutcome> {
    return this.#order({ verb: "declare", node: this.#options.attestor.identity.id, ...order }, options.signal);
  }

  /** Asks whoever leads, again where leadership moves meanwhile. */
  async #order(order: OperatorOrder, given: AbortSignal): Promise<ShiftOutcome> {
    const { logger } = this.#options;
    const signal = AbortSignal.any([given, this.#abort.signal]);
    for (;;) {
      try {
        return await this.#ask(order, signal);
      } catch (error) {
        if (signal.aborted || !isFabricError(error) || !error.retryable) throw error;
        logger.debug("an order is given again", { verb: order.verb, node: shortId(order.node), error: error.message });
      }
      await pause(this.#options, signal);
    }
  }

  async #ask(order: OperatorOrder, signal: AbortSignal): Promise<ShiftOutcome> {
    const { consensus, transport, leader } = this.#options;
    if (consensus.status().role === "leader") return this.#carryOut(order, signal);
    const to = leader();
    if (to === undefined)
      throw new CommandRefusedError("RAFT_NO_QUORUM", "no leader is known that could carry the order out", {
        retryable: true,
      });
    const request = encodeCanonical({ version: 1, ...order });
    const answer = await transport.request(to, protocols.operator, request, { signal, timeoutMs: serveTimeoutMs });
    return decodeOutcome(answer);
  }

  async #carryOut(order: OperatorOrder, signal: AbortSignal): Promise<ShiftOutcome> {
    if (order.verb === "declare") return switchDeclaration(this.#options, order);
    if (order.verb !== "remove") return shiftNode(this.#options, order);
    await removeNode(this.#options, order.node, signal);
    const { generation } = formationOf(this.#options).formation;
    return { transitions: [{ verb: "remove", node: order.node }], generation };
  }

  async #serve(payload: Uint8Array, peer: NodeId): Promise<Uint8Array> {
    const order = decodeOrder(payload);
    // Whoever votes could do so by itself with the others; nobody else speaks for an operator.
    if (formationOf(this.#options).formation.nodes.get(peer)?.replica !== "voter")
      throw new CommandRefusedError("CLUSTER_NOT_A_VOTER", `${shortId(peer)} does not vote: ask on a master`);
    const { signal, clear } = deadlineOf(
      this.#options.clock,
      serveTimeoutMs,
      () =>
        new CommandRefusedError("CLUSTER_REMOVE_REFUSED", `${shortId(order.node)} still has its seat`, {
          retryable: true,
        }),
    );
    try {
      const outcome = await this.#carryOut(order, AbortSignal.any([signal, this.#abort.signal]));
      return encodeCanonical({ version: 1, generation: outcome.generation, transitions: outcome.transitions });
    } finally {
      clear();
    }
  }
}

/** Throws `FABRIC_INVALID_VALUE` for anything that is no order. */
function decodeOrder(payload: Uint8Array): OperatorOrder {
  const fields = new FieldReader(decodeCanonical(payload, "order"), "order");
  if (fields.number("version") !== 1) throw new InvalidValueError("order.version", payload, "version 1");
  const node = parseNodeId(fields.take("node"), "order.node");
  const verb = fields.oneOf("verb", ["remove", "declare", ...shiftVerbs]);
  if (verb === "remove") {
    fields.finish();
    return { verb, node };
  }
  const dryRun = fields.boolean("dryRun");
  if (verb === "declare") {
    const [declaration, withinMs] = [fields.take("declaration"), fields.number("withinMs")];
    fields.finish();
    if (!(declaration instanceof Uint8Array)) throw new InvalidValueError("order.declaration", declaration, "bytes");
    return { verb, node, declaration, withinMs, dryRun };
  }
  const given = fields.take("role");
  const role = shiftRoles.find((known) => known === given);
  if (given !== undefined && role === undefined)
    throw new InvalidValueError("order.role", given, shiftRoles.join(", "));
  fields.finish();
  return { verb, node, dryRun, ...(role === undefined ? {} : { role }) };
}

/** What the leader says is shown, not acted upon. */
function decodeOutcome(bytes: Uint8Array): ShiftOutcome {
  const fields = new FieldReader(decodeCanonical(bytes, "order answer"), "order answer");
  const generation = fields.number("generation");
  const transitions = fields.take("transitions");
  if (!Array.isArray(transitions)) throw new InvalidValueError("order answer.transitions", transitions, "a list");
  return { generation, transitions: transitions as readonly Transition[] };
}
