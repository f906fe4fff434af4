import type { Metrics, NodeId, Transport } from "@revoada/fabric";
import {
  encodeHostFrame,
  groupsProtocol,
  hostFrameBytes,
  maxFramesPerHostFrame,
  type HostFrame,
  type HostWord,
} from "./host-frame.ts";

/** What hosts say for themselves. */
export interface Words {
  /** Peers that must be sent a word now. */
  due(): readonly NodeId[];
  wordFor(to: NodeId): HostWord | undefined;
}

/** Collects what groups have to say in one turn and sends each peer as few frames as possible. */
export class HostOutbox {
  readonly #transport: Transport;
  readonly #metrics: Metrics;
  readonly #frames = new Map<NodeId, Uint8Array[]>();

  constructor(transport: Transport, metrics: Metrics) {
    this.#transport = transport;
    this.#metrics = metrics;
  }

  add(to: NodeId, frame: Uint8Array): void {
    const waiting = this.#frames.get(to);
    if (waiting === undefined) this.#frames.set(to, [frame]);
    else waiting.push(frame);
  }

  flush(words: Words): void {
    for (const to of words.due()) if (!this.#frames.has(to)) this.#frames.set(to, []);
    if (this.#frames.size === 0) return;
    for (const [to, frames] of this.#frames) this.#sendAll(to, frames, words.wordFor(to));
    this.#frames.clear();
  }

  #sendAll(to: NodeId, frames: readonly Uint8Array[], word: HostWord | undefined): void {
    if (frames.length === 0 && word === undefined) return;
    let start = 0;
    let bytes = 0;
    for (let at = 0; at < frames.length; at += 1) {
      const { length } = frames[at] as Uint8Array;
      if (at > start && (bytes + length > hostFrameBytes || at - start >= maxFramesPerHostFrame)) {
        this.#send(to, { frames: frames.slice(start, at), word: undefined });
        start = at;
        bytes = 0;
      }
      bytes += length;
    }
    // Behind what the groups have said: whom they follow is known then.
    this.#send(to, { frames: start === 0 ? frames : frames.slice(start), word });
  }

  #send(to: NodeId, frame: HostFrame): void {
    const sent = this.#transport.send(to, groupsProtocol, encodeHostFrame(frame));
    this.#metrics.count(sent ? "revoada_raft_host_frames_total" : "revoada_raft_frames_unsent_total");
  }
}
