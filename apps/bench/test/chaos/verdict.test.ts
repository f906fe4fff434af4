import { describe, expect, test } from "vitest";
import { evictedSince, hastyShifts, type Block } from "../../src/chaos/chain.ts";
import { lostEntries } from "../../src/chaos/ledger.ts";
import { falseDeaths } from "../../src/chaos/stage.ts";
import { linesOf, printed, type Change } from "../../src/chaos/timeline.ts";

function death(observer: string, subject: string): Change {
  return { atMs: 1000, observer, subject, aspect: "liveness", from: "suspect", to: "dead" };
}

describe("deaths", () => {
  test("of somebody whom the design protects are findings, with who saw it and when", () => {
    expect(falseDeaths([death("n1", "n2")], { mayDie: () => false })).toEqual(["n1 took n2 for dead at 1.0 s"]);
    expect(falseDeaths([death("n1", "n2")], { mayDie: (_, subject) => subject === "n2" })).toEqual([]);
    expect(falseDeaths([{ ...death("n1", "n2"), to: "suspect" }], { mayDie: () => false })).toEqual([]);
  });

  test("that nobody noticed are findings too, so that a fault that did not happen shows", () => {
    const expected = { mayDie: () => true, mustDie: ["n2"] };
    expect(falseDeaths([], expected)).toEqual(["nobody noticed that n2 was away"]);
    expect(falseDeaths([death("n3", "n2")], expected)).toEqual([]);
  });
});

function block(height: number, verb: string, node: string, timeMs: number): Block {
  const rest = { hash: "", term: 1, ordinal: 0, reason: "", proposer: "", sealed: true };
  return { height, index: height, verb, node, timeMs, ...rest };
}

const same = (id: string): string => id;

describe("shifts", () => {
  test("of one node within the interval are a finding where nothing forced them", () => {
    const blocks = [block(1, "promote", "a", 0), block(2, "demote", "a", 4000)];
    expect(hastyShifts(blocks, 5000, same)).toEqual([
      "a was shifted twice within 4000 ms (blocks 1 and 2: promote and demote)",
    ]);
    expect(hastyShifts(blocks, 3000, same)).toEqual([]);
  });

  test("that a failure forced are none, nor are several steps of one command, nor those of two nodes", () => {
    const forced = [block(1, "promote", "a", 0), block(2, "evict", "b", 100), block(3, "reassign", "a", 200)];
    expect(hastyShifts(forced, 5000, same)).toEqual([]);
    const together = [block(1, "promote", "a", 0), { ...block(2, "reassign", "a", 0), index: 1 }];
    expect(hastyShifts(together, 5000, same)).toEqual([]);
    expect(hastyShifts([block(1, "promote", "a", 0), block(2, "promote", "b", 0)], 5000, same)).toEqual([]);
  });

  test("that complete a demotion are none, and those that take it back are", () => {
    const demoted = block(1, "demote", "a", 0);
    const settled = block(2, "settle", "a", 50);
    expect(hastyShifts([demoted, settled, { ...block(3, "promote", "a", 100), role: "worker" }], 5000, same)).toEqual(
      [],
    );
    expect(hastyShifts([demoted, settled, { ...block(3, "promote", "a", 100), role: "master" }], 5000, same)).toEqual([
      "a was shifted twice within 100 ms (blocks 1 and 3: demote and promote)",
    ]);
  });

  test("say who was taken for dead, from a height on", () => {
    const blocks = [block(1, "evict", "a", 0), block(2, "evict", "b", 0), block(3, "seat", "c", 0)];
    expect(evictedSince(blocks, 1)).toEqual(["b"]);
  });
});

test("an acknowledged entry that is not there, or another one, is lost", () => {
  const acknowledged = new Map([
    ["a", "1"],
    ["b", "2"],
    ["c", "3"],
  ]);
  const held = new Map([
    ["a", "1"],
    ["b", "9"],
  ]);
  expect(lostEntries(acknowledged, held)).toEqual([
    "lost: b was acknowledged as 2 and is 9",
    "lost: c was acknowledged as 3 and is not there",
  ]);
});

test("a timeline has one line for what several saw at about the same time, in order, with what was done", () => {
  const early: Change = { atMs: 2000, observer: "n3", subject: "n2", aspect: "liveness", from: "alive", to: "suspect" };
  const changes = [{ ...early, observer: "n1", atMs: 2100 }, early, { ...early, atMs: 9000 }];
  expect(linesOf(changes, [{ atMs: 500, deed: "n2 stopped" }]).map(printed)).toEqual([
    "        0.5 s                       » n2 stopped",
    "    2.0–2.1 s  n1 n3                n2 alive → suspect",
    "        9.0 s  n3                   n2 alive → suspect",
  ]);
});
