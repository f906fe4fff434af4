import {
  InvalidValueError,
  isFabricError,
  type ArchiveOrder,
  type ArchiveSink,
  type Clock,
  type Duty,
  type DutyChain,
  type DutyContext,
  type Revision,
} from "@revoada/fabric";

/** How much of its history the catalog keeps. What either of the two keeps is kept. */
export interface HistoryLimits {
  /** So many of the newest revisions; 10,000 unless told. */
  readonly keepRevisions?: number;
  /** All that is not older than this, in milliseconds; 5 minutes unless told. */
  readonly keepMs?: number;
}

/** How much of the chain is kept, and where the rest goes. */
export interface ChainLimits {
  readonly sink: ArchiveSink;
  /** So many of the newest sealed blocks stay; 10,000 unless told. */
  readonly keepBlocks?: number;
}

export const defaultKeepBlocks = 10_000;
export const defaultHistoryLimits: Required<HistoryLimits> = { keepRevisions: 10_000, keepMs: 300_000 };

/** How often the chain is looked at, and how long it is left alone after an archive failed. */
const chainLookMs = 5_000;
const chainRetryMs = 60_000;
/** How often history is looked at: a tenth of what is kept, within bounds. */
const minLookMs = 1_000;
const maxLookMs = 60_000;

/**
 * Makes the duty `controllers`: what keeps the cluster's own state in order, on one master at a time.
 *
 * It drops the history of the catalog that nobody needs any more. Watchers and pages that are further behind than that get a reset or
 * `CATALOG_COMPACTED`. Age is counted from when this holder first saw a revision, so that a takeover keeps history longer, never shorter.
 *
 * Where `chain` names an archive, it puts sealed blocks of the chain away there, a full segment at a time, and has the cluster drop them once they are
 * verified. Without, no block is ever dropped by itself.
 */
export function controllersDuty(limits: HistoryLimits = {}, chain?: ChainLimits): Duty {
  const { keepRevisions, keepMs } = { ...defaultHistoryLimits, ...limits };
  const keepBlocks = chain?.keepBlocks ?? defaultKeepBlocks;
  for (const [name, value] of Object.entries({ keepRevisions, keepMs, keepBlocks }))
    if (!Number.isSafeInteger(value) || value < 1) throw new InvalidValueError(name, value, "a whole number from 1");
  return {
    name: "controllers",
    kind: "singleton",
    start: async (context) => {
      const history = new HistoryController(context, keepRevisions, keepMs);
      if (chain === undefined || context.chain === undefined) return history;
      const archive = new ChainController(context, context.chain, { sink: chain.sink, keepBlocks });
      return {
        async [Symbol.asyncDispose](): Promise<void> {
          await Promise.all([history[Symbol.asyncDispose](), archive[Symbol.asyncDispose]()]);
        },
      };
    },
  };
}

/** Puts one segment after another away, for as long as there are full ones. */
class ChainController implements AsyncDisposable {
  readonly #context: DutyContext;
  readonly #chain: DutyChain;
  readonly #order: ArchiveOrder;
  #cancel: () => void = () => undefined;
  #working: Promise<void> | undefined;

  constructor(context: DutyContext, chain: DutyChain, order: ArchiveOrder) {
    this.#context = context;
    this.#chain = chain;
    this.#order = order;
    this.#schedule(chainLookMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#cancel();
    await this.#working;
  }

  #schedule(afterMs: number): void {
    const { signal, clock } = this.#context;
    if (signal.aborted) return;
    this.#cancel = clock.schedule(afterMs, () => {
      this.#working = this.#archive()
        .then((nextMs) => this.#schedule(nextMs))
        .finally(() => {
          this.#working = undefined;
        });
    });
  }

  /** Resolves with when to look again. */
  async #archive(): Promise<number> {
    const { signal, logger, metrics } = this.#context;
    try {
      const segment = await this.#chain.archive(this.#order, { signal });
      if (segment !== undefined)
        metrics.count("revoada_cluster_chain_archived_blocks_total", segment.last - segment.first + 1);
      return chainLookMs;
    } catch (error) {
      if (signal.aborted) return chainRetryMs;
      metrics.count("revoada_cluster_chain_archive_failures_total");
      logger.warn("blocks were not archived, and stay", { place: this.#order.sink.place, error: String(error) });
      return chainRetryMs;
    }
  }
}

class HistoryController implements AsyncDisposable {
  readonly #context: DutyContext;
  readonly #clock: Clock;
  readonly #keepRevisions: number;
  readonly #keepMs: number;
  readonly #everyMs: number;
  /** When which revision was the newest, oldest first. */
  #seen: { readonly atMs: number; readonly revision: number }[] = [];
  #cancel: () => void = () => undefined;
  #working: Promise<void> | undefined;

  constructor(context: DutyContext, keepRevisions: number, keepMs: number) {
    this.#context = context;
    this.#clock = context.clock;
    this.#keepRevisions = keepRevisions;
    this.#keepMs = keepMs;
    this.#everyMs = Math.min(maxLookMs, Math.max(minLookMs, Math.floor(keepMs / 10)));
    this.#look();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#cancel();
    await this.#working;
  }

  #schedule(): void {
    if (this.#context.signal.aborted) return;
    this.#cancel = this.#clock.schedule(this.#everyMs, () => this.#look());
  }

  #look(): void {
    const { catalog, signal } = this.#context;
    if (signal.aborted) return;
    const nowMs = this.#clock.monotonicMs();
    this.#seen.push({ atMs: nowMs, revision: catalog.revision() });
    const old = this.#seen.findLastIndex(({ atMs }) => atMs <= nowMs - this.#keepMs);
    this.#seen = this.#seen.slice(Math.max(0, old));
    const aged = old < 0 ? 0 : (this.#seen[0]?.revision ?? 0);
    const floor = Math.min(aged, catalog.revision() - this.#keepRevisions);
    if (floor <= catalog.compactedRevision()) return this.#schedule();
    this.#working = this.#compact(floor as Revision).finally(() => {
      this.#working = undefined;
      this.#schedule();
    });
  }

  async #compact(floor: Revision): Promise<void> {
    const { catalog, signal, logger, metrics } = this.#context;
    try {
      await catalog.compact(floor, { signal });
      metrics.count("revoada_cluster_compactions_total");
      logger.info("history was compacted", { revision: floor });
    } catch (error) {
      if (signal.aborted) return;
      if (isFabricError(error, "CATALOG_FENCED", "DUTY_LOST"))
        logger.info("history was not compacted: another does", {});
      else logger.warn("history was not compacted", { revision: floor, error: String(error) });
    }
  }
}
