import type { HardState, LogBase, LogIndex, Term } from "@revoada/fabric";
import { Extent } from "./extent.ts";
import { encodeGroupDefinition } from "./format.ts";
import type { Segment } from "./segment.ts";
import { TermRuns } from "./terms.ts";

/** What the durable bytes of one group's log amount to. Recovery replays records into it, an open log what it has just synced. */
export class LogImage {
  /** What stands for the group in records; 0 in a log of one group. */
  readonly number: number;
  readonly id: Uint8Array;
  base: LogBase = { index: 0 as LogIndex, term: 0 as Term };
  hardState: HardState = { term: 0 as Term, commitIndex: 0 as LogIndex };
  suspect = false;
  /** Sections that were written of this group: the next one bears the next number. */
  sections = 0;
  /** Dropped for good: nothing but this fact is kept. */
  forgotten = false;
  terms: TermRuns = new TermRuns(0, 0);
  /** Indexes of the entries that are configurations, ascending. */
  configurations: number[] = [];
  /** By ascending index. */
  readonly #extents: Extent[] = [];

  constructor(number: number = 0, id: Uint8Array = new Uint8Array(0)) {
    this.number = number;
    this.id = id;
  }

  get lastIndex(): LogIndex {
    return this.terms.last as LogIndex;
  }

  get extents(): readonly Extent[] {
    return this.#extents;
  }

  /** False where entries behind the base are missing. */
  get isComplete(): boolean {
    if (this.terms.first > this.base.index + 1) return false;
    let next = this.base.index + 1;
    for (const extent of this.#extents) {
      if (extent.first > next) return false;
      next = extent.end;
    }
    return next === this.terms.last + 1 || this.terms.last <= this.base.index;
  }

  /** About what the live entries take. */
  get liveBytes(): number {
    let total = 0;
    for (const extent of this.#extents) total += extent.liveBytes;
    return total;
  }

  appendEntry(index: number, term: number, segment: Segment, offset: number, bytes: number): void {
    let extent = this.#extents.at(-1);
    if (extent === undefined || extent.segment !== segment || extent.end !== index) {
      extent = new Extent(segment, index);
      this.#extents.push(extent);
    }
    extent.push(offset, bytes);
    this.terms.push(term);
  }

  /** Says that an entry that the log holds is a configuration. */
  noteConfiguration(index: number): void {
    if ((this.configurations.at(-1) ?? 0) < index) this.configurations.push(index);
    else if (!this.configurations.includes(index)) {
      this.configurations.push(index);
      this.configurations.sort((one, other) => one - other);
    }
  }

  /** An entry that is known already stands here from now on. Entries move from the oldest on, in order. */
  moveEntry(index: number, segment: Segment, offset: number, bytes: number): void {
    let at = this.#extents.findIndex((extent) => extent.end > index);
    if (at < 0) at = this.#extents.length;
    const before = this.#extents[at - 1];
    const holder = this.#extents[at];
    if (holder !== undefined && holder.first <= index) {
      holder.dropBelow(index + 1);
      if (holder.count === 0) {
        holder.release();
        this.#extents.splice(at, 1);
      }
    }
    if (before !== undefined && before.segment === segment && before.end === index) before.push(offset, bytes);
    else {
      const moved = new Extent(segment, index);
      moved.push(offset, bytes);
      this.#extents.splice(at, 0, moved);
    }
  }

  truncate(from: number): void {
    this.terms.truncate(from);
    while ((this.configurations.at(-1) ?? 0) >= from) this.configurations.pop();
    for (let last = this.#extents.at(-1); last !== undefined; last = this.#extents.at(-1)) {
      last.truncate(from);
      if (last.count > 0) return;
      this.#extents.pop();
      last.release();
    }
  }

  compact(base: LogBase): void {
    this.base = base;
    this.terms.dropThrough(base.index, base.term);
    if ((this.configurations[0] ?? Infinity) <= base.index)
      this.configurations = this.configurations.filter((index) => index > base.index);
    let dead = 0;
    for (const extent of this.#extents) {
      if (extent.end > base.index + 1) break;
      extent.release();
      dead++;
    }
    this.#extents.splice(0, dead);
    this.#extents[0]?.dropBelow(base.index + 1);
  }

  reset(base: LogBase): void {
    this.base = base;
    this.terms.clear(base.index, base.term);
    this.configurations = [];
    for (const extent of this.#extents.splice(0)) extent.release();
  }

  forget(): void {
    this.reset({ index: 0 as LogIndex, term: 0 as Term });
    this.hardState = { term: 0 as Term, commitIndex: 0 as LogIndex };
    this.suspect = false;
    this.forgotten = true;
  }

  /** Where an entry stands. */
  locate(index: number): Extent | undefined {
    for (let at = this.#extents.length - 1; at >= 0; at--) {
      const extent = this.#extents[at] as Extent;
      if (index >= extent.first) return index < extent.end ? extent : undefined;
    }
    return undefined;
  }

  /** The body of a group record that says all that base and hard state do not. */
  definition(): Uint8Array {
    const { last, termBefore } = this.terms;
    return encodeGroupDefinition({ id: this.id, last, termBefore, runs: this.terms.runs() });
  }
}

/** What the durable bytes of a whole log amount to. */
export class WalImage {
  readonly shared: boolean;
  /** In the order of the log; the last one is written to. */
  segments: Segment[] = [];
  readonly groups: Map<number, LogImage> = new Map();
  /** Damage may have taken groups without a trace: one that is not known here may have been. */
  strangersSuspect = false;
  readonly #byId: Map<string, LogImage> = new Map();
  #nextNumber = 1;

  constructor(shared: boolean) {
    this.shared = shared;
    if (!shared) this.groups.set(0, new LogImage());
  }

  /** The only group of a log that is not shared. */
  get only(): LogImage {
    return this.groups.get(0) as LogImage;
  }

  find(id: Uint8Array): LogImage | undefined {
    return this.#byId.get(keyOf(id));
  }

  /** A group that the log did not know. Its number is never used for another. */
  add(id: Uint8Array, number: number = this.#nextNumber): LogImage {
    const image = new LogImage(number, id);
    this.groups.set(number, image);
    this.#byId.set(keyOf(id), image);
    this.#nextNumber = Math.max(this.#nextNumber, number + 1);
    return image;
  }

  remove(image: LogImage): void {
    this.groups.delete(image.number);
    this.#byId.delete(keyOf(image.id));
  }

  /** Groups that have something in the log, forgotten ones too. */
  *written(): Generator<LogImage> {
    for (const image of this.groups.values()) if (!this.shared || image.sections > 0) yield image;
  }

  /** How many of the oldest segments nobody needs; never the last one. */
  droppableSegments(): number {
    let count = 0;
    while (count < this.segments.length - 1 && (this.segments[count] as Segment).pins === 0) count++;
    return count;
  }

  /** Once every group that damage concerned is whole again, unknown ones are new. */
  settleStrangers(): void {
    if (this.suspects === 0) this.strangersSuspect = false;
  }

  get suspects(): number {
    let count = 0;
    for (const image of this.groups.values()) if (image.suspect) count++;
    return count;
  }
}

function keyOf(id: Uint8Array): string {
  return Buffer.from(id.buffer, id.byteOffset, id.length).toString("hex");
}
