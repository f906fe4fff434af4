import type { LogIndex } from "@revoada/fabric";
import { verifyChainWith } from "@revoada/attest-blake3";
import { describe, expect, test } from "vitest";
import {
  admit,
  ChainWriter,
  node,
  rememberingVerifier,
  sealBy,
  testGenesis,
  trailerBytes,
  withFittingTrailer,
  writeStory,
  zeroHash,
} from "./support.ts";

const { verifyChain } = node("f");
const { clusterId } = testGenesis;

describe("tampering", () => {
  test("each byte of a sealed chain, changed with a trailer that fits again, makes it refused", () => {
    const file = writeStory().file();
    const verifier = rememberingVerifier();
    for (let offset = 0; offset < file.length - trailerBytes; offset += 1) {
      const changed = file.slice();
      changed[offset] = (changed[offset] as number) ^ (1 << (offset % 8));
      const verdict = verifyChainWith(withFittingTrailer(changed), clusterId, verifier);
      if (verdict.ok) throw new Error(`byte ${offset} of ${file.length} was changed and the chain verified`);
    }
  });

  test("each byte of the trailer changed makes it refused", () => {
    const file = writeStory().file();
    for (let offset = file.length - trailerBytes; offset < file.length; offset += 1) {
      const changed = file.slice();
      changed[offset] = (changed[offset] as number) ^ 0x10;
      expect(verifyChain(changed, clusterId).ok, `byte ${offset} of ${file.length}`).toBe(false);
    }
  });
});

describe("exporting", () => {
  const story = writeStory();
  const parts = { genesis: story.genesis.bytes, blocks: story.blocks(), seals: story.seals() };
  const { exportChain } = node("a");

  test("a seal over a block that is not there, over another block or twice is refused", () => {
    const refused = expect.objectContaining({
      code: "CHAIN_INVALID",
      fault: expect.objectContaining({ reason: "bad-seal" }),
    });
    expect(() => exportChain({ ...parts, blocks: parts.blocks.slice(0, 6) })).toThrow(refused);
    expect(() =>
      exportChain({ ...parts, seals: [...parts.seals, sealBy([node("a")], clusterId, { height: 1, hash: zeroHash })] }),
    ).toThrow(refused);
    expect(() => exportChain({ ...parts, seals: [...parts.seals, ...parts.seals] })).toThrow(refused);
  });

  test("blocks with a gap are refused", () => {
    const gap = expect.objectContaining({ fault: expect.objectContaining({ reason: "broken-link", height: 1 }) });
    expect(() => exportChain({ ...parts, seals: [], blocks: parts.blocks.slice(1) })).toThrow(gap);
  });
});

describe("making blocks", () => {
  const writer = new ChainWriter();
  const command = node("a").signCommand(writer.command([admit("b"), admit("c")]));
  const input = {
    previous: writer.tip,
    generation: 1,
    term: 1,
    index: 1 as LogIndex,
    ordinal: 0,
    command,
  } as never as Parameters<ReturnType<typeof node>["makeBlock"]>[0];

  test("two replicas make the same bytes, also where one reuses its buffer for the next command", () => {
    const buffer = Buffer.from(command);
    const block = node("a").makeBlock({ ...input, command: buffer });
    expect(node("b").makeBlock(input)).toEqual(block);
    const other = node("a").signCommand({ ...writer.command([admit("d"), admit("c")]) });
    expect(other.length).toBe(buffer.length);
    buffer.set(other);
    expect(node("a").makeBlock({ ...input, command: buffer })).toEqual(
      node("b").makeBlock({ ...input, command: other }),
    );
  });

  test("an ordinal or a generation that the command cannot have is refused", () => {
    expect(() => node("a").makeBlock({ ...input, ordinal: 2 })).toThrow(
      expect.objectContaining({ code: "CHAIN_INVALID" }),
    );
    expect(() => node("a").makeBlock({ ...input, generation: 3 as never })).toThrow(
      expect.objectContaining({ code: "CHAIN_INVALID" }),
    );
    expect(() => node("a").makeBlock({ ...input, generation: 0 as never })).toThrow(
      expect.objectContaining({ code: "CHAIN_INVALID" }),
    );
  });
});
