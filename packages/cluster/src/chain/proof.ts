import {
  FieldReader,
  InvalidValueError,
  parseClusterId,
  RepeatedLines,
  shortId,
  type Clock,
  type ClusterId,
  type Duplex,
  type Logger,
  type NodeId,
  type Random,
  type Transport,
} from "@revoada/fabric";
import { decodeCanonical, encodeCanonical } from "../codec.ts";
import { deadlineOf, unlessAborted } from "../deadline.ts";
import { CommandRefusedError } from "../errors.ts";
import { protocols } from "../protocols.ts";
import { encodeKnown, takeKnown, type Directory } from "./directory.ts";
import type { KnownUpTo } from "../machine/kept-chain.ts";

export interface ProofOptions {
  readonly transport: Transport;
  readonly directory: Directory;
  readonly clusterId: ClusterId;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** How often somebody is looked for to whom this node may be a stranger. */
  readonly cadenceMs: () => number;
  /** Members of the formation that nobody hears: some of them may have been away while others came. */
  readonly unheard: () => readonly NodeId[];
  /** True where this node should be the one to show: a few do, not everybody. */
  readonly shows: () => boolean;
}

/** How long a whole proof may take, and how many are listened to at once. */
const proofTimeoutMs = 10_000;
const maxListened = 4;
const maxWordBytes = 1024;
const maxStretchBytes = 4 * 1024 * 1024;

/**
 * Admission proofs: whoever meets an unknown key may be shown the sealed chain that admits it.
 *
 * A node that was away follows the chain by asking those whom it knows. Where all of them are gone, or those that lead came later than
 * what it has applied, it would refuse every key for ever. So members that replicate look for members whom nobody hears, and show them the
 * chain on the channel of strangers. What is shown is believed for its seals, each by a majority of the voters before it, and never
 * for who shows it; a node that was removed finds nobody who shows it anything.
 */
export class AdmissionProofs {
  readonly #options: ProofOptions;
  readonly #withdraw: () => void;
  readonly #streams = new Set<Duplex>();
  readonly #lines: RepeatedLines;
  #listened = 0;
  #cancel: (() => void) | undefined;
  #stopped = false;

  constructor(options: ProofOptions) {
    this.#options = options;
    this.#lines = new RepeatedLines(options);
    this.#withdraw = options.transport.handle(protocols.proof, { onStream: (stream) => this.#listen(stream) });
    this.#schedule();
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel?.();
    this.#withdraw();
    for (const stream of this.#streams) stream.abort();
  }

  /** Shows one node the chain. Resolves with how many stretches it took: 0 where it knew this node, or wanted none of it. */
  async show(peer: NodeId): Promise<number> {
    const { transport, directory, clusterId, clock } = this.#options;
    const { signal, clear } = deadlineOf(clock, proofTimeoutMs, timedOut);
    try {
      const stream = await transport.open(peer, protocols.proof, { signal });
      return await this.#within(stream, signal, async () => {
        let shown = 0;
        await stream.send(encodeCanonical({ version: 1, clusterId }));
        for await (const message of stream.receive()) {
          const stretch = directory.prove(knownOf(message));
          await stream.send(stretch);
          // An empty list of blocks and seals is one byte long: there is no more.
          if (stretch.length <= 1) break;
          shown += 1;
        }
        await stream.close();
        return shown;
      });
    } finally {
      clear();
    }
  }

  async #within<T>(stream: Duplex, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    this.#streams.add(stream);
    try {
      return await unlessAborted(work(), signal);
    } catch (error) {
      stream.abort(error);
      throw error;
    } finally {
      this.#streams.delete(stream);
    }
  }

  async #listen(stream: Duplex): Promise<void> {
    const { clock, directory } = this.#options;
    // Whoever is known can be asked, and need not be listened to here.
    if (this.#stopped || this.#listened >= maxListened || directory.isKnown(stream.peer)) {
      await stream.close();
      return;
    }
    const { signal, clear } = deadlineOf(clock, proofTimeoutMs, timedOut);
    this.#listened += 1;
    try {
      await this.#within(stream, signal, () => this.#hear(stream));
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      const fields = { peer: shortId(stream.peer), reason };
      this.#lines.write("warn", "a stranger's proof of its admission does not hold", stream.peer, fields);
    } finally {
      this.#listened -= 1;
      clear();
    }
  }

  async #hear(stream: Duplex): Promise<void> {
    const { directory, clusterId, logger } = this.#options;
    let greeted = false;
    for await (const message of stream.receive()) {
      if (greeted) {
        if (message.length <= 1) break;
        if (message.length > maxStretchBytes)
          throw new InvalidValueError("proof", message.length, `at most ${maxStretchBytes} bytes at once`);
        directory.takeShown(message);
      } else {
        checkGreeting(message, clusterId);
        greeted = true;
      }
      if (directory.isKnown(stream.peer)) {
        logger.info("a stranger has proven its admission", { peer: shortId(stream.peer) });
        break;
      }
      await stream.send(encodeKnown(await directory.proven(), { version: 1 }));
    }
    await stream.close();
  }

  #schedule(): void {
    const { clock, cadenceMs, logger } = this.#options;
    this.#cancel = clock.schedule(cadenceMs(), () => {
      this.#look()
        .catch((error: unknown) => logger.debug("nobody was shown the chain", { error: String(error) }))
        .finally(() => {
          if (!this.#stopped) this.#schedule();
        });
    });
  }

  async #look(): Promise<void> {
    const { shows, unheard, random, logger } = this.#options;
    if (!shows()) return;
    const peers = unheard();
    const peer = peers[random.uint32() % Math.max(peers.length, 1)];
    if (peer === undefined) return;
    const stretches = await this.show(peer);
    if (stretches > 0) logger.info("a member was shown the chain", { peer: shortId(peer), stretches });
  }
}

function timedOut(): CommandRefusedError {
  return new CommandRefusedError("CHAIN_PROOF_TIMEOUT", `an admission proof took more than ${proofTimeoutMs} ms`, {
    retryable: true,
  });
}

function knownOf(message: Uint8Array): KnownUpTo {
  if (message.length > maxWordBytes) throw new InvalidValueError("proof", message.length, `${maxWordBytes} bytes`);
  const fields = new FieldReader(decodeCanonical(message, "proof"), "proof");
  if (fields.number("version") !== 1) throw new InvalidValueError("proof.version", message, "version 1");
  const known = takeKnown(fields);
  fields.finish();
  return known;
}

function checkGreeting(message: Uint8Array, clusterId: ClusterId): void {
  if (message.length > maxWordBytes) throw new InvalidValueError("proof", message.length, `${maxWordBytes} bytes`);
  const fields = new FieldReader(decodeCanonical(message, "proof"), "proof");
  if (fields.number("version") !== 1) throw new InvalidValueError("proof.version", message, "version 1");
  const theirs = parseClusterId(fields.take("clusterId"), "proof.clusterId");
  fields.finish();
  if (theirs !== clusterId) throw new InvalidValueError("proof.clusterId", theirs, `cluster ${shortId(clusterId)}`);
}
