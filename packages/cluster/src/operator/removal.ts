import {
  FieldReader,
  InvalidValueError,
  isFabricError,
  parseNodeId,
  replicasOf,
  shortId,
  type Attestor,
  type Clock,
  type Consensus,
  type Logger,
  type NodeId,
  type Transport,
} from "@revoada/fabric";
import type { Sealer } from "../chain/sealer.ts";
import { decodeCanonical, encodeCanonical } from "../codec.ts";
import { deadlineOf, unlessAborted } from "../deadline.ts";
import { CommandRefusedError } from "../errors.ts";
import type { FormationLoop } from "../loop/formation-loop.ts";
import type { FormationState } from "../machine/formation-machine.ts";
import type { ClusterMachine } from "../machine/machine.ts";
import { protocols } from "../protocols.ts";

export interface RemovalOptions {
  readonly attestor: Attestor;
  readonly transport: Transport;
  readonly consensus: Consensus<Uint8Array, Uint8Array>;
  readonly machine: ClusterMachine;
  readonly loop: FormationLoop;
  readonly sealer: Sealer;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Who leads, as far as this node knows. */
  readonly leader: () => NodeId | undefined;
}

/** How long a leader works on one request of another node before it says how far it got. */
const serveTimeoutMs = 60_000;
/** How often a request that could not be decided is made again, and how often a seat is looked after that has to move first. */
const pauseMs = 100;
/** Passing: another leader, or nobody yet, decides it in a moment. */
const passingCodes = [
  "RAFT_NO_QUORUM",
  "RAFT_NOT_LEADER",
  "RAFT_OUTCOME_UNKNOWN",
  "TOPOLOGY_COMMAND_REFUSED",
  "CLUSTER_NOT_A_VOTER",
  "CLUSTER_STALE_TERM",
] as const;

/**
 * An operator's last word on a node: its seat is given to another first where it votes, then it is taken out of the formation and
 * its key is refused for ever, by every node that learns of it.
 */
export class Removal {
  readonly #options: RemovalOptions;
  readonly #withdraw: () => void;
  readonly #abort = new AbortController();

  constructor(options: RemovalOptions) {
    this.#options = options;
    this.#withdraw = options.transport.handle(protocols.remove, {
      onRequest: (payload, { peer }) => this.#serve(payload, peer),
    });
  }

  stop(): void {
    this.#withdraw();
    this.#abort.abort(new CommandRefusedError("CLUSTER_NOT_STARTED", "the node is stopping"));
  }

  /**
   * Resolves once the removal is committed and sealed; where the node was removed already, at once. Asks whoever leads, again
   * where leadership moves meanwhile.
   *
   * Rejects with `CLUSTER_UNKNOWN_NODE`, `CLUSTER_REMOVE_REFUSED` where the node's seat can be given to nobody or the node is
   * this one, and with the signal's reason.
   */
  async remove(node: NodeId, options: { readonly signal: AbortSignal }): Promise<void> {
    const self = this.#options.attestor.identity.id;
    if (node === self)
      throw new CommandRefusedError(
        "CLUSTER_REMOVE_REFUSED",
        "a node does not remove itself: it leaves, or another removes it",
      );
    const signal = AbortSignal.any([options.signal, this.#abort.signal]);
    for (;;) {
      try {
        return await this.#ask(node, signal);
      } catch (error) {
        if (signal.aborted || !isFabricError(error) || !error.retryable) throw error;
        this.#options.logger.debug("a removal is asked for again", { node: shortId(node), error: error.message });
      }
      await this.#pause(signal);
    }
  }

  async #ask(node: NodeId, signal: AbortSignal): Promise<void> {
    const { consensus, transport, leader } = this.#options;
    if (consensus.status().role === "leader") return this.#removeHere(node, signal);
    const to = leader();
    if (to === undefined)
      throw new CommandRefusedError("RAFT_NO_QUORUM", "no leader is known that could remove the node", {
        retryable: true,
      });
    const request = encodeCanonical({ version: 1, node });
    await transport.request(to, protocols.remove, request, { signal, timeoutMs: serveTimeoutMs });
  }

  async #serve(payload: Uint8Array, peer: NodeId): Promise<Uint8Array> {
    const fields = new FieldReader(decodeCanonical(payload, "remove"), "remove");
    if (fields.number("version") !== 1) throw new InvalidValueError("remove.version", payload, "version 1");
    const node = parseNodeId(fields.take("node"), "remove.node");
    fields.finish();
    // Whoever votes could remove the node by itself with the others; nobody else speaks for an operator.
    if (this.#formation().formation.nodes.get(peer)?.replica !== "voter")
      throw new CommandRefusedError("CLUSTER_NOT_A_VOTER", `${shortId(peer)} does not vote: ask on a master`);
    const { signal, clear } = deadlineOf(
      this.#options.clock,
      serveTimeoutMs,
      () =>
        new CommandRefusedError("CLUSTER_REMOVE_REFUSED", `${shortId(node)} still has its seat`, { retryable: true }),
    );
    try {
      await this.#removeHere(node, AbortSignal.any([signal, this.#abort.signal]));
    } finally {
      clear();
    }
    return encodeCanonical({ version: 1 });
  }

  /** On the leader. */
  async #removeHere(node: NodeId, signal: AbortSignal): Promise<void> {
    const { sealer, logger } = this.#options;
    for (let asked = false; ;) {
      signal.throwIfAborted();
      const state = this.#formation();
      if (state.formation.tombstones.has(node)) break;
      if (!this.#votes(node, state)) {
        if (await this.#commit(node, "remove", "an operator removes")) break;
        continue;
      }
      if (!asked) asked = await this.#relieve(node, state);
      await this.#pause(signal);
    }
    // Nodes that hold no log learn of it from the sealed chain.
    await sealer.sealUpTo(this.#formation().head.height, { signal });
    logger.info("a node was removed", { node: shortId(node) });
  }

  /** By the formation, or still by the log: its configuration follows the formation. */
  #votes(node: NodeId, { formation }: FormationState): boolean {
    const { voters, outgoing } = this.#options.consensus.status().configuration;
    const inLog = [...voters, ...(outgoing ?? [])].some(({ id }) => id === node);
    return inLog || formation.nodes.get(node)?.replica === "voter";
  }

  #formation(): FormationState {
    const { state } = this.#options.machine.formation;
    if (state === undefined) throw new CommandRefusedError("CLUSTER_NO_GENESIS", "the cluster has no genesis yet");
    return state;
  }

  /** Asks a voter out of its seat. True once that is committed: the loop moves the seat then. */
  async #relieve(node: NodeId, { formation }: FormationState): Promise<boolean> {
    const { attestor, consensus, loop } = this.#options;
    const voters = replicasOf(formation, "voter");
    const heirs = [...formation.nodes].filter(
      ([id, { state, flags }]) =>
        id !== node && (state === "active" || state === "standby") && !flags.includes("quarantined"),
    );
    if (heirs.length < voters.length) {
      throw new CommandRefusedError(
        "CLUSTER_REMOVE_REFUSED",
        `${shortId(node)} votes, and ${heirs.length} other nodes cannot hold ${voters.length} seats: let another node join first`,
      );
    }
    if (node === attestor.identity.id) {
      const status = consensus.status();
      const heir = [...status.progress]
        .filter(([id]) => voters.includes(id))
        .toSorted(([, a], [, b]) => b.matchIndex - a.matchIndex)[0];
      if (heir !== undefined) await consensus.transferLeadership(heir[0]);
      throw new CommandRefusedError("RAFT_NOT_LEADER", "this leader was to be removed and handed over", {
        retryable: true,
      });
    }
    // Not `depart`: a node that departs is forgotten as soon as it has no seat, and would leave no tombstone.
    const state = formation.nodes.get(node)?.state;
    const mayBeFlagged = state === "active" || state === "standby";
    if (mayBeFlagged && !(await this.#commit(node, "quarantine", "an operator relieves"))) return false;
    loop.kick();
    return true;
  }

  /** False where the formation moved on meanwhile: look again. */
  async #commit(node: NodeId, verb: "remove" | "quarantine", what: string): Promise<boolean> {
    try {
      await this.#options.loop.commitAfterOthers([{ verb, node }], `${what} ${shortId(node)}`);
      return true;
    } catch (error) {
      if (isFabricError(error, "TOPOLOGY_ILLEGAL_TRANSITION")) return this.#stands(node);
      if (isFabricError(error, ...passingCodes))
        throw new CommandRefusedError("RAFT_NO_QUORUM", `the removal was not committed: ${error.message}`, {
          retryable: true,
          cause: error,
        });
      throw error;
    }
  }

  /** Refuses where the node is not, and never was, in the formation. */
  #stands(node: NodeId): false {
    const { nodes, tombstones } = this.#formation().formation;
    if (nodes.has(node) || tombstones.has(node)) return false;
    throw new CommandRefusedError("CLUSTER_UNKNOWN_NODE", `${shortId(node)} is not in the formation`);
  }

  #pause(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    return unlessAborted(new Promise<void>((resolve) => void clock.schedule(pauseMs, resolve)), signal);
  }
}
