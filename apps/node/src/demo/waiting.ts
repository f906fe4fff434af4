import { DemonstrationError } from "./failure.ts";

/** How often a condition over processes is asked again: they cannot be waited for in any other way. */
const pollMs = 15;

export function pause(forMs: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, forMs);
  });
}

/**
 * Asks until the answer is there, at most `withinMs`. An attempt that fails counts as "not yet"; the last failure is the cause of
 * the error at the end.
 */
export async function until<T>(what: string, withinMs: number, attempt: () => Promise<T | undefined>): Promise<T> {
  const deadline = performance.now() + withinMs;
  let cause: unknown;
  while (performance.now() < deadline) {
    try {
      const answer = await attempt();
      if (answer !== undefined) return answer;
    } catch (error) {
      cause = error;
    }
    await pause(pollMs);
  }
  throw new DemonstrationError(
    `${what} did not come within ${withinMs} ms${cause instanceof Error ? ` (${cause.message})` : ""}`,
    { cause },
  );
}
