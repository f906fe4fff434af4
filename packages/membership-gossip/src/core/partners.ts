import type { NodeId, Random } from "@revoada/fabric";
import { fanOut } from "./limits.ts";

/** Who could be gossiped with. */
export interface PartnerChoice {
  readonly live: readonly NodeId[];
  readonly dead: readonly NodeId[];
  readonly seeds: readonly NodeId[];
}

const occasionally = 0.2;

/** Up to `count` different elements. */
export function sample<T>(list: readonly T[], count: number, random: Random): readonly T[] {
  if (list.length <= count) return list;
  const chosen = new Set<number>();
  while (chosen.size < count) chosen.add(random.uint32() % list.length);
  return [...chosen].map((index) => list[index]).filter((element) => element !== undefined);
}

/**
 * The partners of one round: a few of the living, now and then one of the dead, so that a healed partition is noticed, and now
 * and then a seed, so that islands merge. Whoever is alone tries both every time.
 */
export function choosePartners(choice: PartnerChoice, random: Random): readonly NodeId[] {
  const partners = new Set(sample(choice.live, fanOut, random));
  const alone = choice.live.length === 0;
  const tryDead = random.float() < occasionally || alone;
  const trySeed = random.float() < occasionally || alone;
  if (tryDead) for (const id of sample(choice.dead, 1, random)) partners.add(id);
  if (trySeed) for (const id of sample(choice.seeds, alone ? fanOut : 1, random)) partners.add(id);
  return [...partners];
}
