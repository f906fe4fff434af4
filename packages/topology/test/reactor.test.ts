import { isDeepStrictEqual } from "node:util";
import { prescribedDatacenter, prescribedHomelab, prescribedSolo, replicasOf, type NodeId } from "@revoada/fabric";
import { cluster3mnw, meshAllPeers, pair, phalanx, quorum, quorum3m, solo } from "@revoada/topology";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FormationModel, modelNode as nodeId } from "@revoada/topology/testing";

function formed(topology = cluster3mnw(), nodes = 5): FormationModel {
  const world = new FormationModel({ topology, strategy: prescribedHomelab() });
  for (let n = 2; n <= nodes; n += 1) world.admit(n);
  world.settle();
  return world;
}

describe("the first shape", () => {
  test("waits until minNodes are there, and the founder stays bootstrap", () => {
    const world = new FormationModel({ topology: cluster3mnw(), strategy: prescribedHomelab() });
    world.admit(2);
    world.settle();
    expect(world.rolesOf("bootstrap")).toEqual([nodeId(1)]);
    expect(replicasOf(world.formation, "voter")).toEqual([nodeId(1)]);
  });

  test("of Cluster3MNW with five nodes has three voting masters and two workers that replicate", () => {
    const world = formed();
    expect(world.rolesOf("master")).toHaveLength(3);
    expect(world.rolesOf("worker")).toHaveLength(2);
    expect(replicasOf(world.formation, "voter")).toEqual([...world.rolesOf("master")].toSorted());
    expect(replicasOf(world.formation, "learner")).toEqual([...world.rolesOf("worker")].toSorted());
    expect(world.decisions.map((decision) => decision.kind).filter((kind) => kind !== "admit")).toEqual([
      "catch-up",
      "form",
      "standbys",
    ]);
  });

  test("goes from one voter to three in one command", () => {
    const world = formed();
    const form = world.decisions.find((decision) => decision.kind === "form");
    expect(form?.transitions.filter((t) => "replica" in t && t.replica === "voter")).toHaveLength(3);
  });

  test("of Pair has two masters and an arbiter that votes", () => {
    const world = formed(pair({ minNodes: 3 }), 3);
    expect(world.rolesOf("master")).toHaveLength(2);
    expect(world.rolesOf("arbiter")).toHaveLength(1);
    expect(replicasOf(world.formation, "voter")).toHaveLength(3);
  });

  test("of MeshAllPeers with five nodes has five masters of which three vote", () => {
    const world = formed(meshAllPeers({ minNodes: 3 }), 5);
    expect(world.rolesOf("master")).toHaveLength(5);
    expect(replicasOf(world.formation, "voter")).toHaveLength(3);
    expect(replicasOf(world.formation, "learner")).toHaveLength(2);
  });

  test("of Solo has one master, and the others stand by", () => {
    const world = new FormationModel({ topology: solo(), strategy: prescribedSolo() });
    world.admit(2);
    world.admit(3);
    world.settle();
    expect(world.rolesOf("master")).toEqual([nodeId(1)]);
    expect([...world.formation.nodes.values()].filter((record) => record.state === "standby")).toHaveLength(2);
    expect(replicasOf(world.formation, "voter")).toEqual([nodeId(1)]);
  });
});

describe("the loss of a master", () => {
  test("is closed by a warm standby that takes its seat in the same command, and the dead one comes back as a worker", () => {
    const world = formed();
    const victim = world.leader;
    world.kill(victim);
    world.tick();
    expect(world.decisions.slice(-2).map((decision) => decision.kind)).toEqual(["evict", "replace"]);
    expect(world.formation.nodes.get(victim)).toMatchObject({ state: "failed", replica: "none" });
    expect(world.rolesOf("master")).toHaveLength(3);
    expect(replicasOf(world.formation, "voter")).toHaveLength(3);
    world.revive(victim);
    world.settle();
    expect(world.formation.nodes.get(victim)).toMatchObject({ state: "active", role: "worker", replica: "learner" });
  });

  test("is closed by the only standby there is, though that leaves an even number of nodes that could vote", () => {
    const world = new FormationModel({ topology: quorum({ masters: 5 }), strategy: prescribedDatacenter() });
    for (let n = 2; n <= 6; n += 1) world.admit(n);
    world.settle();
    const voters = replicasOf(world.formation, "voter");
    expect(voters).toHaveLength(5);
    const lost = voters.filter((id) => id !== world.leader).slice(0, 2);
    for (const id of lost) world.kill(id);
    world.settle();
    expect(replicasOf(world.formation, "voter")).toHaveLength(5);
    expect(replicasOf(world.formation, "voter").filter((id) => !lost.includes(id))).toHaveLength(4);
  });

  test("keeps its seat where nobody can take it, and gives it back when it returns", () => {
    const world = formed(quorum3m(), 3);
    world.kill(nodeId(3));
    world.settle();
    expect(world.formation.nodes.get(nodeId(3))).toMatchObject({ state: "failed", replica: "voter" });
    world.revive(nodeId(3));
    world.settle();
    expect(world.formation.nodes.get(nodeId(3))).toMatchObject({ state: "active", role: "master", replica: "voter" });
  });

  test("under Solo is no quorum and never a promotion", () => {
    const world = new FormationModel({ topology: solo(), strategy: prescribedSolo() });
    world.admit(2);
    world.settle();
    world.kill(nodeId(1));
    const before = world.formation;
    world.settle();
    expect(world.formation).toBe(before);
  });
});

test("a node that says it restarts keeps its place for a while", () => {
  const world = formed();
  const victim = replicasOf(world.formation, "voter").find((id) => id !== world.leader) as NodeId;
  const observation = world.observation();
  const member = observation.view.members.get(victim);
  if (member === undefined) throw new Error("the victim is not in the view");
  const members = new Map(observation.view.members);
  const gone = {
    ...member,
    status: "dead" as const,
    evidence: "closed" as const,
    keys: new Map([...member.keys, ["restarting", "1"]]),
  };
  members.set(victim, { ...gone, statusSinceMs: 9_999 });
  expect(world.decide({ ...observation, view: { self: world.leader, members } })).toEqual([]);
  members.set(victim, { ...gone, statusSinceMs: 10_001 });
  expect(world.decide({ ...observation, view: { self: world.leader, members } })[0]?.kind).toBe("evict");
});

test("nothing moves a replica while the log's configuration has not followed", () => {
  const world = formed();
  const observation = world.observation();
  world.kill(nodeId(2));
  const lagging = { ...world.observation(), replication: { ...observation.replication, joint: true } };
  expect(world.decide(lagging).map((decision) => decision.kind)).toEqual(["evict"]);
});

const topologies = [
  solo(),
  pair({ minNodes: 3 }),
  quorum3m(),
  cluster3mnw(),
  meshAllPeers({ minNodes: 3 }),
  phalanx({ minNodes: 3 }),
  quorum({ masters: 5 }),
];

describe("under any history of losses and returns", () => {
  const events = fc.array(
    fc.record({
      what: fc.constantFrom("kill", "revive", "wipe", "admit", "tick"),
      who: fc.integer({ min: 1, max: 9 }),
      ticks: fc.integer({ min: 0, max: 4 }),
    }),
    { maxLength: 40 },
  );

  test.each(topologies.map((topology) => [topology.name, topology] as const))(
    "%s keeps its promises",
    (name, topology) => {
      const strategy =
        name === "solo" ? prescribedSolo() : name === "quorum_5m" ? prescribedDatacenter() : prescribedHomelab();
      fc.assert(
        fc.property(events, fc.integer({ min: 1, max: 9 }), (history, nodes) => {
          const world = new FormationModel({ topology, strategy });
          for (let n = 2; n <= nodes; n += 1) world.admit(n);
          world.settle();
          for (const event of history) {
            play(world, event.what, nodeId(event.who), event.who);
            for (let n = 0; n < event.ticks; n += 1) {
              world.tick();
              promises(world);
            }
          }
          world.settle();
          promises(world);
          whole(world, topology);
        }),
        { numRuns: 150 },
      );
    },
  );
});

function play(world: FormationModel, what: string, id: NodeId, n: number): void {
  const machine = world.formation.nodes.get(id);
  const voters = replicasOf(world.formation, "voter");
  if (what === "kill" && machine !== undefined) {
    // Consensus survives only what leaves a majority: a history that breaks it says nothing about the reactor.
    const left = voters.filter((voter) => voter !== id && world.isAlive(voter)).length;
    if (!voters.includes(id) || left > voters.length / 2) world.kill(id);
  }
  if (what === "revive" && machine !== undefined && !world.isAlive(id)) world.revive(id);
  if (what === "wipe" && machine !== undefined && !world.isAlive(id)) world.revive(id, { wiped: true });
  if (what === "admit" && machine === undefined && world.hasQuorum()) world.admit(n);
}

function promises(world: FormationModel): void {
  // Asked after each of a hundred thousand ticks: an assertion of the runner's takes longer than the reactor.
  const voters = replicasOf(world.formation, "voter");
  if (voters.length % 2 !== 1) expect.unreachable(`${voters.length} nodes vote`);
  if (!world.hasQuorum()) expect.unreachable("the voters have no quorum");
  for (const [id, record] of world.formation.nodes) {
    if (record.state === "active" && record.lastShiftMs === world.nowMs && !world.isAlive(id)) {
      expect.unreachable(`${id} was given a role although it is lost`);
    }
  }
  const [once, again] = [world.decide(world.observation()), world.decide(world.observation())];
  if (!isDeepStrictEqual(once, again)) expect(again).toEqual(once);
}

/** With enough nodes alive and everything settled, the shape stands. */
function whole(world: FormationModel, topology: (typeof topologies)[number]): void {
  const alive = [...world.formation.nodes].filter(([id]) => world.isAlive(id));
  if (!alive.every(([, record]) => record.state === "active" || record.state === "standby"))
    expect.unreachable("somebody alive has no place");
  const holders = new Map(
    alive.flatMap(([id, record]) => (record.role === undefined ? [] : [[id, record.role] as const])),
  );
  if (alive.length < topology.minNodes || world.rolesOf("bootstrap").length > 0) return;
  // A dead voter may keep its seat only where nobody could take it; an arbiter that votes cannot be a master.
  if (holders.size >= topology.minNodes && !replicasOf(world.formation, "voter").some((id) => !world.isAlive(id))) {
    expect(topology.validate(holders)).toEqual([]);
  }
}
