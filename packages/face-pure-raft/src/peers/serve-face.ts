import {
  type Duplex,
  type Face,
  type Logger,
  type NodeId,
  type PeerContext,
  silentLogger,
  type Transport,
} from "@revoada/fabric";
import { FaceBusyError, FaceInternalError, FaceProtocolError } from "../errors.ts";
import { linkSignals } from "../link-signals.ts";
import { encodeWire } from "../wire/cbor.ts";
import { type Failure, failureOf } from "../wire/failure.ts";
import { inPieces, isUnaryVerb, runUnary, runWatch } from "../wire/verbs.ts";
import { faceProtocol, openMessage } from "./messages.ts";

export interface ServeFaceOptions {
  readonly transport: Transport;
  readonly face: Face;
  readonly logger?: Logger;
}

/** Watches, snapshots and restores of one peer at a time. */
const maxStreamsPerPeer = 256;

/**
 * Serves a face to the peers that the transport admits, under the protocol `/revoada/face/1`; the returned function withdraws it.
 *
 * What the face refuses travels in answers and not as the transport's errors: a caller can tell what was refused from what was lost.
 */
export function serveFace(options: ServeFaceOptions): () => void {
  const { transport, face, logger = silentLogger } = options;
  const streams = new Map<NodeId, number>();
  const failure = (error: unknown): Failure => failureOf(error) ?? internal(error, logger);
  return transport.handle(faceProtocol, {
    async onRequest(payload, { signal }) {
      try {
        const { type, rest } = openMessage(payload);
        if (!isUnaryVerb(type)) throw new FaceProtocolError("an unknown verb");
        const answer = await runUnary(face, type, rest[0], signal);
        return encodeWire(["answer", face.counts().resources, answer]);
      } catch (error) {
        return encodeWire(["error", ...failure(error)]);
      }
    },
    async onStream(stream, context) {
      const open = (streams.get(context.peer) ?? 0) + 1;
      streams.set(context.peer, open);
      try {
        if (open > maxStreamsPerPeer) throw new FaceBusyError(maxStreamsPerPeer);
        await serveStream(face, stream, context);
      } catch (error) {
        // Where the peer has gone, so has whoever would read this.
        await stream.send(encodeWire(["error", ...failure(error)])).catch(() => {});
      } finally {
        const left = (streams.get(context.peer) ?? 1) - 1;
        if (left === 0) streams.delete(context.peer);
        else streams.set(context.peer, left);
        await stream.close().catch(() => stream.abort());
      }
    },
  });
}

function internal(error: unknown, logger: Logger): Failure {
  logger.error("a verb of a peer failed", { error });
  const { code, message, retryable } = new FaceInternalError();
  return [code, message, retryable];
}

async function serveStream(face: Face, stream: Duplex, context: PeerContext): Promise<void> {
  const messages = stream.receive()[Symbol.asyncIterator]();
  const first = await messages.next();
  if (first.done === true) return;
  const { type, rest } = openMessage(first.value);
  if (type === "restore") {
    const revision = await face.restore(uploaded(messages), { signal: context.signal });
    return stream.send(encodeWire(["end", face.counts().resources, revision]));
  }
  const gone = new AbortController();
  const { signal, release } = linkSignals(context.signal, gone.signal);
  // Nothing more is expected of the peer: whatever comes, an end above all, means that it wants no more.
  const leave = (): void => gone.abort(new FaceProtocolError("the stream was given up"));
  messages.next().then(leave, leave);
  try {
    for await (const item of answers(face, type, rest[0], signal)) {
      signal.throwIfAborted();
      await stream.send(encodeWire(["item", face.counts().resources, item]));
    }
    signal.throwIfAborted();
    await stream.send(encodeWire(["end", face.counts().resources]));
  } finally {
    release();
  }
}

function answers(face: Face, verb: string, parameters: unknown, signal: AbortSignal): AsyncIterable<unknown> {
  if (verb === "watch") return runWatch(face, parameters, signal);
  if (verb === "snapshot") return inPieces(face.snapshot({ signal }));
  throw new FaceProtocolError("an unknown verb");
}

async function* uploaded(messages: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  for (;;) {
    const step = await messages.next();
    if (step.done === true) throw new FaceProtocolError("the snapshot ends before its end");
    const { type, rest } = openMessage(step.value);
    if (type === "end") return;
    const [chunk] = rest;
    if (type !== "chunk" || !(chunk instanceof Uint8Array))
      throw new FaceProtocolError("a piece of a snapshot that is none");
    yield chunk;
  }
}
