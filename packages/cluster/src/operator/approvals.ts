import {
  FieldReader,
  InvalidValueError,
  isFabricError,
  parseHash,
  parseNodeId,
  shortId,
  type ApprovalStatement,
  type ChainHead,
  type NodeId,
  type OperatorSignature,
  type Transport,
} from "@revoada/fabric";
import { decodeCanonical, encodeCanonical } from "../codec.ts";
import { deadlineOf } from "../deadline.ts";
import { CommandRefusedError } from "../errors.ts";
import type { DroppedShift, WaitingShift } from "../loop/waiting-shifts.ts";
import { protocols } from "../protocols.ts";
import { commitOrder, formationOf, pause, requireHeir, type OperatorTools } from "./tools.ts";

export interface ApprovalOptions extends OperatorTools {
  readonly transport: Transport;
  /** Who leads, as far as this node knows. */
  readonly leader: () => NodeId | undefined;
}

/** What operators may sign now. */
export interface PendingApprovals {
  /** The head that approvals are for; voters have sealed it. */
  readonly head: ChainHead;
  /** The highest head that an operator vouches for. */
  readonly signed: ChainHead;
  readonly waiting: readonly WaitingShift[];
  /** The last orders that waited and were dropped, the oldest first: what they asked for cannot be done any more, or nobody signed in time. */
  readonly dropped: readonly DroppedShift[];
}

/** What a node asks of the leader in an operator's name. */
type Request =
  | { readonly type: "pending" }
  | { readonly type: "approve"; readonly statement: Uint8Array; readonly approval: OperatorSignature }
  | { readonly type: "keys"; readonly verb: "enrol" | "revoke"; readonly key: NodeId };

const serveTimeoutMs = 20_000;

/**
 * Where operators' signatures come in: says what waits for one, and has what one approves of committed. A signature is authority enough: any
 * member may bring it to the leader.
 */
export class ApprovalDesk {
  readonly #options: ApprovalOptions;
  readonly #withdraw: () => void;
  readonly #abort = new AbortController();

  constructor(options: ApprovalOptions) {
    this.#options = options;
    this.#withdraw = options.transport.handle(protocols.approval, { onRequest: (payload) => this.#serve(payload) });
  }

  stop(): void {
    this.#withdraw();
    this.#abort.abort(new CommandRefusedError("CLUSTER_NOT_STARTED", "the node is stopping"));
  }

  /** What waits for an operator, upon a head that is sealed. Rejects with `CLUSTER_NO_OPERATORS`. */
  async pending(options: { readonly signal: AbortSignal }): Promise<PendingApprovals> {
    return this.#decodePending(await this.#ask({ type: "pending" }, options.signal));
  }

  /**
   * Has what an operator approves of committed; resolves with the generation after it. Rejects with `TOPOLOGY_NOT_AN_OPERATOR`,
   * `CHAIN_OTHER_APPROVAL` where the signature is wrong or the head another by now, `CLUSTER_SHIFT_REFUSED` where a vote would be lost that nobody
   * living could cast instead, and with what the table refuses.
   */
  async approve(
    statement: ApprovalStatement,
    approval: OperatorSignature,
    options: { readonly signal: AbortSignal },
  ): Promise<number> {
    const bytes = this.#options.attestor.encodeApproval(statement);
    return generationOf(await this.#ask({ type: "approve", statement: bytes, approval }, options.signal));
  }

  /** Has a key wait to be enrolled or revoked. Rejects with `CLUSTER_AWAITS_OPERATOR` once it does, as nobody approved of it yet. */
  async order(verb: "enrol" | "revoke", key: NodeId, options: { readonly signal: AbortSignal }): Promise<number> {
    return generationOf(await this.#ask({ type: "keys", verb, key }, options.signal));
  }

  /** Asks whoever leads, again where leadership moves meanwhile. */
  async #ask(request: Request, given: AbortSignal): Promise<Uint8Array> {
    const { consensus, transport, leader, logger } = this.#options;
    const signal = AbortSignal.any([given, this.#abort.signal]);
    for (;;) {
      try {
        if (consensus.status().role === "leader") return await this.#carryOut(request, signal);
        const to = leader();
        if (to === undefined)
          throw new CommandRefusedError("RAFT_NO_QUORUM", "no leader is known that could be asked", {
            retryable: true,
          });
        const payload = encodeCanonical({ version: 1, ...request });
        return await transport.request(to, protocols.approval, payload, { signal, timeoutMs: serveTimeoutMs });
      } catch (error) {
        if (signal.aborted || !isFabricError(error) || !error.retryable) throw error;
        logger.debug("the leader is asked again for an operator", { type: request.type, error: error.message });
      }
      await pause(this.#options, signal);
    }
  }

  async #serve(payload: Uint8Array): Promise<Uint8Array> {
    const request = decodeRequest(payload);
    if (this.#options.consensus.status().role !== "leader")
      throw new CommandRefusedError("RAFT_NOT_LEADER", "this node does not lead", { retryable: true });
    const { signal, clear } = deadlineOf(
      this.#options.clock,
      serveTimeoutMs,
      () => new CommandRefusedError("RAFT_NO_QUORUM", "the head is not sealed yet", { retryable: true }),
    );
    try {
      return await this.#carryOut(request, AbortSignal.any([signal, this.#abort.signal]));
    } finally {
      clear();
    }
  }

  async #carryOut(request: Request, signal: AbortSignal): Promise<Uint8Array> {
    if (formationOf(this.#options).formation.operators === undefined)
      throw new CommandRefusedError("CLUSTER_NO_OPERATORS", "the cluster was founded without operator keys");
    switch (request.type) {
      case "pending":
        return this.#encodePending(signal);
      case "approve":
        return encodeCanonical({ version: 1, generation: await this.#commit(request) });
      case "keys": {
        const { verb, key } = request;
        const reason = `an operator: ${verb} the operator key ${shortId(key)}`;
        return encodeCanonical({
          version: 1,
          generation: await commitOrder(this.#options, [{ verb, node: key }], reason),
        });
      }
    }
  }

  /** Judged here as in the machine, so that what is refused does not reach the log. */
  async #commit({ statement: bytes, approval }: Extract<Request, { type: "approve" }>): Promise<number> {
    const { attestor, loop } = this.#options;
    const state = formationOf(this.#options);
    const statement = attestor.readApproval(bytes);
    const { clusterId, head } = statement;
    if (state.formation.operators?.has(approval.operator) !== true)
      throw new CommandRefusedError(
        "TOPOLOGY_NOT_AN_OPERATOR",
        `${shortId(approval.operator)} is not an operator key in force`,
      );
    if (clusterId !== state.genesis.clusterId || !attestor.checkApproval(statement, approval))
      throw new CommandRefusedError(
        "CHAIN_OTHER_APPROVAL",
        `${shortId(approval.operator)} did not sign this for cluster ${shortId(state.genesis.clusterId)}`,
      );
    if (head.hash !== state.head.hash)
      throw new CommandRefusedError(
        "CHAIN_OTHER_APPROVAL",
        `it was approved of upon height ${head.height}, the chain is at ${state.head.height} by now: look, and sign again`,
      );
    // As when it was ordered: somebody else may have been let go meanwhile.
    for (const { verb, node } of statement.transitions)
      if (verb === "demote" || verb === "quarantine") requireHeir(this.#options, node, state, "CLUSTER_SHIFT_REFUSED");
    const generation = await loop.approved(statement, approval);
    loop.kick();
    return generation;
  }

  async #encodePending(signal: AbortSignal): Promise<Uint8Array> {
    const { attestor, loop, sealer } = this.#options;
    let state = formationOf(this.#options);
    while (state.sealed.height < state.head.height) {
      await sealer.sealUpTo(state.head.height, { signal });
      state = formationOf(this.#options);
    }
    const waiting = loop.waiting(state);
    return encodeCanonical({
      version: 1,
      head: { ...state.head },
      signed: { ...state.operatorSigned },
      waiting: waiting.map(({ statement, kind, sinceMs }) => ({
        statement: attestor.encodeApproval(statement),
        kind,
        sinceMs,
      })),
      dropped: loop.dropped(state).map(({ statement, ...rest }) => ({
        ...rest,
        statement: attestor.encodeApproval(statement),
      })),
    });
  }

  #decodePending(bytes: Uint8Array): PendingApprovals {
    const fields = new FieldReader(decodeCanonical(bytes, "pending"), "pending");
    const [head, signed] = [fields.take("head"), fields.take("signed")];
    const [waiting, dropped] = [fields.take("waiting"), fields.take("dropped")];
    if (!Array.isArray(waiting)) throw new InvalidValueError("pending.waiting", waiting, "a list");
    if (!Array.isArray(dropped)) throw new InvalidValueError("pending.dropped", dropped, "a list");
    const statementOf = (shift: FieldReader): ApprovalStatement => {
      const statement = shift.take("statement");
      if (!(statement instanceof Uint8Array)) throw new InvalidValueError(shift.at("statement"), statement, "bytes");
      return this.#options.attestor.readApproval(statement);
    };
    return {
      head: headOf(head, "pending.head"),
      signed: headOf(signed, "pending.signed"),
      waiting: waiting.map((item: unknown, index): WaitingShift => {
        const shift = new FieldReader(item, `pending.waiting.${index}`);
        const kind = shift.string("kind", { maxLength: 64 });
        return { statement: statementOf(shift), kind, sinceMs: shift.number("sinceMs") };
      }),
      dropped: dropped.map((item: unknown, index): DroppedShift => {
        const shift = new FieldReader(item, `pending.dropped.${index}`);
        const times = { sinceMs: shift.number("sinceMs"), droppedMs: shift.number("droppedMs") };
        return { statement: statementOf(shift), ...times, why: shift.string("why", { maxLength: 256 }) };
      }),
    };
  }
}

/** Throws `FABRIC_INVALID_VALUE` for anything that is no request. */
function decodeRequest(payload: Uint8Array): Request {
  const fields = new FieldReader(decodeCanonical(payload, "approval"), "approval");
  if (fields.number("version") !== 1) throw new InvalidValueError("approval.version", payload, "version 1");
  const type = fields.oneOf("type", ["pending", "approve", "keys"]);
  if (type === "pending") {
    fields.finish();
    return { type };
  }
  if (type === "keys") {
    const verb = fields.oneOf("verb", ["enrol", "revoke"]);
    const key = parseNodeId(fields.take("key"), "approval.key");
    fields.finish();
    return { type, verb, key };
  }
  const statement = fields.take("statement");
  const signed = new FieldReader(fields.take("approval"), "approval.approval");
  fields.finish();
  const operator = parseNodeId(signed.take("operator"), "approval.approval.operator");
  const signature = signed.take("signature");
  signed.finish();
  if (!(statement instanceof Uint8Array)) throw new InvalidValueError("approval.statement", statement, "bytes");
  if (!(signature instanceof Uint8Array))
    throw new InvalidValueError("approval.approval.signature", signature, "bytes");
  return { type, statement, approval: { operator, signature } };
}

function headOf(value: unknown, path: string): ChainHead {
  const fields = new FieldReader(value, path);
  const head = { height: fields.number("height"), hash: parseHash(fields.take("hash"), `${path}.hash`) };
  fields.finish();
  return head;
}

function generationOf(bytes: Uint8Array): number {
  return new FieldReader(decodeCanonical(bytes, "approval answer"), "approval answer").number("generation");
}
