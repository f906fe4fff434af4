import {
  FieldReader,
  InvalidValueError,
  isFabricError,
  parseNodeId,
  replicasOf,
  shortId,
  type NodeId,
  type Transport,
} from "@revoada/fabric";
import type { Directory } from "../chain/directory.ts";
import { decodeCanonical, encodeCanonical } from "../codec.ts";
import { deadlineOf } from "../deadline.ts";
import { CommandRefusedError } from "../errors.ts";
import type { FormationState } from "../machine/formation-machine.ts";
import { protocols } from "../protocols.ts";
import { commitOrder, formationOf, livingOf, pause, type OperatorTools } from "./tools.ts";

export interface SuccessionOptions extends OperatorTools {
  readonly transport: Transport;
  readonly directory: Directory;
  /** Who leads, as far as this node knows. */
  readonly leader: () => NodeId | undefined;
}

/** How long a leader works on one request of another node. */
const serveTimeoutMs = 20_000;

/**
 * The rotation of a node's key, as a succession: the old key signs the new one, which enters the formation over the same disk and without
 * a vote; the node goes on under it, and takes its own place in one step. This is the first half; the second is the reactor's.
 */
export class SuccessionDesk {
  readonly #options: SuccessionOptions;
  readonly #withdraw: () => void;
  readonly #abort = new AbortController();

  constructor(options: SuccessionOptions) {
    this.#options = options;
    this.#withdraw = options.transport.handle(protocols.succeed, {
      onRequest: (payload, { peer }) => this.#serve(payload, peer),
    });
  }

  stop(): void {
    this.#withdraw();
    this.#abort.abort(new CommandRefusedError("CLUSTER_NOT_STARTED", "the node is stopping"));
  }

  /**
   * Has `successor` committed and sealed as this node's next key, and waits until this node can prove that. Asking again does no harm.
   *
   * Rejects with `CLUSTER_ROTATE_REFUSED` where the cluster could not do without this node's vote while it starts anew,
   * `TOPOLOGY_ILLEGAL_TRANSITION` where the table does not list it, and with the signal's reason.
   */
  async name(successor: NodeId, given: AbortSignal): Promise<void> {
    const { attestor, directory, logger } = this.#options;
    const signal = AbortSignal.any([given, this.#abort.signal]);
    const self = attestor.identity.id;
    for (;;) {
      signal.throwIfAborted();
      try {
        if (directory.formation().nodes.get(successor)?.succeeds === self) return;
        await this.#ask(successor, signal);
        await directory.refresh();
        if (directory.formation().nodes.get(successor)?.succeeds === self) return;
      } catch (error) {
        if (signal.aborted || !isFabricError(error) || !error.retryable) throw error;
        logger.debug("the next key is named again", { error: error.message });
      }
      await pause(this.#options, signal);
    }
  }

  async #ask(successor: NodeId, signal: AbortSignal): Promise<void> {
    const { attestor, consensus, transport, leader, directory } = this.#options;
    const self = attestor.identity.id;
    const signature = attestor.signSuccession(directory.clusterId, successor);
    if (consensus.status().role === "leader") return this.#commit(self, successor, signature, signal);
    const to = leader();
    if (to === undefined)
      throw new CommandRefusedError("RAFT_NO_QUORUM", "no leader is known that could commit the next key", {
        retryable: true,
      });
    const request = encodeCanonical({ version: 1, successor, signature });
    await transport.request(to, protocols.succeed, request, { signal, timeoutMs: serveTimeoutMs });
  }

  async #serve(payload: Uint8Array, peer: NodeId): Promise<Uint8Array> {
    const fields = new FieldReader(decodeCanonical(payload, "succession"), "succession");
    if (fields.number("version") !== 1) throw new InvalidValueError("succession.version", payload, "version 1");
    const successor = parseNodeId(fields.take("successor"), "succession.successor");
    const signature = fields.take("signature");
    fields.finish();
    if (!(signature instanceof Uint8Array)) throw new InvalidValueError("succession.signature", signature, "bytes");
    const { signal, clear } = deadlineOf(
      this.#options.clock,
      serveTimeoutMs,
      () => new CommandRefusedError("RAFT_NO_QUORUM", "the next key is not sealed yet", { retryable: true }),
    );
    try {
      // Only one's own place can be passed on: the peer is proven by its key, and the signature must be of the same one.
      await this.#commit(peer, successor, signature, AbortSignal.any([signal, this.#abort.signal]));
      return encodeCanonical({ version: 1 });
    } finally {
      clear();
    }
  }

  async #commit(node: NodeId, successor: NodeId, signature: Uint8Array, signal: AbortSignal): Promise<void> {
    const { sealer, logger } = this.#options;
    const state = formationOf(this.#options);
    if (state.formation.nodes.get(successor)?.succeeds !== node) {
      // It speaks, so it lives: it is about to be taken back, and may be followed then.
      if (state.formation.nodes.get(node)?.state === "failed")
        throw new CommandRefusedError("CLUSTER_ROTATE_REFUSED", `${shortId(node)} is not taken back yet`, {
          retryable: true,
        });
      this.#requireOthers(node, state);
      const transition = { verb: "succeed", node: successor, predecessor: node, signature } as const;
      const reason = `${shortId(node)} names ${shortId(successor)} as its next key`;
      await commitOrder(this.#options, [transition], reason);
      logger.info("a node named its next key", { node: shortId(node), successor: shortId(successor) });
    }
    // Nodes that hold no log must know the new key before it knocks.
    await sealer.sealUpTo(formationOf(this.#options).head.height, { signal });
    this.#options.loop.kick();
  }

  /** While a voter starts anew under its next key, the others have to agree without it. */
  #requireOthers(node: NodeId, { formation }: FormationState): void {
    const voters = replicasOf(formation, "voter");
    if (!voters.includes(node)) return;
    const lives = livingOf(this.#options);
    const others = voters.filter((id) => id !== node && lives(id)).length;
    if (2 * others > voters.length) return;
    throw new CommandRefusedError(
      "CLUSTER_ROTATE_REFUSED",
      `${shortId(node)} votes, and ${others} other living voters are no majority of ${voters.length}: the cluster would stand still while it starts anew`,
    );
  }
}
