import type { Random } from "@revoada/fabric";
import type { DigestEntry, Frame, GraveEntry, Wish } from "./frames.ts";
import { covers } from "./graves.ts";
import { compareRecords, type SignedItem } from "./items.ts";
import { limits } from "./limits.ts";
import { bucketOf } from "./members.ts";
import type { GossipStore } from "./store.ts";
import { prefixOf, type Subject } from "./subject.ts";
import { equalTags, tagBytes } from "./tags.ts";

/** Bytes that an item takes in a frame, rounded up. */
function itemBytes(item: SignedItem): number {
  return item.payload.length + item.signature.length + 8;
}

/** Collects items until a budget in bytes and in number is spent. */
export class ItemBasket {
  readonly items: SignedItem[] = [];
  #bytesLeft: number;

  constructor(budgetBytes: number = limits.frameBudgetBytes) {
    this.#bytesLeft = budgetBytes;
  }

  /** False where the item does not fit any more. */
  add(item: SignedItem): boolean {
    const bytes = itemBytes(item);
    if (bytes > this.#bytesLeft || this.items.length >= limits.itemsPerFrameMax) return false;
    this.items.push(item);
    this.#bytesLeft -= bytes;
    return true;
  }

  /** The head first, then the pages, the latest changed first; what does not fit is asked for in a later round. */
  addSubject(subject: Subject): boolean {
    for (const item of subject.items()) if (!this.add(item)) return false;
    return true;
  }

  addPages(subject: Subject, numbers: readonly number[]): boolean {
    for (const held of subject.currentPages())
      if (numbers.includes(held.page.number) && !this.add(held.item)) return false;
    return true;
  }
}

/** The buckets whose fingerprints are other ones there than here. */
export function differingBuckets(store: GossipStore, remoteTags: Uint8Array): ReadonlySet<number> {
  const differing = new Set<number>();
  for (let bucket = 0; bucket < limits.bucketCount; bucket++)
    if (!equalTags(store.tags, remoteTags, bucket * tagBytes)) differing.add(bucket);
  return differing;
}

function counterBytes(value: number): number {
  if (value < 24) return 1;
  if (value < 0x100) return 2;
  if (value < 0x1_0000) return 3;
  return value < 0x1_0000_0000 ? 5 : 9;
}

/** A prefix and, of an entry, a tag: 9 bytes each, and 1 for the list around them. */
function listedBytes(counters: readonly number[], withTag: boolean): number {
  return counters.reduce((sum, value) => sum + counterBytes(value), withTag ? 19 : 10);
}

function entryOf(subject: Subject): DigestEntry {
  const { generation, incarnation, version } = subject.record;
  const { tagHigh, tagLow } = subject;
  return { prefix: prefixOf(subject.id), generation, incarnation, version, tagHigh, tagLow };
}

/**
 * Lists what is held in the buckets that differ.
 *
 * What does not fit is left to later rounds: the buckets are visited from a random one on, and a bucket that does not fit whole
 * is listed in part, from a random subject on.
 */
export function makeDigest(
  store: GossipStore,
  differing: ReadonlySet<number>,
  random: Random,
): Pick<Extract<Frame, { type: "digest" }>, "complete" | "entries" | "graves"> {
  if (differing.size === 0) return { complete: [], entries: [], graves: [] };
  const complete: number[] = [];
  const entries: DigestEntry[] = [];
  let bytesLeft: number = limits.entriesBudgetBytes;
  for (const bucket of rotate([...differing], random)) {
    let whole = true;
    for (const subject of rotate(store.subjects.inBucket(bucket), random)) {
      const entry = entryOf(subject);
      bytesLeft -= listedBytes([entry.generation, entry.incarnation, entry.version], true);
      whole = bytesLeft >= 0 && entries.length < limits.digestEntriesMax;
      if (!whole) break;
      entries.push(entry);
    }
    if (!whole) break;
    complete.push(bucket);
  }
  return { complete, entries, graves: gravesIn(store, differing) };
}

function gravesIn(store: GossipStore, differing: ReadonlySet<number>): readonly GraveEntry[] {
  const graves: GraveEntry[] = [];
  let bytesLeft: number = limits.gravesBudgetBytes;
  for (const { id, generation, incarnation } of store.graves.values()) {
    if (!differing.has(bucketOf(id))) continue;
    bytesLeft -= listedBytes([generation, incarnation], false);
    if (bytesLeft < 0) break;
    graves.push({ prefix: prefixOf(id), generation, incarnation });
  }
  return graves;
}

function rotate<T>(list: readonly T[], random: Random): readonly T[] {
  const start = list.length === 0 ? 0 : random.uint32() % list.length;
  return start === 0 ? list : [...list.slice(start), ...list.slice(0, start)];
}

/** What one side should hand over and what it should ask for. */
export interface ExchangePlan {
  readonly push: readonly Subject[];
  readonly wants: readonly Wish[];
}

/** Compares a digest with what is held here. */
export function planExchange(
  store: GossipStore,
  digest: Extract<Frame, { type: "digest" }>,
  random: Random,
): ExchangePlan {
  const push: Subject[] = [];
  const wants: Wish[] = [];
  const listed = new Uint16Array(limits.bucketCount);
  for (const entry of digest.entries) {
    const subject = store.subjects.named(entry.prefix);
    if (subject === undefined) {
      if (store.wants(entry.prefix, entry.generation, entry.incarnation))
        wants.push({ prefix: entry.prefix, pages: [] });
      continue;
    }
    listed[bucketOf(entry.prefix)] = (listed[bucketOf(entry.prefix)] ?? 0) + 1;
    const order = compareRecords(entry, subject.record);
    if (order === 0 && entry.tagHigh === subject.tagHigh && entry.tagLow === subject.tagLow) continue;
    // With the same head it is pages or verdicts that differ: missing pages are asked for by number.
    if (order >= 0) wants.push({ prefix: entry.prefix, pages: order === 0 ? subject.missingPages() : [] });
    if (order <= 0) push.push(subject);
  }
  for (const bucket of new Set(digest.complete))
    if (listed[bucket] !== store.subjects.inBucket(bucket).length) push.push(...unlisted(store, digest, bucket));
  return { push: rotate(push, random), wants: bounded(rotate(wants, random)) };
}

/** Those of a bucket whom a digest that is complete there neither lists nor has buried. */
function unlisted(
  store: GossipStore,
  { entries, graves }: Extract<Frame, { type: "digest" }>,
  bucket: number,
): readonly Subject[] {
  const names = new Set(entries.map(({ prefix }) => prefix));
  const buried = new Map(graves.map((grave) => [grave.prefix, grave]));
  return store.subjects.inBucket(bucket).filter((subject) => {
    const { generation, incarnation } = subject.record;
    const prefix = prefixOf(subject.id);
    return !names.has(prefix) && !covers(buried.get(prefix), generation, incarnation);
  });
}

function bounded(wants: readonly Wish[]): readonly Wish[] {
  let pagesLeft: number = limits.wantedPagesMax;
  return wants.slice(0, limits.wantsMax).filter(({ pages }) => (pagesLeft -= pages.length) >= 0);
}

/** What is held of what the other side asks for. */
export function grant(store: GossipStore, wants: readonly Wish[]): readonly SignedItem[] {
  const basket = new ItemBasket();
  if (wants.length === 0) return basket.items;
  for (const { prefix, pages } of wants) {
    const subject = store.subjects.named(prefix);
    if (subject === undefined) continue;
    if (!(pages.length === 0 ? basket.addSubject(subject) : basket.addPages(subject, pages))) break;
  }
  return basket.items;
}
