import type { DeathEvidence, MembershipStrategy, MemberStatus, NodeId } from "@revoada/fabric";
import { accuses, type GossipRecord, type Opinion } from "./items.ts";
import type { LocalHealthMonitor } from "./local-health.ts";
import { ObserverPlan } from "./observers.ts";
import type { GossipStore } from "./store.ts";
import { type Life, OwnSubject, type Subject, zoneKey } from "./subject.ts";
import { BeatTracker, type Circumstances } from "./tracker.ts";

export interface JudgeOptions {
  readonly self: NodeId;
  readonly strategy: MembershipStrategy;
  readonly store: GossipStore;
  readonly health: LocalHealthMonitor;
  /** Signs and spreads a new opinion of the local node. */
  readonly issue: (subject: OwnSubject, opinion: Opinion) => void;
  /** The status or evidence of a subject is another now. */
  readonly changed: (subject: Subject, before: MemberStatus | undefined) => void;
}

/** Of almost everybody, almost always. */
const nothingSaid = { status: "alive", evidence: undefined } as const;

/** True where a node may be in another zone than before. One that is not named in the head may be named in any page. */
function mayHaveMoved(previous: GossipRecord, record: GossipRecord): boolean {
  const zone = record.keys.get(zoneKey);
  return zone !== previous.keys.get(zoneKey) || (zone === undefined && record.pages.length > 0);
}

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
  readonly #closed = new Map<NodeId, Life>();
  readonly #dead = new Set<NodeId>();
  #departed = 0;
  #neededBefore = 0;
  #plan = new ObserverPlan([]);
  #planStale = true;
  #plannedMs = Number.NEGATIVE_INFINITY;

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

  /** What this node takes it for; undefined where it knows nothing of it. */
  statusOf(id: NodeId): MemberStatus | undefined {
    const subject = this.#options.store.subjects.get(id);
    return subject?.judged === true ? subject.status : undefined;
  }

  /** Those whom this node takes for dead. */
  get dead(): ReadonlySet<NodeId> {
    return this.#dead;
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

  /** How many have to say so for it to be believed: two, or one where there are no more than three nodes. */
  get accusersNeeded(): number {
    return this.#options.store.subjects.size - this.#departed <= 3 ? 1 : 2;
  }

  /** Works the observers out again where they may have changed, less often the more nodes there are. */
  replan(nowMs: number): void {
    const { store, strategy, self } = this.#options;
    const pauseMs = strategy.gossipCadenceMs * Math.floor(store.subjects.size / 100);
    if (!this.#planStale || nowMs - this.#plannedMs < pauseMs) return;
    this.#planStale = false;
    this.#plannedMs = nowMs;
    const find = (id: NodeId): Subject | undefined => {
      const subject = store.subjects.get(id);
      return subject !== undefined && this.#isCandidate(subject) ? subject : undefined;
    };
    const everybody = [...store.subjects.values()];
    this.#plan = new ObserverPlan(
      everybody.filter((subject) => this.#isCandidate(subject)),
      find,
    );
    const lagMs = this.#options.health.lagMs(nowMs);
    const watcher = find(self);
    for (const subject of everybody) {
      // Whoever found a death keeps listening to the dead, so as to know them when they are back.
      const wanted =
        (watcher !== undefined && this.#isCandidate(subject) && this.#plan.watches(watcher, subject)) ||
        (subject.status === "dead" && this.#trackers.has(subject.id));
      if (!wanted) this.#stopObserving(subject, nowMs);
      else if (!this.#trackers.has(subject.id)) this.#trackers.set(subject.id, new BeatTracker(strategy, nowMs, lagMs));
    }
  }

  #stopObserving(subject: Subject, nowMs: number): void {
    if (!this.#trackers.delete(subject.id) || !subject.awaitingBeats) return;
    // It will not be heard here again: what its observers say of it has to do.
    const own = this.#options.store.subjects.takeOver(subject);
    own.awaitingBeats = false;
    this.refresh(own, nowMs);
  }

  #isCandidate(subject: Subject): boolean {
    return subject.record.status !== "left" && subject.status !== "dead";
  }

  /** A new record of a subject was taken in. */
  recordChanged(subject: OwnSubject, previous: GossipRecord | undefined, nowMs: number): void {
    const { generation, incarnation } = subject.record;
    const tracker = this.#trackers.get(subject.id);
    const wasDead = subject.status === "dead";
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
    if (wasDead && subject.deadAt === undefined && tracker !== undefined && subject.status === "alive") {
      subject.awaitingBeats = this.#trackers.get(subject.id)?.steady !== true;
      this.refresh(subject, nowMs);
    }
    // Whoever is new, has died, left or is back is noticed where its status changes.
    if (previous !== undefined && mayHaveMoved(previous, subject.record)) this.#planStale = true;
  }

  /** A subject is gone. */
  removed(subject: Subject): void {
    this.#trackers.delete(subject.id);
    this.#closed.delete(subject.id);
    this.#dead.delete(subject.id);
    if (subject.status === "left") this.#departed -= 1;
    this.#planStale = true;
  }

  /** A verdict of somebody else was taken in. */
  verdictChanged(subject: OwnSubject, opinion: Opinion, nowMs: number): void {
    if (accuses(opinion)) this.#trackers.get(subject.id)?.seconded(this.circumstances(nowMs));
    this.review(subject, nowMs);
  }

  /** A direct sign of life of the process that the record speaks of. */
  beat(subject: Subject, sequence: number, nowMs: number): void {
    const tracker = this.#trackers.get(subject.id);
    // Of one that is calm a sign of life says nothing that is not known.
    if (tracker?.beat(this.circumstances(nowMs), sequence) !== true || !(subject instanceof OwnSubject)) return;
    if (tracker.steady) subject.awaitingBeats = false;
    if (subject.verdicts.length > 0 || subject.status !== "alive") this.review(subject, nowMs);
  }

  /** The subject's connections were closed and its door was found shut, twice. */
  closed(subject: Subject, nowMs: number): void {
    this.#closed.set(subject.id, { generation: subject.record.generation, incarnation: subject.record.incarnation });
    this.#trackers.get(subject.id)?.lose();
    this.review(this.#options.store.subjects.takeOver(subject), nowMs);
  }

  /** Judges every silence. */
  evaluate(nowMs: number): void {
    const { store } = this.#options;
    const circumstances = this.circumstances(nowMs);
    for (const [id, tracker] of this.#trackers) {
      const subject = store.subjects.get(id);
      if (subject === undefined) continue;
      if (subject.record.status !== "left") tracker.evaluate(circumstances);
      if (tracker.hearing === "heard") continue;
      const own = store.subjects.takeOver(subject);
      if (!store.unsettled.has(own)) this.review(own, nowMs);
    }
    for (const subject of this.#due(nowMs)) {
      this.review(subject, nowMs);
      if (store.unsettled.has(subject)) store.unsettled.set(subject, this.#nextReviewMs(subject, nowMs));
    }
  }

  /** Those of whom something may follow by now that did not before. Of those who are observed here that is so in every round. */
  #due(nowMs: number): readonly OwnSubject[] {
    const due: OwnSubject[] = [];
    const needed = this.accusersNeeded;
    const isNew = needed !== this.#neededBefore;
    this.#neededBefore = needed;
    for (const [subject, notBeforeMs] of this.#options.store.unsettled) {
      const isObserved = this.#trackers.has(subject.id);
      // The dead stay dead until they say otherwise themselves: only whoever listens to them has something to say.
      const isOver = subject.deadAt !== undefined && !isObserved;
      const mayChange = notBeforeMs <= nowMs || isObserved || isNew;
      if (mayChange && !isOver && subject.id !== this.#options.self) due.push(subject);
    }
    return due;
  }

  /**
   * When time alone may change what follows from what is said of one that is not observed here: once a foreign accusation has stood for
   * long enough. Whether somebody who vouches is trusted depends on what is said of that one, and what this node said itself is taken back
   * as soon as it may be: both are looked at in every round.
   */
  #nextReviewMs(subject: Subject, nowMs: number): number {
    let nextMs = Number.POSITIVE_INFINITY;
    for (const { verdict, sinceMs } of subject.verdicts) {
      const { observer, opinion } = verdict;
      if (opinion === "heard" || (observer === this.#options.self && opinion !== "none")) return 0;
      const standsMs = sinceMs + this.#options.strategy.failureDetectorTimeoutMs;
      if (accuses(opinion) && standsMs > nowMs) nextMs = Math.min(nextMs, standsMs);
    }
    return nextMs;
  }

  /** Says what this node thinks of the subject where that has changed, and draws the conclusion. */
  review(subject: OwnSubject, nowMs: number): void {
    if (subject.id !== this.#options.self && subject.record.status !== "left") {
      const said = subject.verdictOf(this.#options.self)?.verdict.opinion ?? "none";
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
    for (const { verdict, sinceMs } of subject.verdicts)
      if (verdict.observer !== this.#options.self && accuses(verdict.opinion)) accusedMs = Math.max(accusedMs, sinceMs);
    return accusedMs > Number.NEGATIVE_INFINITY && tracker.lastBeatMs > accusedMs;
  }

  /** Works the status out again. */
  refresh(subject: OwnSubject, nowMs: number): void {
    const before = subject.judged ? subject.status : undefined;
    const evidenceBefore = subject.evidence;
    if (!subject.judged) {
      subject.judged = true;
      subject.sinceMs = nowMs;
    }
    const { generation, incarnation } = subject.record;
    if (subject.deadAt?.generation !== generation || subject.deadAt.incarnation !== incarnation)
      subject.deadAt = undefined;
    const { status, evidence } = this.#conclude(subject, nowMs);
    subject.evidence = evidence;
    if (status === before && evidence === evidenceBefore) return;
    subject.status = status;
    if (status !== before) this.#moved(subject, before, nowMs);
    if (before === undefined || [status, before].some((each) => each === "dead" || each === "left"))
      this.#planStale = true;
    this.#options.changed(subject, before);
  }

  #moved(subject: OwnSubject, before: MemberStatus | undefined, nowMs: number): void {
    const { status } = subject;
    subject.sinceMs = nowMs;
    if (before === "left") this.#departed -= 1;
    if (status === "left") this.#departed += 1;
    if (before === "dead") this.#dead.delete(subject.id);
    if (status !== "dead") return;
    this.#dead.add(subject.id);
    subject.deadAt = { generation: subject.record.generation, incarnation: subject.record.incarnation };
    subject.awaitingBeats = false;
    this.#trackers.get(subject.id)?.lose();
  }

  #conclude(
    subject: Subject,
    nowMs: number,
  ): { readonly status: MemberStatus; readonly evidence: DeathEvidence | undefined } {
    if (subject.record.status === "left") return { status: "left", evidence: undefined };
    if (subject.id === this.#options.self) return { status: "alive", evidence: undefined };
    if (subject.deadAt !== undefined) return { status: "dead", evidence: subject.evidence };
    if (subject.verdicts.length === 0 && !subject.awaitingBeats) return nothingSaid;
    const said = subject.verdictOf(this.#options.self)?.verdict.opinion;
    const count = this.#countAccusers(subject, said === "silent" || said === "closed", nowMs);
    const needed = this.accusersNeeded;
    const hears = this.#hears(subject, nowMs);
    // One foreign word is not enough against one's own ears, however few nodes there are: this node knocks at the door itself then.
    if (count.closed >= (said === "heard" || hears ? 2 : needed)) return { status: "dead", evidence: "closed" };
    if (count.vouching > 0 || hears) return { status: "alive", evidence: undefined };
    if (count.dead >= needed) return { status: "dead", evidence: "silent" };
    const accusedHere = said !== undefined && accuses(said);
    const suspect = accusedHere || subject.awaitingBeats || count.accusing >= needed;
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
    for (const held of subject.verdicts) {
      const { opinion, observer } = held.verdict;
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
    for (const held of subject.verdicts) if (accuses(held.verdict.opinion)) accusers += 1;
    return accusers < this.accusersNeeded && subject.status !== "dead";
  }
}
