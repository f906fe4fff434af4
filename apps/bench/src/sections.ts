import { measureChains } from "./chain/chain.ts";
import type { Figures } from "./figures.ts";
import { measureDetection } from "./gossip/detection.ts";
import { measureSpreads } from "./gossip/spread.ts";
import { measureGroups } from "./groups/groups.ts";
import { measureLosses } from "./losses.ts";
import { measureMasters } from "./masters.ts";
import { measureCommits } from "./raft/commits.ts";
import { measureFailover } from "./raft/failover.ts";
import { measureCatchUp, measureGrowth } from "./raft/growth.ts";
import { measureReads } from "./raft/reads.ts";
import type { Scope } from "./scope.ts";
import { measureSnapshots } from "./snapshot/snapshot.ts";
import { measureBulk } from "./transport/bulk.ts";
import { measureChannels, measureHostile } from "./transport/disturbed.ts";
import { measureRequests } from "./transport/requests.ts";

/** The parts of a run, each of which can be asked for alone. */
export const suites: {
  readonly raft: readonly ["commits", "reads", "failover", "growth", "catch-up"];
  readonly groups: readonly ["groups"];
  readonly snapshots: readonly ["snapshots"];
  readonly losses: readonly ["losses"];
  readonly transport: readonly ["requests", "bulk", "channels", "hostile"];
  readonly gossip: readonly ["detection", "spread"];
  readonly masters: readonly ["masters"];
  readonly chain: readonly ["chain"];
} = {
  raft: ["commits", "reads", "failover", "growth", "catch-up"],
  groups: ["groups"],
  snapshots: ["snapshots"],
  losses: ["losses"],
  transport: ["requests", "bulk", "channels", "hostile"],
  gossip: ["detection", "spread"],
  masters: ["masters"],
  chain: ["chain"],
};

export type SuiteName = keyof typeof suites;
export type SectionName = (typeof suites)[SuiteName][number];

/** Measures one section. */
export async function measureSection(name: SectionName, scope: Scope): Promise<Partial<Figures>> {
  switch (name) {
    case "chain":
      return { chain: await measureChains(scope) };
    case "commits":
      return { commits: await measureCommits(scope) };
    case "reads":
      return { reads: await measureReads(scope) };
    case "failover":
      return { failover: await measureFailover(scope) };
    case "growth":
      return { growth: await measureGrowth(scope) };
    case "catch-up":
      return { catchUp: await measureCatchUp(scope) };
    case "groups":
      return { groups: await measureGroups(scope) };
    case "snapshots":
      return { snapshots: await measureSnapshots(scope) };
    case "requests":
      return { requests: await measureRequests(scope) };
    case "bulk":
      return { bulk: await measureBulk(scope) };
    case "channels":
      return { channels: await measureChannels(scope) };
    case "hostile":
      return { hostile: await measureHostile(scope) };
    case "detection":
      return { detection: await measureDetection(scope) };
    case "spread":
      return { spread: await measureSpreads(scope) };
    case "losses": {
      const killed = await measureLosses("kill", { rounds: scope.quick ? 3 : 20, withinMs: 70_000 }, scope.say);
      const paused = await measureLosses("pause", { rounds: scope.quick ? 2 : 10, withinMs: 45_000 }, scope.say);
      return { losses: [killed, paused] };
    }
    case "masters": {
      const killed = await measureMasters("kill", { rounds: scope.quick ? 5 : 50, withinMs: 300_000 }, scope.say);
      const paused = await measureMasters("pause", { rounds: scope.quick ? 2 : 20, withinMs: 200_000 }, scope.say);
      return { masters: [killed, paused] };
    }
  }
}
