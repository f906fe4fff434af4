/**
 * Finds the nodes of a cluster by mDNS and by a private Kademlia DHT, over libp2p under the nodes' own keys.
 *
 * {@link libp2pDiscovery} implements the `Discovery` of `@revoada/fabric`. Its libp2p carries nothing but the question where others
 * are: whoever is found is dialled over the node's own transport, and proves its key there.
 *
 * @packageDocumentation
 */
export { DiscoveryListenError, DiscoveryOptionsError } from "./errors.ts";
export { libp2pDiscovery, type Libp2pDiscovery } from "./libp2p-discovery.ts";
export type { Libp2pDiscoveryOptions, MdnsOptions } from "./options.ts";
