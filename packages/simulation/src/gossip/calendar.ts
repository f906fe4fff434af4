/** How far ahead something may be put down, in whole milliseconds. */
const horizonMs = 131_072;

/**
 * What is to happen when, in whole milliseconds. Whatever falls on one moment happens in the order in which it was put down.
 *
 * Much cheaper than a heap where a hundred thousand things happen within a hundred milliseconds.
 */
export class Calendar {
  readonly #days: ((() => void)[] | undefined)[] = Array.from({ length: horizonMs });
  #nowMs = 0;

  get nowMs(): number {
    return this.#nowMs;
  }

  /** Puts something down for `delayMs` from now, at least the next millisecond. */
  after(delayMs: number, happen: () => void): void {
    const whole = Math.max(1, Math.round(delayMs));
    if (whole >= horizonMs) throw new RangeError(`${whole} ms ahead is beyond the calendar`);
    const day = (this.#nowMs + whole) % horizonMs;
    const list = this.#days[day];
    if (list === undefined) this.#days[day] = [happen];
    else list.push(happen);
  }

  /** Lets one millisecond pass. */
  step(): void {
    this.#nowMs += 1;
    const day = this.#nowMs % horizonMs;
    const list = this.#days[day];
    if (list === undefined) return;
    this.#days[day] = undefined;
    for (const happen of list) happen();
  }
}
