import {
  prescribedDatacenter,
  prescribedHomelab,
  replicasOf,
  type FabricStrategy,
  type NodeId,
  type ShiftDecision,
  type TopologyStrategy,
} from "@revoada/fabric";
import {
  cluster3mnw,
  compareVersions,
  defaultPolicies,
  meshAllPeers,
  phalanx,
  quorum,
  quorum3m,
  reactorLimits,
  topologyReactor,
  type Policy,
  type ReactorLimits,
} from "@revoada/topology";
import { FormationModel, modelNode as nodeId } from "@revoada/topology/testing";
import { describe, expect, test } from "vitest";

interface Wishes {
  readonly topology?: ConstructorParameters<typeof FormationModel>[0]["topology"];
  readonly strategy?: FabricStrategy;
  readonly limits?: Partial<ReactorLimits>;
  readonly zones?: readonly string[];
  readonly policies?: readonly Policy[];
}

/** A formation of `nodes`, settled; all in one zone unless told. */
function formed(nodes: number, wishes: Wishes = {}): FormationModel {
  const { topology = cluster3mnw(), strategy = prescribedHomelab(), zones = [], ...rest } = wishes;
  const made = new FormationModel({ topology, strategy, zone: zones[0] ?? "z", ...rest });
  for (let n = 2; n <= nodes; n += 1) made.admit(n, zones[n - 1] ?? "z");
  made.settle();
  return made;
}

function voters({ formation }: FormationModel): readonly NodeId[] {
  return replicasOf(formation, "voter");
}

function learners({ formation }: FormationModel): readonly NodeId[] {
  return replicasOf(formation, "learner");
}

function follower(made: FormationModel): NodeId {
  return voters(made).find((id) => id !== made.leader) as NodeId;
}

function kinds(made: FormationModel, from: number): readonly string[] {
  return made.decisions.slice(from).map(({ kind }) => kind);
}

function zoneOf({ formation }: FormationModel, id: NodeId): string {
  return formation.nodes.get(id)?.zone ?? "";
}

function tickFor(made: FormationModel, ms: number): void {
  const endMs = made.nowMs + ms;
  while (made.nowMs < endMs) made.tick();
}

describe("a vote", () => {
  test("is given to nobody who has not been alive for the stabilization time, and then at once", () => {
    const made = formed(3, { topology: quorum3m() });
    made.kill(nodeId(3));
    made.settle();
    made.admit(4);
    tickFor(made, 1500);
    expect(voters(made)).toContain(nodeId(3));
    expect(made.formation.nodes.get(nodeId(4))?.replica).toBe("learner");
    tickFor(made, 1000);
    expect(voters(made)).toEqual([1, 2, 4].map(nodeId));
  });

  test("goes to a warm standby in the tick in which its holder is dead", () => {
    const made = formed(5);
    const victim = follower(made);
    made.kill(victim);
    made.tick();
    expect(voters(made)).not.toContain(victim);
    expect(voters(made)).toHaveLength(3);
  });

  test("waits again after its heir was silent for a moment", () => {
    const made = formed(4);
    const victim = follower(made);
    made.blink(nodeId(4));
    made.kill(victim);
    made.tick();
    expect(voters(made)).toContain(victim);
    tickFor(made, 2500);
    expect(voters(made)).toContain(nodeId(4));
  });

  test("goes to the steadier of two heirs, and to the one that was heard last where both are as steady", () => {
    const made = formed(5, { topology: quorum3m() });
    const victim = follower(made);
    made.kill(victim);
    const observation = made.observation();
    const takes = (facts: Partial<typeof observation>): unknown =>
      made.decide({ ...observation, ...facts }).find(({ kind }) => kind === "replace")?.inputs["to"];
    expect(takes({})).toBe(nodeId(4));
    const nodes = new Map(observation.formation.nodes);
    const fourth = nodes.get(nodeId(4));
    if (fourth === undefined) throw new Error("there is no fourth node");
    // It was taken for dead before, though it lived.
    nodes.set(nodeId(4), { ...fourth, incarnation: 2 });
    expect(takes({ formation: { ...observation.formation, nodes } })).toBe(nodeId(5));
    const silentMs = new Map([[nodeId(4), 3000]]);
    expect(takes({ replication: { ...observation.replication, silentMs } })).toBe(nodeId(5));
  });

  test("passes over nodes that are cordoned, and goes to the next", () => {
    const made = formed(6);
    for (const node of learners(made)) made.order([{ verb: "cordon", node }]);
    const victim = follower(made);
    made.kill(victim);
    made.settle();
    expect(voters(made)).toEqual([1, 2, 3, 6].map(nodeId).filter((id) => id !== victim));
    expect(made.rolesOf("master")).toEqual(voters(made));
  });

  test.each([cluster3mnw(), meshAllPeers()])(
    "of $name waits where all others are cordoned, and everything else goes on",
    (topology) => {
      const made = formed(5, { topology });
      const others = learners(made);
      for (const node of others) made.order([{ verb: "cordon", node }]);
      const victim = follower(made);
      made.kill(victim);
      made.admit(6, "z", "worker");
      made.settle();
      expect(made.formation.nodes.get(victim)).toMatchObject({ state: "failed", replica: "voter" });
      expect(made.formation.nodes.get(others[0] as NodeId)).toMatchObject({ state: "active", replica: "learner" });
      made.order(others.map((node) => ({ verb: "restore", node })));
      made.settle();
      expect(made.formation.nodes.get(victim)?.replica).toBe("none");
      expect(voters(made)).toHaveLength(3);
    },
  );

  test("is not for a founder that is cordoned before there is a shape", () => {
    const made = new FormationModel({ topology: quorum3m(), strategy: prescribedHomelab(), zone: "z" });
    made.order([{ verb: "cordon", node: nodeId(1) }]);
    for (const n of [2, 3]) made.admit(n, "z");
    made.settle();
    expect(voters(made)).toEqual([nodeId(1)]);
    made.admit(4, "z");
    made.settle();
    expect(voters(made)).toEqual([2, 3, 4].map(nodeId));
  });

  test("goes to no node that is behind the trailing bound", () => {
    const made = formed(4);
    const victim = follower(made);
    made.lag(nodeId(4), true);
    made.kill(victim);
    tickFor(made, 5000);
    expect(voters(made)).toContain(victim);
    made.lag(nodeId(4), false);
    made.tick();
    expect(voters(made)).toContain(nodeId(4));
  });
});

test("a quorum of five that is to be one of three gives up two votes in one step, and the leader's is none of them", () => {
  const made = formed(6, { topology: quorum({ masters: 5 }), strategy: prescribedDatacenter() });
  const reactor = topologyReactor({ topology: quorum3m() });
  const observation = { ...made.observation(), strategy: prescribedHomelab() };
  const decisions = reactor.observe({ ...observation, nowMs: observation.nowMs + 60_000 });
  const [shrink] = decisions;
  expect(decisions).toHaveLength(1);
  expect(shrink).toMatchObject({ kind: "shrink", inputs: { voters: 5, quorumSize: 3 } });
  expect(shrink?.transitions).toHaveLength(2);
  expect(shrink?.transitions.map(({ node }) => node)).not.toContain(made.leader);
  made.commit(decisions);
  expect(voters(made)).toHaveLength(3);
});

test("two votes are taken away only where the topology lets those who are left vote beside each other", () => {
  const inMinority: TopologyStrategy["mayVote"] = ({ zone }, others, seats) =>
    others.filter((voter) => voter.zone === zone).length + 1 <= Math.floor(seats / 2);
  const topology = { ...quorum({ masters: 5 }), mayVote: inMinority };
  const made = formed(5, { topology, strategy: prescribedDatacenter(), zones: ["a", "b", "a", "b", "c"] });
  expect(voters(made)).toHaveLength(5);
  const reactor = topologyReactor({ topology: { ...quorum3m(), mayVote: inMinority } });
  const observation = { ...made.observation(), strategy: prescribedHomelab() };
  const decisions = reactor.observe({ ...observation, nowMs: observation.nowMs + 60_000 });
  expect(decisions.map(({ kind }) => kind)).toEqual(["shrink"]);
  made.commit(decisions);
  expect(new Set(voters(made).map((id) => zoneOf(made, id)))).toEqual(new Set(["a", "b", "c"]));
});

describe("zones", () => {
  const spread = (made: FormationModel): readonly string[] =>
    voters(made)
      .map((id) => zoneOf(made, id))
      .toSorted((a, b) => (a < b ? -1 : 1));

  test("have one voter each while zones allow, also where the standby of the zone was not the warm one", () => {
    const made = formed(7, { zones: ["a", "b", "c", "a", "a", "b", "c"] });
    expect(spread(made)).toEqual(["a", "b", "c"]);
    for (const id of [...voters(made)].filter((voter) => voter !== made.leader)) {
      const zone = zoneOf(made, id);
      made.kill(id);
      made.settle();
      expect(spread(made), `after the loss in ${zone}`).toEqual(["a", "b", "c"]);
      made.revive(id);
      made.settle();
    }
  });

  test("are evened out in one step that is voluntary, once a node comes from a zone without a vote", () => {
    const made = formed(4, { zones: ["a", "a", "b", "b"] });
    const before = made.decisions.length;
    made.admit(5, "c");
    made.settle();
    expect(spread(made)).toEqual(["a", "b", "c"]);
    const move = made.decisions.slice(before).filter(({ kind }) => kind === "relocate");
    expect(move).toHaveLength(1);
    expect(move[0]?.inputs).toMatchObject({ voluntary: true, policy: "autopilot", toZone: "c", toZoneVoters: 0 });
    expect(move[0]?.transitions.map(({ verb }) => verb)).toEqual(["reassign", "demote", "seat"]);
    expect(made.rolesOf("master")).toHaveLength(3);
  });

  test("are left alone by a strategy that does not place by them", () => {
    const strategy: FabricStrategy = { ...prescribedHomelab(), placement: { policy: "none" } };
    const made = formed(4, { strategy, zones: ["a", "a", "b", "b"] });
    const before = voters(made);
    made.admit(5, "c");
    made.settle();
    expect(voters(made)).toEqual(before);
  });

  test("that are redundant have a hot spare each, which is the first to take over", () => {
    const zones = ["a", "b", "c", "d", "a", "b", "c", "d"];
    const strategy = { ...prescribedHomelab(), autopilot: { redundancyZones: true, warmStandbys: 0 } };
    const made = formed(8, { strategy, zones });
    expect(new Set(spread(made)).size).toBe(3);
    expect(learners(made).map((id) => zoneOf(made, id))).toEqual(spread(made));
    const victim = follower(made);
    made.kill(victim);
    made.tick();
    const last = made.decisions.findLast(({ kind }) => kind === "replace");
    expect(last?.inputs).toMatchObject({ from: victim, fromZone: zoneOf(made, victim), toZone: zoneOf(made, victim) });
    // The zone has nobody left: the next loss in it goes elsewhere.
    made.settle();
    const heir = last?.inputs["to"] as NodeId;
    made.kill(heir);
    made.settle();
    expect(voters(made)).not.toContain(heir);
    expect(new Set(spread(made)).size).toBe(3);
  });
});

describe("an upgrade", () => {
  const newer = (made: FormationModel, ...numbers: readonly number[]): void => {
    for (const n of numbers) made.say(nodeId(n), "version", "2.0");
  };

  test("gives newer nodes no vote until enough of them are there, and then all, one seat at a time and the leader's last", () => {
    const made = formed(3, { topology: quorum3m() });
    for (const n of [4, 5]) made.admit(n, "z");
    newer(made, 4, 5);
    made.settle();
    expect(voters(made)).toEqual([1, 2, 3].map(nodeId));
    made.admit(6, "z");
    newer(made, 6);
    const before = made.decisions.length;
    made.settle();
    expect(voters(made)).toEqual([4, 5, 6].map(nodeId));
    expect(made.rolesOf("master")).toEqual([4, 5, 6].map(nodeId));
    const moves = made.decisions.slice(before).filter(({ kind }) => kind === "migrate" || kind === "replace");
    expect(moves.map(({ inputs }) => inputs["from"])).toEqual([2, 3, 1, 1].map(nodeId));
    expect(moves[2]?.transitions).toEqual([{ verb: "demote", node: nodeId(1) }]);
  });

  test("takes a newer node for a lost vote where no other is there", () => {
    const made = formed(3, { topology: quorum3m() });
    made.admit(4, "z");
    newer(made, 4);
    made.settle();
    made.kill(follower(made));
    made.settle();
    expect(voters(made)).toContain(nodeId(4));
  });

  test("prefers the version of those who vote as long as the newer are few", () => {
    const made = formed(3, { topology: quorum3m() });
    made.admit(4, "z");
    made.admit(5, "z");
    newer(made, 4);
    made.settle();
    made.kill(follower(made));
    made.settle();
    expect(voters(made)).toContain(nodeId(5));
    expect(voters(made)).not.toContain(nodeId(4));
  });

  test("is nobody's concern where the strategy says so", () => {
    const strategy = { ...prescribedHomelab(), autopilot: { upgradeMigration: false } };
    const made = formed(6, { topology: quorum3m(), strategy });
    const before = voters(made);
    newer(made, ...[1, 2, 3, 4, 5, 6].filter((n) => !before.includes(nodeId(n))));
    made.settle();
    expect(voters(made)).toEqual(before);
  });

  test.each([
    ["1.9", "1.10", -1],
    ["v2", "1.99.99", 1],
    ["1.2.3-rc.1", "1.2.3", 0],
    ["1", "1.0.0", 0],
    ["blue", "0.0.1", -1],
    ["blue", "green", 0],
  ])("%s beside %s", (a, b, sign) => {
    expect(Math.sign(compareVersions(a, b))).toBe(sign);
    expect(Math.sign(compareVersions(b, a))).toBe(sign === 0 ? 0 : -sign);
  });
});

describe("dead nodes", () => {
  const dayMs = 24 * 3600 * 1000;

  test("are forgotten after a time, a few in one observation, and never below the minimum", () => {
    const made = formed(12);
    const dead = [...made.formation.nodes.keys()].filter((id) => !voters(made).includes(id));
    for (const id of dead) made.kill(id);
    made.settle();
    made.wait(4 * dayMs);
    const forgotten = made.decide().filter(({ kind }) => kind === "forget");
    expect(forgotten).toHaveLength(4);
    made.settle();
    expect(made.formation.nodes.size).toBe(3);
    const kept = formed(5, { limits: { minQuorum: 4 } });
    for (const id of learners(kept)) kept.kill(id);
    kept.settle();
    kept.wait(4 * dayMs);
    kept.settle();
    expect(kept.formation.nodes.size).toBe(4);
  });

  test("stay where the strategy does not clean up", () => {
    const made = formed(5, { strategy: { ...prescribedHomelab(), autopilot: { cleanupDeadNodes: false } } });
    for (const id of learners(made)) made.kill(id);
    made.settle();
    made.wait(4 * dayMs);
    made.settle();
    expect(made.formation.nodes.size).toBe(5);
  });
});

describe("a node that steps back", () => {
  test("keeps its vote until somebody takes it, and is forced out of a quorum that can do without it after 30 s", () => {
    const made = formed(5, { topology: quorum({ masters: 5 }), strategy: prescribedDatacenter() });
    const leaver = follower(made);
    made.order([
      { verb: "cordon", node: leaver },
      { verb: "demote", node: leaver },
    ]);
    tickFor(made, 27_500);
    expect(voters(made)).toHaveLength(5);
    tickFor(made, 5000);
    expect(made.decisions.findLast(({ kind }) => kind === "force-out")?.inputs).toMatchObject({
      node: leaver,
      voters: 3,
    });
    expect(voters(made)).toHaveLength(3);
    expect(voters(made)).not.toContain(leaver);
    made.settle();
    expect(made.formation.nodes.get(leaver)?.state).toBe("standby");
    // The quorum is whole again once somebody comes.
    made.admit(6, "z");
    made.settle();
    expect(voters(made)).toHaveLength(5);
  });

  test("is not forced out before there was a quorum for as long", () => {
    const made = formed(5, { topology: quorum({ masters: 5 }), strategy: prescribedDatacenter() });
    const leaver = follower(made);
    made.order([
      { verb: "cordon", node: leaver },
      { verb: "demote", node: leaver },
    ]);
    made.wait(60_000);
    const observation = made.observation();
    const after = (quorumMs: number): readonly string[] =>
      made.decide({ ...observation, replication: { ...observation.replication, quorumMs } }).map(({ kind }) => kind);
    expect(after(29_999)).not.toContain("force-out");
    expect(after(30_000)).toContain("force-out");
  });

  test("is replaced by anybody who is caught up then, however short its standing", () => {
    const made = formed(3, { topology: quorum3m(), limits: { stabilizationMs: 3_600_000 } });
    made.admit(4, "z");
    const leaver = follower(made);
    made.tick();
    made.order([
      { verb: "cordon", node: leaver },
      { verb: "demote", node: leaver },
    ]);
    tickFor(made, 29_000);
    expect(voters(made)).toContain(leaver);
    tickFor(made, 1500);
    expect(voters(made)).toEqual([1, 2, 3, 4].map(nodeId).filter((id) => id !== leaver));
  });

  test("loses its role and goes on voting where too few would be left", () => {
    const made = formed(3, { topology: quorum3m() });
    const leaver = follower(made);
    made.order([
      { verb: "cordon", node: leaver },
      { verb: "demote", node: leaver },
    ]);
    tickFor(made, 29_500);
    expect(made.formation.nodes.get(leaver)?.state).toBe("demoting");
    tickFor(made, 1000);
    expect(made.formation.nodes.get(leaver)).toMatchObject({ state: "failed", replica: "voter" });
    made.revive(leaver);
    made.settle();
    expect(made.formation.nodes.get(leaver)).toMatchObject({ state: "standby", replica: "voter" });
    expect(voters(made)).toHaveLength(3);
  });

  test("and founded the cluster is relieved too, before there is a shape", () => {
    const made = new FormationModel({ topology: quorum3m(), strategy: prescribedHomelab(), zone: "z" });
    made.admit(2, "z");
    made.order([{ verb: "demote", node: nodeId(1) }]);
    tickFor(made, 31_000);
    expect(made.formation.nodes.get(nodeId(1))?.state).toBe("failed");
    made.revive(nodeId(1));
    made.admit(3, "z");
    made.settle();
    expect(made.rolesOf("master")).toHaveLength(3);
  });

  test("and leaves before there is a shape hands its seat to the first of it", () => {
    const made = new FormationModel({ topology: quorum3m(), strategy: prescribedHomelab(), zone: "z" });
    made.order([{ verb: "depart", node: nodeId(1) }]);
    for (const n of [2, 3, 4]) made.admit(n, "z");
    made.settle();
    expect(voters(made)).toEqual([2, 3, 4].map(nodeId));
    expect(made.formation.nodes.has(nodeId(1))).toBe(false);
  });
});

describe("a replica that does not catch up", () => {
  test("loses the vote that it was given, and gets none for a while", () => {
    const made = formed(5, { topology: quorum3m() });
    const slow = follower(made);
    made.lag(slow, true);
    tickFor(made, 29_000);
    expect(voters(made)).toContain(slow);
    tickFor(made, 2000);
    expect(voters(made)).not.toContain(slow);
    expect(made.rolesOf("master")).toHaveLength(3);
    made.settle();
    made.lag(slow, false);
    // It is passed over although it keeps up again, until the while is over.
    for (const id of learners(made)) made.kill(id);
    made.settle();
    made.kill(follower(made));
    tickFor(made, 60_000);
    expect(voters(made)).not.toContain(slow);
    tickFor(made, 300_000);
    expect(voters(made)).toContain(slow);
  });

  test("makes room for the next one where it is to become a standby, and is not chosen again for a while", () => {
    const made = formed(5, { topology: quorum3m(), limits: { warmStandbys: 1 } });
    const [first] = learners(made);
    if (first === undefined) throw new Error("nobody stands by");
    made.lag(first, true);
    tickFor(made, 29_000);
    expect(learners(made)).toEqual([first]);
    tickFor(made, 3000);
    const [second] = learners(made);
    expect(second).not.toBe(first);
    made.lag(second as NodeId, true);
    tickFor(made, 120_000);
    // There is nobody left who was not tried: it goes on with who it has.
    expect(learners(made)).toEqual([second]);
    tickFor(made, 300_000);
    expect(learners(made)).toEqual([first]);
  });

  test("keeps its vote where nobody else could take it", () => {
    const made = formed(3, { topology: quorum3m() });
    made.lag(follower(made), true);
    tickFor(made, 120_000);
    expect(voters(made)).toHaveLength(3);
    expect(made.decisions.filter(({ kind }) => kind === "give-up")).toEqual([]);
  });
});

test("a node that comes back with another disk while nobody led is evicted, and taken back with that one", () => {
  const made = formed(5);
  const [standby] = learners(made) as [NodeId];
  const lost = made.formation.nodes.get(standby)?.storeId;
  // Its death and its return are both over before anybody decides again.
  made.kill(standby);
  made.revive(standby, { wiped: true });
  made.tick();
  expect(made.decisions.findLast(({ kind }) => kind === "evict")?.inputs).toMatchObject({
    node: standby,
    evidence: "disk",
  });
  made.settle();
  expect(made.formation.nodes.get(standby)).toMatchObject({ state: "active", replica: "learner" });
  expect(made.formation.nodes.get(standby)?.storeId).not.toBe(lost);
});

describe("a node that flaps", () => {
  test("makes a phalanx neither grow nor shrink", () => {
    const made = formed(5, { topology: phalanx() });
    made.admit(6, "z");
    made.settle();
    expect(made.rolesOf("master")).toHaveLength(3);
    const before = made.decisions.length;
    const masters = made.rolesOf("master");
    const flapping = [...made.formation.nodes.keys()].find((id) => !masters.includes(id)) as NodeId;
    for (let n = 0; n < 40; n += 1) {
      if (n % 2 === 0) made.kill(flapping);
      else made.revive(flapping);
      tickFor(made, 1500);
    }
    expect(made.rolesOf("master")).toEqual(masters);
    expect(new Set(kinds(made, before))).not.toContain("step-back");
    made.kill(flapping);
    made.settle();
    expect(made.rolesOf("master")).toHaveLength(2);
  });

  test("becomes no peer of a mesh until it has stayed", () => {
    const made = formed(3);
    made.admit(4, "z");
    for (let n = 0; n < 10; n += 1) {
      made.blink(nodeId(4));
      tickFor(made, 1000);
    }
    expect(voters(made)).toHaveLength(3);
  });
});

describe("policies", () => {
  /** Keeps a node of zone "spare" cordoned, which no policy of ours does. */
  const cordonSpares: Policy = {
    name: "cordon-spares",
    decide({ draft }) {
      for (const [id, { zone, flags }] of draft.formation.nodes) {
        if (zone !== "spare" || flags.length > 0) continue;
        draft.decide({ kind: "cordon", transitions: [{ verb: "cordon", node: id }], reason: "a spare", inputs: {} });
      }
    },
  };

  test("of others take their place among ours, and their decisions say whose they are", () => {
    const policies = [cordonSpares, ...defaultPolicies];
    const made = formed(5, { policies, topology: quorum3m(), zones: ["z", "spare", "z", "z", "z"] });
    expect(made.formation.nodes.get(nodeId(2))).toMatchObject({ flags: ["cordoned"], state: "standby" });
    expect(voters(made)).toEqual([1, 3, 4].map(nodeId));
    expect(made.decisions.find(({ kind }) => kind === "cordon")?.inputs).toEqual({ policy: "cordon-spares" });
  });

  test("are bounded in one observation, each by itself", () => {
    const made = formed(12, { zones: Array.from({ length: 12 }, () => "spare"), limits: { maxDecisions: 3 } });
    const reactor = topologyReactor({
      topology: cluster3mnw(),
      policies: [cordonSpares],
      limits: { maxDecisions: 3 },
    });
    expect(reactor.observe(made.observation())).toHaveLength(3);
  });

  test("can neither break the quorum nor shift a node twice in an interval, whatever they ask for", () => {
    const made = formed(5, { topology: quorum3m() });
    const [first, second] = voters(made).filter((id) => id !== made.leader) as [NodeId, NodeId];
    const [standby] = learners(made) as [NodeId];
    const asked: boolean[] = [];
    const reckless = (decision: Omit<ShiftDecision, "reason" | "inputs">, voluntary = false): Policy => ({
      name: "reckless",
      decide({ draft }) {
        asked.push(draft.decide({ ...decision, reason: "because", inputs: {}, voluntary }));
      },
    });
    const tried = (policy: Policy): readonly ShiftDecision[] =>
      topologyReactor({ topology: quorum3m(), policies: [policy] }).observe(made.observation());
    const seat = (node: NodeId, replica: "voter" | "none") => ({ verb: "seat", node, replica }) as const;
    // An even number of voters, more than the quorum, and a majority that nobody reaches.
    tried(reckless({ kind: "x", transitions: [seat(first, "none")] }));
    const promote = (node: NodeId) => ({ verb: "promote", node, role: "master", replica: "voter" }) as const;
    tried(reckless({ kind: "x", transitions: learners(made).map(promote) }));
    made.kill(first);
    made.kill(standby);
    tried(reckless({ kind: "x", transitions: [promote(standby), seat(second, "none")] }));
    made.revive(first);
    made.settle();
    made.order([{ verb: "cordon", node: second }]);
    tried(reckless({ kind: "x", transitions: [{ verb: "restore", node: second }] }, true));
    expect(asked).toEqual([false, false, false, false]);
    made.wait(5000);
    tried(reckless({ kind: "x", transitions: [{ verb: "restore", node: second }] }, true));
    expect(asked.at(-1)).toBe(true);
  });

  test("that ask for what the table does not list are named, and so are those without a name of their own", () => {
    const made = formed(3);
    const broken: Policy = {
      name: "broken",
      decide({ draft }) {
        draft.decide({ kind: "x", transitions: [{ verb: "settle", node: nodeId(1) }], reason: "", inputs: {} });
      },
    };
    const topology = cluster3mnw();
    const code = "TOPOLOGY_POLICY_BROKEN";
    const observe = (): unknown => topologyReactor({ topology, policies: [broken] }).observe(made.observation());
    expect(observe).toThrow(expect.objectContaining({ code, message: expect.stringContaining("policy broken") }));
    expect(() => topologyReactor({ topology, policies: [broken, broken] })).toThrow(expect.objectContaining({ code }));
    expect(() => topologyReactor({ topology, policies: [{ ...broken, name: "No!" }] })).toThrow(/has no proper name/);
  });
});

test("limits are what the strategy says of its autopilot, else follow from it", () => {
  expect(reactorLimits(prescribedHomelab())).toMatchObject({
    stabilizationMs: 2000,
    minQuorum: 3,
    forgetAfterMs: 259_200_000,
  });
  expect(reactorLimits(prescribedDatacenter()).stabilizationMs).toBe(10_000);
  const autopilot = { maxTrailingEntries: 7, deadNodeMs: 9, warmStandbys: 1 };
  expect(reactorLimits({ ...prescribedHomelab(), autopilot }, { warmStandbys: 4 })).toMatchObject({
    trailingEntries: 7,
    forgetAfterMs: 9,
    warmStandbys: 4,
  });
});
