import type { HardState, LogBase, LogIndex, Term } from "@revoada/fabric";
import type { Segment } from "./segment.ts";
import { TermRuns } from "./terms.ts";

/** What the durable bytes of a log amount to. Recovery replays records into it, an open log what it has just synced. */
export class LogImage {
  base: LogBase;
  hardState: HardState;
  suspect = false;
  readonly terms: TermRuns;
  /** In the order of the log; the last one is written to. */
  segments: Segment[] = [];

  constructor(base: LogBase, hardState: HardState, last: { readonly index: LogIndex; readonly term: Term } = base) {
    this.base = base;
    this.hardState = hardState;
    this.terms = new TermRuns(last.index, last.term);
  }

  get lastIndex(): LogIndex {
    return this.terms.last as LogIndex;
  }

  /** False where entries between the base and the first one held are missing. */
  get isComplete(): boolean {
    return this.terms.first <= this.base.index + 1;
  }

  appendEntry(index: number, term: number, segment: Segment, offset: number): void {
    segment.push(index, offset);
    this.terms.push(term);
  }

  truncate(from: number): void {
    this.terms.truncate(from);
    for (let at = this.segments.length - 1; at >= 0; at--) {
      const segment = this.segments[at] as Segment;
      segment.truncate(from);
      if (segment.count > 0) break;
    }
  }

  compact(base: LogBase): void {
    this.base = base;
    this.terms.dropThrough(base.index, base.term);
  }

  reset(base: LogBase): void {
    this.base = base;
    this.terms.clear(base.index, base.term);
    for (const segment of this.segments) segment.count = 0;
  }

  /** The segment that holds an entry. */
  locate(index: number): Segment | undefined {
    for (let at = this.segments.length - 1; at >= 0; at--) {
      const segment = this.segments[at] as Segment;
      if (segment.count > 0 && index >= segment.first) return segment.holds(index) ? segment : undefined;
    }
    return undefined;
  }

  /** How many of the oldest segments hold nothing that the log still needs; never the last one. */
  droppableSegments(): number {
    let count = 0;
    while (count < this.segments.length - 1 && (this.segments[count] as Segment).last <= this.base.index) count++;
    return count;
  }
}
