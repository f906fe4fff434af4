import {
  prescribedDatacenter,
  prescribedHomelab,
  prescribedSolo,
  replicasOf,
  type Candidate,
  type FabricStrategy,
  type NodeId,
  type ShiftDecision,
  type TopologyStrategy,
  type Transition,
} from "@revoada/fabric";
import {
  cluster3mnw,
  meshAllPeers,
  pair,
  phalanx,
  quorum,
  quorum3m,
  reactorLimits,
  shapedTopology,
  solo,
  topologyReactor,
  type Policy,
} from "@revoada/topology";
import { FormationModel, modelNode as nodeId, ReactorPromises } from "@revoada/topology/testing";
import fc from "fast-check";
import { describe, expect, test } from "vitest";

/** A stranger's: three masters, of which no zone holds two. */
function onePerZone(): TopologyStrategy {
  const shape = shapedTopology({ name: "one_per_zone", minNodes: 3, targetMasters: () => 3 });
  return {
    ...shape,
    mayVote: ({ zone }: Candidate, voters: readonly Candidate[]) => voters.every((voter) => voter.zone !== zone),
  };
}

const impatient = { catchUpMs: 4000, retryMs: 10_000, demotingMs: 6000, deadNodeMs: 20_000, minQuorum: 1 };

function patient(strategy: FabricStrategy, autopilot: FabricStrategy["autopilot"] = {}): FabricStrategy {
  return { ...strategy, autopilot: { ...impatient, ...autopilot } };
}

const cases: readonly (readonly [string, () => TopologyStrategy, FabricStrategy])[] = [
  ["solo", solo, patient(prescribedSolo())],
  ["pair", () => pair({ minNodes: 3 }), patient(prescribedHomelab())],
  ["quorum_3m", quorum3m, patient(prescribedHomelab(), { redundancyZones: true })],
  ["cluster_3m_nw", cluster3mnw, patient(prescribedHomelab(), { warmStandbys: 0 })],
  ["mesh_all_peers", () => meshAllPeers({ minNodes: 3 }), patient(prescribedHomelab())],
  ["phalanx", () => phalanx({ minNodes: 3 }), patient(prescribedHomelab())],
  ["quorum_5m", () => quorum({ masters: 5 }), patient(prescribedDatacenter(), { minQuorum: 3 })],
  ["a stranger's", onePerZone, patient(prescribedHomelab())],
];

const events = fc.array(
  fc.record({
    what: fc.constantFrom(
      "kill",
      "revive",
      "wipe",
      "flap",
      "blink",
      "lag",
      "keep up",
      "upgrade",
      "drain",
      "cordon",
      "quarantine",
      "restore",
      "wait",
    ),
    who: fc.integer({ min: 1, max: 9 }),
    ticks: fc.integer({ min: 0, max: 6 }),
  }),
  { maxLength: 30 },
);

describe("under any history of losses, returns, upgrades and orders", () => {
  test.each(cases)("the policies keep the promises of a reactor for %s", (_name, make, strategy) => {
    fc.assert(
      fc.property(events, fc.integer({ min: 1, max: 9 }), (history, nodes) => {
        const model = new FormationModel({ topology: make(), strategy });
        const promises = new ReactorPromises();
        for (let n = 2; n <= nodes; n += 1) model.admit(n);
        for (let n = 0; n < 12; n += 1) tick(model, promises);
        for (const event of history) {
          play(model, event.what, event.who, promises);
          for (let n = 0; n < event.ticks; n += 1) tick(model, promises);
        }
        expect(replicasOf(model.formation, "voter").length % 2).toBe(1);
      }),
      { numRuns: 25 },
    );
  });
});

/** One tick, whose decisions are judged before they are committed. */
function tick(model: FormationModel, promises: ReactorPromises): void {
  if (!model.isAlive(model.leader) || !model.hasQuorum()) {
    model.tick();
    return;
  }
  const before = model.decisions.length;
  model.tick();
  for (const decision of model.decisions.slice(before)) promises.committed(decision, model.nowMs);
  // What is left to decide now, in the situation that these have made.
  if (model.hasQuorum() && model.isAlive(model.leader)) {
    const observation = model.observation();
    promises.decided(observation, model.decide(observation), model.decide(observation));
  }
}

function play(model: FormationModel, what: string, n: number, promises: ReactorPromises): void {
  const id = nodeId(n);
  if (!model.formation.nodes.has(id)) return;
  switch (what) {
    case "kill":
      return kill(model, id);
    case "revive":
    case "wipe":
      if (!model.isAlive(id)) model.revive(id, { wiped: what === "wipe" });
      return;
    case "flap":
      for (let turn = 0; turn < 4; turn += 1) {
        kill(model, id);
        tick(model, promises);
        if (model.formation.nodes.has(id) && !model.isAlive(id)) model.revive(id);
        tick(model, promises);
      }
      return;
    case "blink":
      if (model.isAlive(id)) model.blink(id);
      return;
    case "lag":
    case "keep up":
      if (id !== model.leader) model.lag(id, what === "lag");
      return;
    case "upgrade":
      model.say(id, "version", "2.0");
      return;
    case "wait":
      model.wait(n * 2000);
      return;
    default:
      order(model, id, what);
  }
}

/** Consensus survives only what leaves a majority: a history that breaks it says nothing about the reactor. */
function kill(model: FormationModel, id: NodeId): void {
  const voters = replicasOf(model.formation, "voter");
  const left = voters.filter((voter) => voter !== id && model.isAlive(voter)).length;
  if (!voters.includes(id) || left > voters.length / 2) model.kill(id);
}

function order(model: FormationModel, node: NodeId, what: string): void {
  const record = model.formation.nodes.get(node);
  if (record === undefined || record.state === "demoting" || record.state === "departing" || !model.hasQuorum()) return;
  if (what === "cordon" || what === "quarantine") model.order([{ verb: what, node }]);
  if (what === "restore") model.order([{ verb: what, node }]);
  if (record.state !== "active") return;
  const drain: readonly Transition[] = [
    { verb: "cordon", node },
    { verb: "demote", node },
  ];
  if (what === "drain" && record.flags.length === 0) model.order(drain);
}

describe("a reactor that breaks a promise is found out", () => {
  const observe = (): ReturnType<FormationModel["observation"]> => {
    const model = new FormationModel({ topology: quorum3m(), strategy: prescribedHomelab() });
    for (const n of [2, 3, 4, 5]) model.admit(n);
    model.settle();
    model.kill(nodeId(2));
    return model.observation();
  };
  const voted = (id: NodeId, kind = "x", more: readonly Transition[] = []): ShiftDecision => ({
    kind,
    transitions: [{ verb: "promote", node: id, role: "master", replica: "voter" }, ...more],
    reason: "",
    inputs: {},
  });
  const judged = (observation: ReturnType<typeof observe>, decisions: readonly ShiftDecision[], again = decisions) =>
    expect(() => new ReactorPromises().decided(observation, decisions, again));
  const swap: Transition = { verb: "seat", node: nodeId(2), replica: "none" };

  test("by the votes that it leaves", () => {
    const observation = observe();
    judged(observation, [voted(nodeId(4))]).toThrow(/^odd-voters: /);
    judged(observation, [
      voted(nodeId(4), "x", [{ verb: "promote", node: nodeId(5), role: "master", replica: "voter" }]),
    ]).toThrow(/^not-too-many-voters: /);
    judged(observation, [voted(nodeId(4), "replace", [swap])]).not.toThrow();
  });

  test("by whom it gives them to, and by how often it decides", () => {
    const observation = observe();
    const fresh = new Map(observation.view.members);
    const member = fresh.get(nodeId(4));
    if (member === undefined) throw new Error("the fourth is not in the view");
    fresh.set(nodeId(4), { ...member, statusSinceMs: 1999 });
    const early = { ...observation, view: { ...observation.view, members: fresh } };
    judged(early, [voted(nodeId(4), "replace", [swap])]).toThrow(/^stable-first: /);
    const matchIndex = new Map([...observation.replication.matchIndex, [nodeId(4), 1 as never] as const]);
    const behind = { ...observation, replication: { ...observation.replication, matchIndex } };
    judged(behind, [voted(nodeId(4), "replace", [swap])]).toThrow(/^caught-up-first: /);
    const givenUp = new Map([[nodeId(4), observation.nowMs - 1000]]);
    judged({ ...observation, givenUp }, [voted(nodeId(4), "replace", [swap])]).toThrow(/^not-again-for-a-while: /);
    judged(observation, [], [voted(nodeId(4))]).toThrow(/^idempotent: /);
  });

  test("by what it does of its own will", () => {
    const observation = observe();
    const demote: ShiftDecision = {
      kind: "step-back",
      transitions: [{ verb: "demote", node: nodeId(3) }],
      reason: "",
      inputs: { voluntary: true },
    };
    const late = { ...observation, nowMs: observation.nowMs + reactorLimits(observation.strategy).dampingMs };
    judged(late, [demote]).not.toThrow();
    judged(late, [{ ...demote, inputs: {} }]).toThrow(/^damped: /);
    const promises = new ReactorPromises();
    promises.committed(demote, late.nowMs - 1);
    expect(() => promises.decided(late, [demote], [demote])).toThrow(/^damped: /);
  });
});

test("a policy of a stranger is held to the promises as ours are", () => {
  const greedy: Policy = {
    name: "greedy",
    decide({ draft }) {
      for (const [node, { state }] of draft.formation.nodes) {
        const transition: Transition = { verb: "promote", node, role: "master", replica: "voter" };
        if (state === "standby") draft.decide({ kind: "greed", transitions: [transition], reason: "more", inputs: {} });
      }
    },
  };
  const model = new FormationModel({ topology: quorum3m(), strategy: prescribedHomelab() });
  for (const n of [2, 3, 4, 5, 6]) model.admit(n);
  model.settle();
  const observation = model.observation();
  const reactor = topologyReactor({ topology: quorum3m(), policies: [greedy] });
  const decisions = reactor.observe(observation);
  new ReactorPromises().decided(observation, decisions, reactor.observe(observation));
  expect(decisions).toEqual([]);
});
