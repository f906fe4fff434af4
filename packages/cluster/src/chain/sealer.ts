import {
  FieldReader,
  InvalidValueError,
  isFabricError,
  parseHash,
  parseNodeId,
  type Attestor,
  type ChainHead,
  type Clock,
  type Logger,
  type MachineStore,
  type NodeId,
  type SealSignature,
  type Transport,
} from "@revoada/fabric";
import { decodeCanonical, encodeCanonical } from "../codec.ts";
import { unlessAborted } from "../deadline.ts";
import { CommandRefusedError, SealIncompleteError } from "../errors.ts";
import { sealEnvelope } from "../machine/envelope.ts";
import type { FormationState } from "../machine/formation-machine.ts";
import type { ClusterMachine } from "../machine/machine.ts";
import { openResult } from "../machine/result.ts";
import type { Propose } from "../parts.ts";
import { protocols } from "../protocols.ts";

export interface SealerOptions {
  readonly attestor: Attestor;
  readonly transport: Transport;
  readonly machine: ClusterMachine;
  readonly store: MachineStore;
  readonly propose: Propose;
  readonly clock: Clock;
  readonly logger: Logger;
  /** How long a voter may take to sign, and how long it waits for its own log to reach the head. */
  readonly signTimeoutMs: number;
}

/** How long to wait until voters that did not sign are asked again. */
const sealPauseMs = 100;

/** Gathers the voters' signatures under the chain's head and commits the seal; signs for others what this replica holds too. */
export class Sealer {
  readonly #options: SealerOptions;
  readonly #withdraw: () => void;
  /** Signers that wait for the log to reach a head. */
  readonly #waiting = new Set<() => void>();
  readonly #abort = new AbortController();
  #sealing: Promise<void> | undefined;

  constructor(options: SealerOptions) {
    this.#options = options;
    this.#withdraw = options.transport.handle(protocols.seal, { onRequest: async (payload) => this.#sign(payload) });
  }

  /** True where blocks stand above the sealed head. */
  isDue(): boolean {
    const state = this.#options.machine.formation.state;
    return state !== undefined && state.head.height > state.sealed.height;
  }

  /**
   * Leader only. Seals the head, or, where a change of voters is not vouched for yet, that change first. One seal is gathered at a
   * time; whoever asks meanwhile gets the outcome of that one, which may be of a lower head. Rejects with `CHAIN_SEAL_INCOMPLETE`
   * where too few voters sign.
   */
  seal(options: { readonly signal: AbortSignal }): Promise<void> {
    this.#sealing ??= this.#sealHead(this.#abort.signal).finally(() => {
      this.#sealing = undefined;
    });
    return unlessAborted(this.#sealing, options.signal);
  }

  /** Leader only. Seals until `height` is covered, with patience for voters that cannot sign at this moment. */
  async sealUpTo(height: number, { signal }: { readonly signal: AbortSignal }): Promise<void> {
    const { machine, clock } = this.#options;
    while ((machine.formation.state?.sealed.height ?? 0) < height) {
      try {
        await this.seal({ signal });
      } catch (error) {
        if (!isFabricError(error) || !error.retryable || signal.aborted) throw error;
        await unlessAborted(new Promise<void>((resolve) => void clock.schedule(sealPauseMs, resolve)), signal);
      }
    }
  }

  stop(): void {
    this.#withdraw();
    this.#abort.abort();
    for (const finish of this.#waiting) finish();
  }

  async #sealHead(signal: AbortSignal): Promise<void> {
    const { attestor, machine, propose } = this.#options;
    const state = machine.formation.state;
    if (state === undefined || state.head.height <= state.sealed.height) return;
    const signatures = await this.#gather(state, signal);
    const needed = Math.floor(state.sealing.voters.length / 2) + 1;
    if (signatures.length < needed) {
      throw new SealIncompleteError(
        state.head.height,
        signatures.map(({ signer }) => signer),
        needed,
      );
    }
    const seal = attestor.encodeSeal({ head: state.head, leader: attestor.identity.id, signatures });
    const { result } = await propose(sealEnvelope("seal", seal), { signal });
    try {
      openResult(result);
    } catch (error) {
      // A leader before this one got its seal through: the head is sealed, which is what was wanted.
      if (!isFabricError(error, "CHAIN_ALREADY_SEALED")) throw error;
    }
  }

  /** The leader's own signature and those of enough others; returns as soon as there is a majority. */
  async #gather(state: FormationState, signal: AbortSignal): Promise<readonly SealSignature[]> {
    const { attestor, logger } = this.#options;
    const self = attestor.identity.id;
    const { voters } = state.sealing;
    const own = attestor.signHead(state.genesis.clusterId, state.head);
    if (!voters.includes(self)) {
      throw new CommandRefusedError("CLUSTER_NOT_A_VOTER", "this node is not among those who may seal the head", {
        retryable: true,
      });
    }
    const signatures = [own];
    const needed = Math.floor(voters.length / 2) + 1;
    const others = voters.filter((voter) => voter !== self);
    if (needed === 1) return signatures;
    await new Promise<void>((resolve) => {
      let open = others.length;
      for (const voter of others) {
        this.#ask(voter, state, signal)
          .then((signature) => {
            signatures.push(signature);
          })
          .catch((error: unknown) =>
            logger.debug("a voter did not sign", { voter, height: state.head.height, error: String(error) }),
          )
          .finally(() => {
            open -= 1;
            if (open === 0 || signatures.length >= needed) resolve();
          });
      }
    });
    return signatures.slice(0, needed).toSorted((a, b) => (a.signer < b.signer ? -1 : 1));
  }

  async #ask(voter: NodeId, state: FormationState, signal: AbortSignal): Promise<SealSignature> {
    const { transport, attestor, signTimeoutMs } = this.#options;
    const request = encodeCanonical({ height: state.head.height, hash: state.head.hash });
    const answer = await transport.request(voter, protocols.seal, request, { signal, timeoutMs: signTimeoutMs });
    const fields = new FieldReader(decodeCanonical(answer, "seal answer"), "seal answer");
    const signer = parseNodeId(fields.take("signer"), "seal answer.signer");
    const signature = fields.take("signature");
    const statement = { signer, signature: signature as Uint8Array };
    if (
      signer !== voter ||
      !(signature instanceof Uint8Array) ||
      !attestor.checkHead(state.genesis.clusterId, state.head, statement)
    ) {
      throw new CommandRefusedError("CHAIN_INVALID", `voter ${voter} gave a signature that does not verify`);
    }
    return statement;
  }

  /** Signs a head that this replica has applied too, waiting a moment for a log that is behind. */
  async #sign(payload: Uint8Array): Promise<Uint8Array> {
    const fields = new FieldReader(decodeCanonical(payload, "seal request"), "seal request");
    const height = fields.number("height");
    if (!Number.isSafeInteger(height) || height < 1)
      throw new InvalidValueError("seal request.height", height, "a height");
    const head: ChainHead = { height, hash: parseHash(fields.take("hash"), "seal request.hash") };
    fields.finish();
    const state = await this.#reach(head.height);
    const { attestor, machine, store } = this.#options;
    if (state === undefined || machine.formation.hashAt(store, head.height) !== head.hash) {
      throw new CommandRefusedError("CHAIN_OTHER_HEAD", `height ${head.height} has another hash here, or none`);
    }
    const { signer, signature } = attestor.signHead(state.genesis.clusterId, head);
    return encodeCanonical({ signer, signature });
  }

  #reach(height: number): Promise<FormationState | undefined> {
    const { machine, clock, signTimeoutMs } = this.#options;
    const reached = (): FormationState | undefined => {
      const state = machine.formation.state;
      return state !== undefined && state.head.height >= height ? state : undefined;
    };
    const now = reached();
    if (now !== undefined) return Promise.resolve(now);
    return new Promise((resolve) => {
      const finish = (): void => {
        this.#waiting.delete(finish);
        stop();
        cancel();
        resolve(reached());
      };
      this.#waiting.add(finish);
      const stop = machine.onApplied(() => {
        if (reached() !== undefined) finish();
      });
      const cancel = clock.schedule(signTimeoutMs / 2, finish);
    });
  }
}
