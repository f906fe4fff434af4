/** How many items a sender may still send; waiters go on as credit comes, or end with the reason for which it never will. */
export class Credit {
  #left: number;
  #ended: { readonly reason: unknown } | undefined;
  #wake: (() => void) | undefined;

  constructor(initial: number) {
    this.#left = initial;
  }

  /** Adds credit; no more than `most` can ever be open, whatever is granted. */
  grant(count: number, most: number): void {
    this.#left = Math.min(most, this.#left + count);
    this.#wake?.();
  }

  end(reason: unknown): void {
    this.#ended ??= { reason };
    this.#wake?.();
  }

  /** Takes one; one caller at a time. Rejects with the reason given to {@link Credit.end}. */
  async take(): Promise<void> {
    while (this.#left === 0 && this.#ended === undefined) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    if (this.#ended !== undefined) throw this.#ended.reason;
    this.#left--;
  }
}

/** How many items of one stream travel unasked. */
export const streamWindow = 16;

/** Whether an untrusted grant of credit is one. */
export function isGrant(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 1 && value <= streamWindow;
}
