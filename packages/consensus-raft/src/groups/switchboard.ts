import type { Metrics, NodeId, PeerContext, Protocol, ProtocolHandler, Transport } from "@revoada/fabric";
import { RaftBadFrameError, RaftUnknownGroupError } from "../errors.ts";
import { raftProtocol } from "../driver/outbox.ts";
import { decodeHostFrame, groupKey, groupOf, groupsProtocol, hostProtocol, type HostWord } from "./host-frame.ts";

interface Line {
  readonly protocol: Protocol;
  readonly handlers: Map<string, ProtocolHandler>;
  readonly withdraw: () => void;
}

/** What a switchboard needs of its host. */
export interface SwitchboardOwner {
  /** Runs the work of one frame. */
  together(work: () => void): void;
  heardFrom(peer: NodeId): void;
  /** Takes what a host says for itself. */
  take(peer: NodeId, word: HostWord): void;
}

/** One set of protocols on a transport for all groups of a host; whose a frame is stands in the frame. */
export class Switchboard {
  readonly #transport: Transport;
  readonly #metrics: Metrics;
  readonly #owner: SwitchboardOwner;
  readonly #lines = new Map<string, Line>();
  readonly #receivers = new Map<string, ProtocolHandler>();
  readonly #withdraw: () => void;

  constructor(transport: Transport, metrics: Metrics, owner: SwitchboardOwner) {
    this.#transport = transport;
    this.#metrics = metrics;
    this.#owner = owner;
    this.#withdraw = transport.handle(groupsProtocol, {
      onMessage: (payload, context) => owner.together(() => this.#receive(payload, context)),
    });
  }

  /** Offers a protocol for one group, until the returned function is called. */
  handle(key: string, protocol: Protocol, handler: ProtocolHandler): () => void {
    const handlers = protocol.name === raftProtocol.name ? this.#receivers : this.#lineOf(protocol).handlers;
    handlers.set(key, handler);
    return () => {
      if (handlers.get(key) === handler) handlers.delete(key);
    };
  }

  stop(): void {
    this.#withdraw();
    for (const line of this.#lines.values()) line.withdraw();
    this.#lines.clear();
    this.#receivers.clear();
  }

  #lineOf(protocol: Protocol): Line {
    const known = this.#lines.get(protocol.name);
    if (known !== undefined) return known;
    const handlers = new Map<string, ProtocolHandler>();
    const withdraw = this.#transport.handle(hostProtocol(protocol), {
      onRequest: async (payload, context) => this.#answer(handlers, payload, { ...context, protocol }),
    });
    const line = { protocol, handlers, withdraw };
    this.#lines.set(protocol.name, line);
    return line;
  }

  #answer(
    handlers: ReadonlyMap<string, ProtocolHandler>,
    payload: Uint8Array,
    context: PeerContext,
  ): Promise<Uint8Array> {
    const key = groupKey(groupOf(payload));
    const handler = handlers.get(key)?.onRequest;
    // Nothing was done: whoever asked may ask elsewhere, or again once the group is here.
    if (handler === undefined) {
      this.#drop("group");
      throw new RaftUnknownGroupError(key);
    }
    return handler(payload, context);
  }

  #receive(payload: Uint8Array, context: PeerContext): void {
    let frame;
    try {
      frame = decodeHostFrame(payload);
    } catch {
      return this.#drop("malformed");
    }
    const own = { ...context, protocol: raftProtocol };
    this.#owner.heardFrom(context.peer);
    for (const each of frame.frames) this.#deliver(each, own);
    if (frame.word !== undefined) this.#owner.take(context.peer, frame.word);
  }

  #deliver(frame: Uint8Array, context: PeerContext): void {
    let key;
    try {
      key = groupKey(groupOf(frame));
    } catch (error) {
      if (!(error instanceof RaftBadFrameError)) throw error;
      return this.#drop("malformed");
    }
    const handler = this.#receivers.get(key)?.onMessage;
    // A group that was removed here, or is not here yet: to its peers it is silent, which they know how to deal with.
    if (handler === undefined) return this.#drop("group");
    handler(frame, context);
  }

  #drop(reason: string): void {
    this.#metrics.count("revoada_raft_frames_dropped_total", 1, { reason });
  }
}
