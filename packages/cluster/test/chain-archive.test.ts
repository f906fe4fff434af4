import { fileArchive } from "@revoada/cluster";
import type { ArchivedSegment, ArchiveSink, Attestor, Hash, NodeId } from "@revoada/fabric";
import { memoryDisk } from "@revoada/fabric/memory";
import { describe, expect, test } from "vitest";
import { ChainArchiver } from "../src/chain/archiver.ts";
import { encodeDrop, segmentBlocks } from "../src/machine/drop.ts";
import { formed, type TestNode } from "./doubles/cluster-kit.ts";
import { digest, nodeId } from "./doubles/keys.ts";
import { generation, MachineKit, testGenesis, tokenRecord } from "./doubles/machine-kit.ts";
import { testAttestor } from "./doubles/test-attestor.ts";
import { TestStore } from "./doubles/test-store.ts";

const { signal } = new AbortController();
const refused = { ok: false, code: "CHAIN_DROP_REFUSED" };

/** Three voters, and a chain of about this many blocks after them, sealed every third one. */
function grown(blocks: number, kit: MachineKit = MachineKit.founded()): MachineKit {
  kit.formThree();
  kit.seal(["a"]);
  toggle(kit, blocks);
  return kit;
}

function toggle(kit: MachineKit, blocks: number): void {
  for (let block = 0; block < blocks; block += 1) {
    kit.shift([{ verb: block % 2 === 0 ? "cordon" : "restore", node: nodeId("b") }]);
    if (block % 3 === 2) kit.seal(["a", "b"]);
  }
  kit.seal(["a", "b"]);
}

function hashAt(kit: MachineKit, height: number): Hash {
  return kit.machine.formation.hashAt(kit.store, height) ?? (digest("none") as Hash);
}

function dropBytes(
  kit: MachineKit,
  height: number,
  more: {
    readonly hash?: Hash;
    readonly signer?: Attestor;
    readonly clusterId?: MachineKit["genesis"]["clusterId"];
  } = {},
): Uint8Array {
  const { hash = hashAt(kit, height), signer = kit.founder, clusterId = kit.genesis.clusterId } = more;
  return encodeDrop(signer, { clusterId, head: { height, hash }, archive: digest("archive") as Hash });
}

function drop(kit: MachineKit, height: number, more: Parameters<typeof dropBytes>[2] = {}): unknown {
  return kit.send("drop", dropBytes(kit, height, more));
}

function sealedHeights(kit: MachineKit): readonly number[] {
  return [...kit.store.range("chain/seals")].map(({ key }) => Number(Buffer.from(key).readBigUInt64BE()));
}

function heights(kit: MachineKit, tree: string): readonly number[] {
  return [...kit.store.range(tree)].map(({ key }) => Number(Buffer.from(key).readBigUInt64BE()));
}

function archiverOf(kit: MachineKit, mayPropose: () => boolean = () => true): ChainArchiver {
  return new ChainArchiver({
    attestor: kit.founder,
    machine: kit.machine,
    store: kit.store,
    holdsReplica: () => true,
    pause: () => Promise.resolve(),
    logger: { debug() {}, info() {}, warn() {}, error() {}, child: () => ({}) as never },
    propose: async (command) => {
      if (!mayPropose()) throw new Error("the process died here");
      const index = kit.machine.position().index + 1;
      const result = kit.apply({ ...kit.noop(), kind: "command", command } as never) as Uint8Array;
      return { index, term: kit.term, result } as never;
    },
  });
}

describe("a dropped prefix", () => {
  test("at any sealed height changes nothing that comes later: formation, blocks, seals and hashes", () => {
    const whole = grown(30);
    toggle(whole, 9);
    const candidates = sealedHeights(grown(30)).filter((height) => height <= whole.state.sealed.height - 9 - 16);
    expect(candidates.length).toBeGreaterThan(4);
    for (const height of candidates) {
      const kit = grown(30, MachineKit.founded());
      expect(drop(kit, height)).toMatchObject({ ok: true, height });
      // Those that come later may lie at other places of the log, and so do not have the same hashes unless their places are.
      const other = grown(30, MachineKit.founded());
      other.apply(other.noop());
      for (const one of [kit, other]) toggle(one, 9);
      const { base, ...rest } = kit.state;
      const { base: none, ...expected } = other.state;
      expect(rest).toEqual(expected);
      expect(base).toEqual({ height, hash: hashAt(other, height) });
      expect(none.height).toBe(0);
      for (const tree of ["chain/blocks", "chain/seals"]) {
        const above = [...other.store.range(tree)].filter(
          ({ key }) => Number(Buffer.from(key).readBigUInt64BE()) > height,
        );
        expect([...kit.store.range(tree)]).toEqual(above);
      }
      expect(heights(kit, "chain/blocks")[0]).toBe(height + 1);
    }
  });

  test("is the same on every replica, over a restart and in a snapshot, whatever the steps were", async () => {
    const kit = grown(40);
    const [first, , , second] = sealedHeights(kit) as [number, number, number, number];
    const [once, twice] = [grown(40), kit];
    drop(once, second);
    expect(drop(twice, first)).toMatchObject({ ok: true });
    const firstHop = [...twice.store.range("machine/meta")].filter(({ key }) =>
      Buffer.from(key).toString().startsWith("hop/"),
    );
    expect(firstHop).toHaveLength(1);
    expect(drop(twice, second)).toMatchObject({ ok: true });
    // Each names its own proposer's statement, and is one entry further.
    expect(once.state.base).toEqual(twice.state.base);
    const again = twice.reopened();
    expect(again.state).toEqual(twice.state);
    const snapshot = await twice.machine.snapshot();
    const joiner = new MachineKit(new TestStore(), twice.genesis);
    await joiner.machine.restore(snapshot.position, snapshot.chunks());
    snapshot.dispose();
    expect(joiner.state).toEqual(twice.state);
    expect((await joiner.machine.stateHash()).hash).toBe((await twice.machine.stateHash()).hash);
    for (const one of [twice, again, joiner]) toggle(one, 3);
    expect(joiner.store.contents()).toEqual(twice.store.contents());
    expect(again.store.contents()).toEqual(twice.store.contents());
  });

  test("keeps what is state and no history: tokens with their uses, tombstones, and who seals", () => {
    const kit = grown(1);
    const token = tokenRecord(5, { expiresMs: Number.MAX_SAFE_INTEGER, usesLeft: 3 });
    kit.createToken(token);
    kit.admitAll(["d"]);
    kit.shift([{ verb: "remove", node: nodeId("d") }]);
    toggle(kit, 30);
    const { formation, sealing } = kit.state;
    const tokens = [...kit.store.range("tokens")];
    expect(formation.tombstones.has(nodeId("d"))).toBe(true);
    expect(
      drop(kit, sealedHeights(kit).findLast((height) => height <= kit.state.sealed.height - 16) ?? 0),
    ).toMatchObject({ ok: true });
    const after = kit.reopened();
    expect(after.state.formation).toEqual(formation);
    expect(after.state.sealing).toEqual(sealing);
    expect([...after.store.range("tokens")]).toEqual(tokens);
    const again = tokenRecord(6, { expiresMs: Number.MAX_SAFE_INTEGER });
    after.createToken(again);
    expect(
      after.shift([{ verb: "admit", node: nodeId("d"), admission: formation.nodes.get(nodeId("b")) as never }]).ok,
    ).toBe(false);
  });

  test("is refused where it is not sealed, goes back, leaves too little, or is nobody's word who votes", () => {
    const kit = grown(40);
    const sealed = sealedHeights(kit);
    const [one, two] = [sealed[2] as number, sealed[4] as number];
    const before = kit.store.contents();
    const unchanged = (): void => expect(withoutPosition(kit.store.contents())).toEqual(withoutPosition(before));
    expect(drop(kit, one + 1)).toMatchObject(refused);
    expect(drop(kit, kit.state.head.height + 1)).toMatchObject(refused);
    expect(drop(kit, kit.state.sealed.height)).toMatchObject(refused);
    expect(drop(kit, kit.state.sealed.height - 15)).toMatchObject(refused);
    expect(drop(kit, two, { hash: hashAt(kit, one) })).toMatchObject({ code: "CHAIN_OTHER_HEAD" });
    expect(drop(kit, two, { signer: testAttestor("stranger") })).toMatchObject({ code: "CLUSTER_NOT_A_VOTER" });
    const { clusterId } = testGenesis(kit.founder, 9);
    expect(drop(kit, two, { clusterId })).toMatchObject({ code: "CLUSTER_OTHER_COMMAND" });
    const forged = dropBytes(kit, two).map((byte, at, all) => (at === all.length - 3 ? byte ^ 1 : byte));
    expect(kit.send("drop", forged)).toMatchObject({ ok: false });
    expect(kit.send("drop", Uint8Array.of(0xa0))).toMatchObject({ code: "FABRIC_INVALID_VALUE" });
    unchanged();
    expect(drop(kit, two)).toMatchObject({ ok: true });
    const after = kit.store.contents();
    expect(drop(kit, one, { hash: digest("x") as Hash })).toMatchObject(refused);
    expect(drop(kit, two, { hash: kit.state.base.hash })).toMatchObject({ ok: true, height: two });
    expect(drop(kit, two, { hash: digest("x") as Hash })).toMatchObject(refused);
    expect(withoutPosition(kit.store.contents())).toEqual(withoutPosition(after));
    expect(kit.seal(["a", "b"], { height: one, hash: digest("x") as Hash })).toMatchObject({
      code: "CHAIN_ALREADY_SEALED",
    });
  });

  test("has a bound, and is refused before genesis", () => {
    const kit = grown(segmentBlocks + 40);
    const within = sealedHeights(kit).filter((height) => height <= kit.state.sealed.height - 16);
    const high = within.findLast((height) => height > segmentBlocks) as number;
    expect(drop(kit, high)).toMatchObject(refused);
    expect(drop(kit, within.findLast((height) => height <= segmentBlocks) as number)).toMatchObject({ ok: true });
    expect(new MachineKit().send("drop", dropBytes(kit, high))).toMatchObject({ code: "CLUSTER_NO_GENESIS" });
  });

  test("leaves what an operator has not vouched for, and the operator's last word", () => {
    const founder = testAttestor("a");
    const operator = testAttestor("op");
    const kit = new MachineKit(new TestStore(), testGenesis(founder, 7, [operator.identity.id]));
    kit.send("genesis", kit.genesis.bytes);
    kit.admitAll(Array.from({ length: 40 }, (_, index) => `n${index}`));
    const signed = { height: 10, hash: hashAt(kit, 10) };
    for (const height of [5, 10, 20]) kit.seal(["a"], { height, hash: hashAt(kit, height) });
    kit.seal(["a"]);
    expect(drop(kit, 5)).toMatchObject(refused);
    kit.send("cosignature", founder.encodeCosignature(operator.cosign(kit.genesis.clusterId, signed)));
    expect(kit.state.operatorSigned).toEqual(signed);
    expect(drop(kit, 20)).toMatchObject(refused);
    expect(drop(kit, 10)).toMatchObject(refused);
    expect(drop(kit, 5)).toMatchObject({ ok: true });
    expect(heights(kit, "chain/cosignatures")).toEqual([10]);
  });
});

describe("the archiver", () => {
  test("writes a segment, reads it back, and has it dropped; asked again, it goes on from there", async () => {
    const kit = grown(60);
    const disk = memoryDisk();
    const sink = fileArchive(disk, "archives");
    const archiver = archiverOf(kit);
    const order = { sink, keepBlocks: 30, partial: true };
    const plan = await archiver.archive({ ...order, dryRun: true }, { signal });
    expect(await disk.list("")).toEqual([]);
    const first = (await archiver.archive(order, { signal })) as ArchivedSegment;
    expect({ ...first, dropped: false }).toEqual(plan);
    expect(await disk.list("")).toEqual([first.name]);
    expect(kit.state.base.height).toBe(first.last);
    expect(kit.state.sealed.height - first.last).toBeGreaterThanOrEqual(30);
    expect(await archiver.archive(order, { signal })).toBeUndefined();
    toggle(kit, 12);
    const second = (await archiver.archive(order, { signal })) as ArchivedSegment;
    expect(second.first).toBe(first.last + 1);
    // Where only full segments are to go, nothing does before there is one.
    expect(await archiver.archive({ sink, keepBlocks: 16 }, { signal })).toBeUndefined();
    const parts = await Promise.all([first, second].map(({ name }) => sink.get(name, { signal })));
    const [start, ...records] = parts.flatMap((bytes) => kit.founder.readChain(bytes));
    expect(start?.kind).toBe("genesis");
    const kept = [...kit.store.range("chain/blocks")].map(({ value }) => value);
    const blocks = [...records.filter(({ kind }) => kind === "block").map(({ bytes }) => bytes), ...kept];
    expect(blocks).toHaveLength(kit.state.head.height);
  });

  test("ends full segments where the chain says, so that whoever died before the drop writes the same file again", async () => {
    const kit = grown(segmentBlocks + 60);
    const disk = memoryDisk();
    const order = { sink: fileArchive(disk, "archives"), keepBlocks: 20 };
    await expect(archiverOf(kit, () => false).archive(order, { signal })).rejects.toThrow("the process died here");
    const [name] = (await disk.list("")) as [string];
    expect(kit.state.base.height).toBe(0);
    disk.crash("unsynced-lost");
    expect(await disk.list("")).toEqual([name]);
    toggle(kit, 7);
    const reopened = kit.reopened();
    expect(await archiverOf(reopened).archive(order, { signal })).toMatchObject({ name, dropped: true, first: 1 });
    expect(await disk.list("")).toEqual([name]);
    // Between the drop and the next snapshot a crash takes nothing: the entry is applied again, to the same.
    const replayed = grown(segmentBlocks + 60);
    toggle(replayed, 7);
    expect(drop(replayed, reopened.state.base.height)).toMatchObject({ ok: true });
    expect(replayed.state).toEqual(reopened.state);
  });

  test("drops nothing where the archive fails, keeps other bytes, or what is read back is not what was written", async () => {
    const kit = grown(60);
    const disk = memoryDisk();
    const sink = fileArchive(disk, "archives");
    const order = { keepBlocks: 30, partial: true };
    const { name } = (await archiverOf(kit).archive({ ...order, sink, dryRun: true }, { signal })) as ArchivedSegment;
    const lying: ArchiveSink = { ...sink, get: async (of, options) => (await sink.get(of, options)).with(40, 7) };
    await expect(archiverOf(kit).archive({ ...order, sink: lying }, { signal })).rejects.toMatchObject({
      code: "CHAIN_ARCHIVE_BROKEN",
    });
    disk.corrupt(name, 100);
    await expect(archiverOf(kit).archive({ ...order, sink }, { signal })).rejects.toMatchObject({
      code: "CHAIN_ARCHIVE_EXISTS",
    });
    await disk.remove(name);
    disk.failSyncs();
    await expect(archiverOf(kit).archive({ ...order, sink }, { signal })).rejects.toMatchObject({ code: "DISK_IO" });
    expect(await disk.size(name)).toBeUndefined();
    disk.setCapacity(10);
    await expect(archiverOf(kit).archive({ ...order, sink }, { signal })).rejects.toMatchObject({ code: "DISK_FULL" });
    await expect(sink.put("../x", new Uint8Array(1), { signal })).rejects.toMatchObject({
      code: "CHAIN_ARCHIVE_EXISTS",
    });
    expect(kit.state.base.height).toBe(0);
  });
});

describe("a cluster that has dropped blocks", () => {
  const voters = (node: TestNode): readonly NodeId[] =>
    [...node.cluster.formation().nodes].filter(([, { replica }]) => replica === "voter").map(([id]) => id);

  /** Formed, with a worker that was stopped early, and most of what came since dropped. */
  async function dropped() {
    const { kit, nodes } = await formed("b", "c", "d", "e", "f", "g");
    await kit.clock.advanceAsync(6000);
    const record = (node: TestNode) => kit.founder.cluster.formation().nodes.get(nodeId(node.name));
    const outside = nodes.filter((node) => record(node)?.replica === "none");
    const [away, awake] = outside as [TestNode, TestNode];
    await kit.run(away.cluster.shutdown());
    const { loop } = kit.founder.cluster.running();
    for (let round = 0; round < 12; round += 1) {
      for (const verb of ["cordon", "restore"] as const)
        await kit.run(loop.commitAfterOthers([{ verb, node: nodeId("a") }], "a test says so"));
      await kit.clock.advanceAsync(3000);
    }
    const { machine } = kit.founder.cluster.running();
    await kit.clock.runUntil(() => machine.formation.state?.sealed.height === machine.formation.state?.head.height);
    const sink = fileArchive(memoryDisk(), "archives");
    const order = { sink, keepBlocks: 16, partial: true };
    const segment = await kit.run(kit.founder.cluster.archive(order, { signal }));
    expect(segment).toMatchObject({ first: 1, dropped: true });
    return { kit, nodes, away, awake, base: segment?.last ?? 0 };
  }

  test("lets newcomers in, and back in who was away, over what is left", async () => {
    const { kit, nodes, away, awake, base } = await dropped();
    const height = kit.founder.cluster.running().machine.formation.state?.head.height ?? 0;
    expect(base).toBeGreaterThan(10);
    await kit.run(away.cluster.start());
    const { directory } = away.cluster.running();
    await kit.clock.runUntil(() => directory.formation().generation >= height, { withinMs: 30_000 });
    expect(directory.formation().nodes).toEqual(kit.founder.cluster.formation().nodes);
    const newcomer = await kit.joined("n");
    expect(newcomer.cluster.formation().nodes.has(nodeId("n"))).toBe(true);
    for (const node of [...nodes, newcomer]) {
      const verdict = node.attestor.verifyChain(node.cluster.exportChain(), kit.genesis.clusterId);
      expect(verdict, `${node.name} ${JSON.stringify(verdict)}`).toMatchObject({ ok: true });
    }
    // Whoever followed all the while holds all the blocks, and shows them; who was led over them shows what led it.
    expect(awake.cluster.chainParts().base).toBeUndefined();
    expect(away.cluster.chainParts().base).toBeDefined();
    expect(newcomer.cluster.chainParts().base).toBeDefined();
    expect(voters(newcomer)).toEqual(voters(kit.founder));
    expect(kit.founder.cluster.health().chain.firstKeptHeight).toBe(base + 1);
    for (const node of [...nodes, newcomer]) await kit.run(node.cluster.shutdown());
  });

  test("shows a member the way by one hop at a time, where an answer holds no more, and whoever is asked next", async () => {
    const { kit, away } = await dropped();
    const chain = kit.founder.cluster.running().directory;
    const follower = away.attestor.follow(kit.genesis.bytes, kit.genesis.clusterId);
    const { decodeAnswer } = await import("../src/chain/directory.ts");
    let answers = 0;
    for (; answers < 100; answers += 1) {
      const { height } = follower.head();
      const reached = follower.reached();
      const answer = decodeAnswer(chain.prove(reached > height ? { height, reached } : { height }, 1));
      if (answer.length === 0) break;
      expect(answer.filter(({ kind }) => kind !== "block")).toHaveLength(1);
      follower.advance(answer);
    }
    expect(answers).toBeGreaterThan(3);
    expect(follower.sealedFormation().generation).toBe(kit.founder.cluster.formation().generation);
    expect(generation(follower.head().height)).toBe(kit.founder.cluster.formation().generation);
  });
});

function withoutPosition(contents: Readonly<Record<string, unknown>>): unknown {
  return Object.fromEntries(Object.entries(contents).filter(([tree]) => tree !== "machine/position"));
}
