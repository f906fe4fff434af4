import type { Committed } from "@revoada/fabric";

/** One command on its way, and who waits for it. */
export interface Proposal<Result> {
  readonly payload: Uint8Array;
  readonly resolve: (committed: Committed<Result>) => void;
  readonly reject: (error: unknown) => void;
  /** When its caller stops waiting. */
  readonly deadlineMs: number;
  /** Refused where this replica does not lead: it has been forwarded once already, or is not to be. */
  readonly localOnly: "at once" | "once a leader is known" | undefined;
  /** Since when it looks for a leader, not counting what it spent with one. */
  sinceMs: number;
  /** When it was last handed to a leader. */
  sentMs: number;
  /** True while it stands in line: nobody but this replica has seen it, so whatever ends it now is definite. */
  waits: boolean;
  settled: boolean;
  term: number;
  /** Takes back what listens for the caller's abort. */
  release: (() => void) | undefined;
}

/**
 * Proposals that wait for a leader, in order.
 *
 * Whoever is let go before its turn leaves a gap, which costs nothing until gaps are in the majority: a caller that gives up
 * among a hundred thousand others must not make anybody look through them all.
 */
export class WaitingLine<Result> {
  #line: Proposal<Result>[] = [];
  #head = 0;
  #size = 0;
  #bytes = 0;

  get size(): number {
    return this.#size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  push(proposal: Proposal<Result>): void {
    this.#enter(proposal);
    this.#line.push(proposal);
  }

  /** Puts those that were refused for certain back before all others. */
  pushFront(proposals: readonly Proposal<Result>[]): void {
    const open = proposals.filter((proposal) => !proposal.settled);
    if (open.length === 0) return;
    for (const proposal of open) this.#enter(proposal);
    this.#line = [...open, ...this.#open()];
    this.#head = 0;
  }

  #enter(proposal: Proposal<Result>): void {
    proposal.waits = true;
    this.#size += 1;
    this.#bytes += proposal.payload.length;
  }

  /** Takes one out, wherever it stands. */
  leave(proposal: Proposal<Result>): void {
    proposal.waits = false;
    this.#size -= 1;
    this.#bytes -= proposal.payload.length;
    const held = this.#line.length - this.#head;
    if (held <= 2 * this.#size + 64) return;
    this.#line = this.#open();
    this.#head = 0;
  }

  /** The first ones that fit, at least one where there is one. */
  take(maxCount: number, maxBytes: number, overheadBytes: number): Proposal<Result>[] {
    const taken: Proposal<Result>[] = [];
    let bytes = 0;
    while (this.#head < this.#line.length && taken.length < maxCount) {
      const proposal = this.#line[this.#head] as Proposal<Result>;
      if (proposal.waits) {
        bytes += proposal.payload.length + overheadBytes;
        if (bytes > maxBytes && taken.length > 0) break;
        taken.push(proposal);
        this.#size -= 1;
        this.#bytes -= proposal.payload.length;
        proposal.waits = false;
      }
      this.#head += 1;
    }
    if (this.#head > 1024 && 2 * this.#head > this.#line.length) {
      this.#line = this.#line.slice(this.#head);
      this.#head = 0;
    }
    return taken;
  }

  /** Those that wait now; who leaves meanwhile is still in the list. */
  list(): readonly Proposal<Result>[] {
    return this.#open();
  }

  #open(): Proposal<Result>[] {
    return this.#line.slice(this.#head).filter((proposal) => proposal.waits);
  }
}
