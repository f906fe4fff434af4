/** What a run of many seeds must have seen, so that a green one is not an empty one. */
export const consensusEvents = [
  "operations",
  "acknowledged",
  "refused",
  "unknown",
  "readIndexReads",
  "leaseReads",
  "elections",
  "terms",
  "commits",
  "membershipChanges",
  "jointChanges",
  "learnersAdded",
  "evenConfigurations",
  "leadersVotedOut",
  "transfers",
  "snapshotsSaved",
  "snapshotInstalls",
  "compactions",
  "truncations",
  "tornWrites",
  "bitFlips",
  "corruptLogs",
  "refills",
  "wipes",
  "rejoins",
  "syncFailures",
  "writeFailures",
  "fullDisks",
  "hungDisks",
  "slowDisks",
  "storageFailures",
  "crashes",
  "powerCuts",
  "blackouts",
  "restarts",
  "partitions",
  "oneWayCuts",
  "halfHeardLeaders",
  "unsettledLeaders",
  "droppedMessages",
  "duplicatedMessages",
  "delayedMessages",
  "reorderedMessages",
  "stalls",
  "lateTicks",
  "frozenLeaders",
  "hungLeaders",
  "lastWords",
  "shortReigns",
  "suspends",
  "clockJumps",
  "sessionsOpened",
  "sessionsClosed",
  "sessionsExpired",
  "duplicatesFiltered",
  "durableMachines",
  "asynchronousApplies",
  "comparedStates",
  "checkedWrites",
  "checkedOperations",
] as const;

export type ConsensusEvent = (typeof consensusEvents)[number];
export type ConsensusTotals = Record<ConsensusEvent, number>;

export function noTotals(): ConsensusTotals {
  return Object.fromEntries(consensusEvents.map((event) => [event, 0])) as ConsensusTotals;
}

export function sumTotals(into: ConsensusTotals, more: ConsensusTotals): void {
  for (const event of consensusEvents) into[event] += more[event];
}

/** Events that never happened. */
export function unseenEvents(totals: ConsensusTotals): readonly ConsensusEvent[] {
  return consensusEvents.filter((event) => totals[event] === 0);
}

/** Kinds of fault, each with the event that shows that it happened. */
const faultEvents: readonly ConsensusEvent[] = [
  "crashes",
  "powerCuts",
  "blackouts",
  "restarts",
  "partitions",
  "oneWayCuts",
  "droppedMessages",
  "stalls",
  "frozenLeaders",
  "lastWords",
  "shortReigns",
  "clockJumps",
  "bitFlips",
  "wipes",
  "syncFailures",
  "writeFailures",
  "fullDisks",
  "hungDisks",
  "slowDisks",
];

/** How many kinds of fault a run has seen. */
export function faultKindsSeen(totals: ConsensusTotals): number {
  return faultEvents.filter((event) => totals[event] > 0).length;
}
