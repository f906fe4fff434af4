import { performance } from "node:perf_hooks";
import { clearTimeout, setImmediate, setTimeout } from "node:timers";
import { InvalidValueError } from "../errors.ts";
import type { Clock } from "../seams/clock.ts";

/** `setTimeout` fires at once beyond this. */
const longestTimerMs = 2 ** 31 - 1;

/** The host's clock. Timers keep the process alive until they fire or are cancelled. */
export function systemClock(): Clock {
  return {
    monotonicMs: () => performance.now(),
    wallMs: () => Date.now(),
    schedule(delayMs, callback) {
      if (Number.isNaN(delayMs)) throw new InvalidValueError("delayMs", delayMs, "a number");
      if (delayMs > longestTimerMs) return scheduleFar(delayMs, callback);
      return scheduleNear(delayMs, callback);
    },
    nextTurn(callback) {
      // The check phase follows the poll phase, in which sockets are read (libuv, "The I/O loop").
      setImmediate(callback);
    },
  };
}

/** Node drops fractions and fires up to a millisecond before the monotonic clock says so: this fires no earlier than promised. */
function scheduleNear(delayMs: number, callback: () => void): () => void {
  const dueMs = performance.now() + delayMs;
  let timer = setTimeout(check, Math.max(0, Math.ceil(delayMs)));
  function check(): void {
    const leftMs = dueMs - performance.now();
    if (leftMs > 0) timer = setTimeout(check, Math.ceil(leftMs));
    else callback();
  }
  return () => clearTimeout(timer);
}

function scheduleFar(delayMs: number, callback: () => void): () => void {
  // For ever is longer than any process: nothing to wait for.
  if (delayMs === Number.POSITIVE_INFINITY) return () => {};
  let cancel = scheduleNear(longestTimerMs, () => {
    const leftMs = delayMs - longestTimerMs;
    cancel = leftMs > longestTimerMs ? scheduleFar(leftMs, callback) : scheduleNear(leftMs, callback);
  });
  return () => cancel();
}
