import type { TLSSocket } from "node:tls";
import type { Clock, NodeId, TransportChannel } from "@revoada/fabric";
import { bindingBytes, maxGreetingBytes } from "./core/greeting.ts";
import { type FramePlacer, FrameReader, type FrameSink } from "./core/frame-reader.ts";
import { giveBack } from "./give-back.ts";
import { Outbox } from "./outbox.ts";

/** Why a connection is over; as in the transport's events. */
export type EndReason = "closed" | "timeout" | "local" | "error";

/** ALPN identifiers: one per channel, so that the channel is agreed upon before the first byte. */
export const alpnOfChannel: Readonly<Record<TransportChannel, string>> = {
  consensus: "revoada/consensus/1",
  gossip: "revoada/gossip/1",
  bulk: "revoada/bulk/1",
  join: "revoada/join/1",
};

const channelOfAlpn = new Map(
  Object.entries(alpnOfChannel).map(([channel, alpn]) => [alpn, channel as TransportChannel]),
);

/** The channel that a finished handshake agreed upon. */
export function channelOf(socket: TLSSocket): TransportChannel | undefined {
  return typeof socket.alpnProtocol === "string" ? channelOfAlpn.get(socket.alpnProtocol) : undefined;
}

/** RFC 9266: the exporter's output under this label is equal on both ends and differs for every connection. */
const exporterLabel = "EXPORTER-Channel-Binding";

/** Input taken before other connections get their turn: the kernel has up to 2 MiB more of it at hand, which takes milliseconds. */
const readBurstBytes = 64 * 1024;
/** Likewise for frames: the smallest take more time than their bytes say. */
const readBurstFrames = 2048;

const closedCodes = new Set(["ECONNRESET", "EPIPE", "ECONNABORTED", "ENOTCONN"]);
const silentCodes = new Set(["ETIMEDOUT", "EHOSTUNREACH", "ENETUNREACH", "ENETDOWN", "EHOSTDOWN"]);

/** A TLS connection to a peer whose key is proven; cuts input into frames and gathers output. */
export class Wire {
  readonly peer: NodeId;
  readonly channel: TransportChannel;
  readonly dialledHere: boolean;
  readonly binding: Uint8Array;
  /** The IP address of the other end; kept, because a closed socket has none. */
  readonly remoteAddress: string;
  readonly outbox: Outbox;
  /** Called once; set by whoever owns the connection at the time. */
  onEnd: (reason: EndReason, cause: Error | undefined) => void = () => {};
  /** Called each time that a burst of output has left. */
  onDrain: () => void = () => {};
  receivedBytes = 0;
  receivedAtMs: number;
  readonly #socket: TLSSocket;
  readonly #clock: Clock;
  readonly #lingerMs: number;
  readonly #reader: FrameReader;
  #burstBytes = 0;
  #framesBefore = 0;
  #ended = false;

  constructor(
    socket: TLSSocket,
    facts: { readonly peer: NodeId; readonly channel: TransportChannel; readonly dialledHere: boolean },
    options: { readonly clock: Clock; readonly lingerMs: number },
  ) {
    this.peer = facts.peer;
    this.channel = facts.channel;
    this.dialledHere = facts.dialledHere;
    this.remoteAddress = socket.remoteAddress ?? "";
    this.#socket = socket;
    this.#clock = options.clock;
    this.#lingerMs = options.lingerMs;
    this.binding = new Uint8Array(socket.exportKeyingMaterial(bindingBytes, exporterLabel, Buffer.alloc(0)));
    this.outbox = new Outbox(socket, () => this.onDrain());
    this.receivedAtMs = options.clock.monotonicMs();
    this.#reader = new FrameReader(
      maxGreetingBytes,
      () => "done",
      (bytes) => Buffer.allocUnsafeSlow(bytes),
    );
    socket.setNoDelay(true);
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Frames received so far. */
  get frames(): number {
    return this.#reader.frames;
  }

  /** Bytes of a frame that has begun and has not ended. */
  get partialBytes(): number {
    return this.#reader.partialBytes;
  }

  /** Starts reading. Until then nothing that the peer sent is looked at. */
  read(sink: FrameSink): void {
    this.#reader.redirect(maxGreetingBytes, sink);
    const socket = this.#socket;
    socket.on("data", (chunk: Buffer) => this.#onData(chunk));
    socket.on("end", () => this.end("closed"));
    socket.on("close", () => this.end("closed"));
    socket.on("error", (error) => this.end(reasonOf(error), error));
  }

  /** Gives the frames that follow to another sink. */
  redirect(maxBytes: number, sink: FrameSink, placer: FramePlacer): void {
    this.#reader.redirect(maxBytes, sink, placer);
  }

  /** Ends the connection; what is queued is still written out when the end is `local`. */
  end(reason: EndReason, cause?: Error): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#reader.stop();
    if (reason === "local" && !this.#socket.destroyed) this.#linger();
    else this.#drop();
    this.onEnd(reason, cause);
  }

  #onData(chunk: Buffer): void {
    if (this.#ended) return;
    this.receivedBytes += chunk.length;
    this.receivedAtMs = this.#clock.monotonicMs();
    try {
      if (this.#reader.push(chunk) === "done") giveBack(chunk);
    } catch (error) {
      return this.end("error", error as Error);
    }
    this.#burstBytes += chunk.length;
    if (this.#burstBytes >= readBurstBytes || this.frames - this.#framesBefore >= readBurstFrames) this.#yield();
  }

  #yield(): void {
    this.#burstBytes = 0;
    this.#framesBefore = this.frames;
    this.#socket.pause();
    this.#clock.nextTurn(() => this.#socket.resume());
  }

  #drop(): void {
    this.outbox.discard();
    this.#socket.destroy();
  }

  #linger(): void {
    this.outbox.finish();
    const cancel = this.#clock.schedule(this.#lingerMs, () => this.#socket.destroy());
    this.#socket.once("close", cancel);
    this.#socket.destroySoon();
  }
}

function reasonOf(error: Error): EndReason {
  const { code } = error as { readonly code?: unknown };
  if (typeof code !== "string") return "error";
  if (closedCodes.has(code)) return "closed";
  return silentCodes.has(code) ? "timeout" : "error";
}
