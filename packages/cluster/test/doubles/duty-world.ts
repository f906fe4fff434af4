import {
  FabricError,
  type Catalog,
  type CatalogTransaction,
  type Clock,
  type Duty,
  type DutyContext,
  type FencingToken,
  type Formation,
  type HeldDuty,
  type Lease,
  type LeaseId,
  type LeaseRequest,
  type Leases,
  type LogIndex,
  type Member,
  type Membership,
  type NodeId,
  type NodeRecord,
  type Revision,
  type Term,
  silentLogger,
} from "@revoada/fabric";
import { virtualClock, type VirtualClock, type VirtualHost } from "@revoada/fabric/memory";
import { Duties } from "../../src/duties/duties.ts";
import { nodeId, storeId } from "./keys.ts";

class Refusal extends FabricError {}

/** The leases of a cluster in one place: time is the world's, and nodes that are cut off reach nothing. */
class WorldLeases {
  readonly held = new Map<LeaseId, { readonly lease: Lease; deadlineMs: number }>();
  readonly listeners = new Set<() => void>();
  readonly log: string[] = [];
  grants = 0;
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  grant({ ttlMs, duty, holder = "" }: LeaseRequest): Lease {
    this.expire();
    this.log.push(`grant ${duty}`);
    if (this.duties().some((other) => other.duty === duty)) throw new Refusal("CATALOG_DUTY_HELD", `${duty} is held`);
    this.grants += 1;
    const token = { term: 1 as Term, index: this.grants as LogIndex };
    const lease = {
      id: this.grants as LeaseId,
      ttlMs,
      keys: 0,
      token,
      holder,
      ...(duty === undefined ? {} : { duty }),
    };
    this.held.set(lease.id, { lease, deadlineMs: this.#clock.monotonicMs() + ttlMs });
    this.#tell();
    return lease;
  }

  renew(id: LeaseId): { readonly ttlMs: number } {
    this.expire();
    const kept = this.held.get(id);
    if (kept === undefined) throw new Refusal("CATALOG_LEASE_NOT_FOUND", `lease ${id} has ended`);
    kept.deadlineMs = this.#clock.monotonicMs() + kept.lease.ttlMs;
    return { ttlMs: kept.lease.ttlMs };
  }

  end(id: LeaseId): void {
    if (!this.held.delete(id)) throw new Refusal("CATALOG_LEASE_NOT_FOUND", `lease ${id} has ended`);
    this.#tell();
  }

  expire(): void {
    for (const [id, { deadlineMs }] of this.held) if (deadlineMs <= this.#clock.monotonicMs()) this.end(id);
  }

  duties(): readonly HeldDuty[] {
    return [...this.held.values()].flatMap(({ lease: { duty, id, token, holder = "" } }) =>
      duty === undefined ? [] : [{ duty, lease: id, token, holder }],
    );
  }

  holds(token: FencingToken): boolean {
    this.expire();
    return this.duties().some((one) => one.token.index === token.index);
  }

  #tell(): void {
    for (const listener of this.listeners) listener();
  }
}

/** What a node's duty was seen to do. */
export interface SeenRun {
  readonly node: string;
  readonly context: DutyContext;
  ended: boolean;
}

/** Some masters, their duties, and one catalog that lives in the test. */
export class DutyWorld {
  readonly clock: VirtualClock = virtualClock();
  readonly leases = new WorldLeases(this.clock);
  readonly runs: SeenRun[] = [];
  readonly written: string[] = [];
  readonly compacted: number[] = [];
  readonly members = new Map<NodeId, Member>();
  readonly nodes = new Map<string, DutyNode>();
  revision = 0;
  records = new Map<NodeId, NodeRecord>();
  /** Called when a duty starts; a throw fails it. */
  onStart: (node: string, context: DutyContext) => void | Promise<void> = () => undefined;
  onEnd: () => void | Promise<void> = () => undefined;

  constructor(...names: readonly string[]) {
    for (const name of names) this.setRecord(name, {});
    const tick = (): void => {
      this.leases.expire();
      this.clock.schedule(50, tick);
    };
    tick();
  }

  formation(): Formation {
    return { generation: 1 as never, nodes: this.records, tombstones: new Set() } as unknown as Formation;
  }

  setRecord(name: string, facts: Partial<NodeRecord>): void {
    const before = this.records.get(nodeId(name));
    const base: NodeRecord = {
      state: "active",
      role: "master",
      replica: "voter",
      storeId: storeId(name),
      generation: 1,
      incarnation: 1,
      zone: name,
      version: "1",
      flags: [],
      lastShiftMs: 0,
    };
    this.records = new Map(this.records).set(nodeId(name), { ...base, ...before, ...facts });
    for (const node of this.nodes.values()) node.duties.poke();
  }

  start(name: string, duties: readonly Duty[], leaseTtlMs = 10_000): DutyNode {
    const node = new DutyNode(this, name, duties, leaseTtlMs);
    this.nodes.set(name, node);
    node.duties.start();
    return node;
  }

  /** A singleton whose runs are written down. */
  duty(name = "work", kind: Duty["kind"] = "singleton"): (node: string) => Duty {
    return (node) => ({
      name,
      kind,
      start: async (context) => {
        await this.onStart(node, context);
        const run: SeenRun = { node, context, ended: false };
        this.runs.push(run);
        return {
          [Symbol.asyncDispose]: async () => {
            await this.onEnd();
            run.ended = true;
          },
        };
      },
    });
  }

  /** Runs that go on. */
  get running(): readonly string[] {
    return this.runs.filter(({ ended }) => !ended).map(({ node }) => node);
  }

  async pass(ms: number): Promise<void> {
    await this.clock.advanceAsync(ms);
  }
}

export class DutyNode {
  readonly name: string;
  readonly host: VirtualHost;
  readonly duties: Duties;
  readonly #world: DutyWorld;
  isCutOff = false;
  hasLeft = false;

  constructor(world: DutyWorld, name: string, duties: readonly Duty[], leaseTtlMs: number) {
    this.name = name;
    this.#world = world;
    this.host = world.clock.host(name);
    this.duties = new Duties({
      duties,
      node: nodeId(name),
      catalog: this.#catalog(),
      membership: this.#membership(),
      formation: () => world.formation(),
      holdsReplica: () => true,
      clock: this.host,
      logger: silentLogger,
      leaseTtlMs,
    });
  }

  async #reach<T>(work: () => T): Promise<T> {
    await new Promise<void>((resolve) => void this.host.schedule(1, resolve));
    if (this.isCutOff) throw new Refusal("RAFT_NO_QUORUM", "nobody answers", { retryable: true });
    return work();
  }

  #catalog(): Catalog {
    const world = this.#world;
    const write = async ({ then, fence }: CatalogTransaction): Promise<never> => {
      await this.#reach(() => undefined);
      if (fence !== undefined && !world.leases.holds(fence.token)) throw new Refusal("CATALOG_FENCED", "too late");
      world.written.push(...then.map((one) => `${this.name}: ${new TextDecoder().decode(one.key)}`));
      return undefined as never;
    };
    const compact = async (revision: Revision): Promise<void> => {
      await this.#reach(() => undefined);
      world.compacted.push(revision);
    };
    return {
      leases: this.#leases(),
      txn: write,
      compact,
      revision: () => world.revision as Revision,
      compactedRevision: () => (world.compacted.at(-1) ?? 0) as Revision,
    } as unknown as Catalog;
  }

  #leases(): Leases {
    const { leases } = this.#world;
    const reached: Pick<Leases, "supported" | "grant" | "keepAlive" | "revoke" | "duties" | "onDutiesChange"> = {
      supported: true,
      grant: (request) => this.#reach(() => leases.grant(request)),
      keepAlive: (id) => this.#reach(() => leases.renew(id)),
      revoke: (id) => this.#reach(() => (leases.end(id), { revision: 0 as Revision })),
      duties: () => leases.duties(),
      onDutiesChange: (listener) => {
        leases.listeners.add(listener);
        return () => leases.listeners.delete(listener);
      },
    };
    return reached as Leases;
  }

  #membership(): Membership {
    const { members } = this.#world;
    const id = nodeId(this.name);
    const facts = { status: "alive", generation: 1, incarnation: 1, addresses: [], statusSinceMs: 0 } as const;
    members.set(id, { id, ...facts, keys: new Map() });
    return {
      view: () => ({ self: id, members }),
      set: (key: string, value: string) => {
        if (this.hasLeft) throw new Refusal("MEMBERSHIP_STOPPED", "it has left");
        members.set(id, { id, ...facts, keys: new Map([[key, value]]) });
      },
    } as unknown as Membership;
  }
}
