import {
  applyTransition,
  genesisFormation,
  type Formation,
  type NodeId,
  type StoreId,
  type Transition,
} from "@revoada/fabric";
import { expect, test } from "vitest";

const [founder, other] = ["a".repeat(64), "b".repeat(64)] as [NodeId, NodeId];
const storeId = "0".repeat(32) as StoreId;
const illegal = expect.objectContaining({ code: "TOPOLOGY_ILLEGAL_TRANSITION" });

function after(...transitions: readonly Transition[]): Formation {
  const genesis = genesisFormation({ id: founder, storeId, zone: "", version: "1", createdMs: 0 });
  return transitions.reduce((formation, transition) => applyTransition(formation, transition, 1), genesis);
}

const admit: Transition = {
  verb: "admit",
  node: other,
  admission: { storeId, generation: 1, incarnation: 0, zone: "", version: "1" },
};

test("a role that comes with a replica cannot take the only vote away", () => {
  expect(() => after({ verb: "promote", node: founder, role: "bootstrap", replica: "none" })).toThrow(illegal);
  expect(() => after({ verb: "reassign", node: founder, role: "master", replica: "learner" })).toThrow(illegal);
});

test("a role that comes with a vote is refused to a cordoned node", () => {
  const worker: Transition = { verb: "promote", node: other, role: "worker" };
  expect(() => after(admit, worker, { verb: "cordon", node: other }, { ...worker, replica: "voter" })).toThrow(illegal);
});

test("bootstrap is the founder's role alone", () => {
  expect(() => after(admit, { verb: "promote", node: other, role: "bootstrap" })).toThrow(illegal);
  expect(() =>
    after(
      admit,
      { verb: "promote", node: other, role: "worker" },
      { verb: "reassign", node: other, role: "bootstrap" },
    ),
  ).toThrow(illegal);
});
