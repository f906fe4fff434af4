import type { NodeId } from "@revoada/fabric";
import { limits } from "./limits.ts";
import type { ObserverPlan } from "./observers.ts";

/** Who gets the local node's signs of life: the observers that it works out itself, and those who asked for them. */
export class Heartbeats {
  readonly #self: NodeId;
  readonly #cadenceMs: number;
  readonly #watchers = new Map<NodeId, number>();
  readonly #toldMs = new Map<NodeId, number>();
  #sequence = 0;

  constructor(self: NodeId, cadenceMs: number) {
    this.#self = self;
    this.#cadenceMs = cadenceMs;
  }

  nextSequence(): number {
    this.#sequence += 1;
    return this.#sequence;
  }

  audience(plan: ObserverPlan, nowMs: number): ReadonlySet<NodeId> {
    const audience = new Set(plan.observersOf(this.#self));
    for (const [watcher, untilMs] of this.#watchers) {
      if (untilMs > nowMs) audience.add(watcher);
      else this.#watchers.delete(watcher);
    }
    return audience;
  }

  /** Somebody asked. Good for a hundred cadences; it asks again every ten. */
  watchedBy(peer: NodeId, nowMs: number): void {
    if (!this.#watchers.has(peer) && this.#watchers.size >= limits.watchersMax) return;
    this.#watchers.set(peer, nowMs + 100 * this.#cadenceMs);
  }

  /** True where a node that is taken for dead may be told so now: not more often than every three cadences. */
  mayTell(peer: NodeId, nowMs: number): boolean {
    const lastMs = this.#toldMs.get(peer) ?? Number.NEGATIVE_INFINITY;
    if (nowMs - lastMs < 3 * this.#cadenceMs) return false;
    if (this.#toldMs.size >= limits.membersMax) this.#toldMs.clear();
    this.#toldMs.set(peer, nowMs);
    return true;
  }

  forget(id: NodeId): void {
    this.#watchers.delete(id);
    this.#toldMs.delete(id);
  }
}
