import { expect, test } from "vitest";
import { TestCluster } from "./support/cluster.ts";

test("three nodes elect a leader, replicate a command and apply it everywhere", () => {
  const cluster = new TestCluster([1, 2, 3]);
  cluster.elect(1);
  cluster.propose(1, "a", "b");
  cluster.settle();
  cluster.run(100);
  for (const node of cluster.nodes.values()) {
    expect(node.core.commitIndex).toBe(3);
    expect(node.applied.map((each) => each.index)).toEqual([1, 2, 3]);
  }
  expect(cluster.leaders()).toEqual([1]);
});

test("a single node leads at its first tick, and acknowledges only what is durable", () => {
  const cluster = new TestCluster([1]);
  const node = cluster.node(1);
  node.holdWrites = true;
  node.advance(0);
  expect(node.core.isLeader).toBe(false);
  node.completeWrites();
  expect(node.core.isLeader).toBe(true);
  node.completeWrites();
  expect(node.core.commitIndex).toBe(1);
  cluster.propose(1, "x");
  expect(node.core.commitIndex).toBe(1);
  node.completeWrites();
  expect(node.core.commitIndex).toBe(2);
});
