/** Every bound of the protocol in one place. What crosses one is refused and counted, never stretched. */
export const limits = {
  keyMaxLength: 64,
  valueMaxBytes: 512,
  keysMax: 64,
  /** All keys and values of one node, as they are encoded. */
  factsMaxBytes: 16_384,
  addressesMax: 8,
  addressMaxLength: 261,
  /** Keys and values of one page: small, so that a value that changes often takes little with it. */
  pageMaxBytes: 1_024,
  /** Pages of one node, the one in its head included. */
  pagesMax: 40,
  /** The signed bytes of a head: counters, addresses, the versions of the pages, and the first page. */
  recordMaxBytes: 4_096,
  /** The signed bytes of a page. */
  pageItemMaxBytes: 1_280,
  verdictMaxBytes: 512,
  frameMaxBytes: 16_384,
  /** What an exchange may spend on items; the rest follows in later rounds. */
  frameBudgetBytes: 12_288,
  /** What a frame may spend on news that rides along with it. */
  newsBudgetBytes: 6_144,
  /** What a digest may spend on its entries, and on the graves beside them. */
  entriesBudgetBytes: 7_168,
  gravesBudgetBytes: 1_536,
  itemsPerFrameMax: 128,
  digestEntriesMax: 512,
  wantsMax: 128,
  /** Pages that all the wishes of a frame may name together. */
  wantedPagesMax: 512,
  membersMax: 10_000,
  verdictsPerSubjectMax: 16,
  gravesMax: 10_000,
  /** Whoever was turned away lately, so that it is not asked for again in every round. */
  unwelcomeMax: 10_000,
  watchersMax: 64,
  /** Items that were read lately and are not decoded again: all that is news at once, several times over. */
  rememberedItemsMax: 1_024,
  bucketCount: 32,
  /** A generation further ahead of the wall clock than this is refused. */
  generationAheadMaxSeconds: 86_400,
  recordLifeMs: 86_400_000,
  /** A record that claims a longer life than this is refused. */
  recordLifeMaxMs: 259_200_000,
  /** A grave stays this long after every record of its owner has expired. */
  graveSlackMs: 86_400_000,
  /** How often a start may move past what an earlier one left behind under the same key. */
  ownConflictsMax: 8,
} as const;

/** Gossip partners per round. */
export const fanOut = 3;
/** Direct observers of a node; where there are no more than one more nodes than this, everybody observes everybody. */
export const observersPerSubject = 8;
/** Requests that a node has under way at once. */
export const openRequestsMax = 16;

/** How long a gossip request may take. */
export function requestTimeoutMs(cadenceMs: number): number {
  return Math.max(1_000, 5 * cadenceMs);
}
