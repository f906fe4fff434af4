import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { ChainHead, Hash, Transition } from "@revoada/fabric";
import { ChainVerifier, ed25519Verifier, verifyChainWith } from "@revoada/attest-blake3";
import { describe, expect, test } from "vitest";
import { admit, attestorOf, ChainWriter, id, node, storeOf, testGenesis } from "./support.ts";

const verifier = ed25519Verifier();
const { clusterId } = testGenesis;
const invalid = (reason: string): unknown =>
  expect.objectContaining({ code: "CHAIN_INVALID", fault: expect.objectContaining({ reason }) });

function golden(name: string): Uint8Array {
  const path = join(import.meta.dirname, "..", "testdata", name);
  return Uint8Array.from(Buffer.from(readFileSync(path, "utf8").replaceAll("\n", ""), "hex"));
}

function succession(from: string, to: string, signer = from): Transition {
  const signature = node(signer).signSuccession(clusterId, id(to));
  return { verb: "succeed", node: id(to), predecessor: id(from), signature };
}

/** Three masters that vote, sealed, and d that replicates. */
function three(): ChainWriter {
  const writer = new ChainWriter();
  writer.propose([admit("b"), admit("c"), admit("d")]);
  writer.propose([
    { verb: "reassign", node: id("a"), role: "master" },
    { verb: "promote", node: id("b"), role: "master", replica: "voter" },
    { verb: "promote", node: id("c"), role: "master", replica: "voter" },
    { verb: "seat", node: id("d"), replica: "learner" },
  ]);
  writer.seal("a");
  return writer;
}

function followerOf(writer: ChainWriter, believes?: (recovery: ChainHead) => boolean): ChainVerifier {
  const trust = believes === undefined ? {} : { believes };
  return new ChainVerifier({ genesis: writer.genesis.bytes, clusterId, verifier, ...trust });
}

test("what came to version 1 of commands later has its golden file, and what was there is encoded as before", () => {
  const facts = { storeId: storeOf("e"), generation: 1, incarnation: 0, zone: "z", version: "1" };
  const transitions: readonly Transition[] = [
    { verb: "admit", node: id("e"), admission: { ...facts, tokenId: "0f".repeat(16), limitedTo: "worker" } },
    { verb: "admit", node: id("f"), admission: { ...facts, limitedTo: "observer" } },
    succession("b", "g"),
    { verb: "inherit", node: id("g") },
    { verb: "recover", node: id("a") },
  ];
  const command = new ChainWriter().command(transitions);
  expect(node("a").signCommand(command)).toEqual(golden("command-succession.hex"));
  expect(node("b").openCommand(golden("command-succession.hex"))).toEqual(command);
});

describe("a succession in the chain", () => {
  test("verifies, and the next key seals in the place of the one before it", () => {
    const writer = three();
    writer.propose([succession("b", "e")]);
    writer.propose([{ verb: "inherit", node: id("e") }]);
    // The voters before the change vouch for it, and those after it for the rest.
    writer.seal("ac");
    writer.propose([{ verb: "cordon", node: id("d") }]);
    writer.seal("ae");
    const follower = followerOf(writer);
    follower.advance(writer.records.slice(1));
    expect([...follower.sealVoters()].toSorted()).toEqual([id("a"), id("c"), id("e")].toSorted());
    expect(verifyChainWith(writer.file(), clusterId, verifier)).toMatchObject({ ok: true, recoveries: [] });
  });

  test("does not verify with a seal of the key that is gone", () => {
    const writer = three();
    writer.propose([succession("b", "e"), { verb: "inherit", node: id("e") }]);
    writer.seal("ac");
    writer.propose([{ verb: "cordon", node: id("d") }]);
    writer.seal("ab");
    expect(() => followerOf(writer).advance(writer.records.slice(1))).toThrow(invalid("bad-seal"));
  });

  test.each<[string, Transition]>([
    ["another key than the one before it", succession("b", "e", "c")],
    ["the next key itself", succession("b", "e", "e")],
    ["the right key, for another next one", { ...succession("b", "f"), node: id("e") }],
    [
      "the right key, in another cluster",
      {
        verb: "succeed",
        node: id("e"),
        predecessor: id("b"),
        signature: node("b").signSuccession("c".repeat(64) as never, id("e")),
      },
    ],
  ])("is refused where %s has signed it", (_who, transition) => {
    const writer = three();
    writer.propose([transition]);
    writer.seal("ab");
    expect(() => followerOf(writer).advance(writer.records.slice(1))).toThrow(invalid("bad-signature"));
    const command = writer.command([transition]);
    expect(() => node("a").openCommand(node("a").signCommand(command))).toThrow(invalid("bad-signature"));
  });
});

/** d, which never voted, goes on alone. */
function recovered(): { readonly writer: ChainWriter; readonly hash: Hash } {
  const writer = three();
  // Something that was never sealed: the voters were lost before.
  writer.propose([{ verb: "cordon", node: id("c") }]);
  writer.term = 3;
  writer.propose([{ verb: "recover", node: id("d") }], { proposer: "d" });
  const { hash } = writer.head;
  writer.seal("d");
  return { writer, hash };
}

describe("a recovery in the chain", () => {
  test("is named by whoever verifies the file, with who went on, who was given up, and where", () => {
    const { writer, hash } = recovered();
    const verdict = verifyChainWith(writer.file(), clusterId, verifier);
    const lost = [id("a"), id("b"), id("c")].toSorted();
    const named = { height: 9, hash, node: id("d"), lost, reason: "a test says so" };
    expect(verdict).toMatchObject({ ok: true, sealed: { height: 9 }, recoveries: [named] });
  });

  test("is believed by no follower that was not told of this very block", () => {
    const { writer, hash } = recovered();
    const records = writer.records.slice(1);
    expect(() => followerOf(writer).advance(records)).toThrow(invalid("unbelieved-recovery"));
    expect(() => followerOf(writer, (head) => head.hash !== hash).advance(records)).toThrow(
      invalid("unbelieved-recovery"),
    );
    const told = followerOf(writer, (head) => head.hash === hash);
    told.advance(records);
    expect([...told.sealedFormation().nodes.keys()]).toEqual([id("d")]);
    expect(told.fork().recoveries()).toEqual(told.recoveries());
  });

  test("leaves the survivor as the only one who seals, and the lost ones as nobody", () => {
    const { writer } = recovered();
    writer.propose([admit("e")], { proposer: "d" });
    writer.seal("d");
    expect(verifyChainWith(writer.file(), clusterId, verifier).ok).toBe(true);
    const old = recovered().writer;
    old.propose([admit("e")], { proposer: "d" });
    old.seal("ab");
    expect(verifyChainWith(old.file(), clusterId, verifier)).toMatchObject({
      ok: false,
      fault: { reason: "bad-seal" },
    });
  });

  test("is refused where another than the survivor signs it, or one without a copy of the log", () => {
    const writer = three();
    writer.propose([admit("e")]);
    const byOther = writer.command([{ verb: "recover", node: id("d") }], { proposer: "d" });
    const forged = new ChainWriter();
    forged.records = [...writer.records];
    forged.formation = writer.formation;
    forged.head = writer.head;
    forged.tip = writer.tip;
    forged.timeMs = writer.timeMs;
    forged.index = writer.index;
    forged.append(byOther, attestorOf("e").signCommand({ ...byOther, proposer: id("e") }));
    expect(verifyChainWith(forged.file(), clusterId, verifier)).toMatchObject({
      ok: false,
      fault: { reason: "illegal-transition" },
    });
  });
});

test("a token names the recoveries that its holder may believe, and one without any is as it always was", () => {
  const input = {
    clusterId,
    addresses: ["10.0.0.1:7400"],
    voters: [id("a")],
    expiresMs: 1,
    uses: 1,
    random: new Uint8Array(48).fill(1),
  };
  const attestor = node("a");
  const recoveries = ["1".repeat(64), "2".repeat(64)] as Hash[];
  const { token } = attestor.createToken({ ...input, recoveries });
  expect(attestor.decodeToken(attestor.encodeToken(token)).recoveries).toEqual(recoveries);
  const plain = attestor.createToken({ ...input, recoveries: [] }).token;
  expect(plain).toEqual(attestor.createToken(input).token);
  const twice = [recoveries[0], recoveries[0]] as Hash[];
  expect(() => attestor.createToken({ ...input, recoveries: twice })).toThrow(
    expect.objectContaining({ code: "TOKEN_INVALID" }),
  );
});
