import { readFileSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";
import { fileURLToPath } from "node:url";
import { mutations, plant, type ConsensusRunOptions, type ConsensusRunResult, type Patch } from "@revoada/simulation";
import { describe, expect, test } from "vitest";
import { runPlanted } from "./support/run-planted.ts";

const sources = new URL("../../consensus-raft/src/", import.meta.url);
const worker = fileURLToPath(new URL("../src/consensus/worker.ts", import.meta.url));

function sourceOf({ file }: Patch): string {
  return readFileSync(new URL(file, sources), "utf8");
}

test("there is a planted bug for each that the log must be held against", () => {
  expect(mutations.map(({ number }) => number)).toEqual(Array.from({ length: 15 }, (_, at) => at + 1));
});

describe.each(mutations)("bug $number: $title", ({ patches }) => {
  test.each(patches)("has its line in $file, once, and what it becomes can be parsed", (patch) => {
    const planted = plant(sourceOf(patch), patch);
    expect(planted).not.toBe(sourceOf(patch));
    expect(() => stripTypeScriptTypes(planted)).not.toThrow();
  });
});

test("a text that stands in a source twice, or not at all, cannot be planted", () => {
  const patch: Patch = { file: "a.ts", text: "here", replacement: "there" };
  expect(plant("just here", patch)).toBe("just there");
  expect(() => plant("here and here", patch)).toThrow("holds 2 times");
  expect(() => plant("nowhere", { ...patch, text: "elsewhere" })).toThrow("holds 0 times");
});

/** Of each bug that shows within the first moments of a seed, the seed. */
test.each([
  [1, 1],
  [2, 2],
  [3, 3],
  [4, 1],
  [5, 1],
  [12, 1],
  [14, 1],
])("bug %i is found by seed %i, and as what it is", { timeout: 60_000 }, async (number, seed) => {
  const result = await runPlanted<ConsensusRunOptions, ConsensusRunResult>(worker, "--mutation", number, { seed });
  const mutation = mutations.find((each) => each.number === number);
  expect(mutation?.breaks).toContain(result.violation?.invariant);
});
