import { prescribedDatacenter, prescribedHomelab, prescribedSolo, replicasOf, type NodeId } from "@revoada/fabric";
import { cluster3mnw, meshAllPeers, pair, phalanx, quorum, quorum3m, solo } from "@revoada/topology";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { nodeId, World } from "./world.ts";

function formed(topology = cluster3mnw(), nodes = 5): World {
  const world = new World(topology, prescribedHomelab());
  for (let n = 2; n <= nodes; n += 1) world.admit(n);
  world.settle();
  return world;
}

describe("the first shape", () => {
  test("waits until minNodes are there, and the founder stays bootstrap", () => {
    const world = new World(cluster3mnw(), prescribedHomelab());
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
    expect(world.log.map((decision) => decision.kind).filter((kind) => kind !== "admit")).toEqual([
      "catch-up",
      "form",
      "standbys",
    ]);
  });

  test("goes from one voter to three in one command", () => {
    const world = formed();
    const form = world.log.find((decision) => decision.kind === "form");
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
    const world = new World(solo(), prescribedSolo());
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
    expect(world.log.slice(-2).map((decision) => decision.kind)).toEqual(["evict", "replace"]);
    expect(world.formation.nodes.get(victim)).toMatchObject({ state: "failed", replica: "none" });
    expect(world.rolesOf("master")).toHaveLength(3);
    expect(replicasOf(world.formation, "voter")).toHaveLength(3);
    world.revive(victim);
    world.settle();
    expect(world.formation.nodes.get(victim)).toMatchObject({ state: "active", role: "worker", replica: "learner" });
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
    const world = new World(solo(), prescribedSolo());
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
  expect(world.reactor.observe({ ...observation, view: { self: world.leader, members } })).toEqual([]);
  members.set(victim, { ...gone, statusSinceMs: 10_001 });
  expect(world.reactor.observe({ ...observation, view: { self: world.leader, members } })[0]?.kind).toBe("evict");
});

test("nothing moves a replica while the log's configuration has not followed", () => {
  const world = formed();
  const observation = world.observation();
  world.kill(nodeId(2));
  const lagging = { ...world.observation(), replication: { ...observation.replication, joint: true } };
  expect(world.reactor.observe(lagging).map((decision) => decision.kind)).toEqual(["evict"]);
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
          const world = new World(topology, strategy);
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

function play(world: World, what: string, id: NodeId, n: number): void {
  const machine = world.machines.get(id);
  if (what === "kill" && machine !== undefined) {
    // Consensus survives only what leaves a majority: a history that breaks it says nothing about the reactor.
    const left = world.configuration.voters.filter((voter) => voter !== id && world.alive(voter)).length;
    if (!world.configuration.voters.includes(id) || left > world.configuration.voters.length / 2) world.kill(id);
  }
  if (what === "revive" && machine?.status === "dead") world.revive(id);
  if (what === "wipe" && machine?.status === "dead") world.revive(id, { wiped: true });
  if (what === "admit" && machine === undefined && world.hasQuorum()) world.admit(n);
}

function promises(world: World): void {
  const voters = replicasOf(world.formation, "voter");
  expect(voters.length % 2).toBe(1);
  expect(world.hasQuorum()).toBe(true);
  for (const [id, record] of world.formation.nodes) {
    if (record.state === "active" && record.lastShiftMs === world.nowMs && !world.alive(id)) {
      expect.unreachable(`${id} was given a role although it is lost`);
    }
  }
  expect(world.reactor.observe(world.observation())).toEqual(world.reactor.observe(world.observation()));
}

/** With enough nodes alive and everything settled, the shape stands. */
function whole(world: World, topology: (typeof topologies)[number]): void {
  const alive = [...world.formation.nodes].filter(([id]) => world.alive(id));
  if (!alive.every(([, record]) => record.state === "active" || record.state === "standby"))
    expect.unreachable("somebody alive has no place");
  const holders = new Map(
    alive.flatMap(([id, record]) => (record.role === undefined ? [] : [[id, record.role] as const])),
  );
  if (alive.length < topology.minNodes || world.rolesOf("bootstrap").length > 0) return;
  // A dead voter may keep its seat only where nobody could take it; an arbiter that votes cannot be a master.
  if (holders.size >= topology.minNodes && !replicasOf(world.formation, "voter").some((id) => !world.alive(id))) {
    expect(topology.validate(holders)).toEqual([]);
  }
}
