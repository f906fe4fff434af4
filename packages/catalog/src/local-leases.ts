import {
  InvalidValueError,
  isFabricError,
  parseDutyName,
  parseLeaseId,
  type Clock,
  type HeldDuty,
  type Lease,
  type LeaseId,
  type LeaseOptions,
  type LeaseRequest,
  type Leases,
  type LeaseStatus,
  type Leadership,
  type Revision,
  type StoreReader,
} from "@revoada/fabric";
import { decodeCanonical, encodeCanonical, isCounter } from "./core/cbor.ts";
import type { CatalogCommand } from "./core/command.ts";
import { leaseNotFound, readDuties, readLease, readLeaseKeys, readLeases } from "./core/lease-records.ts";
import { checkGrant } from "./core/leasing.ts";
import { decodeOutcome, encodeOutcome, type CommandOutcome, type Refusal } from "./core/result.ts";
import { CatalogInvalidResultError } from "./errors.ts";
import type { Lessor } from "./lessor.ts";
import type { CatalogMachine } from "./machine.ts";
import { errorOf } from "./refusal.ts";

export interface LocalLeasesOptions {
  readonly store: StoreReader;
  readonly machine: CatalogMachine;
  readonly clock: Clock;
  readonly lessor: Lessor;
  readonly leadership: Leadership;
  readonly propose: (command: CatalogCommand, options: LeaseOptions) => Promise<CommandOutcome>;
  readonly readBarrier: (options: LeaseOptions) => Promise<unknown>;
}

type Act = "renew" | "look";

/** What one replica asks of the one that leads: version, act, lease. */
const requestVersion = 1;
const acts: readonly Act[] = ["renew", "look"];

const defaultTimeoutMs = 5_000;
const askAgainMs = 50;

/** The leases of a replicated catalog, as callers of one node see them. */
export class LocalLeases implements Leases {
  readonly supported = true;
  readonly #options: LocalLeasesOptions;
  readonly #listeners = new Set<() => void>();
  readonly #unsubscribe: () => void;

  constructor(options: LocalLeasesOptions) {
    this.#options = options;
    const announce = (): void => {
      for (const listener of this.#listeners) listener();
    };
    this.#unsubscribe = options.machine.subscribe({
      committed: () => undefined,
      restored: announce,
      leasesChanged: ({ granted, ended }) => {
        if ([...granted, ...ended].some(({ duty }) => duty !== undefined)) announce();
      },
    });
  }

  close(): void {
    this.#unsubscribe();
    this.#options.lessor.close();
  }

  async grant(request: LeaseRequest, options: LeaseOptions = {}): Promise<Lease> {
    const { ttlMs, duty, holder } = request;
    if (duty !== undefined) parseDutyName(duty);
    const fault = checkGrant(request);
    if (fault !== undefined) throw errorOf(fault);
    const command: CatalogCommand = {
      type: "grant",
      ttlMs,
      ...(duty === undefined ? {} : { duty }),
      ...(holder === undefined ? {} : { holder }),
    };
    const outcome = await this.#options.propose(command, options);
    if (outcome.type !== "granted") throw unexpected(outcome);
    return outcome.lease;
  }

  async keepAlive(id: LeaseId, options: LeaseOptions = {}): Promise<{ readonly ttlMs: number }> {
    return { ttlMs: await this.#count(id, "renew", options) };
  }

  async revoke(id: LeaseId, options: LeaseOptions = {}): Promise<{ readonly revision: Revision }> {
    const outcome = await this.#options.propose({ type: "revoke", lease: parseLeaseId(id) }, options);
    if (outcome.type !== "ended") throw unexpected(outcome);
    return { revision: outcome.revision as Revision };
  }

  async timeToLive(id: LeaseId, options: LeaseOptions = {}): Promise<LeaseStatus> {
    const remainingMs = await this.#count(id, "look", options);
    return { ...(await this.#read(id, options)), remainingMs };
  }

  async keys(id: LeaseId, options: LeaseOptions = {}): Promise<readonly Uint8Array[]> {
    await this.#read(id, options);
    return [...readLeaseKeys(this.#options.store, id)];
  }

  async list(options: LeaseOptions = {}): Promise<readonly Lease[]> {
    await this.#options.readBarrier(options);
    return [...readLeases(this.#options.store)];
  }

  duties(): readonly HeldDuty[] {
    return readDuties(this.#options.store);
  }

  onDutiesChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Answers another replica that takes this node for the leader. A refusal is an answer too. */
  async answer(request: Uint8Array, options: LeaseOptions): Promise<Uint8Array> {
    const [version, act, id] = (decodeCanonical(request) as readonly unknown[] | undefined) ?? [];
    const wanted = version === requestVersion && isCounter(act) ? acts[act] : undefined;
    if (wanted === undefined) throw new InvalidValueError("request", request, "a request about a lease");
    try {
      const remainingMs = await this.#options.lessor.count(parseLeaseId(id), wanted, options);
      return encodeOutcome({ type: "counted", remainingMs });
    } catch (error) {
      if (!isFabricError(error, "CATALOG_LEASE_NOT_FOUND", "RAFT_NOT_LEADER", "RAFT_NO_QUORUM")) throw error;
      const refusal = { code: error.code, message: error.message } as Refusal;
      return encodeOutcome({ type: "refused", refusal });
    }
  }

  async #read(id: LeaseId, options: LeaseOptions): Promise<Lease> {
    await this.#options.readBarrier(options);
    const lease = readLease(this.#options.store, parseLeaseId(id));
    if (lease === undefined) throw errorOf(leaseNotFound(id));
    return lease;
  }

  /** Here where this node leads, and by asking the one that does elsewhere; again, within bounds, while that is changing. */
  async #count(id: LeaseId, act: Act, { signal, timeoutMs = defaultTimeoutMs }: LeaseOptions): Promise<number> {
    parseLeaseId(id);
    const { clock } = this.#options;
    const endMs = clock.monotonicMs() + timeoutMs;
    for (;;) {
      signal?.throwIfAborted();
      const leftMs = Math.max(1, Math.floor(endMs - clock.monotonicMs()));
      try {
        return await this.#countOnce(id, act, { timeoutMs: leftMs, ...(signal === undefined ? {} : { signal }) });
      } catch (error) {
        const mayChange = isFabricError(error) && error.retryable && clock.monotonicMs() + askAgainMs < endMs;
        if (!mayChange || signal?.aborted === true) throw error;
      }
      await new Promise<void>((resolve) => void clock.schedule(askAgainMs, resolve));
    }
  }

  async #countOnce(id: LeaseId, act: Act, options: LeaseOptions): Promise<number> {
    const { lessor, leadership } = this.#options;
    if (leadership.term() !== undefined) return lessor.count(id, act, options);
    const request = encodeCanonical([requestVersion, acts.indexOf(act), id]);
    const outcome = decodeOutcome(await leadership.ask(request, options));
    if (outcome?.type === "counted") return outcome.remainingMs;
    if (outcome?.type === "refused") throw errorOf(outcome.refusal);
    throw new CatalogInvalidResultError("what the leader answered about a lease is no answer");
  }
}

function unexpected(outcome: CommandOutcome): CatalogInvalidResultError {
  return new CatalogInvalidResultError(`an answer of type ${outcome.type} is out of place`);
}
