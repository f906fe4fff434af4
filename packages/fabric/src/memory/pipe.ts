import type { NodeId } from "../ids.ts";
import type { Clock } from "../seams/clock.ts";
import type { TransportChannel } from "../seams/transport.ts";
import { type Frame, frameBytes } from "./frames.ts";

/** What a shaper sees of a frame that is about to travel. */
export interface FramePassport {
  readonly from: NodeId;
  readonly to: NodeId;
  readonly channel: TransportChannel;
  readonly kind: "message" | "request" | "response" | "stream";
  /** Name of the protocol, where the frame says it: messages, requests and the opening of streams. */
  readonly protocol?: string;
  readonly bytes: number;
}

/** What becomes of a frame. An empty verdict lets it pass. */
export interface FrameVerdict {
  /** Lost. A request is then a timeout for its caller; a stream breaks off. */
  readonly drop?: boolean;
  /** Added to the link's latency. */
  readonly delayMs?: number;
  /** Messages only: how often it arrives, 1 unless told. */
  readonly copies?: number;
  /** Messages only: may overtake what was sent before it. */
  readonly unordered?: boolean;
}

/** Decides over each frame. */
export type FrameShaper = (frame: FramePassport) => FrameVerdict | undefined;

/** What a pipe needs to know of the network around it. */
export interface PipeSurroundings {
  latencyMs(from: NodeId, to: NodeId): number;
  isCut(from: NodeId, to: NodeId): boolean;
  judge(frame: FramePassport): FrameVerdict;
  /** Runs `callback` as input of a host. */
  arrive(at: Clock, delayMs: number, callback: () => void): void;
  count(what: "delivered" | "dropped" | "held"): void;
}

interface Travelling {
  readonly frame: Frame;
  readonly bytes: number;
}

const kinds: Readonly<Record<Frame["type"], FramePassport["kind"]>> = {
  message: "message",
  request: "request",
  response: "response",
  failure: "response",
  "stream-open": "stream",
  "stream-accepted": "stream",
  "stream-refused": "stream",
  "stream-data": "stream",
  "stream-credit": "stream",
  "stream-end": "stream",
  "stream-abort": "stream",
  fin: "stream",
};

/** One direction of a connection: in order, as late as the link is, and held as long as the link is cut. */
export class Pipe {
  readonly from: NodeId;
  readonly to: NodeId;
  readonly #channel: TransportChannel;
  readonly #clock: Clock;
  readonly #surroundings: PipeSurroundings;
  readonly #deliver: (frame: Frame) => void;
  readonly #queue: Travelling[] = [];
  /** Frames at the front whose moment came while the link was cut. */
  #overdue = 0;
  #lastArrivalMs = 0;
  queuedBytes = 0;

  constructor(
    link: { readonly from: NodeId; readonly to: NodeId; readonly channel: TransportChannel; readonly clock: Clock },
    surroundings: PipeSurroundings,
    deliver: (frame: Frame) => void,
  ) {
    this.from = link.from;
    this.to = link.to;
    this.#channel = link.channel;
    this.#clock = link.clock;
    this.#surroundings = surroundings;
    this.#deliver = deliver;
  }

  /** False where the frame was lost on its way. */
  push(frame: Frame): boolean {
    const bytes = frameBytes(frame);
    const verdict = frame.type === "fin" ? {} : this.#surroundings.judge(this.#passport(frame, bytes));
    const copies = frame.type === "message" ? (verdict.copies ?? 1) : 1;
    if (verdict.drop === true || copies < 1) {
      this.#surroundings.count("dropped");
      return false;
    }
    const delayMs = this.#surroundings.latencyMs(this.from, this.to) + (verdict.delayMs ?? 0);
    const overtakes = frame.type === "message" && verdict.unordered === true;
    for (let copy = 0; copy < copies; copy += 1) {
      if (overtakes) this.#sendAside(frame, bytes, delayMs);
      else this.#sendInOrder(frame, bytes, delayMs);
    }
    return true;
  }

  /** The link is whole again: what was held leaves now. */
  resume(): void {
    const overdue = this.#overdue;
    this.#overdue = 0;
    for (let index = 0; index < overdue; index += 1) this.#schedule(0);
  }

  /** Forgets what is under way. */
  clear(): void {
    this.#queue.length = 0;
    this.#overdue = 0;
    this.queuedBytes = 0;
  }

  #sendInOrder(frame: Frame, bytes: number, delayMs: number): void {
    const nowMs = this.#clock.monotonicMs();
    this.#lastArrivalMs = Math.max(this.#lastArrivalMs, nowMs + delayMs);
    this.#queue.push({ frame, bytes });
    this.queuedBytes += bytes;
    this.#schedule(this.#lastArrivalMs - nowMs);
  }

  #sendAside(frame: Frame, bytes: number, delayMs: number): void {
    this.queuedBytes += bytes;
    this.#surroundings.arrive(this.#clock, delayMs, () => {
      this.queuedBytes = Math.max(0, this.queuedBytes - bytes);
      const lost = this.#surroundings.isCut(this.from, this.to);
      this.#surroundings.count(lost ? "dropped" : "delivered");
      if (!lost) this.#deliver(frame);
    });
  }

  #schedule(delayMs: number): void {
    this.#surroundings.arrive(this.#clock, delayMs, () => this.#arrived());
  }

  /** One frame's moment has come. Whichever it is, the first in the queue goes first. */
  #arrived(): void {
    if (this.#queue.length === 0) return;
    if (this.#surroundings.isCut(this.from, this.to)) {
      this.#overdue += 1;
      this.#surroundings.count("held");
      return;
    }
    const next = this.#queue.shift();
    if (next === undefined) return;
    this.queuedBytes -= next.bytes;
    this.#surroundings.count("delivered");
    this.#deliver(next.frame);
  }

  #passport(frame: Frame, bytes: number): FramePassport {
    return {
      from: this.from,
      to: this.to,
      channel: this.#channel,
      kind: kinds[frame.type],
      ...("protocol" in frame ? { protocol: frame.protocol.name } : {}),
      bytes,
    };
  }
}
