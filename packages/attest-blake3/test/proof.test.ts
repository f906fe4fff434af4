import type { NodeId } from "@revoada/fabric";
import { checkpointOf, ed25519Verifier, proveNode, verifyChainWith, verifyProofWith } from "@revoada/attest-blake3";
import { describe, expect, test } from "vitest";
import type { ChainRecord } from "../src/core/chain-file.ts";
import { encodeChainFile } from "../src/core/chain-file.ts";
import { encodeProof, readProof } from "../src/core/proof.ts";
import { admit, attestorOf, ChainWriter, id, rememberingVerifier, testGenesis, writeStory } from "./support.ts";

const { clusterId } = testGenesis;
const verifier = ed25519Verifier();
const start = 1_700_000_000_000;

/** The story, with its commands ten seconds apart: 1 admits, 2 forms {a, b, c}, 3 replaces c by d, 4 cordons d and admits e. */
function timedStory(): ChainWriter {
  return writeStory(10_000);
}

const story = timedStory();
const file = story.file();

function placeOf(node: string, atMs: number): unknown {
  const verdict = verifyProofWith(proveNode(file, clusterId, { node: id(node), atMs }), clusterId, verifier);
  if (!verdict.ok) throw new Error(JSON.stringify(verdict.fault));
  const { record, removed } = verdict;
  return record === undefined ? { removed } : [record.state, record.role, record.replica].join(" ");
}

describe("a proof of what a node was at a moment", () => {
  test.each([
    ["a", 0, "active bootstrap voter"],
    ["c", 0, { removed: false }],
    ["c", 10_000, "standby  none"],
    ["c", 25_000, "active master voter"],
    ["c", 30_000, "failed  none"],
    ["d", 29_998, "standby  none"],
    ["d", 35_000, "active master voter"],
    ["e", 39_998, { removed: false }],
  ])("says of %s at %i ms what the chain led to", (node, afterMs, expected) => {
    expect(placeOf(node, start + afterMs)).toEqual(expected);
  });

  test("verifies alone, is small, and tells from when until when, and who decided", () => {
    const bytes = proveNode(file, clusterId, { node: id("c"), atMs: start + 25_000 });
    expect(bytes.length).toBeLessThan(4096);
    const verdict = verifyProofWith(bytes, clusterId, verifier);
    expect(verdict).toMatchObject({
      ok: true,
      node: id("c"),
      generation: 6,
      height: 6,
      fromMs: start + 19_999,
      untilMs: start + 29_999,
      sealed: story.head,
      rests: "genesis",
      shift: { height: 6, verb: "promote", proposer: id("a"), reason: "a test says so" },
    });
  });

  test("after the last sealed shift says that nothing bounds it above", () => {
    const bytes = proveNode(file, clusterId, { node: id("e"), atMs: start + 1_000_000 });
    const verdict = verifyProofWith(bytes, clusterId, verifier);
    expect(verdict).toMatchObject({ ok: true, height: 11, record: { state: "standby" } });
    expect(verdict).not.toHaveProperty("untilMs");
  });

  test("tells a node that was removed for ever from one that was never there", () => {
    const writer = timedStory();
    writer.propose([{ verb: "remove", node: id("c") }], { proposer: "b" });
    writer.seal("bd");
    for (const [node, removed] of [
      ["c", true],
      ["f", false],
    ] as const) {
      const bytes = proveNode(writer.file(), clusterId, { node: id(node), atMs: start + 900_000 });
      const verdict = verifyProofWith(bytes, clusterId, verifier);
      expect(verdict).toMatchObject({ ok: true, removed });
      expect(verdict).not.toHaveProperty("record");
    }
  });

  test("goes by what shifted the node, and not by a switch that it gave the word for", () => {
    const writer = timedStory();
    const declaration = new TextEncoder().encode("another declaration");
    writer.propose([{ verb: "declare", node: id("b"), declaration, withinMs: 60_000 }], { proposer: "b" });
    writer.propose([{ verb: "confirm", node: id("b") }], { proposer: "b" });
    writer.seal("bd");
    const bytes = proveNode(writer.file(), clusterId, { node: id("b"), atMs: start + 900_000 });
    expect(verifyProofWith(bytes, clusterId, verifier)).toMatchObject({
      ok: true,
      record: { state: "active", role: "master", replica: "voter" },
      shift: { verb: "promote" },
    });
  });

  test("is not made before the founding, of what is not sealed, or over a recovery", () => {
    const unproven = expect.objectContaining({ fault: expect.objectContaining({ reason: "unproven" }) });
    expect(() => proveNode(file, clusterId, { node: id("a"), atMs: start - 1 })).toThrow(unproven);
    const open = timedStory();
    open.propose([{ verb: "restore", node: id("d") }], { proposer: "b" });
    expect(() => proveNode(open.file(), clusterId, { node: id("d"), atMs: start + 900_000 })).toThrow(unproven);
    const alone = timedStory();
    alone.propose([{ verb: "recover", node: id("b") }], { proposer: "b" });
    alone.seal("b");
    alone.propose([admit("f")], { proposer: "b" });
    alone.seal("b");
    const request = { node: id("b"), atMs: start + 900_000 };
    expect(() => proveNode(alone.file(), clusterId, request)).toThrow(unproven);
    const from = checkpointOf(alone.file(), clusterId, verifier);
    alone.propose([{ verb: "cordon", node: id("f") }], { proposer: "b" });
    alone.seal("b");
    const bytes = proveNode(alone.file(), clusterId, { ...request, from });
    expect(verifyProofWith(bytes, clusterId, verifier, { from })).toMatchObject({ ok: true, rests: "checkpoint" });
  });
});

describe("what a proof rests on", () => {
  const bytes = proveNode(file, clusterId, { node: id("c"), atMs: start + 25_000 });

  test("is another cluster's genesis, hence nothing, where the id is another", () => {
    const other = attestorOf("b").createGenesis({ ...testGenesis, nonce: new Uint8Array(32) });
    expect(verifyProofWith(bytes, other.clusterId, verifier)).toMatchObject({
      ok: false,
      fault: { reason: "wrong-cluster" },
    });
  });

  test("may be keys that are known to vote, a majority of which has to have sealed", () => {
    const trusting = (letters: string): unknown =>
      verifyProofWith(bytes, clusterId, verifier, { trust: [...letters].map(id) });
    expect(trusting("bd")).toMatchObject({ ok: true, rests: "keys" });
    expect(trusting("abd")).toMatchObject({ ok: true });
    expect(trusting("aef")).toMatchObject({ ok: false, fault: { reason: "untrusted", height: 11 } });
    expect(trusting("bace")).toMatchObject({ ok: false, fault: { reason: "untrusted" } });
  });

  test("may be a checkpoint, from which one goes on, and no other chain's", () => {
    const early = encodeChainFile(story.records.slice(0, 12));
    const from = checkpointOf(early, clusterId, verifier);
    expect(verifyProofWith(bytes, clusterId, verifier, { from })).toMatchObject({ ok: false });
    const own = proveNode(file, clusterId, { node: id("c"), atMs: start + 25_000, from });
    expect(own.length).toBeLessThan(bytes.length);
    expect(verifyProofWith(own, clusterId, verifier, { from })).toMatchObject({ ok: true, rests: "checkpoint" });
    expect(verifyProofWith(own, clusterId, verifier)).toMatchObject({ ok: false, fault: { reason: "bad-seal" } });
  });

  test("goes over every majority that was replaced, and over no more seals than that takes", () => {
    const hops = readProof(bytes).hops.map(({ header }) => header);
    // The founder, whom genesis names, sealed the change to {a, b, d} too, and two of these sealed the head.
    expect(hops).toHaveLength(2);
    const skipped = { ...readProof(bytes), hops: readProof(bytes).hops.slice(1) };
    expect(verifyProofWith(encodeProof(skipped), clusterId, verifier)).toMatchObject({
      ok: false,
      fault: { reason: "bad-seal" },
    });
  });
});

describe("a chain in which every voter was replaced and came back", () => {
  const writer = new ChainWriter(testGenesis, 1000);
  const take = (leaves: string, enters: string, sealers: string): void => {
    const [proposer = ""] = sealers;
    const seats = [
      { verb: "seat", node: id(leaves), replica: "none" },
      { verb: "seat", node: id(enters), replica: "voter" },
    ] as const;
    writer.propose(seats, { proposer });
    writer.seal(sealers);
  };
  writer.propose(["b", "c", "d", "e"].map((letter) => admit(letter)));
  writer.propose([
    { verb: "reassign", node: id("a"), role: "master" },
    ...["b", "c", "d", "e"].map((letter) => {
      const replica = letter < "d" ? "voter" : "none";
      return { verb: "promote", node: id(letter), role: "master", replica } as const;
    }),
  ]);
  writer.seal("a");
  const from = checkpointOf(writer.file(), clusterId, verifier);
  take("a", "d", "bc");
  take("b", "e", "cd");
  take("c", "a", "de");
  take("d", "b", "ea");
  const without = writer.file();
  take("e", "c", "ab");

  const request = { node: id("c"), atMs: start + 3000, from };
  const hopsOf = (proof: Uint8Array): number => readProof(proof).hops.length;

  test("is leapt over to the farthest seal that a majority of those who are trusted signed", () => {
    const proof = proveNode(writer.file(), clusterId, request);
    expect(hopsOf(proof)).toBe(1);
    expect(verifyProofWith(proof, clusterId, verifier, { from })).toMatchObject({ ok: true, sealed: writer.head });
  });

  test("takes a hop for each majority that has to be told where none of the later ones is trusted", () => {
    const proof = proveNode(without, clusterId, request);
    expect(hopsOf(proof)).toBe(4);
    expect(verifyProofWith(proof, clusterId, verifier, { from })).toMatchObject({ ok: true, rests: "checkpoint" });
  });
});

test("a file from a checkpoint on verifies with that checkpoint, with trusted keys, and with nothing less", () => {
  const from = checkpointOf(encodeChainFile(story.records.slice(0, 8)), clusterId, verifier);
  const rest = encodeChainFile([{ kind: "checkpoint", bytes: from }, ...story.records.slice(8)]);
  expect(verifyChainWith(rest, clusterId, verifier, { from })).toMatchObject({ ok: true, head: story.head, base: 6 });
  expect(verifyChainWith(rest, clusterId, verifier, { trust: [id("b"), id("d")] })).toMatchObject({ ok: true });
  expect(verifyChainWith(rest, clusterId, verifier)).toMatchObject({ ok: false, fault: { reason: "untrusted" } });
  expect(verifyChainWith(rest, clusterId, verifier, { trust: [id("e")] })).toMatchObject({
    ok: false,
    fault: { reason: "untrusted" },
  });
  // The whole chain leads through it too.
  expect(verifyChainWith(file, clusterId, verifier, { from })).toMatchObject({ ok: true, head: story.head });
  const other = timedStory();
  other.records = other.records.slice(0, 4);
  const short = encodeChainFile(other.records);
  expect(verifyChainWith(short, clusterId, verifier, { from })).toMatchObject({
    ok: false,
    fault: { reason: "wrong-checkpoint" },
  });
});

test("a checkpoint that was reached keeps those in force who were in force there, whatever seals the file leaves out below", () => {
  // {a, b, c} seal a change to {b, d, e}; a verifier keeps a checkpoint. Then the keys of a and c are stolen.
  const writer = new ChainWriter();
  writer.propose([admit("b"), admit("c"), admit("d"), admit("e")]);
  writer.propose(
    ["b", "c"].map((letter) => ({ verb: "promote", node: id(letter), role: "master", replica: "voter" }) as const),
  );
  writer.seal("a");
  const before = writer.records.length;
  writer.propose([
    { verb: "seat", node: id("a"), replica: "none" },
    { verb: "seat", node: id("c"), replica: "none" },
    ...["d", "e"].map((letter) => ({ verb: "promote", node: id(letter), role: "master", replica: "voter" }) as const),
  ]);
  writer.seal("ab");
  const from = checkpointOf(writer.file(), clusterId, verifier);
  const unsealed = writer.records.filter(({ kind }, index) => index < before || kind === "block");
  const forged = new ChainWriter();
  Object.assign(forged, { ...writer, records: [...unsealed] });
  forged.propose([{ verb: "cordon", node: id("e") }], { proposer: "b" });
  forged.seal("ac");
  expect(verifyChainWith(forged.file(), clusterId, verifier, { from })).toMatchObject({
    ok: false,
    fault: { reason: "bad-seal", height: forged.head.height },
  });
});

describe("whoever changes one byte", () => {
  const remembering = rememberingVerifier();

  function refusesEach(bytes: Uint8Array, accepted: (changed: Uint8Array) => boolean): number {
    let refused = 0;
    for (let offset = 0; offset < bytes.length; offset += 1) {
      const changed = bytes.slice();
      changed[offset] = (changed[offset] as number) ^ (1 << (offset % 8));
      if (accepted(changed)) throw new Error(`byte ${offset} of ${bytes.length} was changed and it holds`);
      refused += 1;
    }
    return refused;
  }

  test("of a proof has it refused, or has asked for another moment of the same state", () => {
    const bytes = proveNode(file, clusterId, { node: id("d"), atMs: start + 25_000 });
    const original = verifyProofWith(bytes, clusterId, remembering);
    if (!original.ok) throw new Error(original.fault.message);
    const refused = refusesEach(bytes, (changed) => {
      const verdict = verifyProofWith(changed, clusterId, remembering);
      if (!verdict.ok) return false;
      // The moment is the question and not a part of what is proven: within the bounds any moment has the same answer.
      const { atMs } = verdict;
      expect(atMs >= original.fromMs && atMs < (original.untilMs as number)).toBe(true);
      expect({ ...verdict, atMs: original.atMs }).toEqual(original);
      return false;
    });
    expect(refused).toBe(bytes.length);
  });

  test("of a checkpoint has it refused by whoever would go on from it", () => {
    const early = story.records.slice(0, 8);
    const from = checkpointOf(encodeChainFile(early), clusterId, verifier);
    const refused = refusesEach(from, (changed) => {
      const rest: ChainRecord[] = [{ kind: "checkpoint", bytes: changed }, ...story.records.slice(8)];
      return verifyChainWith(encodeChainFile(rest), clusterId, remembering, { from }).ok;
    });
    expect(refused).toBe(from.length);
  });
});

test("random bytes are no proof, whoever is trusted", () => {
  const trust: readonly NodeId[] = [id("a")];
  for (let length = 0; length < 64; length += 1) {
    const bytes = Uint8Array.from({ length }, (_, index) => (index * 37 + length) % 256);
    expect(verifyProofWith(bytes, clusterId, verifier, { trust })).toMatchObject({ ok: false });
  }
});
