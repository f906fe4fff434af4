import type { DeathEvidence, MemberStatus, NodeId } from "@revoada/fabric";
import { KnownItem } from "./item-memory.ts";
import type { GossipRecord, Page, SignedItem, Verdict } from "./items.ts";
import { idHash } from "./observers.ts";
import { tagHighOf, tagLowOf } from "./tags.ts";

/** What a node makes of another, from its own ears and from the verdicts that it holds. */
export interface Standing {
  readonly status: MemberStatus;
  readonly evidence: DeathEvidence | undefined;
  readonly sinceMs: number;
  /** The (generation, incarnation) that a death was found for: quarantine, until the subject itself raises one of them. */
  readonly deadAt: Life | undefined;
  /** Back from the dead by its own word, not yet heard twice by this observer. */
  readonly awaitingBeats: boolean;
}

/** One life of a node, between two deaths that it might be accused of. */
export interface Life {
  readonly generation: number;
  readonly incarnation: number;
}

export interface HeldVerdict {
  readonly verdict: Verdict;
  readonly item: SignedItem;
  /** Monotonic time at which it came in here. */
  readonly sinceMs: number;
  /**
   * Whether everybody is to know. What one observer suspects alone stays among the observers and the subject, so that frames
   * lost here and there cost the cluster nothing; a suspicion that is shared, and a death, are for all.
   */
  readonly shared: boolean;
}

export interface HeldPage {
  readonly page: Page;
  readonly item: SignedItem;
}

export const noVerdicts: readonly HeldVerdict[] = [];
const noPages: readonly (HeldPage | undefined)[] = [];
const noKeys: ReadonlyMap<string, string> = new Map();

/** The zone that a node says it is in. */
export const zoneKey = "zone";

/**
 * One node: its signed statements, those of its observers, and where it stands here.
 *
 * Made so, it is calm: alive, and all that anybody holds of it is its head. What may be altered is an {@link OwnSubject}.
 */
export class Subject {
  readonly id: NodeId;
  readonly hash: number;
  readonly record: GossipRecord;
  readonly item: SignedItem;
  /** Further pages by number less one; the head says which versions count. */
  readonly pages: readonly (HeldPage | undefined)[] = noPages;
  /** The latest verdict of each observer, all about the record's (generation, incarnation), the latest to come in last. */
  readonly verdicts: readonly HeldVerdict[] = noVerdicts;
  /** The fingerprint, in two halves, of exactly what {@link items} gives. */
  readonly tagHigh: number;
  readonly tagLow: number;
  /** False until it has been judged for the first time. */
  readonly judged: boolean = true;
  readonly status: MemberStatus = "alive";
  readonly evidence: DeathEvidence | undefined = undefined;
  readonly deadAt: Life | undefined = undefined;
  readonly awaitingBeats: boolean = false;

  constructor(record: GossipRecord, item: SignedItem) {
    this.id = record.id;
    this.hash = idHash(record.id);
    this.record = record;
    this.item = item;
    this.tagHigh = tagHighOf(item);
    this.tagLow = tagLowOf(item);
  }

  get zone(): string {
    return this.record.keys.get(zoneKey) ?? this.keys.get(zoneKey) ?? "";
  }

  /** All keys. Where a page has not arrived yet, those of the page that it replaces; of two pages the newer one counts. */
  get keys(): ReadonlyMap<string, string> {
    if (this.pages.length === 0) return this.record.keys;
    const held = this.pages.flatMap((each) => (each === undefined ? [] : [each.page]));
    const keys = new Map<string, string>();
    for (const page of held.toSorted((left, right) => left.version - right.version))
      for (const [key, value] of page.keys) keys.set(key, value);
    for (const [key, value] of this.record.keys) keys.set(key, value);
    return keys.size === 0 ? noKeys : keys;
  }

  /** What that observer says. */
  verdictOf(observer: NodeId): HeldVerdict | undefined {
    for (const held of this.verdicts) if (held.verdict.observer === observer) return held;
    return undefined;
  }

  /** True where the page is the one that the head names. */
  #isCurrent(held: HeldPage | undefined): held is HeldPage {
    return held !== undefined && this.record.pages[held.page.number - 1] === held.page.version;
  }

  /** The pages that the head names and that are here, the latest changed first. */
  currentPages(): readonly HeldPage[] {
    return this.pages
      .filter((held) => this.#isCurrent(held))
      .sort((left, right) => right.page.version - left.page.version);
  }

  /** Numbers of the pages that the head names and that are not here. */
  missingPages(): readonly number[] {
    const missing: number[] = [];
    this.record.pages.forEach((_, index) => {
      if (!this.#isCurrent(this.pages[index])) missing.push(index + 1);
    });
    return missing;
  }

  /** Everything signed about it that everybody is to know: the head first. */
  *items(): Generator<SignedItem> {
    yield this.item;
    for (const held of this.currentPages()) yield held.item;
    for (const held of this.verdicts) if (held.shared) yield held.item;
  }
}

/** A subject of which this node alone says what there is to know. */
export class OwnSubject extends Subject implements Standing {
  declare record: GossipRecord;
  declare item: SignedItem;
  declare pages: readonly (HeldPage | undefined)[];
  declare verdicts: readonly HeldVerdict[];
  declare tagHigh: number;
  declare tagLow: number;
  declare judged: boolean;
  declare status: MemberStatus;
  declare evidence: DeathEvidence | undefined;
  declare deadAt: Life | undefined;
  declare awaitingBeats: boolean;
  sinceMs: number;

  /** Whom nothing is known of yet has not been judged. */
  constructor(record: GossipRecord, item: SignedItem) {
    super(record, item);
    this.judged = false;
    this.sinceMs = 0;
  }

  /** What is known of a calm one, to be altered. */
  static of({ record, item }: Subject, sinceMs: number): OwnSubject {
    const own = new OwnSubject(record, item);
    own.judged = true;
    own.sinceMs = sinceMs;
    return own;
  }

  /** Works the tag out again after something has changed. */
  retag(): void {
    let [high, low] = [tagHighOf(this.item), tagLowOf(this.item)];
    const toggle = (item: SignedItem): void => {
      high ^= tagHighOf(item);
      low ^= tagLowOf(item);
    };
    for (const held of this.currentPages()) toggle(held.item);
    for (const held of this.verdicts) if (held.shared) toggle(held.item);
    this.tagHigh = high;
    this.tagLow = low;
  }
}

/**
 * The calm subject that one's own has become, where it has: heard of but not spoken of, as almost everybody is at almost any time.
 *
 * There is one for each head that was read, so that the cores of a simulation share it: thousands of them hold thousands of members each.
 */
export function calmOf(own: OwnSubject): Subject | undefined {
  const { item, record } = own;
  const isCalm =
    own.judged &&
    own.status === "alive" &&
    own.evidence === undefined &&
    own.deadAt === undefined &&
    !own.awaitingBeats &&
    own.verdicts.length === 0 &&
    own.pages.length === 0;
  if (!isCalm || !(item instanceof KnownItem) || item.item.kind !== "record") return undefined;
  return (item.calm ??= new Subject(record, item));
}

/** The part of an id by which digests name it: 8 bytes of a key that nobody chooses freely. */
export function prefixOf(id: NodeId): string {
  return id.slice(0, 16);
}
