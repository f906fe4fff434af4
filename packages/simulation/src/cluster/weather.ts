import type { FrameShaper, SeededRandom } from "@revoada/fabric/memory";
import type { Totals } from "./totals.ts";

export interface Weather {
  readonly drop: number;
  readonly duplicate: number;
  readonly delayMs: number;
}

/** A shaper that loses, repeats, delays and reorders what crosses the network. Streams only arrive late: they are TCP's. */
export function badWeather(weather: Weather, random: SeededRandom, totals: Totals): FrameShaper {
  return (frame) => {
    const delayMs = random.float() * weather.delayMs;
    totals.delayedMessages += 1;
    if (frame.kind === "stream") return { delayMs };
    if (random.chance(weather.drop)) {
      totals.droppedMessages += 1;
      return { drop: true };
    }
    if (frame.kind === "message" && random.chance(weather.duplicate)) {
      totals.duplicatedMessages += 1;
      return { delayMs, copies: 2, unordered: true };
    }
    return { delayMs, unordered: frame.kind === "message" && random.chance(0.2) };
  };
}
