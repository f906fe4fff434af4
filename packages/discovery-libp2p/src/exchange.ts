import type { Connection, Ed25519PrivateKey, Stream } from "@libp2p/interface";
import { lpStream } from "@libp2p/utils";
import { InvalidValueError, type Address } from "@revoada/fabric";
import {
  decodeWhereabouts,
  encodeBody,
  encodeWhereabouts,
  maxWhereaboutsBytes,
  messageOf,
  type Whereabouts,
} from "./core/whereabouts.ts";
import { keyOf, nodeIdOf, nodeIdOfKey } from "./keys.ts";

/** Both sides say where they are: one message each way, the dialler's first. */
export const whereaboutsProtocol = "/revoada/whereabouts/1";

/** Speaks the protocol for one node. */
export class Exchange {
  readonly #privateKey: Ed25519PrivateKey;
  readonly #context: Uint8Array;
  readonly #addresses: () => readonly Address[];

  constructor(privateKey: Ed25519PrivateKey, context: Uint8Array, addresses: () => readonly Address[]) {
    this.#privateKey = privateKey;
    this.#context = context;
    this.#addresses = addresses;
  }

  /** Tells a peer and asks it. Rejects with what is wrong with its answer, or where there is none in time. */
  async ask(connection: Connection, signal: AbortSignal): Promise<Whereabouts> {
    const stream = await connection.newStream(whereaboutsProtocol, { signal });
    return this.#speak(stream, connection, signal, async (words) => {
      await words.say();
      return words.hear();
    });
  }

  /** Hears a peer and tells it. */
  async answer(stream: Stream, connection: Connection, signal: AbortSignal): Promise<Whereabouts> {
    return this.#speak(stream, connection, signal, async (words) => {
      const heard = await words.hear();
      await words.say();
      return heard;
    });
  }

  async #speak(
    stream: Stream,
    connection: Connection,
    signal: AbortSignal,
    conversation: (words: { say(): Promise<void>; hear(): Promise<Whereabouts> }) => Promise<Whereabouts>,
  ): Promise<Whereabouts> {
    const words = lpStream(stream, { maxDataLength: maxWhereaboutsBytes, maxBufferSize: 4 * maxWhereaboutsBytes });
    try {
      const heard = await conversation({
        say: async () => words.write(await this.#own(), { signal }),
        hear: async () => this.#believe((await words.read({ signal })).subarray(), connection),
      });
      await stream.close({ signal });
      return heard;
    } catch (error) {
      stream.abort(error instanceof Error ? error : new Error(String(error)));
      throw error;
    }
  }

  async #own(): Promise<Uint8Array> {
    const body = encodeBody({ id: nodeIdOfKey(this.#privateKey.publicKey), addresses: this.#addresses() });
    return encodeWhereabouts(body, await this.#privateKey.sign(messageOf(body, this.#context)));
  }

  /** A node speaks for itself alone, and signs what it says. */
  async #believe(bytes: Uint8Array, connection: Connection): Promise<Whereabouts> {
    const { whereabouts, message, signature } = decodeWhereabouts(bytes, this.#context);
    const peer = nodeIdOf(connection.remotePeer);
    if (whereabouts.id !== peer) throw new InvalidValueError("whereabouts.body.id", whereabouts.id, `${peer}`);
    if (!(await keyOf(whereabouts.id).verify(message, signature)))
      throw new InvalidValueError("whereabouts.signature", signature, "a signature of this node in this group");
    return whereabouts;
  }
}
