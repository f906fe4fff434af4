import type { NodeId, Random } from "@revoada/fabric";
import { fanOut } from "./limits.ts";
import { sample, sampleMembers } from "./roster.ts";
import type { GossipStore } from "./store.ts";
import type { Subject } from "./subject.ts";

const occasionally = 0.2;

/** True where it is neither dead nor gone. */
export function isLive(subject: Subject): boolean {
  return subject.status === "alive" || subject.status === "suspect";
}

/** Who could be gossiped with. */
export interface PartnerChoice {
  readonly self: NodeId;
  readonly store: GossipStore;
  readonly dead: ReadonlySet<NodeId>;
  readonly seeds: readonly NodeId[];
}

/**
 * The partners of one round: a few of the living, now and then one of the dead, so that a healed partition is noticed, and now
 * and then a seed, so that islands merge. Whoever is alone tries both every time.
 */
export function choosePartners({ self, store, dead, seeds }: PartnerChoice, random: Random): readonly NodeId[] {
  const live = sampleMembers(store, fanOut, random, (subject) => subject.id !== self && isLive(subject));
  const partners = new Set(live.map(({ id }) => id));
  const alone = partners.size === 0;
  const tryDead = random.float() < occasionally || alone;
  const trySeed = random.float() < occasionally || alone;
  if (tryDead) for (const id of sample([...dead], 1, random)) partners.add(id);
  if (trySeed) for (const id of sample(seeds, alone ? fanOut : 1, random)) partners.add(id);
  return [...partners];
}
