import type { DeathEvidence, MemberStatus, NodeId } from "@revoada/fabric";
import type { GossipRecord, Page, SignedItem, Verdict } from "./items.ts";
import { idHash } from "./observers.ts";
import { tagHighOf, tagLowOf } from "./tags.ts";

/** What a node makes of another, from its own ears and from the verdicts that it holds. */
export interface Standing {
  status: MemberStatus;
  evidence: DeathEvidence | undefined;
  sinceMs: number;
  /** The (generation, incarnation) that a death was found for: quarantine, until the subject itself raises one of them. */
  deadAt: { readonly generation: number; readonly incarnation: number } | undefined;
  /** Back from the dead by its own word, not yet heard twice by this observer. */
  awaitingBeats: boolean;
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
 * There is one of these for each member in each core, so what is rarely needed takes no room before it is.
 */
export class Subject implements Standing {
  readonly id: NodeId;
  readonly hash: number;
  record: GossipRecord;
  item: SignedItem;
  /** Further pages by number less one; the head says which versions count. */
  pages: readonly (HeldPage | undefined)[] = noPages;
  /** The latest verdict of each observer, all about the record's (generation, incarnation), the latest to come in last. */
  verdicts: readonly HeldVerdict[] = noVerdicts;
  /** The fingerprint, in two halves, of exactly what {@link items} gives. */
  tagHigh = 0;
  tagLow = 0;
  /** Where it stands in its bucket. */
  place = 0;
  /** False until it has been judged for the first time. */
  judged = false;
  status: MemberStatus = "alive";
  evidence: DeathEvidence | undefined = undefined;
  sinceMs = 0;
  deadAt: Standing["deadAt"] = undefined;
  awaitingBeats = false;

  constructor(record: GossipRecord, item: SignedItem) {
    this.id = record.id;
    this.hash = idHash(record.id);
    this.record = record;
    this.item = item;
    this.retag();
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

  /** Works the tag out again after something has changed. */
  retag(): void {
    let [high, low] = [tagHighOf(this.item), tagLowOf(this.item)];
    const toggle = (item: SignedItem): void => {
      high ^= tagHighOf(item);
      low ^= tagLowOf(item);
    };
    for (const held of this.pages) if (this.#isCurrent(held)) toggle(held.item);
    for (const held of this.verdicts) if (held.shared) toggle(held.item);
    this.tagHigh = high;
    this.tagLow = low;
  }
}

/** The part of an id by which digests name it: 8 bytes of a key that nobody chooses freely. */
export function prefixOf(id: NodeId): string {
  return id.slice(0, 16);
}
