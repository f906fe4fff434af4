import {
  type Catalog,
  type CatalogEntry,
  type CatalogTransaction,
  type Clock,
  type ClusterId,
  type Fence,
  InvalidValueError,
  InvariantError,
  type Leadership,
  type LeaseId,
  type LeaseOptions,
  type Leases,
  LeasesUnsupportedError,
  type Logger,
  type MachineStore,
  type Metrics,
  noLeases,
  parseFence,
  type RangeRequest,
  type RangeResult,
  type ReadOptions,
  type Revision,
  silentLogger,
  silentMetrics,
  type Term,
  type TransactionResult,
  type WatchBatch,
} from "@revoada/fabric";
import { checkTransaction, writes } from "./core/check-transaction.ts";
import { encodeCommand, usesLeases, type CatalogCommand } from "./core/command.ts";
import { evaluate } from "./core/evaluate.ts";
import { catalogLimits, keyFault, rangeFault } from "./core/limits.ts";
import { readEntry, readRange } from "./core/read.ts";
import type { CatalogState } from "./core/records.ts";
import { decodeOutcome, type CommandOutcome } from "./core/result.ts";
import { CatalogCompactedError, CatalogFutureRevisionError, CatalogInvalidResultError } from "./errors.ts";
import { Lessor } from "./lessor.ts";
import { LocalLeases } from "./local-leases.ts";
import type { CatalogMachine } from "./machine.ts";
import { errorOf } from "./refusal.ts";
import { restoreCommands } from "./restore.ts";
import { loadSnapshot, writeSnapshot } from "./snapshot.ts";
import { WatchHub, type WatchLimits } from "./watch-hub.ts";

/** What the serving half of a catalog is made of. */
export interface CatalogOptions {
  /** The deterministic half; it applies to the same store. */
  readonly machine: CatalogMachine;
  readonly store: MachineStore;
  /** Has a command committed and applied, and brings back what the machine answered. Rejects as `Consensus.propose` does. */
  readonly propose: (
    command: Uint8Array,
    options: {
      readonly signal?: AbortSignal;
      readonly timeoutMs?: number;
      /** What a replica has to know of to apply the command; absent where every release does. */
      readonly needs?: "leases";
    },
  ) => Promise<Uint8Array>;
  /** Resolves once the store holds all that was acknowledged before the call. */
  readonly readBarrier: (options: { readonly signal?: AbortSignal }) => Promise<unknown>;
  readonly clock: Clock;
  /** Who counts the time of leases; without it the catalog has no leases and takes no fences. */
  readonly leadership?: Leadership;
  /** Milliseconds since this replica last knew itself current; 0 where it is not told. */
  readonly ageMs?: () => number;
  /** Written into snapshots, for those who find one. */
  readonly clusterId?: ClusterId;
  readonly watch?: WatchLimits;
  /** Largest snapshot that `restore` takes into memory to check it; 512 MiB unless told. */
  readonly maxSnapshotBytes?: number;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
}

/** A catalog that can be let go of. */
export interface CatalogFront extends Catalog, Disposable {
  /** Ends every watch and its timer, and the counting of leases. What is in the store stays. */
  close(): void;
  /** Answers what another replica's `Leadership.ask` brought here. Rejects with `CATALOG_LEASES_UNSUPPORTED` where there are no leases. */
  answerLease(
    request: Uint8Array,
    options?: { readonly signal?: AbortSignal; readonly timeoutMs?: number },
  ): Promise<Uint8Array>;
}

/**
 * Makes the half of the catalog that serves callers on one node: reads from the local store, writes through the log.
 *
 * @example
 * ```ts
 * const machine = catalogMachine();
 * const front = catalog({ machine, store, propose, readBarrier, clock });
 * ```
 */
export function catalog(options: CatalogOptions): CatalogFront {
  return new LocalFront(options);
}

function signalOf(signal: AbortSignal | undefined): { readonly signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}

function checkKey(key: Uint8Array): void {
  const fault = keyFault(key);
  if (fault !== undefined)
    throw new InvalidValueError("key", key, `1 to ${catalogLimits.keyBytes} bytes, zero bytes counting twice`);
}

function checkRange(start: Uint8Array, end: Uint8Array | undefined): void {
  if (rangeFault(start, end) !== undefined)
    throw new InvalidValueError("range", start, "bounds of at most 1,024 bytes");
}

function checkCounter(name: string, value: number | undefined): void {
  if (value === undefined || (Number.isSafeInteger(value) && value >= 0)) return;
  throw new InvalidValueError(name, value, "an integer from 0 to 2^53 - 1");
}

const mebibyte = 1_048_576;

class LocalFront implements CatalogFront {
  readonly leases: Leases;
  readonly #localLeases: LocalLeases | undefined;
  readonly #options: CatalogOptions;
  readonly #store: MachineStore;
  readonly #hub: WatchHub;
  readonly #logger: Logger;
  readonly #metrics: Metrics;
  readonly #unsubscribe: () => void;

  constructor(options: CatalogOptions) {
    this.#options = options;
    this.#store = options.store;
    this.#logger = options.logger ?? silentLogger;
    this.#metrics = options.metrics ?? silentMetrics;
    this.#hub = new WatchHub({
      store: options.store,
      clock: options.clock,
      metrics: this.#metrics,
      limits: options.watch,
    });
    this.#unsubscribe = options.machine.subscribe({
      committed: () => this.#hub.committed(),
      restored: () => this.#hub.restored(),
    });
    this.#localLeases = this.#createLeases();
    this.leases = this.#localLeases ?? noLeases;
  }

  #createLeases(): LocalLeases | undefined {
    const { leadership, machine, store, clock, readBarrier } = this.#options;
    if (leadership === undefined) return undefined;
    const expire = async (term: Term, leases: readonly LeaseId[]): Promise<readonly LeaseId[]> => {
      const outcome = await this.#propose({ type: "expire", term, leases }, {});
      if (outcome.type !== "ended") throw unexpected(outcome);
      return outcome.leases;
    };
    const [logger, metrics] = [this.#logger, this.#metrics];
    const lessor = new Lessor({ store, machine, clock, leadership, expire, logger, metrics });
    return new LocalLeases({
      store,
      machine,
      clock,
      lessor,
      leadership,
      propose: (command, options) => this.#propose(command, options),
      readBarrier: ({ signal }) => readBarrier(signalOf(signal)),
    });
  }

  async answerLease(request: Uint8Array, options: LeaseOptions = {}): Promise<Uint8Array> {
    if (this.#localLeases === undefined) throw new LeasesUnsupportedError();
    return this.#localLeases.answer(request, options);
  }

  revision(): Revision {
    return this.#state.revision as Revision;
  }

  compactedRevision(): Revision {
    return this.#state.floor as Revision;
  }

  async get(key: Uint8Array, options: ReadOptions = {}): Promise<CatalogEntry | undefined> {
    checkKey(key);
    await this.#arrive(options);
    return readEntry(this.#store, this.#state, key);
  }

  async range(request: RangeRequest, options: ReadOptions = {}): Promise<RangeResult> {
    checkRange(request.start, request.end);
    checkCounter("limit", request.limit);
    checkCounter("revision", request.revision);
    await this.#arrive(options);
    const state = this.#state;
    const revision = request.revision ?? state.revision;
    if (revision > state.revision) throw new CatalogFutureRevisionError(revision, state.revision);
    if (revision < state.floor) throw new CatalogCompactedError(revision, state.floor);
    const reading = readRange(this.#store, state, { ...request, revision });
    return {
      revision: revision as Revision,
      ...reading,
      ageMs: options.consistency === "stale" ? (this.#options.ageMs?.() ?? 0) : 0,
    };
  }

  async txn(
    transaction: CatalogTransaction,
    options: { readonly signal?: AbortSignal; readonly timeoutMs?: number } = {},
  ): Promise<TransactionResult> {
    const fault = checkTransaction(transaction);
    if (fault !== undefined) throw errorOf(fault);
    if (!this.leases.supported && usesLeases({ type: "txn", transaction })) throw new LeasesUnsupportedError();
    if (!writes(transaction)) return this.#read(transaction, options.signal);
    const outcome = await this.#propose({ type: "txn", transaction }, options);
    if (outcome.type !== "txn") throw unexpected(outcome);
    return outcome.result;
  }

  watch(request: {
    readonly start: Uint8Array;
    readonly end?: Uint8Array;
    readonly fromRevision?: Revision;
    readonly signal: AbortSignal;
  }): AsyncIterable<WatchBatch> {
    checkRange(request.start, request.end);
    checkCounter("fromRevision", request.fromRevision);
    const range = { start: request.start, end: request.end };
    // Where it starts is decided now, not when somebody begins to listen.
    const from = request.fromRevision ?? this.#state.revision + 1;
    return { [Symbol.asyncIterator]: () => this.#hub.watch(range, from, request.signal) };
  }

  async compact(
    revision: Revision,
    options: { readonly signal?: AbortSignal; readonly fence?: Fence } = {},
  ): Promise<void> {
    checkCounter("revision", revision);
    const fence = options.fence === undefined ? {} : { fence: parseFence(options.fence) };
    if (!this.leases.supported && options.fence !== undefined) throw new LeasesUnsupportedError();
    for (;;) {
      options.signal?.throwIfAborted();
      const outcome = await this.#propose(
        { type: "compact", revision, sweep: catalogLimits.sweep, ...fence },
        signalOf(options.signal),
      );
      if (outcome.type !== "compacted") throw unexpected(outcome);
      if (outcome.done) return;
    }
  }

  counts(): { readonly keys: number; readonly watchers: number; readonly history: number } {
    const { keys, revision, floor } = this.#state;
    return { keys, watchers: this.#hub.count, history: floor === 0 ? revision : revision - floor + 1 };
  }

  async *snapshot(options: { readonly signal?: AbortSignal } = {}): AsyncGenerator<Uint8Array, void, undefined> {
    await this.#arrive(options);
    const view = this.#store.view();
    try {
      for (const chunk of writeSnapshot(view, this.#options.clusterId)) {
        options.signal?.throwIfAborted();
        yield chunk;
      }
    } finally {
      view.dispose();
    }
  }

  async restore(chunks: AsyncIterable<Uint8Array>, options: { readonly signal?: AbortSignal } = {}): Promise<Revision> {
    const maxBytes = this.#options.maxSnapshotBytes ?? 512 * mebibyte;
    const loaded = await loadSnapshot(chunks, { maxBytes, signal: options.signal });
    for (const command of restoreCommands(loaded.entries)) {
      options.signal?.throwIfAborted();
      const outcome = await this.#propose(command, options);
      if (outcome.type === "restored") {
        const { revision } = outcome;
        this.#logger.info("the catalog was restored", {
          revision,
          entries: loaded.entries.length,
          from: loaded.header.revision,
        });
        return revision as Revision;
      }
      if (outcome.type !== "staged") throw unexpected(outcome);
    }
    throw new InvariantError("catalog: a restore ended without being committed");
  }

  close(): void {
    this.#localLeases?.close();
    this.#unsubscribe();
    this.#hub.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  get #state(): CatalogState {
    return this.#hub.state;
  }

  /** A transaction that writes nothing needs no place in the log. */
  async #read(transaction: CatalogTransaction, signal: AbortSignal | undefined): Promise<TransactionResult> {
    await this.#arrive(signalOf(signal));
    const evaluation = evaluate(this.#store, this.#state, transaction);
    if ("refusal" in evaluation) throw errorOf(evaluation.refusal);
    return { succeeded: evaluation.succeeded, revision: this.revision(), results: evaluation.results };
  }

  async #arrive(options: ReadOptions): Promise<void> {
    options.signal?.throwIfAborted();
    if (options.consistency !== "stale") await this.#options.readBarrier(signalOf(options.signal));
  }

  async #propose(
    command: CatalogCommand,
    { signal, timeoutMs }: { readonly signal?: AbortSignal; readonly timeoutMs?: number },
  ): Promise<CommandOutcome> {
    const bytes = encodeCommand(command);
    const answer = await this.#options.propose(bytes, {
      ...signalOf(signal),
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
      ...(usesLeases(command) ? { needs: "leases" } : {}),
    });
    const outcome = decodeOutcome(answer);
    if (outcome === undefined)
      throw new CatalogInvalidResultError(`the answer of ${answer.length} bytes is no result of the catalog`);
    this.#metrics.count("revoada_catalog_commands_total", 1, { type: command.type, outcome: outcome.type });
    if (outcome.type === "refused") throw errorOf(outcome.refusal);
    return outcome;
  }
}

function unexpected(outcome: CommandOutcome): CatalogInvalidResultError {
  return new CatalogInvalidResultError(`an answer of type ${outcome.type} is out of place`);
}
