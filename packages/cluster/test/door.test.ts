import { joinCluster, sealEnvelope, type ConsensusParts } from "@revoada/cluster";
import type { JoinToken, NodeId, Protocol } from "@revoada/fabric";
import { memoryAddress } from "@revoada/fabric/memory";
import { decode, encode } from "cborg";
import { describe, expect, test } from "vitest";
import { decodeAnswer } from "../src/chain/directory.ts";
import { ClusterKit, TestNode } from "./doubles/cluster-kit.ts";
import { digest, nodeId, storeId } from "./doubles/keys.ts";

const join: Protocol = { name: "/revoada/join/1", channel: "join" };
const final = expect.objectContaining({ code: "JOIN_REFUSED", retryable: false });
const passing = expect.objectContaining({ code: "JOIN_REFUSED", retryable: true });
const nobodyYet = new Uint8Array(32);

function ask(kit: ClusterKit, name: string, token: JoinToken): ReturnType<TestNode["ask"]> {
  return kit.run(new TestNode(kit, name).ask(token));
}

interface Words {
  /** Whose proof it is; the asker's unless told. */
  readonly proofOf?: string;
  readonly claims?: NodeId;
  /** The connection that the proof is for; the one that is spoken over unless told. */
  readonly binding?: Uint8Array;
  readonly change?: (request: Record<string, unknown>) => Record<string, unknown>;
  readonly raw?: Uint8Array;
}

/** Speaks the door's protocol by hand and gives back the exact bytes of the answer. */
async function answerTo(kit: ClusterKit, name: string, token: JoinToken, words: Words = {}): Promise<Uint8Array> {
  const node = new TestNode(kit, name);
  const transport = await node.stranger();
  const speak = async (): Promise<Uint8Array> => {
    const stream = await transport.open(token.voters[0] ?? nodeId("a"), join);
    const claimed = words.claims ?? nodeId(name);
    const proof = node.attestor.proveToken(
      token,
      words.binding ?? stream.channelBinding,
      words.proofOf === undefined ? claimed : nodeId(words.proofOf),
    );
    const facts = {
      storeId: storeId(name),
      generation: 1,
      zone: "z",
      version: "1",
      addresses: [memoryAddress(nodeId(name))],
    };
    const request = { clusterId: token.clusterId, node: claimed, tokenId: token.tokenId, proof, ...facts };
    await stream.send(words.raw ?? encode({ version: 1, request: words.change?.(request) ?? request }));
    for await (const message of stream.receive()) return message;
    throw new Error("nothing was said");
  };
  try {
    return await kit.run(speak());
  } finally {
    await transport.shutdown();
  }
}

describe("a newcomer with a token", () => {
  test("is let in: committed, sealed, and shown a chain that admits it", async () => {
    const kit = await ClusterKit.founded();
    const joined = await ask(kit, "b", await kit.token());
    expect(joined.genesis).toEqual(kit.genesis);
    expect(joined.peers).toEqual([{ id: nodeId("a"), addresses: [memoryAddress(nodeId("a"))] }]);
    const { cluster } = kit.founder;
    expect(cluster.formation().nodes.get(nodeId("b"))).toMatchObject({
      state: "standby",
      storeId: storeId("b"),
      zone: "zone-b",
    });
    const { head, sealed } = cluster.chainHeads() ?? {};
    expect(sealed?.height).toBeGreaterThanOrEqual(1);
    expect(head?.height).toBeGreaterThanOrEqual(1);
  });

  test("may ask a node that does not lead, which forwards", async () => {
    const kit = await ClusterKit.founded();
    await kit.joined("b");
    const token = await kit.token();
    await ask(kit, "c", { ...token, voters: [nodeId("b")], addresses: [memoryAddress(nodeId("b"))] });

    expect(kit.founder.cluster.formation().nodes.has(nodeId("c"))).toBe(true);
  });

  test("may ask again, though its token is used up: its first answer may have been lost", async () => {
    const kit = await ClusterKit.founded();
    const token = await kit.token();
    await ask(kit, "b", token);
    const again = await ask(kit, "b", token);
    expect(again.genesis).toEqual(kit.genesis);
    await expect(ask(kit, "c", token)).rejects.toThrow(final);
  });

  test("by a token for workers leads nobody in the log, and proposes no shift, no seal and no other token", async () => {
    const kit = new ClusterKit();
    const { founder } = kit;
    const { consensus } = founder.layers;
    let log: ConsensusParts | undefined;
    founder.layers = Object.assign(founder.layers, {
      consensus: (parts: ConsensusParts) => consensus((log = parts)),
    });
    await kit.run(founder.cluster.start());
    await kit.joined("c");
    const token = await kit.run(founder.cluster.createToken({ uses: 1, ttlMs: 60_000, limitedTo: "worker" }));
    await kit.run(new TestNode(kit, "b").ask(token));
    const may = (name: string): unknown => [
      log?.mayLead(nodeId(name)),
      ...(["formation", "seal", "token", "catalog", "cosignature"] as const).map((kind) =>
        log?.mayPropose(nodeId(name), sealEnvelope(kind, Uint8Array.of(1))),
      ),
    ];
    expect(may("b")).toEqual([false, false, false, false, true, true]);
    expect(may("c")).toEqual([true, true, true, true, true, true]);
  });

  test("is let in by a token that was made after a leader's clock had been an hour ahead", async () => {
    const kit = await ClusterKit.founded();
    kit.clock.jumpWall(3_600_000);
    await kit.joined("b");
    kit.clock.jumpWall(-3_600_000);
    const node = new TestNode(kit, "c");
    node.joined = await kit.run(node.ask(await kit.token({ ttlMs: 60_000 })));
    expect(kit.founder.cluster.formation().nodes.has(nodeId("c"))).toBe(true);
  });

  test("is let in where another command came first, and where a seal of it was under way", async () => {
    const kit = await ClusterKit.founded();
    const token = await kit.token({ uses: 4 });
    const all = ["b", "c", "d", "e"].map((name) => new TestNode(kit, name).ask(token));
    await kit.run(Promise.all(all));
    expect(kit.founder.cluster.formation().nodes.size).toBe(5);
  });

  test("is led to its admission by hops and a checkpoint where the chain is long, and so is the next one", async () => {
    const kit = await ClusterKit.founded();
    const founder = kit.founder.cluster.running();
    const long = Array.from({ length: 60 }, (_item, place) =>
      place % 2 === 0
        ? ({ verb: "cordon", node: nodeId("a") } as const)
        : ({ verb: "restore", node: nodeId("a") } as const),
    );
    for (let round = 0; round < 6; round += 1) {
      await kit.run(founder.loop.commit(long, "a long history"));
      await kit.clock.advanceAsync(1500);
    }
    expect(founder.directory.prove({ height: 0 }, 4 * 1024 * 1024).length).toBeGreaterThan(1024 * 1024);
    for (const name of ["b", "c"]) {
      const joined = await ask(kit, name, await kit.token());
      const kinds = decodeAnswer(joined.chain).map(({ kind }) => kind);
      expect(kinds).toContain("checkpoint");
      expect(joined.chain.length).toBeLessThan(1024 * 1024);
      const node = new TestNode(kit, name);
      node.joined = joined;
      await kit.run(node.cluster.start());
      expect(node.cluster.formation().nodes.has(nodeId(name))).toBe(true);
      expect(node.cluster.formation().generation).toBe(founder.directory.formation().generation);
    }
  });

  test("is shown every block of a chain that is short", async () => {
    const kit = await ClusterKit.founded();
    const joined = await ask(kit, "b", await kit.token());
    expect(new Set(decodeAnswer(joined.chain).map(({ kind }) => kind))).toEqual(new Set(["block", "seal"]));
  });
});

describe("whoever is refused hears the same, whatever the reason", () => {
  test("unknown, used up, expired, revoked or foreign tokens, proofs of others, for others and for other connections, and noise", async () => {
    const kit = await ClusterKit.founded();
    const good = await kit.token({ uses: 9 });
    const used = await kit.token();
    await ask(kit, "b", used);
    const brief = await kit.token({ ttlMs: 1000 });
    await kit.clock.advanceAsync(1500);
    // Committed time moves with what is committed.
    await kit.run(kit.founder.cluster.running().loop.commit([{ verb: "cordon", node: nodeId("b") }], "time passes"));
    const { formation } = kit.founder.cluster.running().machine;
    const before = formation.state;
    const answers = [
      await answerTo(kit, "c", { ...good, tokenId: "0".repeat(32) }),
      await answerTo(kit, "c", { ...good, tokenId: "no token" }),
      await answerTo(kit, "c", used),
      await answerTo(kit, "c", brief),
      await answerTo(kit, "c", { ...good, clusterId: digest("other") as never }),
      await answerTo(kit, "c", { ...good, seed: new Uint8Array(32) }),
      await answerTo(kit, "c", good, { proofOf: "d" }),
      await answerTo(kit, "c", good, { claims: nodeId("d") }),
      await answerTo(kit, "c", good, { binding: nobodyYet }),
      await answerTo(kit, "c", good, { change: (request) => ({ ...request, generation: -1 }) }),
      await answerTo(kit, "c", good, { change: (request) => ({ ...request, zone: "z".repeat(65) }) }),
      await answerTo(kit, "c", good, {
        change: (request) => ({ ...request, addresses: Array.from({ length: 17 }, () => "x") }),
      }),
      await answerTo(kit, "c", good, { change: (request) => ({ ...request, more: 1 }) }),
      await answerTo(kit, "c", good, { raw: encode({ version: 2 }) }),
      await answerTo(kit, "c", good, { raw: Uint8Array.of(0xff) }),
      await answerTo(kit, "c", good, { raw: new Uint8Array(20_000) }),
    ];
    for (const answer of answers) expect(decode(answer)).toEqual({ version: 1, refused: true });
    expect(formation.state).toBe(before);
    expect(decode(await answerTo(kit, "c", good))).toMatchObject({ version: 1, answer: expect.anything() });
  });

  test("a proof that was overheard is worth nothing over another connection", async () => {
    const kit = await ClusterKit.founded();
    const token = await kit.token();
    const node = new TestNode(kit, "b");
    const transport = await node.stranger();
    const overheard = (await kit.run(transport.open(nodeId("a"), join))).channelBinding;
    await transport.shutdown();
    expect(decode(await answerTo(kit, "b", token, { binding: overheard }))).toEqual({ version: 1, refused: true });
  });

  test("a node that was removed for ever", async () => {
    const kit = await ClusterKit.founded();
    const token = await kit.token({ uses: 2 });
    await ask(kit, "b", token);
    await kit.run(kit.founder.cluster.running().loop.commit([{ verb: "remove", node: nodeId("b") }], "for ever"));
    await expect(ask(kit, "b", token)).rejects.toThrow(final);
  });
});

describe("a bad moment is no refusal", () => {
  test("with no leader known the newcomer may try again, and gets in once there is one", async () => {
    const kit = await ClusterKit.founded();
    const token = await kit.token();
    kit.log.elect(undefined);
    await expect(ask(kit, "b", token)).rejects.toThrow(passing);
    kit.log.elect(nodeId("a"));
    await ask(kit, "b", token);
  });

  test("the next voter is asked where one cannot decide or does not answer", async () => {
    const kit = await ClusterKit.founded();
    const token = await kit.token();
    const b = kit.network.transport(nodeId("b"));
    const addresses = ["nobody", "b", "a"].map((name) => memoryAddress(nodeId(name)));
    const asked: string[] = [];
    await b.start();
    b.handle(join, {
      onStream: async (stream) => {
        asked.push("b");
        await stream.send(encode({ version: 1, unavailable: true }));
        await stream.close();
      },
    });
    const joined = await ask(kit, "c", { ...token, addresses, voters: [nodeId("nobody"), nodeId("b"), nodeId("a")] });
    expect([joined.genesis, asked]).toEqual([kit.genesis, ["b"]]);
    await b.shutdown();
  });

  test("where nobody answers at all it says whom it tried", async () => {
    const kit = new ClusterKit();
    const token = {
      clusterId: kit.genesis.clusterId,
      addresses: ["x:1"],
      voters: [nodeId("a")],
      tokenId: "0".repeat(32),
      seed: nobodyYet,
    };
    const unreachable = expect.objectContaining({
      code: "JOIN_UNREACHABLE",
      message: "no node of the cluster answered (tried x:1)",
      retryable: true,
    });
    await expect(ask(kit, "b", token)).rejects.toThrow(unreachable);
  });

  test("an admission that cannot be sealed in time is told so, and is whole at the next try", async () => {
    const kit = await ClusterKit.founded();
    const token = await kit.token();
    const sealKind = 3;
    kit.log.onPropose = (command) => {
      if (command[1] === sealKind)
        throw Object.assign(new Error("no quorum"), { code: "RAFT_NO_QUORUM", retryable: true });
    };
    await expect(ask(kit, "b", token)).rejects.toThrow(passing);
    expect(kit.founder.cluster.formation().nodes.has(nodeId("b"))).toBe(true);
    kit.log.onPropose = () => undefined;
    await ask(kit, "b", token);
  });
});

describe("strangers do not hold the door", () => {
  test("one who keeps silent is cut off", async () => {
    const kit = await ClusterKit.founded();
    const transport = await new TestNode(kit, "b").stranger();
    const stream = await kit.run(transport.open(nodeId("a"), join));
    const heard = (async () => {
      for await (const message of stream.receive()) return message;
      return undefined;
    })();
    await expect(kit.run(heard, 16_000)).rejects.toThrow(expect.objectContaining({ code: "TRANSPORT_CLOSED" }));
    await transport.shutdown();
  });

  test("in a crowd of silent ones nobody else is listened to, until they are cut off", async () => {
    const kit = await ClusterKit.founded();
    const token = await kit.token();
    const transport = await new TestNode(kit, "crowd").stranger();
    for (let count = 0; count < 64; count += 1) await kit.run(transport.open(nodeId("a"), join));
    await expect(ask(kit, "b", token)).rejects.toThrow(passing);
    await kit.clock.advanceAsync(16_000);
    await ask(kit, "b", token);
    await transport.shutdown();
  });

  test("a shutdown does not wait for them", async () => {
    const kit = await ClusterKit.founded();
    const transport = await new TestNode(kit, "b").stranger();
    await kit.run(transport.open(nodeId("a"), join));
    await kit.run(kit.founder.cluster.shutdown(), 1000);
    await transport.shutdown();
    await kit.clock.advanceAsync(60_000);
    expect(kit.clock.pending()).toBe(0);
  });
});

describe("the newcomer checks what it is shown", () => {
  async function shown(change: (answer: Record<string, unknown>) => Record<string, unknown>): Promise<unknown> {
    const kit = await ClusterKit.founded();
    const { answer } = decode(await answerTo(kit, "b", await kit.token())) as {
      readonly answer: Record<string, unknown>;
    };
    await kit.run(kit.founder.cluster.shutdown());
    const liar = kit.network.transport(nodeId("a"));
    await liar.start();
    liar.handle(join, {
      onStream: async (stream) => {
        await stream.send(encode({ version: 1, answer: change(answer) }));
        await stream.close();
      },
    });
    const transport = await new TestNode(kit, "b").stranger();
    const token: JoinToken = {
      clusterId: kit.genesis.clusterId,
      addresses: [memoryAddress(nodeId("a"))],
      voters: [nodeId("a")],
      tokenId: "0".repeat(32),
      seed: nobodyYet,
    };
    const facts = { storeId: storeId("b"), generation: 1, zone: "z", version: "1", addresses: [] };
    const { attestor } = new TestNode(kit, "b");
    return kit.run(joinCluster({ attestor, transport, token, ...facts }));
  }

  test("and takes it where it holds", async () => {
    await expect(shown((answer) => answer)).resolves.toMatchObject({ genesis: { founder: nodeId("a") } });
  });

  test("and refuses a chain that does not admit it", async () => {
    await expect(shown((answer) => ({ ...answer, chain: encode([]) }))).rejects.toThrow("does not admit this node");
  });

  test.each<[string, string, (answer: Record<string, unknown>) => Record<string, unknown>]>([
    ["another genesis", "CHAIN_INVALID", (answer) => ({ ...answer, genesis: Uint8Array.of(1) })],
    [
      "a chain that is no chain",
      "FABRIC_INVALID_VALUE",
      (answer) => ({ ...answer, chain: encode([[7, Uint8Array.of(1)]]) }),
    ],
    [
      "a chain with another block",
      "CHAIN_INVALID",
      (answer) => ({ ...answer, chain: encode([[0, Uint8Array.of(1)]]) }),
    ],
    ["peers that are no list", "FABRIC_INVALID_VALUE", (answer) => ({ ...answer, peers: 7 })],
  ])("and refuses %s", async (_name, code, change) => {
    const cause = expect.objectContaining({ code });
    await expect(shown(change)).rejects.toThrow(expect.objectContaining({ code: "JOIN_UNREACHABLE", cause }));
  });
});
