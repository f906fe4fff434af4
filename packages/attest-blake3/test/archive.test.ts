import type { ChainBase, ChainRecord, NodeId, Transition } from "@revoada/fabric";
import {
  ChainVerifier,
  ed25519Verifier,
  exportChainOf,
  exportFromJson,
  exportToJson,
  joinChain,
  proveNode,
  spanOf,
  verifyChainWith,
  verifyProofWith,
  verifySequenceWith,
} from "@revoada/attest-blake3";
import { describe, expect, test } from "vitest";
import { encodeExport, readExport } from "../src/core/chain-export.ts";
import { encodeHop, openHop } from "../src/core/hop.ts";
import {
  admit,
  ChainWriter,
  id,
  node,
  rememberingVerifier,
  sealBy,
  storeOf,
  testGenesis,
  trailerBytes,
  withFittingTrailer,
  writeStory,
} from "./support.ts";

const { clusterId, bytes: genesis } = testGenesis;
const verifier = rememberingVerifier();
const attestor = node("a");
const believes = (): boolean => true;

function comeBack(letter: string, generation: number): Transition {
  const admission = { storeId: storeOf(letter), generation, incarnation: 0, zone: "zone", version: "0.1.0" };
  return { verb: "admit", node: id(letter), admission };
}

/** Four voters-to-be take turns in two seats beside `a`: others seal after every other command. */
function writeTurns(turns: number, writer = new ChainWriter(testGenesis, 1000)): ChainWriter {
  const letters = ["b", "c", "d", "e"];
  writer.propose(letters.map((letter) => admit(letter)));
  writer.propose([
    { verb: "reassign", node: id("a"), role: "master" },
    { verb: "promote", node: id("b"), role: "master", replica: "voter" },
    { verb: "promote", node: id("c"), role: "master", replica: "voter" },
  ]);
  writer.seal("a");
  for (let turn = 0; turn < turns; turn += 1) {
    const [leaves, stays, enters] = [0, 1, 2].map((offset) => letters[(turn + offset) % 4] as string) as [
      string,
      string,
      string,
    ];
    writer.propose([
      { verb: "evict", node: id(leaves) },
      { verb: "seat", node: id(leaves), replica: "none" },
      { verb: "promote", node: id(enters), role: "master", replica: "voter" },
    ]);
    writer.seal(`a${stays}`);
    writer.propose([comeBack(leaves, turn + 2), { verb: "cordon", node: id("a") }]);
    writer.propose([{ verb: "restore", node: id("a") }]);
    writer.seal(`a${enters}`);
  }
  return writer;
}

/** Everything but genesis, in stretches that each end with a seal. */
function stretchesOf(writer: ChainWriter): readonly (readonly ChainRecord[])[] {
  const stretches: ChainRecord[][] = [[]];
  for (const record of writer.records.slice(1)) {
    stretches.at(-1)?.push(record);
    if (record.kind === "seal") stretches.push([]);
  }
  return stretches.filter((stretch) => stretch.length > 0);
}

function heightAfter(records: readonly ChainRecord[]): number {
  return records.filter(({ kind }) => kind === "block").length;
}

function leapOver({ hops, checkpoint }: ChainBase, above = 0): readonly ChainRecord[] {
  return [
    ...hops.filter(({ height }) => height > above).map(({ bytes }) => ({ kind: "hop", bytes }) as const),
    { kind: "checkpoint", bytes: checkpoint },
  ];
}

function follow(from?: Uint8Array): ChainVerifier {
  const options = { clusterId, verifier, believes };
  return from === undefined ? new ChainVerifier({ ...options, genesis }) : ChainVerifier.from(from, options);
}

/** Who signs, what stands, and where: all by which two followers could differ. */
function facts(follower: ChainVerifier): unknown {
  const nodes = [...follower.formation().nodes].toSorted(([a], [b]) => (a < b ? -1 : 1));
  return {
    head: follower.head(),
    sealed: follower.sealed(),
    nodes,
    voters: [...follower.sealVoters()].toSorted(),
    checkpoint: follower.checkpoint(),
  };
}

/** What is left of a chain whose first stretches are put away. */
function keptFile(stretches: readonly (readonly ChainRecord[])[], count: number): Uint8Array {
  const base = attestor.condense({ genesis, records: stretches.slice(0, count).flat() });
  const rest = stretches.slice(count).flat();
  const of = (kind: ChainRecord["kind"]): readonly Uint8Array[] =>
    rest.filter((record) => record.kind === kind).map(({ bytes }) => bytes);
  return attestor.exportChain({
    genesis,
    base: { checkpoint: base.checkpoint, hops: base.hops.map(({ bytes }) => bytes) },
    blocks: of("block"),
    seals: of("seal"),
  });
}

/** Segments that end after so many stretches each. */
function segmentsOf(stretches: readonly (readonly ChainRecord[])[], ends: readonly number[]): readonly Uint8Array[] {
  let [from, begin]: [Uint8Array | undefined, number] = [undefined, 0];
  return ends.map((end) => {
    const records = stretches.slice(begin, end).flat();
    const start = from === undefined ? {} : { from };
    const { checkpoint: to } = attestor.condense({ genesis, ...start, records });
    const file = attestor.archiveChain({ genesis, ...start, records, to });
    [from, begin] = [to, end];
    return file;
  });
}

describe("a chain whose beginning is put away", () => {
  const story = writeTurns(5);
  const stretches = stretchesOf(story);

  test("is followed over hops and a checkpoint from any sealed head below, to where the blocks would have led", () => {
    const whole = follow();
    whole.advance(stretches.flat());
    for (let put = 1; put <= stretches.length; put += 1) {
      const base = attestor.condense({ genesis, records: stretches.slice(0, put).flat() });
      for (let known = 0; known < put; known += 1) {
        const records = stretches.slice(0, known).flat();
        const follower = follow();
        follower.advance(records);
        follower.advance([...leapOver(base, heightAfter(records)), ...stretches.slice(put).flat()]);
        expect(facts(follower)).toEqual(facts(whole));
      }
    }
  });

  test("comes to the same in one piece and in pieces that go on from each other", () => {
    const whole = attestor.condense({ genesis, records: stretches.flat() });
    let base: ChainBase | undefined;
    const hops: unknown[] = [];
    for (const records of stretches) {
      base = attestor.condense({ genesis, ...(base === undefined ? {} : { from: base.checkpoint }), records });
      hops.push(...base.hops);
    }
    expect({ ...base, hops }).toEqual(whole);
    expect(whole.hops.length).toBe(6);
  });

  test("is followed by hops that come one at a time, from whoever has them, or by the blocks after all", () => {
    const base = attestor.condense({ genesis, records: stretches.slice(0, 6).flat() });
    const follower = follow();
    for (const { height, bytes } of base.hops) {
      follower.advance([{ kind: "hop", bytes }]);
      expect(follower.reached()).toBe(height);
      expect(follower.head().height).toBe(0);
      const blocks = follower.fork();
      blocks.advance(stretches.flat());
      expect(blocks.head()).toEqual(story.head);
      expect(blocks.reached()).toBe(story.head.height);
    }
    const lower = attestor.condense({ genesis, records: stretches.slice(0, 4).flat() });
    const behind = follower.fork();
    behind.advance([...leapOver(lower), ...stretches.slice(4).flat()]);
    expect(behind.head()).toEqual(story.head);
    follower.advance([...leapOver(base).slice(-1), ...stretches.slice(6).flat()]);
    expect(follower.head()).toEqual(story.head);
  });

  test("is not followed by a hop that others sealed, a hop back, or over a head that is not sealed", () => {
    const base = attestor.condense({ genesis, records: stretches.slice(0, 6).flat() });
    const [first, second, third] = base.hops.map(({ bytes }) => ({ kind: "hop", bytes }) as const);
    const refused = (reason: string): unknown =>
      expect.objectContaining({ fault: expect.objectContaining({ reason }) });
    const { header, state } = openHop(second?.bytes as Uint8Array).parts;
    const { head } = openHop(second?.bytes as Uint8Array);
    const strangers = sealBy([node("e"), node("d")], clusterId, head);
    const minority = sealBy([node("a")], clusterId, head);
    const follower = follow();
    follower.advance([first as ChainRecord]);
    for (const seal of [strangers, minority])
      expect(() => follower.advance([{ kind: "hop", bytes: encodeHop({ header, state, seal }) }])).toThrow(
        refused("bad-seal"),
      );
    expect(() => follower.advance([{ kind: "hop", bytes: encodeHop({ header, state, seal: undefined }) }])).toThrow(
      refused("bad-seal"),
    );
    // Over a change of voters that is left out, the seal is by those whom nobody has let seal.
    const skipping = follow();
    expect(() => skipping.advance([third as ChainRecord])).toThrow(refused("bad-seal"));
    expect(() => skipping.advance(leapOver(base).slice(-1))).toThrow(refused("bad-seal"));
    follower.advance([second as ChainRecord]);
    expect(() => follower.addHop(first?.bytes as Uint8Array)).toThrow(refused("broken-link"));
    expect(() => follower.addBlock(story.blocks()[0] as Uint8Array)).toThrow(refused("archived"));
    const unsealed = follow();
    unsealed.addBlock(story.blocks()[0] as Uint8Array);
    expect(() => unsealed.addHop(first?.bytes as Uint8Array)).toThrow(refused("bad-seal"));
    expect(() => unsealed.addCheckpoint(base.checkpoint)).toThrow(refused("bad-seal"));
  });

  test("leads over a recovery only whoever may believe it", () => {
    const writer = writeTurns(1);
    writer.propose([{ verb: "recover", node: id("c") }], { proposer: "c" });
    const recovery = writer.head;
    expect(() => attestor.condense({ genesis, records: writer.records.slice(1) })).toThrow(/nobody could go on/);
    writer.propose([admit("f")], { proposer: "c" });
    writer.seal("c");
    const base = attestor.condense({ genesis, records: writer.records.slice(1) });
    const careless = new ChainVerifier({ genesis, clusterId, verifier });
    expect(() => careless.advance(leapOver(base))).toThrow(/unbelieved-recovery/);
    const told = new ChainVerifier({ genesis, clusterId, verifier, believes: ({ hash }) => hash === recovery.hash });
    told.advance(leapOver(base));
    expect(told.formation()).toEqual(writer.formation);
    expect([...told.sealVoters()]).toEqual([id("c")]);
  });

  test("is condensed only where somebody could go on: at a sealed end of a command", () => {
    const open = writeTurns(1);
    open.propose([admit("f")]);
    expect(() => attestor.condense({ genesis, records: open.records.slice(1) })).toThrow(/unproven at height/);
    expect(() => attestor.condense({ genesis, records: [] })).toThrow(/unproven at height 0/);
    const records = stretches.slice(1, 2).flat();
    expect(() => attestor.condense({ genesis, records })).toThrow(/broken-link/);
  });
});

describe("an export of what is kept", () => {
  const story = writeTurns(5);
  const stretches = stretchesOf(story);
  const whole = verifyChainWith(story.file(), clusterId, verifier);

  test("verifies by the cluster id alone, and says where it begins", () => {
    for (let put = 1; put < stretches.length; put += 1) {
      const base = heightAfter(stretches.slice(0, put).flat());
      expect(verifyChainWith(keptFile(stretches, put), clusterId, verifier)).toEqual({ ...whole, base });
    }
  });

  test("verifies from a checkpoint below, at and above where it begins, and from none of another chain", () => {
    const base = heightAfter(stretches.slice(0, 5).flat());
    for (const put of [2, 5, 8]) {
      const { checkpoint: from } = attestor.condense({ genesis, records: stretches.slice(0, put).flat() });
      expect(verifyChainWith(keptFile(stretches, 5), clusterId, verifier, { from })).toEqual({ ...whole, base });
    }
    const other = writeTurns(7, new ChainWriter(testGenesis, 999));
    const theirs = stretchesOf(other);
    for (const put of [2, 5, 8]) {
      const { checkpoint: from } = attestor.condense({ genesis, records: theirs.slice(0, put).flat() });
      const verdict = verifyChainWith(keptFile(stretches, 5), clusterId, verifier, { from });
      // Below the beginning nothing but seals links the two, and one majority sealed both: it is the same cluster to whoever trusts the voters.
      expect(verdict.ok).toBe(put === 2);
    }
  });

  test("asks trusted keys for the seal at its end", () => {
    const file = keptFile(stretches, 5);
    const [a, b] = [id("a"), id("f")] as [NodeId, NodeId];
    expect(verifyChainWith(file, clusterId, verifier, { trust: [a] })).toMatchObject({ ok: true });
    expect(verifyChainWith(file, clusterId, verifier, { trust: [b] })).toMatchObject({
      fault: { reason: "untrusted" },
    });
  });

  test("proves what a node was after its beginning as the whole chain does, and names the archives for before", () => {
    const file = keptFile(stretches, 5);
    const base = heightAfter(stretches.slice(0, 5).flat());
    const { timeMs } = atBase(file);
    for (const letter of ["a", "b", "d", "f"]) {
      for (let atMs = timeMs; atMs < story.timeMs + 1500; atMs += 700) {
        const request = { node: id(letter), atMs };
        const proof = proveNode(file, clusterId, request);
        const verdict = verifyProofWith(proof, clusterId, verifier);
        const expected = verifyProofWith(proveNode(story.file(), clusterId, request), clusterId, verifier);
        // Who decided the last shift may be in the archives; what it came to is not.
        const { shift: _, ...place } = expected as { readonly shift?: unknown };
        const { shift, ...proven } = verdict as { readonly shift?: unknown };
        expect(proven).toEqual(place);
        if (shift !== undefined) expect(shift).toEqual(_);
      }
    }
    expect(() => proveNode(file, clusterId, { node: id("a"), atMs: timeMs - 1 })).toThrow(
      expect.objectContaining({
        code: "CHAIN_INVALID",
        fault: {
          reason: "archived",
          height: base,
          message: `blocks 1 to ${base} are archived, and ${timeMs - 1} lies among them: prove from the archives`,
        },
      }),
    );
  });

  test("is refused with any byte changed", () => {
    const small = writeStory();
    const file = keptFile(stretchesOf(small), 2);
    expect(verifyChainWith(file, clusterId, verifier).ok).toBe(true);
    // Blocks and seals behind a beginning are those of every chain, each byte of which another test changes.
    const lead = attestor.readChain(file).filter(({ kind }) => kind !== "block" && kind !== "seal");
    const leadEnd = lead.reduce((sum, { bytes }) => sum + bytes.length + 5, 10);
    for (let at = 0; at < leadEnd + 5; at += 1) {
      const changed = file.slice();
      changed[at] = (changed[at] as number) ^ 0x01;
      expect(verifyChainWith(withFittingTrailer(changed), clusterId, verifier), `byte ${at}`).toMatchObject({
        ok: false,
      });
    }
  });

  test("is cut off nowhere on the way to its checkpoint", () => {
    const base = attestor.condense({ genesis, records: stretches.slice(0, 5).flat() });
    const parts = { genesis, blocks: [], seals: [] };
    const file = attestor.exportChain({ ...parts, base: { checkpoint: base.checkpoint, hops: [] } });
    expect(verifyChainWith(file, clusterId, verifier)).toMatchObject({ fault: { reason: "bad-seal" } });
  });

  function atBase(file: Uint8Array): { readonly timeMs: number } {
    const checkpoint = attestor.readChain(file).find(({ kind }) => kind === "checkpoint");
    return { timeMs: follow(checkpoint?.bytes).committedTime() };
  }
});

describe("archived segments", () => {
  const story = writeTurns(5);
  const stretches = stretchesOf(story);
  const whole = verifyChainWith(story.file(), clusterId, verifier);
  const segments = segmentsOf(stretches, [3, 4, 8]);
  const current = keptFile(stretches, 8);
  const heights = [0, 3, 4, 8].map((put) => heightAfter(stretches.slice(0, put).flat()));
  const spans = [...heights, story.head.height].slice(1).map((to, index) => ({ from: heights[index], to }));

  test("and what is kept verify as the whole chain, in any order, and hold its very blocks", () => {
    const files = [...segments, current];
    expect(verifySequenceWith(files, clusterId, verifier)).toEqual({ ...whole, spans });
    expect(verifySequenceWith(files.toReversed(), clusterId, verifier)).toEqual({ ...whole, spans });
    const joined = attestor.readChain(joinChain(files, clusterId));
    expect(joined.filter(({ kind }) => kind !== "checkpoint")).toEqual(story.records);
    const request = { node: id("c"), atMs: testGenesis.createdMs + 4000 };
    const proof = proveNode(joinChain(files, clusterId), clusterId, request);
    expect(proof).toEqual(proveNode(story.file(), clusterId, request));
  });

  test("verify alone: the first by the cluster id, each later one from the checkpoint before it", () => {
    expect(verifyChainWith(segments[0] as Uint8Array, clusterId, verifier)).toMatchObject({ ok: true });
    const [first, second] = segments as [Uint8Array, Uint8Array];
    expect(verifyChainWith(second, clusterId, verifier)).toMatchObject({ fault: { reason: "untrusted" } });
    const from = attestor.readChain(first).at(-1)?.bytes as Uint8Array;
    expect(verifyChainWith(second, clusterId, verifier, { from })).toMatchObject({ ok: true, base: heights[1] });
    expect(verifyChainWith(second, clusterId, verifier, { trust: [id("a")] })).toMatchObject({ ok: true });
    expect(spanOf(second)).toEqual({ clusterId, from: heights[1], to: heights[2] });
    const to = attestor.readChain(second).at(-1)?.bytes as Uint8Array;
    expect(verifyChainWith(second, clusterId, verifier, { from: to })).toMatchObject({ ok: true });
    const third = segments[2] as Uint8Array;
    expect(verifyChainWith(third, clusterId, verifier, { from })).toMatchObject({
      fault: { reason: "wrong-checkpoint" },
    });
  });

  test("are judged beside a signed export of what is kept, which is refused where it was changed", () => {
    const exported = exportChainOf(current, clusterId, { exportedMs: 1 }, node("a").identity);
    expect(verifySequenceWith([...segments, exported], clusterId, verifier)).toEqual({ ...whole, spans });
    expect(exportFromJson(exportToJson(exported))).toEqual(exported);
    const [kept, head] = [(heights[3] as number) + 1, story.head.height];
    expect(verifyChainWith(exported, clusterId, verifier)).toMatchObject({
      ok: true,
      export: { from: kept, to: head },
    });
    const forged = encodeExport({ ...readExport(exported), exportedMs: 2 });
    expect(verifySequenceWith([...segments, forged], clusterId, verifier)).toMatchObject({
      file: 3,
      fault: { reason: "bad-export" },
    });
    const part = exportChainOf(current, clusterId, { exportedMs: 1, from: head, to: head }, node("a").identity);
    expect(verifyChainWith(part, clusterId, verifier, { trust: [id("a")] })).toMatchObject({ ok: true });
    for (const from of [1, kept - 1])
      expect(() => exportChainOf(current, clusterId, { exportedMs: 1, from }, node("a").identity)).toThrow(
        expect.objectContaining({ fault: expect.objectContaining({ reason: "archived" }) }),
      );
  });

  test("are vouched for from above by what is kept, where those before them are not at hand", () => {
    const files = [...segments.slice(1), current];
    expect(verifySequenceWith(files, clusterId, verifier)).toEqual({
      ...whole,
      base: heights[1],
      spans: spans.slice(1),
    });
    expect(verifySequenceWith(segments.slice(1), clusterId, verifier)).toMatchObject({
      fault: { reason: "untrusted" },
    });
  });

  test("are told apart: a gap, an overlap and a file of another cluster are named with the file", () => {
    const [first, second, third] = segments as [Uint8Array, Uint8Array, Uint8Array];
    const [, from, to] = heights as [number, number, number];
    expect(verifySequenceWith([first, third, current], clusterId, verifier)).toEqual({
      ok: false,
      file: 1,
      fault: { reason: "gap", height: from + 1, message: `blocks ${from + 1} to ${to} are in none of the files` },
    });
    const wide = segmentsOf(stretches, [4])[0] as Uint8Array;
    expect(verifySequenceWith([wide, second, third, current], clusterId, verifier)).toEqual({
      ok: false,
      file: 1,
      fault: {
        reason: "overlap",
        height: from + 1,
        message: `blocks ${from + 1} to ${to} are in more than one of the files`,
      },
    });
    expect(() => joinChain([first, first], clusterId)).toThrow(/overlap at height 1/);
    const foreign = new ChainWriter(node("a").createGenesis({ ...testGenesis, nonce: new Uint8Array(32).fill(8) }));
    foreign.propose([admit("b")]);
    foreign.seal("a");
    const verdict = verifySequenceWith([first, foreign.file()], clusterId, verifier);
    expect(verdict).toMatchObject({ ok: false, file: 1 });
    const alone = verifySequenceWith([foreign.file()], clusterId, verifier);
    expect(alone).toMatchObject({ ok: false, file: 0, fault: { reason: "wrong-cluster" } });
    expect(verifySequenceWith([new Uint8Array(3), first], clusterId, verifier)).toMatchObject({ ok: false, file: 0 });
    expect(verifySequenceWith([], clusterId, verifier)).toMatchObject({ ok: false });
  });

  test("of another history are named where they do not go on from the one before", () => {
    const theirs = segmentsOf(stretchesOf(writeTurns(5, new ChainWriter(testGenesis, 999))), [3, 4, 8]);
    const [first, , third] = segments as [Uint8Array, Uint8Array, Uint8Array];
    const files = [first, theirs[1] as Uint8Array, third];
    expect(verifySequenceWith(files, clusterId, verifier)).toMatchObject({
      ok: false,
      file: 1,
      fault: { reason: "wrong-checkpoint", height: heights[1] },
    });
  });

  test("are refused with any byte changed", () => {
    const [first, second] = segmentsOf(stretchesOf(writeStory()), [1, 2]) as [Uint8Array, Uint8Array];
    const from = attestor.readChain(first).at(-1)?.bytes as Uint8Array;
    expect(verifyChainWith(second, clusterId, verifier, { from }).ok).toBe(true);
    // Blocks and seals are those of every chain, each byte of which another test changes.
    const blocks = attestor.readChain(second).slice(1, -1);
    const blocksEnd = 15 + from.length + blocks.reduce((sum, { bytes }) => sum + bytes.length + 5, 0);
    for (const [file, options, parts] of [
      [first, {}, [[first.length - 50 - from.length, first.length]]],
      [
        second,
        { from },
        [
          [0, 15 + from.length],
          [blocksEnd, second.length],
        ],
      ],
    ] as const) {
      for (const at of parts.flatMap(([begin, end]) =>
        Array.from({ length: end - begin }, (_, offset) => begin + offset),
      )) {
        const changed = file.slice();
        changed[at] = (changed[at] as number) ^ 0x01;
        const forged = at < file.length - trailerBytes ? withFittingTrailer(changed) : changed;
        expect(verifyChainWith(forged, clusterId, verifier, options), `byte ${at}`).toMatchObject({ ok: false });
      }
    }
  });

  test("are the same bytes for every build that knows this version", () => {
    const [first, second] = segmentsOf(stretchesOf(writeStory()), [1, 2]) as [Uint8Array, Uint8Array];
    const golden = [first, second, keptFile(stretchesOf(writeStory()), 2)].map((file) => attestor.hash(file));
    expect(golden).toMatchInlineSnapshot(`
      [
        "4b33b3d1a6b7f816a06d57eb6613d151eadb444fcd91ee5b80e5d2cd0067acc4",
        "2dc17bf5b69970a4b01fd5e0202f90a4bed7b6933f70a1fc6f8620f8aa006afa",
        "9f5972d0ee1524dee94b730015497754100e541a72a5116a516b575feef289de",
      ]
    `);
  });
});

test("hops are checked for what they claim before anybody's seal is", () => {
  const base = attestor.condense({ genesis, records: writeTurns(2).records.slice(1) });
  const [first, second] = base.hops as [ChainBase["hops"][0], ChainBase["hops"][0]];
  const [one, other] = [openHop(first.bytes).parts, openHop(second.bytes).parts];
  expect(() => openHop(encodeHop({ ...one, state: other.state }))).toThrow(/wrong-commitment/);
  expect(() => openHop(encodeHop({ ...one, seal: other.seal }))).toThrow(/bad-seal/);
  expect(() => openHop(base.checkpoint)).toThrow(/malformed/);
  expect(() => attestor.placeOf({ kind: "block", bytes: first.bytes })).toThrow(/malformed/);
  expect(attestor.placeOf({ kind: "hop", bytes: first.bytes }).height).toBe(first.height);
  expect(attestor.placeOf({ kind: "checkpoint", bytes: base.checkpoint })).toEqual(base.head);
  expect(ed25519Verifier().verify(id("a"), first.bytes, new Uint8Array(64))).toBe(false);
});
