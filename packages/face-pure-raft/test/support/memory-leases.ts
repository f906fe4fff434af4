import {
  FabricError,
  type Fence,
  type HeldDuty,
  type Lease,
  type LeaseId,
  type LeaseRequest,
  type Leases,
  type LeaseStatus,
  type Revision,
} from "@revoada/fabric";

/** What the leases need of the catalog that they belong to. */
export interface LeaseHost {
  keysOf(lease: LeaseId): readonly Uint8Array[];
  remove(keys: readonly Uint8Array[]): Revision;
}

/** Leases that last until they are revoked. That they also expire is for the catalog's own contract. */
export class MemoryLeases implements Leases {
  readonly supported = true;
  readonly #host: LeaseHost;
  readonly #kept = new Map<LeaseId, Lease>();
  #grants = 0;
  /** How often leases were renewed. */
  renewals = 0;

  constructor(host: LeaseHost) {
    this.#host = host;
  }

  async grant({ ttlMs, duty, holder }: LeaseRequest): Promise<Lease> {
    if (!(ttlMs >= 1_000 && ttlMs <= 2_592_000_000)) throw new FabricError("CATALOG_LEASE_LIMIT", `${ttlMs} ms`);
    if (duty !== undefined && this.duties().some((held) => held.duty === duty))
      throw new FabricError("CATALOG_DUTY_HELD", `duty ${duty} is held`);
    const id = ++this.#grants as LeaseId;
    const token = { term: 1, index: id as number } as Lease["token"];
    const named = { ...(duty === undefined ? {} : { duty }), ...(holder === undefined ? {} : { holder }) };
    this.#kept.set(id, { id, ttlMs, keys: 0, token, ...named });
    return this.#require(id);
  }

  async keepAlive(id: LeaseId): Promise<{ readonly ttlMs: number }> {
    const { ttlMs } = this.#require(id);
    this.renewals++;
    return { ttlMs };
  }

  async revoke(id: LeaseId): Promise<{ readonly revision: Revision }> {
    this.#require(id);
    const revision = this.#host.remove(this.#host.keysOf(id));
    this.#kept.delete(id);
    return { revision };
  }

  async timeToLive(id: LeaseId): Promise<LeaseStatus> {
    const lease = this.#require(id);
    return { ...lease, remainingMs: lease.ttlMs };
  }

  async keys(id: LeaseId): Promise<readonly Uint8Array[]> {
    this.#require(id);
    return this.#host.keysOf(id);
  }

  async list(): Promise<readonly Lease[]> {
    return [...this.#kept.keys()].map((id) => this.#require(id));
  }

  duties(): readonly HeldDuty[] {
    return [...this.#kept.values()].flatMap(({ id, duty, token, holder = "" }) =>
      duty === undefined ? [] : [{ duty, lease: id, token, holder }],
    );
  }

  onDutiesChange(): () => void {
    return () => undefined;
  }

  /** Throws where a put names a lease that is not there, or a fence does not hold. */
  check(leases: readonly LeaseId[], fence: Fence | undefined): void {
    for (const id of leases) this.#require(id);
    if (fence === undefined) return;
    const held = this.duties().find(({ duty }) => duty === fence.duty);
    if (held?.token.term !== fence.token.term || held.token.index !== fence.token.index)
      throw new FabricError("CATALOG_FENCED", `duty ${fence.duty} is not held under that token`);
  }

  #require(id: LeaseId): Lease {
    const lease = this.#kept.get(id);
    if (lease === undefined)
      throw new FabricError("CATALOG_LEASE_NOT_FOUND", `lease ${id} does not exist, or has ended`);
    return { ...lease, keys: this.#host.keysOf(id).length };
  }
}
