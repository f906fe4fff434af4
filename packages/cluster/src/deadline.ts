import type { Clock, FabricError } from "@revoada/fabric";

/** A signal that a clock aborts. `clear` ends it early and must be called, so that no timer outlives what it was for. */
export interface Deadline {
  readonly signal: AbortSignal;
  readonly clear: () => void;
}

/** A deadline on the injected clock: under virtual time it is virtual too. The signal's reason is what `timeout` makes. */
export function deadlineOf(clock: Clock, timeoutMs: number, timeout: () => FabricError): Deadline {
  const controller = new AbortController();
  const clear = clock.schedule(timeoutMs, () => controller.abort(timeout()));
  return { signal: controller.signal, clear };
}

/** Settles as `work` does, or rejects with the signal's reason, whichever is first. The work itself goes on. */
export function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const give = (): void => reject(signal.reason as Error);
    if (signal.aborted) give();
    else signal.addEventListener("abort", give, { once: true });
    const settled = (): void => signal.removeEventListener("abort", give);
    work.finally(settled).then(resolve, reject);
  });
}
