import type { PeerDiscovery, PeerInfo, Startable } from "@libp2p/interface";
import { mdns } from "@libp2p/mdns";
import type { MdnsOptions } from "./options.ts";

/** What mDNS needs of libp2p. */
export type LanComponents = Parameters<ReturnType<typeof mdns>>[0];

/**
 * mDNS beside libp2p rather than in it: what libp2p discovers by itself it keeps and dials, and on a LAN anybody can announce any
 * number of peers. Here each announcement is given to `onPeer`, which decides.
 */
export class Lan implements Startable {
  readonly #discovery: PeerDiscovery & Partial<Startable>;

  constructor(components: LanComponents, serviceTag: string, options: MdnsOptions, onPeer: (peer: PeerInfo) => void) {
    const { intervalMs, port } = options;
    this.#discovery = mdns({
      serviceTag,
      ...(intervalMs === undefined ? {} : { interval: intervalMs }),
      ...(port === undefined ? {} : { port }),
    })(components);
    this.#discovery.addEventListener("peer", ({ detail }) => onPeer(detail));
  }

  async start(): Promise<void> {
    await this.#discovery.start?.();
  }

  async stop(): Promise<void> {
    await this.#discovery.stop?.();
  }
}
