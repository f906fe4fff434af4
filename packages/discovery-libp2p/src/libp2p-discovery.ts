import type { Connection, Ed25519PrivateKey, Libp2p, PeerId, PeerInfo, Stream } from "@libp2p/interface";
import { multiaddr, type Multiaddr } from "@multiformats/multiaddr";
import {
  HintFeed,
  shortId,
  silentLogger,
  silentMetrics,
  type AddressHint,
  type Discovery,
  type Logger,
  type Metrics,
} from "@revoada/fabric";
import { CID } from "multiformats/cid";
import { create as createDigest } from "multiformats/hashes/digest";
import { multiaddrOf } from "./core/endpoint.ts";
import { groupLength, rendezvousOf, type Rendezvous } from "./core/rendezvous.ts";
import type { Whereabouts } from "./core/whereabouts.ts";
import { DiscoveryListenError, DiscoveryOptionsError } from "./errors.ts";
import { Exchange, whereaboutsProtocol } from "./exchange.ts";
import { nodeIdOf, privateKeyOf } from "./keys.ts";
import { createNetwork, isPlain } from "./network.ts";
import type { Libp2pDiscoveryOptions } from "./options.ts";

/** A `Discovery` whose libp2p can be told to others. */
export interface Libp2pDiscovery extends Discovery {
  /** Multiaddrs under which this libp2p listens, with real ports and its PeerId. Empty before the start. */
  listening(): readonly string[];
}

/** Multihash code of SHA-256 and multicodec of raw bytes. */
const [sha256Code, rawCode] = [0x12, 0x55];

/** How often is looked for others: while nobody is connected or somebody has not said where it is, and otherwise. */
const [aloneMs, everyMs, jitter] = [2_000, 15_000, 0.25];
/** How long what a peer said of itself is not asked again. */
const freshMs = 30_000;
/** How long a conversation, a dial and a look-up in the DHT may take. */
const [exchangeMs, dialMs, lookUpMs] = [3_000, 5_000, 10_000];
/** How often a node says in the DHT that it belongs to its group, unless it meets somebody new. */
const provideMs = 10 * 60_000;
/** With so many connected nobody else is dialled; one is let go at each look, so that all come round. */
const enoughPeers = 32;
/** Dials under way of those who are known to belong here, and of strangers. */
const [maxKnownDials, maxStrangerDials] = [16, 4];
const maxPeers = 64;
const maxProviders = 64;
/** Whoever announced itself and could not be dialled is not dialled again before this. */
const redialMs = 5_000;
const maxRemembered = 1024;

type Source = "mdns" | "dht" | "libp2p";

/**
 * Finds others by mDNS and in a DHT that is made of the nodes themselves.
 *
 * Every connection is encrypted under a key that follows from `group`, then by noise under the nodes' keys. Nodes that are connected
 * tell each other where their transports are, signed. Throws `DISCOVERY_INVALID_OPTIONS`; `start` rejects with
 * `DISCOVERY_LISTEN_FAILED`.
 *
 * @example
 * ```ts
 * const discovery = libp2pDiscovery({
 *   privateKey: seed,
 *   group: Buffer.from(clusterId, "hex"),
 *   listen: ["0.0.0.0:7401"],
 *   mdns: true,
 *   addresses: () => transport.listening(),
 *   clock,
 *   random,
 * });
 * ```
 */
export function libp2pDiscovery(options: Libp2pDiscoveryOptions): Libp2pDiscovery {
  if (options.group.length !== groupLength)
    throw new DiscoveryOptionsError("group", options.group, `${groupLength} bytes`);
  if (options.listen.length === 0) throw new DiscoveryOptionsError("listen", options.listen, "an address at least");
  if ((options.peers?.length ?? 0) > maxPeers)
    throw new DiscoveryOptionsError("peers", options.peers, `at most ${maxPeers}`);
  return new Libp2pSource(options, {
    listen: options.listen.map((address) => multiaddrOf("listen", address)),
    peers: (options.peers ?? []).map((address) => multiaddr(multiaddrOf("peers", address))),
  });
}

class Libp2pSource implements Libp2pDiscovery {
  readonly name = "libp2p";
  readonly #options: Libp2pDiscoveryOptions;
  readonly #places: { readonly listen: readonly string[]; readonly peers: readonly Multiaddr[] };
  readonly #rendezvous: Rendezvous;
  readonly #cid: CID;
  readonly #logger: Logger;
  readonly #metrics: Metrics;
  readonly #feed = new HintFeed();
  readonly #abort = new AbortController();
  /** When a peer said last where it is, and when it was dialled last; by PeerId. */
  readonly #heardMs = new Map<string, number>();
  readonly #dialledMs = new Map<string, number>();
  /** How somebody was found who was dialled. */
  readonly #sources = new Map<string, Source>();
  /** Who answered at the addresses that were given to begin with. */
  readonly #begun = new Map<Multiaddr, PeerId>();
  readonly #unreached = new Set<Multiaddr>();
  readonly #asking = new Set<string>();
  readonly #running = new Set<Promise<unknown>>();
  #network: Libp2p | undefined;
  #exchange: Exchange | undefined;
  #starting: Promise<void> | undefined;
  readonly #dialling = { known: 0, strangers: 0 };
  #providedMs = Number.NEGATIVE_INFINITY;
  #providedTo = 0;
  #cancel = (): void => {};

  constructor(
    options: Libp2pDiscoveryOptions,
    places: { readonly listen: readonly string[]; readonly peers: readonly Multiaddr[] },
  ) {
    this.#options = options;
    this.#places = places;
    this.#rendezvous = rendezvousOf(options.group);
    this.#cid = CID.createV1(rawCode, createDigest(sha256Code, this.#rendezvous.providerDigest));
    this.#logger = (options.logger ?? silentLogger).child({ layer: "discovery", source: "libp2p" });
    this.#metrics = options.metrics ?? silentMetrics;
  }

  listening(): readonly string[] {
    return this.#network?.getMultiaddrs().map(String) ?? [];
  }

  start(): Promise<void> {
    this.#starting ??= this.#start();
    return this.#starting;
  }

  hints(options: { readonly signal: AbortSignal }): AsyncIterable<AddressHint> {
    return this.#feed.hints(options);
  }

  async shutdown(): Promise<void> {
    this.#abort.abort();
    this.#cancel();
    await this.#starting?.catch(() => {});
    await Promise.allSettled(this.#running);
    await this.#network?.stop();
    this.#feed.end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }

  async #start(): Promise<void> {
    if (this.#abort.signal.aborted) return;
    const privateKey = await privateKeyOf(this.#options.privateKey);
    const network = await this.#createNetwork(privateKey);
    this.#exchange = new Exchange(privateKey, this.#rendezvous.context, this.#options.addresses);
    await network.handle(whereaboutsProtocol, (stream, connection) => this.#track(this.#answer(stream, connection)), {
      maxInboundStreams: 4,
      maxOutboundStreams: 4,
    });
    network.addEventListener("connection:open", ({ detail }) => {
      // One of the two asks, and both are told.
      if (detail.direction === "outbound") void this.#track(this.#ask(detail));
    });
    try {
      await network.start();
    } catch (error) {
      throw new DiscoveryListenError(this.#options.listen, error);
    }
    this.#network = network;
    this.#logger.info("looking for others", { listening: this.listening() });
    this.#lookNow();
  }

  #createNetwork(privateKey: Ed25519PrivateKey): Promise<Libp2p> {
    const { mdns = false, dht = true, isWelcome = () => true } = this.#options;
    return createNetwork({
      privateKey,
      rendezvous: this.#rendezvous,
      listen: this.#places.listen,
      peers: this.#places.peers.map(String),
      mdns: mdns === true ? {} : mdns === false ? undefined : mdns,
      dht,
      isWelcome,
      onAnnounced: (peer) => this.#announced(peer),
    });
  }

  #track(work: Promise<unknown>): Promise<void> {
    const tracked = work
      .catch((error: unknown) => this.#logger.debug("something failed", { error: String(error) }))
      .finally(() => this.#running.delete(tracked));
    this.#running.add(tracked);
    return tracked.then(() => undefined);
  }

  #deadline(ms: number): AbortSignal {
    return AbortSignal.any([this.#abort.signal, AbortSignal.timeout(ms)]);
  }

  // --- looking ----------------------------------------------------------------------------------------------------------

  #lookNow(): void {
    void this.#track(
      this.#look().finally(() => {
        const { clock, random } = this.#options;
        if (this.#abort.signal.aborted) return;
        const connections = this.#network?.getConnections() ?? [];
        const isAtHome = connections.length > 0 && connections.every(({ remotePeer }) => this.#isFresh(remotePeer));
        const base = isAtHome ? everyMs : aloneMs;
        this.#cancel = clock.schedule(base * (1 - jitter + 2 * jitter * random.float()), () => this.#lookNow());
      }),
    );
  }

  async #look(): Promise<void> {
    const network = this.#network;
    if (network === undefined || this.#abort.signal.aborted) return;
    await Promise.all(this.#places.peers.map((address) => this.#begin(network, address)));
    this.#tidy(network);
    const stale = network.getConnections().filter((connection) => !this.#isFresh(connection.remotePeer));
    await Promise.all(stale.map((connection) => this.#ask(connection)));
    if (this.#options.dht !== false && network.getConnections().length > 0) await this.#lookUp(network);
    this.#metrics.gauge("revoada_discovery_libp2p_connections", network.getConnections().length);
  }

  /** One of those to begin with, where it is not connected. */
  async #begin(network: Libp2p, address: Multiaddr): Promise<void> {
    const known = this.#begun.get(address);
    if (known !== undefined && network.getConnections(known).length > 0) return;
    // One list may be given to all of them, and then this node is in it too.
    if (network.getMultiaddrs().some((own) => own.toString().startsWith(`${withoutPeer(address)}/p2p/`))) return;
    try {
      const connection = await network.dial(address, { signal: this.#deadline(dialMs) });
      this.#begun.set(address, connection.remotePeer);
      this.#unreached.delete(address);
    } catch (error) {
      this.#complain(address, error);
    }
  }

  /** Said once aloud; with every further attempt there may be another reason. */
  #complain(address: Multiaddr, error: unknown): void {
    if (this.#abort.signal.aborted) return;
    this.#metrics.count("revoada_discovery_failures_total", 1, { source: "libp2p" });
    this.#logger[this.#unreached.has(address) ? "debug" : "warn"]("a peer was not reached, it is tried again", {
      address: address.toString(),
      reason: error instanceof Error ? error.message : String(error),
    });
    this.#unreached.add(address);
  }

  /** Lets one go where there are enough: those who are found must be able to come in. */
  #tidy(network: Libp2p): void {
    const connections = network.getConnections();
    if (connections.length < enoughPeers) return;
    const chosen = connections[this.#options.random.uint32() % connections.length];
    if (chosen !== undefined) void this.#track(chosen.close({ signal: this.#deadline(exchangeMs) }));
  }

  /** Says in the DHT that this node is one of the group, and asks who else is. */
  async #lookUp(network: Libp2p): Promise<void> {
    const nowMs = this.#options.clock.monotonicMs();
    const peers = network.getPeers().length;
    try {
      if (peers > this.#providedTo || nowMs - this.#providedMs >= provideMs) {
        await network.contentRouting.provide(this.#cid, { signal: this.#deadline(lookUpMs) });
        [this.#providedMs, this.#providedTo] = [nowMs, peers];
      }
      let count = 0;
      for await (const { id, multiaddrs } of network.contentRouting.findProviders(this.#cid, {
        signal: this.#deadline(lookUpMs),
      })) {
        count += 1;
        if (count > maxProviders) break;
        this.#meet({ id, multiaddrs: [...multiaddrs] }, "dht");
      }
    } catch (error) {
      this.#logger.debug("the DHT did not answer", { error: String(error) });
    }
  }

  #announced(peer: PeerInfo): void {
    this.#metrics.count("revoada_discovery_announcements_total");
    this.#meet(peer, "mdns");
  }

  /** Somebody may be there. Bounded: whoever announces a thousand peers has a few of them dialled. */
  #meet({ id, multiaddrs }: PeerInfo, source: Source): void {
    const network = this.#network;
    const key = id.toString();
    if (network === undefined || this.#abort.signal.aborted || id.equals(network.peerId)) return;
    const node = nodeIdOf(id);
    if (node === undefined || network.getConnections(id).length > 0) return;
    const nowMs = this.#options.clock.monotonicMs();
    if (nowMs - (this.#dialledMs.get(key) ?? Number.NEGATIVE_INFINITY) < redialMs) return;
    const plain = multiaddrs.filter((address) => isPlain(address.toString())).slice(0, 8);
    const isKnown = node !== undefined && this.#options.isKnown?.(node) === true;
    const kind = isKnown ? "known" : "strangers";
    const isCrowded = this.#dialling[kind] >= (isKnown ? maxKnownDials : maxStrangerDials);
    if (plain.length === 0 || isCrowded || network.getConnections().length >= enoughPeers) return;
    remember(this.#dialledMs, key, nowMs);
    remember(this.#sources, key, source);
    this.#dialling[kind] += 1;
    void this.#track(
      this.#dial(network, id, plain).finally(() => {
        this.#dialling[kind] -= 1;
      }),
    );
  }

  async #dial(network: Libp2p, id: PeerId, addresses: readonly Multiaddr[]): Promise<void> {
    const whole = addresses.map((address) =>
      address.toString().includes("/p2p/") ? address : address.encapsulate(`/p2p/${id.toString()}`),
    );
    // What came in an announcement counts before what was known: the node may have moved.
    await network.dial(whole, { signal: this.#deadline(dialMs) });
  }

  // --- telling each other -----------------------------------------------------------------------------------------------

  #isFresh(peer: PeerId): boolean {
    const heardMs = this.#heardMs.get(peer.toString());
    return heardMs !== undefined && this.#options.clock.monotonicMs() - heardMs < freshMs;
  }

  /** A connection over which nobody answers is let go: to the kernel it may look alive for hours. */
  async #ask(connection: Connection): Promise<void> {
    const exchange = this.#exchange;
    const key = connection.remotePeer.toString();
    if (exchange === undefined || this.#asking.has(key)) return;
    this.#asking.add(key);
    try {
      this.#heard(connection, await exchange.ask(connection, this.#deadline(exchangeMs)));
    } catch (error) {
      if (this.#abort.signal.aborted) return;
      this.#logger.debug("a peer did not say where it is", { error: String(error) });
      connection.abort(error instanceof Error ? error : new Error(String(error)));
    } finally {
      this.#asking.delete(key);
    }
  }

  async #answer(stream: Stream, connection: Connection): Promise<void> {
    const exchange = this.#exchange;
    if (exchange === undefined) return;
    this.#heard(connection, await exchange.answer(stream, connection, this.#deadline(exchangeMs)));
  }

  #heard(connection: Connection, { id, addresses }: Whereabouts): void {
    const key = connection.remotePeer.toString();
    // Whoever listens nowhere yet is asked again at the next look.
    if (addresses.length === 0) return;
    remember(this.#heardMs, key, this.#options.clock.monotonicMs());
    const source = connection.direction === "outbound" ? (this.#sources.get(key) ?? "libp2p") : "libp2p";
    this.#logger.debug("a peer said where it is", { node: shortId(id), addresses });
    this.#feed.offer({ source, id, addresses });
  }
}

function withoutPeer(address: Multiaddr): string {
  return address.toString().replace(/\/p2p\/.*$/, "");
}

/** What was put in first goes where there is too much. */
function remember<V>(map: Map<string, V>, key: string, value: V): void {
  map.delete(key);
  map.set(key, value);
  if (map.size <= maxRemembered) return;
  const [oldest] = map.keys();
  if (oldest !== undefined) map.delete(oldest);
}
