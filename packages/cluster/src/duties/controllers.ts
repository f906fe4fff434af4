import {
  InvalidValueError,
  isFabricError,
  type Clock,
  type Duty,
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

export const defaultHistoryLimits: Required<HistoryLimits> = { keepRevisions: 10_000, keepMs: 300_000 };

/** How often history is looked at: a tenth of what is kept, within bounds. */
const minLookMs = 1_000;
const maxLookMs = 60_000;

/**
 * Makes the duty `controllers`: what keeps the cluster's own state in order, on one master at a time.
 *
 * It drops the history of the catalog that nobody needs any more. Watchers and pages that are further behind than that get a reset or
 * `CATALOG_COMPACTED`. Age is counted from when this holder first saw a revision, so that a takeover keeps history longer, never shorter.
 */
export function controllersDuty(limits: HistoryLimits = {}): Duty {
  const { keepRevisions, keepMs } = { ...defaultHistoryLimits, ...limits };
  for (const [name, value] of Object.entries({ keepRevisions, keepMs }))
    if (!Number.isSafeInteger(value) || value < 1) throw new InvalidValueError(name, value, "a whole number from 1");
  return {
    name: "controllers",
    kind: "singleton",
    start: async (context) => new HistoryController(context, keepRevisions, keepMs),
  };
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
