import type { SeededRandom } from "@revoada/fabric/memory";
import { fanOut } from "@revoada/membership-gossip/unstable/core";

/** Rounds until everybody knows; see {@link idealSpread}. */
export function idealRounds(nodes: number, loss: number, random: SeededRandom): number {
  return idealSpread(nodes, loss, random).length;
}

/**
 * The share of those who know after each round until everybody does, in the model that theory reasons about: rounds are in step, each node speaks with `fanOut` others
 * drawn at random, both tell the other what they know, and each of the two messages is lost by itself.
 */
export function idealSpread(nodes: number, loss: number, random: SeededRandom): readonly number[] {
  const shares: number[] = [];
  let knows = new Uint8Array(nodes);
  knows[0] = 1;
  let known = 1;
  for (let round = 1; round <= 1_000; round++) {
    const after = knows.slice();
    for (let node = 0; node < nodes; node++) {
      for (let contact = 0; contact < fanOut; contact++) {
        const peer = (node + 1 + random.below(nodes - 1)) % nodes;
        if (loss > 0 && random.chance(loss)) continue;
        if (knows[node] === 1) after[peer] = 1;
        if (loss > 0 && random.chance(loss)) continue;
        if (knows[peer] === 1) after[node] = 1;
      }
    }
    knows = after;
    known = knows.reduce((sum, each) => sum + each, 0);
    shares.push(known / nodes);
    if (known === nodes) return shares;
  }
  throw new RangeError(`${known} of ${nodes} know after a thousand rounds`);
}
