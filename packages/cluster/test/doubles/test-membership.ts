import {
  FabricError,
  type LocalHealth,
  type Member,
  type Membership,
  type MembershipChange,
  type MembershipView,
  type NodeId,
} from "@revoada/fabric";
import type { Ledger } from "./ledger.ts";

/** What all nodes of a test know of each other, at once. */
export class TestGossip {
  readonly #known = new Map<NodeId, Member>();
  readonly #sinceMs = new Map<NodeId, number>();
  readonly #listeners = new Set<() => void>();
  readonly #nowMs: () => number;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  get members(): ReadonlyMap<NodeId, Member> {
    const nowMs = this.#nowMs();
    return new Map(
      [...this.#known].map(([id, member]) => [
        id,
        { ...member, statusSinceMs: nowMs - (this.#sinceMs.get(id) ?? nowMs) },
      ]),
    );
  }

  /** Says something of a member, to everybody. */
  say(id: NodeId, facts: Partial<Member>): void {
    const before = this.#known.get(id);
    if (before === undefined || (facts.status ?? before.status) !== before.status) this.#sinceMs.set(id, this.#nowMs());
    this.#known.set(id, { ...(before ?? unknown(id)), ...facts });
    for (const listener of this.#listeners) listener();
  }

  listen(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

function unknown(id: NodeId): Member {
  return { id, status: "alive", generation: 0, incarnation: 0, addresses: [], keys: new Map(), statusSinceMs: 0 };
}

export class TestMembership implements Membership {
  readonly #gossip: TestGossip;
  readonly #self: NodeId;
  readonly #facts: Partial<Member>;
  readonly #ledger: Ledger;
  readonly #forgotten = new Set<NodeId>();
  #stopped = false;
  #left = false;

  constructor(gossip: TestGossip, self: NodeId, facts: Partial<Member>, ledger: Ledger) {
    this.#gossip = gossip;
    this.#self = self;
    this.#facts = facts;
    this.#ledger = ledger;
    ledger.take("membership");
  }

  async start(): Promise<void> {
    this.#ledger.step("membership started");
    this.#gossip.say(this.#self, { ...this.#facts, status: "alive" });
  }

  view(): MembershipView {
    const members = new Map([...this.#gossip.members].filter(([id]) => !this.#forgotten.has(id)));
    return { self: this.#self, members };
  }

  async *changes({ signal }: { readonly signal: AbortSignal }): AsyncGenerator<MembershipChange> {
    let wake = (): void => undefined;
    const stop = this.#gossip.listen(() => wake());
    const onAbort = (): void => wake();
    signal.addEventListener("abort", onAbort);
    try {
      while (!signal.aborted) {
        yield { type: "snapshot", view: this.view() };
        // oxlint-disable-next-line no-loop-func -- each round has its own promise
        await new Promise<void>((resolve) => (wake = resolve));
      }
    } finally {
      stop();
      signal.removeEventListener("abort", onAbort);
    }
  }

  set(key: string, value: string): void {
    this.#requireLiving("set");
    const keys = new Map([...(this.#gossip.members.get(this.#self)?.keys ?? []), [key, value]]);
    this.#gossip.say(this.#self, { keys });
  }

  phi(): number {
    return 0;
  }

  health(): LocalHealth {
    return { score: 0, lastStallMs: 0, frozen: false };
  }

  raiseIncarnation(): void {
    this.#requireLiving("raiseIncarnation");
    const { incarnation } = this.#gossip.members.get(this.#self) ?? unknown(this.#self);
    this.#gossip.say(this.#self, { incarnation: incarnation + 1 });
  }

  async leave(): Promise<void> {
    this.#ledger.step("membership left");
    this.#left = true;
    this.#gossip.say(this.#self, { status: "left" });
  }

  forget(id: NodeId): void {
    this.#forgotten.add(id);
  }

  async shutdown(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#ledger.give("membership");
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown();
  }

  /** As gossip is: who has left says nothing more. */
  #requireLiving(operation: string): void {
    if (this.#stopped || this.#left) throw new FabricError("MEMBERSHIP_STOPPED", `${operation}: it has left`);
  }
}
