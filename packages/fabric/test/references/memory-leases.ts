import {
  type Clock,
  FabricError,
  type Fence,
  type HeldDuty,
  type Lease,
  type LeaseId,
  type LeaseRequest,
  type Leases,
  type LeaseStatus,
  type LogIndex,
  type Revision,
  type Term,
} from "@revoada/fabric";

/** Ways in which leases can be broken on purpose. */
export type LeaseDefect =
  | "keeps the keys of ended leases"
  | "deletes the keys of a lease one by one"
  | "renews nothing"
  | "never lets a lease expire"
  | "gives one duty to everybody"
  | "grants one token twice"
  | "takes writes of former holders"
  | "takes leases that there are none of"
  | "forgets who holds what"
  | "tells nobody of duties"
  | "takes leases of any duration";

/** What the leases need of the catalog that they belong to. */
export interface LeaseHost {
  keysOf(lease: LeaseId): readonly Uint8Array[];
  remove(keys: readonly Uint8Array[]): Promise<void>;
  revision(): Revision;
}

interface Kept {
  readonly lease: Lease;
  deadlineMs: number;
  cancel: () => void;
}

/** The smallest leases that keep the contract: a timer for each. */
export class MemoryLeases implements Leases {
  readonly supported = true;
  readonly #host: LeaseHost;
  readonly #clock: Clock;
  readonly #defect: string | undefined;
  readonly #kept = new Map<LeaseId, Kept>();
  readonly #listeners = new Set<() => void>();
  #grants = 0;

  constructor(host: LeaseHost, clock: Clock, defect: string | undefined) {
    this.#host = host;
    this.#clock = clock;
    this.#defect = defect;
  }

  async grant({ ttlMs, duty, holder }: LeaseRequest): Promise<Lease> {
    if ((ttlMs < 1_000 || ttlMs > 2_592_000_000) && this.#defect !== "takes leases of any duration")
      throw new FabricError("CATALOG_LEASE_LIMIT", `${ttlMs} ms`);
    const held = this.duties().some((other) => other.duty === duty);
    if (held && this.#defect !== "gives one duty to everybody") throw new FabricError("CATALOG_DUTY_HELD", `${duty}`);
    this.#grants += 1;
    const id = this.#grants as LeaseId;
    const index = (this.#defect === "grants one token twice" ? 1 : this.#grants) as LogIndex;
    const named = { ...(duty === undefined ? {} : { duty }), ...(holder === undefined ? {} : { holder }) };
    const lease: Lease = { id, ttlMs, keys: 0, token: { term: 1 as Term, index }, ...named };
    this.#kept.set(id, { lease, deadlineMs: 0, cancel: () => undefined });
    this.#start(id);
    this.#announce(lease);
    return lease;
  }

  async keepAlive(id: LeaseId): Promise<{ readonly ttlMs: number }> {
    const { lease } = this.#require(id);
    if (this.#defect !== "renews nothing") this.#start(id);
    return { ttlMs: lease.ttlMs };
  }

  async revoke(id: LeaseId): Promise<{ readonly revision: Revision }> {
    this.#require(id);
    await this.#end(id);
    return { revision: this.#host.revision() };
  }

  async timeToLive(id: LeaseId): Promise<LeaseStatus> {
    const { lease, deadlineMs } = this.#require(id);
    const remainingMs = Math.max(0, deadlineMs - this.#clock.monotonicMs());
    return { ...lease, keys: this.#host.keysOf(id).length, remainingMs };
  }

  async keys(id: LeaseId): Promise<readonly Uint8Array[]> {
    this.#require(id);
    return this.#host.keysOf(id);
  }

  async list(): Promise<readonly Lease[]> {
    return [...this.#kept.values()].map(({ lease }) => ({ ...lease, keys: this.#host.keysOf(lease.id).length }));
  }

  duties(): readonly HeldDuty[] {
    if (this.#defect === "forgets who holds what") return [];
    return [...this.#kept.values()].flatMap(({ lease: { duty, id, token, holder = "" } }) =>
      duty === undefined ? [] : [{ duty, lease: id, token, holder }],
    );
  }

  onDutiesChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Throws where a put names a lease that is not there, or a fence does not hold. */
  check(leases: readonly LeaseId[], fence: Fence | undefined): void {
    if (this.#defect !== "takes leases that there are none of") for (const id of leases) this.#require(id);
    if (fence === undefined || this.#defect === "takes writes of former holders") return;
    const held = [...this.#kept.values()].find(({ lease }) => lease.duty === fence.duty)?.lease.token;
    if (held?.index !== fence.token.index || held.term !== fence.token.term)
      throw new FabricError("CATALOG_FENCED", fence.duty);
  }

  #require(id: LeaseId): Kept {
    const kept = this.#kept.get(id);
    if (kept === undefined) throw new FabricError("CATALOG_LEASE_NOT_FOUND", `lease ${id}`);
    return kept;
  }

  #start(id: LeaseId): void {
    const kept = this.#require(id);
    kept.cancel();
    kept.deadlineMs = this.#clock.monotonicMs() + kept.lease.ttlMs;
    if (this.#defect === "never lets a lease expire") return;
    kept.cancel = this.#clock.schedule(kept.lease.ttlMs, () => void this.#end(id));
  }

  async #end(id: LeaseId): Promise<void> {
    const kept = this.#require(id);
    kept.cancel();
    const keys = this.#host.keysOf(id);
    this.#kept.delete(id);
    if (this.#defect === "deletes the keys of a lease one by one") {
      for (const key of keys) await this.#host.remove([key]);
    } else if (this.#defect !== "keeps the keys of ended leases" && keys.length > 0) await this.#host.remove(keys);
    this.#announce(kept.lease);
  }

  #announce({ duty }: Lease): void {
    if (duty === undefined || this.#defect === "tells nobody of duties") return;
    for (const listener of this.#listeners) listener();
  }
}
