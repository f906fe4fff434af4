import { MachineRefusal } from "./machine/result.ts";

/** The last millisecond of the year 9999: no committed time is later. */
export const maxTimeMs = 253_402_300_799_999;

/** Committed time never goes back: one word of a far future would end all tokens for ever, and leave no later time to tell. */
export function checkTime(timeMs: number): void {
  if (timeMs > maxTimeMs) throw new MachineRefusal("CLUSTER_TIME_REFUSED", `${timeMs} is beyond the year 9999`);
}
