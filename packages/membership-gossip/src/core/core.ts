import type { Address, LocalHealth, MemberStatus, NodeId } from "@revoada/fabric";
import type { Effect, MemberFacts } from "./effects.ts";
import type { Frame } from "./frames.ts";
import { Intake } from "./intake.ts";
import type { SignedItem } from "./items.ts";
import { Judge } from "./judge.ts";
import { limits } from "./limits.ts";
import { LocalHealthMonitor } from "./local-health.ts";
import { OwnRecord } from "./own-record.ts";
import { choosePartners } from "./partners.ts";
import { differingBuckets, grant, ItemBasket, makeDigest, planExchange } from "./reconcile.ts";
import { Refusal } from "./refusal.ts";
import type { Now } from "./store.ts";
import type { Subject } from "./subject.ts";
import { Voice, type VoiceOptions } from "./voice.ts";

export interface GossipCoreOptions extends VoiceOptions {
  readonly generation: number;
  readonly addresses: readonly Address[];
  readonly keys: ReadonlyMap<string, string>;
}

/** Signs of life that are missed are asked for, and the store is swept, once in so many rounds. */
const sweepEveryRounds = 10;

/**
 * The protocol without time, disk or network: inputs go in with the time at which they came, effects are taken out.
 *
 * State spreads by scuttlebutt reconciliation of signed heads, pages and verdicts; liveness rests on direct signs of life only.
 */
export class GossipCore {
  readonly #options: GossipCoreOptions;
  readonly #voice: Voice;
  readonly #health: LocalHealthMonitor;
  readonly #judge: Judge;
  readonly #intake: Intake;
  #rounds = 0;

  constructor(options: GossipCoreOptions, now: Now) {
    this.#options = options;
    const { identity, clusterId, strategy } = options;
    const voice = new Voice(options, new OwnRecord(options), now);
    this.#voice = voice;
    this.#health = new LocalHealthMonitor(now.nowMs, strategy.gossipCadenceMs);
    this.#judge = new Judge({
      self: voice.self,
      strategy,
      store: voice.store,
      health: this.#health,
      issue: (subject, opinion) => this.#intake.issue(subject, opinion),
      changed: (subject, before) => {
        voice.tell({ type: "member", id: subject.id, status: { from: before, to: subject.status } });
      },
    });
    this.#intake = new Intake({ identity, clusterId, voice, judge: this.#judge, health: this.#health });
    this.#intake.publish();
  }

  /** Hands over what has to be done since the last call. */
  takeEffects(): readonly Effect[] {
    return this.#voice.takeEffects();
  }

  #at(now: Now): void {
    this.#voice.now = now;
  }

  // --- what the local node says of itself -----------------------------------------------------------------------------

  get generation(): number {
    return this.#voice.own.generation;
  }

  get incarnation(): number {
    return this.#voice.own.incarnation;
  }

  get left(): boolean {
    return this.#voice.own.left;
  }

  /** Sets a key of the local node. Throws `MEMBERSHIP_QUOTA`. */
  set(key: string, value: string, now: Now): boolean {
    this.#at(now);
    const changed = this.#voice.own.set(key, value);
    if (changed) this.#intake.publish();
    return changed;
  }

  setAddresses(addresses: readonly Address[], now: Now): void {
    this.#at(now);
    if (this.#voice.own.setAddresses(addresses)) this.#intake.publish();
  }

  raiseIncarnation(now: Now): void {
    this.#at(now);
    this.#voice.own.raiseIncarnation();
    this.#intake.publish();
    this.pushOwnRecord();
  }

  /** Says good-bye. The frame is for those who should hear it first: whoever hears its signs of life would miss them first. */
  leave(now: Now): { readonly frame: Uint8Array; readonly peers: readonly NodeId[] } {
    this.#at(now);
    if (!this.left) {
      this.#voice.own.markLeft();
      this.#intake.publish();
    }
    const frame = this.#voice.encode({ type: "exchange", items: this.#intake.ownItems(), wants: [] });
    const { heartbeats, self } = this.#voice;
    const peers = new Set([...heartbeats.audience(this.#judge.plan, now.nowMs), ...this.#voice.audience()]);
    peers.delete(self);
    return { frame, peers: [...peers] };
  }

  /** Tells what the local node says of itself to a few at once, without waiting for a round. */
  pushOwnRecord(): void {
    this.#voice.push(this.#voice.audience(), this.#intake.ownItems());
  }

  // --- time -------------------------------------------------------------------------------------------------------------

  /** Time begins to count: call it when the driver starts its timers. */
  begin(now: Now): void {
    this.#at(now);
    this.#health.restart(now.nowMs);
  }

  /** The tick that measures the host. True where turns have to be counted now; see {@link turn}. */
  tick(now: Now): boolean {
    this.#at(now);
    return this.#health.observe(now.nowMs, true);
  }

  /** One turn of the event loop has passed since a stall was found. True while more are needed. */
  turn(nowMs: number, received: boolean): boolean {
    return this.#health.turn(nowMs, received);
  }

  /** One gossip cadence has passed: signs of life go out, silences are judged. True where a stall was found. */
  round(now: Now): boolean {
    this.#at(now);
    const stalled = this.#health.observe(now.nowMs, false);
    this.#rounds += 1;
    if (this.#voice.own.stale(now.wallMs)) this.#intake.publish();
    this.#judge.replan(now.nowMs);
    this.#judge.evaluate(now.nowMs);
    this.#sendBeats();
    if (this.#rounds % sweepEveryRounds === 0) {
      this.#renewWatches();
      this.#sweep();
    }
    this.#voice.news.age();
    return stalled;
  }

  #sendBeats(): void {
    if (this.left) return;
    const { heartbeats, now } = this.#voice;
    this.#voice.send(heartbeats.audience(this.#judge.plan, now.nowMs), this.#voice.beat());
  }

  /** Views differ for a while; so observers also ask for the signs of life that they are waiting for. */
  #renewWatches(): void {
    const waiting = [...this.#judge.watched()].filter((id) => this.#judge.statusOf(id) !== "dead");
    this.#voice.send(waiting, { type: "watch" });
  }

  #sweep(): void {
    const { store, self, now } = this.#voice;
    store.graves.sweep(now.wallMs);
    store.forgetUnwelcome();
    if (this.#options.isKnown !== undefined)
      for (const subject of [...store.subjects.values()])
        if (subject.id !== self && !store.admits(subject.id)) this.#remove(subject, undefined);
    for (const id of this.#judge.dead) this.#bury(store.subjects.get(id));
    for (const subject of store.departed) this.#bury(subject);
    store.subjects.settle();
  }

  /** Forgets one of the dead or departed, once nobody takes in what it said any more. */
  #bury(subject: Subject | undefined): void {
    const { self, now } = this.#voice;
    if (subject === undefined || subject.id === self || subject.record.notAfterMs >= now.wallMs) return;
    this.#remove(subject, now.wallMs);
  }

  #remove(subject: Subject, graveAtWallMs: number | undefined): void {
    const { store, news, heartbeats } = this.#voice;
    if (!store.remove(subject.id, graveAtWallMs)) return;
    news.remove(subject.id);
    heartbeats.forget(subject.id);
    this.#judge.removed(subject);
    this.#voice.tell({ type: "forgotten", id: subject.id });
  }

  /** Drops a dead or departed node and remembers up to where it is old news. False where it is neither. */
  forget(id: NodeId, now: Now): boolean {
    this.#at(now);
    const subject = this.#voice.store.subjects.get(id);
    if (subject === undefined || (subject.status !== "dead" && subject.status !== "left")) return false;
    this.#remove(subject, now.wallMs);
    return true;
  }

  // --- reconciliation ---------------------------------------------------------------------------------------------------

  /** Whom to open a round with. */
  partners(seeds: readonly NodeId[]): readonly NodeId[] {
    const { store, self, random } = this.#voice;
    const strangers = seeds.filter((id) => id !== self && this.#judge.statusOf(id) !== "left");
    return choosePartners({ self, store, dead: this.#judge.dead, seeds: strangers }, random);
  }

  openRound(): Uint8Array {
    const { store, news } = this.#voice;
    return this.#voice.encode({ type: "open", buckets: store.tags.slice(), items: news.collect() });
  }

  #refuse(peer: NodeId, refusal: Refusal): Refusal {
    this.#voice.tell({ type: "refused", reason: refusal.reason, peer, detail: refusal.message });
    return refusal;
  }

  #decode(peer: NodeId, bytes: Uint8Array): Frame | Refusal {
    try {
      if (!this.#voice.store.admits(peer))
        throw new Refusal("unknown-node", "a frame from a node that is not admitted");
      return this.#voice.decode(bytes);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      return this.#refuse(peer, error);
    }
  }

  /** Answers a request, or says why not. */
  answer(peer: NodeId, bytes: Uint8Array, now: Now): Uint8Array | Refusal {
    this.#at(now);
    const frame = this.#decode(peer, bytes);
    if (frame instanceof Refusal) return frame;
    const { store } = this.#voice;
    if (frame.type === "open") {
      this.#intake.take(peer, frame.items);
      return this.#voice.encode({ type: "digest", ...this.#digestFor(peer, frame.buckets) });
    }
    if (frame.type === "exchange") {
      this.#intake.take(peer, frame.items);
      return this.#voice.encode({ type: "news", items: grant(store, frame.wants) });
    }
    return this.#refuse(peer, new Refusal("malformed", `${frame.type} is no request`));
  }

  #digestFor(peer: NodeId, buckets: Uint8Array): Omit<Extract<Frame, { type: "digest" }>, "type"> {
    const { store, news, random } = this.#voice;
    const differing = differingBuckets(store, buckets);
    const basket = new ItemBasket(limits.newsBudgetBytes);
    // Whatever lies in a bucket that is the same there is known there.
    const items = [...this.#lastWords(peer), ...news.collect((bucket) => differing.has(bucket))];
    for (const item of items) if (!basket.add(item)) break;
    return { ...makeDigest(store, differing, random), items: basket.items };
  }

  /** What a buried node died of, so that it can refute it if it lives. */
  #lastWords(peer: NodeId): readonly SignedItem[] {
    const { store } = this.#voice;
    return store.subjects.has(peer) ? [] : (store.graves.get(peer)?.verdicts ?? []);
  }

  /** Takes the answer to {@link openRound}. Returns what to ask next, undefined where both hold the same. */
  digestReceived(peer: NodeId, bytes: Uint8Array, now: Now): Uint8Array | undefined {
    this.#at(now);
    const frame = this.#decode(peer, bytes);
    if (frame instanceof Refusal) return undefined;
    if (frame.type !== "digest") {
      this.#refuse(peer, new Refusal("malformed", `${frame.type} answers no open`));
      return undefined;
    }
    this.#intake.take(peer, frame.items);
    const { store, random } = this.#voice;
    const plan = planExchange(store, frame, random);
    const basket = new ItemBasket();
    for (const subject of plan.push) if (!basket.addSubject(subject)) break;
    if (basket.items.length === 0 && plan.wants.length === 0) return undefined;
    return this.#voice.encode({ type: "exchange", items: basket.items, wants: plan.wants });
  }

  /** Takes a one-way message, or the answer to an exchange. */
  received(peer: NodeId, bytes: Uint8Array, now: Now): void {
    this.#at(now);
    const frame = this.#decode(peer, bytes);
    if (frame instanceof Refusal) return;
    switch (frame.type) {
      case "news":
        this.#intake.take(peer, frame.items);
        return;
      case "word":
        this.#intake.take(peer, frame.items, false);
        return;
      case "beat":
        this.#takeBeat(peer, frame);
        return;
      case "watch":
        if (this.#voice.store.subjects.has(peer)) this.#voice.heartbeats.watchedBy(peer, now.nowMs);
        return;
      case "open":
      case "digest":
      case "exchange":
        this.#refuse(peer, new Refusal("malformed", `${frame.type} is no one-way message`));
    }
  }

  #takeBeat(peer: NodeId, beat: Extract<Frame, { type: "beat" }>): void {
    const { store, now } = this.#voice;
    const subject = store.subjects.get(peer);
    if (subject === undefined) {
      if (store.graves.covers(peer, beat.generation, beat.incarnation)) this.#remind(peer, this.#lastWords(peer));
      return;
    }
    if (beat.generation !== subject.record.generation) {
      if (beat.generation < subject.record.generation)
        this.#refuse(peer, new Refusal("foreign-beat", `generation ${beat.generation}`));
      return;
    }
    this.#judge.beat(subject, beat.sequence, now.nowMs);
    if (subject.status !== "dead" || beat.incarnation > subject.record.incarnation) return;
    this.#remind(
      peer,
      subject.verdicts.map((held) => held.item),
    );
  }

  /** Tells a node that is taken for dead, and speaks, what is said of it. */
  #remind(peer: NodeId, items: readonly SignedItem[]): void {
    if (this.#voice.heartbeats.mayTell(peer, this.#voice.now.nowMs)) this.#voice.push([peer], items);
  }

  // --- evidence from the transport --------------------------------------------------------------------------------------

  /** Which life of a node a probe would be about; undefined where there is nothing to find out. */
  probeTarget(id: NodeId): { readonly generation: number; readonly incarnation: number } | undefined {
    const subject = this.#voice.store.subjects.get(id);
    if (id === this.#voice.self || subject === undefined) return undefined;
    if (subject.status === "dead" || subject.status === "left") return undefined;
    return { generation: subject.record.generation, incarnation: subject.record.incarnation };
  }

  /** The connections of that life were closed and its door was shut, twice. */
  closed(id: NodeId, life: { readonly generation: number; readonly incarnation: number }, now: Now): void {
    this.#at(now);
    const subject = this.#voice.store.subjects.get(id);
    const current = subject?.record;
    if (subject === undefined || current?.generation !== life.generation || current.incarnation !== life.incarnation)
      return;
    this.#judge.closed(subject, now.nowMs);
  }

  frozen(nowMs: number): boolean {
    return this.#health.frozen(nowMs);
  }

  // --- views ------------------------------------------------------------------------------------------------------------

  get size(): number {
    return this.#voice.store.subjects.size;
  }

  *members(): Generator<MemberFacts> {
    for (const subject of this.#voice.store.subjects.values()) yield this.#factsOf(subject);
  }

  member(id: NodeId): MemberFacts | undefined {
    const subject = this.#voice.store.subjects.get(id);
    return subject === undefined ? undefined : this.#factsOf(subject);
  }

  /** What a node is taken for; undefined where nothing is known of it. */
  statusOf(id: NodeId): MemberStatus | undefined {
    return this.#judge.statusOf(id);
  }

  #factsOf(subject: Subject): MemberFacts {
    const { record, keys, status, evidence, deadAt, awaitingBeats } = subject;
    const sinceMs = this.#voice.store.subjects.sinceMs(subject);
    return { record, keys, standing: { status, evidence, sinceMs, deadAt, awaitingBeats } };
  }

  phi(id: NodeId, nowMs: number): number {
    return this.#judge.phi(id, nowMs);
  }

  health(nowMs: number): LocalHealth {
    return this.#health.report(nowMs);
  }
}
