import {
  prescribedDatacenter,
  quorumSizeOf,
  replicasOf,
  type Candidate,
  type FabricStrategy,
  type Role,
} from "@revoada/fabric";
import { topologyStrategyContract } from "@revoada/fabric/contract/topology-strategy";
import { describe, expect, test } from "vitest";
import { topology } from "@example/three-regions";
import { regionOf } from "../src/regions.ts";
import { FormationModel, modelNode as nodeId } from "@revoada/topology/testing";

const weighted = { eu: "2", us: "2", ap: "1" };

function regions(shares: Readonly<Record<string, string>>, minNodes?: number) {
  return topology({
    name: "regions",
    parameters: new Map(Object.entries(shares)),
    ...(minNodes === undefined ? {} : { minNodes }),
  });
}

function candidate(n: number, zone: string, role?: Role): Candidate {
  return { id: nodeId(n), zone, replica: "none", caughtUp: false, ...(role === undefined ? {} : { role }) };
}

describe("the contract of topologies", () => {
  for (const { name, run } of topologyStrategyContract(() => regions({ eu: "1", us: "1", ap: "1" }))) test(name, run);
});

describe("shares", () => {
  test.each([
    [{ eu: "3", us: "1", ap: "1" }, "at most 2 of 5 masters"],
    [{ eu: "1", us: "1" }, "from 3 to 9 regions"],
    [{ eu: "2", us: "1", ap: "1" }, "an odd number"],
    [{ eu: "x", us: "1", ap: "1" }, "a number of masters"],
    [{ EU: "1", us: "1", ap: "1" }, "lower-case letters"],
  ])("%o are refused", (shares, reason) => {
    expect(() => regions(shares)).toThrow(reason);
  });

  test("are filled from their regions, whatever the ids", () => {
    const zones = ["eu.a", "eu.b", "eu.a", "us.a", "us.b", "us.c", "ap.a", "ap.b"];
    const assignment = regions(weighted).assign(zones.map((zone, at) => candidate(at + 1, zone)));
    const masters = zones.filter((_, at) => assignment.get(nodeId(at + 1)) === "master").map(regionOf);
    expect(masters.toSorted()).toEqual(["ap", "eu", "eu", "us", "us"]);
  });
});

describe("a formation over regions", () => {
  /** No region holds a quorum of the seats, those of the dead among them. */
  function expectSpread(world: FormationModel): void {
    const voters = replicasOf(world.formation, "voter");
    const quorum = Math.floor(voters.length / 2) + 1;
    const held = new Map<string, number>();
    for (const id of voters) {
      const region = regionOf(world.formation.nodes.get(id)?.zone ?? "");
      held.set(region, (held.get(region) ?? 0) + 1);
    }
    for (const [region, count] of held)
      expect(count, `${region} holds ${count} of ${voters.length} votes`).toBeLessThan(quorum);
  }

  function formed(zones: readonly string[], strategy: FabricStrategy = prescribedDatacenter()): FormationModel {
    const world = new FormationModel({ topology: regions(weighted), strategy, zone: zones[0] as string });
    for (const [at, zone] of zones.entries()) if (at > 0) world.admit(at + 1, zone);
    world.settle();
    return world;
  }

  const nine = ["eu.a", "eu.b", "eu.c", "us.a", "us.b", "us.c", "ap.a", "ap.b", "ap.c"];

  test("has its quorum in no region", () => {
    const world = formed(nine);
    expect(replicasOf(world.formation, "voter")).toHaveLength(quorumSizeOf(prescribedDatacenter()));
    expectSpread(world);
  });

  test("is not formed of nodes that would put a quorum into one region", () => {
    const world = formed(["eu.a", "eu.b", "eu.c", "eu.d", "us.a", "us.b"]);
    expect(replicasOf(world.formation, "voter")).toEqual([nodeId(1)]);
    world.admit(7, "ap.a");
    world.settle();
    expect(replicasOf(world.formation, "voter")).toHaveLength(5);
    expectSpread(world);
  });

  test.each(["eu", "us", "ap"])(
    "that loses region %s goes on, and gives its seats to no region that would then hold a quorum",
    (lost) => {
      const world = formed(nine);
      const gone = [...world.formation.nodes].filter(([, { zone }]) => regionOf(zone) === lost).map(([id]) => id);
      for (const id of gone) world.kill(id);
      world.settle();
      expect(world.hasQuorum()).toBe(true);
      expectSpread(world);
      for (const id of gone) world.revive(id);
      world.settle();
      expectSpread(world);
      expect(world.rolesOf("master")).toHaveLength(5);
    },
  );
});
