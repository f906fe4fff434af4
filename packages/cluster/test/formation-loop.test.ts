import { replicasOf, silentLogger, type Formation, type Logger, type NodeId, type Transition } from "@revoada/fabric";
import type { Policy } from "@revoada/topology";
import { describe, expect, test } from "vitest";
import { ClusterKit, type TestNode } from "./doubles/cluster-kit.ts";
import { nodeId, storeId } from "./doubles/keys.ts";
import { PlannedFailure } from "./doubles/ledger.ts";

const ids = (...names: readonly string[]): readonly NodeId[] => names.map(nodeId).toSorted();

function configured(kit: ClusterKit): readonly NodeId[] {
  return kit.log.configuration.voters.map(({ id }) => id).toSorted();
}

function formation({ founder }: ClusterKit): Formation {
  return founder.cluster.formation();
}

function state(node: TestNode) {
  const found = node.cluster.running().machine.formation.state;
  if (found === undefined) throw new Error("there is no genesis yet");
  return found;
}

/** True where formation, log and seals say the same and nothing is under way. */
function isSettled(kit: ClusterKit): boolean {
  const { formation: wanted, sealing } = state(kit.founder);
  const { outgoing } = kit.log.configuration;
  return (
    outgoing === undefined &&
    sealing.pending === undefined &&
    configured(kit).join() === replicasOf(wanted, "voter").join()
  );
}

/** A founder and these nodes, formed: three masters that vote, the others at work. */
async function formed(
  ...names: readonly string[]
): Promise<{ readonly kit: ClusterKit; readonly nodes: readonly TestNode[] }> {
  const kit = await ClusterKit.founded();
  const nodes = [kit.founder];
  for (const name of names) nodes.push(await kit.joined(name));
  await kit.clock.runUntil(() => replicasOf(formation(kit), "voter").length === 3 && isSettled(kit), {
    withinMs: 30_000,
  });
  return { kit, nodes };
}

function commit(node: TestNode, transitions: readonly Transition[]): Promise<number> {
  return node.kit.run(node.cluster.running().loop.commit(transitions, "a test says so"));
}

function byName(nodes: readonly TestNode[], id: NodeId | undefined): TestNode {
  const found = nodes.find((node) => nodeId(node.name) === id);
  if (found === undefined) throw new Error(`no node ${id}`);
  return found;
}

function expectChainVerifies(kit: ClusterKit, node: TestNode): void {
  const verdict = node.attestor.verifyChain(node.cluster.exportChain(), kit.genesis.clusterId);
  expect(verdict).toMatchObject({ ok: true, head: state(node).head });
}

describe("the loop of the leader", () => {
  test("forms the first shape of three, in one joint change that the founder sealed", async () => {
    const { kit, nodes } = await formed("b", "c");
    const { nodes: records } = formation(kit);
    expect([...records.values()].map(({ role, replica }) => [role, replica])).toEqual(
      Array.from({ length: 3 }, () => ["master", "voter"]),
    );
    expect(configured(kit)).toEqual(ids("a", "b", "c"));
    const decisions = nodes.map(({ store }) => [...store.range("formation/decisions")].length);
    expect(new Set(decisions).size).toBe(1);
    expect(decisions[0]).toBeGreaterThan(1);
    const moves = kit.log.changes.filter(({ voters }) => voters.length === 3);
    expect(moves).toHaveLength(1);
    expect(kit.log.configuration.generation).toBe(moves[0]?.generation);
    for (const node of nodes) {
      expect(state(node).formation).toEqual(state(kit.founder).formation);
      expect(node.cluster.check()).toBeUndefined();
      expectChainVerifies(kit, node);
    }
    expect(kit.founder.cluster.health()).toMatchObject({ condition: "healthy", mode: "read-write" });
  });

  test("never lets the log's voters move before the seal of those before them", async () => {
    const kit = await ClusterKit.founded();
    for (const name of ["b", "c"]) await kit.joined(name);
    let seenUnsealed = 0;
    kit.log.onJoint = () => {
      if (state(kit.founder).sealing.pending !== undefined) seenUnsealed += 1;
    };
    await kit.clock.runUntil(() => configured(kit).length === 3 && isSettled(kit));
    expect(seenUnsealed).toBe(0);
  });

  test("replaces a voter that died by a warm standby, and forgets nobody's seat", async () => {
    const { kit } = await formed("b", "c", "d", "e");
    const victim = configured(kit).find((id) => id !== nodeId("a"));
    if (victim === undefined) throw new Error("only the founder votes");
    await kit.clock.advanceAsync(6000);
    kit.gossip.say(victim, { status: "dead", evidence: "closed" });
    await kit.clock.runUntil(() => !configured(kit).includes(victim) && isSettled(kit), { withinMs: 30_000 });
    expect(formation(kit).nodes.get(victim)).toMatchObject({ state: "failed", replica: "none" });
    expect(configured(kit)).toHaveLength(3);
    expectChainVerifies(kit, kit.founder);
  });

  test("goes on at a new leader where the old one died between a command and its seal", async () => {
    const { kit, nodes } = await formed("b", "c", "d", "e");
    await kit.clock.advanceAsync(6000);
    const [victim, heir] = configured(kit).filter((id) => id !== nodeId("a"));
    // The old leader commits the change and gets no further.
    const sealKind = 3;
    kit.log.onPropose = (command, from) => {
      if (command[1] === sealKind && from === nodeId("a")) throw new PlannedFailure("the seal");
    };
    const standby = [...formation(kit).nodes].find(([, record]) => record.replica === "learner")?.[0];
    if (victim === undefined || standby === undefined) throw new Error("nobody to swap");
    await commit(kit.founder, [
      { verb: "evict", node: victim },
      { verb: "reassign", node: standby, role: "master", replica: "voter" },
      { verb: "seat", node: victim, replica: "none" },
    ]);
    expect(state(kit.founder).sealing.pending).toBeDefined();
    kit.gossip.say(victim, { status: "dead", evidence: "closed" });
    const changes = kit.log.changes.length;
    kit.log.elect(heir);
    await kit.clock.runUntil(() => isSettled(kit), { withinMs: 30_000 });
    expect(configured(kit)).toEqual(
      ids(...nodes.map(({ name }) => name)).filter((id) => replicasOf(formation(kit), "voter").includes(id)),
    );
    expect(configured(kit)).toContain(standby);
    expect(kit.log.changes.length).toBeGreaterThan(changes);
    expectChainVerifies(kit, byName(nodes, heir));
  });

  test("goes on at a new leader where the old one died in the middle of the joint change", async () => {
    const kit = await ClusterKit.founded();
    kit.log.onJoint = () => {
      if (kit.log.configuration.voters.length === 3) throw new PlannedFailure("the joint change");
    };
    const nodes = [kit.founder, await kit.joined("b"), await kit.joined("c")];
    await kit.clock.runUntil(
      () => kit.log.configuration.outgoing !== undefined && kit.log.configuration.voters.length === 3,
    );
    kit.log.onJoint = () => undefined;
    kit.log.elect(nodeId("b"));
    await kit.clock.runUntil(() => isSettled(kit));
    expect(configured(kit)).toEqual(ids("a", "b", "c"));
    expectChainVerifies(kit, byName(nodes, nodeId("b")));
  });

  test("keeps trying while voters do not sign, and changes no voters meanwhile", async () => {
    const { kit, nodes } = await formed("b", "c", "d", "e");
    await kit.clock.advanceAsync(6000);
    const others = configured(kit).filter((id) => id !== nodeId("a"));
    for (const id of others)
      for (const one of nodes) if (nodeId(one.name) !== id) kit.network.partition([id], [nodeId(one.name)]);
    const before = configured(kit);
    const victim = others[0] as NodeId;
    kit.gossip.say(victim, { status: "dead", evidence: "closed" });
    await kit.clock.advanceAsync(20_000);
    expect(configured(kit)).toEqual(before);
    kit.network.heal();
    await kit.clock.runUntil(() => !configured(kit).includes(victim) && isSettled(kit), { withinMs: 60_000 });
  });

  test("seals a change of voters at once, also where a seal of a lower head is under way, and moves voters only then", async () => {
    const { kit } = await formed("b", "c", "d", "e");
    await kit.clock.runUntil(() => state(kit.founder).sealed.height === state(kit.founder).head.height);
    const from = configured(kit).find((id) => id !== nodeId("a"));
    const to = [...formation(kit).nodes].find(([, record]) => record.replica === "learner")?.[0];
    if (from === undefined || to === undefined) throw new Error("nobody to swap");
    const unsealed: unknown[] = [];
    kit.log.onJoint = () => {
      const { pending } = state(kit.founder).sealing;
      if (pending !== undefined) unsealed.push(pending);
    };
    const { loop, sealer } = kit.founder.cluster.running();
    const { signal } = new AbortController();
    await commit(kit.founder, [{ verb: "cordon", node: from }]);
    const lower = sealer.seal({ signal });
    await commit(kit.founder, [
      { verb: "reassign", node: to, role: "master", replica: "voter" },
      { verb: "seat", node: from, replica: "none" },
    ]);
    loop.kick();
    const tookMs = await kit.clock.runUntil(() => configured(kit).includes(to) && isSettled(kit));
    await lower;
    expect(unsealed).toEqual([]);
    // Far below the interval at which heads are sealed anyway.
    expect(tookMs).toBeLessThan(200);
  });

  test("hands over to a voter that is heard, not to one that was as far and is silent since", async () => {
    const { kit } = await formed("b", "c");
    // In the order in which the log tells how far they are.
    const [silent, heard] = [...kit.log.replicas.keys()].filter((id) => id !== nodeId("a"));
    kit.log.silentMs.set(silent as NodeId, 900);
    await commit(kit.founder, [{ verb: "quarantine", node: nodeId("a") }]);
    await kit.clock.runUntil(() => kit.log.leader !== nodeId("a"));
    expect(kit.log.leader).toBe(heard);
  });

  test("waits for nothing until the wall clock comes up to that of a leader before it, which was an hour ahead", async () => {
    const { kit } = await formed("b", "c");
    kit.clock.jumpWall(3_600_000);
    await commit(kit.founder, [{ verb: "cordon", node: nodeId("b") }]);
    kit.clock.jumpWall(-3_600_000);
    const { timeMs } = state(kit.founder);
    await kit.clock.advanceAsync(1000);
    await commit(kit.founder, [{ verb: "demote", node: nodeId("b") }]);
    expect(state(kit.founder).timeMs).toBeGreaterThan(timeMs);
    expect(state(kit.founder).timeMs).toBeLessThanOrEqual(timeMs + 1000);
    // Nobody can take its vote: it is relieved of its role after 30 s.
    const { generation } = formation(kit);
    const relieved = (): boolean =>
      kit.founder.cluster.shiftsAbove(generation).some(({ transition }) => transition.verb === "evict");
    await kit.clock.runUntil(relieved, { withinMs: 40_000 });
    expectChainVerifies(kit, kit.founder);
  });

  test("says once that a policy is broken, as nothing is decided meanwhile", async () => {
    const kit = new ClusterKit();
    const said: string[] = [];
    const logger: Logger = {
      ...silentLogger,
      error: (text, facts) => said.push(`${text}: ${String(facts?.["error"])}`),
    };
    const policy: Policy = {
      name: "broken",
      decide: ({ draft, observation: { leader } }) =>
        void draft.decide({ kind: "x", transitions: [{ verb: "settle", node: leader }], reason: "", inputs: {} }),
    };
    kit.founder.layers = Object.assign(kit.founder.layers, { logger, policies: [policy] });
    await kit.run(kit.founder.cluster.start());
    await kit.clock.advanceAsync(10_000);
    expect(said).toEqual([expect.stringMatching(/cut short: BrokenPolicyError: policy broken asked for/)]);
  });

  test("does nothing on a follower", async () => {
    const { kit, nodes } = await formed("b", "c", "d");
    const proposers = new Set<NodeId>();
    kit.log.onPropose = (_command, from) => void proposers.add(from);
    await kit.clock.advanceAsync(6000);
    kit.gossip.say(nodeId("d"), { status: "dead", evidence: "closed" });
    for (const node of nodes) node.cluster.running().loop.kick();
    await kit.clock.runUntil(() => formation(kit).nodes.get(nodeId("d"))?.state === "failed");
    expect([...proposers]).toEqual([nodeId("a")]);
  });

  test("answers its own eviction: a node that lives says so, and is taken back", async () => {
    const { kit } = await formed("b", "c", "d");
    await commit(kit.founder, [{ verb: "evict", node: nodeId("d") }]);
    await kit.clock.runUntil(() => formation(kit).nodes.get(nodeId("d"))?.state !== "failed", { withinMs: 20_000 });
    expect(formation(kit).nodes.get(nodeId("d"))).toMatchObject({ incarnation: 1, storeId: storeId("d") });
  });
});

describe("a seal", () => {
  test("is made at the interval, and none while the head is sealed", async () => {
    const { kit } = await formed("b", "c");
    await kit.clock.runUntil(() => state(kit.founder).sealed.height === state(kit.founder).head.height);
    const { length } = kit.log.entries;
    await kit.clock.advanceAsync(10_000);
    expect(kit.log.entries).toHaveLength(length);
    await commit(kit.founder, [{ verb: "cordon", node: nodeId("b") }]);
    await kit.clock.runUntil(() => state(kit.founder).sealed.height === state(kit.founder).head.height);
    expectChainVerifies(kit, kit.founder);
  });

  test("asked for by two at once is one, and neither fails", async () => {
    const { kit } = await formed("b", "c");
    await kit.clock.runUntil(() => state(kit.founder).sealed.height === state(kit.founder).head.height);
    await commit(kit.founder, [{ verb: "cordon", node: nodeId("b") }]);
    const before = kit.log.entries.length;
    const { sealer } = kit.founder.cluster.running();
    const { signal } = new AbortController();
    await kit.run(Promise.all([sealer.seal({ signal }), sealer.seal({ signal })]));
    expect(kit.log.entries).toHaveLength(before + 1);
    await kit.run(sealer.seal({ signal }));
    expect(kit.log.entries).toHaveLength(before + 1);
  });

  test("that the leader before got through is no failure of the one that was gathered since", async () => {
    const { kit } = await formed("b", "c");
    await kit.clock.runUntil(() => state(kit.founder).sealed.height === state(kit.founder).head.height);
    await commit(kit.founder, [{ verb: "cordon", node: nodeId("b") }]);
    kit.log.onPropose = (command) => {
      kit.log.onPropose = () => undefined;
      kit.log.append({ kind: "command", command });
    };
    const before = kit.log.entries.length;
    const { signal } = new AbortController();
    await kit.run(kit.founder.cluster.running().sealer.seal({ signal }));
    expect(kit.log.entries).toHaveLength(before + 2);
    expect(state(kit.founder).sealed).toEqual(state(kit.founder).head);
  });

  test("with too few signatures says how many there were", async () => {
    const { kit } = await formed("b", "c");
    await kit.clock.runUntil(() => state(kit.founder).sealed.height === state(kit.founder).head.height);
    kit.network.partition(ids("a"), ids("b", "c"));
    await commit(kit.founder, [{ verb: "cordon", node: nodeId("b") }]);
    const { signal } = new AbortController();
    const short = expect.objectContaining({
      code: "CHAIN_SEAL_INCOMPLETE",
      retryable: true,
      message: expect.stringContaining("1 of 2 signatures"),
    });
    await expect(kit.run(kit.founder.cluster.running().sealer.seal({ signal }))).rejects.toThrow(short);
  });
});

describe("leave", () => {
  test("of a voter gives its seat to a standby first, then the node is forgotten", async () => {
    const { kit, nodes } = await formed("b", "c", "d", "e");
    await kit.clock.advanceAsync(6000);
    const leaving = byName(
      nodes,
      configured(kit).find((id) => id !== nodeId("a")),
    );
    const id = nodeId(leaving.name);
    await kit.run(leaving.cluster.leave({ timeoutMs: 30_000 }));
    await kit.clock.runUntil(() => !formation(kit).nodes.has(id));
    expect(configured(kit)).not.toContain(id);
    expect(configured(kit)).toHaveLength(3);
    expect(leaving.ledger.events).toContain("membership left");
    await kit.run(leaving.cluster.shutdown());
    expect(leaving.ledger.held()).toEqual([]);
    expectChainVerifies(kit, kit.founder);
  });

  test("of the leader hands leadership over first", async () => {
    const { kit, nodes } = await formed("b", "c", "d", "e");
    await kit.clock.advanceAsync(6000);
    await kit.run(kit.founder.cluster.leave({ timeoutMs: 30_000 }));
    expect(kit.log.leader).not.toBe(nodeId("a"));
    const heir = byName(nodes, kit.log.leader);
    await kit.clock.runUntil(() => !state(heir).formation.nodes.has(nodeId("a")));
    expect(configured(kit)).toHaveLength(3);
  });

  test("of a node that holds no replica goes through gossip's hint of the leader", async () => {
    const { kit, nodes } = await formed("b", "c", "d", "e", "f");
    await kit.clock.advanceAsync(6000);
    const leaving = byName(nodes, [...formation(kit).nodes].find(([, record]) => record.replica === "none")?.[0]);
    await kit.run(leaving.cluster.leave({ timeoutMs: 30_000 }));
    await kit.clock.runUntil(() => !formation(kit).nodes.has(nodeId(leaving.name)));
  });

  test("of two at once is refused to the second where there is one standby", async () => {
    const { kit, nodes } = await formed("b", "c", "d");
    await kit.clock.advanceAsync(6000);
    const [first, second] = configured(kit).filter((id) => id !== nodeId("a"));
    // Both were judged before either was committed.
    kit.log.onPropose = () => {
      kit.log.onPropose = () => undefined;
      void commit(kit.founder, [{ verb: "depart", node: second as NodeId }]);
    };
    const refused = expect.objectContaining({ code: "CLUSTER_LEAVE_REFUSED" });
    await expect(kit.run(byName(nodes, first).cluster.leave({ timeoutMs: 5000 }))).rejects.toThrow(refused);
    expect(formation(kit).nodes.get(first as NodeId)?.state).toBe("active");
  });

  test("is refused where the only standby is cordoned, which is given no seat", async () => {
    const { kit, nodes } = await formed("b", "c", "d");
    await kit.clock.advanceAsync(6000);
    const [leaving] = configured(kit).filter((id) => id !== nodeId("a"));
    const [standby] = [...formation(kit).nodes].find(([, { replica }]) => replica !== "voter") ?? [];
    await kit.run(commit(kit.founder, [{ verb: "cordon", node: standby as NodeId }]));
    const refused = expect.objectContaining({ code: "CLUSTER_LEAVE_REFUSED" });
    await expect(kit.run(byName(nodes, leaving).cluster.leave({ timeoutMs: 5000 }))).rejects.toThrow(refused);
    expect(formation(kit).nodes.get(leaving as NodeId)?.state).toBe("active");
  });

  test("is refused where nobody could take the seat", async () => {
    const { kit, nodes } = await formed("b", "c");
    const refused = expect.objectContaining({ code: "CLUSTER_LEAVE_REFUSED" });
    for (const node of nodes) await expect(kit.run(node.cluster.leave({ timeoutMs: 5000 }))).rejects.toThrow(refused);
    expect(formation(kit).nodes.size).toBe(3);
  });

  test("ends at its deadline where the others do not get that far", async () => {
    const { kit, nodes } = await formed("b", "c", "d");
    const leaving = byName(nodes, nodeId("d"));
    kit.network.partition(ids("d"), ids("a", "b", "c"));
    const late = expect.objectContaining({ code: "CLUSTER_LEAVE_TIMEOUT", retryable: true });
    await expect(kit.run(leaving.cluster.leave({ timeoutMs: 1000 }), 2000)).rejects.toThrow(late);
  });
});

describe("a node outside of the log", () => {
  test("follows the sealed chain that others show to it, and nothing that is not sealed", async () => {
    const { kit, nodes } = await formed("b", "c", "d", "e", "f");
    await kit.clock.advanceAsync(6000);
    const outside = byName(nodes, [...formation(kit).nodes].find(([, record]) => record.replica === "none")?.[0]);
    expect(outside.cluster.running().holdsReplica()).toBe(false);
    await commit(kit.founder, [{ verb: "cordon", node: nodeId("b") }]);
    const cordoned = (): boolean => outside.cluster.formation().nodes.get(nodeId("b"))?.flags.length === 1;
    expect(cordoned()).toBe(false);
    await kit.clock.runUntil(cordoned);
    await kit.clock.advanceAsync(3000);
    const verdict = outside.attestor.verifyChain(outside.cluster.exportChain(), kit.genesis.clusterId);
    expect(verdict).toMatchObject({ ok: true, sealed: state(kit.founder).sealed });
  });

  test("is not confused by two answers to one question, nor by a hostile one", async () => {
    const { kit, nodes } = await formed("b", "c", "d", "e", "f");
    await kit.clock.advanceAsync(6000);
    const outside = byName(nodes, [...formation(kit).nodes].find(([, record]) => record.replica === "none")?.[0]);
    await commit(kit.founder, [{ verb: "cordon", node: nodeId("b") }]);
    const { directory, transport } = outside.cluster.running();
    await kit.clock.runUntil(() => state(kit.founder).sealed.height === state(kit.founder).head.height);
    const { request } = transport;
    const known = directory.formation();
    for (const answer of [
      [0xff],
      [0x80],
      [0x81, 0x82, 0x01, 0x41, 0x00],
      [0x81, 0x82, 0x00, 0x41, 0x00],
      [0x81, 0x07],
    ]) {
      transport.request = async () => Uint8Array.from(answer);
      await directory
        .refresh()
        .catch((error: unknown) =>
          expect(error).toMatchObject({ code: expect.stringMatching(/^(CHAIN|FABRIC)_INVALID/) }),
        );
      expect(directory.formation()).toBe(known);
    }
    transport.request = request;
    await kit.run(Promise.all([directory.refresh(), directory.refresh(), directory.refresh()]));
    expect(directory.formation().nodes.get(nodeId("b"))?.flags).toEqual(["cordoned"]);
  });

  test("that had applied the chain before reads its own store and is not told again", async () => {
    const { kit, nodes } = await formed("b", "c", "d", "e", "f");
    await kit.clock.advanceAsync(6000);
    const learner = byName(nodes, [...formation(kit).nodes].find(([, record]) => record.replica === "learner")?.[0]);
    const asked: number[] = [];
    const { transport } = learner.cluster.running();
    const { request } = transport;
    transport.request = async (peer, protocol, payload, options) => {
      if (protocol.name === "/revoada/chain/1") asked.push(payload.length);
      return request.call(transport, peer, protocol, payload, options);
    };
    kit.log.replicas.delete(nodeId(learner.name));
    kit.log.elect(undefined);
    const height = state(learner).sealed.height;
    expect(height).toBeGreaterThan(5);
    const { directory } = learner.cluster.running();
    await kit.run(directory.refresh());
    expect(asked).toEqual([]);
    await kit.run(directory.refresh());
    expect(asked).toHaveLength(1);
    expect(directory.parts().blocks).toHaveLength(height);
  });
});
