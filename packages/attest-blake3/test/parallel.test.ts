import type { ChainVerdict } from "@revoada/fabric";
import { ed25519Verifier, readChainFile, verifyChainInParallel, verifyChainWith } from "@revoada/attest-blake3";
import { afterAll, describe, expect, test } from "vitest";
import type { ReplayInput } from "../src/core/verify-chain.ts";
import { replayChain } from "../src/core/verify-chain.ts";
import { SignatureThreads } from "../src/signature-threads.ts";
import { type ChainWriter, id, node, testGenesis, trailerBytes, withFittingTrailer, writeStory } from "./support.ts";

const { clusterId } = testGenesis;
const native = ed25519Verifier();

/** A chain with some hundred signatures: batches are filled, and both threads have some. */
function longStory(): Uint8Array {
  const writer: ChainWriter = writeStory();
  for (let round = 0; round < 90; round += 1) {
    writer.propose([{ verb: round % 2 === 0 ? "restore" : "cordon", node: id("d") }], { proposer: "b" });
    writer.seal("bad");
  }
  return writer.file();
}

const long = longStory();

/** Where the signatures of commands end: their last byte. */
function signaturePlaces(file: Uint8Array): readonly number[] {
  return readChainFile(file)
    .filter(({ kind }) => kind === "block")
    .flatMap(({ bytes }) => {
      const ends = bytes.byteOffset - file.byteOffset + bytes.length - 1;
      // A block that carries its command ends with the signature under it; the others end with null.
      return bytes[bytes.length - 1] === 0xf6 ? [] : [ends];
    });
}

function changedAt(file: Uint8Array, offset: number, bit: number): Uint8Array {
  const changed = file.slice();
  changed[offset] = (changed[offset] as number) ^ (1 << bit);
  return withFittingTrailer(changed);
}

describe("verifying with threads", () => {
  test(
    "gives the verdict of one thread on a chain that verifies, and on trusted keys",
    { timeout: 60_000 },
    async () => {
      for (const trust of [
        [id("a"), id("b"), id("d")],
        [id("e"), id("f"), id("a")],
      ]) {
        const expected = verifyChainWith(long, clusterId, native, { trust });
        expect(await verifyChainInParallel(long, clusterId, { jobs: 2, trust })).toEqual(expected);
        expect(expected.ok).toBe(trust[0] === id("a"));
      }
    },
  );

  test("names the first fault as one thread does", { timeout: 60_000 }, async () => {
    // The last seal's last signature, a byte halfway, and a command's signature, which its block's hash is over.
    const places = [long.length - 46, Math.floor(long.length / 2), ...signaturePlaces(long).slice(40, 41)];
    const reasons: string[] = [];
    for (const place of places) {
      const file = changedAt(long, place, 3);
      const verdict = await verifyChainInParallel(file, clusterId, { jobs: 2 });
      expect(verdict, `byte ${place}`).toEqual(verifyChainWith(file, clusterId, native));
      reasons.push(verdict.ok ? "none" : verdict.fault.reason);
    }
    expect(reasons[0]).toBe("bad-seal");
    expect(reasons).toContain("malformed");
  });

  test("a number of jobs that is none is refused", async () => {
    for (const jobs of [0, 1.5, 257, Number.NaN])
      await expect(verifyChainInParallel(long, clusterId, { jobs })).rejects.toMatchObject({
        code: "FABRIC_INVALID_VALUE",
      });
  });

  test("a signal ends it", async () => {
    const signal = AbortSignal.abort(new Error("enough"));
    await expect(verifyChainInParallel(long, clusterId, { jobs: 2, signal })).rejects.toThrow("enough");
  });
});

describe("a thread that fails", () => {
  const failed = (why: string): unknown =>
    expect.objectContaining({ code: "ATTEST_CHECK_FAILED", retryable: true, message: expect.stringContaining(why) });

  test.each([
    ["throws", "throw new Error('no memory left')", "no memory left"],
    ["ends", "process.exit(0)", "it has ended"],
  ])("because it %s is said to whoever waits for its answers, and is no verdict", async (_what, text, why) => {
    await using threads = new SignatureThreads(1, new URL(`data:text/javascript,${encodeURIComponent(text)}`));
    threads.verify(node("a").identity.id, new Uint8Array(8), new Uint8Array(64));
    await expect(threads.settled()).rejects.toThrow(failed(why));
  });
});

/** What the threads do, without threads: says yes to everything, and replays upon the first check that was wrong. */
function optimistically(input: Omit<ReplayInput, "inOrder">): ChainVerdict {
  const wrong: number[] = [];
  let asked = 0;
  const finish = (inOrder: ReplayInput["inOrder"]): ChainVerdict => {
    const replay = replayChain({ ...input, inOrder });
    let step = replay.next();
    while (step.done !== true) step = replay.next();
    return step.value;
  };
  const verdict = finish({
    verify: (...check) => {
      if (!input.now.verify(...check)) wrong.push(asked);
      asked += 1;
      return true;
    },
  });
  let again = 0;
  return wrong.length === 0 ? verdict : finish({ verify: () => again++ !== wrong[0] });
}

describe("answers that come later", () => {
  const file = writeStory().file();
  const counted = { reasons: new Map<string, number>() };
  afterAll(() => expect(counted.reasons.size).toBeGreaterThan(4));

  test("lead to the verdict of answers that come at once, for every fifth byte changed", { timeout: 60_000 }, () => {
    for (let offset = 0; offset < file.length - trailerBytes; offset += 5) {
      const changed = changedAt(file, offset, offset % 8);
      const expected = verifyChainWith(changed, clusterId, native);
      expect(optimistically({ bytes: changed, clusterId, now: native, options: {} }), `byte ${offset}`).toEqual(
        expected,
      );
      const reason = expected.ok ? "none" : expected.fault.reason;
      counted.reasons.set(reason, (counted.reasons.get(reason) ?? 0) + 1);
    }
  });

  test("lead to that verdict where several signatures are wrong and a link is broken behind them", () => {
    const writer = writeStory();
    for (const verb of ["restore", "cordon"] as const) {
      const command = writer.command([{ verb, node: id("d") }], { proposer: "b" });
      const bytes = node("b").signCommand(command);
      // The last byte of a signed command is one of its signature.
      writer.append(command, bytes.with(bytes.length - 1, (bytes[bytes.length - 1] as number) ^ 1));
      writer.seal("bd");
    }
    writer.records.push(writer.records[1] as (typeof writer.records)[number]);
    const bytes = writer.file();
    const expected = verifyChainWith(bytes, clusterId, native);
    expect(expected).toMatchObject({ ok: false, fault: { reason: "bad-signature", height: 12 } });
    expect(optimistically({ bytes, clusterId, now: native, options: {} })).toEqual(expected);
  });
});
