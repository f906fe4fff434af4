import { replicasOf, type Protocol } from "@revoada/fabric";
import { memoryAddress } from "@revoada/fabric/memory";
import { decode, encode } from "cborg";
import { describe, expect, test } from "vitest";
import { formed, TestNode, type ClusterKit } from "./doubles/cluster-kit.ts";
import { nodeId } from "./doubles/keys.ts";

const proof: Protocol = { name: "/revoada/proof/1", channel: "join" };

/** A worker without a copy of the log, that was stopped, and then everybody whom it knew was replaced by strangers. */
async function leftBehind(): Promise<{ readonly kit: ClusterKit; readonly away: TestNode; readonly leader: TestNode }> {
  const { kit, nodes } = await formed("b", "c", "d", "e", "f");
  const record = (node: TestNode) => kit.founder.cluster.formation().nodes.get(nodeId(node.name));
  const away = nodes.find((node) => record(node)?.replica === "none") as TestNode;
  const known = nodes.filter((node) => node !== away);
  await kit.run(away.cluster.shutdown());
  kit.gossip.say(nodeId(away.name), { status: "dead", evidence: "silent" });
  const strangers: TestNode[] = [];
  for (const name of ["u", "v", "w", "x", "y"]) strangers.push(await kit.joined(name));
  let leader = kit.founder;
  for (const node of known.filter((each) => each !== kit.founder))
    await kit.run(leader.cluster.remove(nodeId(node.name), { timeoutMs: 60_000 }), 120_000);
  leader = strangers.find(({ name }) =>
    replicasOf(kit.founder.cluster.formation(), "voter").includes(nodeId(name)),
  ) as TestNode;
  kit.log.elect(nodeId(leader.name));
  await kit.run(leader.cluster.remove(nodeId("a"), { timeoutMs: 60_000 }), 120_000);
  for (const node of known) await kit.run(node.cluster.shutdown());
  return { kit, away, leader };
}

describe("an admission proof", () => {
  test("lets a node in again that knows nobody but nodes that are gone", async () => {
    const { kit, away, leader } = await leftBehind();
    await kit.run(away.cluster.start());
    kit.gossip.say(nodeId(away.name), { status: "dead", evidence: "silent" });
    const { directory } = away.cluster.running();
    expect(directory.isKnown(nodeId(leader.name))).toBe(false);
    await kit.clock.runUntil(() => directory.isKnown(nodeId(leader.name)), { withinMs: 30_000 });
    for (const id of leader.cluster.formation().nodes.keys()) expect(directory.isKnown(id)).toBe(true);
    expect(directory.isKnown(nodeId("a"))).toBe(false);
  });

  test("is not believed of a node that was removed, of another cluster, or with anything changed", async () => {
    const { kit, away, leader } = await leftBehind();
    await kit.run(away.cluster.start());
    const { directory } = away.cluster.running();
    const before = directory.formation();
    const chain = leader.cluster.running().directory.prove(await kit.run(directory.proven()));
    const records = decode(chain) as [number, Uint8Array][];
    const stranger = await new TestNode(kit, "stranger").stranger();
    stranger.setAddresses(nodeId(away.name), [memoryAddress(nodeId(away.name))]);
    const speak = async (...words: readonly Uint8Array[]): Promise<void> => {
      const stream = await stranger.open(nodeId(away.name), proof);
      for (const word of words) await stream.send(word).catch(() => undefined);
      for await (const _answer of stream.receive()) continue;
    };
    const hello = encode({ version: 1, clusterId: kit.genesis.clusterId });
    const tampered = records.map(([kind, bytes], at) => [
      kind,
      at === 3 ? bytes.map((byte, place) => (place === 40 ? byte ^ 1 : byte)) : bytes,
    ]);
    for (const words of [
      [encode({ version: 1, clusterId: "f".repeat(64) }), chain],
      [encode({ version: 2, clusterId: kit.genesis.clusterId }), chain],
      [hello, encode(tampered)],
      [hello, encode(records.filter(([kind]) => kind === 0))],
      [hello, encode(records.slice(2))],
      [new Uint8Array(5000)],
    ])
      await kit.run(speak(...words)).catch(() => undefined);
    expect(directory.formation()).toBe(before);
    // Whoever shows it, what holds is taken: and the one who showed it is nobody all the same.
    await kit.run(speak(hello, chain, Uint8Array.of(0x80))).catch(() => undefined);
    expect(directory.isKnown(nodeId(leader.name))).toBe(true);
    expect(directory.isKnown(nodeId("stranger"))).toBe(false);
    await stranger.shutdown();
  });

  test("is shown to a replica that has not applied what let the leader in", async () => {
    const { kit, nodes } = await formed("b", "c");
    const lagging = nodes.find((node) => node !== kit.founder) as TestNode;
    await kit.run(lagging.cluster.shutdown());
    const newcomer = await kit.joined("n");
    kit.log.appliesLate = true;
    await kit.run(lagging.cluster.start());
    kit.gossip.say(nodeId(lagging.name), { status: "suspect" });
    const { directory } = lagging.cluster.running();
    expect(directory.isKnown(nodeId("n"))).toBe(false);
    const shown = newcomer.cluster.running().proofs.show(nodeId(lagging.name));
    expect(await kit.run(shown)).toBeGreaterThan(0);
    expect(directory.isKnown(nodeId("n"))).toBe(true);
    expect(await kit.run(newcomer.cluster.running().proofs.show(nodeId(lagging.name)))).toBe(0);
  });
});
