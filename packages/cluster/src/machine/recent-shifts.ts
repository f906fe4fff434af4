import type { FormationCommand, FormationStep, Transition } from "@revoada/fabric";

/** One transition that was committed. */
export interface CommittedShift {
  /** The formation's generation after it. */
  readonly generation: number;
  readonly transition: Transition;
  readonly reason: string;
  /** Committed time, milliseconds since the epoch. */
  readonly timeMs: number;
}

/** How many are remembered. */
const maxRemembered = 1024;

/** The last shifts, for those who follow what happens. Kept in memory alone: the chain tells all of them. */
export class RecentShifts {
  #committed: readonly CommittedShift[] = [];
  #fresh: CommittedShift[] = [];

  /** Notes what a transaction has written that may still be thrown away. */
  note(steps: readonly FormationStep[], { reason, timeMs }: Pick<FormationCommand, "reason" | "timeMs">): void {
    for (const { transition, formation } of steps)
      this.#fresh.push({ generation: formation.generation, transition, reason, timeMs });
  }

  commit(): void {
    if (this.#fresh.length === 0) return;
    this.#committed = [...this.#committed, ...this.#fresh].slice(-maxRemembered);
    this.#fresh = [];
  }

  drop(): void {
    this.#fresh = [];
  }

  above(generation: number): readonly CommittedShift[] {
    return this.#committed.filter((shift) => shift.generation > generation);
  }
}
