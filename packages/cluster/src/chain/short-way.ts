import {
  isFabricError,
  type Attestor,
  type ChainBase,
  type ChainRecord,
  type Genesis,
  type Logger,
  type MachineStore,
} from "@revoada/fabric";
import { keptBase, keptRecords, sealedHeights } from "../machine/kept-chain.ts";

export interface ShortWayOptions {
  readonly attestor: Attestor;
  readonly genesis: Genesis;
  readonly store: MachineStore;
  readonly logger: Logger;
  /** Lets whatever else there is to do go first. */
  readonly pause: () => Promise<void>;
}

/** A block is replayed in less than a tenth of a millisecond, without its signatures. */
const blocksPerTurn = 256;
/** Heights from which nobody could go on do not follow upon each other. */
const mostTries = 8;

/**
 * The sealed chain for somebody who has nothing of it, in few bytes: hops over the changes of who seals, a checkpoint, and the blocks above it. Whoever
 * goes by it is led from the cluster id as by the blocks themselves, and needs no others.
 *
 * What was condensed once is remembered, so that a chain is gone through once and not for each newcomer.
 */
export class ShortWay {
  readonly #options: ShortWayOptions;
  #base: ChainBase | undefined;

  constructor(options: ShortWayOptions) {
    this.#options = options;
  }

  /** The way up to a sealed height. The blocks at its end have at most `maxBytes`, where anything could stand for those before them. */
  async to(sealedHeight: () => number, maxBytes: number): Promise<readonly ChainRecord[]> {
    const { store, pause } = this.#options;
    for (;;) {
      const base = this.#from();
      const blocks = (): Iterable<ChainRecord> =>
        keptRecords(store, base?.head.height ?? 0, sealedHeight(), { cosignatures: false });
      const fitting = within(blocks(), maxBytes);
      if (fitting !== undefined) return [...wayTo(base), ...fitting];
      const next = this.#next(base, sealedHeight());
      if (next === undefined) return [...wayTo(base), ...blocks()];
      this.#base = next;
      await pause();
    }
  }

  /** The base that leads farther: the one in the place of dropped blocks, or the one from here. */
  #from(): ChainBase | undefined {
    const kept = keptBase(this.#options.store);
    if (this.#base === undefined || (kept?.head.height ?? 0) > this.#base.head.height) this.#base = kept;
    return this.#base;
  }

  #next(base: ChainBase | undefined, sealedHeight: number): ChainBase | undefined {
    const { store } = this.#options;
    const above = base?.head.height ?? 0;
    const turnEnd = above + blocksPerTurn;
    const first = sealedHeights(store, above, Math.min(sealedHeight, turnEnd)).slice(0, mostTries);
    const next = this.#firstOf(base, first);
    if (next !== undefined || sealedHeight <= turnEnd) return next;
    return this.#firstOf(base, sealedHeights(store, turnEnd, sealedHeight).toReversed().slice(0, mostTries));
  }

  #firstOf(base: ChainBase | undefined, heights: readonly number[]): ChainBase | undefined {
    for (const height of heights) {
      const next = this.#condense(base, height);
      if (next !== undefined) return next;
    }
    return undefined;
  }

  /** Undefined where nobody could go on from that height: after a recovery, until something follows it. */
  #condense(base: ChainBase | undefined, height: number): ChainBase | undefined {
    const { attestor, genesis, store, logger } = this.#options;
    const records = [...keptRecords(store, base?.head.height ?? 0, height, { cosignatures: false })];
    const from = base === undefined ? {} : { from: base.checkpoint };
    try {
      const { head, checkpoint, hops } = attestor.condense({ genesis: genesis.bytes, ...from, records });
      return { head, checkpoint, hops: [...(base?.hops ?? []), ...hops] };
    } catch (error) {
      if (!isFabricError(error, "CHAIN_INVALID")) throw error;
      logger.debug("a height is passed over", { height, error: error.message });
      return undefined;
    }
  }
}

/** All of the records, or undefined where they have more bytes; no more of them are read then. */
function within(records: Iterable<ChainRecord>, maxBytes: number): readonly ChainRecord[] | undefined {
  const taken: ChainRecord[] = [];
  let bytes = 0;
  for (const record of records) {
    bytes += record.bytes.length;
    if (bytes > maxBytes) return undefined;
    taken.push(record);
  }
  return taken;
}

function wayTo(base: ChainBase | undefined): readonly ChainRecord[] {
  if (base === undefined) return [];
  const hops = base.hops.map(({ bytes }): ChainRecord => ({ kind: "hop", bytes }));
  return [...hops, { kind: "checkpoint", bytes: base.checkpoint }];
}
