import { isFabricError, type Clock } from "@revoada/fabric";

/** How long a newcomer waits before it asks again. */
const insistPauseMs = 500;

export interface InsistOptions {
  readonly clock: Pick<Clock, "monotonicMs" | "schedule">;
  readonly signal: AbortSignal;
  readonly patienceMs: number;
  /** The cluster may not be there yet, or not be found: refusals and silence are early, too. */
  readonly isEarly: boolean;
}

/**
 * Asks again until a newcomer is let in or `patienceMs` are over, and rejects with the last answer then. A refusal that the cluster means
 * for the moment only, as while it elects or changes its voters, is not the end of a node.
 */
export async function insist<T>(
  ask: () => Promise<T>,
  { clock, signal, patienceMs, isEarly }: InsistOptions,
): Promise<T> {
  const untilMs = clock.monotonicMs() + patienceMs;
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      const mayChange = isEarly
        ? isFabricError(error, "JOIN_REFUSED", "JOIN_UNREACHABLE", "TRANSPORT_UNSUPPORTED") ||
          (isFabricError(error) && error.retryable)
        : isFabricError(error, "JOIN_REFUSED") && error.retryable;
      if (signal.aborted || !mayChange || clock.monotonicMs() >= untilMs) throw error;
    }
    await new Promise<void>((resolve) => void clock.schedule(insistPauseMs, resolve));
  }
}
