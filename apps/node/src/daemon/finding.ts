import { dnsDiscovery, PeerFinder, staticSeeds } from "@revoada/discovery";
import {
  shortId,
  type Address,
  type Clock,
  type Discovery,
  type Logger,
  type Membership,
  type Metrics,
  type NodeId,
  type Random,
  type Transport,
} from "@revoada/fabric";
import { keyProbe } from "@revoada/transport-tls";
import type { NodeConfig } from "../config/config.ts";
import { defaultListen, defaultPort } from "../config/settings.ts";
import { advertisedAddresses } from "./addresses.ts";

export interface FindingOptions {
  readonly config: NodeConfig;
  /** The node's ed25519 seed. */
  readonly seed: Uint8Array;
  readonly transport: Transport;
  /** Where a node was before, or was written down to be. */
  readonly known: (id: NodeId) => readonly Address[];
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

/** Most addresses of one node that the transport is given. */
const maxAddresses = 16;
const mdnsSource = "mdns";
const dnsPrefix = "dns:";

/**
 * How a node finds the others: by what its configuration names, for as long as it runs.
 *
 * What is found only tells the transport where to knock. Nobody is believed to be who the hint says, and nobody is let in for it.
 */
export class Finding implements AsyncDisposable {
  readonly #options: FindingOptions;
  #config: NodeConfig;
  #finder: PeerFinder | undefined;
  #group: Uint8Array | undefined;
  /** Whom it is to look for, also while it has nothing to look with. */
  #wanted: Uint8Array | undefined;
  /** Switches one after the other. */
  #turn: Promise<void> = Promise.resolve();
  #isOver = false;
  #isKnown: (id: NodeId) => boolean = () => true;
  /** Whoever is known to be alive is not sought. */
  #isAlive: (id: NodeId) => boolean = () => false;
  #isRemoved: (id: NodeId) => boolean = () => false;

  constructor(options: FindingOptions) {
    this.#options = options;
    this.#config = options.config;
  }

  /** True where the configuration names anything to find others by. */
  get isLooking(): boolean {
    const { seeds = [], discover = [], libp2pListen, libp2pPeers = [] } = this.#config;
    return seeds.length + discover.length + libp2pPeers.length > 0 || libp2pListen !== undefined;
  }

  /**
   * Looks for those who know the same 32 bytes: the cluster's id or, before there is one, what those who found it have in common.
   * Goes on where it already does. Rejects with what can never work.
   */
  meet(group: Uint8Array): Promise<void> {
    const turn = this.#turn.then(() => this.#meet(group));
    this.#turn = turn.catch(() => {});
    return turn;
  }

  /** Looks by what these settings name from now on. Rejects with what can never work, and goes on as before then. */
  reconfigure(config: NodeConfig): Promise<void> {
    const turn = this.#turn.then(async () => {
      const before = this.#config;
      try {
        await this.#beginAnew(config);
      } catch (error) {
        await this.#beginAnew(before);
        throw error;
      }
    });
    this.#turn = turn.catch(() => {});
    return turn;
  }

  async #beginAnew(config: NodeConfig): Promise<void> {
    this.#config = config;
    this.#group = undefined;
    await this.#finder?.shutdown();
    this.#finder = undefined;
    if (this.#wanted !== undefined) await this.#meet(this.#wanted);
  }

  /** Where a node may be: what was found before what is known. */
  addressesOf(id: NodeId): readonly Address[] {
    const found = this.#finder?.addressesOf(id) ?? [];
    return [...new Set([...found, ...this.#options.known(id)])].slice(0, maxAddresses);
  }

  /** From now on these are looked for: before there is a membership, those who found a cluster or let somebody in. */
  seek(isKnown: (id: NodeId) => boolean): void {
    this.#isKnown = isKnown;
  }

  /** From now on those are looked for who belong here and are not known to be alive. */
  follow(membership: Pick<Membership, "view">, isKnown: (id: NodeId) => boolean): void {
    this.#isKnown = isKnown;
    this.#isAlive = (id) => membership.view().members.get(id)?.status === "alive";
    for (const id of this.#finder?.found() ?? []) this.#found(id);
  }

  /** Those are not met again who were removed. */
  shun(isRemoved: (id: NodeId) => boolean): void {
    this.#isRemoved = isRemoved;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    await this.#turn;
    await this.#finder?.shutdown();
  }

  async #meet(group: Uint8Array): Promise<void> {
    this.#wanted = group;
    if (!this.isLooking || this.#isOver) return;
    if (this.#group !== undefined && Buffer.compare(this.#group, group) === 0) return;
    await this.#finder?.shutdown();
    this.#finder = undefined;
    const { clock, random, logger, metrics, seed, transport } = this.#options;
    const finder = new PeerFinder({
      self: transport.localId,
      sources: await this.#sources(group),
      identify: keyProbe({ privateKey: seed, clock, random }),
      onFound: (id) => this.#found(id),
      clock,
      random,
      logger,
      metrics,
    });
    this.#finder = finder;
    await finder.start();
    this.#group = group;
  }

  #found(id: NodeId): void {
    if (!this.#isKnown(id) || this.#isAlive(id) || this.#isRemoved(id)) return;
    this.#options.transport.setAddresses(id, this.addressesOf(id));
  }

  async #sources(group: Uint8Array): Promise<readonly Discovery[]> {
    const { clock, random, logger, metrics } = this.#options;
    const { seeds = [], discover = [] } = this.#config;
    const sources: Discovery[] = [];
    if (seeds.length > 0) sources.push(staticSeeds({ seeds, clock, random, logger, metrics }));
    for (const source of discover) {
      if (!source.startsWith(dnsPrefix)) continue;
      const name = source.slice(dnsPrefix.length);
      sources.push(dnsDiscovery({ name, defaultPort, clock, random, logger, metrics }));
    }
    const libp2p = await this.#libp2p(group);
    return libp2p === undefined ? sources : [...sources, libp2p];
  }

  /** Only who asks for it has libp2p loaded: it is the larger part of what a node is made of. */
  async #libp2p(group: Uint8Array): Promise<Discovery | undefined> {
    const { seed, transport, clock, random, logger, metrics } = this.#options;
    const { discover = [], libp2pListen, libp2pPeers = [], listen = defaultListen, advertise } = this.#config;
    const mdns = discover.includes(mdnsSource);
    const dht = libp2pListen !== undefined || libp2pPeers.length > 0;
    if (!mdns && !dht) return undefined;
    const { libp2pDiscovery } = await import("@revoada/discovery-libp2p");
    const own = libp2pListen ?? listen.replace(/:\d+$/, ":0");
    if (mdns && /^(?:127\.|localhost:|\[::1\]:)/.test(own))
      logger.warn("mDNS tells others of an address that only this host reaches: see --listen", { listen: own });
    return libp2pDiscovery({
      privateKey: seed,
      group,
      listen: [own],
      peers: libp2pPeers,
      mdns,
      dht,
      addresses: () => advertisedAddresses(advertise, transport.listening()),
      isKnown: (id) => this.#isKnown(id),
      isWelcome: (id) => !this.#isRemoved(id) || this.#refuse(id),
      clock,
      random,
      logger,
      metrics,
    });
  }

  #refuse(id: NodeId): false {
    this.#options.logger.debug("a removed node asked where others are", { node: shortId(id) });
    return false;
  }
}
