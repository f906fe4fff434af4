import type { Metrics, NodeId, Protocol, StoreId, Transport } from "@revoada/fabric";
import type { Message } from "../core/types.ts";
import { EntriesEncoder } from "../wire/entries.ts";
import { encodeMessages, maxMessagesPerFrame } from "../wire/messages.ts";

/** Raft's own messages: one way, in order, with gaps. */
export const raftProtocol: Protocol = { name: "/revoada/raft/1", channel: "consensus" };

/** A frame is closed once it carries this much; a heartbeat behind it need not wait for more. */
const frameBytes = 1024 * 1024;

/** Collects the messages of one turn and sends each peer as few frames as possible. */
export class Outbox {
  readonly #transport: Transport;
  readonly #groupId: Uint8Array;
  readonly #storeId: StoreId;
  readonly #metrics: Metrics;
  readonly #encoder = new EntriesEncoder();
  readonly #messages = new Map<NodeId, Message[]>();

  constructor(transport: Transport, groupId: Uint8Array, storeId: StoreId, metrics: Metrics) {
    this.#transport = transport;
    this.#groupId = groupId;
    this.#storeId = storeId;
    this.#metrics = metrics;
  }

  add(message: Message): void {
    const waiting = this.#messages.get(message.to);
    if (waiting === undefined) this.#messages.set(message.to, [message]);
    else waiting.push(message);
  }

  flush(): void {
    if (this.#messages.size === 0) return;
    for (const [to, messages] of this.#messages) this.#sendAll(to, messages);
    this.#messages.clear();
  }

  #sendAll(to: NodeId, messages: readonly Message[]): void {
    let start = 0;
    let bytes = 0;
    for (let at = 0; at < messages.length; at += 1) {
      const message = messages[at] as Message;
      const otherStore = message.toStore !== (messages[start] as Message).toStore;
      if (at > start && (otherStore || bytes >= frameBytes || at - start >= maxMessagesPerFrame)) {
        this.#send(to, messages.slice(start, at));
        start = at;
        bytes = 0;
      }
      if (message.type === "append") for (const entry of message.entries) bytes += entry.payload.length;
    }
    this.#send(to, start === 0 ? messages : messages.slice(start));
  }

  #send(to: NodeId, messages: readonly Message[]): void {
    const { toStore } = messages[0] as Message;
    const frame = encodeMessages(this.#groupId, this.#storeId, toStore, messages, this.#encoder);
    if (!this.#transport.send(to, raftProtocol, frame)) this.#metrics.count("revoada_raft_frames_unsent_total");
  }
}
