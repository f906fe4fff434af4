import type { NodeId, Random } from "@revoada/fabric";
import { type DigestEntry, type Frame, type GraveEntry, tagBytes } from "./frames.ts";
import { compareRecords, type SignedItem } from "./items.ts";
import { limits } from "./limits.ts";
import { bucketOf, type GossipStore, type Subject } from "./store.ts";
import { equalTags, itemTag } from "./tags.ts";

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

  addSubject(subject: Subject): boolean {
    if (!this.add(subject.item)) return false;
    for (const held of subject.verdicts.values()) if (!this.add(held.item)) return false;
    return true;
  }
}

/** Fingerprints of everything held, bucket by bucket. */
export function bucketTags(store: GossipStore): Uint8Array {
  const tags = new Uint8Array(limits.bucketCount * tagBytes);
  store.buckets.forEach((bucket, index) => tags.set(bucket.bytes, index * tagBytes));
  return tags;
}

function entryOf(subject: Subject): DigestEntry {
  return {
    id: subject.id,
    generation: subject.record.generation,
    incarnation: subject.record.incarnation,
    version: subject.record.version,
    recordTag: itemTag(subject.item),
    verdictsTag: subject.verdictsTag.bytes,
  };
}

const entriesPerDigest = 400;
const gravesPerDigest = 128;

/**
 * Lists what is held in the buckets whose fingerprint differs.
 *
 * What does not fit is left to later rounds: the buckets are visited from a random one on, and a bucket that does not fit whole
 * is listed in part, from a random subject on.
 */
export function makeDigest(
  store: GossipStore,
  remoteTags: Uint8Array,
  random: Random,
): Pick<Extract<Frame, { type: "digest" }>, "complete" | "entries" | "graves"> {
  const differing = new Map<number, Subject[]>();
  store.buckets.forEach((bucket, index) => {
    const remote = remoteTags.subarray(index * tagBytes, (index + 1) * tagBytes);
    if (!equalTags(bucket.bytes, remote)) differing.set(index, []);
  });
  if (differing.size === 0) return { complete: [], entries: [], graves: [] };
  for (const subject of store.subjects.values()) differing.get(bucketOf(subject.id))?.push(subject);
  const complete: number[] = [];
  const entries: DigestEntry[] = [];
  for (const [bucket, subjects] of rotate([...differing], random)) {
    if (entries.length + subjects.length <= entriesPerDigest) {
      complete.push(bucket);
      for (const subject of subjects) entries.push(entryOf(subject));
      continue;
    }
    for (const subject of rotate(subjects, random).slice(0, entriesPerDigest - entries.length))
      entries.push(entryOf(subject));
    break;
  }
  const graves: GraveEntry[] = [];
  for (const [id, grave] of store.graves.entries()) {
    if (graves.length >= gravesPerDigest) break;
    if (differing.has(bucketOf(id))) graves.push({ id, generation: grave.generation, incarnation: grave.incarnation });
  }
  return { complete, entries, graves };
}

function rotate<T>(list: readonly T[], random: Random): readonly T[] {
  const start = list.length === 0 ? 0 : random.uint32() % list.length;
  return [...list.slice(start), ...list.slice(0, start)];
}

/** What one side should hand over and what it should ask for. */
export interface ExchangePlan {
  readonly push: readonly Subject[];
  readonly wants: readonly NodeId[];
}

/** Compares a digest with what is held here. */
export function planExchange(
  store: GossipStore,
  digest: Extract<Frame, { type: "digest" }>,
  random: Random,
): ExchangePlan {
  const push: Subject[] = [];
  const wants: NodeId[] = [];
  const listed = new Set<NodeId>();
  for (const entry of digest.entries) {
    listed.add(entry.id);
    const subject = store.subjects.get(entry.id);
    if (subject === undefined) {
      const welcome = store.admits(entry.id) && !store.graves.covers(entry.id, entry.generation, entry.incarnation);
      if (welcome) wants.push(entry.id);
      continue;
    }
    const order = compareRecords(entry, subject.record);
    const sameRecord = order === 0 && store.holdsRecord(subject, entry.recordTag);
    if (sameRecord && equalTags(entry.verdictsTag, subject.verdictsTag.bytes)) continue;
    if (order >= 0) wants.push(entry.id);
    if (order <= 0) push.push(subject);
  }
  const buried = new Map(digest.graves.map((grave) => [grave.id, grave]));
  const complete = new Set(digest.complete);
  for (const subject of store.subjects.values()) {
    if (listed.has(subject.id) || !complete.has(bucketOf(subject.id))) continue;
    const grave = buried.get(subject.id);
    const { generation, incarnation } = subject.record;
    const covered =
      grave !== undefined &&
      (generation < grave.generation || (generation === grave.generation && incarnation <= grave.incarnation));
    if (!covered) push.push(subject);
  }
  return { push: rotate(push, random), wants: rotate(wants, random).slice(0, limits.wantsMax) };
}
