import { type GossipIdle, measureIdle, measureSpread, settledWorld, type Spread } from "@revoada/simulation";
import type { Scope } from "../scope.ts";

/** One size of a simulated cluster. */
export interface SimulatedSize {
  readonly nodes: number;
  readonly idle: GossipIdle;
  readonly spreads: readonly Spread[];
}

const losses = [0, 0.1, 0.3];

/** Simulates gossip among ever more nodes: the core as it is published, over a virtual network. */
export async function measureSpreads({ quick, say }: Scope): Promise<readonly SimulatedSize[]> {
  const sizes: SimulatedSize[] = [];
  for (const nodes of quick ? [10, 100] : [10, 100, 1_000]) {
    const world = settledWorld({ seed: 1, nodes });
    const idle = measureIdle(world);
    const spreads: Spread[] = [];
    for (const loss of losses) spreads.push(measureSpread(world, loss, quick ? 2 : 5));
    sizes.push({ nodes, idle, spreads });
    say(`${nodes} nodes: ${spreads.map(({ rounds }) => Math.max(...rounds).toFixed(1)).join(", ")} rounds at most`);
  }
  return sizes;
}
