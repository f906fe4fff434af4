import type { ClusterId, Identity, NodeId } from "@revoada/fabric";
import {
  accuses,
  encodeVerdict,
  type GossipRecord,
  type Opinion,
  sayTheSame,
  type SignedItem,
  type Verdict,
} from "./items.ts";
import type { Judge } from "./judge.ts";
import type { LocalHealthMonitor } from "./local-health.ts";
import { ItemBasket } from "./reconcile.ts";
import type { Outcome } from "./store.ts";
import type { HeldVerdict, OwnSubject, Subject } from "./subject.ts";
import type { Voice } from "./voice.ts";

export interface IntakeOptions {
  readonly identity: Identity;
  readonly clusterId: ClusterId;
  readonly voice: Voice;
  readonly judge: Judge;
  readonly health: LocalHealthMonitor;
}

/** Takes in what others signed, signs what this node thinks of others, and decides who is to hear of either. */
export class Intake {
  readonly #options: IntakeOptions;
  readonly #voice: Voice;
  readonly #judge: Judge;
  #verdictSequence = 0;

  constructor(options: IntakeOptions) {
    this.#options = options;
    this.#voice = options.voice;
    this.#judge = options.judge;
  }

  // --- what the local node says of itself -----------------------------------------------------------------------------

  /** Signs what the local node says of itself, and lets it ride along with the next rounds. */
  publish(): void {
    const { store, own, now, self } = this.#voice;
    const { record, item, pages } = own.publish(now.wallMs);
    const previous = store.subjects.get(self)?.record;
    const subject = store.put(record, item);
    for (const held of pages) {
      store.putPage(subject, held);
      this.#voice.spread(held.page, held.item);
    }
    this.#voice.spread(record, item);
    this.#judge.recordChanged(subject, previous, now.nowMs);
    this.#voice.tell({ type: "member", id: self });
  }

  /** The head of the local node, and what changed with it last. */
  ownItems(): readonly SignedItem[] {
    const subject = this.#voice.store.subjects.get(this.#voice.self);
    if (subject === undefined) return [];
    const basket = new ItemBasket();
    basket.add(subject.item);
    for (const { page, item } of subject.currentPages()) if (page.version === subject.record.version) basket.add(item);
    return basket.items;
  }

  // --- what the local node says of others -------------------------------------------------------------------------------

  /** Signs a new opinion of a subject and tells those whom it concerns. */
  issue(subject: OwnSubject, opinion: Opinion): void {
    const voice = this.#voice;
    this.#verdictSequence += 1;
    const { generation, incarnation } = subject.record;
    const verdict: Verdict = {
      observer: voice.self,
      observerGeneration: voice.own.generation,
      sequence: this.#verdictSequence,
      subject: subject.id,
      generation,
      incarnation,
      opinion,
    };
    const payload = encodeVerdict(this.#options.clusterId, verdict);
    const item = { payload, signature: this.#options.identity.sign(payload) };
    voice.store.putVerdict(subject, { verdict, item, sinceMs: voice.now.nowMs, shared: false });
    this.#shareWhatIsForAll(subject);
    const shared = subject.verdictOf(voice.self)?.shared === true;
    if (shared) voice.spread(verdict, item);
    const told = new Set(this.#judge.plan.observersOf(subject.id));
    if (shared) for (const id of voice.audience()) told.add(id);
    if (accuses(opinion) && opinion !== "closed") told.add(subject.id);
    voice.send(told, { type: shared ? "news" : "word", items: [item] });
    // Silence alone takes long. Where the door turns out to be shut as well, the death is known sooner.
    if (opinion === "suspect") voice.tell({ type: "probe", id: subject.id });
  }

  /**
   * A death, a suspicion that as many share as a death takes, and whatever answers them are for everybody. What one observer
   * alone suspects is not: where frames are lost that happens all the time, and mostly ends with the next sign of life.
   */
  #shareWhatIsForAll(subject: OwnSubject): void {
    const { store } = this.#voice;
    let accusers = 0;
    let forAll = false;
    for (const { verdict, shared } of subject.verdicts) {
      if (accuses(verdict.opinion)) accusers += 1;
      if (shared || verdict.opinion === "silent" || verdict.opinion === "closed") forAll = true;
    }
    if (!forAll && accusers < this.#judge.accusersNeeded) return;
    for (const held of subject.verdicts) {
      if (held.shared) continue;
      store.share(subject, held);
      this.#voice.spread(held.verdict, held.item);
    }
  }

  // --- what others say --------------------------------------------------------------------------------------------------

  /** Honest nodes check before they relay: after the first forgery the rest of a frame is not worth a look. */
  take(peer: NodeId, items: readonly SignedItem[], shared = true): void {
    for (const item of items) {
      const outcome = this.#voice.store.apply(item, this.#voice.now, shared);
      if (outcome.type === "ignored") this.#voice.news.heardAgain(item);
      else this.#absorb(peer, outcome);
      if (outcome.type === "refused" && (outcome.reason === "signature" || outcome.reason === "malformed")) return;
    }
  }

  #absorb(peer: NodeId, outcome: Exclude<Outcome, { readonly type: "ignored" }>): void {
    switch (outcome.type) {
      case "refused":
        this.#voice.tell({ type: "refused", reason: outcome.reason, peer, detail: outcome.detail });
        return;
      case "own":
        this.#meetOwn(outcome.record);
        return;
      case "record":
        this.#recordTaken(outcome.subject, outcome.previous);
        return;
      case "page":
        this.#voice.spread(outcome.held.page, outcome.held.item);
        this.#voice.tell({ type: "member", id: outcome.subject.id });
        return;
      case "verdict":
        this.#verdictTaken(outcome.subject, outcome.held);
        return;
      case "equivocation":
        this.#voice.tell({
          type: "refused",
          reason: "equivocation",
          peer,
          detail: `${outcome.origin} signed two contents`,
        });
        if (!outcome.kept) return;
        this.#judge.review(this.#voice.store.subjects.takeOver(outcome.subject), this.#voice.now.nowMs);
        this.#voice.tell({ type: "member", id: outcome.subject.id });
    }
  }

  #meetOwn(record: GossipRecord): void {
    const { own, now } = this.#voice;
    const resolved = own.surpass(record, now.wallMs);
    this.#voice.tell({ type: "own-conflict", generation: own.generation, resolved });
    if (!resolved) return;
    this.publish();
    this.#voice.push(this.#voice.audience(), this.ownItems());
  }

  #recordTaken(subject: OwnSubject, previous: GossipRecord | undefined): void {
    const { record, item } = subject;
    this.#voice.spread(record, item);
    this.#voice.tell({ type: "addresses", id: record.id, addresses: record.addresses });
    this.#judge.recordChanged(subject, previous, this.#voice.now.nowMs);
    if (previous === undefined || !sayTheSame(previous, record)) this.#voice.tell({ type: "member", id: record.id });
  }

  #verdictTaken(subject: OwnSubject, held: HeldVerdict): void {
    const { verdict, item } = held;
    if (held.shared) this.#voice.spread(verdict, item);
    this.#shareWhatIsForAll(subject);
    if (subject.id === this.#voice.self) {
      if (accuses(verdict.opinion) && !this.#voice.own.left) this.#answer(subject, verdict);
      return;
    }
    if (verdict.observer === this.#voice.self && verdict.observerGeneration === this.#voice.own.generation) {
      this.#verdictSequence = Math.max(this.#verdictSequence, verdict.sequence);
    }
    const deadBefore = subject.status === "dead";
    this.#judge.verdictChanged(subject, verdict.opinion, this.#voice.now.nowMs);
    if (verdict.opinion === "closed" && !deadBefore && this.#judge.isObserverOf(subject.id)) {
      this.#voice.tell({ type: "probe", id: subject.id });
    }
  }

  /** A single suspect gets a sign of life at once; what everybody hears is answered by a new incarnation, for everybody. */
  #answer(self: Subject, verdict: Verdict): void {
    const voice = this.#voice;
    if (verdict.opinion !== "closed") this.#options.health.blame(voice.now.nowMs, 1);
    if (self.verdictOf(verdict.observer)?.shared !== true) {
      voice.send([verdict.observer], voice.beat());
      return;
    }
    voice.own.raiseIncarnation();
    this.publish();
    voice.push(new Set([verdict.observer, ...voice.audience()]), this.ownItems());
    voice.tell({ type: "refuted", by: verdict.observer, incarnation: voice.own.incarnation });
  }
}
