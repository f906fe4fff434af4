/** A place where archived segments of a chain are kept. */
export interface ArchiveSink {
  /** Where that is, for people. */
  readonly place: string;
  /**
   * Keeps bytes under a name; resolves once they would survive a power loss. Putting the same bytes again is no error. Rejects with
   * `CHAIN_ARCHIVE_EXISTS` where other bytes have that name, which stay, or with what the place says: a half-written name never shows.
   */
  put(name: string, bytes: Uint8Array, options: { readonly signal: AbortSignal }): Promise<void>;
  /** What is kept under a name, read anew. Rejects with what the place says. */
  get(name: string, options: { readonly signal: AbortSignal }): Promise<Uint8Array>;
}

/** Blocks that were put away. */
export interface ArchivedSegment {
  /** The first and the last block. */
  readonly first: number;
  readonly last: number;
  /** The name that the sink keeps it under. */
  readonly name: string;
  readonly bytes: number;
  /** True once the cluster has dropped these blocks; false where it was only asked what would be. */
  readonly dropped: boolean;
}

/** What may be put away. */
export interface ArchiveOrder {
  readonly sink: ArchiveSink;
  /** So many of the newest sealed blocks stay; never fewer than 16 do. */
  readonly keepBlocks: number;
  /** Puts away what does not fill a segment, too. */
  readonly partial?: boolean;
  /** Says what would be put away, and writes and drops nothing. */
  readonly dryRun?: boolean;
}

/** What a duty may do with the chain of shifts. */
export interface DutyChain {
  /**
   * Puts the next segment away: writes it to the sink, reads it back, verifies it, and has the cluster drop the blocks. Resolves with undefined where
   * too few may be put away. Rejects with what the sink says, `CHAIN_ARCHIVE_BROKEN`, `CHAIN_DROP_REFUSED` or `DUTY_LOST`; nothing was dropped then.
   */
  archive(order: ArchiveOrder, options: { readonly signal: AbortSignal }): Promise<ArchivedSegment | undefined>;
}
