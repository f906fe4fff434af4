import type { ClusterId, NodeId, SignatureVerifier } from "@revoada/fabric";
import { compareBytes } from "./bytes.ts";
import { Graveyard } from "./graves.ts";
import {
  accuses,
  compareRecords,
  compareVerdicts,
  type GossipRecord,
  type Page,
  type SignedItem,
  type Verdict,
} from "./items.ts";
import { limits } from "./limits.ts";
import type { Reader } from "./reader.ts";
import { Refusal, type RefusalReason } from "./refusal.ts";
import { bucketOf, Members } from "./members.ts";
import { type HeldPage, type HeldVerdict, noVerdicts, OwnSubject, prefixOf, type Subject } from "./subject.ts";
import { tagBytes, toggleTag } from "./tags.ts";

/** What became of an item that came in. */
export type Outcome =
  | { readonly type: "ignored" }
  | { readonly type: "refused"; readonly reason: RefusalReason; readonly detail: string }
  /** A record under the local node's own key that is not from this process. */
  | { readonly type: "own"; readonly record: GossipRecord }
  | { readonly type: "record"; readonly subject: OwnSubject; readonly previous: GossipRecord | undefined }
  | { readonly type: "page"; readonly subject: OwnSubject; readonly held: HeldPage }
  | { readonly type: "verdict"; readonly subject: OwnSubject; readonly held: HeldVerdict }
  /** One origin signed two contents under one version. `kept` says whether the new one won the tie. */
  | { readonly type: "equivocation"; readonly origin: NodeId; readonly subject: Subject; readonly kept: boolean };

export interface StoreOptions {
  readonly self: NodeId;
  readonly clusterId: ClusterId;
  readonly verifier: SignatureVerifier;
  readonly isKnown: ((id: NodeId) => boolean) | undefined;
  readonly reader: Reader;
}

export interface Now {
  readonly nowMs: number;
  readonly wallMs: number;
}

const ignored: Outcome = { type: "ignored" };

function refused(reason: RefusalReason, detail: string): Outcome {
  return { type: "refused", reason, detail };
}

/**
 * True where some of what is said accuses, or the local node itself says anything: only then does the time that passes change what
 * follows from it. What was said and taken back stays known, and is looked at no more.
 */
function isUnsettled(verdicts: readonly HeldVerdict[], self: NodeId): boolean {
  for (const { verdict } of verdicts)
    if (accuses(verdict.opinion) || (verdict.observer === self && verdict.opinion !== "none")) return true;
  return false;
}

/** Of the observers of what is held, the one of the highest id: who has to go where there are too many. */
function highestOf(verdicts: readonly HeldVerdict[]): HeldVerdict {
  return verdicts.reduce((left, right) => (left.verdict.observer > right.verdict.observer ? left : right));
}

/**
 * All signed statements that a node holds: head and pages of each node, the verdicts about it, and the graves.
 *
 * The store believes nothing unsigned and judges nobody: it keeps the newest of each origin and drops what is older, expired,
 * buried, foreign or forged.
 */
export class GossipStore {
  readonly subjects: Members = new Members();
  /**
   * Those whose standing may change with time alone (see {@link isUnsettled}), and the monotonic time before which it will not. Whatever
   * comes in about one of them sets that time to 0.
   */
  readonly unsettled: Map<OwnSubject, number> = new Map();
  /** Those who said good-bye, until they are forgotten. */
  readonly departed: Set<OwnSubject> = new Set();
  readonly graves: Graveyard = new Graveyard();
  /** Fingerprints of everything held, bucket by bucket. */
  readonly tags: Uint8Array = new Uint8Array(limits.bucketCount * tagBytes);
  readonly #unwelcome = new Set<string>();
  readonly #options: StoreOptions;

  constructor(options: StoreOptions) {
    this.#options = options;
  }

  /** Whether the door lets this node in. */
  admits(id: NodeId): boolean {
    return id === this.#options.self || this.#options.isKnown === undefined || this.#options.isKnown(id);
  }

  /** Whether a record that a digest names would be taken in. */
  wants(prefix: string, generation: number, incarnation: number): boolean {
    return !this.#unwelcome.has(prefix) && !this.graves.coversPrefix(prefix, generation, incarnation);
  }

  /** Those who were turned away may be asked for once more: the door may have opened. */
  forgetUnwelcome(): void {
    this.#unwelcome.clear();
  }

  #turnAway(id: NodeId): void {
    if (this.#unwelcome.size < limits.unwelcomeMax) this.#unwelcome.add(prefixOf(id));
  }

  /** Takes in one item from the network. Signatures are checked last and only where the content would change something. */
  apply(item: SignedItem, now: Now, shared: boolean): Outcome {
    try {
      const { clusterId, reader } = this.#options;
      const { item: content, signed } = reader.item(item, clusterId);
      if (content.kind === "record") return this.#applyRecord(content.record, signed, now);
      if (content.kind === "page") return this.#applyPage(content.page, signed);
      return this.#applyVerdict(content.verdict, signed, now, shared);
    } catch (error) {
      if (error instanceof Refusal) return refused(error.reason, error.message);
      throw error;
    }
  }

  #verify(signer: NodeId, item: SignedItem): boolean {
    return this.#options.verifier.verify(signer, item.payload, item.signature);
  }

  #applyRecord(record: GossipRecord, item: SignedItem, now: Now): Outcome {
    if (record.notAfterMs <= now.wallMs) return refused("expired", `expired at ${record.notAfterMs}`);
    if (record.notAfterMs > now.wallMs + limits.recordLifeMaxMs)
      return refused("far-future", `lives until ${record.notAfterMs}`);
    const generationMaxSeconds = now.wallMs / 1_000 + limits.generationAheadMaxSeconds;
    if (record.generation > generationMaxSeconds) return refused("far-future", `generation ${record.generation}`);
    const held = this.subjects.get(record.id);
    if (record.id === this.#options.self) return this.#applyOwn(record, item, held);
    if (!this.admits(record.id)) {
      this.#turnAway(record.id);
      return refused("unknown-node", `record of ${record.id}`);
    }
    if (this.graves.covers(record.id, record.generation, record.incarnation))
      return refused("grave", `record of ${record.id}`);
    if (held === undefined) return this.#addSubject(record, item);
    if (held.item === item) return ignored;
    const order = compareRecords(record, held.record);
    if (order < 0 || (order === 0 && compareBytes(item.payload, held.item.payload) === 0)) return ignored;
    if (!this.#verify(record.id, item)) return refused("signature", `record of ${record.id}`);
    if (order === 0) return this.#settleTie(held, record, item);
    if (held.record.status === "left" && record.status !== "left" && record.generation === held.record.generation) {
      return refused("resurrection", `record of ${record.id}`);
    }
    const previous = held.record;
    return { type: "record", subject: this.#replace(held, record, item), previous };
  }

  #applyOwn(record: GossipRecord, item: SignedItem, held: Subject | undefined): Outcome {
    if (held === undefined || compareRecords(record, held.record) < 0) return ignored;
    if (compareBytes(item.payload, held.item.payload) === 0) return ignored;
    if (!this.#verify(record.id, item)) return refused("signature", "record of the local node");
    return { type: "own", record };
  }

  #addSubject(record: GossipRecord, item: SignedItem): Outcome {
    if (this.subjects.size >= limits.membersMax) {
      this.#turnAway(record.id);
      return refused("capacity", `${this.subjects.size} nodes are known`);
    }
    if (!this.#verify(record.id, item)) return refused("signature", `record of ${record.id}`);
    this.graves.remove(record.id);
    return { type: "record", subject: this.put(record, item), previous: undefined };
  }

  /** Everybody keeps the greater of two conflicting contents, so that all hold the same again. */
  #settleTie(held: Subject, record: GossipRecord, item: SignedItem): Outcome {
    const kept = compareBytes(item.payload, held.item.payload) > 0;
    const subject = kept ? this.#replace(held, record, item) : held;
    return { type: "equivocation", origin: record.id, subject, kept };
  }

  /** Sets a record that is known to be good: the local node's own, or one just verified. */
  put(record: GossipRecord, item: SignedItem): OwnSubject {
    const held = this.subjects.get(record.id);
    if (held !== undefined) return this.#replace(held, record, item);
    const subject = new OwnSubject(record, item);
    this.subjects.add(subject);
    if (record.status === "left") this.departed.add(subject);
    this.#toggle(subject);
    return subject;
  }

  /** Puts what is held of a subject into the fingerprint of its bucket, or takes it out again. */
  #toggle({ id, tagHigh, tagLow }: Subject): void {
    toggleTag(this.tags, bucketOf(id) * tagBytes, tagHigh, tagLow);
  }

  /** What is held of a subject has changed. */
  #retag(subject: OwnSubject): void {
    this.#toggle(subject);
    subject.retag();
    this.#toggle(subject);
  }

  #replace(held: Subject, record: GossipRecord, item: SignedItem): OwnSubject {
    const subject = this.subjects.takeOver(held);
    const reborn = record.generation !== subject.record.generation;
    const renewed = reborn || record.incarnation !== subject.record.incarnation;
    subject.record = record;
    subject.item = item;
    if (reborn) subject.pages = [];
    else if (subject.pages.length > record.pages.length) subject.pages = subject.pages.slice(0, record.pages.length);
    if (renewed) subject.verdicts = noVerdicts;
    if (renewed) this.unsettled.delete(subject);
    if (record.status === "left") this.departed.add(subject);
    else this.departed.delete(subject);
    this.#retag(subject);
    return subject;
  }

  // --- pages ------------------------------------------------------------------------------------------------------------

  /** A page counts where the head names its version: a relay can neither keep an old one alive nor mix two versions. */
  #applyPage(page: Page, item: SignedItem): Outcome {
    const subject = this.subjects.get(page.id);
    if (subject === undefined || page.id === this.#options.self) return ignored;
    if (page.generation !== subject.record.generation || page.version !== subject.record.pages[page.number - 1])
      return ignored;
    const held = subject.pages[page.number - 1];
    const isTie = held?.page.version === page.version;
    if (isTie && compareBytes(item.payload, held.item.payload) === 0) return ignored;
    if (!this.#verify(page.id, item)) return refused("signature", `page of ${page.id}`);
    const kept = !isTie || compareBytes(item.payload, held.item.payload) > 0;
    const fresh: HeldPage = { page, item };
    if (isTie && !kept) return { type: "equivocation", origin: page.id, subject, kept };
    const own = this.subjects.takeOver(subject);
    this.putPage(own, fresh);
    if (isTie) return { type: "equivocation", origin: page.id, subject: own, kept };
    return { type: "page", subject: own, held: fresh };
  }

  putPage(subject: OwnSubject, held: HeldPage): void {
    const pages = [...subject.pages];
    while (pages.length < held.page.number) pages.push(undefined);
    pages[held.page.number - 1] = held;
    subject.pages = pages;
    this.#retag(subject);
  }

  // --- verdicts ---------------------------------------------------------------------------------------------------------

  #applyVerdict(verdict: Verdict, item: SignedItem, now: Now, shared: boolean): Outcome {
    const subject = this.subjects.get(verdict.subject);
    if (subject === undefined || verdict.observer === verdict.subject) return ignored;
    // While it is news the same comes in again and again, and then it is the same object.
    const same = subject.verdicts.find((each) => each.item === item);
    if (same !== undefined && (same.shared || !shared)) return ignored;
    if (verdict.generation !== subject.record.generation || verdict.incarnation !== subject.record.incarnation)
      return ignored;
    if (!this.#mayJudge(verdict.observer)) return ignored;
    const held = subject.verdictOf(verdict.observer);
    const order = held === undefined ? 1 : compareVerdicts(verdict, held.verdict);
    if (held !== undefined && order === 0 && compareBytes(item.payload, held.item.payload) === 0) {
      if (shared && !held.shared) this.share(this.subjects.takeOver(subject), held);
      return ignored;
    }
    if (order < 0 || (held === undefined && !this.#hasRoom(subject, verdict.observer))) return ignored;
    if (!this.#verify(verdict.observer, item)) return refused("signature", `verdict of ${verdict.observer}`);
    const kept = held === undefined || order > 0 || compareBytes(item.payload, held.item.payload) > 0;
    const fresh: HeldVerdict = { verdict, item, sinceMs: now.nowMs, shared };
    if (!kept) return { type: "equivocation", origin: verdict.observer, subject, kept };
    const own = this.subjects.takeOver(subject);
    this.putVerdict(own, fresh);
    if (order === 0) return { type: "equivocation", origin: verdict.observer, subject: own, kept };
    return { type: "verdict", subject: own, held: own.verdictOf(verdict.observer) ?? fresh };
  }

  /** Only nodes that were met here may accuse; otherwise made-up keys could. */
  #mayJudge(observer: NodeId): boolean {
    if (this.#options.isKnown !== undefined) return this.admits(observer);
    return this.subjects.has(observer) || this.graves.get(observer) !== undefined;
  }

  /** Everybody keeps the same few where there are too many: those of the lowest ids. */
  #hasRoom({ verdicts }: Subject, observer: NodeId): boolean {
    return verdicts.length < limits.verdictsPerSubjectMax || observer < highestOf(verdicts).verdict.observer;
  }

  /** What replaces a shared word is shared: whoever heard an accusation has to hear that it is taken back. */
  putVerdict(subject: OwnSubject, held: HeldVerdict): void {
    const { verdicts } = subject;
    const before = subject.verdictOf(held.verdict.observer);
    const isFull = before === undefined && verdicts.length >= limits.verdictsPerSubjectMax;
    const displaced = isFull ? highestOf(verdicts) : before;
    const kept = displaced === undefined ? verdicts : verdicts.filter((each) => each !== displaced);
    this.#setVerdicts(subject, [...kept, before?.shared === true ? { ...held, shared: true } : held]);
  }

  /** From now on everybody is to know. */
  share(subject: OwnSubject, held: HeldVerdict): void {
    const shared: HeldVerdict = { ...held, shared: true };
    this.#setVerdicts(
      subject,
      subject.verdicts.map((each) => (each === held ? shared : each)),
    );
  }

  #setVerdicts(subject: OwnSubject, verdicts: readonly HeldVerdict[]): void {
    subject.verdicts = verdicts;
    this.#retag(subject);
    if (isUnsettled(verdicts, this.#options.self)) this.unsettled.set(subject, 0);
    else this.unsettled.delete(subject);
  }

  /** Takes a subject out, with a grave in its place where `wallMs` is given. */
  remove(id: NodeId, graveAtWallMs?: number): boolean {
    const subject = this.subjects.get(id);
    if (subject === undefined || id === this.#options.self) return false;
    this.#toggle(subject);
    this.subjects.remove(subject);
    if (subject instanceof OwnSubject) {
      this.unsettled.delete(subject);
      this.departed.delete(subject);
    }
    if (graveAtWallMs !== undefined) {
      const verdicts = subject.verdicts.map((held) => held.item);
      this.graves.bury(subject.record, graveAtWallMs, verdicts);
    }
    return true;
  }
}
