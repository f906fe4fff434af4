import { prescribedHomelab, type Formation, type Generation, type ShiftDecision } from "@revoada/fabric";
import { cluster3mnw, type Observation } from "@revoada/topology";
import { FormationModel, modelNode } from "@revoada/topology/testing";
import { expect, test } from "vitest";

const operators: NonNullable<Formation["operators"]> = new Map([
  ["f".repeat(64) as ReturnType<typeof modelNode>, 0 as Generation],
]);

/** Five nodes at work, of which three vote. */
function formed(): FormationModel {
  const world = new FormationModel({ topology: cluster3mnw(), strategy: prescribedHomelab() });
  for (let n = 2; n <= 5; n += 1) world.admit(n);
  world.settle();
  return world;
}

/** What the reactor says of this cluster if operators sign in it, and five are to vote. */
function decided(world: FormationModel): readonly ShiftDecision[] {
  const { consensus, ...strategy } = prescribedHomelab();
  const observation: Observation = world.observation();
  return world.decide({
    ...observation,
    formation: { ...observation.formation, operators },
    strategy: { ...strategy, consensus: { ...consensus, protocol: "raft", quorumSize: 5 } },
  });
}

const kinds = (decisions: readonly ShiftDecision[]): readonly string[] => decisions.map(({ kind }) => kind);

test("what needs an operator stands last, and nothing else waits for it", () => {
  const world = formed();
  expect(kinds(decided(world))).toEqual(["grow"]);
  world.admit(6);
  const decisions = decided(world);
  expect(kinds(decisions)).toContain("assign");
  expect(kinds(decisions).at(-1)).toBe("grow");
  expect(decisions.find(({ kind }) => kind === "assign")?.transitions).toEqual([
    { verb: "promote", node: modelNode(6), role: "worker" },
  ]);
  expect(decided(world)).toEqual(decisions);
});

test("a dead voter is replaced while something else waits for an operator", () => {
  const world = formed();
  expect(kinds(decided(world))).toEqual(["grow"]);
  const victim = world.rolesOf("master").find((id) => id !== world.leader) as ReturnType<typeof modelNode>;
  world.kill(victim);
  const [evict, replace] = decided(world);
  expect(evict).toMatchObject({ kind: "evict", transitions: [{ node: victim }] });
  expect(replace).toMatchObject({ kind: "replace", inputs: { from: victim } });
});

test("a first shape waits alone", () => {
  const world = new FormationModel({ topology: cluster3mnw(), strategy: prescribedHomelab() });
  for (let n = 2; n <= 3; n += 1) world.admit(n);
  world.tick();
  const observation = world.observation();
  const decisions = world.decide({ ...observation, formation: { ...observation.formation, operators } });
  expect(kinds(decisions)).toEqual(["form"]);
});
