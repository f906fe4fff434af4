import type { Address, Clock, Logger, Metrics, NodeId, Random } from "@revoada/fabric";

export interface Libp2pDiscoveryOptions {
  /** The node's ed25519 seed, 32 bytes: the PeerId follows from the NodeId. */
  readonly privateKey: Uint8Array;
  /**
   * 32 bytes that the nodes to be found, and those who were invited, know: the cluster id. Others learn nothing of it and cannot
   * take part.
   */
  readonly group: Uint8Array;
  /** Where libp2p listens: `host:port` or multiaddrs over TCP. Port 0 is any. */
  readonly listen: readonly string[];
  /** Others' libp2p, to begin with: `host:port` or multiaddrs. Dialled again for as long as they are not connected. */
  readonly peers?: readonly string[];
  /** Looks for others on the local network, and answers those who do. Off unless told. */
  readonly mdns?: boolean | MdnsOptions;
  /** Looks for others in the DHT, which is made of the nodes themselves. On unless told. */
  readonly dht?: boolean;
  /** Where others are to connect to this node's transport. Asked again each time. */
  readonly addresses: () => readonly Address[];
  /** Who may take part, of those who know the group. Everybody unless given; those who were removed should not. */
  readonly isWelcome?: (id: NodeId) => boolean;
  /** Who is known to belong to the group. They are dialled before strangers, of whom anybody can announce any number. */
  readonly isKnown?: (id: NodeId) => boolean;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
}

export interface MdnsOptions {
  /** Between two questions to the network (10,000 unless told). */
  readonly intervalMs?: number;
  /** 5353 unless told. */
  readonly port?: number;
}
