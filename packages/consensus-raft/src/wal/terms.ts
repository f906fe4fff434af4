import type { LogIndex, Term } from "@revoada/fabric";

/** The terms of a contiguous stretch of a log, run by run: a million entries of three terms are three numbers. */
export class TermRuns {
  /** The first index of the stretch; with `last` one below it the stretch is empty. */
  first: number;
  last: number;
  /** The term of the entry before `first`; 0 where it is not known. */
  termBefore: number;
  #starts: number[] = [];
  #terms: number[] = [];

  constructor(indexBefore: number, termBefore: number) {
    this.first = indexBefore + 1;
    this.last = indexBefore;
    this.termBefore = termBefore;
  }

  get lastTerm(): number {
    return this.#terms.at(-1) ?? this.termBefore;
  }

  push(term: number): void {
    this.last++;
    if (this.#terms.at(-1) === term) return;
    this.#starts.push(this.last);
    this.#terms.push(term);
  }

  get(index: LogIndex): Term | undefined {
    if (index < this.first || index > this.last) return undefined;
    let low = 0;
    let high = this.#starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if ((this.#starts[middle] as number) <= index) low = middle;
      else high = middle - 1;
    }
    return this.#terms[low] as Term;
  }

  /** Forgets `from` and everything behind it. */
  truncate(from: number): void {
    if (from > this.last) return;
    while (this.#starts.length > 0 && (this.#starts.at(-1) as number) >= from) {
      this.#starts.pop();
      this.#terms.pop();
    }
    this.last = from - 1;
    if (from < this.first) {
      this.first = from;
      this.termBefore = 0;
    }
  }

  /** Forgets everything up to `index`, whose term is `term`. */
  dropThrough(index: number, term: number): void {
    if (index < this.first - 1) return;
    if (index >= this.last) {
      this.clear(index, term);
      return;
    }
    let keep = 0;
    while (keep + 1 < this.#starts.length && (this.#starts[keep + 1] as number) <= index + 1) keep++;
    this.#starts.splice(0, keep);
    this.#terms.splice(0, keep);
    this.#starts[0] = index + 1;
    this.first = index + 1;
    this.termBefore = term;
  }

  clear(indexBefore: number, termBefore: number): void {
    this.first = indexBefore + 1;
    this.last = indexBefore;
    this.termBefore = termBefore;
    this.#starts = [];
    this.#terms = [];
  }

  /** Where each run begins, and its term, in turns. */
  runs(): number[] {
    return this.#starts.flatMap((start, at) => [start, this.#terms[at] as number]);
  }

  /** The stretch up to `last` whose runs are these. */
  static of(last: number, termBefore: number, runs: readonly number[]): TermRuns {
    const made = new TermRuns(runs.length === 0 ? last : (runs[0] as number) - 1, termBefore);
    for (let at = 0; at < runs.length; at += 2) {
      made.#starts.push(runs[at] as number);
      made.#terms.push(runs[at + 1] as number);
    }
    made.last = last;
    return made;
  }

  clone(): TermRuns {
    const copy = new TermRuns(this.first - 1, this.termBefore);
    copy.last = this.last;
    copy.#starts = [...this.#starts];
    copy.#terms = [...this.#terms];
    return copy;
  }
}
