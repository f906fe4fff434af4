import type { Clock, MachineStore, NodeId, ReplicationView } from "@revoada/fabric";
import { givenUpBy } from "@revoada/topology";
import { recentDecisions } from "../machine/decision.ts";

export interface HindsightOptions {
  readonly store: MachineStore;
  readonly clock: Clock;
}

/** How many generations of the formation back a node is remembered as given up. */
const rememberedGenerations = 1024;

/** What the leader has seen of replicas, and what was committed of those that were given up. */
export class Hindsight {
  readonly #options: HindsightOptions;
  readonly #behindSince = new Map<NodeId, number>();
  #term = -1;
  #readAt = -1;
  #givenUp: ReadonlyMap<NodeId, number> = new Map();

  constructor(options: HindsightOptions) {
    this.#options = options;
  }

  /** Milliseconds that each replica has been further behind than the bound, as this leader has seen it in this term. */
  behindMs(term: number, replication: ReplicationView, trailingEntries: number): ReadonlyMap<NodeId, number> {
    if (term !== this.#term) this.#behindSince.clear();
    this.#term = term;
    const nowMs = this.#options.clock.monotonicMs();
    const { matchIndex, commitIndex, voters, learners } = replication;
    for (const id of this.#behindSince.keys()) if (!voters.has(id) && !learners.has(id)) this.#behindSince.delete(id);
    for (const [id, match] of matchIndex) {
      if (match + trailingEntries >= commitIndex) this.#behindSince.delete(id);
      else if (!this.#behindSince.has(id)) this.#behindSince.set(id, nowMs);
    }
    return new Map([...this.#behindSince].map(([id, sinceMs]) => [id, nowMs - sinceMs]));
  }

  /** Nodes that were given up and when, read again where the formation has moved on. */
  givenUp(generation: number): ReadonlyMap<NodeId, number> {
    if (generation !== this.#readAt) {
      this.#givenUp = givenUpBy(recentDecisions(this.#options.store, generation - rememberedGenerations));
      this.#readAt = generation;
    }
    return this.#givenUp;
  }
}
