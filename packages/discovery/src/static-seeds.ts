import type { Discovery } from "@revoada/fabric";
import { parseSeed } from "./core/seed.ts";
import { RepeatedLook, type SourceOptions } from "./repeated-look.ts";

export interface StaticSeedsOptions extends SourceOptions {
  /** `host:port`, or `id@host:port`. Names of hosts are resolved each time when somebody is dialled. */
  readonly seeds: readonly string[];
}

/** Hints do not last for ever, and what was written down is meant to. */
const everyMs = 5 * 60_000;

/**
 * The addresses that somebody wrote down. Throws `DISCOVERY_INVALID_SOURCE`.
 *
 * @example
 * ```ts
 * const seeds = staticSeeds({ seeds: ["10.0.0.1:7400", "10.0.0.2:7400"], clock, random });
 * ```
 */
export function staticSeeds(options: StaticSeedsOptions): Discovery {
  const hints = options.seeds.map(parseSeed);
  const pace = { everyMs, retryMs: everyMs, maxRetryMs: everyMs };
  return new RepeatedLook({ ...options, name: "static", pace, look: async () => hints });
}
