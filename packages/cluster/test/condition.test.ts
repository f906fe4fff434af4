import { prescribedHomelab, type NodeId } from "@revoada/fabric";
import { cluster3mnw } from "@revoada/topology";
import { FormationModel, modelNode } from "@revoada/topology/testing";
import { expect, test } from "vitest";
import { conditionOf } from "../src/health.ts";

test("a node that hears no quorum says so, unless the formation gave its copy of the log up while it was away", () => {
  const topology = cluster3mnw();
  const made = new FormationModel({ topology, strategy: prescribedHomelab(), zone: "z" });
  for (let n = 2; n <= 7; n += 1) made.admit(n, "z");
  made.settle();
  const { formation } = made;
  const condition = (id: NodeId, quorum: boolean): string =>
    conditionOf({ declaration: { topology }, formation, state: undefined, status: { id, role: "follower", quorum } });
  const holding = (replica: string): NodeId =>
    [...formation.nodes].find(([, record]) => record.replica === replica)?.[0] ?? modelNode(1);
  expect(condition(holding("voter"), true)).toBe("healthy");
  expect(condition(holding("voter"), false)).toBe("no-quorum");
  expect(condition(holding("learner"), false)).toBe("no-quorum");
  expect(condition(holding("none"), false)).toBe("healthy");
});
