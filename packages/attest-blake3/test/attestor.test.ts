import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { FormationCommand, Transition } from "@revoada/fabric";
import { identityFromSeed } from "@revoada/attest-blake3";
import { describe, expect, test } from "vitest";
import { readBlock } from "../src/core/block.ts";
import { admit, ChainWriter, id, node, sealBy, testGenesis, writeStory, zeroHash } from "./support.ts";

const { clusterId } = testGenesis;
const testdata = join(import.meta.dirname, "..", "testdata");

function golden(name: string): Uint8Array {
  return Uint8Array.from(Buffer.from(readFileSync(join(testdata, name), "utf8").replaceAll("\n", ""), "hex"));
}

const everyVerb: readonly Transition[] = [
  admit("b"),
  {
    verb: "admit",
    node: id("c"),
    admission: { ...(admit("c") as Extract<Transition, { verb: "admit" }>).admission, tokenId: "0f".repeat(16) },
  },
  { verb: "promote", node: id("b"), role: "master" },
  { verb: "promote", node: id("b"), role: "arbiter", replica: "voter" },
  { verb: "reassign", node: id("b"), role: "worker" },
  { verb: "reassign", node: id("b"), role: "observer", replica: "learner" },
  { verb: "seat", node: id("b"), replica: "none" },
  ...(["demote", "settle", "depart", "evict", "forget", "remove", "cordon", "quarantine", "restore"] as const).map(
    (verb): Transition => ({ verb, node: id("d") }),
  ),
];

const everyCommand: FormationCommand = { ...new ChainWriter().command(everyVerb), reason: "jede Zeile zählt" };

describe("the formats of version 1", () => {
  test("are those of the golden files, byte for byte", () => {
    const story = writeStory();
    expect(testGenesis.bytes).toEqual(golden("genesis.hex"));
    expect(node("a").signCommand(everyCommand)).toEqual(golden("command.hex"));
    expect(story.blocks()[0]).toEqual(golden("block-first.hex"));
    expect(story.blocks()[1]).toEqual(golden("block-later.hex"));
    expect(story.seals()[2]).toEqual(golden("seal.hex"));
    expect(story.file()).toEqual(golden("chain.hex"));
  });

  test("are read from the golden files", () => {
    expect(node("b").openGenesis(golden("genesis.hex"))).toEqual(testGenesis);
    expect(node("b").openCommand(golden("command.hex"))).toEqual(everyCommand);
    expect(readBlock(golden("block-first.hex"), 1)).toMatchObject({
      height: 1,
      generation: 1,
      ordinal: 0,
      term: 1,
      index: 1,
    });
    expect(readBlock(golden("block-later.hex"), 2).command).toBeUndefined();
    const voters = new Set(["a", "b", "d"].map(id));
    expect(node("b").openSeal(golden("seal.hex"), clusterId, voters)).toMatchObject({
      head: { height: 11 },
      leader: id("b"),
    });
    expect(node("b").verifyChain(golden("chain.hex"), clusterId)).toMatchObject({
      ok: true,
      head: { height: 11 },
      sealed: { height: 11 },
    });
  });

  test("name a token as the golden file does", () => {
    const { token } = node("a").createToken({
      clusterId,
      addresses: ["127.0.0.1:7400"],
      voters: [id("a")],
      expiresMs: 1,
      uses: 1,
      random: new Uint8Array(48).fill(3),
    });
    const text = readFileSync(join(testdata, "token.txt"), "utf8");
    expect(`${node("a").encodeToken(token)}\n`).toBe(text);
    expect(node("b").decodeToken(text)).toEqual(token);
  });
});

describe("a genesis", () => {
  const input = { ...testGenesis, operators: [id("e"), id("f")] };

  test("comes back with its founder and the cluster id that is its hash", () => {
    const genesis = node("a").createGenesis(input);
    expect(node("b").openGenesis(genesis.bytes)).toEqual(genesis);
    expect(genesis).toMatchObject({ founder: id("a"), operators: input.operators });
    expect(genesis.clusterId).toBe(node("b").hash(genesis.bytes));
  });

  test("differs with its nonce, so that two clusters of one declaration differ", () => {
    const other = node("a").createGenesis({ ...input, nonce: new Uint8Array(32).fill(1) });
    expect(other.clusterId).not.toBe(node("a").createGenesis(input).clusterId);
  });

  test("does not change with the buffer that it was read from", () => {
    const buffer = Buffer.from(testGenesis.bytes);
    const genesis = node("a").openGenesis(buffer);
    buffer.fill(0);
    expect(genesis).toEqual(testGenesis);
  });

  test.each([
    ["a short nonce", { nonce: new Uint8Array(31) }],
    ["a time before 1970", { createdMs: -1 }],
    ["a fraction of a millisecond", { createdMs: 0.5 }],
    ["a declaration beyond 64 KiB", { declaration: new Uint8Array(64 * 1024 + 1) }],
    ["a store id that is none", { storeId: "nonsense" as never }],
    ["a zone of several lines", { zone: "a\nb" }],
    ["an operator twice", { operators: [id("e"), id("e")] }],
  ])("with %s is not signed", (_name, change) => {
    expect(() => node("a").createGenesis({ ...input, ...change })).toThrow(
      expect.objectContaining({ code: "ATTEST_NOT_CANONICAL" }),
    );
  });
});

describe("a command", () => {
  test("comes back whole, with every verb", () => {
    expect(node("b").openCommand(node("a").signCommand(everyCommand))).toEqual(everyCommand);
  });

  test("is signed by its proposer only", () => {
    expect(() => node("b").signCommand(everyCommand)).toThrow(
      expect.objectContaining({ code: "FABRIC_INVALID_VALUE" }),
    );
  });

  test("is not taken for a genesis, nor its signature for that of a head", () => {
    const bytes = node("a").signCommand(everyCommand);
    expect(() => node("a").openGenesis(bytes)).toThrow(expect.objectContaining({ code: "CHAIN_INVALID" }));
    expect(() => node("a").openCommand(testGenesis.bytes)).toThrow(expect.objectContaining({ code: "CHAIN_INVALID" }));
  });

  test.each<readonly [string, Partial<Record<keyof FormationCommand, unknown>>]>([
    ["no transition", { transitions: [] }],
    ["257 transitions", { transitions: Array.from({ length: 257 }, () => ({ verb: "demote", node: id("b") })) }],
    ["a reason of 513 bytes", { reason: "ü".repeat(256) + "x" }],
    ["a reason of two lines", { reason: "one\ntwo" }],
    ["a reason with an escape sequence", { reason: "\u001b[2J" }],
    ["half of a surrogate pair", { reason: "\udc00" }],
    ["term 0", { term: 0 }],
    ["a fraction of a millisecond", { timeMs: 1.5 }],
    ["a node id that is none", { transitions: [{ verb: "demote", node: "nonsense" }] }],
    ["an unknown role", { transitions: [{ verb: "promote", node: id("b"), role: "king" }] }],
  ])("with %s is not signed", (_name, change) => {
    const command = { ...everyCommand, ...change } as FormationCommand;
    expect(() => node("a").signCommand(command)).toThrow(expect.objectContaining({ code: "ATTEST_NOT_CANONICAL" }));
  });

  test("with an unknown verb or version is not signed", () => {
    const invalid = expect.objectContaining({ code: "FABRIC_INVALID_VALUE" });
    expect(() =>
      node("a").signCommand({ ...everyCommand, transitions: [{ verb: "crown", node: id("b") } as never] }),
    ).toThrow(invalid);
    expect(() => node("a").signCommand({ ...everyCommand, version: 2 as never })).toThrow(invalid);
  });
});

describe("a seal", () => {
  const head = { height: 4, hash: zeroHash };
  const voters = new Set(["a", "b", "c"].map(id));

  test("opens for the voters before its head, whatever the order of the signatures was", () => {
    const bytes = sealBy([node("c"), node("a")], clusterId, head);
    const seal = node("f").openSeal(bytes, clusterId, voters);
    expect(seal).toMatchObject({ head, leader: id("c") });
    const reversed = { ...seal, signatures: seal.signatures.toReversed() };
    expect(node("f").encodeSeal(reversed)).toEqual(bytes);
  });

  test("does not open for other voters, another cluster or without a majority", () => {
    const bytes = sealBy([node("a"), node("b")], clusterId, head);
    const refused = expect.objectContaining({
      code: "CHAIN_INVALID",
      fault: expect.objectContaining({ reason: "bad-seal", height: 4 }),
    });
    expect(() => node("f").openSeal(bytes, clusterId, new Set(["a", "c", "d"].map(id)))).toThrow(refused);
    expect(() => node("f").openSeal(bytes, zeroHash as never, voters)).toThrow(refused);
    expect(() => node("f").openSeal(bytes, clusterId, new Set(["a", "b", "c", "d"].map(id)))).toThrow(refused);
    expect(() => node("f").openSeal(bytes.subarray(1), clusterId, voters)).toThrow(
      expect.objectContaining({ code: "CHAIN_INVALID" }),
    );
  });

  test("is not encoded with one signer twice or with none", () => {
    const signature = node("a").signHead(clusterId, head);
    const refused = expect.objectContaining({ code: "ATTEST_NOT_CANONICAL" });
    expect(() => node("a").encodeSeal({ head, leader: id("a"), signatures: [signature, signature] })).toThrow(refused);
    expect(() => node("a").encodeSeal({ head, leader: id("a"), signatures: [] })).toThrow(refused);
  });
});

test("the hash is BLAKE3: that of nothing is the one of its test vectors", () => {
  expect(node("a").hash(new Uint8Array(0))).toBe("af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");
});

test("an attestor checks signatures of anybody", () => {
  const signature = identityFromSeed(new Uint8Array(32).fill("b".charCodeAt(0))).sign(Uint8Array.of(1));
  expect(node("a").verifySignature(id("b"), Uint8Array.of(1), signature)).toBe(true);
  expect(node("a").verifySignature(id("c"), Uint8Array.of(1), signature)).toBe(false);
});
