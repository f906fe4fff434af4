import type { ClusterId, NodeId, SignatureVerifier } from "@revoada/fabric";
import { compareBytes } from "./bytes.ts";
import { Graveyard } from "./graves.ts";
import {
  compareRecords,
  compareVerdicts,
  decodeItem,
  type GossipRecord,
  type SignedItem,
  type Verdict,
} from "./items.ts";
import { limits } from "./limits.ts";
import { idWords } from "./observers.ts";
import { Refusal, type RefusalReason } from "./refusal.ts";
import { equalTags, itemTag, SetTag } from "./tags.ts";

export interface HeldVerdict {
  readonly verdict: Verdict;
  readonly item: SignedItem;
  /** Monotonic time at which it came in here. */
  readonly sinceMs: number;
}

/** One node, as far as signed statements go. */
export interface Subject {
  readonly id: NodeId;
  readonly words: Uint32Array;
  record: GossipRecord;
  item: SignedItem;
  /** The latest verdict of each observer, all about the record's (generation, incarnation). */
  readonly verdicts: Map<NodeId, HeldVerdict>;
  readonly verdictsTag: SetTag;
}

/** What became of an item that came in. */
export type Outcome =
  | { readonly type: "ignored" }
  | { readonly type: "refused"; readonly reason: RefusalReason; readonly detail: string }
  /** A record under the local node's own key that is not from this process. */
  | { readonly type: "own"; readonly record: GossipRecord }
  | { readonly type: "record"; readonly subject: Subject; readonly previous: GossipRecord | undefined }
  | { readonly type: "verdict"; readonly subject: Subject; readonly held: HeldVerdict }
  /** One origin signed two contents under one version. `kept` says whether the new one won the tie. */
  | { readonly type: "equivocation"; readonly origin: NodeId; readonly subject: Subject; readonly kept: boolean };

export interface StoreOptions {
  readonly self: NodeId;
  readonly clusterId: ClusterId;
  readonly verifier: SignatureVerifier;
  readonly isKnown: ((id: NodeId) => boolean) | undefined;
}

export interface Now {
  readonly nowMs: number;
  readonly wallMs: number;
}

const ignored: Outcome = { type: "ignored" };

function refused(reason: RefusalReason, detail: string): Outcome {
  return { type: "refused", reason, detail };
}

/** The bucket that a subject belongs to. */
export function bucketOf(id: NodeId): number {
  return Number.parseInt(id.slice(0, 2), 16) % limits.bucketCount;
}

/**
 * All signed statements that a node holds: one record of each node, the verdicts about it, and the graves.
 *
 * The store believes nothing unsigned and judges nobody: it keeps the newest of each origin and drops what is older, expired,
 * buried, foreign or forged.
 */
export class GossipStore {
  readonly subjects: Map<NodeId, Subject> = new Map();
  readonly graves: Graveyard = new Graveyard();
  readonly buckets: readonly SetTag[] = Array.from({ length: limits.bucketCount }, () => new SetTag());
  readonly #options: StoreOptions;

  constructor(options: StoreOptions) {
    this.#options = options;
  }

  /** Whether the door lets this node in. */
  admits(id: NodeId): boolean {
    return id === this.#options.self || this.#options.isKnown === undefined || this.#options.isKnown(id);
  }

  /** Takes in one item from the network. Signatures are checked last and only where the content would change something. */
  apply(item: SignedItem, now: Now): Outcome {
    try {
      const decoded = decodeItem(item.payload, this.#options.clusterId);
      return decoded.kind === "record"
        ? this.#applyRecord(decoded.record, item, now)
        : this.#applyVerdict(decoded.verdict, item, now);
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
    if (!this.admits(record.id)) return refused("unknown-node", `record of ${record.id}`);
    if (this.graves.covers(record.id, record.generation, record.incarnation))
      return refused("grave", `record of ${record.id}`);
    if (held === undefined) return this.#addSubject(record, item);
    const order = compareRecords(record, held.record);
    if (order < 0 || (order === 0 && compareBytes(item.payload, held.item.payload) === 0)) return ignored;
    if (!this.#verify(record.id, item)) return refused("signature", `record of ${record.id}`);
    if (order === 0) return this.#settleTie(held, record, item);
    if (held.record.status === "left" && record.status !== "left" && record.generation === held.record.generation) {
      return refused("resurrection", `record of ${record.id}`);
    }
    const previous = held.record;
    this.#replace(held, record, item);
    return { type: "record", subject: held, previous };
  }

  #applyOwn(record: GossipRecord, item: SignedItem, held: Subject | undefined): Outcome {
    if (held === undefined || compareRecords(record, held.record) < 0) return ignored;
    if (compareBytes(item.payload, held.item.payload) === 0) return ignored;
    if (!this.#verify(record.id, item)) return refused("signature", "record of the local node");
    return { type: "own", record };
  }

  #addSubject(record: GossipRecord, item: SignedItem): Outcome {
    if (this.subjects.size >= limits.membersMax) return refused("capacity", `${this.subjects.size} nodes are known`);
    if (!this.#verify(record.id, item)) return refused("signature", `record of ${record.id}`);
    this.graves.remove(record.id);
    return { type: "record", subject: this.put(record, item), previous: undefined };
  }

  /** Everybody keeps the greater of two conflicting contents, so that all hold the same again. */
  #settleTie(held: Subject, record: GossipRecord, item: SignedItem): Outcome {
    const kept = compareBytes(item.payload, held.item.payload) > 0;
    if (kept) this.#replace(held, record, item);
    return { type: "equivocation", origin: record.id, subject: held, kept };
  }

  /** Sets a record that is known to be good: the local node's own, or one just verified. */
  put(record: GossipRecord, item: SignedItem): Subject {
    const held = this.subjects.get(record.id);
    if (held !== undefined) {
      this.#replace(held, record, item);
      return held;
    }
    const subject: Subject = {
      id: record.id,
      words: idWords(record.id),
      record,
      item,
      verdicts: new Map(),
      verdictsTag: new SetTag(),
    };
    this.subjects.set(record.id, subject);
    this.#bucket(record.id).toggle(item);
    return subject;
  }

  #bucket(id: NodeId): SetTag {
    const bucket = this.buckets[bucketOf(id)];
    if (bucket === undefined) throw new RangeError("a bucket is missing");
    return bucket;
  }

  #replace(subject: Subject, record: GossipRecord, item: SignedItem): void {
    const bucket = this.#bucket(subject.id);
    bucket.toggle(subject.item);
    bucket.toggle(item);
    const renewed =
      record.generation !== subject.record.generation || record.incarnation !== subject.record.incarnation;
    subject.record = record;
    subject.item = item;
    if (!renewed) return;
    for (const observer of [...subject.verdicts.keys()]) this.#removeVerdict(subject, observer);
  }

  #applyVerdict(verdict: Verdict, item: SignedItem, now: Now): Outcome {
    const subject = this.subjects.get(verdict.subject);
    if (subject === undefined || verdict.observer === verdict.subject) return ignored;
    if (verdict.generation !== subject.record.generation || verdict.incarnation !== subject.record.incarnation)
      return ignored;
    if (!this.#mayJudge(verdict.observer)) return ignored;
    const held = subject.verdicts.get(verdict.observer);
    const order = held === undefined ? 1 : compareVerdicts(verdict, held.verdict);
    if (order < 0 || (held !== undefined && order === 0 && compareBytes(item.payload, held.item.payload) === 0))
      return ignored;
    if (held === undefined && !this.#hasRoom(subject, verdict.observer)) return ignored;
    if (!this.#verify(verdict.observer, item)) return refused("signature", `verdict of ${verdict.observer}`);
    const kept = held === undefined || order > 0 || compareBytes(item.payload, held.item.payload) > 0;
    const fresh: HeldVerdict = { verdict, item, sinceMs: now.nowMs };
    if (kept) this.putVerdict(subject, fresh);
    if (order === 0) return { type: "equivocation", origin: verdict.observer, subject, kept };
    return { type: "verdict", subject, held: fresh };
  }

  /** Only nodes that were met here may accuse; otherwise made-up keys could. */
  #mayJudge(observer: NodeId): boolean {
    if (this.#options.isKnown !== undefined) return this.admits(observer);
    return this.subjects.has(observer) || this.graves.get(observer) !== undefined;
  }

  /** Everybody keeps the same few where there are too many: those of the lowest ids. */
  #hasRoom(subject: Subject, observer: NodeId): boolean {
    if (subject.verdicts.size < limits.verdictsPerSubjectMax) return true;
    const highest = [...subject.verdicts.keys()].reduce((left, right) => (left > right ? left : right));
    return observer < highest;
  }

  putVerdict(subject: Subject, held: HeldVerdict): void {
    this.#removeVerdict(subject, held.verdict.observer);
    if (subject.verdicts.size >= limits.verdictsPerSubjectMax) {
      const highest = [...subject.verdicts.keys()].reduce((left, right) => (left > right ? left : right));
      this.#removeVerdict(subject, highest);
    }
    subject.verdicts.set(held.verdict.observer, held);
    subject.verdictsTag.toggle(held.item);
    this.#bucket(subject.id).toggle(held.item);
  }

  #removeVerdict(subject: Subject, observer: NodeId): void {
    const held = subject.verdicts.get(observer);
    if (held === undefined) return;
    subject.verdicts.delete(observer);
    subject.verdictsTag.toggle(held.item);
    this.#bucket(subject.id).toggle(held.item);
  }

  /** Takes a subject out, with a grave in its place where `wallMs` is given. */
  remove(id: NodeId, graveAtWallMs?: number): boolean {
    const subject = this.subjects.get(id);
    if (subject === undefined || id === this.#options.self) return false;
    const verdicts = [...subject.verdicts.values()];
    for (const held of verdicts) this.#removeVerdict(subject, held.verdict.observer);
    this.#bucket(id).toggle(subject.item);
    this.subjects.delete(id);
    if (graveAtWallMs !== undefined) {
      this.graves.bury(
        subject.record,
        graveAtWallMs,
        verdicts.map((held) => held.item),
      );
    }
    return true;
  }

  /** True where the held record is exactly the one that the tag names. */
  holdsRecord(subject: Subject, tag: Uint8Array): boolean {
    return equalTags(itemTag(subject.item), tag);
  }
}
