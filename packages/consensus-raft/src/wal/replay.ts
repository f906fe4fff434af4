import type { HardState, LogBase, LogIndex, Term } from "@revoada/fabric";
import type { BatchRecords, WalRecord } from "./batch-decoder.ts";
import { entryBytes } from "./batch-encoder.ts";
import { WalImage, type LogImage } from "./log-image.ts";
import type { Segment } from "./segment.ts";
import { TermRuns } from "./terms.ts";

type GroupRecord = Extract<WalRecord, { readonly type: "group" }>;

/** Records [from, to) of a batch, all of one group. */
interface Part {
  readonly mark?: GroupRecord;
  readonly from: number;
  readonly to: number;
}

/**
 * Takes batches over into an image, each whole or not at all.
 *
 * A log of many groups can be replayed past damage. Sections of a group are numbered without gaps, so the first one behind the damage
 * tells whether the group lost anything: where it bears the number that was expected, nothing is missing. A group whose number does not
 * follow is *broken*: its entries end before the damage. A group of which nothing more was found is *in doubt*, which counts as broken.
 */
export class Replay {
  readonly image: WalImage;
  readonly #broken: Set<LogImage> = new Set();
  readonly #doubtful: Set<LogImage> = new Set();
  /** Something could not be read; what is missing may concern groups that are not known yet. */
  #passedDamage = false;
  /** A group may have been created and lost whole. */
  #strangersDoubtful = false;
  #begun = false;
  /** The segment that a seal names: it must be there. */
  successor: number | undefined;

  constructor(shared: boolean, before: { readonly index: LogIndex; readonly term: Term }) {
    this.image = new WalImage(shared);
    if (!shared) this.image.only.terms = new TermRuns(before.index, before.term);
  }

  /** Groups that may have lost records. */
  get losers(): ReadonlySet<LogImage> {
    return new Set([...this.#broken, ...this.#doubtful]);
  }

  get strangersDoubtful(): boolean {
    return this.#strangersDoubtful;
  }

  /** Bytes between here and what follows could not be read. */
  passDamage(): void {
    this.#passedDamage = true;
    this.#strangersDoubtful = true;
    for (const image of this.image.groups.values()) if (!this.#broken.has(image)) this.#doubtful.add(image);
  }

  /** Returns why the batch cannot follow what is there, or undefined; then it was taken over. */
  take(segment: Segment, records: BatchRecords): string | undefined {
    const seal = records.others[0];
    if (seal?.type === "seal") {
      this.successor = seal.successor;
      return records.count === 1 ? undefined : "a seal stands among other records";
    }
    const parts = this.image.shared ? partsOf(records) : [{ from: 0, to: records.count }];
    if (typeof parts === "string") return parts;
    if (!this.#passedDamage) {
      for (const part of parts) {
        const objection = this.#objectionToPart(records, part);
        if (objection !== undefined) return objection;
      }
    }
    // Every segment begins with all groups that there are.
    if (parts.some((part) => part.mark?.state)) this.#strangersDoubtful = false;
    for (const part of parts) this.#takePart(segment, records, part);
    this.#begun = true;
    return undefined;
  }

  #objectionToPart(records: BatchRecords, part: Part): string | undefined {
    const { mark } = part;
    if (mark === undefined) return this.image.shared ? undefined : objectionTo(this.image.only, records, part);
    const image = this.image.groups.get(mark.number);
    if (image === undefined) {
      if (mark.definition === undefined) return `group ${mark.number} is not known`;
      if (mark.state ? this.#begun : mark.section !== 1)
        return `group ${mark.number} begins with section ${mark.section}`;
      if (this.image.find(mark.definition.id) !== undefined) return `group ${mark.number} has the id of another`;
      return mark.state ? undefined : objectionTo(this.#made(mark), records, part);
    }
    if (mark.state) return agrees(image, mark) ? undefined : `group ${mark.number} is not as the segment says`;
    if (mark.section !== image.sections + 1)
      return `section ${mark.section} of group ${mark.number} follows section ${image.sections}`;
    return objectionTo(image, records, part);
  }

  /** What a definition amounts to, apart from the image. */
  #made(mark: GroupRecord): LogImage {
    return new WalImage(true).add(mark.definition?.id ?? new Uint8Array(0), mark.number);
  }

  #takePart(segment: Segment, records: BatchRecords, part: Part): void {
    const { mark } = part;
    if (mark === undefined) {
      if (!this.image.shared) this.#apply(this.image.only, segment, records, part);
      else if (records.others[part.from]?.type === "suspect") this.image.strangersSuspect = true;
      return;
    }
    const known = this.image.groups.get(mark.number);
    if (known === undefined) return this.#takeUnknown(segment, records, part, mark);
    const follows = mark.state ? agrees(known, mark) : mark.section === known.sections + 1 && !this.#broken.has(known);
    if (!follows || (this.#passedDamage && !mark.state && objectionTo(known, records, part) !== undefined)) {
      this.#doubtful.delete(known);
      this.#broken.add(known);
      adoptHardState(known, records, part);
      return;
    }
    // A segment that was begun behind the damage repeats what was made of it then: that is settled.
    this.#doubtful.delete(known);
    if (mark.state) this.#broken.delete(known);
    else known.sections++;
    if (mark.state) known.suspect = false;
    this.#apply(known, segment, records, part);
  }

  #takeUnknown(segment: Segment, records: BatchRecords, part: Part, mark: GroupRecord): void {
    if (mark.definition === undefined || this.image.find(mark.definition.id) !== undefined) return;
    const image = this.image.add(mark.definition.id, mark.number);
    image.sections = mark.section;
    if (mark.state) {
      const { last, termBefore, runs } = mark.definition;
      image.terms = TermRuns.of(last, termBefore, runs);
      image.base = { index: (image.terms.first - 1) as LogIndex, term: termBefore as Term };
    } else if (mark.section !== 1 || objectionTo(image, records, part) !== undefined) {
      this.#broken.add(image);
      adoptHardState(image, records, part);
      return;
    }
    this.#apply(image, segment, records, part);
  }

  #apply(image: LogImage, segment: Segment, records: BatchRecords, { from, to }: Part): void {
    for (let at = from; at < to; at++) {
      const other = records.others[at];
      if (other !== undefined) {
        this.#applyOther(image, other);
        continue;
      }
      const bytes = entryBytes(records.bodyLength(at));
      const index = records.index(at);
      if (records.isConfiguration(at)) image.noteConfiguration(index);
      if (records.isMoved(at)) image.moveEntry(index, segment, records.offset(at), bytes);
      else image.appendEntry(index, records.term(at), segment, records.offset(at), bytes);
    }
  }

  #applyOther(image: LogImage, record: WalRecord): void {
    switch (record.type) {
      case "hard-state":
        image.hardState = record.hardState;
        break;
      case "truncate":
        image.truncate(record.from);
        break;
      case "base":
        image.compact(record.base);
        break;
      case "reset":
        image.reset(record.base);
        break;
      case "suspect":
        image.suspect = record.suspect;
        if (!record.suspect) this.image.settleStrangers();
        break;
      case "forget":
        image.forget();
        break;
      default:
        break;
    }
  }
}

function partsOf(records: BatchRecords): readonly Part[] | string {
  const parts: Part[] = [];
  const seen = new Set<number>();
  const { count, others } = records;
  for (let from = 0; from < count;) {
    const mark = others[from];
    if (mark?.type === "suspect" && from === 0) {
      // What is said before any group is said of the log.
      parts.push({ from, to: ++from });
      continue;
    }
    if (mark?.type !== "group") return "a record belongs to no group";
    if (seen.has(mark.number)) return `group ${mark.number} stands twice in a batch`;
    seen.add(mark.number);
    let to = from + 1;
    while (to < count && others[to]?.type !== "group") to++;
    parts.push({ mark, from: from + 1, to });
    from = to;
  }
  return parts;
}

/** True where what a segment says of a group is what the segments before it amount to. */
function agrees(image: LogImage, mark: GroupRecord): boolean {
  const { definition } = mark;
  if (definition === undefined || mark.section !== image.sections) return false;
  if (Buffer.compare(definition.id, image.id) !== 0 || definition.last !== image.terms.last) return false;
  return true;
}

/** The latest vote and term of a group that lost records: they are believed although its entries are not. */
function adoptHardState(image: LogImage, records: BatchRecords, { from, to }: Part): void {
  for (let at = from; at < to; at++) {
    const record = records.others[at];
    if (record?.type === "hard-state") adoptVote(image, record.hardState);
  }
}

/**
 * Takes over the vote and term of a record behind the damage. Not its commit index: that was said of entries which may have taken
 * the place of those that are left.
 */
export function adoptVote(image: LogImage, later: HardState): void {
  const { commitIndex, term } = image.hardState;
  if (later.term >= term) image.hardState = { ...later, commitIndex };
}

/** A commit index within the log. */
export function clampCommit(state: HardState, from: number, to: number): HardState {
  return { ...state, commitIndex: Math.min(Math.max(state.commitIndex, from), to) as LogIndex };
}

/** Returns why records cannot follow what an image holds. */
function objectionTo(image: LogImage, records: BatchRecords, { from, to }: Part): string | undefined {
  const cursor = { last: image.lastIndex as number, lastTerm: image.terms.lastTerm, base: image.base.index as number };
  if (image.forgotten && to > from) return "a group that was dropped goes on";
  for (let at = from; at < to; at++) {
    const other = records.others[at];
    if (other !== undefined) {
      const objection = objectionToOther(cursor, other);
      if (objection !== undefined) return objection;
      continue;
    }
    const index = records.index(at);
    const term = records.term(at);
    if (records.isMoved(at)) {
      if (index <= cursor.base || index > cursor.last || image.terms.get(index as LogIndex) !== term)
        return `entry ${index} of term ${term} was moved and is not in the log`;
      continue;
    }
    if (index !== cursor.last + 1) return `entry ${index} follows entry ${cursor.last}`;
    if (term < cursor.lastTerm) return `entry ${index} takes the term back from ${cursor.lastTerm} to ${term}`;
    cursor.last = index;
    cursor.lastTerm = term;
  }
  return undefined;
}

function objectionToOther(
  cursor: { last: number; lastTerm: number; base: number },
  record: WalRecord,
): string | undefined {
  const { last, base } = cursor;
  switch (record.type) {
    case "truncate":
      if (record.from > last || record.from <= base)
        return `a cut at ${record.from} is outside of ${base + 1} to ${last}`;
      cursor.last = record.from - 1;
      cursor.lastTerm = 0;
      return undefined;
    case "base":
      if (record.base.index < base || record.base.index > last)
        return `base ${record.base.index} is outside of ${base} to ${last}`;
      cursor.base = record.base.index;
      return undefined;
    case "reset":
      setBase(cursor, record.base);
      return undefined;
    default:
      return undefined;
  }
}

function setBase(cursor: { last: number; lastTerm: number; base: number }, base: LogBase): void {
  cursor.base = base.index;
  cursor.last = base.index;
  cursor.lastTerm = base.term;
}
