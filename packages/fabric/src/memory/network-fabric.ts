import type { NodeId } from "../ids.ts";
import type { Address, ProbeResult, TransportChannel } from "../seams/transport.ts";
import type { ConnectionEnd, EndOwner } from "./connection.ts";

/** A transport as its network sees it. */
export interface Station extends EndOwner {
  readonly isListening: boolean;
  admits(peer: NodeId, channel: TransportChannel): boolean;
  /** Ends without a word to those who listen there: the process is gone. */
  kill(): void;
}

/** What a dial came to. */
export type DialOutcome =
  | { readonly type: "connected"; readonly end: ConnectionEnd }
  | { readonly type: "refused" | "not-admitted" | "silence" }
  | { readonly type: "wrong-peer"; readonly found: NodeId };

/** The network as its transports see it. */
export interface NetworkFabric {
  readonly directory: boolean;
  register(transport: Station): void;
  unregister(transport: Station): void;
  /** Dials one address; `done` is called once, as input of the dialler's host, or never where the link is silent. */
  dial(
    from: Station,
    peer: NodeId,
    address: Address,
    channel: TransportChannel,
    done: (outcome: DialOutcome) => void,
  ): void;
  knock(from: Station, address: Address, done: (result: ProbeResult) => void): void;
}

/** The address under which a node can be dialled. */
export function memoryAddress(id: NodeId): Address {
  return `${id}.memory:7400`;
}
