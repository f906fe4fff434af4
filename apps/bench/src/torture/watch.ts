/** Something that was waited for did not come, or what came is not what was promised. */
export class TortureError extends Error {
  override readonly name = "TortureError";
}

/** Lets those who wait for a condition look again whenever something has happened. */
export class Watch {
  readonly #waiting = new Set<() => void>();

  /** Something has happened. */
  notify(): void {
    for (const look of this.#waiting) look();
  }

  /**
   * Resolves with the first answer that `condition` gives. Rejects after `withinMs`, or with what `condition` throws, or when
   * `signal` is aborted.
   */
  until<T>(
    what: string,
    condition: () => T | undefined,
    options: { readonly withinMs: number; readonly signal: AbortSignal; readonly state?: () => string },
  ): Promise<T> {
    const { withinMs, signal, state } = options;
    return new Promise((resolve, reject) => {
      const end = (): void => {
        this.#waiting.delete(look);
        signal.removeEventListener("abort", aborted);
        clearTimeout(timer);
      };
      const fail = (error: unknown): void => {
        end();
        reject(error);
      };
      const look = (): void => {
        try {
          const answer = condition();
          if (answer === undefined) return;
          end();
          resolve(answer);
        } catch (error) {
          fail(error);
        }
      };
      const aborted = (): void => fail(signal.reason);
      const timer = setTimeout(() => {
        const seen = state === undefined ? "" : `; ${state()}`;
        fail(new TortureError(`${what} did not come within ${withinMs} ms${seen}`));
      }, withinMs);
      this.#waiting.add(look);
      signal.addEventListener("abort", aborted, { once: true });
      if (signal.aborted) aborted();
      else look();
    });
  }
}
