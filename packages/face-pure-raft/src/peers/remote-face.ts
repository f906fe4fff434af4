import {
  type Duplex,
  type Face,
  type FaceLeases,
  type FaceManifest,
  isFabricError,
  type NodeId,
  parseResourceSelector,
  parseRevision,
  type ResourceFormat,
  type ResourceSelector,
  type ResourceWatchEvent,
  type Revision,
  type Transport,
} from "@revoada/fabric";
import { FaceNotRunningError, FaceProtocolError, OutcomeUnknownError } from "../errors.ts";
import { linkSignals } from "../link-signals.ts";
import { encodeWire } from "../wire/cbor.ts";
import { parseAnswer, writeVerbs } from "../wire/answer.ts";
import { inPieces, parseChunk, parseWatchEvent, unaryVerbs, watchParameters } from "../wire/verbs.ts";
import { stateEvents } from "../watch-events.ts";
import { isLoss, ReplicaPool } from "./replica-pool.ts";
import { WatchPosition } from "./watch-position.ts";

export interface RemoteFaceOptions {
  readonly transport: Transport;
  /** Nodes that hold a replica, the likely leader first. */
  readonly replicas: () => readonly NodeId[];
  /** What this face says of itself; the raw face with YAML, JSON and native bodies unless told. */
  readonly manifest?: FaceManifest;
  /** How long one replica may take for an answer, 30,000 ms unless told. */
  readonly timeoutMs?: number;
}

const defaultTimeoutMs = 30_000;
/** How often a watch looks for another replica without having heard anything in between. */
const maxFruitlessStreams = 8;

const rawManifest: FaceManifest = {
  face: { name: "pure-raft", kind: { protocol: "pure-raft" } },
  formats: ["yaml", "json", "native"],
  listens: false,
};

/**
 * The face of a node that holds no replica: asks those that do, over the transport.
 *
 * Where none can be asked, verbs reject with `FACE_NO_REPLICA`. A read goes on to the next replica whatever happened; a write only where
 * nothing was sent, and is `RAFT_OUTCOME_UNKNOWN` where its answer was lost. A watch whose replica goes away goes on at another, with
 * nothing lost and nothing told twice. `counts().resources` is what a replica said last.
 */
export function remoteFace(options: RemoteFaceOptions): Face {
  return new RemoteFace(options);
}

class RemoteFace implements Face {
  readonly manifest: FaceManifest;
  readonly leases: FaceLeases;
  readonly #pool: ReplicaPool;
  readonly #verbs: Pick<Face, "apply" | "get" | "list" | "delete">;
  #life: AbortController | undefined;
  #subscribers = 0;

  constructor({ transport, replicas, manifest = rawManifest, timeoutMs = defaultTimeoutMs }: RemoteFaceOptions) {
    this.manifest = manifest;
    this.#pool = new ReplicaPool({ transport, replicas, timeoutMs });
    const { leases, ...verbs } = unaryVerbs(async (verb, parameters, signal) => {
      this.#requireLife();
      return this.#pool.ask(verb, parameters, { isWrite: writeVerbs.has(verb), signal });
    });
    this.leases = leases;
    this.#verbs = verbs;
  }

  isRunning(): boolean {
    return this.#life !== undefined;
  }

  async start(): Promise<void> {
    this.#life ??= new AbortController();
  }

  async shutdown(): Promise<void> {
    const life = this.#life;
    this.#life = undefined;
    life?.abort(new FaceNotRunningError(this.manifest.face.name));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown();
  }

  async apply(...input: Parameters<Face["apply"]>): ReturnType<Face["apply"]> {
    this.#requireLife();
    return this.#verbs.apply(...input);
  }

  async get(...input: Parameters<Face["get"]>): ReturnType<Face["get"]> {
    this.#requireLife();
    return this.#verbs.get(...input);
  }

  async list(...input: Parameters<Face["list"]>): ReturnType<Face["list"]> {
    this.#requireLife();
    return this.#verbs.list(...input);
  }

  async delete(...input: Parameters<Face["delete"]>): ReturnType<Face["delete"]> {
    this.#requireLife();
    return this.#verbs.delete(...input);
  }

  async *watch(
    selector: ResourceSelector,
    options: Parameters<Face["watch"]>[1],
  ): AsyncGenerator<ResourceWatchEvent, void, undefined> {
    const life = this.#requireLife();
    const checked = parseResourceSelector(selector);
    const from = options.fromRevision === undefined ? undefined : parseRevision(options.fromRevision, "fromRevision");
    const { signal, release } = linkSignals(options.signal, life.signal);
    this.#subscribers++;
    try {
      yield* this.#follow(checked, from, options.format, signal);
    } catch (error) {
      if (!options.signal.aborted) throw life.signal.aborted ? (life.signal.reason as Error) : error;
    } finally {
      this.#subscribers--;
      release();
    }
  }

  async *snapshot(options: { readonly signal?: AbortSignal } = {}): AsyncGenerator<Uint8Array, void, undefined> {
    const { signal, release } = linkSignals(options.signal, this.#requireLife().signal);
    try {
      const stream = await this.#pool.open("snapshot", {}, signal);
      for await (const chunk of this.#pool.items(stream, signal))
        yield parseAnswer("snapshot", () => parseChunk(chunk));
    } catch (error) {
      throw signal.aborted ? (signal.reason as Error) : error;
    } finally {
      release();
    }
  }

  async restore(chunks: AsyncIterable<Uint8Array>, options: { readonly signal?: AbortSignal } = {}): Promise<Revision> {
    this.#requireLife();
    const stream = await this.#pool.open("restore", {}, options.signal);
    const upload = new Upload(stream, this.#pool.items(stream, options.signal));
    return upload.run(chunks);
  }

  counts(): { readonly resources: number; readonly subscribers: number } {
    return { resources: this.#pool.resources, subscribers: this.#subscribers };
  }

  /** The state is read page by page, so that its revision is known; from there on, streams follow each other. */
  async *#follow(
    selector: ResourceSelector,
    from: Revision | undefined,
    format: ResourceFormat | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<ResourceWatchEvent, void, undefined> {
    const readPage = (next: string | undefined): ReturnType<Face["list"]> =>
      this.#verbs.list(selector, {
        signal,
        ...(format === undefined ? {} : { format }),
        ...(next === undefined ? {} : { next }),
      });
    let position = new WatchPosition(from ?? (((yield* stateEvents(readPage)) + 1) as Revision));
    for (let fruitless = 0; ; fruitless++) {
      try {
        const parameters = watchParameters(selector, {
          fromRevision: position.next,
          ...(format === undefined ? {} : { format }),
        });
        const stream = await this.#pool.open("watch", parameters, signal);
        for await (const item of this.#pool.items(stream, signal)) {
          const event = parseAnswer("watch", () => parseWatchEvent(item));
          fruitless = 0;
          if (position.take(event)) yield event;
        }
      } catch (error) {
        if (signal.aborted || fruitless >= maxFruitlessStreams || !mayGoOn(error)) throw error;
      }
      const { openReset } = position;
      // Whether its state was told to the end cannot be known: it is told anew.
      if (openReset !== undefined)
        position = new WatchPosition(((yield* stateEvents(readPage, openReset.reason)) + 1) as Revision);
    }
  }

  #requireLife(): AbortController {
    if (this.#life === undefined) throw new FaceNotRunningError(this.manifest.face.name);
    return this.#life;
  }
}

function mayGoOn(error: unknown): boolean {
  return isLoss(error) || isFabricError(error, "FACE_NOT_RUNNING", "FACE_BUSY");
}

/** A snapshot on its way to a replica, which may refuse it at any moment. */
class Upload {
  readonly #stream: Duplex;
  readonly #answer: Promise<unknown>;
  #sentAll = false;

  constructor(stream: Duplex, items: AsyncGenerator<unknown, unknown, undefined>) {
    this.#stream = stream;
    this.#answer = items.next().then(({ done, value }) => {
      if (done !== true) throw new FaceProtocolError("an item where an answer was due");
      return value;
    });
    this.#answer.catch(() => {});
  }

  async run(chunks: AsyncIterable<Uint8Array>): Promise<Revision> {
    const refused = this.#answer.then(() => {
      if (!this.#sentAll) throw new FaceProtocolError("an answer before all was sent");
    });
    refused.catch(() => {});
    try {
      for await (const chunk of inPieces(chunks)) {
        await Promise.race([this.#stream.send(encodeWire(["chunk", chunk])), refused]);
      }
      this.#sentAll = true;
      await Promise.race([this.#stream.send(encodeWire(["end"])), refused]);
      const answer = await this.#answer;
      return parseAnswer("restore", () => parseRevision(answer));
    } catch (error) {
      this.#stream.abort(error);
      // The replica begins only once it has all.
      if (this.#sentAll && isLoss(error)) throw new OutcomeUnknownError("restore", { cause: error });
      throw error;
    }
  }
}
