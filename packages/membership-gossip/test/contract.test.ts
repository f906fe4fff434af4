import type { NodeId } from "@revoada/fabric";
import { membershipContract, type MembershipFixture, virtualTime } from "@revoada/fabric/contract/membership";
import { test } from "vitest";
import { identityOf } from "./identities.ts";
import { range, World } from "./world.ts";

/** The production driver over the network in memory. */
async function fixture(): Promise<MembershipFixture> {
  const world = new World(99);
  const numbers = new Map<NodeId, number>(range(5).map((number) => [identityOf(number).id, number]));
  const numberOf = (id: NodeId): number => numbers.get(id) ?? -1;
  await world.startAll(5, { seeds: [0, 1] });
  return {
    time: virtualTime(world.clock, 60_000),
    ids: [...numbers.keys()],
    member: (id) => world.node(numberOf(id)).membership,
    async kill(id) {
      world.kill(numberOf(id));
    },
    silence(id) {
      const number = numberOf(id);
      world.split(
        [number],
        range(5).filter((other) => other !== number),
      );
    },
    heal: () => world.heal(),
    async restart(id) {
      if (world.nodes.has(numberOf(id))) world.kill(numberOf(id));
      await world.restart(numberOf(id), [0, 1]);
    },
    [Symbol.asyncDispose]: () => world[Symbol.asyncDispose](),
  };
}

for (const { name, run } of membershipContract(fixture)) test(name, { timeout: 60_000 }, run);
