import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Transition } from "@revoada/fabric";
import { ChainVerifier, ed25519Verifier, verifyChainWith } from "@revoada/attest-blake3";
import { describe, expect, test } from "vitest";
import { admit, ChainWriter, id, node, testGenesis } from "./support.ts";

const verifier = ed25519Verifier();
const { clusterId } = testGenesis;
const other = new TextEncoder().encode("another declaration");

function declare(declaration: Uint8Array = other, withinMs = 60_000): Transition {
  return { verb: "declare", node: id("a"), declaration, withinMs };
}

function golden(name: string): Uint8Array {
  const path = join(import.meta.dirname, "..", "testdata", name);
  return Uint8Array.from(Buffer.from(readFileSync(path, "utf8").replaceAll("\n", ""), "hex"));
}

describe("a switch of the declaration in the chain", () => {
  test("has its golden file", () => {
    const transitions: readonly Transition[] = [
      declare(),
      { verb: "confirm", node: id("a") },
      { verb: "revert", node: id("b") },
    ];
    const command = new ChainWriter().command(transitions);
    expect(node("a").signCommand(command)).toEqual(golden("command-switch.hex"));
    expect(node("b").openCommand(golden("command-switch.hex"))).toEqual(command);
  });

  test("tells whoever follows the chain what is in force at each seal, and who votes follows from it as before", () => {
    const writer = new ChainWriter();
    const follower = new ChainVerifier({ genesis: writer.genesis.bytes, clusterId, verifier });
    expect(follower.sealedFormation().declared).toEqual({ declaration: testGenesis.declaration });
    writer.propose([admit("b"), admit("c"), declare()]);
    writer.seal("a");
    follower.advance(writer.records.slice(1));
    const pending = { previous: testGenesis.declaration, withinMs: 60_000 };
    expect(follower.sealedFormation().declared).toEqual({ declaration: other, pending });
    const known = writer.records.length;
    writer.propose([
      { verb: "reassign", node: id("a"), role: "master" },
      { verb: "promote", node: id("b"), role: "master", replica: "voter" },
      { verb: "promote", node: id("c"), role: "master", replica: "voter" },
      { verb: "confirm", node: id("a") },
    ]);
    writer.seal("a");
    follower.advance(writer.records.slice(known));
    expect(follower.sealedFormation().declared).toEqual({ declaration: other });
    expect(follower.sealVoters()).toEqual(new Set([id("a"), id("b"), id("c")]));
    expect(verifyChainWith(writer.file(), clusterId, verifier)).toMatchObject({ ok: true });
  });

  test("that began while another was under way does not verify", () => {
    const writer = new ChainWriter();
    writer.propose([declare()]);
    const bad = writer.command([declare(Uint8Array.of(1))]);
    const { term, index } = { term: writer.term, index: writer.index + 1 };
    const block = node("a").makeBlock({
      previous: writer.tip,
      generation: (bad.baseGeneration + 1) as typeof bad.baseGeneration,
      term: term as typeof bad.term,
      index: index as never,
      ordinal: 0,
      command: node("a").signCommand(bad),
    });
    writer.records.push({ kind: "block", bytes: block.bytes });
    expect(verifyChainWith(writer.file(), clusterId, verifier)).toMatchObject({
      ok: false,
      fault: { reason: "illegal-transition", height: 2 },
    });
  });

  test("beyond its bounds is neither signed nor read", () => {
    for (const wrong of [declare(new Uint8Array(0)), declare(new Uint8Array(64 * 1024 + 1)), declare(other, 0)])
      expect(() => node("a").signCommand(new ChainWriter().command([wrong]))).toThrow(
        expect.objectContaining({ code: "ATTEST_NOT_CANONICAL" }),
      );
  });
});
