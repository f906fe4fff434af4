import { randomFillSync } from "node:crypto";
import { InvalidValueError } from "../errors.ts";
import type { Random } from "../seams/clock.ts";

/** Draws are taken from a pool, because a call into the operating system per number is slow. */
const poolBytes = 4096;

/** The operating system's random source: fit for keys, tokens and ids. */
export function systemRandom(): Random {
  const pool = new Uint32Array(poolBytes / Uint32Array.BYTES_PER_ELEMENT);
  let used = pool.length;

  const uint32 = (): number => {
    if (used === pool.length) {
      randomFillSync(pool);
      used = 0;
    }
    const value = pool[used] as number;
    // What was handed out is not kept.
    pool[used] = 0;
    used += 1;
    return value;
  };

  return {
    uint32,
    // 53 bits, as many as a double in [0, 1) can hold evenly.
    float: () => ((uint32() >>> 5) * 67_108_864 + (uint32() >>> 6)) / 9_007_199_254_740_992,
    bytes(length) {
      if (!Number.isSafeInteger(length) || length < 0 || length > 65_536) {
        throw new InvalidValueError("length", length, "an integer from 0 to 65,536");
      }
      return randomFillSync(new Uint8Array(length));
    },
  };
}
