/** The reserved trees of the machine's own state. Their names are part of the snapshot format. */
export const trees = {
  /** Position in the log and the machine's own scalars; not part of the state hash. */
  position: "machine/position",
  /** Cluster id, genesis, committed time, mode. */
  meta: "machine/meta",
  /** Node id → record. */
  formation: "formation/nodes",
  /** Node ids that were removed for ever. */
  tombstones: "formation/tombstones",
  /** Generation that a command was made for → why it was made. */
  decisions: "formation/decisions",
  /** Height → block. */
  blocks: "chain/blocks",
  /** Height → seal. */
  seals: "chain/seals",
  /** Height → an operator's signature under the sealed head. */
  cosignatures: "chain/cosignatures",
  /** Token id → record. */
  tokens: "tokens",
} as const;
