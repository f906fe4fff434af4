import { expect, test } from "vitest";
import { World } from "./support/replicas.ts";

test("a lone node leads and commits", async () => {
  const world = new World();
  const one = await world.form([1]);
  const committed = await world.run(one.consensus.propose("a"));
  expect(committed.result).toBe("1:a");
  expect(committed.index).toBe(2);
  await world.stop();
});

test("three nodes form, and a proposal on a follower is forwarded and resolves with the leader's result", async () => {
  const world = new World();
  const one = await world.form([1, 2, 3]);
  const local = await world.run(one.consensus.propose("a"));
  const forwarded = await world.run(world.member(2).consensus.propose("b"));
  expect([local.result, forwarded.result]).toEqual(["1:a", "2:b"]);
  await world.until(() => [1, 2, 3].every((n) => world.member(n).machine.commands.length === 2));
  await world.stop();
});
