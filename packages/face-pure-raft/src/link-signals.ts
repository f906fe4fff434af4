/**
 * A signal that aborts as soon as one of the others does. `release` takes the listeners off again: a face lives long, and each of its
 * watches would otherwise stay known to the signal of its whole life.
 */
export function linkSignals(...signals: readonly (AbortSignal | undefined)[]): {
  readonly signal: AbortSignal;
  readonly release: () => void;
} {
  const controller = new AbortController();
  const releases: (() => void)[] = [];
  for (const signal of signals) {
    if (signal === undefined) continue;
    const abort = (): void => controller.abort(signal.reason);
    if (signal.aborted) abort();
    else {
      signal.addEventListener("abort", abort, { once: true });
      releases.push(() => signal.removeEventListener("abort", abort));
    }
  }
  return {
    signal: controller.signal,
    release() {
      for (const release of releases.splice(0)) release();
    },
  };
}
