import type { DeathEvidence, MemberStatus, MembershipStrategy, NodeId } from "@revoada/fabric";
import { accuses, type Opinion } from "./items.ts";
import type { LocalHealthMonitor } from "./local-health.ts";
import { ObserverPlan } from "./observers.ts";
import type { GossipStore, Subject } from "./store.ts";
import { BeatTracker, type Circumstances } from "./tracker.ts";

/** What a node makes of another, from its own ears and from the verdicts that it holds. */
export interface Standing {
  status: MemberStatus;
  evidence: DeathEvidence | undefined;
  sinceMs: number;
  /** The (generation, incarnation) that a death was found for; it stands until the subject itself raises one of them. */
  deadAt: { readonly generation: number; readonly incarnation: number } | undefined;
  /** Back from the dead by its own word, not yet heard twice by this observer. */
  awaitingBeats: boolean;
}

export interface JudgeOptions {
  readonly self: NodeId;
  readonly strategy: MembershipStrategy;
  readonly store: GossipStore;
  readonly health: LocalHealthMonitor;
  /** Signs and spreads a new opinion of the local node. */
  readonly issue: (subject: Subject, opinion: Opinion) => void;
  /** The status or evidence of a subject is another now. */
  readonly changed: (subject: Subject, standing: Standing, before: MemberStatus | undefined) => void;
}

/** The zone that a node says it is in. */
const zoneKey = "zone";

/**
 * Turns signs of life and verdicts into statuses.
 *
 * A death needs two distinct accusers, one where there are at most three nodes. Accusations of silence do not count while
 * another observer, itself not accused, vouches that it hears the subject; a closed connection with a refused redial is
 * countered by nobody but the subject.
 */
export class Judge {
  readonly #options: JudgeOptions;
  readonly #trackers = new Map<NodeId, BeatTracker>();
  readonly #closed = new Map<NodeId, { readonly generation: number; readonly incarnation: number }>();
  readonly #standings = new Map<NodeId, Standing>();
  #plan = new ObserverPlan([]);
  #planStale = true;
  #plannedMs = Number.NEGATIVE_INFINITY;
  #population = 1;

  constructor(options: JudgeOptions) {
    this.#options = options;
  }

  circumstances(nowMs: number): Circumstances {
    const { health } = this.#options;
    return {
      nowMs,
      lagMs: health.lagMs(nowMs),
      stretch: health.stretch,
      maySuspect: health.maySuspect(nowMs),
      frozen: health.frozen(nowMs),
    };
  }

  standing(id: NodeId): Standing | undefined {
    return this.#standings.get(id);
  }

  get plan(): ObserverPlan {
    return this.#plan;
  }

  isObserverOf(id: NodeId): boolean {
    return this.#trackers.has(id);
  }

  phi(id: NodeId, nowMs: number): number {
    return this.#trackers.get(id)?.phi(this.circumstances(nowMs)) ?? 0;
  }

  /** The nodes that this one watches over. */
  watched(): IterableIterator<NodeId> {
    return this.#trackers.keys();
  }

  #accusersNeeded(): number {
    return this.#population <= 3 ? 1 : 2;
  }

  /** A subject came, went, moved to another zone, died or returned: who observes whom may be different. */
  #replanLater(): void {
    this.#planStale = true;
    let population = 0;
    for (const subject of this.#options.store.subjects.values()) if (subject.record.status !== "left") population += 1;
    this.#population = population;
  }

  /** Works the observers out again where they may have changed, less often the more nodes there are. */
  replan(nowMs: number): void {
    const { store, strategy, self } = this.#options;
    const pauseMs = strategy.gossipCadenceMs * Math.floor(store.subjects.size / 100);
    if (!this.#planStale || nowMs - this.#plannedMs < pauseMs) return;
    this.#planStale = false;
    this.#plannedMs = nowMs;
    const candidates = [...store.subjects.values()].filter((subject) => this.#isCandidate(subject));
    this.#plan = new ObserverPlan(
      candidates.map((subject) => ({
        id: subject.id,
        zone: subject.record.keys.get(zoneKey) ?? "",
        words: subject.words,
      })),
    );
    const lagMs = this.#options.health.lagMs(nowMs);
    for (const subject of store.subjects.values()) {
      const standing = this.#standings.get(subject.id);
      // Whoever found a death keeps listening to the dead, so as to know them when they are back.
      const wanted =
        this.#plan.observes(self, subject.id) || (standing?.status === "dead" && this.#trackers.has(subject.id));
      if (!wanted) this.#trackers.delete(subject.id);
      else if (!this.#trackers.has(subject.id)) this.#trackers.set(subject.id, new BeatTracker(strategy, nowMs, lagMs));
    }
  }

  #isCandidate(subject: Subject): boolean {
    const status = this.#standings.get(subject.id)?.status;
    return subject.record.status !== "left" && status !== "dead";
  }

  /** A new record of a subject was taken in. */
  recordChanged(
    subject: Subject,
    previous: { readonly generation: number; readonly incarnation: number } | undefined,
    nowMs: number,
  ): void {
    const { generation, incarnation } = subject.record;
    const tracker = this.#trackers.get(subject.id);
    const wasDead = this.#standings.get(subject.id)?.status === "dead";
    if (previous !== undefined && generation !== previous.generation) {
      this.#closed.delete(subject.id);
      if (tracker !== undefined) {
        this.#trackers.set(
          subject.id,
          new BeatTracker(this.#options.strategy, nowMs, this.#options.health.lagMs(nowMs)),
        );
      }
    } else if (previous !== undefined && incarnation !== previous.incarnation) {
      this.#closed.delete(subject.id);
      tracker?.refuted(this.circumstances(nowMs));
    }
    this.refresh(subject, nowMs);
    const standing = this.#standings.get(subject.id);
    if (
      standing !== undefined &&
      wasDead &&
      standing.deadAt === undefined &&
      tracker !== undefined &&
      standing.status === "alive"
    ) {
      standing.awaitingBeats = this.#trackers.get(subject.id)?.steady !== true;
      this.refresh(subject, nowMs);
    }
    this.#replanLater();
  }

  /** A subject is gone. */
  removed(id: NodeId): void {
    this.#trackers.delete(id);
    this.#closed.delete(id);
    this.#standings.delete(id);
    this.#replanLater();
  }

  /** A verdict of somebody else was taken in. */
  verdictChanged(subject: Subject, opinion: Opinion, nowMs: number): void {
    if (accuses(opinion)) this.#trackers.get(subject.id)?.seconded(this.circumstances(nowMs));
    this.review(subject, nowMs);
  }

  /** A direct sign of life of the process that the record speaks of. */
  beat(subject: Subject, sequence: number, nowMs: number): void {
    const tracker = this.#trackers.get(subject.id);
    if (tracker?.beat(this.circumstances(nowMs), sequence) !== true) return;
    const standing = this.#standings.get(subject.id);
    if (tracker.steady && standing !== undefined) standing.awaitingBeats = false;
    if (subject.verdicts.size > 0 || standing?.status !== "alive") this.review(subject, nowMs);
  }

  /** The subject's connections were closed and its door was found shut, twice. */
  closed(subject: Subject, nowMs: number): void {
    this.#closed.set(subject.id, { generation: subject.record.generation, incarnation: subject.record.incarnation });
    this.#trackers.get(subject.id)?.lose();
    this.review(subject, nowMs);
  }

  /** Judges every silence. */
  evaluate(nowMs: number): void {
    const circumstances = this.circumstances(nowMs);
    for (const subject of this.#options.store.subjects.values()) {
      if (subject.id === this.#options.self) continue;
      const tracker = this.#trackers.get(subject.id);
      if (tracker !== undefined && subject.record.status !== "left") tracker.evaluate(circumstances);
      const unheard = tracker !== undefined && tracker.hearing !== "heard";
      if (unheard || subject.verdicts.size > 0) this.review(subject, nowMs);
    }
  }

  /** Says what this node thinks of the subject where that has changed, and draws the conclusion. */
  review(subject: Subject, nowMs: number): void {
    if (subject.id !== this.#options.self && subject.record.status !== "left") {
      const said = subject.verdicts.get(this.#options.self)?.verdict.opinion ?? "none";
      const opinion = this.#opinion(subject, said, nowMs);
      if (opinion !== said) this.#options.issue(subject, opinion);
    }
    this.refresh(subject, nowMs);
  }

  #opinion(subject: Subject, said: Opinion, nowMs: number): Opinion {
    const closed = this.#closed.get(subject.id);
    if (closed?.generation === subject.record.generation && closed.incarnation === subject.record.incarnation)
      return "closed";
    // A death is taken back by its subject alone.
    if (said === "silent" || said === "closed") return said;
    const circumstances = this.circumstances(nowMs);
    if (circumstances.frozen) return said;
    const tracker = this.#trackers.get(subject.id);
    if (tracker === undefined) return "none";
    if (tracker.hearing !== "heard") return tracker.hearing;
    if (tracker.quiet(circumstances)) return "none";
    return said === "heard" || this.#hearsTheAccused(subject, tracker) ? "heard" : "none";
  }

  #hearsTheAccused(subject: Subject, tracker: BeatTracker): boolean {
    if (!tracker.steady || tracker.lastBeatMs === undefined) return false;
    let accusedMs = Number.NEGATIVE_INFINITY;
    for (const [observer, held] of subject.verdicts) {
      if (observer !== this.#options.self && accuses(held.verdict.opinion))
        accusedMs = Math.max(accusedMs, held.sinceMs);
    }
    return accusedMs > Number.NEGATIVE_INFINITY && tracker.lastBeatMs > accusedMs;
  }

  /** Works the status out again. */
  refresh(subject: Subject, nowMs: number): void {
    let standing = this.#standings.get(subject.id);
    const before = standing?.status;
    const evidenceBefore = standing?.evidence;
    if (standing === undefined) {
      standing = { status: "alive", evidence: undefined, sinceMs: nowMs, deadAt: undefined, awaitingBeats: false };
      this.#standings.set(subject.id, standing);
    }
    const { generation, incarnation } = subject.record;
    if (standing.deadAt?.generation !== generation || standing.deadAt.incarnation !== incarnation)
      standing.deadAt = undefined;
    const { status, evidence } = this.#conclude(subject, standing, nowMs);
    standing.evidence = evidence;
    if (status === before && evidence === evidenceBefore) return;
    standing.status = status;
    if (status !== before) standing.sinceMs = nowMs;
    if (status === "dead" && before !== "dead") {
      standing.deadAt = { generation, incarnation };
      standing.awaitingBeats = false;
      this.#trackers.get(subject.id)?.lose();
    }
    if (status === "dead" || status === "left" || before === undefined || before === "dead" || before === "left")
      this.#replanLater();
    this.#options.changed(subject, standing, before);
  }

  #conclude(
    subject: Subject,
    standing: Standing,
    nowMs: number,
  ): { readonly status: MemberStatus; readonly evidence: DeathEvidence | undefined } {
    if (subject.record.status === "left") return { status: "left", evidence: undefined };
    if (subject.id === this.#options.self) return { status: "alive", evidence: undefined };
    if (standing.deadAt !== undefined) return { status: "dead", evidence: standing.evidence };
    const said = subject.verdicts.get(this.#options.self)?.verdict.opinion;
    const count = this.#countAccusers(subject, said === "silent" || said === "closed", nowMs);
    const needed = this.#accusersNeeded();
    // One foreign word is not enough against one's own ears, however few nodes there are.
    if (count.closed >= (said === "heard" ? 2 : needed)) return { status: "dead", evidence: "closed" };
    if (count.vouching > 0 || this.#hears(subject, nowMs)) return { status: "alive", evidence: undefined };
    if (count.dead >= needed) return { status: "dead", evidence: "silent" };
    const accusedHere = said !== undefined && accuses(said);
    const suspect = accusedHere || standing.awaitingBeats || count.accusing >= needed;
    return { status: suspect ? "suspect" : "alive", evidence: undefined };
  }

  /** True where this node itself hears the subject at present: fresher news than what others say of a silence. */
  #hears(subject: Subject, nowMs: number): boolean {
    const tracker = this.#trackers.get(subject.id);
    return tracker?.hearing === "heard" && tracker.steady && !tracker.quiet(this.circumstances(nowMs));
  }

  /**
   * Counts who says what. Foreign silence counts only after it has stood for a while, so that the subject and those who hear it
   * can answer first (news of a silence may be old, as after a partition), unless this node has found the death itself.
   */
  #countAccusers(
    subject: Subject,
    foundHere: boolean,
    nowMs: number,
  ): { closed: number; dead: number; accusing: number; vouching: number } {
    const count = { closed: 0, dead: 0, accusing: 0, vouching: 0 };
    const standsSinceMs = nowMs - this.#options.strategy.failureDetectorTimeoutMs;
    for (const [observer, held] of subject.verdicts) {
      const { opinion } = held.verdict;
      if (opinion === "closed") count.closed += 1;
      const counts = foundHere || observer === this.#options.self || held.sinceMs <= standsSinceMs;
      if (counts && (opinion === "silent" || opinion === "closed")) count.dead += 1;
      if (counts && accuses(opinion)) count.accusing += 1;
      if (opinion === "heard" && this.#trusts(observer)) count.vouching += 1;
    }
    return count;
  }

  /** A vouching observer counts only while nobody else needs vouching for it, so that two dead cannot keep each other alive. */
  #trusts(observer: NodeId): boolean {
    if (observer === this.#options.self) return true;
    const subject = this.#options.store.subjects.get(observer);
    if (subject === undefined || subject.record.status === "left") return false;
    const hearing = this.#trackers.get(observer)?.hearing;
    if (hearing !== undefined && hearing !== "heard") return false;
    let accusers = 0;
    for (const held of subject.verdicts.values()) if (accuses(held.verdict.opinion)) accusers += 1;
    return accusers < this.#accusersNeeded() && this.#standings.get(observer)?.status !== "dead";
  }
}
