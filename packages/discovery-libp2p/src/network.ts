import { identify, type Identify } from "@libp2p/identify";
import type { Ed25519PrivateKey, Libp2p, PeerId, PeerInfo, ServiceMap } from "@libp2p/interface";
import { kadDHT, passthroughMapper, type KadDHT } from "@libp2p/kad-dht";
import { noise } from "@libp2p/noise";
import { ping, type Ping } from "@libp2p/ping";
import { preSharedKey } from "@libp2p/pnet";
import { tcp } from "@libp2p/tcp";
import { yamux } from "@libp2p/yamux";
import type { NodeId } from "@revoada/fabric";
import { createLibp2p } from "libp2p";
import { BoundedDatastore } from "./bounded-datastore.ts";
import type { Rendezvous } from "./core/rendezvous.ts";
import { nodeIdOf } from "./keys.ts";
import { Lan, type LanComponents } from "./lan.ts";
import type { MdnsOptions } from "./options.ts";

/** What a network is made of, understood. */
export interface NetworkOptions {
  readonly privateKey: Ed25519PrivateKey;
  readonly rendezvous: Rendezvous;
  /** Multiaddrs. */
  readonly listen: readonly string[];
  readonly mdns: MdnsOptions | undefined;
  readonly dht: boolean;
  /** Multiaddrs that may hold a name: those that were given. */
  readonly peers: readonly string[];
  readonly isWelcome: (id: NodeId) => boolean;
  /** Called for each announcement on the LAN. */
  readonly onAnnounced: (peer: PeerInfo) => void;
}

const maxConnections = 128;
const maxRecords = 16_384;

/** What libp2p runs here. */
interface Services extends ServiceMap {
  readonly identify: Identify;
  readonly ping: Ping;
  readonly dht?: KadDHT;
  readonly lan?: Lan;
}

/** All of these are needed where everybody is on a LAN: a prefix of its own, server mode, and addresses left as they are. */
function privateDht(): ReturnType<typeof kadDHT> {
  return kadDHT({
    protocol: "/revoada/kad/1",
    clientMode: false,
    peerInfoMapper: passthroughMapper,
    routingTableUpdateMaxQueueSize: 1024,
    reprovide: { maxQueueSize: 64 },
  });
}

/** True for an IP and a TCP port, whoever is there. */
export function isPlain(address: string): boolean {
  return /^\/ip[46]\/[0-9a-fA-F:.]+\/tcp\/\d+(?:\/p2p\/\w+)?$/.test(address);
}

/** The file format of pre-shared keys, which is all that pnet takes. */
function swarmKey(key: Uint8Array): Uint8Array {
  const text = `/key/swarm/psk/1.0.0/\n/base16/\n${Buffer.from(key).toString("hex")}`;
  return new TextEncoder().encode(text);
}

/** A libp2p under the node's key, in the private network of its group, that was not started. */
export function createNetwork(options: NetworkOptions): Promise<Libp2p> {
  const { privateKey, rendezvous, listen, peers, mdns, dht, onAnnounced } = options;
  const deny = (peer: PeerId): boolean => {
    const id = nodeIdOf(peer);
    return id === undefined || !options.isWelcome(id);
  };
  return createLibp2p<Services>({
    start: false,
    privateKey,
    nodeInfo: { name: "revoada", version: "1" },
    addresses: { listen: [...listen] },
    datastore: new BoundedDatastore(maxRecords),
    transports: [tcp()],
    connectionProtector: preSharedKey({ psk: swarmKey(rendezvous.networkKey) }),
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionGater: {
      // A name that a stranger has chosen would be looked up in the DNS, and the threads for that are few.
      denyDialMultiaddr: (address) => !isPlain(address.toString()) && !peers.includes(address.toString()),
      denyDialPeer: deny,
      denyInboundEncryptedConnection: deny,
      denyOutboundEncryptedConnection: deny,
    },
    connectionManager: {
      maxConnections,
      maxParallelDials: 32,
      maxDialQueueLength: 128,
      maxPeerAddrsToDial: 8,
      dialTimeout: 5_000,
      addressDialTimeout: 2_000,
      inboundUpgradeTimeout: 5_000,
      inboundConnectionThreshold: 32,
      maxIncomingPendingConnections: 32,
      reconnectRetries: 0,
    },
    // It takes a stalled event loop for a broken link; dead links are found by asking.
    connectionMonitor: { enabled: false },
    services: {
      identify: identify({ protocolPrefix: "revoada" }),
      ping: ping({ protocolPrefix: "revoada" }),
      ...(dht ? { dht: privateDht() } : {}),
      ...(mdns === undefined
        ? {}
        : { lan: (components: LanComponents) => new Lan(components, rendezvous.serviceTag, mdns, onAnnounced) }),
    },
  });
}
