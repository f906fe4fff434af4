import type {
  Address,
  ClusterId,
  Identity,
  LocalHealth,
  MembershipStrategy,
  MemberStatus,
  NodeId,
  Random,
  SignatureVerifier,
} from "@revoada/fabric";
import { decodeFrame, encodeFrame, type Frame } from "./frames.ts";
import type { Effect, MemberFacts } from "./effects.ts";
import {
  accuses,
  encodeVerdict,
  type GossipRecord,
  type Opinion,
  sayTheSame,
  type SignedItem,
  subjectKey,
  type Verdict,
} from "./items.ts";
import { Heartbeats } from "./heartbeats.ts";
import { Judge } from "./judge.ts";
import { limits, observersPerSubject } from "./limits.ts";
import { LocalHealthMonitor } from "./local-health.ts";
import { News } from "./news.ts";
import { OwnRecord } from "./own-record.ts";
import { choosePartners, sample } from "./partners.ts";
import { bucketTags, ItemBasket, makeDigest, planExchange } from "./reconcile.ts";
import { Refusal } from "./refusal.ts";
import { GossipStore, type HeldVerdict, type Now, type Outcome, type Subject } from "./store.ts";

export interface GossipCoreOptions {
  readonly identity: Identity;
  readonly verifier: SignatureVerifier;
  readonly random: Random;
  readonly clusterId: ClusterId;
  readonly strategy: MembershipStrategy;
  readonly generation: number;
  readonly addresses: readonly Address[];
  readonly keys: ReadonlyMap<string, string>;
  readonly isKnown: ((id: NodeId) => boolean) | undefined;
}

/**
 * The protocol without time, disk or network: inputs go in with the time at which they came, effects are taken out.
 *
 * State spreads by scuttlebutt reconciliation of signed records and verdicts; liveness rests on direct signs of life only.
 */
export class GossipCore {
  readonly #options: GossipCoreOptions;
  readonly #self: NodeId;
  readonly #store: GossipStore;
  readonly #health: LocalHealthMonitor;
  readonly #judge: Judge;
  readonly #own: OwnRecord;
  readonly #news = new News();
  readonly #heartbeats: Heartbeats;
  #effects: Effect[] = [];
  #verdictSequence = 0;
  #rounds = 0;
  #now: Now;

  constructor(options: GossipCoreOptions, now: Now) {
    this.#options = options;
    this.#self = options.identity.id;
    this.#now = now;
    const { clusterId, verifier, isKnown, strategy } = options;
    this.#store = new GossipStore({ self: this.#self, clusterId, verifier, isKnown });
    this.#health = new LocalHealthMonitor(now.nowMs, strategy.gossipCadenceMs);
    this.#own = new OwnRecord(options);
    this.#heartbeats = new Heartbeats(this.#self, strategy.gossipCadenceMs);
    this.#judge = new Judge({
      self: this.#self,
      strategy,
      store: this.#store,
      health: this.#health,
      issue: (subject, opinion) => this.#issue(subject, opinion),
      changed: (subject, standing, before) => {
        this.#effects.push({ type: "member", id: subject.id, status: { from: before, to: standing.status } });
      },
    });
    this.#publish();
  }

  /** Hands over what has to be done since the last call. */
  takeEffects(): readonly Effect[] {
    const effects = this.#effects;
    if (effects.length > 0) this.#effects = [];
    return effects;
  }

  // --- what the local node says of itself -----------------------------------------------------------------------------

  get generation(): number {
    return this.#own.generation;
  }

  get incarnation(): number {
    return this.#own.incarnation;
  }

  get left(): boolean {
    return this.#own.left;
  }

  #publish(): void {
    const { record, item } = this.#own.publish(this.#now.wallMs);
    const previous = this.#store.subjects.get(this.#self)?.record;
    const subject = this.#store.put(record, item);
    this.#news.add(subjectKey(record), item, this.#store.subjects.size);
    this.#judge.recordChanged(subject, previous, this.#now.nowMs);
    this.#effects.push({ type: "member", id: this.#self });
  }

  /** Sets a key of the local node. Throws `MEMBERSHIP_QUOTA`. */
  set(key: string, value: string, now: Now): boolean {
    this.#now = now;
    const changed = this.#own.set(key, value);
    if (changed) this.#publish();
    return changed;
  }

  setAddresses(addresses: readonly Address[], now: Now): void {
    this.#now = now;
    if (this.#own.setAddresses(addresses)) this.#publish();
  }

  raiseIncarnation(now: Now): void {
    this.#now = now;
    this.#own.raiseIncarnation();
    this.#publish();
    this.pushOwnRecord();
  }

  /** Says good-bye. The frame is for those who should hear it first. */
  leave(now: Now): { readonly frame: Uint8Array; readonly peers: readonly NodeId[] } {
    this.#now = now;
    if (!this.#own.left) {
      this.#own.markLeft();
      this.#publish();
    }
    const frame = this.#encode({ type: "exchange", items: this.#ownItems(), wants: [] });
    return { frame, peers: this.#audience() };
  }

  #ownItems(): readonly SignedItem[] {
    const own = this.#store.subjects.get(this.#self);
    return own === undefined ? [] : [own.item];
  }

  /** Tells the own record to a few at once, without waiting for a round. */
  pushOwnRecord(): void {
    this.#push(this.#audience(), this.#ownItems());
  }

  // --- spreading --------------------------------------------------------------------------------------------------------

  #encode(frame: Frame): Uint8Array {
    return encodeFrame(this.#options.clusterId, frame);
  }

  #push(peers: Iterable<NodeId>, items: readonly SignedItem[]): void {
    if (items.length === 0) return;
    const frame = this.#encode({ type: "news", items });
    for (const peer of peers) this.#effects.push({ type: "send", peer, frame });
  }

  #ids(...statuses: readonly MemberStatus[]): NodeId[] {
    const ids: NodeId[] = [];
    for (const id of this.#store.subjects.keys()) {
      const status = this.#judge.standing(id)?.status;
      if (id !== this.#self && status !== undefined && statuses.includes(status)) ids.push(id);
    }
    return ids;
  }

  /** Those who are told at once: everybody in a small cluster, a few in a large one. */
  #audience(): readonly NodeId[] {
    return sample(this.#ids("alive", "suspect"), observersPerSubject, this.#options.random);
  }

  #issue(subject: Subject, opinion: Opinion): void {
    this.#verdictSequence += 1;
    const { generation, incarnation } = subject.record;
    const verdict: Verdict = {
      observer: this.#self,
      observerGeneration: this.#own.generation,
      sequence: this.#verdictSequence,
      subject: subject.id,
      generation,
      incarnation,
      opinion,
    };
    const payload = encodeVerdict(this.#options.clusterId, verdict);
    const item = { payload, signature: this.#options.identity.sign(payload) };
    this.#store.putVerdict(subject, { verdict, item, sinceMs: this.#now.nowMs });
    this.#news.add(subjectKey(verdict), item, this.#store.subjects.size);
    const audience = new Set([...this.#audience(), ...this.#judge.plan.observersOf(subject.id)]);
    audience.delete(this.#self);
    if (accuses(opinion) && opinion !== "closed") audience.add(subject.id);
    this.#push(audience, [item]);
    // Silence alone takes long. Where the door turns out to be shut as well, the death is known sooner.
    if (opinion === "suspect") this.#effects.push({ type: "probe", id: subject.id });
  }

  // --- time -------------------------------------------------------------------------------------------------------------

  /** Time begins to count: call it when the driver starts its timers. */
  begin(now: Now): void {
    this.#now = now;
    this.#health.restart(now.nowMs);
  }

  /** The tick that measures the host. True where turns have to be counted now; see {@link turn}. */
  tick(now: Now): boolean {
    this.#now = now;
    return this.#health.observe(now.nowMs, true);
  }

  /** One turn of the event loop has passed since a stall was found. True while more are needed. */
  turn(nowMs: number, received: boolean): boolean {
    return this.#health.turn(nowMs, received);
  }

  /** One gossip cadence has passed: signs of life go out, silences are judged. True where a stall was found. */
  round(now: Now): boolean {
    this.#now = now;
    const stalled = this.#health.observe(now.nowMs, false);
    this.#rounds += 1;
    if (this.#own.stale(now.wallMs)) this.#publish();
    this.#judge.replan(now.nowMs);
    this.#judge.evaluate(now.nowMs);
    this.#sendBeats();
    if (this.#rounds % 10 === 0) {
      this.#renewWatches();
      this.#sweep();
    }
    this.#news.age();
    return stalled;
  }

  #sendBeats(): void {
    if (this.#own.left) return;
    const frame = this.#encode({
      type: "beat",
      generation: this.#own.generation,
      incarnation: this.#own.incarnation,
      sequence: this.#heartbeats.nextSequence(),
    });
    for (const peer of this.#heartbeats.audience(this.#judge.plan, this.#now.nowMs)) {
      this.#effects.push({ type: "send", peer, frame });
    }
  }

  /** Views differ for a while; so observers also ask for the signs of life that they are waiting for. */
  #renewWatches(): void {
    const frame = this.#encode({ type: "watch" });
    for (const id of this.#judge.watched()) {
      if (this.#judge.standing(id)?.status !== "dead") this.#effects.push({ type: "send", peer: id, frame });
    }
  }

  #sweep(): void {
    const { wallMs } = this.#now;
    this.#store.graves.sweep(wallMs);
    for (const subject of [...this.#store.subjects.values()]) {
      if (subject.id === this.#self) continue;
      const status = this.#judge.standing(subject.id)?.status;
      if (!this.#store.admits(subject.id)) this.#remove(subject.id, undefined);
      else if ((status === "dead" || status === "left") && subject.record.notAfterMs < wallMs)
        this.#remove(subject.id, wallMs);
    }
  }

  #remove(id: NodeId, graveAtWallMs: number | undefined): void {
    if (!this.#store.remove(id, graveAtWallMs)) return;
    this.#news.remove(id);
    this.#heartbeats.forget(id);
    this.#judge.removed(id);
    this.#effects.push({ type: "forgotten", id });
  }

  /** Drops a dead or departed node and remembers up to where it is old news. False where it is neither. */
  forget(id: NodeId, now: Now): boolean {
    this.#now = now;
    const status = this.#judge.standing(id)?.status;
    if (status !== "dead" && status !== "left") return false;
    this.#remove(id, now.wallMs);
    return true;
  }

  // --- reconciliation ---------------------------------------------------------------------------------------------------

  /** Whom to open a round with. */
  partners(seeds: readonly NodeId[]): readonly NodeId[] {
    const strangers = seeds.filter((id) => id !== this.#self && this.#judge.standing(id)?.status !== "left");
    return choosePartners(
      { live: this.#ids("alive", "suspect"), dead: this.#ids("dead"), seeds: strangers },
      this.#options.random,
    );
  }

  openRound(): Uint8Array {
    return this.#encode({ type: "open", buckets: bucketTags(this.#store), items: this.#news.collect() });
  }

  #decode(peer: NodeId, bytes: Uint8Array): Frame | Refusal {
    try {
      if (!this.#store.admits(peer)) throw new Refusal("unknown-node", "a frame from a node that is not admitted");
      return decodeFrame(bytes, this.#options.clusterId);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.#effects.push({ type: "refused", reason: error.reason, peer, detail: error.message });
      return error;
    }
  }

  /** Answers a request, or says why not. */
  answer(peer: NodeId, bytes: Uint8Array, now: Now): Uint8Array | Refusal {
    this.#now = now;
    const frame = this.#decode(peer, bytes);
    if (frame instanceof Refusal) return frame;
    if (frame.type === "open") {
      this.#takeItems(peer, frame.items);
      const digest = makeDigest(this.#store, frame.buckets, this.#options.random);
      return this.#encode({
        type: "digest",
        ...digest,
        items: [...this.#lastWords(peer), ...this.#news.collect()].slice(0, limits.itemsPerFrameMax),
      });
    }
    if (frame.type === "exchange") {
      this.#takeItems(peer, frame.items);
      const basket = new ItemBasket();
      for (const id of frame.wants) {
        const subject = this.#store.subjects.get(id);
        if (subject !== undefined && !basket.addSubject(subject)) break;
      }
      return this.#encode({ type: "news", items: basket.items });
    }
    this.#effects.push({ type: "refused", reason: "malformed", peer, detail: `${frame.type} is no request` });
    return new Refusal("malformed", `${frame.type} is no request`);
  }

  /** What a buried node died of, so that it can refute it if it lives. */
  #lastWords(peer: NodeId): readonly SignedItem[] {
    return this.#store.subjects.has(peer) ? [] : (this.#store.graves.get(peer)?.verdicts ?? []);
  }

  /** Takes the answer to {@link openRound}. Returns what to ask next, undefined where both hold the same. */
  digestReceived(peer: NodeId, bytes: Uint8Array, now: Now): Uint8Array | undefined {
    this.#now = now;
    const frame = this.#decode(peer, bytes);
    if (frame instanceof Refusal) return undefined;
    if (frame.type !== "digest") {
      this.#effects.push({ type: "refused", reason: "malformed", peer, detail: `${frame.type} answers no open` });
      return undefined;
    }
    this.#takeItems(peer, frame.items);
    const plan = planExchange(this.#store, frame, this.#options.random);
    const basket = new ItemBasket();
    for (const subject of plan.push) if (!basket.addSubject(subject)) break;
    if (basket.items.length === 0 && plan.wants.length === 0) return undefined;
    return this.#encode({ type: "exchange", items: basket.items, wants: plan.wants });
  }

  /** Takes a one-way message, or the answer to an exchange. */
  received(peer: NodeId, bytes: Uint8Array, now: Now): void {
    this.#now = now;
    const frame = this.#decode(peer, bytes);
    if (frame instanceof Refusal) return;
    switch (frame.type) {
      case "news":
        this.#takeItems(peer, frame.items);
        return;
      case "beat":
        this.#takeBeat(peer, frame);
        return;
      case "watch":
        if (this.#store.subjects.has(peer)) this.#heartbeats.watchedBy(peer, this.#now.nowMs);
        return;
      case "open":
      case "digest":
      case "exchange":
        this.#effects.push({
          type: "refused",
          reason: "malformed",
          peer,
          detail: `${frame.type} is no one-way message`,
        });
    }
  }

  #takeBeat(peer: NodeId, beat: Extract<Frame, { type: "beat" }>): void {
    const subject = this.#store.subjects.get(peer);
    if (subject === undefined) {
      if (this.#store.graves.covers(peer, beat.generation, beat.incarnation)) this.#tell(peer, this.#lastWords(peer));
      return;
    }
    if (beat.generation !== subject.record.generation) {
      if (beat.generation < subject.record.generation) {
        this.#effects.push({ type: "refused", reason: "foreign-beat", peer, detail: `generation ${beat.generation}` });
      }
      return;
    }
    this.#judge.beat(subject, beat.sequence, this.#now.nowMs);
    const accused = this.#judge.standing(peer)?.status === "dead" && beat.incarnation <= subject.record.incarnation;
    if (accused) {
      this.#tell(
        peer,
        [...subject.verdicts.values()].map((held) => held.item),
      );
    }
  }

  /** Tells a node that is taken for dead, and speaks, what is said of it. */
  #tell(peer: NodeId, items: readonly SignedItem[]): void {
    if (this.#heartbeats.mayTell(peer, this.#now.nowMs)) this.#push([peer], items);
  }

  /** Honest nodes check before they relay: after the first forgery the rest of a frame is not worth a look. */
  #takeItems(peer: NodeId, items: readonly SignedItem[]): void {
    for (const item of items) {
      const outcome = this.#store.apply(item, this.#now);
      this.#absorb(peer, item, outcome);
      if (outcome.type === "refused" && (outcome.reason === "signature" || outcome.reason === "malformed")) return;
    }
  }

  #absorb(peer: NodeId, item: SignedItem, outcome: Outcome): void {
    switch (outcome.type) {
      case "ignored":
        return;
      case "refused":
        this.#effects.push({ type: "refused", reason: outcome.reason, peer, detail: outcome.detail });
        return;
      case "own":
        this.#meetOwn(outcome.record);
        return;
      case "record":
        this.#recordTaken(outcome.subject, outcome.previous, item);
        return;
      case "verdict":
        this.#verdictTaken(outcome.subject, outcome.held);
        return;
      case "equivocation":
        this.#effects.push({
          type: "refused",
          reason: "equivocation",
          peer,
          detail: `${outcome.origin} signed two contents`,
        });
        if (!outcome.kept) return;
        this.#judge.review(outcome.subject, this.#now.nowMs);
        this.#effects.push({ type: "member", id: outcome.subject.id });
    }
  }

  #meetOwn(record: GossipRecord): void {
    const resolved = this.#own.surpass(record, this.#now.wallMs);
    this.#effects.push({ type: "own-conflict", generation: this.#own.generation, resolved });
    if (!resolved) return;
    this.#publish();
    this.pushOwnRecord();
  }

  #recordTaken(subject: Subject, previous: GossipRecord | undefined, item: SignedItem): void {
    const { record } = subject;
    this.#news.add(subjectKey(record), item, this.#store.subjects.size);
    this.#effects.push({ type: "addresses", id: record.id, addresses: record.addresses });
    this.#judge.recordChanged(subject, previous, this.#now.nowMs);
    if (previous === undefined || !sayTheSame(previous, record)) this.#effects.push({ type: "member", id: record.id });
  }

  #verdictTaken(subject: Subject, held: HeldVerdict): void {
    const { verdict, item } = held;
    this.#news.add(subjectKey(verdict), item, this.#store.subjects.size);
    if (subject.id === this.#self) {
      if (accuses(verdict.opinion) && !this.#own.left) this.#refute(verdict);
      return;
    }
    if (verdict.observer === this.#self && verdict.observerGeneration === this.#own.generation) {
      this.#verdictSequence = Math.max(this.#verdictSequence, verdict.sequence);
    }
    const deadBefore = this.#judge.standing(subject.id)?.status === "dead";
    this.#judge.verdictChanged(subject, verdict.opinion, this.#now.nowMs);
    if (verdict.opinion === "closed" && !deadBefore && this.#judge.isObserverOf(subject.id)) {
      this.#effects.push({ type: "probe", id: subject.id });
    }
  }

  #refute(verdict: Verdict): void {
    this.#own.raiseIncarnation();
    if (verdict.opinion !== "closed") this.#health.blame(this.#now.nowMs, 1);
    this.#publish();
    this.#push(new Set([verdict.observer, ...this.#audience()]), this.#ownItems());
    this.#effects.push({ type: "refuted", by: verdict.observer, incarnation: this.#own.incarnation });
  }

  // --- evidence from the transport --------------------------------------------------------------------------------------

  /** Which life of a node a probe would be about; undefined where there is nothing to find out. */
  probeTarget(id: NodeId): { readonly generation: number; readonly incarnation: number } | undefined {
    const subject = this.#store.subjects.get(id);
    const status = this.#judge.standing(id)?.status;
    if (id === this.#self || subject === undefined || status === "dead" || status === "left") return undefined;
    return { generation: subject.record.generation, incarnation: subject.record.incarnation };
  }

  /** The connections of that life were closed and its door was shut, twice. */
  closed(id: NodeId, life: { readonly generation: number; readonly incarnation: number }, now: Now): void {
    this.#now = now;
    const subject = this.#store.subjects.get(id);
    const current = subject?.record;
    if (subject === undefined || current?.generation !== life.generation || current.incarnation !== life.incarnation)
      return;
    this.#judge.closed(subject, now.nowMs);
  }

  frozen(nowMs: number): boolean {
    return this.#health.frozen(nowMs);
  }

  // --- views ------------------------------------------------------------------------------------------------------------

  *members(): Generator<MemberFacts> {
    for (const subject of this.#store.subjects.values()) {
      const standing = this.#judge.standing(subject.id);
      if (standing !== undefined) yield { record: subject.record, standing };
    }
  }

  member(id: NodeId): MemberFacts | undefined {
    const subject = this.#store.subjects.get(id);
    const standing = this.#judge.standing(id);
    return subject === undefined || standing === undefined ? undefined : { record: subject.record, standing };
  }

  phi(id: NodeId, nowMs: number): number {
    return this.#judge.phi(id, nowMs);
  }

  health(nowMs: number): LocalHealth {
    return this.#health.report(nowMs);
  }
}
