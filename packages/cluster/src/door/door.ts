import {
  InvalidValueError,
  isFabricError,
  RepeatedLines,
  shortId,
  type Attestor,
  type Clock,
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
import { deadlineOf } from "../deadline.ts";
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
  readonly clock: Clock;
  readonly logger: Logger;
}

/** How long a newcomer's whole admission may take, its own words included. */
const admissionTimeoutMs = 15_000;
/** How long its admission may wait for a seal: there must be time left to say that it did not come. */
const sealTimeoutMs = 10_000;
/** Strangers hold connections here: this many at once, and no longer a word than a request is. */
const maxNewcomers = 64;
const maxRequestBytes = 16 * 1024;

/** What is final about a request. Everything else may be otherwise in a moment, or at another node. */
const finalCodes = [
  "JOIN_REFUSED",
  "TOKEN_REFUSED",
  "TOPOLOGY_ILLEGAL_TRANSITION",
  "FABRIC_INVALID_VALUE",
  "ATTEST_NOT_CANONICAL",
] as const;

/**
 * Lets newcomers in that hold a token. Any node answers; the leader checks the proof against the binding of the very connection
 * that it was made for, and commits the admission. From outside all refusals are one; the log says which it was.
 */
export class Door {
  readonly #options: DoorOptions;
  readonly #withdrawals: (() => void)[] = [];
  readonly #newcomers = new Set<Duplex>();
  readonly #lines: RepeatedLines;

  constructor(options: DoorOptions) {
    this.#options = options;
    this.#lines = new RepeatedLines(options);
    const { transport } = options;
    try {
      this.#withdrawals.push(transport.handle(protocols.join, { onStream: (stream) => this.#serve(stream) }));
      this.#withdrawals.push(
        transport.handle(protocols.admit, { onRequest: (payload) => this.#admitForwarded(payload) }),
      );
    } catch (error) {
      this.stop();
      throw error;
    }
  }

  stop(): void {
    for (const withdraw of this.#withdrawals) withdraw();
    for (const stream of this.#newcomers) stream.abort();
  }

  async #serve(stream: Duplex): Promise<void> {
    const { clock } = this.#options;
    // Nobody who keeps silent is waited for.
    const cancel = clock.schedule(admissionTimeoutMs, () => stream.abort());
    const isCrowded = this.#newcomers.size >= maxNewcomers;
    this.#newcomers.add(stream);
    try {
      // In a crowd nobody is listened to: whoever is turned away at once holds no place.
      if (isCrowded) await stream.send(encodeJoinAnswer({ unavailable: true }));
      else await this.#answer(stream);
      await stream.close();
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#lines.write("warn", "a newcomer broke off", stream.peer, { peer: stream.peer, reason });
      stream.abort();
    } finally {
      this.#newcomers.delete(stream);
      cancel();
    }
  }

  /** One request, one answer; nothing is said to who says nothing. */
  async #answer(stream: Duplex): Promise<void> {
    for await (const message of stream.receive()) {
      await stream.send(
        await this.#admitAnywhere(message, stream).catch((error: unknown) => this.#refuse(stream, error)),
      );
      return;
    }
  }

  /** What a newcomer is told of a failure: nothing but whether it may ask again. */
  #refuse(stream: Duplex, error: unknown): Uint8Array {
    const final = isFabricError(error, ...finalCodes) && !error.retryable;
    const reason = error instanceof Error ? error.message : String(error);
    const what = final ? "a newcomer was refused" : "a newcomer cannot be let in now";
    const kind = isFabricError(error) ? error.code : "";
    this.#lines.write("warn", what, stream.peer, { peer: stream.peer, reason }, kind);
    return encodeJoinAnswer(final ? { refused: true } : { unavailable: true });
  }

  async #admitAnywhere(message: Uint8Array, stream: Duplex): Promise<Uint8Array> {
    const { consensus, transport } = this.#options;
    if (message.length > maxRequestBytes) throw new JoinRefusedError(`a request of ${message.length} bytes`);
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
    if (!(channelBinding instanceof Uint8Array))
      throw new InvalidValueError("admit.channelBinding", channelBinding, "bytes");
    return this.#admit(decodeJoinRequest(message), channelBinding);
  }

  /** On the leader: checks the proof, commits the admission, has it sealed, and shows the newcomer the way. */
  async #admit(request: JoinRequest, channelBinding: Uint8Array): Promise<Uint8Array> {
    const { genesis, machine, directory, logger } = this.#options;
    this.#checkProof(request, channelBinding, genesis.clusterId);
    if (!directory.isKnown(request.node)) await this.#commit(request);
    await this.#sealUpTo(machine.formation.state?.head.height ?? 0);
    logger.info("a newcomer was let in", { node: shortId(request.node), addresses: request.addresses });
    return encodeJoinAnswer({
      genesis: genesis.bytes,
      chain: await directory.way(),
      peers: this.#peers(),
    });
  }

  async #commit(request: JoinRequest): Promise<void> {
    const { storeId, generation, zone, version, tokenId, node } = request;
    const limitedTo = readToken(this.#options.store, tokenId)?.limitedTo;
    const limits = limitedTo === undefined ? {} : { limitedTo };
    const admission = { storeId, generation, incarnation: 0, zone, version, tokenId, ...limits };
    const reason = `${shortId(node)} was let in by token ${tokenId.slice(0, 8)}`;
    await this.#options.loop.commitAfterOthers([{ verb: "admit", node, admission }], reason);
  }

  /** Has the chain sealed up to a height, with patience for voters that cannot sign at this moment. */
  async #sealUpTo(height: number): Promise<void> {
    const { sealer, clock } = this.#options;
    const { signal, clear } = deadlineOf(
      clock,
      sealTimeoutMs,
      () => new JoinRefusedError("its admission is not sealed yet", { retryable: true }),
    );
    try {
      await sealer.sealUpTo(height, { signal });
    } finally {
      clear();
    }
  }

  #checkProof(request: JoinRequest, channelBinding: Uint8Array, clusterId: ClusterId): void {
    const { attestor, store, machine } = this.#options;
    if (request.clusterId !== clusterId) throw new JoinRefusedError(`its token is of cluster ${request.clusterId}`);
    const record = readToken(store, request.tokenId);
    const fault = tokenFault(record, Math.max(machine.formation.state?.timeMs ?? 0, 0));
    // A node that the token let in already may ask again: its first answer may have been lost.
    const known = this.#options.directory.isKnown(request.node);
    if (record === undefined || (fault !== undefined && !known))
      throw new JoinRefusedError(fault ?? "the token is unknown");
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
