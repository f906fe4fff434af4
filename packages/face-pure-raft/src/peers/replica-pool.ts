import { type Duplex, isFabricError, type NodeId, type Transport } from "@revoada/fabric";
import { type CarriedError, FaceNoReplicaError, FaceProtocolError, OutcomeUnknownError } from "../errors.ts";
import { encodeWire } from "../wire/cbor.ts";
import { carriedError } from "../wire/failure.ts";
import { faceProtocol, openMessage } from "./messages.ts";

/** With these, the transport says that nothing has reached the peer's face. */
const unsentCodes: readonly string[] = [
  "TRANSPORT_NO_ADDRESS",
  "TRANSPORT_UNREACHABLE",
  "TRANSPORT_WRONG_PEER",
  "TRANSPORT_NOT_ADMITTED",
  "TRANSPORT_UNSUPPORTED",
  "TRANSPORT_BACKPRESSURE",
  "TRANSPORT_SELF_DIAL",
];

export interface ReplicaPoolOptions {
  readonly transport: Transport;
  readonly replicas: () => readonly NodeId[];
  readonly timeoutMs: number;
}

/** What an answer brought. */
type Told = { readonly answer: unknown } | { readonly error: CarriedError };

/** Asks nodes that hold a replica, one after the other, those that failed last. */
export class ReplicaPool {
  readonly #options: ReplicaPoolOptions;
  /** They did not answer when they were asked last. */
  readonly #failing = new Set<NodeId>();
  #resources = 0;

  constructor(options: ReplicaPoolOptions) {
    this.#options = options;
  }

  /** How many resources there were when a replica answered last. */
  get resources(): number {
    return this.#resources;
  }

  /**
   * One question, one answer. A read goes on to the next replica whatever became of the question. A write does so only where it was not
   * sent or its face was not running; where its answer was lost, it is `RAFT_OUTCOME_UNKNOWN`.
   */
  async ask(
    verb: string,
    parameters: unknown,
    options: { readonly isWrite: boolean; readonly signal: AbortSignal | undefined },
  ): Promise<unknown> {
    const { isWrite, signal } = options;
    const message = encodeWire([verb, parameters]);
    let refusal: CarriedError | undefined;
    let cause: unknown;
    const peers = this.#candidates();
    for (const peer of peers) {
      signal?.throwIfAborted();
      let told: Told;
      try {
        told = await this.#request(peer, message, signal);
      } catch (error) {
        if (signal?.aborted === true || !isLoss(error)) throw error;
        this.#failing.add(peer);
        if (isWrite && !isFabricError(error, ...unsentCodes)) throw new OutcomeUnknownError(verb, { cause: error });
        cause = error;
        continue;
      }
      if ("answer" in told) return told.answer;
      const mayGoOn = told.error.code === "FACE_NOT_RUNNING" || (!isWrite && told.error.retryable);
      if (!mayGoOn) throw told.error;
      refusal = told.error;
    }
    throw refusal ?? new FaceNoReplicaError(peers.length, { cause });
  }

  /** Opens a stream to the first replica that takes one, and sends the question. */
  async open(verb: string, parameters: unknown, signal: AbortSignal | undefined): Promise<Duplex> {
    const { transport } = this.#options;
    const peers = this.#candidates();
    let cause: unknown;
    for (const peer of peers) {
      signal?.throwIfAborted();
      try {
        const stream = await transport.open(peer, faceProtocol, signal === undefined ? {} : { signal });
        await stream.send(encodeWire([verb, parameters]));
        return stream;
      } catch (error) {
        if (signal?.aborted === true || !isLoss(error)) throw error;
        this.#failing.add(peer);
        cause = error;
      }
    }
    throw new FaceNoReplicaError(peers.length, { cause });
  }

  /** The items of a stream and, at last, what it ended with. Breaks off where the consumer leaves or the signal aborts. */
  async *items(stream: Duplex, signal: AbortSignal | undefined): AsyncGenerator<unknown, unknown, undefined> {
    const onAbort = (): void => stream.abort(signal?.reason);
    if (signal?.aborted === true) onAbort();
    signal?.addEventListener("abort", onAbort, { once: true });
    let isOver = false;
    try {
      for await (const message of stream.receive()) {
        const { type, rest } = openMessage(message);
        if (type === "error") {
          isOver = true;
          throw carriedError(rest) ?? new FaceProtocolError("an error without code");
        }
        this.#note(stream.peer, rest[0]);
        if (type === "end") {
          isOver = true;
          return rest[1];
        }
        if (type !== "item") throw new FaceProtocolError("a message of an unknown type");
        yield rest[1];
      }
      throw new FaceProtocolError("the stream ended without a word");
    } catch (error) {
      if (signal?.aborted !== true) this.#failing.add(stream.peer);
      throw error;
    } finally {
      signal?.removeEventListener("abort", onAbort);
      if (isOver) void stream.close().catch(() => stream.abort());
      else stream.abort();
    }
  }

  async #request(peer: NodeId, message: Uint8Array, signal: AbortSignal | undefined): Promise<Told> {
    const { transport, timeoutMs } = this.#options;
    const bytes = await transport.request(peer, faceProtocol, message, {
      timeoutMs,
      ...(signal === undefined ? {} : { signal }),
    });
    const { type, rest } = openMessage(bytes);
    if (type === "error") {
      const error = carriedError(rest);
      if (error === undefined) throw new FaceProtocolError("an error without code");
      return { error };
    }
    if (type !== "answer") throw new FaceProtocolError("a message of an unknown type");
    this.#note(peer, rest[0]);
    return { answer: rest[1] };
  }

  #note(peer: NodeId, resources: unknown): void {
    if (typeof resources !== "number" || !Number.isSafeInteger(resources) || resources < 0)
      throw new FaceProtocolError("no count of resources");
    this.#resources = resources;
    this.#failing.delete(peer);
  }

  #candidates(): readonly NodeId[] {
    const { transport, replicas } = this.#options;
    const all = replicas().filter((peer) => peer !== transport.localId);
    return [...all.filter((peer) => !this.#failing.has(peer)), ...all.filter((peer) => this.#failing.has(peer))];
  }
}

/** True where a question or its answer did not get through, in contrast to what the other face says or what is wrong with the question. */
export function isLoss(error: unknown): boolean {
  if (!isFabricError(error)) return false;
  return (
    error.code === "FACE_PROTOCOL" || (error.code.startsWith("TRANSPORT_") && error.code !== "TRANSPORT_TOO_LARGE")
  );
}
