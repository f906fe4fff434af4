import {
  InvalidValueError,
  isFabricError,
  shortId,
  type Attestor,
  type ClusterId,
  type Consensus,
  type Duplex,
  type Genesis,
  type Logger,
  type MachineStore,
  type Membership,
  type Transport,
} from "@revoada/fabric";
import type { Directory } from "../chain/directory.ts";
import type { Sealer } from "../chain/sealer.ts";
import { decodeCanonical, encodeCanonical } from "../codec.ts";
import { JoinRefusedError } from "../errors.ts";
import type { FormationLoop } from "../loop/formation-loop.ts";
import type { ClusterMachine } from "../machine/machine.ts";
import { readToken, tokenFault } from "../machine/token-machine.ts";
import { protocols } from "../protocols.ts";
import { decodeJoinRequest, encodeJoinAnswer, type JoinRequest } from "./messages.ts";

export interface DoorOptions {
  readonly attestor: Attestor;
  readonly transport: Transport;
  readonly consensus: Consensus<Uint8Array, Uint8Array>;
  readonly membership: Membership;
  readonly machine: ClusterMachine;
  readonly store: MachineStore;
  readonly directory: Directory;
  readonly loop: FormationLoop;
  readonly sealer: Sealer;
  readonly genesis: Genesis;
  readonly logger: Logger;
}

/** How long a newcomer's whole admission may take. */
const admissionTimeoutMs = 15_000;

/**
 * Lets newcomers in that hold a token. Any node answers; the leader checks the proof against the binding of the very connection
 * that it was made for, and commits the admission. From outside all refusals are one; the log says which it was.
 */
export class Door {
  readonly #options: DoorOptions;
  readonly #withdrawals: readonly (() => void)[];

  constructor(options: DoorOptions) {
    this.#options = options;
    const { transport } = options;
    this.#withdrawals = [
      transport.handle(protocols.join, { onStream: (stream) => this.#serve(stream) }),
      transport.handle(protocols.admit, { onRequest: (payload) => this.#admitForwarded(payload) }),
    ];
  }

  stop(): void {
    for (const withdraw of this.#withdrawals) withdraw();
  }

  async #serve(stream: Duplex): Promise<void> {
    const { logger } = this.#options;
    try {
      for await (const message of stream.receive()) {
        const answer = await this.#admitAnywhere(message, stream);
        await stream.send(answer);
        break;
      }
      await stream.close();
    } catch (error) {
      logger.warn("a newcomer was refused", { peer: stream.peer, reason: error instanceof Error ? error.message : String(error) });
      await stream.send(encodeJoinAnswer({ refused: true })).catch(() => undefined);
      await stream.close().catch(() => undefined);
    }
  }

  async #admitAnywhere(message: Uint8Array, stream: Duplex): Promise<Uint8Array> {
    const { consensus, transport } = this.#options;
    const request = decodeJoinRequest(message);
    if (request.node !== stream.peer) throw new JoinRefusedError(`it says that it is ${shortId(request.node)}`);
    const status = consensus.status();
    if (status.role === "leader") return this.#admit(request, stream.channelBinding);
    if (status.leader === undefined) throw new JoinRefusedError("no leader is known", { retryable: true });
    const forwarded = encodeCanonical({ message, channelBinding: stream.channelBinding });
    return transport.request(status.leader, protocols.admit, forwarded, { timeoutMs: admissionTimeoutMs });
  }

  async #admitForwarded(payload: Uint8Array): Promise<Uint8Array> {
    const { message, channelBinding } = (decodeCanonical(payload, "admit") ?? {}) as Record<string, unknown>;
    if (!(message instanceof Uint8Array)) throw new InvalidValueError("admit.message", message, "bytes");
    if (!(channelBinding instanceof Uint8Array)) throw new InvalidValueError("admit.channelBinding", channelBinding, "bytes");
    return this.#admit(decodeJoinRequest(message), channelBinding);
  }

  /** On the leader: checks the proof, commits the admission, has it sealed, and shows the newcomer the way. */
  async #admit(request: JoinRequest, channelBinding: Uint8Array): Promise<Uint8Array> {
    const { genesis, machine, sealer, directory, logger } = this.#options;
    this.#checkProof(request, channelBinding, genesis.clusterId);
    if (!directory.isKnown(request.node)) await this.#commit(request);
    const height = machine.formation.state?.head.height ?? 0;
    const signal = AbortSignal.timeout(admissionTimeoutMs);
    while ((machine.formation.state?.sealed.height ?? 0) < height) await sealer.seal({ signal });
    logger.info("a newcomer was let in", { node: shortId(request.node), addresses: request.addresses });
    return encodeJoinAnswer({ genesis: genesis.bytes, chain: directory.prove(0), peers: this.#peers() });
  }

  async #commit(request: JoinRequest): Promise<void> {
    const { loop } = this.#options;
    const { storeId, generation, zone, version, tokenId, node } = request;
    const admission = { storeId, generation, incarnation: 0, zone, version, tokenId };
    for (let attempt = 0; ; attempt += 1) {
      try {
        await loop.commit([{ verb: "admit", node, admission }], `${shortId(node)} was let in by token ${tokenId.slice(0, 8)}`);
        return;
      } catch (error) {
        // Another command came first; the admission is made anew for the formation as it is now.
        if (!isFabricError(error, "TOPOLOGY_COMMAND_REFUSED") || attempt >= 20) throw error;
      }
    }
  }

  #checkProof(request: JoinRequest, channelBinding: Uint8Array, clusterId: ClusterId): void {
    const { attestor, store, machine } = this.#options;
    if (request.clusterId !== clusterId) throw new JoinRefusedError(`its token is of cluster ${request.clusterId}`);
    const record = readToken(store, request.tokenId);
    const fault = tokenFault(record, Math.max(machine.formation.state?.timeMs ?? 0, 0));
    // A node that the token let in already may ask again: its first answer may have been lost.
    const known = this.#options.directory.isKnown(request.node);
    if (record === undefined || (fault !== undefined && !known)) throw new JoinRefusedError(fault ?? "the token is unknown");
    if (!attestor.checkTokenProof(record, clusterId, channelBinding, request.node, request.proof)) {
      throw new JoinRefusedError("the proof does not fit the token and this connection");
    }
  }

  #peers(): readonly { readonly id: Genesis["founder"]; readonly addresses: readonly string[] }[] {
    return [...this.#options.membership.view().members.values()]
      .filter((member) => member.status === "alive" && member.addresses.length > 0)
      .map(({ id, addresses }) => ({ id, addresses: addresses.slice(0, 16) }));
  }
}
