import type { Member, MembershipView, NodeId } from "@revoada/fabric";
import type { GossipCore } from "./core/core.ts";
import type { MemberFacts } from "./core/effects.ts";

/** A map that cannot be changed any more once it has been handed out. */
class FrozenMap<K, V> extends Map<K, V> {
  #sealed = false;

  constructor(entries: Iterable<readonly [K, V]>) {
    super();
    for (const [key, value] of entries) super.set(key, value);
    this.#sealed = true;
  }

  #refuse(): never {
    throw new TypeError("a membership view cannot be changed");
  }

  override set(key: K, value: V): this {
    return this.#sealed ? this.#refuse() : super.set(key, value);
  }

  override delete(_key: K): boolean {
    return this.#refuse();
  }

  override clear(): void {
    this.#refuse();
  }
}

/** One member as the seam shows it. */
export function memberOf(facts: MemberFacts, nowMs: number): Member {
  const { record, keys, standing } = facts;
  return Object.freeze({
    id: record.id,
    status: standing.status,
    ...(standing.evidence === undefined ? {} : { evidence: standing.evidence }),
    generation: record.generation,
    incarnation: record.incarnation,
    addresses: Object.freeze([...record.addresses]),
    keys: new FrozenMap(keys),
    statusSinceMs: Math.max(0, nowMs - standing.sinceMs),
  });
}

/** A frozen picture of everybody. */
export function viewOf(core: GossipCore, self: NodeId, nowMs: number): MembershipView {
  const members: [NodeId, Member][] = [];
  for (const facts of core.members()) members.push([facts.record.id, memberOf(facts, nowMs)]);
  return Object.freeze({ self, members: new FrozenMap(members) });
}
