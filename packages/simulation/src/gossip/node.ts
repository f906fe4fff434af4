import type { Identity, MemberStatus, NodeId } from "@revoada/fabric";
import {
  type Effect,
  GossipCore,
  openRequestsMax,
  Refusal,
  requestTimeoutMs,
  type Now,
} from "@revoada/membership-gossip/unstable/core";
import type { GossipWorld } from "./world.ts";

/** Between the first refusal and the second knock, and the time that both take. */
const knocksMs = 60;

/** One node of a world: the production core, and around it what the production driver does, on the world's time. */
export class GossipNode {
  readonly number: number;
  readonly id: NodeId;
  readonly core: GossipCore;
  readonly #world: GossipWorld;
  /** Whom it is asking, and until when it waits for the answer. */
  readonly #asking = new Map<NodeId, number>();
  readonly #seeds: readonly NodeId[];
  #inbox: (() => void)[] | undefined;
  #received = false;
  #listening = new Set<NodeId>();
  #told = new Set<NodeId>();
  #wallOffsetMs = 0;
  isUp = true;

  constructor(world: GossipWorld, number: number, identity: Identity, generation: number, seeds: readonly NodeId[]) {
    this.#world = world;
    this.number = number;
    this.id = identity.id;
    this.#seeds = seeds;
    this.core = new GossipCore(
      {
        ...world.common,
        identity,
        random: world.random.fork(`core ${number} ${generation}`),
        generation,
        addresses: [`10.${number >>> 16}.${(number >>> 8) & 255}.${number & 255}:7000`],
        keys: new Map([["zone", `zone-${number % world.zones}`]]),
      },
      this.now(),
    );
  }

  now(): Now {
    const nowMs = this.#world.calendar.nowMs;
    return { nowMs, wallMs: this.#world.wallMs + nowMs + this.#wallOffsetMs };
  }

  jumpWall(byMs: number): void {
    this.#wallOffsetMs += byMs;
  }

  /** Those who hear from it directly, and therefore have a connection to it. */
  get listeners(): ReadonlySet<NodeId> {
    return this.#listening;
  }

  start(phaseMs: number): void {
    this.core.begin(this.now());
    this.#perform();
    this.#world.calendar.after(phaseMs, () => this.#round());
  }

  /** The event loop stands still: what arrives waits, and the first timer afterwards runs before any of it is read. */
  stall(durationMs: number): void {
    this.#inbox ??= [];
    this.#world.calendar.after(durationMs, () => this.#wake());
  }

  #wake(): void {
    const inbox = this.#inbox ?? [];
    this.#inbox = undefined;
    if (!this.isUp) return;
    let draining = this.core.tick(this.now());
    this.#perform();
    // A hundred of those that wait are read in each turn.
    for (let turn = 0; inbox.length > 0 || draining; turn++) {
      this.#received = false;
      for (const happen of inbox.splice(0, 100)) happen();
      if (draining) draining = this.core.turn(this.now().nowMs, this.#received);
    }
  }

  /** What arrives here, now or once the event loop goes on. */
  deliver(happen: () => void): void {
    if (!this.isUp) return;
    if (this.#inbox === undefined) {
      this.#received = true;
      happen();
    } else {
      this.#inbox.push(() => {
        this.#received = true;
        happen();
      });
    }
  }

  #round(): void {
    if (!this.isUp) return;
    const { calendar, strategy, totals } = this.#world;
    calendar.after(strategy.gossipCadenceMs, () => this.#round());
    if (this.#inbox !== undefined) return;
    totals.rounds += 1;
    this.core.tick(this.now());
    this.core.round(this.now());
    this.#listening = this.#told;
    this.#told = new Set();
    this.#perform();
    for (const [peer, untilMs] of this.#asking) if (calendar.nowMs >= untilMs) this.#asking.delete(peer);
    const partners = this.core.partners(this.#seeds);
    const open = this.core.openRound();
    for (const peer of partners) this.#gossip(peer, open);
  }

  set(key: string, value: string): void {
    if (this.core.set(key, value, this.now())) this.core.pushOwnRecord();
    this.#perform();
  }

  leave(): void {
    const { frame, peers } = this.core.leave(this.now());
    for (const peer of new Set([...peers, ...this.#listening])) this.#world.request(this, peer, frame, () => {});
    this.#perform();
    this.isUp = false;
  }

  forget(id: NodeId): boolean {
    const done = this.core.forget(id, this.now());
    this.#perform();
    return done;
  }

  receive(from: NodeId, frame: Uint8Array): void {
    this.core.received(from, frame, this.now());
    this.#perform();
  }

  answer(from: NodeId, frame: Uint8Array): Uint8Array | undefined {
    const answer = this.core.answer(from, frame, this.now());
    this.#perform();
    return answer instanceof Refusal ? undefined : answer;
  }

  #gossip(peer: NodeId, open: Uint8Array): void {
    if (this.#asking.has(peer) || this.#asking.size >= openRequestsMax) return;
    const { calendar, strategy, totals } = this.#world;
    const untilMs = calendar.nowMs + requestTimeoutMs(strategy.gossipCadenceMs);
    this.#asking.set(peer, untilMs);
    const over = (): void => {
      if (this.#asking.get(peer) === untilMs) this.#asking.delete(peer);
    };
    this.#world.request(this, peer, open, (digest) => {
      if (calendar.nowMs >= untilMs) return;
      totals.digests += 1;
      const exchange = this.core.digestReceived(peer, digest, this.now());
      this.#perform();
      if (exchange === undefined) return over();
      totals.exchanges += 1;
      this.#world.request(this, peer, exchange, (news) => {
        over();
        this.receive(peer, news);
      });
    });
  }

  /** Its connections to a process were closed by that process's kernel; the door is knocked at, twice. */
  connectionClosed(id: NodeId): void {
    const life = this.core.probeTarget(id);
    if (life === undefined) return;
    this.#world.calendar.after(knocksMs, () => {
      if (!this.isUp || this.#world.isUp(id) || this.core.frozen(this.now().nowMs)) return;
      this.core.closed(id, life, this.now());
      this.#perform();
    });
  }

  #perform(): void {
    for (let effects = this.core.takeEffects(); effects.length > 0; effects = this.core.takeEffects()) {
      for (const effect of effects) this.#do(effect);
    }
  }

  #do(effect: Effect): void {
    switch (effect.type) {
      case "send":
        this.#told.add(effect.peer);
        this.#world.send(this, effect.peer, effect.frame);
        return;
      case "member":
        if (effect.status !== undefined) this.#noteStatus(effect.id, effect.status.from, effect.status.to);
        return;
      case "probe":
        this.#world.suspected(this, effect.id);
        if (this.#world.refuses(effect.id)) this.connectionClosed(effect.id);
        return;
      case "refused":
        this.#world.refused(this, effect.reason);
        return;
      case "refuted":
        this.#world.totals.refutations += 1;
        return;
      case "forgotten":
        this.#world.statusSeen(this, effect.id, "alive");
        return;
      case "addresses":
      case "own-conflict":
    }
  }

  #noteStatus(id: NodeId, from: MemberStatus | undefined, to: MemberStatus): void {
    if (from !== to && id !== this.id) this.#world.statusSeen(this, id, to);
  }
}
