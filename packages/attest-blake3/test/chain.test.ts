import type { ChainFault, ClusterId } from "@revoada/fabric";
import { encodeCanonical, verifyChainWith } from "@revoada/attest-blake3";
import { describe, expect, test } from "vitest";
import { readBlock } from "../src/core/block.ts";
import type { ChainRecord } from "../src/core/chain-file.ts";
import { encodeChainFile } from "../src/core/chain-file.ts";
import type { CanonicalValue } from "../src/core/canonical.ts";
import { decodeCanonical } from "../src/core/canonical.ts";
import {
  admit,
  attestorOf,
  ChainWriter,
  id,
  node,
  rememberingVerifier,
  sealBy,
  storeOf,
  testGenesis,
  writeStory,
  zeroHash,
} from "./support.ts";

const { verifyChain } = node("f");
const { clusterId } = testGenesis;

function faultOf(file: Uint8Array): ChainFault {
  const verdict = verifyChain(file, clusterId);
  if (verdict.ok) throw new Error("the chain verified");
  return verdict.fault;
}

/** The items of a record, to be changed and put together again. */
function itemsOf(bytes: Uint8Array): CanonicalValue[] {
  return [...(decodeCanonical(bytes, { maxBytes: 1024 * 1024 }) as readonly CanonicalValue[])];
}

function withItem(bytes: Uint8Array, index: number, value: CanonicalValue): Uint8Array {
  return encodeCanonical(itemsOf(bytes).with(index, value));
}

/** A block with one item of its header changed. */
function withHeaderItem(block: Uint8Array, index: number, value: CanonicalValue): Uint8Array {
  const [header, command] = itemsOf(block) as [Uint8Array, CanonicalValue];
  return encodeCanonical([withItem(header, index, value), command]);
}

/** A block that names and holds another command. */
function withCommand(block: Uint8Array, command: Uint8Array): Uint8Array {
  return withItem(withHeaderItem(block, 7, Buffer.from(node("a").hash(command), "hex")), 1, command);
}

/** A command's envelope with one item of its body changed, and signed again where a signer is given. */
function withBodyItem(bytes: Uint8Array, index: number, value: CanonicalValue, signer?: string): Uint8Array {
  const [body, signature] = itemsOf(bytes) as [Uint8Array, Uint8Array];
  const changed = withItem(body, index, value);
  return encodeCanonical([changed, signer === undefined ? signature : node(signer).identity.sign(changed)]);
}

/** A chain of one forged block after the genesis. */
function oneBlock(change: (bytes: Uint8Array) => Uint8Array): Uint8Array {
  const writer = new ChainWriter();
  writer.propose([admit("b")]);
  const [genesis, block] = writer.records as [ChainRecord, ChainRecord];
  return encodeChainFile([genesis, { kind: "block", bytes: change(block.bytes) }]);
}

function appendSigned(writer: ChainWriter, bytes: Uint8Array): Uint8Array {
  writer.append(writer.command([admit("b")]), bytes);
  return writer.file();
}

/** Voters {a, b, c}, the command that seats them not sealed. */
function formed(): ChainWriter {
  const writer = new ChainWriter();
  writer.propose([admit("b"), admit("c"), admit("d"), admit("e")]);
  writer.propose([
    { verb: "promote", node: id("b"), role: "master", replica: "voter" },
    { verb: "promote", node: id("c"), role: "master", replica: "voter" },
  ]);
  return writer;
}

describe("a chain verifies", () => {
  test("from its bytes and the cluster id alone, up to its sealed head", () => {
    const story = writeStory();
    expect(verifyChain(story.file(), clusterId)).toEqual({
      ok: true,
      clusterId,
      head: story.head,
      sealed: story.head,
      generation: story.formation.generation,
      recoveries: [],
    });
    expect(story.head.height).toBe(11);
  });

  test("with nothing but genesis, where nothing is sealed", () => {
    const verdict = verifyChain(new ChainWriter().file(), clusterId);
    expect(verdict).toEqual({
      ok: true,
      recoveries: [],
      clusterId,
      head: { height: 0, hash: clusterId },
      generation: 0,
    });
  });

  test("with a tail that is not sealed, and says where the seals end", () => {
    const story = writeStory();
    const sealed = story.head;
    story.propose([{ verb: "restore", node: id("d") }]);
    expect(verifyChain(story.file(), clusterId)).toMatchObject({ ok: true, head: story.head, sealed });
  });

  test("when exported from its parts, whatever the order of the seals", () => {
    const story = writeStory();
    const parts = { genesis: story.genesis.bytes, blocks: story.blocks(), seals: story.seals().toReversed() };
    expect(node("c").exportChain(parts)).toEqual(story.file());
  });

  test("when a seal covers a head in the middle of a command", () => {
    const writer = formed();
    const middle = writer.blocks()[4] as Uint8Array;
    const head = { height: 5, hash: node("a").blockHash(middle) };
    const seals = [sealBy([node("a")], clusterId, head)];
    const verdict = verifyChain(
      node("a").exportChain({ genesis: writer.genesis.bytes, blocks: writer.blocks(), seals }),
      clusterId,
    );
    expect(verdict).toMatchObject({ ok: true, head: writer.head, sealed: head });
  });

  test("holding the bytes of a command once, however many blocks it makes", () => {
    const blocks = writeStory()
      .blocks()
      .map((bytes, index) => readBlock(bytes, index + 1));
    expect(blocks.map(({ command }) => command !== undefined)).toEqual([
      true,
      false,
      false,
      true,
      false,
      false,
      true,
      false,
      false,
      true,
      false,
    ]);
    expect(blocks.map(({ ordinal }) => ordinal)).toEqual([0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 2]);
  });
});

describe("a chain is refused as", () => {
  test("bad-magic, when the file is something else", () => {
    expect(faultOf(new TextEncoder().encode("apiVersion: v1\n"))).toMatchObject({ reason: "bad-magic", height: 0 });
  });

  test("unknown-version, when the file, a block, a command, a seal or the genesis is newer", () => {
    const file = writeStory().file();
    file[9] = 2;
    expect(faultOf(file)).toMatchObject({ reason: "unknown-version", message: expect.stringContaining("version 2") });
    expect(faultOf(oneBlock((bytes) => withHeaderItem(bytes, 0, "revoada/block/2")))).toMatchObject({
      reason: "unknown-version",
      height: 1,
    });

    const writer = new ChainWriter();
    const signed = node("a").signCommand(writer.command([admit("b")]));
    const command = withBodyItem(signed, 0, "revoada/command/7", "a");
    const block = oneBlock((bytes) => withCommand(bytes, command));
    expect(faultOf(block)).toMatchObject({
      reason: "unknown-version",
      message: expect.stringContaining("a command of version 7"),
    });

    const story = writeStory();
    const seal = story.records.pop() as ChainRecord;
    story.records.push({ kind: "seal", bytes: withItem(seal.bytes, 0, "revoada/seal/2") });
    expect(faultOf(story.file())).toMatchObject({ reason: "unknown-version", height: 11 });

    const genesis = withBodyItem(testGenesis.bytes, 0, "revoada/genesis/2", "a");
    expect(faultOf(encodeChainFile([{ kind: "genesis", bytes: genesis }]))).toMatchObject({
      reason: "unknown-version",
      height: 0,
    });
  });

  test("truncated, wherever it is cut", () => {
    const file = writeStory().file();
    const verifier = rememberingVerifier();
    for (let length = 0; length < file.length; length += 1) {
      const verdict = verifyChainWith(file.subarray(0, length), clusterId, verifier);
      if (verdict.ok || verdict.fault.reason !== "truncated")
        throw new Error(`cut to ${length} bytes: ${JSON.stringify(verdict)}`);
    }
  });

  test("truncated, when it ends in the middle of a command", () => {
    const writer = formed();
    writer.records.pop();
    expect(faultOf(writer.file())).toMatchObject({ reason: "truncated", height: 6 });
  });

  test("truncated or malformed, when the trailer counts other records than there are", () => {
    const file = writeStory().file();
    const more = file.slice();
    more[more.length - 5] = (more[more.length - 5] as number) + 1;
    expect(faultOf(more).reason).toBe("truncated");
    const fewer = file.slice();
    fewer[fewer.length - 5] = (fewer[fewer.length - 5] as number) - 1;
    expect(faultOf(fewer).reason).toBe("malformed");
  });

  test("malformed, when the trailer's checksum is another, a record too long, a tag unknown or a block not a block", () => {
    const story = writeStory();
    const file = story.file();
    file[file.length - 1] = (file[file.length - 1] as number) ^ 1;
    expect(faultOf(file)).toMatchObject({ reason: "malformed", height: 12 });

    const long = story.file();
    long[11] = 0xff;
    expect(faultOf(long)).toMatchObject({ reason: "malformed", message: expect.stringContaining("at most") });

    const tag = story.file();
    tag[10] = 9;
    expect(faultOf(tag)).toMatchObject({ reason: "malformed", message: "unknown record tag 9" });

    expect(faultOf(oneBlock(() => encodeCanonical([1, 2, 3])))).toMatchObject({ reason: "malformed", height: 1 });
    expect(faultOf(oneBlock((bytes) => encodeCanonical([...itemsOf(bytes), 0])))).toMatchObject({
      reason: "malformed",
      height: 1,
    });
  });

  test("malformed, when a block names one command and holds another", () => {
    expect(faultOf(oneBlock((bytes) => withHeaderItem(bytes, 7, new Uint8Array(32))))).toMatchObject({
      reason: "malformed",
      height: 1,
    });
  });

  test("malformed, when a later block repeats the command or a genesis stands in the middle", () => {
    const writer = new ChainWriter();
    const [first] = writer.propose([admit("b"), admit("c")]);
    const { command } = readBlock((first as { bytes: Uint8Array }).bytes, 1);
    const second = writer.records.pop() as ChainRecord;
    writer.records.push({ kind: "block", bytes: withItem(second.bytes, 1, command as Uint8Array) });
    expect(faultOf(writer.file())).toMatchObject({ reason: "malformed", height: 2 });

    const story = writeStory();
    story.records.splice(4, 0, { kind: "genesis", bytes: testGenesis.bytes });
    expect(faultOf(story.file())).toMatchObject({ reason: "malformed", height: 3 });
  });

  test("bad-genesis, when there is none, it is not one, or its founder did not sign it", () => {
    expect(faultOf(encodeChainFile([]))).toMatchObject({ reason: "bad-genesis", height: 0 });
    expect(faultOf(encodeChainFile(writeStory().records.slice(1)))).toMatchObject({ reason: "bad-genesis", height: 0 });
    const [body] = itemsOf(testGenesis.bytes) as [Uint8Array];
    for (const bytes of [
      encodeCanonical([1]),
      encodeCanonical([body, new Uint8Array(64)]),
      encodeCanonical([body, null]),
      withBodyItem(testGenesis.bytes, 6, "elsewhere"),
      withBodyItem(testGenesis.bytes, 6, "two\nlines", "a"),
    ]) {
      expect(faultOf(encodeChainFile([{ kind: "genesis", bytes }]))).toMatchObject({
        reason: "bad-genesis",
        height: 0,
      });
    }
  });

  test("wrong-cluster, when its genesis is another or a command is for another cluster", () => {
    const other = node("a").createGenesis({ ...testGenesis, nonce: new Uint8Array(32).fill(8) });
    expect(faultOf(new ChainWriter(other).file())).toMatchObject({ reason: "wrong-cluster", height: 0 });
    const writer = new ChainWriter();
    writer.propose([admit("b")], { clusterId: other.clusterId });
    expect(faultOf(writer.file())).toMatchObject({ reason: "wrong-cluster", height: 1 });
  });

  test("wrong-cluster, when the id that is asked for is no id at all", () => {
    const verdict = verifyChain(writeStory().file(), "nonsense" as ClusterId);
    expect(verdict).toMatchObject({ ok: false, fault: { reason: "wrong-cluster" } });
  });

  test("wrong-commitment, when the last block of a command commits to other blocks, another state or nothing, or another to anything", () => {
    for (const item of [8, 9])
      expect(faultOf(oneBlock((bytes) => withHeaderItem(bytes, item, new Uint8Array(32))))).toMatchObject({
        reason: "wrong-commitment",
        height: 1,
      });
    const without = oneBlock((bytes) => {
      const [header, command] = itemsOf(bytes) as [Uint8Array, CanonicalValue];
      return encodeCanonical([encodeCanonical(itemsOf(header).slice(0, 8)), command]);
    });
    expect(faultOf(without)).toMatchObject({ reason: "wrong-commitment", height: 1 });
    const early = new ChainWriter();
    early.propose([admit("b"), admit("c")]);
    const [genesis, first, second] = early.records as [ChainRecord, ChainRecord, ChainRecord];
    const [header, command] = itemsOf(first.bytes) as [Uint8Array, CanonicalValue];
    const roots = [new Uint8Array(32), new Uint8Array(32)];
    const bytes = encodeCanonical([encodeCanonical([...itemsOf(header), ...roots]), command]);
    expect(faultOf(encodeChainFile([genesis, { kind: "block", bytes }, second]))).toMatchObject({
      reason: "wrong-commitment",
      height: 1,
    });
  });

  test("broken-link, when a block is dropped, doubled, swapped or of another chain", () => {
    const story = writeStory();
    const isBlock = (index: number): boolean => story.records[index]?.kind === "block";
    for (let index = 1; index < story.records.length; index += 1) {
      if (!isBlock(index)) continue;
      const dropped = encodeChainFile(story.records.toSpliced(index, 1));
      expect(faultOf(dropped).reason, `without record ${index}`).toMatch(
        isBlock(index + 1) ? /^broken-link$/ : /^bad-seal$/,
      );
      const doubled = encodeChainFile(story.records.toSpliced(index, 0, story.records[index] as ChainRecord));
      expect(faultOf(doubled).reason, `record ${index} twice`).toBe("broken-link");
      if (!isBlock(index + 1)) continue;
      const swapped = [...story.records];
      [swapped[index], swapped[index + 1]] = [swapped[index + 1] as ChainRecord, swapped[index] as ChainRecord];
      expect(faultOf(encodeChainFile(swapped)).reason, `record ${index} swapped`).toBe("broken-link");
    }
    expect(faultOf(oneBlock((bytes) => withHeaderItem(bytes, 2, new Uint8Array(32))))).toMatchObject({
      reason: "broken-link",
      height: 1,
    });
    expect(faultOf(oneBlock((bytes) => withHeaderItem(bytes, 1, 2)))).toMatchObject({
      reason: "broken-link",
      height: 1,
    });
  });

  test("bad-signature, when a command was changed after it was signed or signed by somebody else", () => {
    const writer = new ChainWriter();
    const signed = node("a").signCommand(writer.command([admit("b")]));
    expect(faultOf(appendSigned(writer, withBodyItem(signed, 4, "another reason")))).toMatchObject({
      reason: "bad-signature",
      height: 1,
    });
    expect(faultOf(appendSigned(new ChainWriter(), withBodyItem(signed, 4, "another reason", "b")))).toMatchObject({
      reason: "bad-signature",
    });
  });

  test("missing-signature, when a command is not signed or a block has no command", () => {
    const writer = new ChainWriter();
    const [body] = itemsOf(node("a").signCommand(writer.command([admit("b")]))) as [Uint8Array];
    expect(faultOf(appendSigned(writer, encodeCanonical([body, null])))).toMatchObject({
      reason: "missing-signature",
      height: 1,
    });
    expect(faultOf(oneBlock((bytes) => withItem(bytes, 1, null)))).toMatchObject({
      reason: "missing-signature",
      height: 1,
    });
  });

  test("not-a-voter, when its proposer is unknown, no voter, or no voter any more", () => {
    for (const proposer of ["z", "d"]) {
      const writer = formed();
      writer.seal("a");
      writer.propose([{ verb: "cordon", node: id("e") }], { proposer });
      expect(faultOf(writer.file()), proposer).toMatchObject({ reason: "not-a-voter", height: 7 });
    }
    const story = writeStory();
    story.propose([{ verb: "restore", node: id("d") }], { proposer: "c" });
    expect(faultOf(story.file())).toMatchObject({ reason: "not-a-voter", height: 12 });
  });

  test("not-a-voter, when a real command is proposed again by a stranger, however often the blocks are linked anew", () => {
    const writer = new ChainWriter();
    const stranger = attestorOf("z");
    const command = { ...writer.command([admit("b")]), proposer: stranger.identity.id };
    writer.append(command, stranger.signCommand(command));
    expect(faultOf(writer.file())).toMatchObject({ reason: "not-a-voter", height: 1 });
  });

  test("out-of-order, when the log index or the term of a command does not rise", () => {
    const index = new ChainWriter();
    index.propose([admit("b")], { index: 5 });
    index.propose([admit("c")], { index: 5 });
    expect(faultOf(index.file())).toMatchObject({ reason: "out-of-order", height: 2 });
    const term = new ChainWriter();
    term.propose([admit("b")], { term: 1, entryTerm: 3 });
    term.propose([admit("c")], { term: 1, entryTerm: 2 });
    expect(faultOf(term.file())).toMatchObject({ reason: "out-of-order", height: 2 });
    const early = new ChainWriter();
    early.propose([admit("b")], { term: 4, entryTerm: 3 });
    expect(faultOf(early.file())).toMatchObject({ reason: "out-of-order", height: 1 });
  });

  test("out-of-order, when an ordinal is not that of the next transition", () => {
    expect(faultOf(oneBlock((bytes) => withHeaderItem(bytes, 6, 1)))).toMatchObject({
      reason: "out-of-order",
      height: 1,
    });
  });

  test("out-of-order, when a command begins before all blocks of the last one are there", () => {
    const writer = new ChainWriter();
    writer.propose([admit("b"), admit("c")]);
    const second = writer.records.pop() as ChainRecord;
    for (const [item, value] of [
      [7, new Uint8Array(32)],
      [5, 9],
      [4, 9],
    ] as const) {
      const bytes = withHeaderItem(second.bytes, item, value);
      expect(faultOf(encodeChainFile([...writer.records, { kind: "block", bytes }]))).toMatchObject({
        reason: "out-of-order",
        height: 2,
      });
    }
  });

  test("generation-gap, when a command is for another formation or a block has another generation", () => {
    const writer = new ChainWriter();
    const command = writer.command([admit("b")], { baseGeneration: 3 });
    const bytes = node("a").signCommand(command);
    const skipped = oneBlock((block) => withCommand(block, bytes));
    expect(faultOf(skipped)).toMatchObject({ reason: "generation-gap", height: 1 });
    expect(faultOf(oneBlock((block) => withHeaderItem(block, 3, 2)))).toMatchObject({
      reason: "generation-gap",
      height: 1,
    });
  });

  test("illegal-transition, when the table does not list it, it changes nothing, or an even number of voters would be left", () => {
    const forged = (transitions: Parameters<ChainWriter["command"]>[0]): Uint8Array => {
      const writer = new ChainWriter();
      const bytes = node("a").signCommand(writer.command(transitions));
      return oneBlock((block) => withCommand(block, bytes));
    };
    expect(faultOf(forged([{ verb: "promote", node: id("b"), role: "master" }]))).toMatchObject({
      reason: "illegal-transition",
      height: 1,
    });
    expect(faultOf(forged([{ verb: "restore", node: id("a") }]))).toMatchObject({
      reason: "illegal-transition",
      height: 1,
    });
    const evens = [admit("b"), { verb: "promote", node: id("b"), role: "master", replica: "voter" }] as const;
    expect(faultOf(forged(evens))).toMatchObject({
      reason: "illegal-transition",
      message: expect.stringContaining("2 voters"),
    });
  });

  test("bad-seal, when the leader or a majority is missing, a signer did not vote then, or a signature is wrong", () => {
    const cases: Readonly<Record<string, (writer: ChainWriter) => void>> = {
      "one of three": (writer) => writer.seal("a"),
      "a stranger among them": (writer) => writer.seal("abd"),
      "a stranger leads": (writer) => writer.seal("zab"),
      "another head": (writer) => writer.seal("ab", { ...writer.head, hash: zeroHash }),
      "a head that is not there": (writer) => writer.seal("ab", { ...writer.head, height: 40 }),
      "a head that is sealed": (writer) => {
        writer.seal("ab");
        writer.seal("abc");
      },
      "the leader did not sign": (writer) => {
        const signatures = ["b", "c"].map((letter) => node(letter).signHead(clusterId, writer.head));
        writer.records.push({
          kind: "seal",
          bytes: node("a").encodeSeal({ head: writer.head, leader: id("a"), signatures }),
        });
      },
      "a signature for another cluster": (writer) => {
        const bytes = sealBy([node("a"), node("b")], zeroHash as string as ClusterId, writer.head);
        writer.records.push({ kind: "seal", bytes });
      },
    };
    for (const [name, add] of Object.entries(cases)) {
      const writer = formed();
      writer.seal("a");
      writer.propose([{ verb: "cordon", node: id("e") }]);
      add(writer);
      expect(faultOf(writer.file()).reason, name).toBe("bad-seal");
    }
  });

  test("bad-seal, when one signer stands twice to look like two", () => {
    const writer = formed();
    writer.seal("a");
    writer.propose([{ verb: "cordon", node: id("e") }]);
    const own = [Buffer.from(id("a"), "hex"), node("a").signHead(clusterId, writer.head).signature] as const;
    const hash = Buffer.from(writer.head.hash, "hex");
    const bytes = encodeCanonical(["revoada/seal/1", 7, hash, own[0], [own, own]]);
    writer.records.push({ kind: "seal", bytes });
    expect(faultOf(writer.file())).toMatchObject({ reason: "malformed", height: 7 });
  });

  test("bad-seal, when it does not stand right after its block", () => {
    const writer = new ChainWriter();
    writer.propose([admit("b")]);
    const early = writer.head;
    writer.propose([admit("c")]);
    writer.seal("a", early);
    expect(faultOf(writer.file())).toMatchObject({ reason: "bad-seal", height: 1 });
  });

  test("bad-seal, when those who are to vote next seal their own change, also from a later block", () => {
    const own = formed();
    own.seal("bc");
    expect(faultOf(own.file())).toMatchObject({ reason: "bad-seal", height: 6 });
    const later = formed();
    later.propose([{ verb: "cordon", node: id("e") }], { proposer: "b" });
    later.seal("bc");
    expect(faultOf(later.file())).toMatchObject({ reason: "bad-seal", height: 7 });
  });

  test("unsealed-voter-change, when voters change twice and the first change is not sealed to its last block", () => {
    const next = [
      { verb: "seat", node: id("c"), replica: "none" },
      { verb: "promote", node: id("d"), role: "master", replica: "voter" },
    ] as const;
    const writer = formed();
    writer.propose(next);
    expect(faultOf(writer.file())).toMatchObject({ reason: "unsealed-voter-change", height: 7 });

    const half = formed();
    const middle = { height: 5, hash: node("a").blockHash(half.blocks()[4] as Uint8Array) };
    half.records.splice(-1, 0, { kind: "seal", bytes: sealBy([node("a")], clusterId, middle) });
    half.propose(next);
    expect(faultOf(half.file())).toMatchObject({ reason: "unsealed-voter-change", height: 7 });

    const whole = formed();
    whole.seal("a");
    whole.propose(next);
    expect(verifyChain(whole.file(), clusterId)).toMatchObject({ ok: true });
  });

  test("unsealed-voter-change, when a voter comes back with another store", () => {
    const writer = formed();
    const wiped = {
      ...admit("c"),
      admission: { storeId: storeOf("w"), generation: 2, incarnation: 0, zone: "", version: "" },
    } as const;
    writer.propose([{ verb: "evict", node: id("c") }]);
    writer.propose([wiped]);
    expect(faultOf(writer.file())).toMatchObject({ reason: "unsealed-voter-change", height: 8 });
  });

  test("trailing-bytes, when anything follows the trailer", () => {
    const file = writeStory().file();
    const longer = new Uint8Array(file.length + 1);
    longer.set(file, 0);
    expect(faultOf(longer)).toMatchObject({ reason: "trailing-bytes", height: 12 });
  });
});
