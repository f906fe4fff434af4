import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { ChainHead, FormationCommand, NodeId, Transition } from "@revoada/fabric";
import { ChainVerifier, ed25519Verifier, verifyChainWith } from "@revoada/attest-blake3";
import { describe, expect, test } from "vitest";
import { admit, ChainWriter, id, node, testGenesis } from "./support.ts";

const verifier = ed25519Verifier();
const malformed = expect.objectContaining({ code: "ATTEST_NOT_CANONICAL" });

function golden(name: string): Uint8Array {
  const path = join(import.meta.dirname, "..", "testdata", name);
  return Uint8Array.from(Buffer.from(readFileSync(path, "utf8").replaceAll("\n", ""), "hex"));
}

const facts = { nonce: new Uint8Array(32).fill(9), declaration: new Uint8Array(1) };
/** x is the operator of genesis; y and z are other keys. */
const signedGenesis = node("a").createGenesis({ ...testGenesis, ...facts, operators: [id("x")] });
const { clusterId } = signedGenesis;
const otherGenesis = node("a").createGenesis({ ...testGenesis, ...facts, operators: [id("x"), id("y")] });

const forming: readonly Transition[] = [
  { verb: "reassign", node: id("a"), role: "master" },
  { verb: "promote", node: id("b"), role: "master", replica: "voter" },
  { verb: "promote", node: id("c"), role: "master", replica: "voter" },
];

interface Approval {
  readonly by: string;
  readonly head?: ChainHead;
  readonly transitions?: readonly Transition[];
  readonly reason?: string;
  readonly clusterId?: FormationCommand["clusterId"];
  readonly named?: NodeId;
}

/** Appends a command that bears an operator's approval, or one of something else. */
function approved(writer: ChainWriter, transitions: readonly Transition[], approval: Approval, proposer = "a"): void {
  const command = writer.command(transitions, { proposer });
  const { by, named, ...other } = approval;
  const { reason } = command;
  const signed = node(by).signApproval({
    clusterId: command.clusterId,
    head: writer.head,
    transitions,
    reason,
    ...other,
  });
  const whole = { ...command, approval: named === undefined ? signed : { ...signed, operator: named } };
  // The writer refuses nothing: what verifiers are to refuse has to be written first.
  writer.appendUnchecked(whole, node(proposer).signCommand(whole));
}

function cosign(writer: ChainWriter, by: string, head: ChainHead = writer.head, cluster = clusterId): void {
  const bytes = node(by).encodeCosignature(node(by).cosign(cluster, head));
  writer.records.push({ kind: "cosignature", bytes });
}

/** Three masters that vote, formed with x's approval and sealed by the founder; d replicates. */
function three(): ChainWriter {
  const writer = new ChainWriter(signedGenesis);
  writer.propose([admit("b"), admit("c"), admit("d")]);
  writer.seal("a");
  approved(writer, forming, { by: "x" });
  writer.seal("a");
  writer.propose([{ verb: "seat", node: id("d"), replica: "learner" }]);
  writer.seal("ab");
  return writer;
}

/** d takes the seat of c, which failed. */
function fail(writer: ChainWriter): void {
  writer.propose([{ verb: "evict", node: id("c") }]);
  writer.propose([
    { verb: "promote", node: id("d"), role: "master", replica: "voter" },
    { verb: "seat", node: id("c"), replica: "none" },
  ]);
  writer.seal("ab");
}

const verdictOf = (writer: ChainWriter) => verifyChainWith(writer.file(), writer.genesis.clusterId, verifier);
const fault = (reason: string, height?: number): unknown => ({
  ok: false,
  fault: expect.objectContaining(height === undefined ? { reason } : { reason, height }),
});

test("what operators sign has its golden files", () => {
  const transitions: readonly Transition[] = [
    { verb: "enrol", node: id("y") },
    { verb: "revoke", node: id("x") },
  ];
  const head = { height: 3, hash: testGenesis.clusterId as string as ChainHead["hash"] };
  const statement = { clusterId: testGenesis.clusterId, head, transitions, reason: "x is lost" };
  expect(node("x").encodeApproval(statement)).toEqual(golden("approval.hex"));
  expect(node("x").readApproval(golden("approval.hex"))).toEqual(statement);
  const command = { ...new ChainWriter().command(transitions), approval: node("x").signApproval(statement) };
  expect(node("a").signCommand(command)).toEqual(golden("command-approved.hex"));
  expect(node("b").openCommand(golden("command-approved.hex"))).toEqual(command);
  const cosignature = node("x").cosign(testGenesis.clusterId, head);
  expect(node("x").encodeCosignature(cosignature)).toEqual(golden("cosignature.hex"));
  expect(node("b").openCosignature(golden("cosignature.hex"), testGenesis.clusterId)).toEqual(cosignature);
});

test("a founder's own key is no operator's", () => {
  expect(() => node("a").createGenesis({ ...testGenesis, operators: [id("a")] })).toThrow(malformed);
});

describe("the chain of a cluster with operator keys", () => {
  test("goes on by failures alone, and says from where on it awaits an operator", () => {
    const writer = three();
    const formed = writer.head.height;
    fail(writer);
    expect(verdictOf(writer)).toMatchObject({
      ok: true,
      sealed: { height: formed + 3 },
      operators: { inForce: [id("x")], signed: { height: formed - 1 } },
    });
    cosign(writer, "x");
    expect(verdictOf(writer)).toMatchObject({ ok: true, operators: { signed: writer.head } });
  });

  test("claims no more than voters have sealed", () => {
    const writer = new ChainWriter(signedGenesis);
    writer.propose([admit("b"), admit("c")]);
    approved(writer, forming, { by: "x" });
    const { clusterId: origin } = signedGenesis;
    expect(verdictOf(writer)).toMatchObject({ ok: true, operators: { signed: { height: 0, hash: origin } } });
  });

  test("has no place for a shift that no failure forces and no operator approved of", () => {
    const writer = three();
    const height = writer.head.height + 1;
    const command = writer.command([{ verb: "demote", node: id("c") }]);
    writer.appendUnchecked(command, node("a").signCommand(command));
    writer.seal("ab");
    expect(verdictOf(writer)).toEqual(fault("unapproved-shift", height));
  });

  const otherHead = (writer: ChainWriter): ChainHead => ({ ...writer.head, height: writer.head.height - 1 });
  const swindles: readonly (readonly [
    string,
    string,
    (writer: ChainWriter) => Omit<Approval, "by"> & { by: string },
  ])[] = [
    ["a key that no operator has", "not-an-operator", () => ({ by: "y" })],
    ["a voter's own key", "not-an-operator", () => ({ by: "b" })],
    ["a signature that is said to be the operator's", "bad-signature", () => ({ by: "b", named: id("x") })],
    ["a signature for another height", "bad-signature", (writer) => ({ by: "x", head: otherHead(writer) })],
    [
      "a signature for another head",
      "bad-signature",
      (writer) => ({ by: "x", head: { ...writer.head, hash: "0".repeat(64) as ChainHead["hash"] } }),
    ],
    ["a signature for another cluster", "bad-signature", () => ({ by: "x", clusterId: otherGenesis.clusterId })],
    [
      "a signature for other transitions",
      "bad-signature",
      () => ({ by: "x", transitions: [{ verb: "demote", node: id("b") }] }),
    ],
    ["a signature for another reason", "bad-signature", () => ({ by: "x", reason: "something else" })],
  ];

  test.each(swindles)("refuses an approval by %s", (_name, reason, approval) => {
    const writer = three();
    const height = writer.head.height + 1;
    approved(writer, [{ verb: "demote", node: id("c") }], approval(writer));
    expect(verdictOf(writer)).toEqual(fault(reason, height));
  });

  test("refuses a cosignature in the place of an approval, and a voter's signature in that of a cosignature", () => {
    const transitions: readonly Transition[] = [{ verb: "demote", node: id("c") }];
    const writer = three();
    const command = writer.command(transitions);
    const { operator, signature } = node("x").cosign(clusterId, writer.head);
    const borrowed = { ...command, approval: { operator, signature } };
    writer.appendUnchecked(borrowed, node("a").signCommand(borrowed));
    expect(verdictOf(writer)).toEqual(fault("bad-signature"));
    const other = three();
    const sealed = node("x").signHead(clusterId, other.head);
    const bytes = node("x").encodeCosignature({ head: other.head, operator: id("x"), signature: sealed.signature });
    other.records.push({ kind: "cosignature", bytes });
    expect(verdictOf(other)).toEqual(fault("bad-cosignature"));
  });

  test("refuses an approval where genesis names no operators", () => {
    const writer = new ChainWriter();
    writer.propose([admit("b"), admit("c")]);
    approved(writer, forming, { by: "x" });
    expect(verdictOf(writer)).toEqual(fault("not-an-operator", 3));
  });

  test("is not taken over by a stolen voter key without an operator's", () => {
    const writer = three();
    // The thief of a votes itself in beside it: neither with a majority of voters nor without does it verify.
    writer.propose([admit("e")]);
    const command = writer.command([
      { verb: "promote", node: id("e"), role: "master", replica: "voter" },
      { verb: "seat", node: id("b"), replica: "none" },
    ]);
    writer.appendUnchecked(command, node("a").signCommand(command));
    expect(verdictOf(writer)).toEqual(fault("unapproved-shift"));
    const enrolling = three();
    approved(enrolling, [{ verb: "enrol", node: id("e") }], { by: "e" });
    expect(verdictOf(enrolling)).toEqual(fault("not-an-operator"));
    // To say that b failed is what one voter can do alone; it takes a majority to make it count.
    const lying = three();
    lying.propose([{ verb: "evict", node: id("b") }]);
    lying.propose([
      { verb: "promote", node: id("d"), role: "master", replica: "voter" },
      { verb: "seat", node: id("b"), replica: "none" },
    ]);
    lying.seal("ad");
    expect(verdictOf(lying)).toEqual(fault("bad-seal"));
  });
});

describe("operator keys in the chain", () => {
  test("are exchanged, and only the new one counts from there on", () => {
    const writer = three();
    approved(
      writer,
      [
        { verb: "enrol", node: id("y") },
        { verb: "revoke", node: id("x") },
      ],
      { by: "x" },
    );
    writer.seal("ab");
    expect(verdictOf(writer)).toMatchObject({ ok: true, operators: { inForce: [id("y")], signed: writer.head } });
    fail(writer);
    const failed = writer.records.length;
    cosign(writer, "y");
    expect(verdictOf(writer)).toMatchObject({ ok: true, operators: { signed: writer.head } });
    writer.records.length = failed;
    cosign(writer, "x");
    expect(verdictOf(writer)).toEqual(fault("not-an-operator"));
    writer.records.length = failed;
    approved(writer, [{ verb: "demote", node: id("b") }], { by: "x" });
    expect(verdictOf(writer)).toEqual(fault("not-an-operator"));
  });

  test("sign one head of one cluster, sealed by voters", () => {
    const writer = three();
    const { length } = writer.records;
    const attempts: readonly (readonly [string, () => void])[] = [
      ["not-an-operator", () => cosign(writer, "y")],
      ["not-an-operator", () => cosign(writer, "a")],
      ["bad-cosignature", () => cosign(writer, "x", writer.head, otherGenesis.clusterId)],
      ["bad-cosignature", () => cosign(writer, "x", { ...writer.head, height: writer.head.height - 1 })],
    ];
    for (const [reason, attempt] of attempts) {
      attempt();
      expect(verdictOf(writer)).toEqual(fault(reason));
      writer.records.length = length;
    }
    writer.propose([admit("e")]);
    cosign(writer, "x");
    expect(verdictOf(writer)).toEqual(fault("bad-cosignature"));
  });

  test("stand in a file in one order only", () => {
    const writer = three();
    const parts = { genesis: signedGenesis.bytes, blocks: writer.blocks(), seals: writer.seals() };
    cosign(writer, "x");
    const cosignatures = [writer.records.at(-1)?.bytes ?? new Uint8Array()];
    expect(node("a").exportChain({ ...parts, cosignatures })).toEqual(writer.file());
    const invalid = expect.objectContaining({ code: "CHAIN_INVALID" });
    expect(() => node("a").exportChain({ ...parts, cosignatures: [...cosignatures, ...cosignatures] })).toThrow(
      invalid,
    );
    expect(() => node("a").exportChain({ ...parts, seals: [], cosignatures })).toThrow(invalid);
  });

  test("are followed by whoever takes the sealed chain alone", () => {
    const writer = three();
    fail(writer);
    const follower = new ChainVerifier({ genesis: signedGenesis.bytes, clusterId, verifier });
    follower.advance(writer.records.slice(1));
    expect(follower.sealedFormation().operators).toEqual(new Map([[id("x"), 0]]));
    expect(follower.operatorSigned().height).toBeLessThan(follower.head().height);
    const before = follower.head();
    const unapproved = writer.command([{ verb: "demote", node: id("d") }]);
    const { length } = writer.records;
    writer.appendUnchecked(unapproved, node("a").signCommand(unapproved));
    writer.seal("ab");
    expect(() => follower.advance(writer.records.slice(length))).toThrow(
      expect.objectContaining({ code: "CHAIN_INVALID" }),
    );
    expect(follower.head()).toEqual(before);
  });
});
