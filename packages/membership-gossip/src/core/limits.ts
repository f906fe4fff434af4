/** Every bound of the protocol in one place. What crosses one is refused and counted, never stretched. */
export const limits = {
  keyMaxLength: 64,
  valueMaxBytes: 512,
  keysMax: 64,
  addressesMax: 8,
  addressMaxLength: 261,
  /** One origin's whole record, signed payload without the signature. */
  recordMaxBytes: 16_384,
  verdictMaxBytes: 512,
  frameMaxBytes: 65_536,
  /** What one frame may spend on items or on digest entries; the rest follows in later rounds. */
  frameBudgetBytes: 49_152,
  /** What a round may spend on news that rides along with it. */
  newsBudgetBytes: 20_480,
  itemsPerFrameMax: 512,
  digestEntriesMax: 640,
  wantsMax: 256,
  membersMax: 10_000,
  verdictsPerSubjectMax: 16,
  gravesMax: 10_000,
  watchersMax: 64,
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
