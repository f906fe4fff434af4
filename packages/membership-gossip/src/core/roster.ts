import type { Random } from "@revoada/fabric";
import type { GossipStore } from "./store.ts";
import type { Subject } from "./subject.ts";

/** Up to `count` different elements. */
export function sample<T>(list: readonly T[], count: number, random: Random): readonly T[] {
  if (list.length <= count) return list;
  const chosen = new Set<number>();
  while (chosen.size < count) chosen.add(random.uint32() % list.length);
  return [...chosen].map((index) => list[index]).filter((element) => element !== undefined);
}

/** A list no longer than this is filtered; of a longer one some are drawn until enough are found. */
const drawnFrom = 64;

/**
 * Up to `count` different members that are wanted, uniformly, without looking at all of a large cluster: members are drawn
 * until enough are found, and only where almost nobody is wanted are all of them looked at.
 */
export function sampleMembers(
  store: GossipStore,
  count: number,
  random: Random,
  wanted: (subject: Subject) => boolean,
): readonly Subject[] {
  const { size } = store.subjects;
  if (size > drawnFrom) {
    const chosen = new Set<Subject>();
    for (let draw = 0; draw < 8 * count && chosen.size < count; draw++) {
      const subject = store.subjects.at(random.uint32() % size);
      if (subject !== undefined && wanted(subject)) chosen.add(subject);
    }
    if (chosen.size === count) return [...chosen];
  }
  return sample([...store.subjects.values()].filter(wanted), count, random);
}
