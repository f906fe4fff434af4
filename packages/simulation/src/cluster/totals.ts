/** What a run has to have seen, so that a green one is not an empty one. */
export const countedEvents = [
  "operations",
  "acknowledged",
  "refused",
  "unknown",
  "elections",
  "membershipChanges",
  "promotions",
  "readmissions",
  "seals",
  "snapshotInstalls",
  "truncations",
  "tornWrites",
  "crashes",
  "restarts",
  "partitions",
  "oneWayCuts",
  "droppedMessages",
  "duplicatedMessages",
  "delayedMessages",
  "stalls",
  "clockJumps",
  "syncFailures",
  "takeovers",
  "fencedWrites",
  "fencedRefusals",
  "rotations",
  "removals",
  "newcomers",
  "limitedNodes",
  "recoveries",
  "archives",
] as const;

export type CountedEvent = (typeof countedEvents)[number];
export type Totals = Record<CountedEvent, number>;

export function emptyTotals(): Totals {
  return Object.fromEntries(countedEvents.map((event) => [event, 0])) as Totals;
}

export function addTotals(into: Totals, more: Totals): void {
  for (const event of countedEvents) into[event] += more[event];
}

/** Events that never happened. */
export function missingEvents(totals: Totals): readonly CountedEvent[] {
  return countedEvents.filter((event) => totals[event] === 0);
}
