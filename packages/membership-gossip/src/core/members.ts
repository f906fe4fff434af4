import type { NodeId } from "@revoada/fabric";
import { limits } from "./limits.ts";
import { idHash } from "./observers.ts";
import { calmOf, OwnSubject, type Subject } from "./subject.ts";

interface Bucket {
  readonly subjects: Subject[];
  /** Since when each of them has its status; one's own subjects know it themselves. */
  readonly sinceMs: number[];
}

/** The bucket that a hash of an id belongs to, by the first byte of the id. */
function bucketOfHash(hash: number): number {
  return (hash >>> 24) % limits.bucketCount;
}

/** The bucket that a subject belongs to, by the first byte of its id. */
export function bucketOf(id: string): number {
  return bucketOfHash(idHash(id));
}

/**
 * Everybody who is known, found by id, by the part of an id that digests name, or by place.
 *
 * Members lie in the buckets that digests speak of. A table with open addressing leads from the hash of an id to a place, at 8 to 16 bytes
 * for each member. Most are calm most of the time, and one subject then stands for what there is to know of them (see {@link calmOf}).
 */
export class Members {
  readonly #buckets: readonly Bucket[] = Array.from({ length: limits.bucketCount }, () => ({
    subjects: [],
    sinceMs: [],
  }));
  /** Those with something of their own. */
  readonly #own = new Set<OwnSubject>();
  /** `place * bucketCount + bucket + 1`, or 0. */
  #table = new Int32Array(32);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Those of whom this node holds more than what anybody says of itself. */
  get own(): ReadonlySet<OwnSubject> {
    return this.#own;
  }

  has(id: NodeId): boolean {
    return this.get(id) !== undefined;
  }

  get(id: NodeId): Subject | undefined {
    return this.#at(this.#table[this.#entryOf(idHash(id), id)]);
  }

  /** The member that digests name so. */
  named(prefix: string): Subject | undefined {
    return this.#at(this.#table[this.#entryOf(idHash(prefix), prefix)]);
  }

  /** Everybody, bucket by bucket. */
  *values(): Generator<Subject> {
    for (const { subjects } of this.#buckets) yield* subjects;
  }

  /** The members of one bucket, in no particular order. */
  inBucket(bucket: number): readonly Subject[] {
    return this.#buckets[bucket]?.subjects ?? [];
  }

  /** The member at one of as many places as there are members, in no particular order. */
  at(place: number): Subject | undefined {
    let left = place;
    for (const { subjects } of this.#buckets) {
      if (left < subjects.length) return subjects[left];
      left -= subjects.length;
    }
    return undefined;
  }

  /** Since when a member has its status. */
  sinceMs(subject: Subject): number {
    if (subject instanceof OwnSubject) return subject.sinceMs;
    const code = this.#table[this.#entryOf(subject.hash, subject.id)] ?? 0;
    return this.#bucket(code).sinceMs[placeOf(code)] ?? 0;
  }

  add(subject: OwnSubject): void {
    if (2 * (this.#size + 1) > this.#table.length) this.#grow();
    const bucket = bucketOfHash(subject.hash);
    const { subjects, sinceMs } = this.#buckets[bucket] as Bucket;
    this.#table[this.#entryOf(subject.hash, subject.id)] = codeOf(bucket, subjects.length);
    subjects.push(subject);
    sinceMs.push(0);
    this.#size += 1;
    this.#own.add(subject);
  }

  /** The same member as one that may be altered. Whatever was read of it before is out of date then. */
  takeOver(subject: Subject): OwnSubject {
    if (subject instanceof OwnSubject) return subject;
    const own = OwnSubject.of(subject, this.sinceMs(subject));
    const code = this.#table[this.#entryOf(subject.hash, subject.id)] ?? 0;
    this.#bucket(code).subjects[placeOf(code)] = own;
    this.#own.add(own);
    return own;
  }

  /** Lets go of whatever is the same for everybody by now. Nobody may hold on to one's own subjects meanwhile. */
  settle(): void {
    for (const own of this.#own) {
      const calm = calmOf(own);
      if (calm === undefined) continue;
      const code = this.#table[this.#entryOf(own.hash, own.id)] ?? 0;
      const { subjects, sinceMs } = this.#bucket(code);
      subjects[placeOf(code)] = calm;
      sinceMs[placeOf(code)] = own.sinceMs;
      this.#own.delete(own);
    }
  }

  remove(subject: Subject): void {
    const entry = this.#entryOf(subject.hash, subject.id);
    const code = this.#table[entry] ?? 0;
    if (code === 0) return;
    const { subjects, sinceMs } = this.#bucket(code);
    const lastMs = sinceMs.at(-1) ?? 0;
    const last = subjects.at(-1);
    this.#clear(entry);
    // The last of the bucket goes to the place that is free now.
    if (last !== undefined && placeOf(code) < subjects.length - 1) {
      this.#table[this.#entryOf(last.hash, last.id)] = code;
      subjects[placeOf(code)] = last;
      sinceMs[placeOf(code)] = lastMs;
    }
    subjects.pop();
    sinceMs.pop();
    this.#size -= 1;
    if (subject instanceof OwnSubject) this.#own.delete(subject);
  }

  // --- the table ----------------------------------------------------------------------------------------------------------

  #bucket(code: number): Bucket {
    return this.#buckets[(code - 1) % limits.bucketCount] as Bucket;
  }

  #at(code: number | undefined): Subject | undefined {
    return code === undefined || code === 0 ? undefined : this.#bucket(code).subjects[placeOf(code)];
  }

  /** The entry of the member whose id begins with `name`, or the free one where it would be put. */
  #entryOf(hash: number, name: string): number {
    const mask = this.#table.length - 1;
    for (let entry = hash & mask; ; entry = (entry + 1) & mask) {
      const subject = this.#at(this.#table[entry]);
      if (subject === undefined) return entry;
      if (subject.hash === hash && (subject.id === name || subject.id.startsWith(name))) return entry;
    }
  }

  /** Frees an entry, and closes the gap in the row that others may be found by (Knuth, TAOCP 6.4, algorithm R). */
  #clear(entry: number): void {
    const mask = this.#table.length - 1;
    let gap = entry;
    for (let next = (gap + 1) & mask; this.#table[next] !== 0; next = (next + 1) & mask) {
      const code = this.#table[next] ?? 0;
      const home = (this.#at(code)?.hash ?? 0) & mask;
      if (((next - home) & mask) < ((next - gap) & mask)) continue;
      this.#table[gap] = code;
      gap = next;
    }
    this.#table[gap] = 0;
  }

  #grow(): void {
    const codes = this.#table.filter((code) => code !== 0);
    this.#table = new Int32Array(2 * this.#table.length);
    for (const code of codes) {
      const subject = this.#at(code);
      if (subject !== undefined) this.#table[this.#entryOf(subject.hash, subject.id)] = code;
    }
  }
}

function codeOf(bucket: number, place: number): number {
  return place * limits.bucketCount + bucket + 1;
}

function placeOf(code: number): number {
  return Math.floor((code - 1) / limits.bucketCount);
}
