import {
  isFabricError,
  type ArchiveOrder,
  type ArchiveSink,
  type ArchivedSegment,
  type Attestor,
  type ChainBase,
  type ChainRecord,
  type ClusterId,
  type DutyChain,
  type Logger,
  type MachineStore,
} from "@revoada/fabric";
import { ArchiveBrokenError, CommandRefusedError } from "../errors.ts";
import { encodeDrop, leastKeptBlocks, segmentBlocks } from "../machine/drop.ts";
import { sealEnvelope } from "../machine/envelope.ts";
import type { FormationState } from "../machine/formation-machine.ts";
import { keptBase, keptRecords, sealedHeights } from "../machine/kept-chain.ts";
import type { ClusterMachine } from "../machine/machine.ts";
import { openResult } from "../machine/result.ts";
import type { Propose } from "../parts.ts";

export interface ArchiverOptions {
  readonly attestor: Attestor;
  readonly machine: ClusterMachine;
  readonly store: MachineStore;
  readonly propose: Propose;
  readonly holdsReplica: () => boolean;
  readonly logger: Logger;
  /** Gives others a turn. */
  readonly pause: () => Promise<void>;
}

/** A segment that may be put away now, as it would be written, and the command by which its blocks are dropped then. */
export interface PlannedSegment extends Omit<ArchivedSegment, "dropped" | "bytes"> {
  readonly file: Uint8Array;
  /** For the log: an envelope. */
  readonly command: Uint8Array;
}

/** A segment that could be put away: the blocks above the base up to its end. */
interface Segment {
  readonly from: ChainBase | undefined;
  readonly end: ChainBase;
  readonly records: readonly ChainRecord[];
}

/** How long the cluster may take to agree to a drop. */
const dropTimeoutMs = 10_000;
/** Records whose signatures are checked before others get a turn; a stretch is never torn apart. */
const recordsPerTurn = 32;

/** The name of a segment's file: which cluster, and which blocks. */
function archiveName(clusterId: ClusterId, first: number, last: number): string {
  const padded = (height: number): string => String(height).padStart(12, "0");
  return `${clusterId.slice(0, 16)}-${padded(first)}-${padded(last)}.chain`;
}

/**
 * Puts sealed prefixes of the chain away, a segment at a time: written to the sink, read back and verified with every signature, and only then
 * dropped, by a command that every replica judges for itself. A crash anywhere in between leaves a segment that is written once more, the same
 * bytes under the same name where it is a full one.
 */
export class ChainArchiver implements DutyChain {
  readonly #options: ArchiverOptions;

  constructor(options: ArchiverOptions) {
    this.#options = options;
  }

  async archive(
    order: ArchiveOrder,
    { signal, mayDrop = () => undefined }: { readonly signal: AbortSignal; readonly mayDrop?: () => void },
  ): Promise<ArchivedSegment | undefined> {
    const { machine } = this.#options;
    const state = this.#state();
    const segment = this.#next(state, order);
    if (segment === undefined) return undefined;
    const { first, last, name, file, command } = this.#planned(state, segment);
    const facts = { first, last, name, bytes: file.length };
    if (order.dryRun === true) return { ...facts, dropped: false };
    await order.sink.put(name, file, { signal });
    await this.#verify(segment, order.sink, { name, file, state, signal });
    signal.throwIfAborted();
    mayDrop();
    const { result } = await this.#options.propose(command, { signal, timeoutMs: dropTimeoutMs });
    try {
      openResult(result);
    } catch (error) {
      // Somebody else had these blocks dropped meanwhile, which is what was wanted.
      const isDone = (machine.formation.state?.base.height ?? 0) >= last;
      if (!isFabricError(error, "CHAIN_DROP_REFUSED") || !isDone) throw error;
    }
    this.#options.logger.info("blocks were archived and dropped", { first, last, place: order.sink.place, name });
    return { ...facts, dropped: true };
  }

  /** The next segment, for whoever writes and verifies it otherwise. */
  plan(order: Omit<ArchiveOrder, "sink" | "dryRun">): PlannedSegment | undefined {
    const state = this.#state();
    const segment = this.#next(state, order);
    return segment === undefined ? undefined : this.#planned(state, segment);
  }

  #planned({ genesis }: FormationState, { from, end, records }: Segment): PlannedSegment {
    const { attestor } = this.#options;
    const start = from === undefined ? {} : { from: from.checkpoint };
    const file = attestor.archiveChain({ genesis: genesis.bytes, ...start, records, to: end.checkpoint });
    const [first, last] = [(from?.head.height ?? 0) + 1, end.head.height];
    const name = archiveName(genesis.clusterId, first, last);
    const body = encodeDrop(attestor, { clusterId: genesis.clusterId, head: end.head, archive: attestor.hash(file) });
    return { first, last, name, file, command: sealEnvelope("drop", body) };
  }

  #state(): FormationState {
    const { machine, holdsReplica } = this.#options;
    const { state } = machine.formation;
    if (state === undefined || !holdsReplica())
      throw new CommandRefusedError("CHAIN_DROP_REFUSED", "this node holds no replica: ask on a master");
    return state;
  }

  /**
   * The next segment. One that is full ends at a height that follows from the chain alone, so that whoever tries again writes the same file.
   */
  #next(state: FormationState, { keepBlocks, partial = false }: Omit<ArchiveOrder, "sink">): Segment | undefined {
    const { store } = this.#options;
    const from = keptBase(store);
    const base = from?.head.height ?? 0;
    const limit = droppableHeight(state, keepBlocks);
    if (limit <= base || (!partial && limit - base < segmentBlocks)) return undefined;
    const within = sealedHeights(store, base, Math.min(limit, base + segmentBlocks));
    const beyond = within.length > 0 ? [] : sealedHeights(store, base, limit).slice(-1);
    for (const height of [...within, ...beyond]) {
      const records = [...keptRecords(store, base, height, { cosignatures: true })];
      const end = this.#condense(state, from, records);
      if (end !== undefined) return { from, end, records };
    }
    return undefined;
  }

  /** Undefined where nobody could go on from that height: after a recovery, until something follows it. */
  #condense(
    state: FormationState,
    from: ChainBase | undefined,
    records: readonly ChainRecord[],
  ): ChainBase | undefined {
    const start = from === undefined ? {} : { from: from.checkpoint };
    const blocks = records.filter(({ kind }) => kind !== "cosignature");
    try {
      return this.#options.attestor.condense({ genesis: state.genesis.bytes, ...start, records: blocks });
    } catch (error) {
      if (!isFabricError(error, "CHAIN_INVALID")) throw error;
      this.#options.logger.debug("a height is passed over", { error: error.message });
      return undefined;
    }
  }

  /** Reads the segment back and verifies it as a stranger would who trusts what it begins with. */
  async #verify(
    { from, end }: Segment,
    sink: ArchiveSink,
    given: {
      readonly name: string;
      readonly file: Uint8Array;
      readonly state: FormationState;
      readonly signal: AbortSignal;
    },
  ): Promise<void> {
    const { attestor } = this.#options;
    const { name, file, state, signal } = given;
    const kept = await sink.get(name, { signal });
    if (attestor.hash(kept) !== attestor.hash(file))
      throw new ArchiveBrokenError(sink.place, name, "what is read back are other bytes than were written");
    try {
      const [, ...records] = attestor.readChain(kept);
      const follower = attestor.follow(state.genesis.bytes, state.genesis.clusterId, {
        believes: ({ hash }) => state.recoveries.some((known) => known.hash === hash),
        ...(from === undefined ? {} : { from: from.checkpoint }),
      });
      for (const stretch of stretchesOf(records.slice(0, -1))) {
        follower.advance(stretch);
        await this.#options.pause();
        signal.throwIfAborted();
      }
      if (follower.head().hash !== end.head.hash)
        throw new ArchiveBrokenError(sink.place, name, `it ends at height ${follower.head().height}`);
    } catch (error) {
      if (!isFabricError(error, "CHAIN_INVALID")) throw error;
      throw new ArchiveBrokenError(sink.place, name, error.message);
    }
  }
}

/** Up to where blocks may be dropped. Where operators sign, what is not vouched for by one of them stays, and so does their last word. */
function droppableHeight(
  { sealed, operatorSigned, formation }: Pick<FormationState, "sealed" | "operatorSigned" | "formation">,
  keepBlocks: number,
): number {
  const sealedPart = sealed.height - Math.max(keepBlocks, leastKeptBlocks);
  return formation.operators === undefined ? sealedPart : Math.min(sealedPart, operatorSigned.height - 1);
}

/** Cut behind seals, and behind the cosignatures that follow them. */
function stretchesOf(records: readonly ChainRecord[]): readonly (readonly ChainRecord[])[] {
  const stretches: ChainRecord[][] = [[]];
  for (const [index, record] of records.entries()) {
    const current = stretches.at(-1) as ChainRecord[];
    current.push(record);
    const isEnd = record.kind !== "block" && records[index + 1]?.kind !== "cosignature";
    if (isEnd && current.length >= recordsPerTurn) stretches.push([]);
  }
  return stretches.filter((stretch) => stretch.length > 0);
}
