export interface ShrinkOptions {
  /** How often `fails` may be asked; 200 unless told. */
  readonly attempts?: number;
  /** Asked before each attempt: true ends the search, with what it has. */
  readonly isLate?: () => boolean;
}

export interface Shrunk {
  readonly events: readonly number[];
  readonly attempts: number;
}

/**
 * Finds a small part of `events` for which `fails` still holds: delta debugging (Zeller and Hildebrandt, *Simplifying and isolating
 * failure-inducing input*, 2002). What comes back fails, and where the search ran to its end, no single event of it can be left out.
 */
export async function shrinkEvents(
  events: readonly number[],
  fails: (events: readonly number[]) => Promise<boolean>,
  options: ShrinkOptions = {},
): Promise<Shrunk> {
  const most = options.attempts ?? 200;
  let attempts = 0;
  let kept = events;
  let pieces = 2;
  const mayGoOn = (): boolean => attempts < most && options.isLate?.() !== true;
  while (kept.length > 0 && mayGoOn()) {
    const size = Math.ceil(kept.length / pieces);
    let smaller: readonly number[] | undefined;
    for (let from = 0; from < kept.length && mayGoOn(); from += size) {
      const rest = [...kept.slice(0, from), ...kept.slice(from + size)];
      attempts += 1;
      if (!(await fails(rest))) continue;
      smaller = rest;
      break;
    }
    if (smaller !== undefined) {
      kept = smaller;
      pieces = Math.max(2, pieces - 1);
    } else if (size <= 1) break;
    else pieces = Math.min(kept.length, pieces * 2);
  }
  return { events: kept, attempts };
}
