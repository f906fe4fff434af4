import type { Metrics, NodeId, Transport } from "@revoada/fabric";
import { encodeHostFrame, groupsProtocol, hostFrameBytes, maxFramesPerHostFrame } from "./host-frame.ts";

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

  flush(): void {
    if (this.#frames.size === 0) return;
    for (const [to, frames] of this.#frames) this.#sendAll(to, frames);
    this.#frames.clear();
  }

  #sendAll(to: NodeId, frames: readonly Uint8Array[]): void {
    let start = 0;
    let bytes = 0;
    for (let at = 0; at < frames.length; at += 1) {
      const { length } = frames[at] as Uint8Array;
      if (at > start && (bytes + length > hostFrameBytes || at - start >= maxFramesPerHostFrame)) {
        this.#send(to, frames.slice(start, at));
        start = at;
        bytes = 0;
      }
      bytes += length;
    }
    this.#send(to, start === 0 ? frames : frames.slice(start));
  }

  #send(to: NodeId, frames: readonly Uint8Array[]): void {
    const sent = this.#transport.send(to, groupsProtocol, encodeHostFrame(frames));
    this.#metrics.count(sent ? "revoada_raft_host_frames_total" : "revoada_raft_frames_unsent_total");
  }
}
