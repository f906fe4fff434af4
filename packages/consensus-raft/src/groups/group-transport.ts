import type {
  Address,
  AdmissionPolicy,
  Duplex,
  NodeId,
  PeerStatistics,
  ProbeResult,
  Protocol,
  ProtocolHandler,
  Transport,
  TransportEvent,
} from "@revoada/fabric";
import { raftProtocol } from "../driver/outbox.ts";
import { hostProtocol } from "./host-frame.ts";

/** What a group's share of a transport goes through. */
export interface SharedTransport {
  readonly transport: Transport;
  /** Sends a frame of a group with those of the others. */
  post(to: NodeId, frame: Uint8Array): void;
  handle(protocol: Protocol, handler: ProtocolHandler): () => void;
}

/** One group's share of the transport of its host: its frames leave with those of others, and what is for it comes to it. */
export class GroupTransport implements Transport {
  readonly localId: NodeId;
  readonly #shared: SharedTransport;

  constructor(shared: SharedTransport) {
    this.#shared = shared;
    this.localId = shared.transport.localId;
  }

  send(peer: NodeId, protocol: Protocol, payload: Uint8Array): boolean {
    if (protocol.name !== raftProtocol.name) return this.#shared.transport.send(peer, hostProtocol(protocol), payload);
    this.#shared.post(peer, payload);
    return true;
  }

  request(
    peer: NodeId,
    protocol: Protocol,
    payload: Uint8Array,
    options?: { readonly signal?: AbortSignal; readonly timeoutMs?: number },
  ): Promise<Uint8Array> {
    return this.#shared.transport.request(peer, hostProtocol(protocol), payload, options);
  }

  handle(protocol: Protocol, handler: ProtocolHandler): () => void {
    return this.#shared.handle(protocol, handler);
  }

  open(peer: NodeId, protocol: Protocol, options?: { readonly signal?: AbortSignal }): Promise<Duplex> {
    return this.#shared.transport.open(peer, hostProtocol(protocol), options);
  }

  listening(): readonly Address[] {
    return this.#shared.transport.listening();
  }

  setAddresses(peer: NodeId, addresses: readonly Address[]): void {
    this.#shared.transport.setAddresses(peer, addresses);
  }

  redial(peer: NodeId): void {
    this.#shared.transport.redial(peer);
  }

  setAdmission(policy: AdmissionPolicy): void {
    this.#shared.transport.setAdmission(policy);
  }

  probe(peer: NodeId, options?: { readonly signal?: AbortSignal; readonly timeoutMs?: number }): Promise<ProbeResult> {
    return this.#shared.transport.probe(peer, options);
  }

  onEvent(listener: (event: TransportEvent) => void): () => void {
    return this.#shared.transport.onEvent(listener);
  }

  statistics(): readonly PeerStatistics[] {
    return this.#shared.transport.statistics();
  }

  /** The transport is its owner's, who also starts and ends it. */
  async start(): Promise<void> {}

  async shutdown(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {}
}
