import { discoveryContract, virtualTime } from "@revoada/fabric/contract/discovery";
import { parseNodeId, type AddressHint, type Discovery } from "@revoada/fabric";
import { seededRandom, virtualClock } from "@revoada/fabric/memory";
import { staticSeeds } from "@revoada/discovery";
import { describe, expect, test } from "vitest";
import { RepeatedLook } from "../src/repeated-look.ts";
import { Complaints } from "./complaints.ts";

const id = parseNodeId("a".repeat(64));

describe("static seeds", () => {
  const cases = discoveryContract(async () => {
    const clock = virtualClock();
    const source = staticSeeds({ seeds: [`${id}@10.0.0.1:7400`, "10.0.0.2:7400"], clock, random: seededRandom("s") });
    return {
      time: virtualTime(clock),
      source,
      expected: { id, addresses: ["10.0.0.1:7400"] },
      [Symbol.asyncDispose]: () => source.shutdown(),
    };
  });
  for (const { name, run } of cases) test(name, run);

  test("are refused where one of them is none", () => {
    const clock = virtualClock();
    expect(() => staticSeeds({ seeds: ["10.0.0.1:7400", "nowhere"], clock, random: seededRandom("s") })).toThrow(
      expect.objectContaining({ code: "DISCOVERY_INVALID_SOURCE" }),
    );
  });

  test("are given again before anybody forgets them", async () => {
    const clock = virtualClock();
    await using source = staticSeeds({ seeds: ["10.0.0.1:7400"], clock, random: seededRandom("s") });
    const seen = follow(source);
    await source.start();
    await clock.runUntil(() => seen.length === 3, { withinMs: 14 * 60_000 });
  });
});

/** Everything that a source finds, as it does. */
function follow(source: Discovery): AddressHint[] {
  const seen: AddressHint[] = [];
  void (async () => {
    for await (const hint of source.hints({ signal: new AbortController().signal })) seen.push(hint);
  })();
  return seen;
}

describe("a source that looks again and again", () => {
  const pace = { everyMs: 10_000, retryMs: 1_000, maxRetryMs: 8_000 };
  const hint: AddressHint = { source: "test", addresses: ["x:1"] };

  test("goes on after failures, with pauses that grow, and says each reason aloud once", async () => {
    const clock = virtualClock();
    const complaints = new Complaints();
    const asked: number[] = [];
    const reasons = ["first", "first", "second", "second"];
    await using source = new RepeatedLook({
      name: "test",
      pace,
      clock,
      random: { ...seededRandom("s"), float: () => 0.5 },
      logger: complaints,
      look: async () => {
        asked.push(clock.monotonicMs());
        const reason = reasons.shift();
        if (reason !== undefined) throw new Error(reason);
        return [hint];
      },
    });
    const seen = follow(source);
    await source.start();
    await clock.runUntil(() => seen.length === 2, { withinMs: 60_000 });
    const pauses = asked.slice(1).map((at, index) => at - (asked[index] ?? 0));
    expect(pauses).toEqual([1_000, 2_000, 4_000, 8_000, 10_000]);
    expect(complaints.warnings).toEqual(["first", "second"]);
  });

  test("that is shut down while it looks waits for the look and gives nothing of it", async () => {
    const clock = virtualClock();
    let aborted = false;
    const source = new RepeatedLook({
      name: "test",
      pace,
      clock,
      random: seededRandom("s"),
      look: (signal) =>
        new Promise((resolve) => {
          signal.addEventListener("abort", () => {
            aborted = true;
            resolve([hint]);
          });
        }),
    });
    const seen = follow(source);
    await source.start();
    await source.shutdown();
    expect([aborted, seen]).toEqual([true, []]);
  });
});
