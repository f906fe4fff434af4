/** What seeds of the formation world have to have seen together. */
export const formationEvents = [
  "decisions",
  "evictions",
  "readmissions",
  "replacements",
  "firstShapes",
  "grownQuorums",
  "givenUp",
  "forcedOut",
  "stepsBack",
  "relocations",
  "migrations",
  "standbys",
  "forgotten",
  "elections",
  "lostQuorums",
  "voterChanges",
  "inheritedChanges",
  "inheritedJointChanges",
  "refusedCommands",
  "kills",
  "wipes",
  "stalls",
  "partitions",
  "blinks",
  "slowReplicas",
  "flaps",
  "upgrades",
  "demotions",
  "quarantines",
  "departures",
  "switches",
  "confirmedSwitches",
  "revertedSwitches",
  "archives",
  "chainsVerified",
] as const;

export type FormationEvent = (typeof formationEvents)[number];
export type FormationTotals = Record<FormationEvent, number>;

export function noFormationTotals(): FormationTotals {
  return Object.fromEntries(formationEvents.map((event) => [event, 0])) as FormationTotals;
}

export function sumFormationTotals(into: FormationTotals, more: FormationTotals): void {
  for (const event of formationEvents) into[event] += more[event];
}

/** Events that never happened. */
export function unseenFormationEvents(totals: FormationTotals): readonly FormationEvent[] {
  return formationEvents.filter((event) => totals[event] === 0);
}
