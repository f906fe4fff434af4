import {
  type LocalHealth,
  type Logger,
  type Member,
  type Membership,
  type MembershipChange,
  type MembershipView,
  type Metrics,
  type NodeId,
  type PeerContext,
  type Protocol,
  RepeatedLines,
  shortId,
  silentLogger,
  silentMetrics,
} from "@revoada/fabric";
import { ChangeFeed } from "./change-feed.ts";
import { GossipCore } from "./core/core.ts";
import type { Effect } from "./core/effects.ts";
import { openRequestsMax, requestTimeoutMs } from "./core/limits.ts";
import { tickMs } from "./core/local-health.ts";
import { Refusal } from "./core/refusal.ts";
import type { Now } from "./core/store.ts";
import { DoorProber } from "./door-prober.ts";
import { MembershipBadFrameError, MembershipStoppedError } from "./errors.ts";
import { checkOptions, type GossipMembershipOptions, type SeedHint } from "./options.ts";
import { memberOf, viewOf } from "./views.ts";

/** The protocol under which gossip travels. */
export const gossipProtocol: Protocol = Object.freeze({ name: "/revoada/gossip/1", channel: "gossip" });

const gaugeEveryRounds = 10;
/** Peers with a connection that a leaving node tells at most, besides those who hear its signs of life. */
const farewellsMax = 128;
const statuses = ["alive", "suspect", "dead", "left"] as const;

/**
 * Makes the membership of one node: who is there, by signed gossip, and who is alive, by direct signs of life.
 *
 * The transport must be started before `start` and shut down after `shutdown`. What the options cannot mean is refused with
 * `MEMBERSHIP_INVALID_OPTIONS`, initial keys beyond the quotas with `MEMBERSHIP_QUOTA`.
 */
export function gossipMembership(options: GossipMembershipOptions): Membership {
  checkOptions(options);
  return new GossipMembership(options);
}

class GossipMembership implements Membership {
  readonly #options: GossipMembershipOptions;
  readonly #core: GossipCore;
  readonly #logger: Logger;
  /** What others cause. */
  readonly #lines: RepeatedLines;
  readonly #metrics: Metrics;
  readonly #feeds = new Set<ChangeFeed>();
  readonly #asking = new Set<NodeId>();
  readonly #hinted = new Map<NodeId, string>();
  readonly #abort = new AbortController();
  #prober: DoorProber | undefined;
  #phase: "new" | "running" | "stopped" = "new";
  #cancelTick = (): void => {};
  #cancelRound = (): void => {};
  #withdraw: (() => void)[] = [];
  #view: MembershipView | undefined;
  #viewedMs = 0;
  #received = false;
  #draining = false;
  #pushDue = false;
  #rounds = 0;

  constructor(options: GossipMembershipOptions) {
    this.#options = options;
    this.#logger = (options.logger ?? silentLogger).child({ layer: "membership" });
    this.#lines = new RepeatedLines({ logger: this.#logger, clock: options.clock });
    this.#metrics = options.metrics ?? silentMetrics;
    this.#core = new GossipCore(
      {
        identity: options.identity,
        verifier: options.verifier,
        random: options.random,
        clusterId: options.clusterId,
        strategy: options.strategy,
        generation: options.generation,
        addresses: options.addresses(),
        keys: new Map(Object.entries(options.keys ?? {})),
        isKnown: options.isKnown,
      },
      this.#now(),
    );
    this.#perform();
  }

  #now(): Now {
    return { nowMs: this.#options.clock.monotonicMs(), wallMs: this.#options.clock.wallMs() };
  }

  async start(): Promise<void> {
    if (this.#phase === "running") return;
    if (this.#phase === "stopped") throw new MembershipStoppedError("start");
    this.#phase = "running";
    const { transport, clock, strategy, random } = this.#options;
    this.#core.begin(this.#now());
    const prober = new DoorProber({
      transport,
      clock,
      core: this.#core,
      pauseMs: Math.min(50, strategy.gossipCadenceMs / 2),
      closed: (id, life) => {
        this.#core.closed(id, life, this.#now());
        this.#perform();
      },
    });
    this.#prober = prober;
    this.#withdraw = [
      transport.handle(gossipProtocol, {
        onRequest: (payload, context) => this.#answer(payload, context),
        onMessage: (payload, context) => this.#receive(payload, context),
      }),
      transport.onEvent((event) => prober.transportEvent(event)),
    ];
    this.#core.setAddresses(this.#options.addresses(), this.#now());
    this.#perform();
    this.#cancelTick = clock.schedule(tickMs, () => this.#tick());
    // Nodes that start together must not speak together for ever.
    this.#cancelRound = clock.schedule(random.float() * strategy.gossipCadenceMs, () => this.#round());
  }

  // --- time -----------------------------------------------------------------------------------------------------------

  #tick(): void {
    this.#cancelTick = this.#options.clock.schedule(tickMs, () => this.#tick());
    if (this.#core.tick(this.#now())) this.#doubtHost();
    this.#prober?.resume();
    this.#perform();
  }

  #round(): void {
    const { clock, strategy, addresses } = this.#options;
    this.#cancelRound = clock.schedule(strategy.gossipCadenceMs, () => this.#round());
    this.#core.setAddresses(addresses(), this.#now());
    if (this.#core.round(this.#now())) this.#doubtHost();
    this.#perform();
    const partners = this.#core.partners(this.#seeds());
    if (partners.length > 0) {
      const open = this.#core.openRound();
      for (const peer of partners) void this.#gossip(peer, open);
    }
    this.#rounds += 1;
    if (this.#rounds % gaugeEveryRounds === 0) this.#gauge();
  }

  /** A stall was found: input that waited is read before anybody is judged. */
  #doubtHost(): void {
    const { lastStallMs, score } = this.#core.health(this.#options.clock.monotonicMs());
    this.#logger.warn("this host stalled; verdicts are withheld", { stallMs: Math.round(lastStallMs), score });
    this.#metrics.count("revoada_membership_stalls_total");
    this.#metrics.observe("revoada_membership_stall_ms", lastStallMs);
    if (this.#draining) return;
    this.#draining = true;
    this.#received = false;
    const turn = (): void => {
      if (this.#phase !== "running") return;
      const received = this.#received;
      this.#received = false;
      this.#draining = this.#core.turn(this.#options.clock.monotonicMs(), received);
      if (this.#draining) this.#options.clock.nextTurn(turn);
    };
    this.#options.clock.nextTurn(turn);
  }

  #seeds(): readonly NodeId[] {
    const { seeds } = this.#options;
    const hints: readonly SeedHint[] = typeof seeds === "function" ? seeds() : (seeds ?? []);
    for (const hint of hints) {
      if (this.#core.member(hint.id) === undefined) this.#hint(hint.id, hint.addresses);
    }
    return hints.map((hint) => hint.id);
  }

  #hint(id: NodeId, addresses: readonly string[]): void {
    const key = addresses.join(" ");
    if (addresses.length === 0 || id === this.#options.identity.id || this.#hinted.get(id) === key) return;
    this.#hinted.set(id, key);
    this.#options.transport.setAddresses(id, addresses);
  }

  // --- reconciliation -------------------------------------------------------------------------------------------------

  /** One round with one partner: fingerprints and news there, what differs back, and at most one exchange. */
  async #gossip(peer: NodeId, open: Uint8Array): Promise<void> {
    if (this.#asking.has(peer) || this.#asking.size >= openRequestsMax) return;
    this.#asking.add(peer);
    try {
      const digest = await this.#ask(peer, open);
      if (this.#phase !== "running") return;
      const exchange = this.#core.digestReceived(peer, digest, this.#now());
      this.#perform();
      if (exchange === undefined) return;
      const news = await this.#ask(peer, exchange);
      if (this.#phase !== "running") return;
      this.#core.received(peer, news, this.#now());
      this.#perform();
    } catch (error) {
      this.#metrics.count("revoada_membership_failed_rounds_total");
      this.#logger.debug("a gossip round failed", { peer: shortId(peer), error: String(error) });
    } finally {
      this.#asking.delete(peer);
    }
  }

  async #ask(peer: NodeId, frame: Uint8Array): Promise<Uint8Array> {
    const { transport, strategy } = this.#options;
    const timeoutMs = requestTimeoutMs(strategy.gossipCadenceMs);
    this.#metrics.count("revoada_membership_sent_bytes", frame.length);
    const answer = await transport.request(peer, gossipProtocol, frame, { signal: this.#abort.signal, timeoutMs });
    this.#received = true;
    return answer;
  }

  async #answer(payload: Uint8Array, context: PeerContext): Promise<Uint8Array> {
    this.#received = true;
    const answer = this.#core.answer(context.peer, payload, this.#now());
    this.#perform();
    if (answer instanceof Refusal) throw new MembershipBadFrameError(`${answer.reason}: ${answer.message}`);
    this.#metrics.count("revoada_membership_sent_bytes", answer.length);
    return answer;
  }

  #receive(payload: Uint8Array, context: PeerContext): void {
    this.#received = true;
    this.#core.received(context.peer, payload, this.#now());
    this.#perform();
  }

  // --- effects --------------------------------------------------------------------------------------------------------

  #perform(): void {
    for (let effects = this.#core.takeEffects(); effects.length > 0; effects = this.#core.takeEffects()) {
      for (const effect of effects) this.#do(effect);
    }
  }

  #do(effect: Effect): void {
    switch (effect.type) {
      case "send":
        if (this.#phase !== "running") return;
        this.#metrics.count("revoada_membership_sent_bytes", effect.frame.length);
        if (!this.#options.transport.send(effect.peer, gossipProtocol, effect.frame)) {
          this.#metrics.count("revoada_membership_dropped_messages_total");
        }
        return;
      case "member":
        if (effect.status !== undefined) this.#noteStatus(effect.id, effect.status.from, effect.status.to);
        this.#touch(effect.id);
        return;
      case "forgotten":
        this.#hinted.delete(effect.id);
        this.#prober?.forget(effect.id);
        this.#touch(effect.id);
        return;
      case "addresses":
        this.#hint(effect.id, effect.addresses);
        return;
      case "probe":
        this.#prober?.suspect(effect.id);
        return;
      case "refused":
        this.#noteRefusal(effect);
        return;
      case "refuted":
        this.#metrics.count("revoada_membership_refutations_total");
        this.#lines.write("info", "accused and alive", effect.by, {
          by: shortId(effect.by),
          incarnation: effect.incarnation,
        });
        return;
      case "own-conflict":
        this.#lines.write(
          effect.resolved ? "warn" : "error",
          "another life under this node's key was met",
          this.#options.identity.id,
          { generation: effect.generation, resolved: effect.resolved },
        );
    }
  }

  #noteStatus(id: NodeId, from: string | undefined, to: string): void {
    if (from === to || id === this.#options.identity.id) return;
    const evidence = this.#core.member(id)?.standing.evidence;
    this.#metrics.count("revoada_membership_transitions_total", 1, {
      to,
      ...(evidence === undefined ? {} : { evidence }),
    });
    this.#logger.info("a member's status changed", { member: shortId(id), from, to, evidence });
  }

  #noteRefusal(refused: Extract<Effect, { type: "refused" }>): void {
    this.#metrics.count("revoada_membership_refused_total", 1, { reason: refused.reason });
    const grave = refused.reason === "equivocation" || refused.reason === "signature";
    const { reason, peer, detail } = refused;
    const fields = { reason, from: peer === undefined ? undefined : shortId(peer), detail };
    // Whoever is let in may send as many forgeries as it likes.
    if (grave) this.#lines.write("warn", "gossip was refused", peer ?? "", fields, reason);
    else this.#logger.debug("gossip was refused", fields);
  }

  #touch(id: NodeId): void {
    this.#view = undefined;
    for (const feed of [...this.#feeds]) feed.touch(id);
  }

  #gauge(): void {
    const counts = new Map<string, number>();
    for (const { standing } of this.#core.members())
      counts.set(standing.status, (counts.get(standing.status) ?? 0) + 1);
    for (const status of statuses)
      this.#metrics.gauge("revoada_membership_members", counts.get(status) ?? 0, { status });
    this.#metrics.gauge("revoada_membership_local_health_score", this.health().score);
  }

  // --- the seam -------------------------------------------------------------------------------------------------------

  view(): MembershipView {
    const nowMs = this.#options.clock.monotonicMs();
    // Ages are part of the picture, so it is drawn anew once per cadence even where nothing has changed.
    if (this.#view === undefined || nowMs - this.#viewedMs >= this.#options.strategy.gossipCadenceMs) {
      this.#view = viewOf(this.#core, this.#options.identity.id, nowMs);
      this.#viewedMs = nowMs;
    }
    return this.#view;
  }

  changes(options: { readonly signal: AbortSignal }): AsyncIterable<MembershipChange> {
    const source = {
      view: (): MembershipView => this.view(),
      member: (id: NodeId): Member | undefined => {
        const facts = this.#core.member(id);
        return facts === undefined ? undefined : memberOf(facts, this.#options.clock.monotonicMs());
      },
    };
    const feed = new ChangeFeed(source, options.signal, (ended) => this.#feeds.delete(ended));
    if (this.#phase === "stopped") feed.end();
    else if (!options.signal.aborted) this.#feeds.add(feed);
    return feed;
  }

  set(key: string, value: string): void {
    this.#requireLiving("set");
    if (this.#core.set(key, value, this.#now())) this.#pushSoon();
    this.#perform();
  }

  /** Several keys set in one turn go out together, at once: what a node says of itself may be its last word. */
  #pushSoon(): void {
    if (this.#pushDue || this.#phase !== "running") return;
    this.#pushDue = true;
    this.#options.clock.nextTurn(() => this.#pushNow());
  }

  #pushNow(): void {
    if (!this.#pushDue || this.#phase !== "running") return;
    this.#pushDue = false;
    this.#core.pushOwnRecord();
    this.#perform();
  }

  phi(id: NodeId): number {
    return this.#core.phi(id, this.#options.clock.monotonicMs());
  }

  health(): LocalHealth {
    return this.#core.health(this.#options.clock.monotonicMs());
  }

  raiseIncarnation(): void {
    this.#requireLiving("raiseIncarnation");
    this.#core.raiseIncarnation(this.#now());
    this.#perform();
  }

  #requireLiving(operation: string): void {
    if (this.#phase === "stopped" || this.#core.left) throw new MembershipStoppedError(operation);
  }

  async leave(options: { readonly timeoutMs: number }): Promise<void> {
    if (this.#phase !== "running" || this.#core.left) return;
    const { frame, peers } = this.#core.leave(this.#now());
    this.#stopTimers();
    this.#perform();
    // Whoever has a connection to this node would see it break off, and find a closed door behind it.
    const connected = this.#options.transport
      .statistics()
      .filter((peer) => peer.connected.includes("gossip"))
      .map(({ peer }) => peer);
    const told = new Set([...peers, ...connected.slice(0, farewellsMax)]);
    const farewells = [...told].map((peer) =>
      this.#options.transport.request(peer, gossipProtocol, frame, {
        signal: this.#abort.signal,
        timeoutMs: options.timeoutMs,
      }),
    );
    let cancel = (): void => {};
    const deadline = new Promise<void>((resolve) => {
      cancel = this.#options.clock.schedule(options.timeoutMs, resolve);
    });
    await Promise.race([Promise.allSettled(farewells), deadline]);
    cancel();
  }

  forget(id: NodeId): void {
    if (!this.#core.forget(id, this.#now())) {
      this.#logger.debug("only the dead and the departed are forgotten", { member: shortId(id) });
    }
    this.#perform();
  }

  #stopTimers(): void {
    this.#cancelTick();
    this.#cancelRound();
  }

  async shutdown(): Promise<void> {
    if (this.#phase === "stopped") return;
    this.#pushNow();
    this.#phase = "stopped";
    this.#stopTimers();
    this.#prober?.stop();
    this.#abort.abort();
    for (const withdraw of this.#withdraw.splice(0)) withdraw();
    for (const feed of [...this.#feeds]) feed.end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }
}
