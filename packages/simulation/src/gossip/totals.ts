/** What is counted in a world of gossip. A run that has not seen one of these was an empty one. */
export const gossipEvents = [
  "rounds",
  "frames",
  "lostFrames",
  "duplicatedFrames",
  "digests",
  "exchanges",
  "suspicions",
  "deaths",
  "refutations",
  "stalls",
  "kills",
  "restarts",
  "partitions",
  "leaves",
] as const;

export type GossipEvent = (typeof gossipEvents)[number];
export type GossipTotals = Record<GossipEvent, number>;

export function noGossipTotals(): GossipTotals {
  return Object.fromEntries(gossipEvents.map((event) => [event, 0])) as GossipTotals;
}

export function sumGossipTotals(into: GossipTotals, more: GossipTotals): void {
  for (const event of gossipEvents) into[event] += more[event];
}

export function unseenGossipEvents(totals: GossipTotals): readonly GossipEvent[] {
  return gossipEvents.filter((event) => totals[event] === 0);
}

/** Bytes of frames, by what they are for: signs of life, and state. */
export interface GossipTraffic {
  liveness: number;
  state: number;
}
