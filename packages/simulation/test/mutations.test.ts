import { fork } from "node:child_process";
import { readFileSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";
import { fileURLToPath } from "node:url";
import { mutations, plant, type ConsensusRunOptions, type ConsensusRunResult, type Patch } from "@revoada/simulation";
import { describe, expect, test } from "vitest";

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

/** Runs one seed on sources into which a bug was planted, in a process of its own. */
function runPlanted(number: number, options: ConsensusRunOptions): Promise<ConsensusRunResult> {
  return new Promise((resolve, reject) => {
    const child = fork(worker, ["--mutation", String(number)], { execArgv: ["--conditions=@revoada/source"] });
    child.on("message", (message: ConsensusRunResult | "ready") => {
      if (message === "ready") {
        child.send(options);
        return;
      }
      child.disconnect();
      resolve(message);
    });
    child.on("error", reject);
    child.on("exit", (code) => {
      if (code !== 0) reject(new Error(`the worker ended with ${code}`));
    });
  });
}

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
  const result = await runPlanted(number, { seed });
  const mutation = mutations.find((each) => each.number === number);
  expect(mutation?.breaks).toContain(result.violation?.invariant);
});
