import { ClusterDeclaration, openEnvelope } from "@revoada/cluster";
import {
  prescribedDatacenter,
  prescribedHomelab,
  prescribedKubernetes,
  prescribedSolo,
  replicasOf,
  type FabricStrategy,
  type TopologyStrategy,
} from "@revoada/fabric";
import { cluster3mnw, quorum, solo, topologyByName } from "@revoada/topology";
import { decode, encode } from "cborg";
import { describe, expect, test } from "vitest";
import { formed, rawFace, type ClusterKit, type TestNode } from "./doubles/cluster-kit.ts";
import { nodeId } from "./doubles/keys.ts";
import { PlannedFailure } from "./doubles/ledger.ts";
import { MachineKit } from "./doubles/machine-kit.ts";
import { testAttestor } from "./doubles/test-attestor.ts";

const five = quorum({ masters: 5, workers: true });

function voting(quorumSize: number, more: Partial<FabricStrategy> = {}): FabricStrategy {
  const base = prescribedHomelab();
  const { electionTimeoutMs, snapshotIntervalEntries } = base.consensus;
  return {
    ...base,
    name: `homelab-${quorumSize}node`,
    consensus: { protocol: "raft", quorumSize, electionTimeoutMs, snapshotIntervalEntries },
    ...more,
  };
}

const toFive = { topology: five, strategy: voting(5) };

function declared({ founder }: ClusterKit) {
  const found = founder.cluster.formation().declared;
  if (found === undefined) throw new Error("nothing is declared");
  return found;
}

function switchTo(
  node: TestNode,
  wanted: { readonly strategy?: FabricStrategy; readonly topology?: TopologyStrategy },
) {
  return node.kit.run(node.cluster.switchTo(wanted, { timeoutMs: 10_000 }));
}

function topologies(nodes: readonly TestNode[]): readonly string[] {
  return nodes.map(({ cluster }) => cluster.declaration.topology.name);
}

/** True for an envelope with a command of the formation that has this verb in it. */
function says(envelope: Uint8Array, verb: string): boolean {
  const { kind, body } = openEnvelope(envelope);
  if (kind !== "decided") return false;
  const { command } = decode(body) as { readonly command: Uint8Array };
  return testAttestor("a")
    .openCommand(command)
    .transitions.some((transition) => transition.verb === verb);
}

/** The founder gets no end of a switch committed. */
function neverConfirms(kit: ClusterKit): void {
  kit.log.onPropose = (command, from) => {
    if (from === nodeId("a") && says(command, "confirm")) throw new PlannedFailure("the end of the switch");
  };
}

const refused = expect.objectContaining({ code: "CLUSTER_SWITCH_REFUSED" });

describe("another declaration", () => {
  test("is taken up by every node without a restart, and is confirmed once five vote where three did", async () => {
    const { kit, nodes } = await formed("b", "c", "d", "e", "f", "g", "h");
    expect(nodes.map(({ cluster }) => cluster.running().consensus.status().role)).toContain("outsider");
    const { generation } = kit.founder.cluster.formation();
    const outcome = await switchTo(kit.founder, toFive);
    expect(outcome).toMatchObject({ transitions: [{ verb: "declare", node: nodeId("a"), withinMs: 60_000 }] });
    expect(kit.founder.cluster.health().switching).toMatchObject({
      from: "raw/homelab-3node/cluster_3m_nw",
      to: "raw/homelab-5node/cluster_5m_nw",
    });
    await kit.clock.runUntil(() => declared(kit).pending === undefined, { withinMs: 60_000 });
    const voters = replicasOf(kit.founder.cluster.formation(), "voter");
    expect(voters).toHaveLength(5);
    expect(kit.log.configuration.voters.map(({ id }) => id).toSorted()).toEqual(voters);
    await kit.clock.runUntil(() => topologies(nodes).every((name) => name === "cluster_5m_nw"), { withinMs: 30_000 });
    for (const { cluster } of nodes) expect(cluster.check()).toBeUndefined();
    expect(kit.founder.cluster.health()).toMatchObject({
      condition: "healthy",
      topology: "cluster_5m_nw",
      unadopted: [],
    });
    expect(kit.founder.cluster.health().switching).toBeUndefined();
    const shifts = kit.founder.cluster.shiftsAbove(generation);
    expect(shifts[0]).toMatchObject({ generation: generation + 1, transition: { verb: "declare" } });
    expect(shifts.find(({ transition }) => transition.verb === "confirm")?.reason).toBe(
      "the shape of raw/homelab-5node/cluster_5m_nw stands",
    );
    const verdict = kit.founder.attestor.verifyChain(kit.founder.cluster.exportChain(), kit.genesis.clusterId);
    expect(verdict).toMatchObject({ ok: true });
  });

  test("of three voters where five vote takes two votes away in one step, and their roles after them", async () => {
    const { kit } = await formed("b", "c", "d", "e");
    await switchTo(kit.founder, toFive);
    await kit.clock.runUntil(() => declared(kit).pending === undefined, { withinMs: 60_000 });
    await kit.clock.advanceAsync(6000);
    const { generation } = kit.founder.cluster.formation();
    await switchTo(kit.founder, { topology: cluster3mnw(), strategy: voting(3) });
    await kit.clock.runUntil(() => declared(kit).pending === undefined, { withinMs: 60_000 });
    const { nodes } = kit.founder.cluster.formation();
    expect(replicasOf(kit.founder.cluster.formation(), "voter")).toHaveLength(3);
    expect(replicasOf(kit.founder.cluster.formation(), "voter")).toContain(kit.log.leader);
    expect([...nodes.values()].filter(({ role }) => role === "master")).toHaveLength(3);
    const shifts = kit.founder.cluster.shiftsAbove(generation);
    const votes = shifts.filter(({ transition: { verb } }) => verb === "seat").slice(0, 2);
    expect(votes.map(({ reason }) => reason)).toEqual(["3 voters are left", "3 voters are left"]);
    expect(shifts.map(({ transition }) => transition.verb)).toContain("confirm");
    await kit.clock.runUntil(() => [...kit.founder.cluster.formation().nodes.values()].every(({ role }) => role), {
      withinMs: 30_000,
    });
    expect(kit.founder.cluster.check()).toBeUndefined();
  });

  test("is what joiners and those who start again go by", async () => {
    const { kit, nodes } = await formed("b", "c", "d", "e");
    const stopped = nodes.find(
      ({ name }) => kit.founder.cluster.formation().nodes.get(nodeId(name))?.role === "worker",
    );
    if (stopped === undefined) throw new Error("nobody works");
    await switchTo(kit.founder, { topology: quorum({ masters: 3 }) });
    await kit.clock.runUntil(() => declared(kit).pending === undefined, { withinMs: 60_000 });
    await kit.run(stopped.cluster.shutdown());
    expect(stopped.cluster.declaration.topology.name).toBe("quorum_3m");
    await kit.run(stopped.cluster.start());
    const joiner = await kit.joined("f");
    await kit.clock.runUntil(() => topologies([stopped, joiner]).every((name) => name === "quorum_3m"), {
      withinMs: 10_000,
    });
    await kit.clock.runUntil(() => kit.founder.cluster.formation().nodes.get(nodeId("f"))?.state === "standby");
    await kit.clock.advanceAsync(10_000);
    expect(kit.founder.cluster.formation().nodes.get(nodeId("f"))?.state).toBe("standby");
  });

  test("that is incoherent is refused as at construction, and nothing is asked of anybody", async () => {
    const { kit } = await formed("b", "c", "d");
    const before = kit.founder.cluster.formation();
    const wrong = [
      [{ strategy: prescribedDatacenter() }, "TOPOLOGY_TOO_SMALL_FOR_QUORUM"],
      [{ strategy: prescribedSolo() }, "CLUSTER_STANDALONE_TOPOLOGY"],
      [{ strategy: voting(4), topology: five }, "STRATEGY_EVEN_QUORUM"],
    ] as const;
    for (const [wanted, code] of wrong)
      await expect(switchTo(kit.founder, wanted)).rejects.toThrow(expect.objectContaining({ code }));
    expect(kit.founder.cluster.formation()).toBe(before);
  });

  test("is refused where fewer nodes are there than it needs, with both numbers", async () => {
    const { kit, nodes } = await formed("b", "c", "d", "e");
    const before = kit.founder.cluster.formation();
    const six = quorum({ masters: 6, workers: true });
    for (const node of nodes.slice(0, 3))
      await expect(switchTo(node, { topology: six })).rejects.toThrow(
        "topology cluster_6m_nw needs 6 nodes, 5 living ones may hold any role: 1 more must join first",
      );
    kit.gossip.say(nodeId("e"), { status: "dead" });
    await expect(switchTo(kit.founder, toFive)).rejects.toThrow(refused);
    expect(before.declared).toEqual(declared(kit));
  });

  test("is refused while another switch is under way, and does nothing where it is in force", async () => {
    const { kit } = await formed("b", "c", "d", "e");
    neverConfirms(kit);
    await switchTo(kit.founder, toFive);
    await expect(switchTo(kit.founder, { topology: quorum({ masters: 5 }) })).rejects.toThrow("one at a time");
    // The same order given again is the one that is under way: its first answer may have been lost.
    const again = await switchTo(kit.founder, toFive);
    expect(again).toMatchObject({ transitions: [{ verb: "declare" }] });
    expect(declared(kit).pending).toBeDefined();
    kit.log.onPropose = () => undefined;
    await kit.clock.runUntil(() => declared(kit).pending === undefined, { withinMs: 60_000 });
    const { generation } = kit.founder.cluster.formation();
    expect(await switchTo(kit.founder, toFive)).toEqual({ transitions: [], generation });
  });

  test("that is only tried commits nothing", async () => {
    const { kit } = await formed("b", "c", "d", "e");
    const before = kit.founder.cluster.formation();
    const tried = await kit.run(kit.founder.cluster.switchTo(toFive, { timeoutMs: 10_000, dryRun: true }));
    expect(tried).toMatchObject({ transitions: [{ verb: "declare" }], generation: before.generation });
    expect(kit.founder.cluster.formation()).toBe(before);
  });

  test("is taken back where its shape does not stand in time, with what it lacked", async () => {
    const { kit, nodes } = await formed("b", "c", "d", "e");
    // One of the five goes before it can vote.
    const worker = nodes.find(
      ({ name }) => kit.founder.cluster.formation().nodes.get(nodeId(name))?.role === "worker",
    ) as TestNode;
    kit.log.onPropose = (command) => {
      if (says(command, "declare")) kit.gossip.say(nodeId(worker.name), { status: "dead", evidence: "closed" });
    };
    await kit.run(kit.founder.cluster.switchTo(toFive, { timeoutMs: 10_000, withinMs: 20_000 }));
    await kit.clock.runUntil(() => declared(kit).pending === undefined, { withinMs: 60_000 });
    expect(declared(kit).declaration).toEqual(kit.declaration.encode());
    expect(kit.founder.cluster.shiftsAbove(0).find(({ transition }) => transition.verb === "revert")?.reason).toMatch(
      /^back to raw\/homelab-3node\/cluster_3m_nw: raw\/homelab-5node\/cluster_5m_nw did not stand within 20000 ms, /,
    );
    expect(replicasOf(kit.founder.cluster.formation(), "voter")).toHaveLength(3);
    expect(kit.founder.cluster.declaration.id()).toBe("raw/homelab-3node/cluster_3m_nw");
  });

  test("is seen through by the next leader, which gives it as long again", async () => {
    const { kit, nodes } = await formed("b", "c", "d", "e");
    const heir = nodes.find(
      ({ name }) => name !== "a" && replicasOf(kit.founder.cluster.formation(), "voter").includes(nodeId(name)),
    ) as TestNode;
    neverConfirms(kit);
    await kit.run(kit.founder.cluster.switchTo(toFive, { timeoutMs: 10_000, withinMs: 20_000 }));
    await kit.clock.advanceAsync(15_000);
    expect(declared(kit).pending).toBeDefined();
    kit.log.elect(nodeId(heir.name));
    await kit.clock.runUntil(() => declared(kit).pending === undefined, { withinMs: 30_000 });
    const end = heir.cluster.shiftsAbove(0).find(({ transition }) => transition.verb === "confirm");
    expect(end?.transition).toEqual({ verb: "confirm", node: nodeId(heir.name) });
    expect(kit.log.leader).toBe(nodeId(heir.name));
    expect(replicasOf(heir.cluster.formation(), "voter")).toHaveLength(5);
  });
});

describe("a topology that not everybody knows", () => {
  const foreign: TopologyStrategy = { ...quorum({ masters: 3, workers: true }), name: "@example/three" };
  const knowing = async (bytes: Uint8Array): Promise<ClusterDeclaration> =>
    ClusterDeclaration.decode(bytes, (name, options) =>
      name === foreign.name ? foreign : topologyByName(name, options),
    );

  async function known(...strangers: readonly string[]): Promise<{ kit: ClusterKit; nodes: readonly TestNode[] }> {
    const { kit, nodes } = await formed("b", "c", "d");
    for (const node of nodes) {
      if (strangers.includes(node.name)) continue;
      node.understands = knowing;
    }
    return { kit, nodes };
  }

  test("is refused by a leader that does not know it", async () => {
    const { kit } = await known("a");
    const asked = kit.founder.cluster.formation().declared;
    await expect(switchTo(kit.founder, { topology: foreign })).rejects.toThrow(
      expect.objectContaining({ code: "TOPOLOGY_UNKNOWN" }),
    );
    expect(declared(kit)).toBe(asked);
  });

  test("is not led by a node that does not know it: it says so, hands over, and follows once it may", async () => {
    const { kit, nodes } = await formed("b", "c", "d");
    const voters = replicasOf(kit.founder.cluster.formation(), "voter");
    const stranger = nodes.find(({ name }) => name !== "a" && voters.includes(nodeId(name))) as TestNode;
    for (const node of nodes) if (node !== stranger) node.understands = knowing;
    await switchTo(kit.founder, { topology: foreign });
    await kit.clock.runUntil(() => declared(kit).pending === undefined, { withinMs: 60_000 });
    expect(kit.founder.cluster.declaration.topology.name).toBe("@example/three");
    expect(stranger.cluster.declaration.topology.name).toBe("cluster_3m_nw");
    expect(stranger.cluster.check()).toMatchObject({ name: "declaration-followed" });

    kit.log.elect(nodeId(stranger.name));
    await kit.clock.runUntil(() => kit.log.leader !== nodeId(stranger.name), { withinMs: 30_000 });
    stranger.understands = knowing;
    await kit.run(stranger.cluster.running().inForce.again());
    expect(stranger.cluster.declaration.topology.name).toBe("@example/three");
    expect(stranger.cluster.check()).toBeUndefined();
  });
});

test("a declaration that is understood only after a node has stopped is not taken up any more", async () => {
  const { kit, nodes } = await formed("b", "c", "d");
  const slow = nodes.at(-1) as TestNode;
  const understood = Promise.withResolvers<ClusterDeclaration>();
  slow.understands = () => understood.promise;
  const adopted: string[] = [];
  slow.layers = Object.assign(slow.layers, { onDeclared: (next: ClusterDeclaration) => adopted.push(next.id()) });
  await switchTo(kit.founder, { strategy: voting(3, { name: "other" }) });
  const { generation } = kit.founder.cluster.formation();
  await kit.clock.runUntil(() => slow.cluster.formation().generation >= generation, { withinMs: 30_000 });
  await kit.run(slow.cluster.shutdown());
  understood.resolve(ClusterDeclaration.decode(declared(kit).declaration, topologyByName));
  await kit.clock.advanceAsync(1000);
  expect(adopted).toEqual([]);
});

describe("the strategy in force", () => {
  test("names what a running node takes up with its next start", async () => {
    const { kit } = await formed("b", "c", "d");
    const { consensus, membership } = prescribedHomelab();
    const strategy = voting(3, {
      consensus: { ...consensus, electionTimeoutMs: 500 },
      membership: { ...membership, suspicionMs: 4000 },
      attestation: { sealIntervalMs: 250, requireOperatorSignature: false },
    });
    await switchTo(kit.founder, { strategy });
    await kit.clock.runUntil(() => declared(kit).pending === undefined, { withinMs: 60_000 });
    const unadopted = ["consensus.electionTimeoutMs", "membership.suspicionMs"];
    expect(kit.founder.cluster.health().unadopted).toEqual(unadopted);
    await kit.run(kit.founder.cluster.shutdown());
    await kit.run(kit.founder.cluster.start());
    expect(kit.founder.cluster.health().unadopted).toEqual([]);
  });
});

describe("a switch that is applied", () => {
  function kitOf(declaration: ClusterDeclaration): MachineKit {
    const genesis = testAttestor("a").createGenesis({
      nonce: new Uint8Array(32),
      createdMs: 1,
      declaration: declaration.encode(),
      storeId: "5".repeat(32) as never,
      zone: "zone",
      version: "1",
      operators: [],
    });
    const kit = new MachineKit(undefined, genesis);
    expect(kit.send("genesis", genesis.bytes)).toMatchObject({ ok: true });
    return kit;
  }
  const three = ClusterDeclaration.create(prescribedHomelab(), rawFace, cluster3mnw());
  const declare = (declaration: Uint8Array) =>
    [{ verb: "declare", node: nodeId("a"), declaration, withinMs: 1000 }] as const;

  test("is refused alike by every replica where no cluster may be so, and the state stays the same", async () => {
    const kit = kitOf(three);
    const before = await kit.machine.stateHash();
    const signing = prescribedHomelab();
    const wrong: readonly (readonly [Uint8Array, string])[] = [
      [encode({ version: 9 }), "FABRIC_INVALID_VALUE"],
      [Uint8Array.of(1), "FABRIC_INVALID_VALUE"],
      [
        ClusterDeclaration.create(prescribedHomelab(), prescribedKubernetes("1.34"), cluster3mnw()).encode(),
        "CLUSTER_SWITCH_REFUSED",
      ],
      [
        ClusterDeclaration.create(
          { ...signing, attestation: { ...signing.attestation, requireOperatorSignature: true } },
          rawFace,
          cluster3mnw(),
        ).encode(),
        "CLUSTER_SWITCH_REFUSED",
      ],
    ];
    for (const [bytes, code] of wrong) expect(kit.shift(declare(bytes))).toMatchObject({ ok: false, code });
    expect((await kit.machine.stateHash()).hash).toBe(before.hash);
  });

  test("is there again after a restart and in a snapshot", () => {
    const kit = kitOf(ClusterDeclaration.create(prescribedSolo(), rawFace, solo()));
    expect(kit.reopened().state).toEqual(kit.state);
    const next = three.encode();
    expect(kit.shift(declare(next))).toMatchObject({ ok: true });
    expect(kit.state.formation.declared?.pending).toBeDefined();
    expect(kit.reopened().state).toEqual(kit.state);
    expect(kit.shift([{ verb: "confirm", node: nodeId("a") }])).toMatchObject({ ok: true });
    expect(kit.state.formation.declared).toEqual({ declaration: next });
    expect(kit.reopened().state).toEqual(kit.state);
  });

  test("throws away what it remembers of a step that was not taken", () => {
    const kit = kitOf(three);
    const { generation } = kit.state.formation;
    const entry = kit.entry(
      "formation",
      kit.command(declare(ClusterDeclaration.create(voting(5), rawFace, five).encode())),
    );
    expect(() => kit.machine.apply([entry, { ...entry, index: (entry.index + 5) as typeof entry.index }])).toThrow();
    expect(kit.machine.formation.shiftsAbove(generation)).toEqual([]);
    kit.apply(entry);
    expect(kit.machine.formation.shiftsAbove(generation)).toHaveLength(1);
    expect(kit.machine.formation.shiftsAbove(generation + 1)).toEqual([]);
  });
});
